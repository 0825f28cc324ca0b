"""What a loop of reads by key costs a real server, and that what is believed of it is so."""

import json
import time

import pytest
from msgspec.structs import replace

from safeconsole.dialects.plans import read_plan
from safeconsole.errors import RefusedError, UnreachableError
from safeconsole.policy.decision import permit_from_decision
from safeconsole.sqltext.vocabulary import Account, Role
from tests.harness.desk import seated
from tests.harness.talking import wait_for

COLUMNS = {
    "whole": ("INT", "n"),
    "large": ("BIGINT UNSIGNED", "n"),
    "exact": ("DECIMAL(10,2)", "n"),
    "real": ("DOUBLE", "n"),
    "words": ("VARCHAR(60) CHARACTER SET utf8mb4", "n"),
    "old_words": ("VARCHAR(60) CHARACTER SET latin1", "n"),
    "bytes": ("VARBINARY(60)", "n"),
    "day": ("DATE", "DATE_ADD('2000-01-01', INTERVAL n DAY)"),
    "moment": ("DATETIME", "DATE_ADD('2000-01-01', INTERVAL n DAY)"),
    "bits": ("BIT(32)", "n"),
    "small": ("TINYINT", "n % 120"),
    "span": ("TIME", "SEC_TO_TIME(n)"),
}
NUMBERS = ("5", "0", "00007", "99999999999999", "999999999999999999", "20000105", "20000106000000")
TEXTS = (
    "'5'", "'abc'", "'5abc'", "''", "'5.5'", "' 5'", "'1e3'", "'2000-01-05'", "'2000-13-45'", "'2000-01-05 10:00:00'",
    "'99999999999999999999999999'", "'%'", "'true'", "'12:00:00'", f"'{'a' * 255}'",
)  # fmt: skip


def access(cursor, text):
    """How a plan reads its tables; nothing where it reads none, or where the server refuses the value."""
    try:
        cursor.execute(f"EXPLAIN FORMAT=JSON {text}")
    except Exception as error:
        assert error.args[0] == 1525, error  # an impossible date
        return []
    (plan,) = cursor.fetchone()
    found = []
    json.loads(plan, object_hook=lambda part: found.append(part.get("access_type")) or part)
    return [each for each in found if each]


def test_no_value_takes_a_read_by_key_away_from_its_key(cluster):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("CREATE DATABASE IF NOT EXISTS keyed")
        if cluster.flavour == "mysql":
            cursor.execute("SET SESSION explain_json_format_version = 1")
        try:
            for name, (kind, value) in COLUMNS.items():
                cursor.execute(f"CREATE TABLE keyed.{name} (k {kind} NOT NULL, w INT, UNIQUE KEY (k))")
                cursor.execute(
                    f"INSERT INTO keyed.{name} WITH RECURSIVE s (n) AS"
                    f" (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 119) SELECT {value}, n FROM s"
                )
                for values in (NUMBERS, TEXTS):
                    found = {tuple(access(cursor, f"SELECT w FROM keyed.{name} WHERE k = {each}")) for each in values}
                    # Never one value by its key and another by a scan; a number is no key of a text at all.
                    assert found <= {(), ("const",)} or found == {("ALL",)}, (name, values, found)
        finally:
            cursor.execute("DROP DATABASE keyed")


def test_a_plan_that_leaves_something_out_is_not_keyed():
    table = {"table": {"table_name": "t", "access_type": "const"}}
    assert read_plan(json.dumps({"query_block": table})).keyed
    assert not read_plan(json.dumps({"query_block": {**table, "message": "Impossible WHERE"}})).keyed
    assert not read_plan(json.dumps({"query_block": {"table": {"table_name": "t", "access_type": "ref"}}})).keyed
    assert not read_plan(json.dumps({"query_block": {"nested": [table, {"table": {"access_type": "ALL"}}]}})).keyed
    assert not read_plan(json.dumps({"query_block": {}})).keyed


