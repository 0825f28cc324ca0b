"""Rows decoded by the C driver are the rows that Python decodes, and whatever it does not take is decoded in Python."""

import subprocess
import sys
import tempfile
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql import err


from safeconsole.mysql.answers import Field, ResultEnd, row_batches
from safeconsole.mysql.c_rows import LONG_RESULT_ROWS, CRows
from safeconsole.mysql.answers import decoder_of
from safeconsole.mysql.protocol import PacketTooLargeError
from tests.mysql.test_packets import EOF, NUMBER, TEXT, framed, lenenc, packets_of
from safeconsole.mysql import c_rows

pytest.importorskip("MySQLdb", reason="mysqlclient, the extra `fast`, is not installed")

BYTES = Field(name="b", type_code=252, flags=0, character_set=63)
WHEN = Field(name="w", type_code=12, flags=0, character_set=63)
AMOUNT = Field(name="a", type_code=246, flags=0, character_set=63)
FIELDS = (TEXT, BYTES, NUMBER, WHEN, AMOUNT)

nullable = lambda strategy: st.one_of(st.none(), strategy)
cells = {
    TEXT: nullable(st.one_of(st.text(max_size=300).map(str.encode), st.just("🜚ü".encode() * 9_000))),
    BYTES: nullable(st.binary(max_size=300)),
    NUMBER: nullable(st.integers(-(2**63), 2**64 - 1).map(lambda value: str(value).encode())),
    WHEN: nullable(st.datetimes().map(lambda value: str(value).encode())),
    AMOUNT: nullable(st.decimals(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:f}".encode())),
}
tables = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=6).flatmap(
    lambda fields: st.tuples(
        st.just(fields), st.lists(st.tuples(*[cells[field] for field in fields]), min_size=1, max_size=30)
    )
)


