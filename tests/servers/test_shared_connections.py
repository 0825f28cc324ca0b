"""Many sessions of one process share a cluster: few connections, given back clean, and nobody waits for a dead node."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from safeconsole.errors import StoppedError, UnreachableError
from safeconsole.mysql.pool import IDLE_SECONDS, MOMENT_SECONDS, MOST_PARKED
from safeconsole.sqltext.vocabulary import Account, NodeName
from tests.harness.desk import joined, seated
from tests.harness.fakes import FakeClock
from tests.harness.talking import SOON_SECONDS, engine_of, permit_for, read, run, statement, threads_running, wait_for

REPLICA, PRIMARY = NodeName("replica-1"), NodeName("primary")
FLAVOURS = pytest.mark.parametrize("flavour", ["mysql", "mariadb"])


def held(cluster, account="console_read"):
    """How many connections of an account each node has, those without any left out."""
    counts = {}
    for node in cluster.nodes:
        with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s", (account,))
            counts[node.name] = cursor.fetchone()[0]
    return {name: count for name, count in counts.items() if count}


@FLAVOURS
def test_one_console_holds_two_connections_and_one_when_it_idles(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=1)
    with seated(cluster, tmp_path) as desk:
        assert desk.run("SELECT COUNT(*) FROM orders").where == "replica-1"
        wait_for(lambda: held(cluster) == {"replica-1": 1}, at_most=2 * SOON_SECONDS)
        assert desk.run("SELECT 1").table == [(1,)]
        # Nothing was opened on the primary for it.
        assert held(cluster) == {"replica-1": 2}
    wait_for(lambda: held(cluster) == {})


@FLAVOURS
def test_many_consoles_of_a_process_hold_no_more(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=1)
    with ExitStack() as seats:
        first = seats.enter_context(seated(cluster, tmp_path))
        desks = [first, *(seats.enter_context(joined(first)) for _ in range(20))]
        for desk in desks:
            assert desk.run("SELECT COUNT(*) > 0 FROM orders").table == [(1,)]
        wait_for(lambda: held(cluster).get("replica-1", 0) <= MOST_PARKED + 1)
        threads = [threading.Thread(target=desk.run, args=("SELECT SLEEP(1)",)) for desk in desks[:5]]
        for thread in threads:
            thread.start()
        # One each that is at work, and the control connection for all of them.
        wait_for(lambda: held(cluster).get("replica-1", 0) <= 6)
        for thread in threads:
            thread.join(SOON_SECONDS)
        for desk in desks:
            desk.session.close()
        wait_for(lambda: held(cluster).get("replica-1", 0) <= MOST_PARKED + 1)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def engine(cluster, clock):
    made = engine_of(cluster, clock=clock)
    yield made
    made.close()


def test_a_parked_connection_is_gone_after_its_time(engine, clock):
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    assert read(connection, "SELECT 1") == [(1,)]
    engine.park(connection)
    clock.pass_by(IDLE_SECONDS - 1)
    engine.tidy()
    assert engine.reclaim(connection)
    assert read(connection, "SELECT 2") == [(2,)]
    engine.park(connection)
    clock.pass_by(IDLE_SECONDS)
    engine.tidy()
    assert not engine.reclaim(connection)
    assert connection.is_closed
    again = engine.connect(REPLICA, Account.READ, schema="shop")
    assert read(again, "SELECT 3") == [(3,)]
    again.close()


def test_those_beyond_the_latest_are_gone_after_a_moment(engine, clock):
    connections = [engine.connect(REPLICA, Account.READ, schema="shop") for _ in range(MOST_PARKED + 2)]
    for connection in connections:
        engine.park(connection)
        clock.pass_by(0.01)
    clock.pass_by(2 * MOMENT_SECONDS)
    engine.tidy()
    assert [connection.is_closed for connection in connections] == [True, True, *[False] * MOST_PARKED]


LEFT = (
    ("SET @left = 'mine'", "SELECT @left", None),
    ("SET SESSION group_concat_max_len = 7", "SELECT @@group_concat_max_len = @@GLOBAL.group_concat_max_len", 1),
    ("SELECT GET_LOCK('left_behind', 0)", "SELECT IS_USED_LOCK('left_behind')", None),
    ("SELECT LAST_INSERT_ID(77)", "SELECT LAST_INSERT_ID()", 0),
)


@pytest.mark.parametrize(("left", "asked", "found"), LEFT)
def test_what_one_session_left_is_nothing_to_the_next(engine, clock, left, asked, found):
    """The session itself pins such a connection; were it ever parked, the server undoes all of it."""
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    run(connection, permit_for(connection, statement(left, "set" if left.startswith("SET") else "select")))
    engine.park(connection)
    clock.pass_by(MOMENT_SECONDS)
    taken = engine.connect(REPLICA, Account.READ, schema="shop")
    assert taken is connection
    assert read(taken, asked) == [(found,)]
    assert taken.guards["charset"] == "utf8mb4,utf8mb4,utf8mb4"
    assert read(taken, "SELECT @@autocommit, DATABASE()") == [(1, "shop")]
    taken.close()


def test_a_connection_is_taken_to_another_schema(engine, clock):
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    engine.park(connection)
    clock.pass_by(MOMENT_SECONDS)
    taken = engine.connect(REPLICA, Account.READ, schema="information_schema")
    assert taken is connection
    assert read(taken, "SELECT LOWER(DATABASE())") == [("information_schema",)]
    engine.park(taken)
    clock.pass_by(MOMENT_SECONDS)
    with pytest.raises(UnreachableError):
        engine.connect(REPLICA, Account.READ, schema="no_such_schema")
    assert connection.is_closed


def test_one_that_is_not_whole_is_closed_instead(engine):
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    assert connection.take_slot(("safeconsole.left",), within_seconds=3)
    engine.park(connection)
    assert connection.is_closed
    assert not engine.reclaim(connection)


def test_a_transaction_and_a_variable_stay_with_their_session(cluster, tmp_path):
    with seated(cluster, tmp_path) as desk, joined(desk, to="replica-1") as other:
        desk.session.use("replica-1")
        desk.run("SET @mine = 41")
        other.run("SET @mine = 7")
        assert desk.run("SELECT @mine + 1").table == [(42,)]
        assert other.run("SELECT @mine + 1").table == [(8,)]
        desk.run("START TRANSACTION READ ONLY")
        inside = desk.run("SELECT CONNECTION_ID()").table
        for _ in range(3):
            assert other.run("SELECT CONNECTION_ID()").table != inside
        assert desk.run("SELECT CONNECTION_ID()").table == inside
        desk.run("COMMIT")


def _joined_at_once(desk, _):
    with joined(desk) as newcomer:
        return newcomer.run("SELECT 1").where


def _another_process(_, directory):
    command = [sys.executable, "-m", "safeconsole", "--config", str(directory / "config.toml"), "sql", "shop"]
    environ = {**os.environ, "HOME": str(directory), "USER": "ada"}
    told = subprocess.run([*command, "-e", "SELECT 1"], env=environ, capture_output=True, text=True)
    (where,) = set(re.findall(r"replica-[12]", told.stderr))
    return where


@FLAVOURS
def test_a_server_that_stops_holds_up_nobody_elsewhere_and_is_told_as_it_is(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=2)
    stopped, other = cluster.replicas
    with ExitStack() as seats:
        first = seats.enter_context(seated(cluster, tmp_path, to="replica-1", heavy_at_once=40, connect_seconds=2))
        there = [first, *(seats.enter_context(joined(first, to="replica-1")) for _ in range(19))]
        elsewhere = [seats.enter_context(joined(first, to="replica-2")) for _ in range(3)]
        for desk in elsewhere:
            desk.run("SELECT 1")
        errors = {}

        def wait_on_it(desk):
            errors[desk] = desk.error_of("SELECT SLEEP(50) AS held_up")

        threads = [threading.Thread(target=wait_on_it, args=(desk,), daemon=True) for desk in there]
        for thread in threads:
            thread.start()
        wait_for(lambda: errors or threads_running(cluster, stopped, "held_up") == len(there), at_most=2 * SOON_SECONDS)
        assert not errors
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            for desk in elsewhere:
                desk.session.tighten("run_seconds", 0.5)
                error = desk.error_of("SELECT SLEEP(40)")
                assert (type(error), error.ceiling) == (StoppedError, "run_seconds")
                assert error.verified in ("killed", "already over")
                assert desk.waited_seconds < SOON_SECONDS
            for newcomer in (_joined_at_once, _another_process):
                began = time.monotonic()
                assert newcomer(first, tmp_path) == "replica-2"
                print(f"{newcomer.__name__}: answered after {time.monotonic() - began:.1f} s")
            for thread in threads:
                thread.join(2 * SOON_SECONDS)
            assert len(errors) == len(there)
            # Nobody saw the end of any of them, and nobody says so.
            assert {error.verified for error in errors.values()} == {"unreachable"}
            assert "unreachable" in " ".join(first.error_of("SELECT 1").evidence)
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        for desk in (first, *elsewhere):
            desk.session.tighten("run_seconds", 10)
            waited, _, shown = desk.seconds_until("SELECT 1", at_most=2 * SOON_SECONDS)
            assert shown.table == [(1,)]
        wait_for(lambda: not threads_running(cluster, stopped, "held_up"), at_most=2 * SOON_SECONDS)