@pytest.mark.parametrize(
    ("text", "recalled"),
    [
        ("SELECT id, status FROM orders WHERE id = {}", True),
        ("SELECT o.id, c.country FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = {}", True),
        ("SELECT id FROM orders WHERE id < {}", False),
        ("SELECT id FROM orders WHERE id BETWEEN {0} AND {0}", False),
        ("SELECT id FROM orders WHERE customer_id = {}", False),
        ("SELECT id FROM orders WHERE id = 5 OR 0 = {}", False),
    ],
)
def test_only_reads_by_a_unique_key_are_estimated_once(cluster, tmp_path, text, recalled):
    with seated(cluster, tmp_path) as desk:
        for number in (7, 8, 9):
            desk.run(text.format(number))
        assert desk.session.last().estimate.asked
        assert desk.session.last().estimate.recalled is recalled


def test_nothing_stays_open_after_a_read_whose_end_nobody_waited_for(cluster, tmp_path):
    with seated(cluster, tmp_path) as desk:
        desk.run("SELECT id, status FROM orders WHERE id = 7")
        node = next(each for each in cluster.nodes if each.name == desk.session.status().node)
        with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
            wait_for(lambda: _transactions_of(cursor, "console_read") == 0)
        # And it is the same connection that goes on.
        assert desk.run("SELECT id FROM orders WHERE id = 8").table == [(8,)]


def _transactions_of(cursor, account):
    cursor.execute(
        "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"
        " ON p.id = t.trx_mysql_thread_id WHERE p.user = %s",
        (account,),
    )
    return cursor.fetchone()[0]


def test_a_connection_that_is_lost_between_two_reads_is_opened_again(cluster, tmp_path):
    with seated(cluster, tmp_path) as desk:
        desk.run("SELECT id FROM orders WHERE id = 7")
        connection = next(iter(desk.session._nodes._parked.values()))
        node = next(each for each in cluster.nodes if each.name == desk.session.status().node)
        with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
            cursor.execute(f"KILL {connection._link.wire.thread}")
        wait_for(lambda: connection.broken)
        assert desk.run("SELECT id FROM orders WHERE id = 8").table == [(8,)]


def test_warnings_of_a_read_are_still_told(cluster, tmp_path):
    with seated(cluster, tmp_path) as desk:
        shown = desk.run("SELECT CAST('7x' AS UNSIGNED) FROM orders WHERE id = 7")
        assert shown.table == [(7,)]
        (warning,) = shown.warnings
        assert "1292" in warning
        assert "7x" in warning
        connection = next(iter(desk.session._nodes._parked.values()))
        assert connection._link.wire.rows("SELECT 1") == [(1,)]


def test_a_server_that_takes_one_question_at_a_time_is_asked_so(cluster, tmp_path):
    """As Aurora is."""
    with seated(cluster, tmp_path) as desk:
        desk.run("SELECT id FROM orders WHERE id = 7")
        for connection in desk.session._nodes._parked.values():
            connection._link.wire.takes_several = False
        for text in ("SELECT id FROM orders WHERE id = 8", "SELECT id FROM orders WHERE id < 9", "SELECT SLEEP(0)"):
            (statement,) = desk.session.split(text)
            desk.session.consider(statement)
        assert desk.run("SELECT id FROM orders WHERE id < 4").table == [(1,), (2,), (3,)]
        assert desk.error_of("SELECT nothing FROM orders WHERE id = 8").number == 1054
        assert desk.run("SELECT id FROM orders WHERE id = 8").table == [(8,)]


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(lambda wire: wire.run("SET SESSION lock_wait_timeout = 900"), id="a guard is lifted"),
        pytest.param(lambda wire: wire.run("SET SESSION sql_mode = 'ANSI'"), id="text is read otherwise"),
    ],
)
def test_what_was_read_back_with_a_plan_counts_only_while_nothing_else_was_asked(cluster, tmp_path, between):
    with seated(cluster, tmp_path) as desk:
        desk.run("SELECT 1")
        (statement,) = desk.session.split("SELECT id FROM orders WHERE id < 7")
        considered = desk.session.consider(statement)
        connection = desk.session._nodes.connect(considered.node, Account.READ)
        connection.estimate(statement)
        assert connection._readiness.ready is not None
        assert not connection.in_transaction
        between(connection._link.wire)
        permit = permit_from_decision(considered, grant=None, confirmed=False, now_seconds=0.0)
        with pytest.raises((UnreachableError, RefusedError)):
            connection.send(permit)
        assert connection.broken


