"""The parts of PEP 249 that need no session: its errors, and statements with parameters.

Only what a server answered becomes one of PEP 249's errors. That something was refused, stopped or lost stays an error
of the console: code that retries what a driver calls operational must not retry those.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum, auto
from functools import lru_cache
from numbers import Integral, Real
from typing import Any
from uuid import UUID

import msgspec

from safeconsole.errors import ServerError
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens

# Values as literals of the server's own language, so that a parameter is part of the text that is judged. Exact and
# safe under every sql_mode: a quote inside a text is doubled, which no mode reads differently; a text with a
# backslash is written for the mode in force, or as bytes where that mode has no escapes; what has no exact literal is
# an error. What a person passes as a parameter cannot become code. Source: MySQL 9.7 and MariaDB manuals, "String
# Literals", "Hexadecimal Literals"; SQLite, "Literal Values".

MOST_DIGITS = 400
"""Digits of a decimal literal; the servers' DECIMAL holds 65."""


def literal(value: object, rules: LexicalRules) -> str:
    """Return a value as a literal.

    Args:
        value: None, bool, int, float, Decimal, str, bytes, date, time, datetime, timedelta, UUID, or a list, tuple or
            set of these, which becomes a parenthesised list. A time zone is left out, as the drivers do.
        rules: how the server reads text.

    Raises:
        DataError: the value has no exact literal, such as a NaN, or half a character.
        ProgrammingError: its type has none, or it is an empty list.
    """
    if value is None:
        return "NULL"
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value, rules)
    raise ProgrammingError(0, f"a parameter cannot be a {type(value).__name__}")


def _boolean(value: bool, _rules: LexicalRules) -> str:  # noqa: FBT001 (the table's signature)
    return "1" if value else "0"


def _integer(value: int, _rules: LexicalRules) -> str:
    # The type's own writer: a subclass (an enumeration) may write itself in another way.
    return int.__repr__(value)


def _floating(value: float, _rules: LexicalRules) -> str:
    if not math.isfinite(value):
        raise DataError(0, f"{float(value)} is not a number that SQL can write")
    text = float.__repr__(value)
    # Without an exponent the servers read a DECIMAL.
    return text if "e" in text else f"{text}e0"


def _decimal(value: Decimal, _rules: LexicalRules) -> str:
    if not value.is_finite() or abs(value.adjusted()) + len(value.as_tuple().digits) > MOST_DIGITS:
        raise DataError(0, f"{value} is not a decimal that SQL can write")
    return format(value, "f")


