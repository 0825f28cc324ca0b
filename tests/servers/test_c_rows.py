"""An export through the C driver on real servers: the same rows, the same guards, the same ends as without it."""

import os
import sys
import threading
import time

import pytest


from safeconsole.errors import StoppedError
from safeconsole.sqltext.vocabulary import Account, NodeName
from tests.harness.talking import engine_of, permit_for, run, seconds_until_gone, statement
from safeconsole.mysql import c_rows

REPLICA = NodeName("replica-1")
MANY = "SELECT o.id, p.id, o.status, o.total, o.created_at FROM orders o, orders p"
EVERY_KIND = (
    "SELECT o.id, o.status, o.total, o.created_at, -p.id AS negative, 1e10 / p.id AS ratio, IF(p.id % 3, NULL, 'ü, \"x\"\n')"
    " AS text, x'00FF2C0A' AS raw, CAST('-838:59:59' AS TIME) AS span, REPEAT('ñ', p.id % 300) AS lengths, b'101' AS bits"
    " FROM orders o JOIN orders p ON p.id <= 300 ORDER BY o.id, p.id LIMIT 30000"
)


@pytest.fixture(params=["in Python", "by the C driver"])
def decoding(request, monkeypatch):
    """How rows are decoded."""
    if request.param == "in Python":
        monkeypatch.setitem(sys.modules, "MySQLdb", None)
    else:
        pytest.importorskip("MySQLdb", reason="mysqlclient, the extra `fast`, is not installed")
        monkeypatch.setattr(c_rows, "LONG_RESULT_ROWS", 0)
    return request.param


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


def test_the_driver_is_what_decodes(connection, decoding):
    answer = send(connection, MANY + " LIMIT 30000")
    kinds = {type(batch) for batch in answer.batches()}
    answer.finish()
    assert kinds == ({list} if decoding == "in Python" else {tuple})


@pytest.mark.parametrize("as_text", [True, False])
def test_every_kind_of_value_comes_out_the_same(connection, monkeypatch, as_text):
    pytest.importorskip("MySQLdb", reason="mysqlclient, the extra `fast`, is not installed")
    permit = permit_for(connection, statement(EVERY_KIND))
    by_c_from_here, _ = run(connection, permit, as_text=as_text)
    monkeypatch.setattr(c_rows, "LONG_RESULT_ROWS", 0)
    by_c, _ = run(connection, permit, as_text=as_text)
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    in_python, _ = run(connection, permit, as_text=as_text)
    assert len(in_python) == 30_000
    assert by_c == in_python
    assert by_c_from_here == in_python


def test_the_guards_stand_before_and_after(connection, decoding):
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


def test_no_further_connection_reaches_the_server(cluster, connection, decoding):
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


def test_the_deadline_ends_it_on_the_server(cluster, connection, decoding):
    answer = send(connection, MANY + ", orders q /* c-deadline */", run_seconds=1.0)
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        for _ in answer.batches():
            pass
        answer.finish()
    assert caught.value.ceiling == "run_seconds"
    assert time.monotonic() - started < 10
    seconds_until_gone(cluster, cluster.replicas[0], "c-deadline")


def test_rows_that_are_left_are_ended_on_the_server(cluster, connection, decoding):
    answer = send(connection, MANY + ", orders q /* c-left */", run_seconds=60)
    batches = answer.batches()
    for _ in range(20):
        next(batches)
    with pytest.raises(StoppedError):
        answer.finish()
    batches.close()
    assert connection.broken
    seconds_until_gone(cluster, cluster.replicas[0], "c-left")


def test_a_stop_by_the_person_between_rows_ends_it_on_the_server(cluster, connection, decoding):
    answer = send(connection, MANY + ", orders q /* c-word */", run_seconds=60)
    batches = answer.batches()
    for _ in range(20):
        next(batches)
    stopped = answer.interrupted()
    assert isinstance(stopped, StoppedError)
    batches.close()
    seconds_until_gone(cluster, cluster.replicas[0], "c-word")


def test_a_value_over_the_ceiling_is_not_taken_in(connection, decoding):
    text = "SELECT REPEAT('a', IF(o.id = 50, 3000000, 10)) FROM orders o ORDER BY o.id LIMIT 100"
    answer = send(connection, text, fetched_bytes=2_000_000)
    with pytest.raises(StoppedError) as caught:
        for _ in answer.batches():
            pass
    assert caught.value.ceiling == "fetched_bytes"
    assert connection.broken


def test_nothing_stays_open_behind_it(connection, decoding):
    permit = permit_for(connection, statement(MANY + " LIMIT 20000"))
    run(connection, permit, as_text=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run(connection, permit, as_text=True)
    assert len(os.listdir("/proc/self/fd")) == before
    assert "safeconsole-rows" not in {thread.name for thread in threading.enumerate()}
