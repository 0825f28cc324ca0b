"""The read inside a change: found where it is sure to be the same rows, and otherwise not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.effects import text_planned
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.analysis import read_within, rows_until_limit
from safeconsole.sqltext.vocabulary import Effect, Flavour

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90_704)


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


def rows_of(text, rules=RULES):
    (statement,) = analyse(text, rules, schema="shop")
    return rows_until_limit(statement, rules)


@pytest.mark.parametrize(
    ("read", "rows"),
    [
        ("SELECT * FROM orders LIMIT 3", 3),
        ("select o.id, `status` s from shop.orders as o limit 10 offset 20;", 30),
        ("SELECT id FROM orders LIMIT 20, 10", 30),
        ("SELECT id FROM orders LIMIT 20,10", 30),
        ("SELECT `where`, `order` FROM `group` LIMIT 0", 0),
        ("SELECT 1 FROM orders LIMIT 3\n", 3),
    ],
)
def test_a_bare_read_stops_at_its_limit(read, rows):
    assert rows_of(read) == rows


@pytest.mark.parametrize(
    "read",
    [
        "SELECT * FROM orders",
        "SELECT * FROM orders WHERE total > 5 LIMIT 3",
        "SELECT COUNT(*) FROM orders LIMIT 3",
        "SELECT DISTINCT status FROM orders LIMIT 3",
        "SELECT status FROM orders GROUP BY status LIMIT 3",
        "SELECT id FROM orders HAVING id > 5 LIMIT 3",
        "SELECT * FROM orders ORDER BY total LIMIT 3",
        "SELECT SQL_CALC_FOUND_ROWS * FROM orders LIMIT 3",
        "SELECT SQL_BUFFER_RESULT * FROM orders LIMIT 3",
        "SELECT * FROM orders, customers LIMIT 3",
        "SELECT * FROM orders JOIN customers USING (id) LIMIT 3",
        "SELECT * FROM orders NATURAL JOIN customers LIMIT 3",
        "SELECT id, (SELECT COUNT(*) FROM orders) FROM customers LIMIT 3",
        "SELECT * FROM (SELECT * FROM orders ORDER BY total) o LIMIT 3",
        "SELECT * FROM (SELECT id FROM orders LIMIT 3) o",
        "SELECT id FROM orders UNION ALL SELECT id FROM customers LIMIT 3",
        "(SELECT id FROM orders) LIMIT 3",
        "WITH o AS (SELECT * FROM orders) SELECT * FROM o LIMIT 3",
        "SELECT * FROM orders -- LIMIT 3",
        "SELECT * FROM orders # LIMIT 3",
        "SELECT * FROM orders /*!50000 WHERE id = 1 */ LIMIT 3",
        "SELECT * FROM orders LIMIT ?",
        "SELECT * FROM information_schema.tables LIMIT 3",
        "SELECT * FROM orders LIMIT 3 FOR UPDATE",
        "SELECT * FROM orders LIMIT 9999999999999999999",
        "TABLE orders LIMIT 3",
        "SHOW TABLES",
    ],
)
def test_what_may_read_on_has_no_such_number(read):
    assert rows_of(read) is None


def test_marias_own_limit_of_examined_rows_is_no_number_of_rows():
    assert (
        rows_of("SELECT * FROM orders LIMIT 3 ROWS EXAMINED 5", LexicalRules(dialect=DIALECTS[Flavour.MARIADB])) is None
    )


@pytest.mark.parametrize(
    ("text", "planned"),
    [
        ("SELECT 1 FROM orders", "SELECT 1 FROM orders"),
        ("TABLE orders", "TABLE orders"),
        ("EXPLAIN ANALYZE SELECT 1 FROM orders", "SELECT 1 FROM orders"),
        ("desc analyze format=tree\n with o as (select 1 x) select * from o", "with o as (select 1 x) select * from o"),
        ("EXPLAIN ANALYZE /* why */ SELECT 1 FROM orders", ""),
        ("EXPLAIN SELECT 1 FROM orders", ""),
        ("EXPLAIN FORMAT=JSON SELECT 1 FROM orders", ""),
        ("EXPLAIN analyze", ""),
        ("EXPLAIN ANALYZE DELETE FROM orders", ""),
        ("SHOW TABLES", ""),
        ("SET @x = (SELECT 1 FROM orders)", ""),
        ("ANALYZE TABLE orders", ""),
    ],
)
def test_what_is_run_is_what_is_planned(text, planned):
    (statement,) = analyse(text, RULES, schema="shop")
    assert text_planned(statement, RULES) == planned


def test_marias_analyze_is_planned_as_what_it_runs():
    rules = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101_118)
    (statement,) = analyse("ANALYZE FORMAT=JSON SELECT 1 FROM orders", rules, schema="shop")
    assert text_planned(statement, rules) == "SELECT 1 FROM orders"
