"""
The server's answer, packet by packet: its head, its rows, its end. Pure but for the read function.

Rows are read here rather than by the driver: a million of them must not pass through a million driver objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from pymysql import err
from pymysql.constants import SERVER_STATUS
from pymysql.protocol import EOFPacketWrapper, MysqlPacket, OKPacketWrapper

from safeconsole.adapters.mysql.rows import Decoder, decode_rows, text

CHUNK_BYTES = 64 * 1024
BATCH_ROWS = 2_000
BATCH_BYTES = 512 * 1024
_LONGEST = 0xFFFFFF
_END, _ERROR = 0xFE, 0xFF


class PacketTooLargeError(Exception):
    """
    A packet is larger than the ceiling; none of it was taken in.

    Attributes:
        read_bytes: its announced size.
    """

    def __init__(self, read_bytes: int) -> None:
        super().__init__(f"a packet of {read_bytes} bytes")
        self.read_bytes = read_bytes


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """
    One column's definition.

    Attributes:
        name: as the server names it.
        type_code: the protocol's number of its type.
        flags: the protocol's bits (unsigned, enum, set, ...).
        character_set: number of its collation, 63 for bytes.
    """

    name: str
    type_code: int
    flags: int
    character_set: int


class ResultHead(msgspec.Struct, frozen=True, kw_only=True):
    """
    The first thing the server says to a statement.

    Attributes:
        fields: one descriptor a column; empty when there is no result set.
        changed_rows: rows changed, 0 with a result set.
        inserted_id: the number given to the first row inserted, 0 when none was given.
        warnings: how many warnings, known only without a result set.
        status: the server's status bits, None with a result set.
    """

    fields: tuple[Field, ...] = ()
    changed_rows: int = 0
    inserted_id: int = 0
    warnings: int = 0
    status: int | None = None


class ResultEnd(msgspec.Struct):
    """
    What the server said after the last row; filled in by `row_batches`.

    Attributes:
        reached: whether the last row was read.
        warnings: how many warnings.
        status: the server's status bits.
    """

    reached: bool = False
    warnings: int = 0
    status: int = 0


class Packets(msgspec.Struct):
    """
    Payloads out of a stream of bytes.

    Attributes:
        read: returns at most that many bytes, b"" at the end of the connection.
        ceiling_bytes: the largest packet taken in.
        taken_bytes: payload bytes handed out so far.
    """

    read: Callable[[int], bytes]
    ceiling_bytes: int
    taken_bytes: int = 0
    buffer: bytes = b""
    position: int = 0
    _joined: list[bytes] = msgspec.field(default_factory=list)

    def next(self) -> bytes:
        """
        Return the next payload.

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

    def arrived(self, most: int, most_bytes: int) -> list[bytes]:
        """
        Return the next payloads of ordinary rows that are in the buffer already; reads nothing and never fails.

        Args:
            most: how many at most.
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

    def _next_part(self) -> bytes:
        header = self._take(4)
        size = int.from_bytes(header[:3], "little")
        if size > self.ceiling_bytes:
            raise PacketTooLargeError(size)
        return self._take(size)

    def _join(self, first: bytes) -> bytes:
        parts, total = [first], len(first)
        while len(parts[-1]) == _LONGEST:
            parts.append(self._next_part())
            total += len(parts[-1])
            if total > self.ceiling_bytes:
                raise PacketTooLargeError(total)
        return b"".join(parts)

    def _take(self, count: int) -> bytes:
        if len(self.buffer) - self.position < count:
            self.fill(count)
        taken = self.buffer[self.position : self.position + count]
        self.position += count
        return taken

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


def read_head(packets: Packets) -> ResultHead:
    """Return the first answer to a statement. Raises as `Packets.next`."""
    first = MysqlPacket(packets.next(), "utf8")
    if first.is_load_local_packet():
        raise err.OperationalError(2068, "the server asked for a local file")
    if first.is_ok_packet():
        done = OKPacketWrapper(first)
        return ResultHead(
            changed_rows=done.affected_rows,
            inserted_id=int(done.insert_id or 0),
            warnings=done.warning_count,
            status=done.server_status,
        )
    count = first.read_length_encoded_integer()
    fields = tuple(_field_of(packets.next()) for _ in range(int(count or 0)))
    packets.next()  # the end marker of the definitions
    return ResultHead(fields=fields)


def _field_of(payload: bytes) -> Field:
    # Six texts (catalogue, schema, table, original table, name, original name), then fixed fields.
    packet = MysqlPacket(payload, "utf8")
    texts: list[bytes] = [packet.read_length_coded_string() or b"" for _ in range(6)]  # type: ignore[no-untyped-call]
    character_set, type_code, flags = packet.read_struct("<xHxxxxBH")
    return Field(
        name=str(texts[4], "utf-8", "backslashreplace"),
        type_code=type_code,
        flags=flags,
        character_set=character_set,
    )


def row_batches(packets: Packets, decoders: Sequence[Decoder], end: ResultEnd) -> Iterator[list[tuple[Any, ...]]]:
    """
    Yield rows in batches of at most BATCH_ROWS rows and about BATCH_BYTES bytes, as they arrive.

    Args:
        decoders: one a column, in order.
        end: filled in after the last row.

    Raises:
        DriverError, OSError, PacketTooLargeError: as `Packets.next`.
    """
    while not end.reached:
        payloads = packets.arrived(BATCH_ROWS, BATCH_BYTES)
        if not payloads:
            # Waits, and meets whatever is no ordinary row: an end, an error, a row in several packets.
            payload = packets.next()
            if payload[0] == _END and len(payload) < 9:
                _note_end(payload, end)
                return
            payloads = [payload, *packets.arrived(BATCH_ROWS - 1, BATCH_BYTES - len(payload))]
        yield decode_rows(payloads, decoders)


def read_texts(packets: Packets) -> tuple[list[tuple[str | None, ...]], int]:
    """
    Return the rows of a short answer, unconverted and without their description, and the server's status bits.

    Raises:
        DriverError, OSError, PacketTooLargeError: as `Packets.next`.
        ValueError: it is no result set, or one of more than 250 columns.
    """
    first = packets.next()
    count = first[0]
    if len(first) != 1 or not count:
        raise ValueError("the answer is no small result set")
    for _ in range(count + 1):
        packets.next()  # the definitions and their end marker
    end = ResultEnd()
    return [row for batch in row_batches(packets, [text] * count, end) for row in batch], end.status


def drain(packets: Packets, end: ResultEnd) -> int:
    """Read the result sets that follow the first one, keep nothing, and return how many there were."""
    sets = 0
    while end.status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS:
        head = read_head(packets)
        if head.status is not None:
            end.status, end.warnings = head.status, head.warnings
            continue
        sets += 1
        payload = packets.next()
        while not (payload[0] == _END and len(payload) < 9):
            payload = packets.next()
        _note_end(payload, end)
    return sets


def _note_end(payload: bytes, end: ResultEnd) -> None:
    marker = EOFPacketWrapper(MysqlPacket(payload, "utf8"))
    end.reached, end.warnings, end.status = True, marker.warning_count, marker.server_status
