"""What is remembered of one text must hold for every text of its shape."""

from msgspec.structs import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.analysis import is_bound_by_key, is_shared, shape_of
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.clock import SystemClock
from safeconsole.config.policies import PolicyFiles
from safeconsole.session.cache import HELD, Cache, CacheKind

RULES = [
    LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90700),
    LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90700, ansi_quotes=True, no_backslash_escapes=True),
    LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101100),
    LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101100, oracle=True, pipes_as_concat=True),
    LexicalRules(dialect=DIALECTS[Flavour.SQLITE], version=0),
]
NUMBER, TEXT = "\u2460", "\u2461"
NUMBERS = st.integers(0, 10**18 - 1).map(str) | st.sampled_from(["0", "00", "1"])
INSIDE = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'\\"), max_size=12)
TEXTS = (INSIDE | st.sampled_from(["-- ", "/*", "*/", "#", ";", "mysql", "%", "a`b", '"', "/*!50000 x */"])).map(
    lambda inside: f"'{inside}'"
)
PIECES = st.sampled_from(
    "SELECT FROM WHERE AND OR NOT BETWEEN LIKE IN IS NULL LIMIT OFFSET UNION ALL JOIN ON AS ORDER BY GROUP HAVING WITH "
    "INTO FOR UPDATE CASE WHEN TRUE FALSE a b t orders shop mysql information_schema TABLES SLEEP COUNT ( ) ( ) , , . = "
    "= = < > <= >= <> != * + ` `a` `b c` '' ' \" -- # /* */ ; @x _utf8mb4 x N 1 7 1.5 1e3 0x1f 'a' 'b''c' 'd\\' \n".split(" ")
) | NUMBERS | TEXTS  # fmt: skip
SOUPS = st.lists(st.tuples(PIECES, st.sampled_from(["", " ", " ", "  ", "\n"])), min_size=2, max_size=24).map(
    lambda parts: "".join(piece + space for piece, space in parts)
)


BASELINE = PolicyFiles().load("baseline")


def remembering():
    return Cache(BASELINE, SystemClock())


@st.composite
def plain_reads(draw):
    """Reads as people and libraries write them."""
    value = draw(st.sampled_from(["7", "'x'", "'a b'", "12"]))
    template = draw(
        st.sampled_from(
            [
                "SELECT id FROM orders WHERE id = {0}",
                "SELECT * FROM `orders` WHERE `id`={0} AND status = {0} LIMIT 5",
                "SELECT COUNT(*) FROM shop.orders WHERE total >= {0} AND total < {0}",
                "SELECT a.id, b.x FROM a JOIN b ON a.id = b.a_id WHERE a.id IN ({0}, {0}, {0}) ORDER BY a.id LIMIT 3, 4",
                "SELECT id FROM orders WHERE id BETWEEN {0} AND {0} OR note LIKE {0}",
                "SELECT CONCAT(a, {0}) FROM t WHERE b <> {0}",
                "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_NAME LIKE {0} AND TABLE_SCHEMA = {0}",
                "SELECT id FROM (SELECT id FROM t WHERE x = {0}) AS d WHERE d.id = {0}",
            ]
        )
    )
    return template.format(value)


def variants(shape, data):
    """Another text of the same shape."""
    out = []
    for character in shape:
        out.append(data.draw(NUMBERS) if character == NUMBER else data.draw(TEXTS) if character == TEXT else character)
    return "".join(out)


@settings(max_examples=600, deadline=None)
@given(SOUPS | plain_reads(), st.sampled_from(RULES), st.data())
def test_all_texts_of_a_shape_are_analysed_alike(text, rules, data):
    body = text.strip(" \t\n\r")
    shape = shape_of(body)
    if not shape:
        return
    found = analyse(body, rules, schema="shop")
    other = variants(shape, data)
    again = analyse(other, rules, schema="shop")
    assert shape_of(other) == shape
    if len(found) == 1 and found[0].text == body and is_shared(found[0], rules):
        assert again == (replace(found[0], text=other),)


@settings(max_examples=300, deadline=None)
@given(SOUPS | plain_reads(), st.sampled_from(RULES), st.data())
def test_what_is_remembered_is_what_would_be_found(text, rules, data):
    """In every order, with every ending, and for texts that have no shape."""
    understanding = remembering()
    shape = shape_of(text.strip())
    texts = [text, f" {text};", variants(shape, data) if shape else text, text + "\x1c", text + ";;", text]
    for each in texts:
        understood = understanding.statements(each, rules, schema="shop")
        assert tuple(replace(one, shape="") for one in understood) == analyse(each, rules, schema="shop")