def elevated(desk, text):
    """A permit for a change, and the connection of the elevated account that it may be sent on."""
    (statement,) = desk.session.split(text)
    desk.session.elevate(reason="incident 7")
    considered = desk.session.consider(statement)
    grant = desk.session._elevations.grant
    now = desk.program.clock.monotonic()
    permit = permit_from_decision(considered, grant=grant, confirmed=True, now_seconds=now)
    return permit, desk.session._nodes.connect(considered.node, Account.ELEVATED)


CHANGE = "UPDATE orders SET status = status WHERE id = 7"


def test_what_was_made_ready_with_the_proof_is_used_for_its_statement(cluster, tmp_path):
    with seated(cluster, tmp_path, justification=None) as desk:
        permit, connection = elevated(desk, CHANGE)
        assert connection.prove(permit).role is Role.PRIMARY
        assert not connection.in_transaction
        writes = connection._link.wire.writes
        answer = connection.send(permit)
        # The statement itself, and nothing before it.
        assert connection._link.wire.writes == writes + 1
        assert not list(answer.batches())
        answer.finish()
        assert not connection.in_transaction


@pytest.mark.parametrize(
    ("between", "raises"),
    [
        pytest.param(lambda wire: wire.run("SET SESSION lock_wait_timeout = 900"), True, id="a guard is lifted"),
        pytest.param(lambda wire: wire.run("ROLLBACK"), False, id="the transaction is ended"),
        pytest.param(lambda wire: time.sleep(1.1), False, id="a second passes"),
    ],
)
def test_what_was_made_ready_with_the_proof_counts_only_at_once(cluster, tmp_path, between, raises):
    with seated(cluster, tmp_path, justification=None) as desk:
        permit, connection = elevated(desk, CHANGE)
        connection.prove(permit)
        between(connection._link.wire)
        writes = connection._link.wire.writes
        if raises:
            with pytest.raises((UnreachableError, RefusedError)):
                connection.send(permit)
            assert connection.broken
            return
        answer = connection.send(permit)
        # Role and guards were asked once more before the statement.
        assert connection._link.wire.writes > writes + 1
        answer.finish()


def test_a_transaction_of_reads_on_the_primary_is_told_from_one_that_stands_by(cluster, tmp_path):
    with seated(cluster, tmp_path, to="primary") as desk:
        assert desk.run("SELECT id FROM orders WHERE id = 7").table == [(7,)]
        desk.run("START TRANSACTION READ ONLY")
        for number in (8, 9):
            assert desk.run(f"SELECT id FROM orders WHERE id = {number}").table == [(number,)]
            assert desk.session.status().transaction is not None
        desk.run("COMMIT")
        assert desk.session.status().transaction is None
        assert desk.run("SELECT id FROM orders WHERE id = 7").table == [(7,)]


def test_what_was_made_ready_for_another_permit_is_not_used(cluster, tmp_path):
    with seated(cluster, tmp_path, justification=None) as desk:
        permit, connection = elevated(desk, CHANGE)
        connection.prove(permit)
        writes = connection._link.wire.writes
        connection.send(replace(permit)).finish()
        assert connection._link.wire.writes > writes + 2


def test_the_transaction_that_stands_by_is_over_before_anything_else(cluster, tmp_path):
    with seated(cluster, tmp_path) as desk:
        desk.run("SELECT 1")
        (statement,) = desk.session.split("SELECT id FROM orders WHERE id < 7")
        desk.session.consider(statement)
        # What opens one of its own, sets something or changes the schema is not part of it.
        desk.run("START TRANSACTION READ ONLY")
        assert desk.run("SELECT id FROM orders WHERE id = 8").table == [(8,)]
        desk.session.consider(statement)
        assert desk.run("SELECT id FROM orders WHERE id = 9").table == [(9,)]
        desk.run("COMMIT")
        desk.session.consider(statement)
        desk.run("USE shop")
        assert desk.run("SELECT id FROM orders WHERE id < 3").table == [(1,), (2,)]
