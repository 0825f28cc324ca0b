"""
What a server's global values make of a session: nothing that an answer, a lock or a word of the console rests on.

And every session variable of the servers is decided in `dialects/settings.py`.
"""

import time

import pymysql
import pytest

from safeconsole.dialects.settings import SESSION_VARIABLES
from safeconsole.errors import DeniedError, ServerError, StoppedError
from safeconsole.demo.binaries import FLAVOURS
from tests.harness.desk import seated

pytestmark = pytest.mark.timeout(300)

GLOBALS = {
    "mysql": {"transaction_isolation": "'SERIALIZABLE'", "max_sort_length": "4", "end_markers_in_json": "1"},
    "mariadb": {
        "tx_isolation": "'SERIALIZABLE'",
        "max_sort_length": "64",
        "check_constraint_checks": "0",
        "system_versioning_asof": "'2001-01-01 00:00:00'",
    },
}
SHARED_GLOBALS = {
    "completion_type": "'CHAIN'",
    "sql_select_limit": "3",
    "sql_auto_is_null": "1",
    "foreign_key_checks": "0",
    "unique_checks": "0",
    "sql_notes": "0",
    "lc_messages": "'de_DE'",
}
SORTED = (
    "SELECT RIGHT(x, 1) FROM (SELECT CAST(CONCAT(REPEAT('a', 100), 10 - id) AS CHAR CHARACTER SET latin1) AS x"
    " FROM customers WHERE id < 4) longs ORDER BY x"
)


