"""A change is shown as a read where that is certain to find its rows, and nowhere else."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.rewriting import NotRewrittenError, preview_of
from safeconsole.sqltext.vocabulary import Flavour

FLAVOURS = (Flavour.MYSQL, Flavour.MARIADB, Flavour.SQLITE)


def previewed(text, flavour=Flavour.MYSQL):
    rules = LexicalRules(dialect=DIALECTS[flavour])
    (statement,) = analyse(text, rules, schema="shop")
    return preview_of(statement, rules, schema="shop", most_rows=5)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("text", "rows", "counted"),
    [
        (
            "UPDATE orders SET status = 'x, y', total = total + 1 WHERE id < 3;",
            "SELECT *, ('x, y') AS `status →`, (total + 1) AS `total →` FROM orders WHERE id < 3 LIMIT 5",
            "FROM orders WHERE id < 3",
        ),
        ("DELETE FROM shop.orders", "SELECT * FROM shop.orders LIMIT 5", "FROM shop.orders"),
        (
            "DELETE FROM orders WHERE id IN (SELECT order_id FROM items LIMIT 9)",
            "SELECT * FROM orders WHERE id IN (SELECT order_id FROM items LIMIT 9) LIMIT 5",
            "FROM orders WHERE id IN (SELECT order_id FROM items LIMIT 9)",
        ),
        (
            "UPDATE orders SET total = 0 WHERE status = 'SET' ORDER BY id LIMIT 7",
            "SELECT * FROM (SELECT *, (0) AS `total →` FROM orders WHERE status = 'SET' ORDER BY id LIMIT 7)"
            " AS safeconsole_preview LIMIT 5",
            "FROM orders WHERE status = 'SET' ORDER BY id LIMIT 7",
        ),
        (
            "UPDATE orders AS o SET o.`a b` = (SELECT MAX(id) FROM items WHERE x = 1), c = CONCAT('=', d)",
            "SELECT *, ((SELECT MAX(id) FROM items WHERE x = 1)) AS `a b →`, (CONCAT('=', d)) AS `c →` FROM orders AS o"
            " LIMIT 5",
            "FROM orders AS o",
        ),
    ],
)
def test_the_rows_are_found_by_the_change_s_own_words(flavour, text, rows, counted):
    found = previewed(text, flavour)
    assert found.rows == rows
    assert found.count == f"SELECT COUNT(*) AS touched FROM (SELECT 1 {counted}) AS safeconsole_preview"
    assert found.image == f"SELECT * {counted}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("INSERT INTO t VALUES (1)", "only an UPDATE or DELETE"),
        ("DROP TABLE t", "only an UPDATE or DELETE"),
        ("UPDATE t SET a = 1, b = a WHERE id = 1", "it reads a after it has set it"),
        ("UPDATE t SET `a` = 1, b = t.A + 1", "it reads A after it has set it"),
        ("UPDATE t SET a = 1 LIMIT 3", "LIMIT without ORDER BY"),
        ("DELETE FROM t LIMIT 1", "LIMIT without ORDER BY"),
        ("UPDATE a JOIN b ON a.id = b.id SET a.x = 1", "more than one table"),
        ("UPDATE a, b SET a.x = 1", "more than one table"),
        ("DELETE a FROM a JOIN b ON a.id = b.id", "more than one table"),
        ("DELETE FROM a USING a JOIN b ON a.id = b.id", "USING"),
        ("WITH x AS (SELECT 1) DELETE FROM t WHERE id IN (SELECT * FROM x)", "a query stands before"),
        ("DELETE FROM t WHERE RAND() < 0.1", "something else each time"),
        ("UPDATE t SET a = UUID()", "something else each time"),
        ("UPDATE t SET a = @x", "@x"),
        ("UPDATE t SET a = DEFAULT WHERE id = 1", "DEFAULT"),
        ("UPDATE t SET a = shop.f(1)", "cannot be asked for"),
        ("UPDATE t SET a = 1 /*! WHERE id = 1 */", "a comment"),
        ("UPDATE t PARTITION (p0) SET a = 1", "PARTITION"),
    ],
)
def test_what_is_not_certain_is_refused_with_the_reason(text, why):
    with pytest.raises(NotRewrittenError, match=why.replace("(", r"\(")):
        previewed(text)
