"""The read inside a change: found where it is sure to be the same rows, and otherwise not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.core.analysis import analyse
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.rows_sought import read_within
from safeconsole.core.vocabulary import Effect, Flavour

RULES = LexicalRules(flavour=Flavour.MYSQL, version=90_704)


def read_of(text, rules=RULES):
    (statement,) = analyse(text, rules, schema="shop")
    found = read_within(statement, rules, schema="shop")
    return found and found.text


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("UPDATE orders SET a = 1", "SELECT 1 FROM orders"),
        ("UPDATE orders SET a = f() WHERE id < 5", "SELECT 1 FROM orders WHERE id < 5"),
        (
            "update low_priority ignore shop.orders as o set o.a = (select 1 from c where x) where o.id < 5 order by id limit 3",
            "SELECT 1 FROM shop.orders as o where o.id < 5 order by id limit 3",
        ),
        ("UPDATE `where` SET `set` = 1 WHERE `limit` = 2", "SELECT 1 FROM `where` WHERE `limit` = 2"),
        ("UPDATE orders SET note = 'where x' WHERE note = 'set'", "SELECT 1 FROM orders WHERE note = 'set'"),
        ("UPDATE orders SET a = 1 ORDER BY id LIMIT 10", "SELECT 1 FROM orders ORDER BY id LIMIT 10"),
        ("DELETE FROM orders", "SELECT 1 FROM orders"),
        ("DELETE QUICK FROM shop.orders WHERE id = 1", "SELECT 1 FROM shop.orders WHERE id = 1"),
        ("DELETE FROM orders WHERE id IN (SELECT id FROM c)", "SELECT 1 FROM orders WHERE id IN (SELECT id FROM c)"),
        ("INSERT INTO a (x) SELECT y FROM b WHERE z = 1", "SELECT y FROM b WHERE z = 1"),
        ("REPLACE INTO a SELECT * FROM b", "SELECT * FROM b"),
    ],
)
def test_the_read_inside_a_change_of_one_table(change, read):
    assert read_of(change) == read


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders o, customers c SET o.a = 1 WHERE o.id = c.id",
        "UPDATE orders o JOIN customers c USING (id) SET o.a = 1",
        "UPDATE orders SET a = 1 WHERE f(id)",
        "UPDATE orders SET a = 1 WHERE SLEEP(1)",
        "UPDATE orders SET a = 1 WHERE (@x := id)",
        "UPDATE orders SET a = 1 /*!50000 WHERE id = 1 */",
        "UPDATE orders SET a = 1 WHERE id = 1 /* half",
        "DELETE o FROM orders o JOIN customers c USING (id)",
        "DELETE FROM orders PARTITION (p0) WHERE id = 1",
        "INSERT INTO a VALUES (1)",
        "INSERT INTO a SET x = (SELECT 1 FROM b)",
        "INSERT INTO a (x) (SELECT 1 FROM b)",
        "INSERT INTO a SELECT id FROM b ON DUPLICATE KEY UPDATE id = 1",
        "INSERT INTO a SELECT GET_LOCK('x', 1) FROM b",
        "WITH q AS (SELECT 1) UPDATE orders SET a = 1",
        "UPDATE information_schema.tables SET a = 1",
        "DROP TABLE orders",
        "SELECT 1",
    ],
)
def test_where_the_read_is_not_sure_there_is_none(change):
    assert read_of(change) is None


words = st.sampled_from(
    ["UPDATE", "DELETE", "INSERT", "INTO", "FROM", "orders", "o", "SET", "a", "=", "1", "WHERE", "(", ")", "SELECT",
     "f(x)", ",", "LIMIT", "/*!", "*/", "'x'", "ON DUPLICATE KEY", "SLEEP(9)", "FOR UPDATE", "INTO @x", "INTO OUTFILE 'f'"]
)  # fmt: skip


@given(st.lists(words, max_size=12).map(" ".join))
def test_whatever_the_text_what_is_found_is_a_plain_read_without_dangers(text):
    for statement in analyse(text, RULES, schema="shop"):
        found = read_within(statement, RULES, schema="shop")
        assert found is None or (found.effects == {Effect.READ} and not found.hazards)
