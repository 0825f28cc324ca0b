"""Columns of a result: their words, their values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from decimal import Decimal

from pymysql.constants import FIELD_TYPE, FLAG
from pymysql.converters import convert_date, convert_datetime

from safeconsole.adapters.mysql.answers import Field
from safeconsole.adapters.mysql.rows import Decoder, text
from safeconsole.interfaces import Column

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


def column_of(field: Field) -> Column:
    """Return what a face needs to know of a column."""
    return Column(
        name=field.name,
        type_name=_type_name(field),
        numeric=field.type_code in _INTEGERS | _FRACTIONS,
        binary=_is_binary(field),
    )


def decoder_of(field: Field, *, as_text: bool) -> Decoder:
    """
    Return what turns a column's bytes into its value.

    Args:
        as_text: keep the text that the server sent; binary columns stay bytes either way.
    """
    if _is_binary(field):
        return bytes
    if as_text:
        return text
    return _DECODERS.get(field.type_code, text)


def _is_binary(field: Field) -> bool:
    # JSON says binary although it is text in the connection's character set.
    is_bytes = field.type_code in _STRINGS and field.character_set == _BINARY_CHARACTER_SET
    return is_bytes or field.type_code in _ALWAYS_BYTES


def _type_name(field: Field) -> str:
    code, flags = field.type_code, field.flags
    if code in _STRINGS:
        if flags & FLAG.ENUM:
            return "enum"
        if flags & FLAG.SET:
            return "set"
        binary = field.character_set == _BINARY_CHARACTER_SET
        if code in _BLOBS:
            return "blob" if binary else "text"
        if code == FIELD_TYPE.STRING:
            return "binary" if binary else "char"
        return "varbinary" if binary else "varchar"
    name = _TYPE_NAMES.get(code, f"type {code}")
    return f"{name} unsigned" if flags & FLAG.UNSIGNED and code in _INTEGERS and code != FIELD_TYPE.YEAR else name


def _time(raw: bytes) -> time | str:
    """Return a time of day, or the server's text where it is a span (838:59:59, -01:00:00)."""
    shown = raw.decode("ascii")
    try:
        return time.fromisoformat(shown)
    except ValueError:
        return shown


def _date(raw: bytes) -> object:
    # Zero dates stay the server's text.
    return convert_date(raw.decode("ascii"))


def _datetime(raw: bytes) -> object:
    return convert_datetime(raw.decode("ascii"))


def _decimal(raw: bytes) -> Decimal:
    return Decimal(raw.decode("ascii"))


_DECODERS: Mapping[int, Decoder] = {
    **dict.fromkeys(_INTEGERS, int),
    FIELD_TYPE.DECIMAL: _decimal,
    FIELD_TYPE.NEWDECIMAL: _decimal,
    FIELD_TYPE.FLOAT: float,
    FIELD_TYPE.DOUBLE: float,
    FIELD_TYPE.DATE: _date,
    FIELD_TYPE.NEWDATE: _date,
    FIELD_TYPE.DATETIME: _datetime,
    FIELD_TYPE.TIMESTAMP: _datetime,
    FIELD_TYPE.TIME: _time,
}
