"""JSON and geometry for a person: nothing is lost, nothing is rounded, nothing drives the terminal."""

import io
import json
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.cluster.engine import Column
from safeconsole.output.formats import writer_for
from safeconsole.output.tables import SHOWN_CHARACTERS, geometry_text
from safeconsole.output.tables import coloured, is_document, pretty
from safeconsole.output.text import StreamStyle

COLOUR = re.compile(r"\x1b\[\d+m")
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict | list))


@given(documents)
def test_a_document_is_the_same_in_many_lines(document):
    text = json.dumps(document)
    assert is_document(text)
    lines = pretty(text)
    assert json.loads("\n".join(lines)) == document
    assert COLOUR.sub("", "\n".join(map(coloured, lines))) == "\n".join(lines)


@pytest.mark.parametrize("number", ["1.10", "12345678901234567890.5", "1E400", "-0.0"])
def test_numbers_stay_as_the_server_wrote_them(number):
    assert number in "".join(pretty(f'{{"a": {number}}}'))


def test_a_doubled_name_is_shown_twice():
    assert pretty('{"a": 1, "a": 2}') == ['{"a": 1, "a": 2}']


def test_a_wide_document_has_a_thing_a_line():
    assert pretty('{"name": "ada", "tags": ["a", "b"], "inner": {"on": true, "deep": [{"x": null}]}}') == [
        "{",
        '  "name": "ada",',
        '  "tags": ["a", "b"],',
        '  "inner": {',
        '    "on": true,',
        '    "deep": [',
        '      {"x": null}',
        "    ]",
        "  }",
        "}",
    ]


@pytest.mark.parametrize(
    "text", ["", "1", '"a"', "{", "[1,]", "{'a': 1}", '{"a":\n1}', "[" * 5000, "[" + "1," * 60_000]
)
def test_what_is_no_document_on_one_line_is_left_alone(text):
    assert not is_document(text)


@pytest.mark.parametrize("decorated", [True, False])
def test_a_vertical_row_shows_documents_and_drives_no_terminal(decorated):
    stream = io.StringIO()
    style = StreamStyle(terminal=True, decorated=decorated, columns=80)
    writer = writer_for("vertical", (Column(name="doc", type_name="json"),), stream, style)
    # Turns the reading direction round, and JSON allows it.
    writer.rows([(json.dumps({"a": ["\u202e"] * 9, "b": 1}, ensure_ascii=False),)])
    assert "\u202e" not in stream.getvalue()
    assert "\\u202e" in stream.getvalue()
    assert ("\x1b[36m" in stream.getvalue()) is decorated


def test_a_file_gets_the_document_as_it_came():
    stream = io.StringIO()
    writer_for("csv", (Column(name="id"), Column(name="doc", type_name="json")), stream).rows([("1", '{"a": [1.10]}')])
    assert stream.getvalue() == 'id,doc\n1,"{""a"": [1.10]}"\n'


def wkb(kind, content, order="<"):
    return bytes([1 if order == "<" else 0]) + struct.pack(f"{order}I", kind) + content


POINT = wkb(1, struct.pack("<2d", 1, 2.5))
LINE = struct.pack("<I4d", 2, 0, 0, 1, 1)
GEOMETRIES = [
    (POINT, "POINT(1 2.5)"),
    (wkb(1, struct.pack(">2d", 1, 2.5), ">"), "POINT(1 2.5)"),
    (wkb(2, LINE), "LINESTRING(0 0,1 1)"),
    (wkb(3, struct.pack("<I", 2) + LINE + LINE), "POLYGON((0 0,1 1),(0 0,1 1))"),
    (wkb(4, struct.pack("<I", 2) + POINT + POINT), "MULTIPOINT((1 2.5),(1 2.5))"),
    (wkb(5, struct.pack("<I", 1) + wkb(2, LINE)), "MULTILINESTRING((0 0,1 1))"),
    (wkb(7, struct.pack("<I", 2) + POINT + wkb(2, LINE)), "GEOMETRYCOLLECTION(POINT(1 2.5),LINESTRING(0 0,1 1))"),
    (wkb(7, struct.pack("<I", 0)), "GEOMETRYCOLLECTION EMPTY"),
]


@pytest.mark.parametrize(("binary", "text"), GEOMETRIES, ids=[text for _, text in GEOMETRIES])
def test_a_geometry_is_written_as_people_write_it(binary, text):
    assert geometry_text(struct.pack("<I", 0) + binary) == text
    assert geometry_text(struct.pack("<I", 4326) + binary) == f"SRID=4326;{text}"


@given(st.binary(max_size=60) | st.sampled_from([binary for binary, _ in GEOMETRIES]).map(lambda each: each[:-1]))
def test_what_is_no_geometry_is_none(value):
    found = geometry_text(value)
    assert found is None or "(" in found or "EMPTY" in found
    assert geometry_text(struct.pack("<I", 0) + POINT[:-1]) is None


def test_a_geometry_that_says_to_hold_more_than_it_does_is_none():
    assert geometry_text(struct.pack("<I", 0) + wkb(2, struct.pack("<I", 2**31))) is None
    nested = POINT
    for _ in range(40):
        nested = wkb(7, struct.pack("<I", 1) + nested)
    assert geometry_text(struct.pack("<I", 0) + nested) is None


def test_a_long_geometry_is_cut_for_a_person():
    long = wkb(2, struct.pack("<I", 500) + struct.pack("<1000d", *range(1000)))
    text = geometry_text(struct.pack("<I", 0) + long)
    assert text.endswith("… (8,013 bytes)")
    assert len(text) < SHOWN_CHARACTERS + 30


def test_a_table_shows_a_geometry_and_a_file_its_bytes():
    column, value, shown = Column(name="g", type_name="geometry", binary=True), struct.pack("<I", 0) + POINT, {}
    for name in ("table", "vertical", "csv"):
        stream = io.StringIO()
        writer = writer_for(name, (column,), stream)
        writer.rows([(value,), (None,)])
        writer.end()
        shown[name] = stream.getvalue()
    assert "POINT(1 2.5)" in shown["table"]
    assert "POINT(1 2.5)" in shown["vertical"]
    assert f"0x{value.hex()}" in shown["csv"]
