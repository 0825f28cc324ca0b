"""What a parameter becomes in the text of a statement."""

import datetime as dt
import enum
import sqlite3
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.python.dbapi import DataError, ProgrammingError
from safeconsole.python.dbapi import literal

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90_704)
PLAIN = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101_100, no_backslash_escapes=True)
SQLITE = LexicalRules(dialect=DIALECTS[Flavour.SQLITE])

EXACT = [
    (None, "NULL"),
    (True, "1"),
    (-5, "-5"),
    (1.5, "1.5e0"),
    (1e300, "1e+300"),
    (Decimal("1E+2"), "100"),
    (Decimal("-0.10"), "-0.10"),
    ("it's", "'it''s'"),
    ("a\\", "'a\\\\'"),
    ("a\0b", "'a\\0b'"),
    (b"\x00'", "_binary x'0027'"),
    (b"", "_binary x''"),
    (dt.date(5, 1, 2), "'0005-01-02'"),
    (dt.datetime(2020, 1, 2, 3, 4, 5), "'2020-01-02 03:04:05'"),
    (dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC), "'2020-01-02 03:04:05.000006'"),
    (dt.time(1, 2), "'01:02:00'"),
    (dt.timedelta(days=2, seconds=1), "'48:00:01'"),
    (-dt.timedelta(seconds=1, microseconds=5), "'-00:00:01.000005'"),
    ([1, "x", None], "(1, 'x', NULL)"),
    (((1, 2), (3, 4)), "((1, 2), (3, 4))"),
]


@pytest.mark.parametrize(("value", "text"), EXACT, ids=[repr(value) for value, _ in EXACT])
def test_a_value_is_written_exactly(value, text):
    assert literal(value, MYSQL) == text


def test_a_backslash_is_written_as_bytes_where_there_are_no_escapes():
    assert literal("a\\'", PLAIN) == "_utf8mb4 x'615c27'"
    assert literal("a'", PLAIN) == "'a'''"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("1E+1000000"), "\ud800"])
def test_what_has_no_exact_literal_is_an_error(value):
    with pytest.raises(DataError):
        literal(value, MYSQL)


@pytest.mark.parametrize("value", [object(), {"a": 1}, [], [1, []], 1j])
def test_what_has_no_literal_at_all_is_an_error(value):
    with pytest.raises(ProgrammingError):
        literal(value, MYSQL)


def test_subclasses_cannot_write_themselves():
    class Sly(str):
        def __str__(self):
            return "x' OR '1'='1"

        def replace(self, *_):
            return self

    class Number(enum.IntEnum):
        ONE = 1

    assert literal(Sly("a'b"), MYSQL) == "'a''b'"
    assert literal(Number.ONE, MYSQL) == "1"


def test_numbers_and_moments_of_other_libraries():
    class NotATime(dt.datetime):
        def __ne__(self, other):
            return True

    assert literal(Fraction(1, 2), MYSQL) == "0.5e0"
    with pytest.raises(DataError):
        literal(NotATime(2020, 1, 1), MYSQL)


@given(st.text())
def test_any_text_is_one_string_whatever_the_mode(text):
    """Read by the mode it was written for, and by the other one: no text ends its own literal early."""
    for written in (MYSQL, PLAIN):
        found = literal(text, written)
        kinds = [token.kind for token in tokens(f"SELECT {found}, 1", MYSQL)]
        assert kinds.count(TokenKind.STRING) == 1
        assert kinds[-1] is TokenKind.NUMBER
    kinds = [token.kind for token in tokens(f"SELECT {literal(text, MYSQL)}, 1", PLAIN)]
    assert kinds.count(TokenKind.STRING) == 1


@given(st.one_of(st.text(), st.binary(), st.integers(-(2**63), 2**63 - 1), st.none()))
def test_sqlite_reads_back_what_was_written(value):
    with sqlite3.connect(":memory:") as sqlite:
        assert sqlite.execute(f"SELECT {literal(value, SQLITE)}").fetchone() == (value,)
    sqlite.close()