def _text(value: str, rules: LexicalRules) -> str:
    value = str.__str__(value)
    try:
        encoded = value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(0, "a text parameter holds half of a character, which cannot be sent") from None
    if nul := rules.dialect.lexis.nul_call:
        # A NUL ends a statement there.
        return _quoted(value) if "\0" not in value else f"({f'||{nul}||'.join(map(_quoted, value.split(chr(0))))})"
    if "\\" not in value and "\0" not in value:
        return _quoted(value)
    if rules.no_backslash_escapes:
        return f"_utf8mb4 x'{encoded.hex()}'"
    return _quoted(value.replace("\\", "\\\\").replace("\0", "\\0"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _bytes(value: bytes | bytearray | memoryview, rules: LexicalRules) -> str:
    digits = bytes(value).hex()
    return f"{rules.dialect.lexis.bytes_mark}'{digits}'"


def _datetime(value: dt.datetime, _rules: LexicalRules) -> str:
    # pandas' "not a time" calls itself a datetime, and equals nothing.
    if value != value:  # noqa: PLR0124
        raise DataError(0, f"{value} is not a moment that SQL can write")
    return f"'{dt.datetime.isoformat(value.replace(tzinfo=None), sep=' ')}'"


def _date(value: dt.date, _rules: LexicalRules) -> str:
    return f"'{dt.date.isoformat(value)}'"


def _time(value: dt.time, _rules: LexicalRules) -> str:
    return f"'{dt.time.isoformat(value.replace(tzinfo=None))}'"


def _span(value: dt.timedelta, _rules: LexicalRules) -> str:
    sign, value = ("-", -value) if value < dt.timedelta(0) else ("", value)
    minutes, seconds = divmod(value.days * 86_400 + value.seconds, 60)
    fraction = f".{value.microseconds:06d}" if value.microseconds else ""
    return f"'{sign}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}'"


def _list(value: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], rules: LexicalRules) -> str:
    if not value:
        raise ProgrammingError(0, "an empty list cannot be a parameter: SQL has no empty list")
    if any(isinstance(each, list | tuple | set | frozenset) and not each for each in value):
        raise ProgrammingError(0, "a list with an empty list in it cannot be a parameter")
    return f"({', '.join(literal(each, rules) for each in value)})"


# In this order: a bool is an int, a datetime is a date.
_WRITERS: tuple[tuple[type | tuple[type, ...], Callable[[Any, LexicalRules], str]], ...] = (
    (str, _text),
    (bool, _boolean),
    (int, _integer),
    (float, _floating),
    (Decimal, _decimal),
    (dt.datetime, _datetime),
    (dt.date, _date),
    (dt.time, _time),
    (dt.timedelta, _span),
    ((bytes, bytearray, memoryview), _bytes),
    (UUID, lambda value, _rules: _quoted(str(UUID(int=value.int)))),
    # numpy's numbers, which are neither int nor float.
    (Integral, lambda value, rules: _integer(int(value), rules)),
    (Real, lambda value, rules: _floating(float(value), rules)),
    ((list, tuple, set, frozenset), _list),
)


# Statements with places for parameters, filled before they are judged. `%s` takes the next parameter, `%(name)s` a
# named one, `%%` is a percent sign; a library that writes for SQLite marks places with `?`. A place inside quotes or
# a comment is an error: what would be put there is no value any more.

HELD_TEMPLATES = 512

Parameters = Mapping[str, object] | Sequence[object]

_PLACE = re.compile(r"%(?:(%)|s|\(([^()]*)\)s|)")
_OPAQUE = frozenset({TokenKind.STRING, TokenKind.NAME, TokenKind.COMMENT, TokenKind.HINT, TokenKind.SYSTEM})
# Beside these a literal stands alone; beside anything else it might grow together with what is there.
_OPEN = frozenset(" \t\r\n(),=<>!+*;")


Cut = tuple[int, int, str | None]
"""Start, end and name of a parameter's place; a name of None is a doubled percent sign."""


class Places(Enum):
    """The parameter style of a text."""

    FORMAT = auto()
    MARKS = auto()


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A text split at its placeholders.

    Attributes:
        pieces: what stands around the places, one more than there are places.
        names: each place's name, "" for the next parameter.
    """

    pieces: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def named(self) -> bool:
        return any(self.names)


def fill(text: str, parameters: Parameters | None, rules: LexicalRules, places: Places) -> str:
    """Return a statement with its parameters as literals.

    Args:
        text: the statement; without parameters (None) it is taken as it is.
        parameters: a sequence, or a mapping for `%(name)s`.

    Raises:
        ProgrammingError: places and parameters do not fit together.
        DataError: as `literal`.
    """
    if parameters is None or (places is Places.FORMAT and _is_plain(text, parameters, rules)):
        return text
    template = template_of(text, rules, places)
    parts = [template.pieces[0]]
    for value, piece in zip(_values(template, parameters), template.pieces[1:], strict=True):
        parts += (literal(value, rules), piece)
    return "".join(parts)


def _is_plain(text: str, parameters: Parameters, rules: LexicalRules) -> bool:
    """Whether a text has no parameters and was not written for any, such as `LIKE 'a%'`.

    Where each percent sign is doubled the text was written for them: that is how SQLAlchemy writes every text.
    """
    if not hasattr(parameters, "__len__") or len(parameters):
        return False
    found = [match for match in _PLACE.finditer(text) if not match[1]]
    opaque = _opaque(text, rules) if found else []
    return bool(found) and all(match.group() == "%" or _is_inside(match, opaque) for match in found)


@lru_cache(maxsize=HELD_TEMPLATES)
def template_of(text: str, rules: LexicalRules, places: Places) -> Template:
    """Return a text split at its placeholders. Raises ProgrammingError."""
    pieces, names, done = [""], [], 0
    cuts = _marked(text, rules) if places is Places.MARKS else _formatted(text, rules)
    for start, end, name in cuts:
        pieces[-1] += text[done:start]
        done = end
        if name is None:
            pieces[-1] += "%"
            continue
        pieces[-1] = _apart(pieces[-1])
        names.append(name)
        pieces.append("" if text[done : done + 1] in _OPEN or done == len(text) else " ")
    pieces[-1] += text[done:]
    if any(names) and not all(names):
        raise ProgrammingError(0, "%s and %(name)s cannot be combined in one statement")
    return Template(pieces=tuple(pieces), names=tuple(names))


def _marked(text: str, rules: LexicalRules) -> list[Cut]:
    return [(token.start, token.end, "") for token in tokens(text, rules) if token.kind is TokenKind.PARAMETER]


def _formatted(text: str, rules: LexicalRules) -> list[Cut]:
    found = list(_PLACE.finditer(text))
    opaque = _opaque(text, rules) if found else []
    cuts: list[Cut] = []
    for match in found:
        if match.group() == "%":
            raise ProgrammingError(0, "a single % in a statement with parameters: write %%, or pass none")
        if not match[1] and _is_inside(match, opaque):
            raise ProgrammingError(0, f"{match.group()} is inside quotes or a comment: leave the quotes out")
        cuts.append((match.start(), match.end(), None if match[1] else match[2] or ""))
    return cuts


def _opaque(text: str, rules: LexicalRules) -> list[tuple[int, int]]:
    """Return the ranges of quoted texts and comments, where no parameter can stand."""
    return [(token.start, token.end) for token in tokens(text, rules) if token.kind in _OPAQUE]


def _is_inside(match: re.Match[str], opaque: list[tuple[int, int]]) -> bool:
    return any(start < match.end() and match.start() < end for start, end in opaque)


def _apart(piece: str) -> str:
    return piece if not piece or piece[-1] in _OPEN else f"{piece} "


def _values(template: Template, parameters: Parameters) -> list[object]:
    if isinstance(parameters, Mapping):
        missing = [name for name in template.names if name not in parameters]
        if missing or not (template.named or not template.names):
            raise ProgrammingError(
                0, f"no parameter for {', '.join(f'%({name})s' if name else '%s' for name in missing)}"
            )
        return [parameters[name] for name in template.names]
    if isinstance(parameters, str | bytes) or not hasattr(parameters, "__len__"):
        raise ProgrammingError(0, "parameters are a list or a mapping, not one value: put it into [ ]")
    if template.named:
        raise ProgrammingError(0, "the statement names its parameters: pass a mapping")
    if len(parameters) != len(template.names):
        raise ProgrammingError(0, f"{len(template.names)} parameters are wanted, {len(parameters)} were given")
    return list(parameters)


# Many rows for one INSERT, as the family's drivers send them: in statements of up to a megabyte, not one by one.

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
_PLACEHOLDER = re.compile(r"%\(([^()]+)\)s|%s")


def batches_of(
    operation: str, parameters: Iterable[Parameters], rules: LexicalRules, places: Places
) -> Iterator[str] | None:
    """Return the complete statements that insert all rows; None unless it is an INSERT of one row of placeholders.

    Raises:
        ProgrammingError, DataError: from the statements, as `fill` and `literal`.
    """
    found = _ONE_ROW.match(operation) if places is Places.FORMAT else None
    if found is None:
        return None
    names = tuple(place[1] or "" for place in _PLACEHOLDER.finditer(found[2]))
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


class Warning(Exception):  # noqa: A001, N818 (the name is PEP 249's)
    """Never raised; PEP 249 asks for it."""


class Error(Exception):
    """An error of the server, or of this interface.

    Args:
        code: the server's error number, 0 where there is none.
    """


class InterfaceError(Error):
    """The interface was used wrongly, such as a closed cursor."""


class DatabaseError(Error):
    """Anything about the database."""


class DataError(DatabaseError):
    """A value that cannot be processed."""


class OperationalError(DatabaseError):
    """The database failed for a reason outside the program."""


class IntegrityError(DatabaseError):
    """A constraint holds."""


class InternalError(DatabaseError):
    """The database met an error of its own."""


class ProgrammingError(DatabaseError):
    """The statement or its parameters are wrong."""


class NotSupportedError(DatabaseError):
    """The console, or the server, does not offer this."""


_CLASSES: Mapping[str, type[DatabaseError]] = {
    each.__name__: each for each in (DataError, IntegrityError, NotSupportedError, OperationalError, ProgrammingError)
}


def dbapi_error_of(error: ServerError, dialect: Dialect) -> DatabaseError:
    name = dialect.error_classes.get(error.number, "OperationalError")
    return _CLASSES[name](error.number, error.server_message)
