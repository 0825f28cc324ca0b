"""Values of Python out of the texts that a server sent."""

import datetime as dt
from decimal import Decimal

import pytest

from safeconsole.cluster.engine import Column
from safeconsole.cluster.values import is_integer, typed_rows
from safeconsole.mysql.answers import Field, column_of, decoder_of


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("time", "838:59:59", dt.timedelta(hours=838, minutes=59, seconds=59)),
        ("time", "-00:30:00", dt.timedelta(minutes=-30)),
        ("time", "-838:59:59.000001", -dt.timedelta(hours=838, minutes=59, seconds=59, microseconds=1)),
        ("time", "10:00:00.5", dt.timedelta(hours=10, microseconds=500_000)),
        ("date", "2024-02-29", dt.date(2024, 2, 29)),
        ("date", "0000-00-00", "0000-00-00"),
        ("datetime", "9999-12-31 23:59:59.999999", dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)),
        ("timestamp", "2024-01-01 00:00:00.5", dt.datetime(2024, 1, 1, 0, 0, 0, 500_000)),
        ("datetime", "2024-00-10 00:00:00", "2024-00-10 00:00:00"),
        ("decimal", "0.00000000", Decimal("0E-8")),
        ("bigint unsigned", "18446744073709551615", 2**64 - 1),
        ("int unsigned", "00042", 42),
        ("year", "0000", 0),
        ("double", "1e15", 1e15),
        ("bit", "1", 1),
        ("varchar", "1", "1"),
        ("json", "1", "1"),
    ],
)
def test_a_text_is_read_as_its_column_says(kind, text, value):
    ((read, null),) = typed_rows([Column(name="a", type_name=kind)] * 2, [(text, None)])
    assert (read, type(read), null) == (value, type(value), None)


def test_what_is_no_text_stays_as_it_is():
    columns = [Column(name="a", type_name="int"), Column(name="b", type_name="bit", binary=True)]
    assert typed_rows(columns, [(7, b"\x05")]) == [(7, b"\x05")]
    assert [is_integer(column) for column in columns] == [True, False]


def bit(width):
    return Field(name="b", type_code=16, flags=32, character_set=63, width=width)


def test_a_single_bit_is_a_number_and_several_are_bytes():
    column = column_of(bit(1))
    assert (column.type_name, column.numeric, column.binary) == ("bit", True, False)
    assert [decoder_of(bit(1), as_text=as_text)(b"\x01") for as_text in (True, False)] == ["1", 1]
    assert column_of(bit(8)).binary
    assert decoder_of(bit(8), as_text=True)(b"\x05") == b"\x05"


def test_only_a_geometry_has_a_latitude():
    geometry = Field(name="g", type_code=255, flags=128, character_set=63)
    assert column_of(geometry, latitude_first=True).latitude_first
    assert not column_of(geometry).latitude_first
    assert not column_of(bit(1), latitude_first=True).latitude_first
