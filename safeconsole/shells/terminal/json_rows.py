"""Rows as JSON: an array of objects, or one object a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TextIO

import msgspec

from safeconsole.interfaces import Column, Row
from safeconsole.shells.terminal.cells import safe, text_of
from safeconsole.shells.terminal.looks import Look

# Decimals stay numbers, digit for digit; a reader that wants exactness parses them as decimals.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_PLAIN_TYPES = frozenset({str, int, float, bool, Decimal, type(None)})
_SURROGATE = re.compile("[\ud800-\udfff]")
# JSON itself escapes the ASCII controls; these reach a terminal raw.
_TERMINAL_CONTROL = re.compile("[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class JsonWriter:
    """Writes each row as an object whose keys are the column names, made different by a number where they repeat."""

    def __init__(self, columns: Sequence[Column], stream: TextIO, look: Look, *, array: bool) -> None:
        self._stream = stream
        self._terminal = look.terminal
        self._keys = unique_names([column.name for column in columns])
        self._separator = ",\n" if array else "\n"
        self._before = ""
        self._array = array
        if array:
            stream.write("[")
            self._before = "\n"

    def rows(self, batch: Sequence[Row]) -> None:
        """Write more rows."""
        if not batch:
            return
        texts = [self._object(row) for row in batch]
        self._stream.write(self._before + self._separator.join(texts))
        self._before = ",\n"
        if not self._array:
            self._stream.write("\n")
            self._before = ""

    def abandon(self, _note: str, /) -> None:
        """Leave the array open: what did not end well is no JSON, and nobody reads it as whole."""

    def end(self, _note: str = "", /) -> None:
        """Close the array."""
        if self._array:
            self._stream.write("\n]\n" if self._before == ",\n" else "]\n")

    def _object(self, row: Row) -> str:
        values = dict(zip(self._keys, row, strict=True))
        if not _PLAIN_TYPES.issuperset(map(type, row)):
            values = {key: _plain(value) for key, value in values.items()}
        try:
            text = _ENCODER.encode(values).decode()
        except UnicodeEncodeError:
            text = _ENCODER.encode({key: _without_surrogates(value) for key, value in values.items()}).decode()
        return _TERMINAL_CONTROL.sub(_escaped, text) if self._terminal else text


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with `_2`, `_3`, … after those that were there before."""
    taken: set[str] = set()
    unique = []
    for name in names:
        chosen, number = name, 1
        while chosen in taken or (number > 1 and chosen in names):
            number += 1
            chosen = f"{name}_{number}"
        taken.add(chosen)
        unique.append(chosen)
    return tuple(unique)


def _plain(value: object) -> object:
    return value if type(value) in _PLAIN_TYPES else text_of(value)


def _without_surrogates(value: object) -> object:
    return safe(value) if isinstance(value, str) and _SURROGATE.search(value) else value


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"