CASES = sorted((Path(__file__).parents[1] / "cases").glob("*/*.sql"))


def test_every_case_is_remembered_as_it_is_analysed():
    understanding = remembering()
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in CASES]
    assert len(texts) > 100
    for rules in RULES:
        for text in [*texts, *texts]:
            understood = understanding.statements(text, rules, schema="app")
            assert tuple(replace(one, shape="") for one in understood) == analyse(text, rules, schema="app")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 -- x", "SELECT 1 # x", "SELECT /* x */ 1", "SELECT /*! 1 */", 'SELECT "a"', "SELECT 'a\\'b'", "SELECT 'a''b'",
        "SELECT x'41'", "SELECT N'a'", "SELECT _utf8mb4'a'", "SELECT id FROM t WHERE a = 'x' 'y'", "SELECT @a", "SELECT 1; SELECT 2",
        "SELECT a FROM `b = 5`", "SELECT é", "SELECT `a``b`", "SELECT a FROM t WHERE b = 'é'", "SELECT ?",
        "SELECT id FROM t WHERE a = " + "1" * 20_000,
    ],
)  # fmt: skip
def test_what_is_not_plain_has_no_shape(text):
    assert shape_of(text) == ""


def test_numbers_that_are_more_than_digits_stay_as_they_are():
    """`1e3`, `1.5`, `0x1f` and names with digits in them are part of the shape."""
    text = "SELECT a1 FROM t2 WHERE a = 1e3 AND b = 1.5 AND c = 0x1f AND d = 12345678901234567890 AND t2.a = 1"
    assert shape_of(text) == text.removesuffix("1") + NUMBER


def test_a_shape_tells_numbers_from_texts():
    assert shape_of("SELECT a FROM t WHERE b = 7") != shape_of("SELECT a FROM t WHERE b = '7'")


def test_only_the_shapes_used_last_are_held():
    understanding = remembering()
    for number in range(HELD[CacheKind.ANALYSIS] * 2):
        understanding.statements(f"SELECT a{number} FROM t", RULES[0], schema="shop")
    assert len(understanding._held[CacheKind.ANALYSIS]) == HELD[CacheKind.ANALYSIS]


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("SELECT id, status FROM orders WHERE orders.id = 7", True),
        ("SELECT * FROM orders WHERE `id` = 7 AND status = 'paid' LIMIT 1", True),
        ("SELECT a.id FROM a JOIN b ON a.id = b.id WHERE a.id = 7 LIMIT 2, 3", True),
        ("SELECT id FROM orders WHERE id = 7 LIMIT 3 OFFSET 4", True),
        ("SELECT id FROM orders", True),
        ("SELECT id FROM orders WHERE id >= 7", False),
        ("SELECT id FROM orders WHERE id <= 7", False),
        ("SELECT id FROM orders WHERE id != 7", False),
        ("SELECT id FROM orders WHERE id IN (7)", False),
        ("SELECT id FROM orders WHERE id BETWEEN 7 AND 7", False),
        ("SELECT id FROM orders WHERE id = 7 OR 0 = 1", False),
        ("SELECT id FROM orders WHERE (id = 7) = 1", False),
        ("SELECT id FROM orders WHERE id = 7 = 1", False),
        ("SELECT id FROM orders WHERE id = 7 AND 1 = 1", False),
        ("SELECT id FROM orders WHERE id = 7 AND TRUE = 1", False),
        ("SELECT id FROM orders WHERE id = 7 UNION SELECT id FROM big WHERE FALSE = 1", False),
        ("SELECT id FROM orders WHERE id = 7 AND x = (SELECT y FROM z WHERE k = 5)", False),
        ("SELECT UPPER(status) FROM orders WHERE id = 7", False),
        ("SELECT id FROM orders WHERE NOT id = 7", False),
        ("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_NAME = 'a'", False),
        ("UPDATE orders SET status = 'x' WHERE id = 7", False),
    ],
)
def test_only_equality_with_values_is_bound_by_a_key(text, bound):
    (statement,) = remembering().statements(text, RULES[0], schema="shop")
    assert is_bound_by_key(statement) is bound
