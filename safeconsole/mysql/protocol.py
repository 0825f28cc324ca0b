"""Reads the wire format: packets, rows of the text protocol, answers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from pymysql import err

from safeconsole.cluster.engine import PACKET_HEADER_BYTES, SplicedRows

CHUNK_BYTES = 64 * 1024
_LONGEST = 0xFFFFFF
_END, _ERROR = 0xFE, 0xFF
_HEADER_AND_MARK = struct.Struct("<IB")

_PREPARED_BYTES = 12
"""Length of the answer to a prepared statement. Source: MySQL manual, "COM_STMT_PREPARE Response"."""


class PacketTooLargeError(Exception):
    """A packet is larger than the ceiling; none of it was read."""

    def __init__(self, read_bytes: int) -> None:
        super().__init__(f"a packet of {read_bytes} bytes")
        self.read_bytes = read_bytes


class Packets(msgspec.Struct):
    """Splits a byte stream into packet payloads.

    Attributes:
        read: returns at most that many bytes, b"" at the end of the connection.
        ceiling_bytes: the largest packet taken in.
        taken_bytes: payload bytes handed out so far.
        sequence: the number of the packet that `next` read last.
        extended: whether MariaDB's metadata stand in each column's definition.
    """

    read: Callable[[int], bytes]
    ceiling_bytes: int
    taken_bytes: int = 0
    buffer: bytes = b""
    position: int = 0
    sequence: int = 0
    extended: bool = False
    _joined: list[bytes] = msgspec.field(default_factory=list)

    def next(self) -> bytes:
        """Return the next payload.

        Raises:
            DriverError, OSError: the connection ended, or the packet is the server's error.
            PacketTooLargeError: the packet is over the ceiling.
        """
        payload = self._next_part()
        if len(payload) == _LONGEST:
            payload = self._join(payload)
        self.taken_bytes += len(payload)
        if payload[:1] == b"\xff":
            err.raise_mysql_exception(payload)
        return payload

    def skip(self, count: int) -> None:
        """Read and discard payloads, such as column definitions. Raises as `next`."""
        while count:
            buffer, position = self.buffer, self.position
            have = len(buffer)
            while count and position + 4 < have:
                end = position + 4 + int.from_bytes(buffer[position : position + 3], "little")
                if end > have or buffer[position + 4] == _ERROR:
                    break
                self.taken_bytes += end - position - 4
                position, count = end, count - 1
            self.position = position
            if count:
                # Waits, and meets whatever is no ordinary payload.
                self.next()
                count -= 1

    def next_whole(self, packets: int) -> bytes:
        """Return the next packets with their headers, such as column definitions.

        Raises:
            DriverError, OSError, PacketTooLargeError: as `next`.
        """
        size, count = 0, packets
        while count:
            buffer, start, have = self.buffer, self.position, len(self.buffer) - self.position
            needed = size + _HEADER_AND_MARK.size
            while count and needed <= have:
                header, mark = _HEADER_AND_MARK.unpack_from(buffer, start + size)
                length = header & _LONGEST
                if length > self.ceiling_bytes:
                    raise PacketTooLargeError(length)
                needed = size + PACKET_HEADER_BYTES + length
                if needed > have:
                    break
                if mark == _ERROR:
                    err.raise_mysql_exception(self._take(needed)[-length:])
                size, count = needed, count - 1
                needed = size + _HEADER_AND_MARK.size
            if count:
                self.fill(needed)
        self.taken_bytes += size - PACKET_HEADER_BYTES * packets
        return self._take(size)

    def arrived(self, most: int, most_bytes: int) -> list[bytes]:
        """Return the row payloads already in the buffer; reads nothing and never fails.

        Args:
            most_bytes: no more are taken once they hold so many.
        """
        found: list[bytes] = []
        buffer, have = self.buffer, len(self.buffer)
        position, first = self.position, self.position
        until = position + most_bytes
        while len(found) < most and position < until:
            start = position + 4
            size = int.from_bytes(buffer[position : start - 1], "little")
            stop = start + size
            # Ends, errors and packets that are continued begin with what no short row begins with.
            if stop > have or not 0 < size <= self.ceiling_bytes or size == _LONGEST or buffer[start] >= _END:
                break
            found.append(buffer[start:stop])
            position = stop
        self.position = position
        self.taken_bytes += position - first - 4 * len(found)
        return found

    def arrived_whole(self, most: int) -> SplicedRows:
        """Return the raw packets of the rows that `arrived` would return, without copying."""
        buffer, have, largest = self.buffer, len(self.buffer), min(self.ceiling_bytes, _LONGEST - 1)
        unpacked = _HEADER_AND_MARK.unpack_from
        first = position = before = self.position
        rows, last = 0, have - PACKET_HEADER_BYTES - 1
        # A million rows pass here: one look at each header, and at what is behind it.
        while position <= last and rows < most:
            header, mark = unpacked(buffer, position)
            size = header & _LONGEST
            if mark >= _END or not 0 < size <= largest:
                break
            before = position
            position += size + PACKET_HEADER_BYTES
            rows += 1
        if position > have:
            # The last one is not whole.
            position, rows = before, rows - 1
        self.position = position
        self.taken_bytes += position - first - PACKET_HEADER_BYTES * rows
        return SplicedRows(data=memoryview(buffer)[first:position], rows=rows, packets=rows)

    def wait(self) -> None:
        """Wait until the next packet is whole in the buffer. Raises as `next`, except for a server's error."""
        self._have(PACKET_HEADER_BYTES)
        size = int.from_bytes(self.buffer[self.position : self.position + 3], "little")
        if size > self.ceiling_bytes:
            raise PacketTooLargeError(size)
        self._have(PACKET_HEADER_BYTES + size)

    def _next_part(self) -> bytes:
        self._have(PACKET_HEADER_BYTES)
        start = self.position + PACKET_HEADER_BYTES
        size, self.sequence = int.from_bytes(self.buffer[self.position : start - 1], "little"), self.buffer[start - 1]
        if size > self.ceiling_bytes:
            raise PacketTooLargeError(size)
        self._have(PACKET_HEADER_BYTES + size)
        # What was read meanwhile may have moved it.
        start = self.position + PACKET_HEADER_BYTES
        self.position = start + size
        return self.buffer[start : self.position]

    def _join(self, first: bytes) -> bytes:
        parts, total = [first], len(first)
        while len(parts[-1]) == _LONGEST:
            parts.append(self._next_part())
            total += len(parts[-1])
            if total > self.ceiling_bytes:
                raise PacketTooLargeError(total)
        return b"".join(parts)

    def _take(self, count: int) -> bytes:
        self._have(count)
        taken = self.buffer[self.position : self.position + count]
        self.position += count
        return taken

    def _have(self, count: int) -> None:
        if len(self.buffer) - self.position < count:
            self.fill(count)

    def fill(self, count: int) -> None:
        """Read until at least `count` unread bytes are in the buffer. Raises as `next`."""
        parts = [self.buffer[self.position :]]
        have = len(parts[0])
        while have < count:
            part = self.read(max(count - have, CHUNK_BYTES))
            if not part:
                raise err.OperationalError(2013, "Lost connection to MySQL server during query")
            parts.append(part)
            have += len(part)
        self.buffer, self.position = b"".join(parts), 0


