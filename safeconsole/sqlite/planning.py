"""What SQLite may prepare for us, and the plan it made."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator

import msgspec

from safeconsole.dialects.sqlite import SQLITE
from safeconsole.sqlite.authorizing import Authorizer, Mode
from safeconsole.sqlite.link import SqliteLink
from safeconsole.sqltext.analysis import rows_until_limit
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Hazard, Statement

PLAN_SECONDS = 1.0
"""Time for a plan; it needs well under a millisecond."""

_STEPS_BETWEEN_LOOKS = 4000
_NOT_PLANNED = frozenset({"explain", "pragma", "unknown"})


class _PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan: the step it belongs to, and its words."""

    parent: int
    words: str


def estimate(link: SqliteLink, statement: Statement, monotonic: Callable[[], float]) -> Estimate:
    """Return what SQLite thinks of a statement, running nothing of it; never raises for what it thinks."""
    if statement.kind.split(" ", 1)[0] in _NOT_PLANNED:
        # A pragma may act while it is prepared, and an explanation cannot be explained.
        return Estimate()
    authorizer = Authorizer(Mode.READS)
    deadline = monotonic() + PLAN_SECONDS
    link.raw.set_progress_handler(lambda: int(monotonic() > deadline), _STEPS_BETWEEN_LOOKS)
    try:
        link.authorize(authorizer)
        steps = _steps(link, statement.text)
        tables = _base_tables(link, authorizer)
        scanned = _scanned(steps, tables)
        rows = _rows(link, steps, scanned)
    except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, OverflowError) as error:
        return Estimate(
            asked=True,
            objection=authorizer.denied or str(error),
            objection_code=int(getattr(error, "sqlite_errorcode", 0) or 0),
            disagrees=bool(authorizer.denied),
        )
    finally:
        link.raw.set_progress_handler(None, 0)
    keyed = _is_keyed(statement, steps, tables)
    if keyed and rows < 0:
        rows = len(tables)
    most = _until_limit(statement, steps, scanned)
    if most is not None and most < rows:
        rows, scanned = most, {}
    return Estimate(
        asked=True,
        rows=rows,
        full_scans=tuple(table for _, table in scanned.values()),
        temporary_tables=sum(step.words.startswith(("USE TEMP B-TREE", "MATERIALIZE")) for step in steps),
        hazards=tuple(_hazards(authorizer)),
        keyed=keyed,
    )


def _is_keyed(statement: Statement, steps: tuple[_PlanRow, ...], tables: tuple[tuple[str, str], ...]) -> bool:
    named = {table.name.lower() for table in statement.tables}
    read = {name for _, name in tables}
    return len(steps) == len(read) > 0 and read == named and all(_BY_ROWID.fullmatch(step.words) for step in steps)


def _until_limit(statement: Statement, steps: tuple[_PlanRow, ...], scanned: dict[int, tuple[str, str]]) -> int | None:
    named = [table.name.lower() for table in statement.tables]
    if len(steps) != 1 or [table for _, table in scanned.values()] != named:
        return None
    return rows_until_limit(statement, LexicalRules(dialect=SQLITE))


def _steps(link: SqliteLink, text: str) -> tuple[_PlanRow, ...]:
    planned = link.raw.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
    return tuple(_PlanRow(parent=parent, words=words) for _, parent, _, words in planned)


def _hazards(authorizer: Authorizer) -> Iterator[Hazard]:
    for known in SQLITE.catalogue.objects:
        if any(table in known.names for _, table in authorizer.tables):
            yield Hazard(id=known.id, cost=known.cost, why=known.why, instead=known.instead)


def _base_tables(link: SqliteLink, authorizer: Authorizer) -> tuple[tuple[str, str], ...]:
    tables: dict[tuple[str, str], None] = {}
    for schema, name in authorizer.tables:
        where = schema or "main"
        if where not in {"main", link.schema}:
            continue
        text = f"SELECT 1 FROM {_quoted(where)}.sqlite_schema WHERE type = 'table' AND lower(name) = ?"  # noqa: S608 - quoted
        found = link.own(text, (name,))
        if found:
            tables[where, name] = None
    return tuple(tables)


def _scanned(steps: tuple[_PlanRow, ...], tables: tuple[tuple[str, str], ...]) -> dict[int, tuple[str, str]]:
    """Return the tables that are read whole, by the number of their step.

    A plan names a table by its alias. Aliases stand for the tables that no step names, one after the
    other, and the last of those for all further ones.
    """
    by_name = {name: (schema, name) for schema, name in tables}
    derived = {found[1] for step in steps if (found := _DERIVED.match(step.words))}
    named = {found[1].lower() for step in steps if (found := _TOUCH.match(step.words))}
    unnamed = [table for table in tables if table[1] not in named] or list(tables)
    aliases: dict[str, tuple[str, str]] = {}
    scanned = {}
    for number, step in enumerate(steps):
        found = _SCAN.match(step.words)
        if not found or found[1] in derived or not tables:
            continue
        name = found[1].lower()
        if name not in by_name:
            aliases.setdefault(name, unnamed[min(len(aliases), len(unnamed) - 1)])
        scanned[number] = by_name.get(name) or aliases[name]
    return scanned


def _rows(link: SqliteLink, steps: tuple[_PlanRow, ...], scanned: dict[int, tuple[str, str]]) -> int:
    """Return the rows it would examine, -1 when that is not known.

    Whole reads that stand beside one another are loops inside one another; the largest row id stands
    for the number of rows, since it is read at once and cannot be too small.
    """
    products: dict[int, int] = {}
    for number, (schema, table) in scanned.items():
        try:
            text = f"SELECT max(rowid) FROM {_quoted(schema)}.{_quoted(table)}"  # noqa: S608 - quoted
            largest = link.own(text)[0][0]
        except sqlite3.Error:
            return -1
        parent = steps[number].parent
        products[parent] = products.get(parent, 1) * max(1, int(largest or 0))
    return min(sum(products.values()), _MOST) if products else -1


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_MOST = 2**62
_BY_ROWID = re.compile(r"SEARCH \S+ USING INTEGER PRIMARY KEY \(rowid=\?\)")
_SCAN = re.compile(r"SCAN (?:TABLE )?([^\s(]\S*)(?! CONSTANT)(?!.* VIRTUAL TABLE)(?: AS \S+)?(?:$| USING)")
_TOUCH = re.compile(r"(?:SCAN|SEARCH) (?:TABLE )?([^\s(]\S*)")
_DERIVED = re.compile(r"(?:CO-ROUTINE|MATERIALIZE) (\S+)")
