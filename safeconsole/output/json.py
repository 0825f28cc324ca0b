"""Rows as JSON: cells and lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TextIO

import msgspec

from safeconsole.cluster.engine import Column, Row
from safeconsole.output.cells import safe, text_of
from safeconsole.output.style import Look

# --------------------------------------------------------------------------------------------------------------------
# JSON for a person: one thing a line, coloured. Every number and text stays as the server wrote it.
#
# Nothing is parsed into values and written again: that would round numbers and lose doubled names.


LARGEST_CHARACTERS = 100_000
"""A longer document is shown as it is."""

NARROW_CHARACTERS = 60
"""What is this short, and holds nothing that holds something, stays on one line."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_COLOURED = re.compile(r'(?P<name>"(?:[^"\\]|\\.)*+")(?=\s*:)|(?P<text>"(?:[^"\\]|\\.)*+")|(?P<word>[^\s{}\[\]:,"]+)')
_WORDS = {"true", "false", "null"}
_NAME, _TEXT, _NUMBER, _WORD, _OFF = "\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[33m", "\x1b[0m"


def is_document(text: str) -> bool:
    """Whether a text is an object or an array in JSON, on one line."""
    if text[:1] not in {"{", "["} or "\n" in text or len(text) > LARGEST_CHARACTERS:
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def pretty(text: str) -> list[str]:
    """Return a document's lines; `is_document` MUST hold of it."""
    return list(_lines(_TOKENS.findall(text)))


def coloured(line: str) -> str:
    """Return a line of JSON, safe already, with the colours of what it holds."""
    return _COLOURED.sub(_colour, line)


def _colour(match: re.Match[str]) -> str:
    found = match.group()
    if match.lastgroup == "word":
        return f"{_WORD if found in _WORDS else _NUMBER}{found}{_OFF}"
    return f"{_NAME if match.lastgroup == 'name' else _TEXT}{found}{_OFF}"


def _lines(pieces: list[str]) -> Iterator[str]:
    depth, line, at = 0, "", 0
    while at < len(pieces):
        piece = pieces[at]
        end = _flat_end(pieces, at) if piece in {"{", "["} else None
        if end is not None:
            line += _joined(pieces[at : end + 1])
            at = end
        elif piece in {"{", "["}:
            yield "  " * depth + line + piece
            depth, line = depth + 1, ""
        elif piece in {"}", "]"}:
            if line:
                yield "  " * depth + line
            depth, line = depth - 1, piece
        elif piece == ",":
            yield "  " * depth + line + ","
            line = ""
        else:
            line += ": " if piece == ":" else piece
        at += 1
    if line:
        yield "  " * depth + line


def _flat_end(pieces: list[str], at: int) -> int | None:
    """Return where what opens here closes, if it is short and holds nothing that opens."""
    length = 0
    for end in range(at + 1, len(pieces)):
        piece = pieces[end]
        length += len(piece) + 1
        if piece in {"{", "["} or length > NARROW_CHARACTERS:
            return None
        if piece in {"}", "]"}:
            return end
    return None


def _joined(pieces: list[str]) -> str:
    return "".join(f"{piece} " if piece in {",", ":"} else piece for piece in pieces)


# --------------------------------------------------------------------------------------------------------------------
# Rows as JSON: an array of objects, or one object a line.


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
