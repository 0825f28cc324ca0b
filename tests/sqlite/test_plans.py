"""SQLite's opinion of a statement, asked without running it."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import CostClass, Effect, Flavour
from tests.sqlite.conftest import statement


def asked(talk, text, node="replica-1"):
    return talk.open(node).estimate(statement(text))


@pytest.mark.parametrize(
    ("text", "rows", "scans", "temporary"),
    [
        ("SELECT * FROM orders", 5000, ("orders",), 0),
        ("SELECT * FROM shop.orders o", 5000, ("orders",), 0),
        ("SELECT * FROM orders WHERE id = 7", -1, (), 0),
        ("SELECT * FROM orders WHERE customer_id = 7", -1, (), 0),
        ("SELECT max(id) FROM orders", -1, (), 0),
        ("SELECT count(*) FROM customers", 1000, ("customers",), 0),
        ("SELECT * FROM orders ORDER BY total", 5000, ("orders",), 1),
        ("SELECT a.id FROM orders a, products b", 1_000_000, ("orders", "products"), 0),
        ("SELECT 1", -1, (), 0),
        ("VALUES (1), (2)", -1, (), 0),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT * FROM n", -1, (), 0),
        ("SELECT * FROM json_each('[1]')", -1, (), 0),
        ("SELECT id FROM orders UNION ALL SELECT id FROM products", 5200, ("orders", "products"), 0),
    ],
)
def test_whole_reads_and_their_rows_are_foreseen(talk, text, rows, scans, temporary):
    estimate = asked(talk, text)
    assert estimate.asked
    assert estimate.objection == ""
    assert (estimate.rows, estimate.temporary_tables) == (rows, temporary)
    assert sorted(estimate.full_scans) == sorted(scans)


def test_a_table_without_row_ids_has_an_unknown_number_of_rows(talk):
    talk.change("CREATE TABLE keyed (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID", Effect.DDL)
    estimate = asked(talk, "SELECT v FROM keyed", "primary")
    assert (estimate.full_scans, estimate.rows) == (("keyed",), -1)


@pytest.mark.parametrize(
    ("text", "rows", "scans"),
    [
        ("SELECT * FROM orders AS o LIMIT 3 OFFSET 4", 7, ()),
        ("SELECT * FROM orders LIMIT 9000", 5000, ("orders",)),
        ("SELECT id FROM orders WHERE total < 0 LIMIT 3", 5000, ("orders",)),
        ("SELECT count(total) FROM orders LIMIT 3", 5000, ("orders",)),
        # A view's condition shows in no plan.
        ("SELECT * FROM cheap LIMIT 3", 5000, ("orders",)),
    ],
)
def test_a_read_that_stops_at_its_limit_is_foreseen_to(talk, text, rows, scans):
    talk.change("CREATE VIEW cheap AS SELECT id FROM orders WHERE total < 0", Effect.DDL)
    (read,) = analyse(text, LexicalRules(dialect=DIALECTS[Flavour.SQLITE]))
    estimate = talk.open("primary").estimate(read)
    assert (estimate.rows, estimate.full_scans) == (rows, scans)


def test_tables_behind_a_view_are_foreseen(talk):
    talk.change("CREATE VIEW seen AS SELECT o.id AS id FROM order_items AS o", Effect.DDL)
    estimate = asked(talk, "SELECT * FROM seen", "primary")
    assert estimate.full_scans == ("order_items",)
    assert estimate.rows >= 5000


@pytest.mark.parametrize("text", ["SELECT * FROM dbstat", "SELECT d.name FROM main.DBSTAT AS d"])
def test_the_embedded_twin_of_the_incident_is_seen(talk, text):
    (hazard,) = asked(talk, text).hazards
    assert (hazard.id, hazard.cost) == ("dbstat-size-scan", CostClass.READS_EVERY_PAGE)
    assert hazard.instead


@pytest.mark.parametrize(
    "text",
    ["UPDATE orders SET id = 1", "DELETE FROM orders", "CREATE TABLE x (y)", "ATTACH 'x' AS y", "DROP TABLE orders"],
)
def test_what_is_no_read_disagrees(talk, text):
    estimate = asked(talk, text)
    assert estimate.disagrees
    assert estimate.objection


@pytest.mark.parametrize(
    "text",
    ["SELECT * FROM nothing", "SELEC 1", "SELECT '", "SELECT '\x00'", "SELECT '\ud800'", "SELECT 1; DROP TABLE orders"],
)
def test_a_plain_error_is_an_objection_and_no_disagreement(talk, text):
    estimate = asked(talk, text)
    assert estimate.objection
    assert not estimate.disagrees


@pytest.mark.parametrize("text", ["PRAGMA user_version = 5", "EXPLAIN SELECT 1", "EXPLAIN QUERY PLAN SELECT 1"])
def test_what_cannot_be_planned_without_acting_is_not_asked(talk, text):
    assert not asked(talk, text, "primary").asked
    assert talk.rows(talk.open("primary"), "PRAGMA user_version") == [(0,)]


@pytest.mark.parametrize(
    ("text", "keyed"),
    [
        ("SELECT * FROM orders WHERE id = 7", True),
        ("SELECT o.total FROM shop.orders o WHERE o.id = 7", True),
        ("SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 7", True),
        ("SELECT * FROM orders WHERE id > 7", False),
        ("SELECT * FROM orders WHERE customer_id = 7", False),
        ("SELECT * FROM orders", False),
        ("SELECT * FROM orders WHERE id = 7 UNION ALL SELECT * FROM orders WHERE id = 8", False),
        ("SELECT * FROM sqlite_schema WHERE rowid = 1", False),
        ("SELECT 1", False),
    ],
)
def test_one_row_by_its_id_in_each_table_is_foreseen(talk, text, keyed):
    """What is keyed is asked once for all values."""
    (read,) = analyse(text, LexicalRules(dialect=DIALECTS[Flavour.SQLITE]), schema="shop")
    assert talk.open().estimate(read).keyed is keyed


def test_what_a_view_reads_by_its_id_is_asked_each_time(talk):
    talk.change("CREATE VIEW seventh AS SELECT * FROM orders WHERE id = 7", Effect.DDL)
    (read,) = analyse("SELECT * FROM seventh", LexicalRules(dialect=DIALECTS[Flavour.SQLITE]), schema="shop")
    assert not talk.open("primary").estimate(read).keyed
