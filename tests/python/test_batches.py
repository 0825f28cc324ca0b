"""An INSERT of many rows: the same rows as one by one, in few statements, each value one literal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens
from safeconsole.sqltext.vocabulary import Flavour

from safeconsole.python.dbapi import batches_of
from safeconsole.python.dbapi import Places, fill
from safeconsole.python import dbapi

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90700)
INSERT = "INSERT INTO orders (id, status) VALUES (%s, %s)"
VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=20), st.binary(max_size=9), st.booleans())


def texts(operation, rows, rules=RULES, places=Places.FORMAT):
    return list(batches_of(operation, rows, rules, places))


def test_many_rows_are_one_statement():
    assert texts(INSERT, [(1, "a"), (2, "b'c")]) == ["INSERT INTO orders (id, status) VALUES (1, 'a'),(2, 'b''c')"]


def test_named_places_and_what_follows_them():
    operation = "replace into `t` (a, b) values ( %(b)s , %(a)s ) ON DUPLICATE KEY UPDATE a = 1;"
    rows = [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert texts(operation, rows) == ["replace into `t` (a, b) values (NULL, 1),('x', 2) ON DUPLICATE KEY UPDATE a = 1"]


def test_no_rows_are_no_statement():
    assert texts(INSERT, []) == []


@pytest.mark.parametrize(
    "operation",
    [
        "UPDATE orders SET status = %s WHERE id = %s",
        "INSERT INTO orders (id, status) VALUES (%s, 'new')",
        "INSERT INTO orders (id, status) VALUES (%s, UPPER(%s))",
        "INSERT INTO orders (id) VALUES (%s), (%s)",
        "INSERT INTO orders (id) VALUES (%s) RETURNING id",
        "INSERT INTO orders (id) VALUES (%s) ON DUPLICATE KEY UPDATE status = %s",
        "INSERT INTO orders (id) SELECT %s",
        "INSERT INTO `100%%` (id) VALUES (%s)",
        "DELETE FROM orders WHERE 'VALUES' = (%s)",
    ],
)
def test_anything_else_goes_one_by_one(operation):
    assert batches_of(operation, [(1, 2)], RULES, Places.FORMAT) is None


def test_places_of_another_kind_go_one_by_one():
    assert batches_of("INSERT INTO t (a) VALUES (?)", [(1,)], RULES, Places.MARKS) is None


@pytest.mark.parametrize(
    ("operation", "row"),
    [
        (INSERT, (1,)),
        (INSERT, (1, 2, 3)),
        (INSERT, "ab"),
        ("INSERT INTO t (a) VALUES (%(a)s)", (1,)),
        (INSERT, {"a": 1}),
    ],
)
def test_a_row_that_does_not_fit_is_an_error(operation, row):
    with pytest.raises(dbapi.ProgrammingError):
        texts(operation, [row])


def test_a_statement_ends_before_it_is_too_large(monkeypatch):
    monkeypatch.setattr(dbapi, "LARGEST_BYTES", 200)
    made = texts(INSERT, [(number, "x" * 30) for number in range(20)])
    assert len(made) > 3
    assert all(len(each) <= 200 for each in made)
    assert sum(each.count("x" * 30) for each in made) == 20
    # One that is too large by itself is still sent, whole.
    assert len(texts(INSERT, [(1, "y" * 500)])) == 1


def test_the_size_is_in_bytes(monkeypatch):
    monkeypatch.setattr(dbapi, "LARGEST_BYTES", 200)
    made = texts(INSERT, [(number, "€" * 30) for number in range(5)])
    assert all(len(each.encode()) <= 200 for each in made)
    assert len(made) == 5


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6), st.booleans())
def test_the_rows_are_what_they_are_one_by_one(rows, backslashes):
    rules = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90700, no_backslash_escapes=backslashes)
    (made,) = texts(INSERT, rows, rules)
    values = [fill("(%s, %s)", row, rules, Places.FORMAT) for row in rows]
    assert made == f"INSERT INTO orders (id, status) VALUES {','.join(values)}"
    (statement,) = analyse(made, rules, schema="shop")
    assert (statement.kind, [str(each) for each in statement.tables]) == ("insert", ["shop.orders"])
    assert not any(token.kind is TokenKind.UNREADABLE for token in tokens(made, rules))
