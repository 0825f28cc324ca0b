"""Many rows for one INSERT, as the family's drivers send them: in statements of up to a megabyte, not one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from safeconsole.core.lexer import LexicalRules
from safeconsole.shells.python.faults import ProgrammingError
from safeconsole.shells.python.literals import literal
from safeconsole.shells.python.templates import Parameters, Places, fill

LARGEST_BYTES = 1_024_000
"""Of one statement. Source: PyMySQL 1.2.4, `Cursor.max_stmt_length`."""

# One row of places and nothing else: what stands around it is the same for all rows. Less than PyMySQL 1.2.4 takes,
# whose RE_INSERT_VALUES lets texts and percent signs stand before VALUES: those are sent row by row.
_ONE_ROW = re.compile(
    r"\s*((?:INSERT|REPLACE)\b[^'\"`%]*(?:`[^`%]*`[^'\"`%]*)*?\bVALUES?\s*)"
    r"\((\s*(?:%s|%\([^()]+\)s)\s*(?:,\s*(?:%s|%\([^()]+\)s)\s*)*)\)"
    r"(\s*(?:(?:AS\b|ON\s+DUPLICATE\b)[^%]*)?);?\s*\Z",
    re.IGNORECASE,
)
_PLACE = re.compile(r"%\(([^()]+)\)s|%s")


def batches_of(
    operation: str, parameters: Iterable[Parameters], rules: LexicalRules, places: Places
) -> Iterator[str] | None:
    """
    Return the finished statements that insert all the rows, None for all but an INSERT of one row of places.

    Raises:
        ProgrammingError, DataError: from the statements, as `fill` and `literal`.
    """
    found = _ONE_ROW.match(operation) if places is Places.FORMAT else None
    if found is None:
        return None
    names = tuple(place[1] or "" for place in _PLACE.finditer(found[2]))
    rows = (_row(names, each, rules) for each in parameters)
    return _joined(found[1], rows, found[3].rstrip("; \t\r\n"))


def _row(names: tuple[str, ...], parameters: Parameters, rules: LexicalRules) -> str:
    if isinstance(parameters, Mapping):
        template = ", ".join(f"%({name})s" if name else "%s" for name in names)
        return fill(f"({template})", parameters, rules, Places.FORMAT)
    if any(names) or isinstance(parameters, str | bytes):
        raise ProgrammingError(0, "the parameters of each row are a mapping where places are named, else a list")
    if len(parameters) != len(names):
        raise ProgrammingError(0, f"{len(names)} parameters are wanted, {len(parameters)} were given")
    return f"({', '.join(literal(value, rules) for value in parameters)})"


def _joined(before: str, rows: Iterator[str], after: str) -> Iterator[str]:
    held: list[str] = []
    around = len(before.encode()) + len(after.encode())
    size = around
    for row in rows:
        row_bytes = len(row.encode()) + 1
        if held and size + row_bytes > LARGEST_BYTES:
            yield f"{before}{','.join(held)}{after}"
            held, size = [], around
        held.append(row)
        size += row_bytes
    if held:
        yield f"{before}{','.join(held)}{after}"