def told(cluster, sql, node=None):
    """What a server answers to somebody who may do anything."""
    with cluster.dba_connect(node or cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_global_values_make_no_answer_short_no_read_lock_and_no_word_untrue(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=1)
    told(cluster, "CREATE TABLE shop.parents (id INT PRIMARY KEY)")
    told(
        cluster,
        "CREATE TABLE shop.children (id INT AUTO_INCREMENT PRIMARY KEY, parent INT, much INT,"
        " FOREIGN KEY (parent) REFERENCES shop.parents (id), CONSTRAINT few CHECK (much < 5))",
    )
    if flavour == "mariadb":
        told(cluster, "CREATE TABLE shop.kept (id INT) WITH SYSTEM VERSIONING")
        told(cluster, "INSERT INTO shop.kept VALUES (1), (2)")
    cluster.wait_caught_up()
    for node in cluster.nodes:
        for name, value in {**SHARED_GLOBALS, **GLOBALS[flavour]}.items():
            told(cluster, f"SET GLOBAL {name} = {value}", node)
    no_answer_is_short(cluster, tmp_path)
    constraints_hold(cluster, tmp_path)
    a_commit_ends_its_transaction(cluster, tmp_path)
    no_read_locks(cluster, tmp_path)
    if flavour == "mysql":
        a_plan_without_its_note_is_no_plan(cluster, tmp_path)


def no_answer_is_short(cluster, tmp_path):
    with seated(cluster, tmp_path / "reader") as desk:
        assert len(desk.run("SELECT id FROM orders").table) == 5_000
        assert desk.session.last().estimate.hazards == ()
        assert desk.session.last().estimate.rows > 0
        # In another language this would not be known to be a plain refusal.
        assert "SELECT command denied" in desk.error_of("SELECT dearth FROM mysql.user").message
        assert not desk.session.last().estimate.disagrees
        assert desk.run(SORTED).table == [("7",), ("8",), ("9",)]
        if cluster.flavour == "mariadb":
            assert len(desk.run("SELECT id FROM kept").table) == 2


def constraints_hold(cluster, tmp_path):
    with seated(cluster, tmp_path / "writer", to="primary") as desk:
        desk.run("INSERT INTO children (much) VALUES (1)")
        assert isinstance(desk.error_of("INSERT INTO children (parent) VALUES (7)"), ServerError)
        assert isinstance(desk.error_of("INSERT INTO children (much) VALUES (9)"), ServerError)
    with seated(cluster, tmp_path / "window", justification=None) as desk:
        desk.session.elevate(reason="incident 7")
        desk.run("BEGIN")
        desk.run("INSERT INTO children (much) VALUES (2)")
        assert desk.run("SELECT id FROM children WHERE id IS NULL").table == []


def a_commit_ends_its_transaction(cluster, tmp_path):
    with seated(cluster, tmp_path / "committer", justification=None) as desk:
        desk.session.elevate(reason="incident 7")
        desk.run("BEGIN")
        desk.run("UPDATE orders SET status = 'kept' WHERE id = 31")
        desk.run("COMMIT")
        assert desk.session.status().transaction is None
        assert [line.split(":")[0] for line in desk.session.take_told()] == [
            "the transaction on primary (elevated) is committed"
        ]
        desk.run("BEGIN")
        desk.run("UPDATE orders SET status = 'undone' WHERE id = 31")
        desk.run("ROLLBACK")
        desk.run("UPDATE orders SET total = 7 WHERE id = 31")
        assert desk.session.status().transaction is None
    assert told(cluster, "SELECT status, total FROM shop.orders WHERE id = 31") == (("kept", 7),)


def no_read_locks(cluster, tmp_path):
    with seated(cluster, tmp_path / "looker", to="primary") as desk:
        desk.run("START TRANSACTION READ ONLY")
        desk.run("SELECT id FROM orders WHERE id < 5")
        # NOWAIT fails at once where somebody holds a lock.
        told(cluster, "SELECT id FROM shop.orders WHERE id = 1 FOR UPDATE NOWAIT")


def a_plan_without_its_note_is_no_plan(cluster, tmp_path):
    for node in cluster.nodes:
        told(cluster, "SET GLOBAL max_error_count = 0", node)
    with seated(cluster, tmp_path / "planner") as desk:
        desk.run("SELECT id FROM orders LIMIT 1")
        assert [hazard.id for hazard in desk.session.last().estimate.hazards] == ["unreadable-plan"]


@pytest.mark.parametrize("isolation", ["READ-COMMITTED", "READ-UNCOMMITTED"])
def test_isolation_is_the_servers_own_where_it_neither_locks_nor_shows_what_may_go(
    private_cluster, tmp_path, isolation
):
    cluster = private_cluster("mariadb", replicas=0)
    told(cluster, f"SET GLOBAL tx_isolation = '{isolation}'")
    held = {"READ-COMMITTED": "READ-COMMITTED", "READ-UNCOMMITTED": "REPEATABLE-READ"}[isolation]
    with seated(cluster, tmp_path / "desk", to="primary") as desk:
        assert desk.run("SELECT @@SESSION.tx_isolation").table == [(held,)]


GLOBAL_ONLY = 1238


def test_every_session_variable_that_the_server_lists_is_decided(cluster):
    decided = frozenset().union(*(row.names for row in SESSION_VARIABLES))
    undecided = []
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SHOW VARIABLES")
        names = [name for name, _ in cursor.fetchall()]
        assert len(names) > 500
        for name in names:
            try:
                cursor.execute(f"SELECT @@SESSION.`{name}`")
            except pymysql.err.MySQLError as error:
                assert error.args[0] == GLOBAL_ONLY, name
                continue
            undecided += [name] if name.lower() not in decided else []
    assert undecided == []


def test_what_a_text_asks_for_under_its_limit_is_held_and_recorded(cluster, tmp_path):
    name = {"mysql": "max_execution_time", "mariadb": "max_statement_time"}[cluster.flavour]
    units = {"mysql": 1000, "mariadb": 1}[cluster.flavour]
    with seated(cluster, tmp_path / "desk", justification=None) as desk:

        def in_force():
            return float(desk.run(f"SELECT @@SESSION.{name}, 'of {time.monotonic()}'").table[0][0]) / units

        assert in_force() == 30
        hinted = f"SELECT /*+ MAX_EXECUTION_TIME(300) */ @@SESSION.{name} FROM orders LIMIT 1"
        assert float(desk.run(hinted).table[0][0]) / units == 0.3
        assert dict(desk.records("decided")[-1]["limits"])["run_seconds"] == 0.3
        assert in_force() == 30
        assert isinstance(desk.error_of(hinted.replace("300", "30001")), DeniedError)
        slow = "SELECT /*+ MAX_EXECUTION_TIME(300) */ COUNT(*) FROM orders a, orders b, orders c WHERE a.total + b.total < c.total"
        stopped = desk.error_of(slow)
        assert isinstance(stopped, StoppedError)
        assert desk.waited_seconds < 5
        desk.run("SET NAMES utf8mb4; SET autocommit = 1; SET SESSION TRANSACTION READ ONLY; SET sql_auto_is_null = 0")
        shown = desk.run(f"SET SESSION {name} = {2 * units}; SELECT 1 FROM orders LIMIT 1")
        assert shown.table == [(1,)]
        assert in_force() == desk.session.limits.run_seconds == 2
        assert [
            record["detail"] for record in desk.records("notice") if "session from here on" in record["detail"]
        ] == ["run_seconds is 2 for the session from here on, on every connection"]
        assert isinstance(desk.error_of(f"SET SESSION {name} = {3 * units}"), DeniedError)
        assert isinstance(desk.error_of(f"SET SESSION {name} = 0"), DeniedError)
        desk.session.use("primary")
        assert in_force() == 2
        desk.session.tighten("run_seconds", 20)
        # On the primary the policy holds reads to 10 s, whatever the session has.
        assert isinstance(desk.error_of("SELECT /*+ MAX_EXECUTION_TIME(15000) */ 1"), DeniedError)
        assert in_force() == 10


def test_a_setting_for_one_statement_holds_for_it_alone(mariadb_cluster, tmp_path):
    with seated(mariadb_cluster, tmp_path / "desk", justification=None, to="primary") as desk:
        one = "SET STATEMENT max_statement_time = {} FOR SELECT @@max_statement_time"
        assert [float(value) for (value,) in desk.run(one.format(1)).table] == [1]
        assert isinstance(desk.error_of(one.format(11)), DeniedError)
        assert isinstance(desk.error_of(one.format(0)), DeniedError)
        assert desk.session.limits.run_seconds == 30


def test_a_hint_that_the_server_ignores_is_told(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk", justification=None) as desk:
        shown = desk.run("SELECT /*+ HINT_OF_NO_VERSION(1) */ 1 FROM orders LIMIT 1")
        assert shown.table == [(1,)]
        assert shown.notes == ("HINT_OF_NO_VERSION() is not a hint of this server, which ignores it",)


def test_a_query_is_planned_whatever_it_sets_beside(cluster, tmp_path):
    crossed = "COUNT(*) FROM orders a, orders b, orders c"
    texts = [f"SELECT {crossed}", f"SELECT @found := {crossed}", f"SELECT {crossed} INTO @found"]
    if cluster.flavour == "mariadb":
        texts.append(f"SET STATEMENT max_statement_time = 1 FOR SELECT {crossed}")
    with seated(cluster, tmp_path / "desk", justification=None, to="primary") as desk:
        for text in texts:
            (statement,) = desk.session.split(text)
            considered = desk.session.check(statement)
            assert (considered.decision.verdict.word, considered.estimate.rows > 10**9) == ("confirm", True), text


@pytest.mark.parametrize("asked", ["FOUND_ROWS()", "ROW_COUNT()"])
def test_what_asks_for_the_statement_before_is_said_to_tell_nothing_of_it(cluster, tmp_path, asked):
    with seated(cluster, tmp_path / "desk") as desk:
        desk.run("SELECT id FROM orders LIMIT 3")
        shown = desk.run(f"SELECT {asked} AS told")
        assert any("tell nothing of your statement" in note for note in shown.notes)
        assert not desk.run("SELECT COUNT(*) FROM orders").notes


def test_the_last_inserted_id_is_told_inside_its_transaction_and_said_to_be_elsewhere_outside(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk", justification=None) as desk:
        assert any("LAST_INSERT_ID() is known where" in note for note in desk.run("SELECT LAST_INSERT_ID()").notes)
        desk.session.elevate(reason="incident 7")
        desk.run("BEGIN")
        desk.run("INSERT INTO orders (customer_id, status, total, created_at) VALUES (1, 'asked', 1, NOW())")
        shown = desk.run("SELECT LAST_INSERT_ID()")
        assert shown.table[0][0] > 0
        assert not any("LAST_INSERT_ID" in note for note in shown.notes)
        desk.run("ROLLBACK")
