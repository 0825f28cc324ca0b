"""Decodes the server's answer to a statement: column definitions, values, and the status at its end."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from pymysql import err
from pymysql.constants import FIELD_TYPE, FLAG, SERVER_STATUS
from pymysql.protocol import MysqlPacket, OKPacketWrapper

from safeconsole.cluster.engine import PACKET_HEADER_BYTES, Column, SplicedRows
from safeconsole.cluster.values import reader_of
from safeconsole.mysql.protocol import Decoder, Packets, decode_rows, framed, text
from safeconsole.patterns import late

# The server's answer to a statement: its head, its rows, its end.
#
# Read here rather than by the driver: a million rows must not pass through a million driver objects, and the short
# answers, of which a statement has several, are read by hand.

BATCH_ROWS = 2_000
BATCH_BYTES = 512 * 1024
_END = 0xFE
_ONE_BYTE, _TWO_BYTES = 251, 252
"""Smaller numbers are written in one byte; what begins with the second is written in the two that follow.
Source: MySQL 8.4 source code documentation, "Integer Types", Protocol::LengthEncodedInteger."""

_SHORT_OK = 6
_TWO_SHORTS = struct.Struct("<HH")
_COLUMN = struct.Struct("<xHIBH")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One column's definition.

    Attributes:
        flags: the protocol's bits (unsigned, enum, set, ...).
        character_set: number of its collation, 63 for bytes.
        width: its greatest length: bytes of a text, digits of a number, bits of a BIT.
        origin: schema, table and column that it is, as bytes; empty for an expression.
        is_document: whether the server says that its text is JSON, where it has no type for that.
    """

    name: str
    type_code: int
    flags: int
    character_set: int
    width: int = 0
    origin: tuple[bytes, bytes, bytes] = (b"", b"", b"")
    is_document: bool = False


_MATCHED = late(rb"\d+")
"""The first number is that of the rows found, in every language of `lc_messages`. Source: MySQL 9.7, MariaDB 10.11."""


class ResultHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first packets of an answer: column definitions, or the status of a statement without rows.

    Attributes:
        width: how many columns there are, 0 when there is no result set.
        changed_rows: rows changed, 0 with a result set.
        inserted_id: the number given to the first row inserted, 0 when none was given.
        warnings: how many warnings, known only without a result set.
        status: the server's status bits, None with a result set.
        raw: see `Answer.head`.
        documents: places of the columns that hold JSON, by what MariaDB says beside their definitions.
        info: what the server says beside the count, in its own language: of an UPDATE "Rows matched: 3  Changed: 2 …".
    """

    width: int = 0
    changed_rows: int = 0
    inserted_id: int = 0
    warnings: int = 0
    status: int | None = None
    raw: bytes = b""
    documents: frozenset[int] = frozenset()
    info: bytes = b""

    @property
    def fields(self) -> tuple[Field, ...]:
        """One descriptor a column, decoded anew each time. Raises ValueError, IndexError, struct.error: nonsense."""
        fields, position = [], 0
        for place in range(self.width + 1):
            if place:
                is_document = place - 1 in self.documents
                fields.append(_field_at(self.raw, position + PACKET_HEADER_BYTES, is_document=is_document))
            position += PACKET_HEADER_BYTES + int.from_bytes(self.raw[position : position + 3], "little")
        return tuple(fields)

    @property
    def touched_rows(self) -> int:
        """Rows that a change matched, including those that already had the new values."""
        matched = _MATCHED.search(self.info)
        return int(matched[0]) if matched else self.changed_rows


class ResultEnd(msgspec.Struct):
    """The server's report after the last row; filled in by `row_batches`.

    Attributes:
        reached: whether the last row was read.
    """

    reached: bool = False
    warnings: int = 0
    status: int = 0


def read_head(packets: Packets) -> ResultHead:
    """Return the first answer to a statement. Raises as `Packets.next`."""
    payload = packets.next()
    if payload[0] == 0 and len(payload) > _SHORT_OK and max(payload[1:3]) < _ONE_BYTE:
        status, warnings = _TWO_SHORTS.unpack_from(payload, 3)
        return ResultHead(
            changed_rows=payload[1],
            inserted_id=payload[2],
            warnings=warnings,
            status=status,
            raw=payload,
            info=payload[_SHORT_OK + 1 :],
        )
    first = MysqlPacket(payload, "utf8")
    if first.is_load_local_packet():
        raise err.OperationalError(2068, "the server asked for a local file")
    if first.is_ok_packet():
        done = OKPacketWrapper(first)
        return ResultHead(
            changed_rows=done.affected_rows,
            inserted_id=int(done.insert_id or 0),
            warnings=done.warning_count,
            status=done.server_status,
            raw=payload,
            info=bytes(done.message),
        )
    width = int(first.read_length_encoded_integer() or 0)
    counted = framed(payload, packets.sequence)
    # The definitions and their end marker.
    definitions = packets.next_whole(width + 1)
    if packets.extended:
        definitions, documents = _without_metadata(definitions, width)
        return ResultHead(width=width, raw=counted + definitions, documents=documents)
    return ResultHead(width=width, raw=counted + definitions)


_SIX_TEXTS = 6
"""Catalogue, schema, table, original table, name, original name: a column's definition begins with them."""

