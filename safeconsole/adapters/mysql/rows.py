"""
Rows of the text protocol: each value a length and its bytes. Pure.

Every row of every result passes here, so these loops are written for speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Decoder = Callable[[bytes], Any]
"""Turns a value's bytes into the value; never asked about NULL."""

_NULL = 251
_WIDTHS = {252: 2, 253: 3, 254: 8}


def text(raw: bytes) -> str:
    r"""Return the text the server sent: never a failure, never silently different, what is no UTF-8 shows as \xNN."""
    return str(raw, "utf-8", "backslashreplace")


def decode_rows(payloads: Sequence[bytes], decoders: Sequence[Decoder]) -> list[tuple[Any, ...]]:
    """
    Return one tuple a payload.

    Args:
        decoders: one a column, in order.

    Raises:
        IndexError: a payload is shorter than its lengths say.
        ValueError: a value is not what its column's type promises.
    """
    if all(decode is text for decode in decoders):
        return _text_rows(payloads, len(decoders))
    return [_row(payload, decoders) for payload in payloads]


def _row(payload: bytes, decoders: Sequence[Decoder]) -> tuple[Any, ...]:
    row: list[Any] = []
    position = 0
    for decode in decoders:
        size = payload[position]
        position += 1
        if size >= _NULL:
            if size == _NULL:
                row.append(None)
                continue
            size, position = _long_size(payload, size, position)
        row.append(decode(payload[position : position + size]))
        position += size
    return tuple(row)


def _text_rows(payloads: Sequence[bytes], width: int) -> list[tuple[str | None, ...]]:
    rows: list[tuple[str | None, ...]] = []
    columns = range(width)
    for payload in payloads:
        if not payload.isascii():
            rows.append(_text_row(payload, width))
            continue
        # Then none of its values is NULL or long either: both begin with what is no ASCII.
        characters = str(payload, "ascii")
        row: list[str] = []
        stop = 0
        for _ in columns:
            start = stop + 1
            stop = start + payload[stop]
            row.append(characters[start:stop])
        rows.append(tuple(row))
    return rows


def _text_row(payload: bytes, width: int) -> tuple[str | None, ...]:
    # One conversion a row instead of one a value: latin-1 keeps every byte in its place, and ASCII is the same in both.
    characters = str(payload, "latin-1")
    row: list[str | None] = []
    position = 0
    for _ in range(width):
        size = payload[position]
        position += 1
        if size >= _NULL:
            if size == _NULL:
                row.append(None)
                continue
            size, position = _long_size(payload, size, position)
        stop = position + size
        value = characters[position:stop]
        row.append(value if value.isascii() else text(payload[position:stop]))
        position = stop
    return tuple(row)


def _long_size(payload: bytes, mark: int, position: int) -> tuple[int, int]:
    """Return a value's size and where it begins; the mark says how many bytes tell the size. Raises ValueError."""
    if mark not in _WIDTHS:
        raise ValueError(f"a value's length cannot begin with {mark}")
    begin = position + _WIDTHS[mark]
    return int.from_bytes(payload[position:begin], "little"), begin
