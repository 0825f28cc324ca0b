"""
Values as literals of the server's own language, so that a parameter is part of the text that is judged.

Exact and safe under every sql_mode: a quote inside a text is doubled, which no mode reads differently; a text
with a backslash is written for the mode in force, or as bytes where that mode has no escapes; what has no
exact literal is an error. What a person passes as a parameter cannot become code.

Source: MySQL 9.7 and MariaDB manuals, "String Literals", "Hexadecimal Literals"; SQLite, "Literal Values".
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any
from uuid import UUID

from safeconsole.core.lexer import LexicalRules
from safeconsole.core.vocabulary import Flavour
from safeconsole.shells.python.faults import DataError, ProgrammingError

MOST_DIGITS = 400
"""Digits of a decimal literal; the servers' DECIMAL holds 65."""


def literal(value: object, rules: LexicalRules) -> str:
    """
    Return one value as a literal.

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
        raise DataError(0, f"{float(value)} is no number that SQL can write")
    text = float.__repr__(value)
    # Without an exponent the servers read a DECIMAL.
    return text if "e" in text else f"{text}e0"


def _decimal(value: Decimal, _rules: LexicalRules) -> str:
    if not value.is_finite() or abs(value.adjusted()) + len(value.as_tuple().digits) > MOST_DIGITS:
        raise DataError(0, f"{value} is no decimal that SQL can write")
    return format(value, "f")


def _text(value: str, rules: LexicalRules) -> str:
    value = str.__str__(value)
    try:
        encoded = value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(0, "a text parameter holds half of a character, which cannot be sent") from None
    if rules.flavour is Flavour.SQLITE:
        # A NUL ends a statement there.
        return _quoted(value) if "\0" not in value else f"({'||char(0)||'.join(map(_quoted, value.split(chr(0))))})"
    if "\\" not in value and "\0" not in value:
        return _quoted(value)
    if rules.no_backslash_escapes:
        return f"_utf8mb4 x'{encoded.hex()}'"
    return _quoted(value.replace("\\", "\\\\").replace("\0", "\\0"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _bytes(value: bytes | bytearray | memoryview, rules: LexicalRules) -> str:
    digits = bytes(value).hex()
    return f"X'{digits}'" if rules.flavour is Flavour.SQLITE else f"_binary x'{digits}'"


def _datetime(value: dt.datetime, _rules: LexicalRules) -> str:
    # pandas' "not a time" calls itself a datetime, and equals nothing.
    if value != value:  # noqa: PLR0124
        raise DataError(0, f"{value} is no moment that SQL can write")
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
