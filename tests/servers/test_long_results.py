"""A long result on real servers: the guards stand, no further connection is opened, and every end is an end there."""

import os
import time

import pytest


from safeconsole.errors import StoppedError
from safeconsole.sqltext.vocabulary import Account, NodeName
from tests.harness.talking import engine_of, permit_for, run, seconds_until_gone, statement

REPLICA = NodeName("replica-1")
MANY = "SELECT o.id, p.id, o.status, o.total, o.created_at FROM orders o, orders p"


@pytest.fixture
def connection(cluster):
    """A guarded connection to a replica."""
    engine = engine_of(cluster)
    opened = engine.connect(REPLICA, Account.READ, schema="shop")
    yield opened
    opened.close()
    engine.close()


def send(connection, text, *, as_text=True, **limits):
    """Begin a read; returns its answer."""
    return connection.send(permit_for(connection, statement(text), **limits), as_text=as_text)


def test_the_guards_stand_before_and_after(connection):
    guards = dict(connection.guards)
    thread = run(connection, permit_for(connection, statement("SELECT CONNECTION_ID()")))[0]
    assert len(run(connection, permit_for(connection, statement(MANY + " LIMIT 50000")), as_text=True)[0]) == 50_000
    assert run(connection, permit_for(connection, statement("SELECT CONNECTION_ID()")))[0] == thread
    assert connection.guards == guards
    assert not connection.broken


def connections_to(cluster):
    with cluster.dba_connect(cluster.replicas[0]) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'console_read'")
        return {number for (number,) in cursor.fetchall()}


def test_no_further_connection_reaches_the_server(cluster, connection):
    before = connections_to(cluster)
    answer = send(connection, MANY + " LIMIT 300000", run_seconds=60)
    batches = answer.batches()
    next(batches)
    next(batches)
    during = connections_to(cluster)
    for _ in batches:
        pass
    answer.finish()
    assert before and during <= before


def test_the_deadline_ends_it_on_the_server(cluster, connection):
    answer = send(connection, MANY + ", orders q /* long-deadline */", run_seconds=1.0)
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        for _ in answer.batches():
            pass
        answer.finish()
    assert caught.value.ceiling == "run_seconds"
    assert time.monotonic() - started < 10
    seconds_until_gone(cluster, cluster.replicas[0], "long-deadline")


def test_rows_that_are_left_are_ended_on_the_server(cluster, connection):
    answer = send(connection, MANY + ", orders q /* long-left */", run_seconds=60)
    batches = answer.batches()
    for _ in range(20):
        next(batches)
    with pytest.raises(StoppedError):
        answer.finish()
    batches.close()
    assert connection.broken
    seconds_until_gone(cluster, cluster.replicas[0], "long-left")


def test_a_stop_by_the_person_between_rows_ends_it_on_the_server(cluster, connection):
    answer = send(connection, MANY + ", orders q /* long-word */", run_seconds=60)
    batches = answer.batches()
    for _ in range(20):
        next(batches)
    stopped = answer.interrupted(KeyboardInterrupt())
    assert isinstance(stopped, StoppedError)
    assert (stopped.by, stopped.verified) == ("person", "killed")
    batches.close()
    seconds_until_gone(cluster, cluster.replicas[0], "long-word")


def test_a_value_over_the_ceiling_is_not_taken_in(connection):
    text = "SELECT REPEAT('a', IF(o.id = 50, 3000000, 10)) FROM orders o ORDER BY o.id LIMIT 100"
    answer = send(connection, text, fetched_bytes=2_000_000)
    with pytest.raises(StoppedError) as caught:
        for _ in answer.batches():
            pass
    assert caught.value.ceiling == "fetched_bytes"
    assert connection.broken


def test_nothing_stays_open_behind_it(connection):
    permit = permit_for(connection, statement(MANY + " LIMIT 20000"))
    run(connection, permit, as_text=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run(connection, permit, as_text=True)
    # Other threads of this process, the reader of the list itself among them, open and close files of their own.
    assert len(os.listdir("/proc/self/fd")) < before + 10