def taken(data, decoders, *, sizes=(65_536,), from_row=0):
    """Rows of a stream, decoded by C from some row on, and the bytes that counted."""
    packets, end, found = packets_of(data, sizes), ResultEnd(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(c_rows, "LONG_RESULT_ROWS", from_row)
        found = [row for batch in row_batches(packets, decoders, end) for row in batch]
    assert end.reached
    return found, packets.taken_bytes


@settings(max_examples=60, deadline=None)
@given(tables, st.lists(st.integers(1, 70_000), min_size=1, max_size=4), st.booleans(), st.integers(0, 9))
def test_rows_are_the_same_however_they_are_decoded(table, sizes, as_text, from_row):
    fields, rows = table
    decoders = [decoder_of(field, as_text=as_text) for field in fields]
    data = framed(*(b"".join(map(lenenc, row)) for row in rows), EOF)
    in_python = taken(data, decoders, sizes=sizes, from_row=10**9)
    assert taken(data, decoders, sizes=sizes, from_row=from_row) == in_python


def driven(decoders):
    """What decodes a result whose first rows have passed."""
    return CRows(decoders, passed_rows=LONG_RESULT_ROWS)


def test_the_driver_decodes_what_follows_a_long_results_first_rows():
    packets = packets_of(framed(*[lenenc(b"abc") + lenenc(None)] * 5_000, EOF))
    rows = driven([decoder_of(TEXT, as_text=True)] * 2)
    found = []
    while batch := rows.next(packets):
        # A tuple comes from the driver, a list from Python.
        assert type(batch) is tuple
        found += batch
    assert found == [("abc", None)] * 5_000
    rows.close()


def test_a_row_too_large_for_it_is_passed_by():
    large, small = lenenc(b"y" * 200_000), lenenc(b"abc")
    data = framed(*[small] * 3, large, large, *[small] * 300, EOF)
    kinds = []
    packets = packets_of(data)
    rows = driven([decoder_of(TEXT, as_text=True)])
    while True:
        batch = rows.next(packets)
        if batch:
            kinds.append(len(batch))
            continue
        if packets.next() == EOF:
            break
        kinds.append("large")
    assert kinds[:3] == [3, "large", "large"]
    assert sum(kinds[3:]) == 300
    rows.close()


def test_what_is_no_text_is_decoded_in_python_and_so_is_the_rest():
    rows = [b"abc", b"a\xffb", b"def"]
    data = framed(*map(lenenc, rows), EOF)
    found, _ = taken(data, [decoder_of(TEXT, as_text=True)])
    assert found == [("abc",), ("a\\xffb",), ("def",)]


def test_three_hundred_columns_pass():
    row = [str(at).encode() for at in range(300)]
    decoders = [decoder_of(TEXT, as_text=True)] * 300
    packets = packets_of(framed(*[b"".join(map(lenenc, row))] * 3, EOF))
    rows = driven(decoders)
    batch = rows.next(packets)
    assert type(batch) is tuple
    assert batch == (tuple(map(str, range(300))),) * 3
    rows.close()


@pytest.mark.parametrize("size", [1_001, 70_000])
def test_a_packet_over_the_ceiling_is_not_taken_in(size):
    packets = packets_of(framed(lenenc(b"x"), b"x" * size), ceiling_bytes=1_000)
    rows = driven([decoder_of(TEXT, as_text=True)])
    assert len(rows.next(packets)) == 1
    assert not rows.next(packets)
    with pytest.raises(PacketTooLargeError):
        packets.next()
    rows.close()


def test_a_connection_that_ends_between_rows_is_lost():
    packets = packets_of(framed(lenenc(b"abc"))[:-1])
    rows = driven([decoder_of(TEXT, as_text=True)])
    with pytest.raises(err.OperationalError):
        rows.next(packets)
    rows.close()


def test_letting_go_in_the_middle_waits_for_nothing_and_leaves_nothing():
    threads = threading.active_count()
    rows = driven([decoder_of(TEXT, as_text=True)])
    assert rows.next(packets_of(framed(*[lenenc(b"abc")] * 10)))
    rows.close()
    assert threading.active_count() == threads
    assert rows.next(packets_of(framed(lenenc(b"abc")))) == ()


def test_where_the_driver_cannot_be_reached_python_decodes(tmp_path, monkeypatch):
    # The path of a socket is at most some hundred bytes long.
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    rows = driven([decoder_of(TEXT, as_text=True)])
    assert rows.next(packets_of(framed(lenenc(b"abc"), lenenc(b"def")))) == [("abc",), ("def",)]
    assert rows.next(packets_of(framed(lenenc(b"abc")))) == ()
    assert not list(deep.iterdir())


def test_the_drivers_end_is_not_held_by_what_it_cannot_decode():
    """A row whose lengths do not add up is refused in C as it is in Python."""
    packets = packets_of(framed(b"\x05ab", EOF))
    rows = driven([decoder_of(NUMBER, as_text=False)])
    with pytest.raises((ValueError, IndexError)):
        rows.next(packets)


PROGRAM = """
import sys
{before}
from safeconsole.mysql.answers import ResultEnd, row_batches
from safeconsole.mysql.protocol import Packets
from safeconsole.mysql.protocol import text
row = b"\\x04\\x00\\x00\\x00\\x03abc"
pieces = iter([row * {rows}, b"\\x05\\x00\\x00\\x00\\xfe\\0\\0\\2\\0"])
packets = Packets(lambda _: next(pieces), ceiling_bytes=10**6)
print(sum(len(batch) for batch in row_batches(packets, [text], ResultEnd())), bool(sys.modules.get("MySQLdb")))
"""


@pytest.mark.parametrize(
    ("rows", "before", "imported"),
    [
        (5_000, "", False),
        (100_000, "", True),
        (100_000, "sys.modules['MySQLdb'] = None", False),
    ],
    ids=["a short result", "a long one", "a long one without the driver"],
)
def test_only_a_long_result_imports_the_driver_and_none_needs_it(rows, before, imported):
    text = PROGRAM.format(rows=rows, before=before)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(rows), str(imported)]
