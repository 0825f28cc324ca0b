"""Converts a server's texts to Python values, by column type."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from safeconsole.cluster.engine import Column, Row

Reader = Callable[[str], object]
"""Turns the text that the server sent into a value; never asked about NULL."""


def span_of(text: str) -> dt.timedelta | str:
    """Return a TIME as a timedelta, which may be negative or longer than a day; other texts are unchanged."""
    hours, _, rest = text.removeprefix("-").partition(":")
    minutes, _, rest = rest.partition(":")
    seconds, _, fraction = rest.partition(".")
    try:
        span = dt.timedelta(
            hours=int(hours),
            minutes=int(minutes),
            seconds=int(seconds),
            microseconds=int(fraction.ljust(6, "0")) if fraction else 0,
        )
    except ValueError:
        return text
    return -span if text.startswith("-") else span


def _date(text: str) -> dt.date | str:
    # No calendar has "0000-00-00": it stays the server's text.
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return text


def _datetime(text: str) -> dt.datetime | str:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return text


_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "bit"})
_READERS: Mapping[str, Reader] = {
    **dict.fromkeys(_INTEGERS, int),
    **{f"{name} unsigned": int for name in _INTEGERS},
    "year": int,
    "decimal": Decimal,
    "float": float,
    "double": float,
    "date": _date,
    "datetime": _datetime,
    "timestamp": _datetime,
    "time": span_of,
}


def is_integer(column: Column) -> bool:
    """Whether a column holds whole numbers only."""
    return not column.binary and _READERS.get(column.type_name) is int


def reader_of(column: Column) -> Reader | None:
    """Return the converter of a column's texts, None if they stay texts."""
    return None if column.binary else _READERS.get(column.type_name)


def typed_rows(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Return rows with texts converted by column type; other values are unchanged."""
    readers = [(at, reader) for at, column in enumerate(columns) if (reader := reader_of(column)) is not None]
    if not readers:
        return list(rows)
    typed = []
    for row in rows:
        values = list(row)
        for at, read in readers:
            value = values[at]
            if type(value) is str:
                values[at] = read(value)
        typed.append(tuple(values))
    return typed
