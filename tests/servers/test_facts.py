"""The facts that rules are judged on are the servers' own state, as it is now, whatever was asked before."""

import pytest

from safeconsole.demo.binaries import FLAVOURS
from tests.harness.desk import seated
from tests.harness.talking import engine_of

LISTING = "SELECT COUNT(table_name) FROM information_schema.tables"
MADE = 1_010


def dba(cluster, *texts):
    """Have the DBA say something on the primary alone."""
    with cluster.dba_connect(cluster.primary) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        for text in texts:
            cursor.execute(text)


def tables_of(engine):
    return engine.topology()[0].tables


@pytest.fixture(params=FLAVOURS)
def alone(request, private_cluster):
    """A primary that this test may change."""
    return private_cluster(request.param, replicas=0)


def test_tables_made_after_the_first_question_count(alone, tmp_path):
    with seated(alone, tmp_path / "desk", to="primary") as desk:
        (listing,) = desk.session.split(LISTING)
        before = desk.session.consider(listing)
        assert before.decision.verdict.word == "allow"
        assert before.facts["node.tables"] < MADE
        # Whoever asked for the guess fixed it.
        dba(alone, "EXPLAIN FORMAT=JSON SELECT COUNT(*) FROM mysql.innodb_table_stats")
        dba(alone, "CREATE DATABASE many", *(f"CREATE TABLE many.t{n} (id INT PRIMARY KEY)" for n in range(MADE)))
    with seated(alone, tmp_path / "desk", to="primary") as desk:
        (listing,) = desk.session.split(LISTING)
        now = desk.session.consider(listing)
        assert now.decision.verdict.word == "elevate"
        assert "many-objects-on-the-primary" in now.decision.rules
        assert now.facts["node.tables"] >= MADE
        assert f"at least {now.facts['node.tables']:,} tables" in now.evidence[0]


def test_tables_that_cannot_be_counted_are_unknown_and_not_few(alone):
    engine = engine_of(alone)
    assert tables_of(engine) > 0
    for off, on in (
        ("SET GLOBAL innodb_stats_persistent = OFF", "SET GLOBAL innodb_stats_persistent = ON"),
        ("SET GLOBAL default_storage_engine = MyISAM", "SET GLOBAL default_storage_engine = InnoDB"),
        (
            "REVOKE SELECT ON mysql.innodb_table_stats FROM 'console_read'@'%'",
            "GRANT SELECT ON mysql.innodb_table_stats TO 'console_read'@'%'",
        ),
    ):
        dba(alone, off)
        assert tables_of(engine) is None, off
        dba(alone, on)
        assert tables_of(engine) > 0
    engine.close()


def test_open_tables_of_other_engines_count_too(alone):
    engine = engine_of(alone)
    before = tables_of(engine)
    names = [f"other.t{n}" for n in range(200)]
    dba(alone, "CREATE DATABASE other", *(f"CREATE TABLE {name} (id INT) ENGINE=MyISAM" for name in names))
    dba(alone, *(f"SELECT * FROM {name}" for name in names))
    assert tables_of(engine) >= max(before, len(names))
    engine.close()


@pytest.mark.parametrize(
    "begin", ["BEGIN", "START TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT"]
)
def test_an_open_transaction_hides_nothing_from_the_estimate(cluster, tmp_path, begin):
    with cluster.dba_connect(cluster.primary) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE VIEW shop.sized AS SELECT table_name, data_length FROM information_schema.tables"
        )
    cluster.wait_caught_up()
    with seated(cluster, tmp_path / "desk", justification=None) as desk:
        asked = desk.session.split("SELECT SUM(data_length) FROM sized; SELECT * FROM orders")
        outside = [desk.session.consider(each).estimate for each in asked]
        desk.run(begin)
        within = [desk.session.consider(each).estimate for each in asked]
        assert [each.hazards for each in within] == [each.hazards for each in outside]
        assert [each.full_scans for each in within] == [each.full_scans for each in outside]
        assert within[0].hazards
        assert within[1].rows > 4_000
        assert desk.run("SELECT COUNT(*) FROM orders").table == [(5_000,)]
        # What was asked in between left the transaction open, and it ends by the person's word.
        assert desk.session.status().transaction is not None
        desk.run("COMMIT")


VIEWS = (
    ("plain", "SELECT id, status FROM orders"),
    ("some", "SELECT id, status FROM orders WHERE total > 5000000"),
    ("grouped", "SELECT status, COUNT(*) n FROM orders GROUP BY status"),
    ("counted", "SELECT COUNT(*) n FROM orders"),
    ("nested", "SELECT id, (SELECT COUNT(*) FROM orders p WHERE p.id < o.id) n FROM orders o"),
    ("sorted", "SELECT id, status FROM orders ORDER BY total"),
    ("joined", "SELECT o.id, c.country FROM orders o JOIN customers c ON c.id = o.customer_id"),
)