_JSON = b"\1\4json"
"""A format, of four letters. Source: MariaDB documentation, "Result Set Packets", extended metadata."""


def _without_metadata(definitions: bytes, width: int) -> tuple[bytes, frozenset[int]]:
    """Return column definitions as every client reads them, and the places of those whose metadata say JSON."""
    parts, documents, position = list[bytes](), set[int](), 0
    for place in range(width):
        start = position + PACKET_HEADER_BYTES
        stop = start + int.from_bytes(definitions[position : position + 3], "little")
        behind_texts = _texts_at(definitions, start, _SIX_TEXTS)[1]
        (metadata,), rest = _texts_at(definitions, behind_texts, 1)
        if _JSON in metadata:
            documents.add(place)
        parts.append(framed(definitions[start:behind_texts] + definitions[rest:stop], definitions[position + 3]))
        position = stop
    return b"".join((*parts, definitions[position:])), frozenset(documents)


def _texts_at(raw: bytes, position: int, count: int) -> tuple[list[bytes], int]:
    """Return texts that each begin with their length, and the position behind them."""
    texts = list[bytes]()
    for _ in range(count):
        size, position = raw[position], position + 1
        if size == _TWO_BYTES:
            size, position = int.from_bytes(raw[position : position + 2], "little"), position + 2
        elif size >= _ONE_BYTE:
            raise ValueError(f"a name in the description of a column begins with {size}")
        texts.append(raw[position : position + size])
        position += size
    return texts, position


def _field_at(raw: bytes, position: int, *, is_document: bool) -> Field:
    texts, position = _texts_at(raw, position, _SIX_TEXTS)
    _, schema, _, table, name, column = texts
    character_set, width, type_code, flags = _COLUMN.unpack_from(raw, position)
    return Field(
        name=str(name, "utf-8", "backslashreplace"),
        type_code=type_code,
        flags=flags,
        character_set=character_set,
        width=width,
        origin=(schema, table, column),
        is_document=is_document,
    )


