import csv
import datetime as dt
import io
import json
import subprocess
import sys
import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.cluster.engine import Column
from safeconsole.output.formats import render, writer_for
from safeconsole.output.text import FORMATS
from safeconsole.output.formats import unique_names
from safeconsole.output.text import PLAIN, StreamStyle

COLUMNS = (
    Column(name="id", numeric=True),
    Column(name="name"),
    Column(name="name"),
    Column(name="photo", binary=True),
    Column(name="total", numeric=True),
    Column(name="at"),
)
ROWS = (
    (1, "Zoë 日本", "a\tb\\c", b"\x00\x01", Decimal("12.50"), dt.datetime(2023, 11, 7, 11, 49)),
    (220, None, 'evil \x1b]0;x\x07 <b>|"quoted", NULL', b"x" * 40, Decimal("-0.10"), dt.timedelta(hours=-30)),
    (3, "", "two\nlines", None, None, None),
)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_writes_what_its_golden_text_says(name, golden):
    golden(f"format.{name}.txt", render(COLUMNS, ROWS, name))


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_result_still_has_its_shape(name, golden):
    golden(f"empty.{name}.txt", render(COLUMNS, (), name))


def test_a_decorated_table_matches_its_golden_text(golden):
    golden(
        "format.decorated.txt",
        render(COLUMNS[:2], [row[:2] for row in ROWS], "table", StreamStyle(terminal=True, decorated=True, columns=80)),
    )


@pytest.mark.parametrize("name", FORMATS)
def test_on_a_terminal_no_format_lets_data_drive_it(name):
    hostile = "\x1b[2J\x9b31m\x07\r\u202e"
    text = render((hostile,), ((hostile,),), name, StreamStyle(terminal=True, columns=80))
    assert not set(text) & set(hostile.replace("[2J", "").replace("31m", ""))


def test_rows_wider_than_the_terminal_turn_vertical():
    row = ("x" * 50, "y" * 50)
    assert "1. row" in render(("a", "b"), (row,), "table", StreamStyle(terminal=True, columns=80))
    assert "1. row" not in render(("a", "b"), (row,), "table", StreamStyle(terminal=True, columns=120))
    assert "1. row" not in render(("a", "b"), (row,), "table", PLAIN)


@pytest.mark.parametrize("decorated", [False, True])
def test_a_table_that_just_fits_is_not_turned(decorated):
    text = render(
        ("a", "b"), (("x" * 38, "y" * 37),), "table", StreamStyle(terminal=True, decorated=decorated, columns=80)
    )
    assert "row" not in text
    assert max(map(len, text.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())) <= 80


def test_rows_after_the_sample_stand_out_of_line_and_are_not_cut():
    stream = io.StringIO()
    writer = writer_for("table", (Column(name="a"),), stream)
    writer.rows([("x",)] * 1_000)
    assert stream.getvalue().count("\n") == 1_002
    writer.rows([("longer",)])
    writer.end()
    assert stream.getvalue().endswith("\nlonger\n")


def test_a_json_array_that_did_not_end_well_is_no_json():
    stream = io.StringIO()
    writer = writer_for("json", (Column(name="a"),), stream)
    writer.rows([(1,)])
    writer.abandon("stopped")
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_json_arrives_in_any_batches():
    stream = io.StringIO()
    writer = writer_for("json", (Column(name="a"),), stream)
    for batch in ([(1,), (2,)], [], [(3,)]):
        writer.rows(batch)
    writer.end()
    assert json.loads(stream.getvalue()) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_json_numbers_stay_numbers_and_bytes_are_hexadecimal():
    value = json.loads(render(COLUMNS, ROWS[:1], "jsonl"), parse_float=Decimal)
    assert value == {
        "id": 1, "name": "Zoë 日本", "name_2": "a\tb\\c", "photo": "0x0001", "total": Decimal("12.50"), "at": "2023-11-07 11:49:00",
    }  # fmt: skip


def test_json_survives_a_lone_surrogate():
    assert json.loads(render(("a",), (("x\ud800",),), "jsonl")) == {"a": "x\\ud800"}


def test_names_that_repeat_are_made_different():
    assert unique_names(["a", "a", "a_2", "a"]) == ("a", "a_3", "a_2", "a_4")


cells = st.one_of(st.none(), st.integers(), st.text(alphabet=st.characters(exclude_categories=["Cs"])))


@given(st.lists(st.tuples(cells, cells)))
def test_csv_reads_back(rows):
    text = render(("a", "b"), rows, "csv")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[1:] == [["" if value is None else str(value) for value in row] for row in rows]


@given(st.lists(st.tuples(cells, cells)))
def test_tsv_reads_back(rows):
    lines = render(("a", "b"), rows, "tsv").split("\n")[1:-1]
    assert [tuple(map(_untsv, line.split("\t"))) for line in lines] == [
        tuple(None if value is None else str(value) for value in row) for row in rows
    ]


def _untsv(cell):
    if cell == "\\N":
        return None
    escapes = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r", "0": "\0"}
    parts = iter(cell)
    return "".join(escapes[next(parts)] if part == "\\" else part for part in parts)


@given(st.lists(st.tuples(cells, cells)))
def test_json_reads_back(rows):
    assert json.loads(render(("a", "b"), rows, "json")) == [{"a": a, "b": b} for a, b in rows]


@pytest.mark.parametrize("name", FORMATS)
def test_a_long_result_costs_constant_memory(name):
    class Sink(io.TextIOBase):
        def write(self, text):
            return len(text)

    batch = [(number, "x" * 20) for number in range(2_000)]
    writer = writer_for(name, (Column(name="a", numeric=True), Column(name="b")), Sink())
    writer.rows(batch)
    tracemalloc.start()
    for _ in range(20):
        writer.rows(batch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    writer.end()
    assert peak < 2_000_000


def test_an_export_imports_no_terminal_library():
    program = (
        "import io, sys\n"
        "from safeconsole.output.presenting import ResultPrinter\n"
        "from safeconsole.output.evidence import error_text\n"
        "from safeconsole.output.confirming import terminal_confirmer\n"
        "from safeconsole.output.formats import render, FORMATS\n"
        "for name in FORMATS: render(('a',), ((1,), ('x',)), name)\n"
        "print([name for name in ('rich', 'prompt_toolkit', 'click', 'sqlglot') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_format_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown format 'xml': one of table, vertical"):
        render(("a",), (), "xml")


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.tuples(*[st.none() | st.text(st.sampled_from('a",\n\r \0é1'), max_size=4)] * width), max_size=5
        )
    )
)
def test_csv_of_texts_is_what_the_csv_module_writes(rows):
    columns = [Column(name=f"c{at}") for at in range(len(rows[0]) if rows else 2)]
    ours, line = io.StringIO(), io.StringIO()
    writer = writer_for("csv", columns, ours)
    writer.rows(rows)
    expected = io.StringIO()
    # Lines end with a newline alone, but a return is quoted as where returns end lines.
    for row in [tuple(column.name for column in columns), *rows]:
        line = io.StringIO()
        csv.writer(line).writerow(row)
        expected.write(line.getvalue().removesuffix("\r\n") + "\n")
    assert ours.getvalue() == expected.getvalue()