@pytest.fixture(scope="module")
def views(cluster):
    with cluster.dba_connect(cluster.primary) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE limited")
        cursor.execute("USE shop")
        for name, text in VIEWS:
            cursor.execute(f"CREATE VIEW limited.{name} AS {text}")
        for account in ("console_read", "console_elevated"):
            cursor.execute(f"GRANT SELECT, SHOW VIEW ON limited.* TO '{account}'@'%'")
        yield connection
        cursor.execute("DROP DATABASE limited")


def rows_read(connection, text):
    """The rows that the server's handlers read for a statement, by its own count."""
    with connection.cursor() as cursor:
        cursor.execute("FLUSH STATUS")
        cursor.execute(text)
        cursor.fetchall()
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _, value in cursor.fetchall())


@pytest.mark.parametrize(
    ("read", "rows"),
    [
        ("SELECT * FROM shop.orders LIMIT 3", 3),
        ("SELECT id FROM shop.orders LIMIT 7 OFFSET 5", 12),
        ("SELECT id FROM shop.orders LIMIT 5, 7", 12),
        ("SELECT * FROM limited.plain LIMIT 3", 3),
        ("SELECT * FROM shop.orders LIMIT 100000", None),
        ("SELECT SQL_CALC_FOUND_ROWS id FROM shop.orders LIMIT 3", None),
        ("SELECT COUNT(*) FROM shop.orders LIMIT 3", None),
        ("SELECT id FROM shop.orders WHERE total < 0 LIMIT 3", None),
        ("SELECT id FROM shop.orders ORDER BY total LIMIT 3", None),
        *((f"SELECT * FROM limited.{name} LIMIT 3", None) for name, _ in VIEWS[1:]),
    ],
)
def test_a_read_that_stops_at_its_limit_is_estimated_by_it_and_no_other(cluster, views, tmp_path, read, rows):
    with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
        (statement,) = desk.session.split(read)
        estimate = desk.session.consider(statement).estimate
    if rows is None:
        assert estimate.full_scans
        assert estimate.rows > 900
    else:
        assert (estimate.rows, estimate.full_scans) == (rows, ())
        # A few more to begin with, and no whole table.
        assert rows_read(views, read) <= rows + 5


def test_a_change_that_stops_at_its_limit_is_shown_with_it(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk") as desk:
        (change,) = desk.session.split("DELETE FROM orders LIMIT 3")
        estimate = desk.session.consider(change).estimate
        assert (estimate.rows, estimate.full_scans) == (3, ())


def test_an_analyze_that_runs_its_query_is_estimated_like_the_query(cluster, views, tmp_path):
    analyze = "EXPLAIN ANALYZE" if cluster.flavour == "mysql" else "ANALYZE FORMAT=JSON"
    with cluster.dba_connect(cluster.primary) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE VIEW limited.sized AS SELECT data_length FROM information_schema.tables")
    with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
        for query in ("SELECT COUNT(*) FROM orders", "SELECT SUM(data_length) FROM limited.sized"):
            plain, analyzed = (
                desk.session.consider(each) for each in desk.session.split(f"{query}; {analyze} {query}")
            )
            assert analyzed.estimate.rows == plain.estimate.rows
            assert analyzed.estimate.full_scans == plain.estimate.full_scans != ()
            assert {each.id for each in plain.estimate.hazards} <= {each.id for each in analyzed.estimate.hazards}
        # What is only explained reads nothing.
        (explained,) = desk.session.split("EXPLAIN SELECT COUNT(*) FROM orders")
        assert desk.session.consider(explained).estimate.rows == -1


def test_a_snapshot_hides_no_view_that_became_another(cluster, views, tmp_path):
    """MySQL's dictionary shows a snapshot the definition of then, and the server runs the one of now."""
    with cluster.dba_connect(cluster.primary) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE VIEW limited.changing AS SELECT 1 AS x")
        with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
            desk.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            desk.run("SELECT COUNT(*) FROM orders")
            cursor.execute("CREATE OR REPLACE VIEW limited.changing AS SELECT GET_LOCK('changed', 0) AS x")
            (read,) = desk.session.split("SELECT x FROM limited.changing")
            considered = desk.session.consider(read)
            assert "lock" in considered.facts["stmt.effects"]
            assert considered.decision.verdict.word != "allow"
