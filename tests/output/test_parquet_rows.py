"""Parquet files hold what the server said, or are not made."""

import datetime as dt
import gc
import io
from decimal import Decimal

import pytest

pq = pytest.importorskip("pyarrow.parquet")

from safeconsole.errors import ConfigurationError
from safeconsole.cluster.engine import Column

from safeconsole.output.formats import writer_for
from safeconsole.output import parquet as parquet_rows

COLUMNS = (
    Column(name="id", type_name="bigint unsigned", numeric=True),
    Column(name="n", type_name="int", numeric=True),
    Column(name="total", type_name="decimal", numeric=True),
    Column(name="at", type_name="datetime"),
    Column(name="day", type_name="date"),
    Column(name="span", type_name="time"),
    Column(name="photo", type_name="blob", binary=True),
    Column(name="name", type_name="varchar"),
    Column(name="name", type_name="json"),
    Column(name="ratio", type_name="double", numeric=True),
)
ROWS = [
    (2**64 - 1, -5, Decimal("12.50"), dt.datetime(2023, 11, 7, 11, 49, 0, 5), dt.date(2023, 11, 7), "838:59:59",
     b"\x00\xff", "Zoë", '{"a": 1}', 0.5),
    (0, None, Decimal("-99999999999999999999999999999.01"), None, None, dt.time(1, 2, 3), None, "", None, None),
]  # fmt: skip


def written(columns, *batches, end=True):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    writer = writer_for("parquet", columns, stream)
    for batch in batches:
        writer.rows(batch)
    writer.end() if end else writer.abandon("stopped")
    stream.detach()
    return raw


def test_every_value_reads_back_as_it_was():
    table = pq.read_table(io.BytesIO(written(COLUMNS, ROWS[:1], ROWS[1:]).getvalue()))
    assert table.column_names == ["id", "n", "total", "at", "day", "span", "photo", "name", "name_2", "ratio"]
    read = [tuple(row.values()) for row in table.to_pylist()]
    assert read == [ROWS[0], (*ROWS[1][:5], "01:02:03", *ROWS[1][6:])]


def test_a_result_without_rows_is_a_file_with_columns():
    table = pq.read_table(io.BytesIO(written(COLUMNS).getvalue()))
    assert (table.num_rows, len(table.column_names)) == (0, 10)


def test_many_rows_are_written_in_groups(monkeypatch):
    monkeypatch.setattr(parquet_rows, "GROUP_ROWS", 10)
    raw = written((Column(name="n", type_name="int"),), *[[(n,)] for n in range(35)])
    file = pq.ParquetFile(io.BytesIO(raw.getvalue()))
    assert (file.num_row_groups, file.metadata.num_rows) == (4, 35)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [("date", "0000-00-00"), ("datetime", "2024-00-00 00:00:00"), ("bigint", 2**64), ("decimal", "x")],
)
def test_what_does_not_fit_is_refused_in_words_and_leaves_no_whole_file(type_name, value):
    with pytest.raises(ConfigurationError, match="column strange") as caught:
        written((Column(name="strange", type_name=type_name),), [(value,)])
    assert ".jsonl" in caught.value.instead
    gc.collect()


def test_a_file_that_was_given_up_cannot_be_read(monkeypatch):
    monkeypatch.setattr(parquet_rows, "GROUP_ROWS", 1)
    raw = written((Column(name="n", type_name="int"),), [(1,)], end=False)
    gc.collect()
    with pytest.raises((OSError, ValueError)):
        pq.read_table(io.BytesIO(raw.getvalue()))
