"""Clients that die, networks that break, servers that are killed: what is left running, and what is said."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.errors import OutcomeUnknownError, SafeConsoleError, StoppedError, UnreachableError
from safeconsole.sqltext.vocabulary import Account, NodeName
from tests.harness.proxy import Proxy
from tests.harness.clusters import kill
from tests.harness.talking import (
    SOON_SECONDS,
    act_when,
    elevated,
    engine_of,
    permit_for,
    read,
    run,
    seconds_until_gone,
    statement,
    threads_running,
    wait_for,
    write,
)

ROOT = Path(__file__).parents[2]
REPLICA, PRIMARY = NodeName("replica-1"), NodeName("primary")
HEAVY = "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < 0"
SLOW_WRITE = "UPDATE orders SET status = IF(SLEEP(0.005) = 0, '{mark}', status) WHERE id <= 400 /* {mark} */"


class Through:
    """An engine and one connection whose node stands behind a proxy."""

    def __init__(self, cluster, *, primary=False):
        self.cluster = cluster
        self.server = cluster.primary if primary else cluster.replicas[0]
        self.node = NodeName(self.server.name)
        self.proxy = Proxy("127.0.0.1", self.server.port)
        self.engine = engine_of(cluster, through={self.server.name: self.proxy.address}, connect_seconds=1.5)
        account = Account.ELEVATED if primary else Account.READ
        self.connection = self.engine.connect(self.node, account, schema="shop")

    def cut(self):
        """Cut the connection for statements, and no other one to the node."""
        port = self.connection._link.wire._sock.getsockname()[1]
        self.proxy.cut(self.proxy.number_of(port))

    def close(self):
        self.connection.close()
        self.engine.close()
        self.proxy.close()


@pytest.fixture
def through(cluster):
    """A function that opens a connection through a proxy."""
    opened = []

    def open_one(*, primary=False):
        opened.append(Through(cluster, primary=primary))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def once_it_runs(one, marker, act):
    """Do something to a connection as soon as its server is at work on a statement."""
    act_when(lambda: threads_running(one.cluster, one.server, marker), act)


def test_a_client_that_was_killed_leaves_no_read_past_its_deadline(cluster):
    node, marker = cluster.replicas[0], f"orphan_{os.getpid()}"
    program = textwrap.dedent(
        f"""
        from safeconsole.sqltext.vocabulary import Account, NodeName
        from tests.harness.talking import *
        engine = open_engine("shop", settings_for(["{node.host}:{node.port}"]),
                             GivenSecrets({dict(cluster.accounts)!r}), RealClock())
        connection = engine.connect(NodeName("{node.host}:{node.port}"), Account.READ, schema="shop")
        print("ready", flush=True)
        run(connection, permit_for(connection, statement({HEAVY + " -- " + marker!r}), run_seconds=3))
        """
    )
    client = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout.readline() == b"ready\n"
    started = time.monotonic()
    wait_for(lambda: threads_running(cluster, node, marker))
    client.kill()
    client.communicate()
    # Nothing of ours lives; the server's own cap ends it.
    seconds_until_gone(cluster, node, marker)
    assert time.monotonic() - started < SOON_SECONDS


def test_a_client_that_was_killed_leaves_no_change(cluster):
    node, mark = cluster.primary, "orphaned"
    program = textwrap.dedent(
        f"""
        from safeconsole.sqltext.vocabulary import Account, NodeName
        from tests.harness.talking import *
        engine = open_engine("shop", settings_for(["{node.host}:{node.port}"]),
                             GivenSecrets({dict(cluster.accounts)!r}), RealClock())
        connection = engine.connect(NodeName("{node.host}:{node.port}"), Account.ELEVATED, schema="shop")
        print("ready", flush=True)
        run(connection, elevated(connection, write({SLOW_WRITE.format(mark=mark)!r}), run_seconds=20))
        """
    )
    client = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout.readline() == b"ready\n"
    wait_for(lambda: threads_running(cluster, node, mark))
    client.kill()
    client.communicate()
    wait_for(lambda: not threads_running(cluster, node, mark))
    assert _count(cluster, node, f"status = '{mark}'") == 0


def test_a_network_that_is_cut_during_a_read_ends_it_on_the_server(cluster, through):
    one, marker = through(), "cut_read"
    once_it_runs(one, marker, one.cut)
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        run(one.connection, permit_for(one.connection, statement(f"{HEAVY} -- {marker}")))
    assert time.monotonic() - started < SOON_SECONDS
    assert caught.value.verified in ("killed", "already over")
    assert one.connection.broken
    assert threads_running(cluster, one.server, marker) == 0


def test_a_network_that_is_cut_between_rows_ends_it_on_the_server(cluster, through):
    one, marker = through(), "cut_rows"
    text = f"SELECT o.*, REPEAT('x', 500) FROM orders o, orders p -- {marker}"
    answer = one.connection.send(permit_for(one.connection, statement(text)))
    batches = answer.batches()
    next(batches)
    one.cut()
    with pytest.raises(StoppedError):
        list(batches)
    assert threads_running(cluster, one.server, marker) == 0


def test_a_network_that_is_cut_during_a_change_leaves_it_not_committed(cluster, through):
    one, mark = through(primary=True), "cutwrite"
    once_it_runs(one, mark, one.cut)
    with pytest.raises(StoppedError) as caught:
        run(one.connection, elevated(one.connection, write(SLOW_WRITE.format(mark=mark))))
    assert exit_code_of(caught.value) == 5
    assert caught.value.message.endswith("lost before COMMIT was sent; not committed")
    # The console ended it over its other connection, and saw it end.
    assert caught.value.verified in {"killed", "already over"}
    assert threads_running(cluster, one.server, mark) == 0
    # As was said; and it was not sent again.
    assert _count(cluster, one.server, f"status = '{mark}'") == 0


def test_a_network_that_goes_deaf_during_a_read_frees_the_person(cluster, through):
    one, marker = through(), "deaf_read"
    once_it_runs(one, marker, one.proxy.go_deaf)
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        run(one.connection, permit_for(one.connection, statement(f"{HEAVY} -- {marker}"), run_seconds=4))
    assert time.monotonic() - started < SOON_SECONDS
    assert caught.value.verified == "unreachable"
    # The server's own cap ended it, or will.
    seconds_until_gone(cluster, one.server, marker)
    assert time.monotonic() - started < SOON_SECONDS


def test_a_network_that_goes_deaf_before_a_statement_sends_nothing(cluster, through):
    one = through()
    read(one.connection, "SELECT 1")
    one.proxy.go_deaf()
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="nothing was sent"):
        read(one.connection, "SELECT 1 -- deaf_before")
    assert time.monotonic() - started < SOON_SECONDS
    assert one.connection.broken


def test_an_idle_connection_that_was_cut_is_seen_without_a_send(through):
    one = through()
    assert not one.connection.broken
    one.cut()
    wait_for(lambda: one.connection.broken)


def test_a_commit_whose_answer_is_lost_is_unknown_and_may_have_happened(cluster, through):
    one = through(primary=True)
    before = _count(cluster, one.server, "customer_id = 424242")
    insert = "INSERT INTO orders VALUES (424242, 424242, 'once', 1, NOW())"
    answer = one.connection.send(elevated(one.connection, write(insert, "insert")))
    one.proxy.go_deaf()
    threading.Timer(1.0, one.cut).start()
    with pytest.raises(OutcomeUnknownError):
        answer.finish()
    time.sleep(0.2)
    assert _count(cluster, one.server, "customer_id = 424242") - before in (0, 1)
    with cluster.dba_connect(one.server) as dba, dba.cursor() as cursor:
        cursor.execute("DELETE FROM shop.orders WHERE id = 424242")


def test_a_kill_by_somebody_else_is_told_apart_from_ours(cluster, through):
    one, marker = through(), "killed_by_dba"
    once_it_runs(one, marker, lambda: _kill(cluster, one.server, marker, "KILL QUERY"))
    with pytest.raises(StoppedError) as caught:
        run(one.connection, permit_for(one.connection, statement(f"{HEAVY} -- {marker}")))
    assert (caught.value.by, caught.value.ceiling) == ("server", "")


def test_a_session_killed_by_somebody_else_leaves_a_change_not_committed(cluster, through):
    one, mark = through(primary=True), "dbakill"
    once_it_runs(one, mark, lambda: _kill(cluster, one.server, mark, "KILL"))
    with pytest.raises(StoppedError, match="lost before COMMIT was sent; not committed") as caught:
        run(one.connection, elevated(one.connection, write(SLOW_WRITE.format(mark=mark))))
    assert caught.value.by == "server"
    assert _count(cluster, one.server, f"status = '{mark}'") == 0


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_server_that_dies_in_the_middle(private_cluster, flavour):
    cluster = private_cluster(flavour, replicas=1)
    engine = engine_of(cluster, connect_seconds=1.5)
    reading = engine.connect(REPLICA, Account.READ, schema="shop")
    writing = engine.connect(PRIMARY, Account.ELEVATED, schema="shop")
    act_when(
        lambda: threads_running(cluster, cluster.replicas[0], "JOIN orders c"),
        lambda: kill(cluster.replicas[0]),
    )
    with pytest.raises(StoppedError) as caught:
        run(reading, permit_for(reading, statement(HEAVY)))
    # Both connections end at once: which is noticed first is the machine's affair.
    assert (caught.value.by in {"server", "watchdog"}, caught.value.verified) == (True, "unreachable")
    act_when(
        lambda: threads_running(cluster, cluster.primary, "died"), lambda: os.kill(cluster.primary.pid, signal.SIGKILL)
    )
    with pytest.raises(OutcomeUnknownError):
        run(writing, elevated(writing, write(SLOW_WRITE.format(mark="died"))))
    readings = {found.node: found for found in engine.topology()}
    assert all(found.unreachable for found in readings.values())
    with pytest.raises(UnreachableError):
        engine.connect(PRIMARY, Account.READ)
    for connection in (reading, writing):
        connection.close()
    engine.close()


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_server_that_shuts_down_in_the_middle_of_a_read(private_cluster, flavour):
    cluster = private_cluster(flavour, replicas=1)
    engine = engine_of(cluster, connect_seconds=1.5)
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    act_when(
        lambda: threads_running(cluster, cluster.replicas[0], "JOIN orders c"),
        lambda: os.kill(cluster.replicas[0].pid, signal.SIGTERM),
    )
    with pytest.raises(SafeConsoleError) as caught:
        run(connection, permit_for(connection, statement(HEAVY)))
    assert isinstance(caught.value, StoppedError)
    assert connection.broken
    engine.close()


def test_a_thousand_short_statements_leak_nothing(cluster):
    engine = engine_of(cluster)
    node = cluster.replicas[0]
    threads_before, files_before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    threads = []
    for number in range(40):
        connection = engine.connect(REPLICA, Account.READ, schema="shop")
        threads.append(connection._link.wire.thread)
        for _ in range(25):
            assert read(connection, "SELECT id FROM orders WHERE id = 5") == [(5,)]
        if number % 5 == 0:
            with pytest.raises(StoppedError):
                read(connection, "SELECT SLEEP(5)", run_seconds=0.05)
        connection.close()
    engine.close()
    assert threading.active_count() <= threads_before
    assert len(os.listdir("/proc/self/fd")) <= files_before + 1
    wait_for(lambda: _sessions(cluster, node, threads) == 0)


def _sessions(cluster, node, threads):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        listed = ", ".join(map(str, threads))
        cursor.execute(f"SELECT COUNT(*) FROM information_schema.processlist WHERE id IN ({listed})")
        return cursor.fetchone()[0]


def _kill(cluster, node, marker, how):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE info LIKE %s AND info NOT LIKE '%%processlist%%'",
            (f"%{marker}%",),
        )
        for (thread,) in cursor.fetchall():
            cursor.execute(f"{how} {thread}")


def _count(cluster, node, condition):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM shop.orders WHERE {condition}")
        return cursor.fetchone()[0]