def row_batches(packets: Packets, decoders: Sequence[Decoder], end: ResultEnd) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield rows in batches of at most BATCH_ROWS rows and about BATCH_BYTES bytes, as they arrive.

    Args:
        decoders: one a column, in order.
        end: filled in after the last row.

    Raises:
        DriverError, OSError, PacketTooLargeError: as `Packets.next`.
    """
    while not end.reached:
        rows = decode_rows(_payloads(packets, end), decoders)
        if rows:
            yield rows


def packet_batches(packets: Packets, end: ResultEnd) -> Iterator[SplicedRows]:
    """Yield rows as the packets that they came in, as they arrive. Raises as `row_batches`."""
    while not end.reached:
        rows = packets.arrived_whole(BATCH_ROWS)
        if rows:
            yield rows
            continue
        packets.wait()
        rows = packets.arrived_whole(BATCH_ROWS)
        if rows:
            yield rows
            continue
        # Whatever is no ordinary row: an end, an error, a row in several packets.
        payload = packets.next()
        if payload[0] == _END and len(payload) < 9:
            _note_end(payload, end)
        else:
            whole = framed(payload, packets.sequence)
            yield SplicedRows(data=whole, rows=1, packets=(len(whole) - len(payload)) // PACKET_HEADER_BYTES)


def _payloads(packets: Packets, end: ResultEnd) -> list[bytes]:
    payloads = packets.arrived(BATCH_ROWS, BATCH_BYTES)
    if payloads:
        return payloads
    # Waits, and meets whatever is no ordinary row: an end, an error, a row in several packets.
    payload = packets.next()
    if payload[0] == _END and len(payload) < 9:
        _note_end(payload, end)
        return []
    return [payload, *packets.arrived(BATCH_ROWS - 1, BATCH_BYTES - len(payload))]


def read_texts(packets: Packets) -> tuple[list[tuple[str | None, ...]], int]:
    """Read a short answer whole; return its rows as texts, without column definitions, and the status bits.

    Raises:
        DriverError, OSError, PacketTooLargeError: as `Packets.next`.
        ValueError: it is no result set, or one of more than 250 columns.
    """
    first = packets.next()
    count = first[0]
    if len(first) != 1 or not count:
        raise ValueError("the answer is not a small result set")
    packets.skip(count + 1)  # the definitions and their end marker
    end = ResultEnd()
    return [row for batch in row_batches(packets, [text] * count, end) for row in batch], end.status


def has_more(status: int) -> bool:
    """Whether another result set follows, by these status bits."""
    return bool(status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS)


def _note_end(payload: bytes, end: ResultEnd) -> None:
    end.warnings, end.status = _TWO_SHORTS.unpack_from(payload, 1)
    end.reached = True


_BINARY_CHARACTER_SET = 63
_VECTOR = 242

_TYPE_NAMES: Mapping[int, str] = {
    FIELD_TYPE.DECIMAL: "decimal",
    FIELD_TYPE.NEWDECIMAL: "decimal",
    FIELD_TYPE.TINY: "tinyint",
    FIELD_TYPE.SHORT: "smallint",
    FIELD_TYPE.INT24: "mediumint",
    FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "bigint",
    FIELD_TYPE.FLOAT: "float",
    FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.NULL: "null",
    FIELD_TYPE.TIMESTAMP: "timestamp",
    FIELD_TYPE.DATE: "date",
    FIELD_TYPE.NEWDATE: "date",
    FIELD_TYPE.TIME: "time",
    FIELD_TYPE.DATETIME: "datetime",
    FIELD_TYPE.YEAR: "year",
    FIELD_TYPE.BIT: "bit",
    FIELD_TYPE.JSON: "json",
    FIELD_TYPE.ENUM: "enum",
    FIELD_TYPE.SET: "set",
    FIELD_TYPE.GEOMETRY: "geometry",
    _VECTOR: "vector",
}
_INTEGERS = frozenset(
    {
        FIELD_TYPE.TINY,
        FIELD_TYPE.SHORT,
        FIELD_TYPE.INT24,
        FIELD_TYPE.LONG,
        FIELD_TYPE.LONGLONG,
        FIELD_TYPE.YEAR,
    }
)
_FRACTIONS = frozenset({FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL, FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE})
_BLOBS = frozenset({FIELD_TYPE.BLOB, FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB})
_STRINGS = frozenset({FIELD_TYPE.STRING, FIELD_TYPE.VAR_STRING, FIELD_TYPE.VARCHAR}) | _BLOBS
_ALWAYS_BYTES = frozenset({FIELD_TYPE.BIT, FIELD_TYPE.GEOMETRY, _VECTOR})


def column_of(field: Field, *, latitude_first: bool = False) -> Column:
    """Return a column definition as the value that faces read.

    Args:
        latitude_first: whether the server writes the latitude of a geographic point first.
    """
    return Column(
        name=field.name,
        type_name=_type_name(field),
        numeric=field.type_code in _INTEGERS | _FRACTIONS or _is_one_bit(field),
        binary=_is_binary(field),
        latitude_first=latitude_first and field.type_code == FIELD_TYPE.GEOMETRY,
        origin=_origin(field) if field.origin[2] else ("", "", ""),
    )


def _origin(field: Field) -> tuple[str, str, str]:
    schema, table, column = (str(part, "utf-8", "backslashreplace") for part in field.origin)
    return schema, table, column


def decoder_of(field: Field, *, as_text: bool) -> Decoder:
    """Return the function that decodes a column's bytes.

    Args:
        as_text: keep the text that the server sent; binary columns stay bytes either way.
    """
    column = column_of(field)
    if column.binary:
        return bytes
    shown = _bit if _is_one_bit(field) else text
    read = reader_of(column)
    return shown if as_text or read is None else lambda raw: read(shown(raw))


def _is_binary(field: Field) -> bool:
    # JSON says binary although it is text in the connection's character set.
    is_bytes = field.type_code in _STRINGS and field.character_set == _BINARY_CHARACTER_SET
    return is_bytes or (field.type_code in _ALWAYS_BYTES and not _is_one_bit(field))


def _is_one_bit(field: Field) -> bool:
    return field.type_code == FIELD_TYPE.BIT and field.width == 1


def _bit(raw: bytes) -> str:
    return str(int.from_bytes(raw))


def _type_name(field: Field) -> str:
    code, flags = field.type_code, field.flags
    if code in _STRINGS:
        if flags & FLAG.ENUM:
            return "enum"
        if flags & FLAG.SET:
            return "set"
        binary = field.character_set == _BINARY_CHARACTER_SET
        if field.is_document and not binary:
            return "json"
        if code in _BLOBS:
            return "blob" if binary else "text"
        if code == FIELD_TYPE.STRING:
            return "binary" if binary else "char"
        return "varbinary" if binary else "varchar"
    name = _TYPE_NAMES.get(code, f"type {code}")
    return f"{name} unsigned" if flags & FLAG.UNSIGNED and code in _INTEGERS and code != FIELD_TYPE.YEAR else name
