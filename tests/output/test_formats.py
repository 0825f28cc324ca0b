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
from safeconsole.output.text import unique_names
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
def test_csv_of_texts_is_what_the_csv_module_writes_but_for_null_and_nothing(rows):
    columns = [Column(name=f"c{at}") for at in range(len(rows[0]) if rows else 2)]
    ours = io.StringIO()
    writer = writer_for("csv", columns, ours)
    writer.rows(rows)
    expected = io.StringIO()
    # Lines end with a newline alone, but a return is quoted as where returns end lines.
    for row in [tuple(column.name for column in columns), *rows]:
        line = io.StringIO()
        csv.writer(line).writerow(["<null>" if value is None else value or "<nothing>" for value in row])
        expected.write(line.getvalue().removesuffix("\r\n") + "\n")
    text = expected.getvalue().replace("<null>", "" if len(columns) > 1 else "\\N").replace("<nothing>", '""')
    assert ours.getvalue() == text


def csv_of(rows, null=None):
    stream = io.StringIO()
    writer = writer_for("csv", [Column(name=f"c{at}") for at in range(len(rows[0]))], stream, null=null)
    writer.rows(rows)
    return stream.getvalue().partition("\n")[2]


def test_in_csv_null_is_nothing_and_an_empty_text_is_two_quotes():
    assert csv_of([(None, "", "a"), ("b", None, "")]) == ',"",a\nb,,""\n'
    assert csv_of([(None, "a,b"), (1, None)]) == ',"a,b"\n1,\n'


def test_in_csv_of_one_column_null_is_no_empty_line():
    assert csv_of([(None,), ("",), ("\\N",), ("a",)]) == '\\N\n""\n"\\N"\na\n'


def test_in_csv_a_value_that_reads_as_null_is_quoted():
    assert csv_of([(None, "NULL"), ("", "x")], null="NULL") == 'NULL,"NULL"\n,x\n'
    assert csv_of([(None,), ("",)], null="") == '\n""\n'


plain = st.text(st.sampled_from('aN\\",\n\r '), max_size=3)


@given(st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[st.none() | plain] * width), min_size=1, max_size=5)),
       st.sampled_from([None, "", "N", "\\N", "a"]))  # fmt: skip
def test_a_reader_of_csv_tells_null_from_every_text(rows, null):
    """Read by the rule of PostgreSQL: without quotes the word of NULL is NULL, in quotes it is a text."""
    word = null if null is not None else "\\N" if len(rows[0]) == 1 else ""
    read, cell, quoted, was_quoted, line = [], "", False, False, []
    for character in csv_of(rows, null):
        if character == '"':
            cell += '"' if not quoted and was_quoted else ""
            quoted, was_quoted = not quoted, True
        elif character in ",\n" and not quoted:
            line.append(None if cell == word and not was_quoted else cell)
            cell, was_quoted = "", False
            if character == "\n":
                read.append(tuple(line))
                line = []
        else:
            cell += character
    assert read == rows


NUMBERS = (
    ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
    ("int", "00042", "42"),
    ("int", "0000000000", "0"),
    ("year", "0000", "0"),
    ("decimal", "0.00000000", "0.00000000"),
    ("decimal", "-0007.50", "-7.50"),
    ("decimal", "9" * 65, "9" * 65),
    ("double", "1e15", "1e15"),
    ("double", "-1.7976931348623157e308", "-1.7976931348623157e308"),
    ("float", "0.1", "0.1"),
)


@pytest.mark.parametrize(("kind", "text", "number"), NUMBERS)
def test_a_number_has_the_servers_own_digits_in_every_format(kind, text, number):
    column = Column(name="n", type_name=kind, numeric=True)
    assert render((column,), ((text,),), "jsonl") == f'{{"n":{number}}}\n'
    for name in FORMATS:
        assert (number if name.startswith("json") else text) in render((column,), ((text,),), name)


def test_a_column_that_is_only_aligned_as_numbers_stays_text_in_json():
    assert render((Column(name="n", numeric=True),), (("12",),), "jsonl") == '{"n":"12"}\n'


def test_a_json_column_is_nested_and_nothing_of_it_changes():
    column = Column(name="d", type_name="json")
    document = '{"a": [1.0, 12345678901234567890], "a": null, "é": "\\u0007"}'
    assert render((column,), ((document,), (None,), ("no document",)), "jsonl").splitlines() == [
        f'{{"d":{document}}}',
        '{"d":null}',
        '{"d":"no document"}',
    ]


def test_a_decimal_of_the_consoles_own_has_no_exponent():
    assert "0.00000000" in render(("d",), ((Decimal("0E-8"),),), "table")


@given(st.lists(st.tuples(*[st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4)] * 3), min_size=1))
def test_a_table_of_plain_texts_is_written_as_beside_a_null(rows):
    columns = [Column(name="a"), Column(name="b", numeric=True), Column(name="c")]
    alone = render(columns, rows, "table").splitlines()
    beside = render(columns, [*rows, (None, None, None)], "table").splitlines()
    assert alone == beside[:-1]