# Rows of the text protocol: each value a length and its bytes. Pure.
#
# Every row of every result passes here, so these loops are written for speed.

Decoder = Callable[[bytes], Any]
"""Turns a value's bytes into the value; never asked about NULL."""

_NULL = 251
_WIDTHS = {252: 2, 253: 3, 254: 8}


def framed(payload: bytes, sequence: int) -> bytes:
    """Return a payload as packets with headers.

    Args:
        sequence: the number of the last of them.
    """
    if len(payload) < _LONGEST:
        return len(payload).to_bytes(3, "little") + bytes((sequence,)) + payload
    first = sequence - len(payload) // _LONGEST
    parts = [payload[start : start + _LONGEST] for start in range(0, len(payload) + 1, _LONGEST)]
    return b"".join(
        len(part).to_bytes(3, "little") + bytes(((first + number) & 0xFF,)) + part for number, part in enumerate(parts)
    )


def text(raw: bytes) -> str:
    r"""Return the text the server sent: never a failure, never silently different, what is no UTF-8 shows as \xNN."""
    return str(raw, "utf-8", "backslashreplace")


def decode_rows(payloads: Sequence[bytes], decoders: Sequence[Decoder]) -> list[tuple[Any, ...]]:
    """Decode row payloads into tuples.

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
    """Return a value's size and start; the first byte says how many bytes hold the size. Raises ValueError."""
    if mark not in _WIDTHS:
        raise ValueError(f"a value's length cannot begin with {mark}")
    begin = position + _WIDTHS[mark]
    return int.from_bytes(payload[position:begin], "little"), begin


def prepared_number(packets: Packets) -> bytes:
    """Read the answer to COM_STMT_PREPARE and return the statement's id.

    It is b"" where nothing stayed prepared: MariaDB 10.11 carries `HELP 'word'` out at once where there is no help on
    the word, and says that it is done. Source: measured.
    """
    first = packets.next()
    if len(first) < _PREPARED_BYTES:
        return b""
    columns, parameters = struct.unpack_from("<HH", first, 5)
    for count in (parameters, columns):
        # Definitions and, after them, one end marker; nothing at all where there are none.
        for _ in range(count + 1 if count else 0):
            packets.next()
    return first[1:5]


# MariaDB's own capabilities begin with the 33rd, in bytes that MySQL leaves empty: the last four of the greeting's
# reserved ones, and of those in the answer to it. Source: MariaDB documentation, "Connection".

IS_MYSQL = 1
"""The capability without which a MariaDB reads and offers those that are its own."""

_METADATA = 1 << 3
"""MARIADB_CLIENT_EXTENDED_METADATA: what a text holds, such as JSON, stands beside its column's definition."""

_RESERVED = slice(9, 32)


def offers_metadata(greeting: bytes) -> bool:
    """Whether a server offers to tell what the texts of a column hold."""
    # The version's text, thread, salt and capabilities stand before what MySQL fills with zeros.
    own = greeting.find(b"\0", 1) + 14
    is_mysql = bool(greeting[own : own + 1] and greeting[own] & IS_MYSQL)
    return not is_mysql and bool(int.from_bytes(greeting[own + 14 : own + 18], "little") & _METADATA)


def asking_for_metadata(payload: bytes) -> bytes:
    """Return an answer to the greeting that asks for it too; other packets of a login are unchanged."""
    if payload[_RESERVED] != bytes(_RESERVED.stop - _RESERVED.start):
        return payload
    return payload[: _RESERVED.stop - 4] + _METADATA.to_bytes(4, "little") + payload[_RESERVED.stop :]
