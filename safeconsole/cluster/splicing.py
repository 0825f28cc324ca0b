"""Masks columns in the packets of a spliced answer, in the text and the binary protocol. Pure.

A masked column is a text in its definition, and the mask in every row, where it is NULL too. What cannot be read is not
handed on.

Source: MySQL 9.7 source documentation, "Protocol::ColumnDefinition41", "Text Resultset Row", "Binary Protocol
Resultset".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from safeconsole.cluster.engine import PACKET_HEADER_BYTES, Splice, SplicedRows

_NULL = 0xFB
_WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
_LONGEST_PACKET = 0xFFFFFF
_NAMES = 6
_FIXED = struct.Struct("<BHIBHBH")
_UTF8MB4, _VARCHAR = 45, 0xFD

_TYPE_BYTES = {0x01: 1, 0x02: 2, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 0, 0x08: 8, 0x09: 4, 0x0D: 2}
_TIMES = frozenset({0x07, 0x0A, 0x0B, 0x0C})
_TEXTS = frozenset({0x00, 0x0F, 0x10, 0xF2, *range(0xF5, 0x100)})
"""Values with their length before them: texts, bytes, decimal numbers, bits, JSON, geometry, vectors."""


class MaskedSplice:
    """Puts a mask into the masked columns of one result set.

    Args:
        positions: of its masked columns.
        mask: stands for each of their values.

    Raises:
        ValueError: from every method: the packets are not what they say.
    """

    def __init__(self, splice: Splice, positions: frozenset[int], mask: str) -> None:
        self._positions, self._binary = positions, splice is Splice.BINARY
        self._mask = bytes((len(mask.encode()),)) + mask.encode()
        self._types: list[int] = []

    def head(self, raw: bytes) -> bytes:
        """Return the packets before the rows, with the masked columns as texts; called before `rows`."""
        count, *definitions, end = _payloads(raw)
        self._types = [_fixed(each)[1][3] for each in definitions]
        changed = [self._as_text(each) if place in self._positions else each for place, each in enumerate(definitions)]
        return _framed([count, *changed, end], raw[3])

    def rows(self, batch: SplicedRows) -> SplicedRows:
        """Return rows whose masked values are the mask."""
        if not batch.rows:
            return batch
        data = bytes(batch.data)
        masked = self._binary_row if self._binary else self._text_row
        changed = list(map(masked, _payloads(data)))
        if len(changed) != batch.rows:
            raise ValueError("there are more rows than were counted")
        framed = _framed(changed, data[3])
        packets = sum(len(payload) // _LONGEST_PACKET + 1 for payload in changed)
        return SplicedRows(data=framed, rows=batch.rows, packets=packets)

    def _as_text(self, definition: bytes) -> bytes:
        begins, fixed = _fixed(definition)
        characters = len(self._mask) - 1
        changed = (fixed[0], _UTF8MB4, 4 * characters, _VARCHAR, 0, 0, fixed[6])
        return definition[:begins] + _FIXED.pack(*changed) + definition[begins + _FIXED.size :]

    def _text_row(self, payload: bytes) -> bytes:
        return self._joined(payload, 0, lambda _, at: _text_end(payload, at))

    def _binary_row(self, payload: bytes) -> bytes:
        width = len(self._types)
        begins = 1 + (width + 9) // 8
        nulls = bytearray(payload[1:begins])

        def end_of(place: int, at: int) -> int:
            is_null = nulls[(place + 2) // 8] >> (place + 2) % 8 & 1
            return at if is_null else _binary_end(payload, at, self._types[place])

        rest = self._joined(payload, begins, end_of)
        for place in self._positions:
            nulls[(place + 2) // 8] &= ~(1 << (place + 2) % 8)
        return payload[:1] + bytes(nulls) + rest

    def _joined(self, payload: bytes, begins: int, end_of: Callable[[int, int], int]) -> bytes:
        """Return the values from a place on, the mask instead of the masked ones."""
        parts, at = [], begins
        for place in range(len(self._types)):
            ends = end_of(place, at)
            if ends > len(payload):
                raise ValueError("a value is longer than its row")
            parts.append(self._mask if place in self._positions else payload[at:ends])
            at = ends
        if at != len(payload):
            raise ValueError("a row is longer than its values")
        return b"".join(parts)


def _payloads(data: bytes) -> Iterator[bytes]:
    at, parts = 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        at += PACKET_HEADER_BYTES
        parts.append(data[at : at + size])
        at += size
        if size < _LONGEST_PACKET:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
            parts = []
    if parts or at != len(data):
        raise ValueError("a packet is cut off")


def _framed(payloads: list[bytes], sequence: int) -> bytes:
    framed = bytearray()
    for payload in payloads:
        for start in range(0, len(payload) + 1, _LONGEST_PACKET):
            part = payload[start : start + _LONGEST_PACKET]
            framed += len(part).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + part
            sequence += 1
    return bytes(framed)


def _fixed(definition: bytes) -> tuple[int, tuple[int, ...]]:
    """Return where the numbers of a definition begin, behind its names, and the numbers."""
    at = 0
    for _ in range(_NAMES):
        at = _text_end(definition, at)
    if len(definition) - at < _FIXED.size:
        raise ValueError("a definition of a column is too short")
    return at, _FIXED.unpack_from(definition, at)


def _text_end(payload: bytes, at: int) -> int:
    if at >= len(payload):
        raise ValueError("a value is missing")
    size = payload[at]
    if size == _NULL:
        return at + 1
    if size < _NULL:
        return at + 1 + size
    if size not in _WIDTHS:
        raise ValueError(f"a value's length cannot begin with {size}")
    begins = at + 1 + _WIDTHS[size]
    return begins + int.from_bytes(payload[at + 1 : begins], "little")


def _binary_end(payload: bytes, at: int, kind: int) -> int:
    if kind in _TYPE_BYTES:
        return at + _TYPE_BYTES[kind]
    if kind in _TIMES or kind in _TEXTS:
        return _text_end(payload, at)
    raise ValueError(f"values of type {kind} are not known here")
