"""
A person's transaction of changes on real servers: kept by COMMIT alone, and never left open by a console that is gone.

The cluster is the run's own (`cluster`) where nothing is broken, a private one where a server dies.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from safeconsole.errors import DeniedError, NotSentError, OutcomeUnknownError, ServerError, StoppedError
from tests.harness.clusters import kill, promote
from tests.harness.desk import home_of, seated
from tests.harness.talking import SOON_SECONDS, wait_for

ROW = 31
CHANGE = f"UPDATE orders SET status = '{{what}}' WHERE id = {ROW}"
LOOK = f"SELECT status FROM orders WHERE id = {ROW}"

pytestmark = pytest.mark.timeout(300)


def status_of(cluster, node=None):
    """What others see."""
    with cluster.dba_connect(node or cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"SELECT status FROM shop.orders WHERE id = {ROW}")
        return cursor.fetchone()[0]


def seconds_until_free(cluster, node=None):
    """Seconds until somebody else may change the row."""
    started = time.monotonic()
    with cluster.dba_connect(node or cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 60")
        cursor.execute(f"SELECT id FROM shop.orders WHERE id = {ROW} FOR UPDATE")
    return time.monotonic() - started


@pytest.fixture
def desk(cluster, tmp_path):
    """Somebody with a window open."""
    with seated(cluster, tmp_path / "desk", justification=None, transactions={"write_idle_seconds": 120}) as seat:
        seat.session.elevate(reason="incident 7")
        yield seat


@pytest.fixture
def hasty_desk(cluster, tmp_path):
    """Somebody with a window open, on a policy that lets transactions stand idle for 3 s."""
    with seated(cluster, tmp_path / "hasty", justification=None, transactions={"write_idle_seconds": 3}) as seat:
        seat.session.elevate(reason="incident 7")
        yield seat


def test_a_commit_keeps_it_and_others_see_nothing_before(cluster, desk):
    before = status_of(cluster)
    for text in ("BEGIN", CHANGE.format(what="kept")):
        desk.run(text)
    assert status_of(cluster) == before
    assert desk.run(LOOK).table == [("kept",)]
    assert desk.session.status().transaction.changed_rows == 1
    desk.run("COMMIT")
    assert status_of(cluster) == "kept"
    assert "is committed: 2 statements, 1 row changed" in desk.session.take_told()[0]
    intents = desk.records("intent")
    assert {(intent["node"], intent["account"]) for intent in intents} == {("primary", "elevated")}


def test_after_a_commit_a_replica_is_waited_for(cluster, desk):
    desk.run("BEGIN")
    desk.run(CHANGE.format(what="awaited"))
    desk.run("COMMIT")
    shown = desk.run(LOOK)
    assert shown.where != "primary"
    assert shown.table == [("awaited",)] or any("may not have your change" in note for note in shown.notes)


def test_a_rollback_and_a_savepoint_undo_what_they_say(cluster, desk):
    before = status_of(cluster)
    for text in ("START TRANSACTION", CHANGE.format(what="first"), "SAVEPOINT here", CHANGE.format(what="second"),
                 "ROLLBACK TO here"):  # fmt: skip
        desk.run(text)
    assert desk.run(LOOK).table == [("first",)]
    desk.run("ROLLBACK")
    assert status_of(cluster) == before


def test_one_that_stands_idle_is_rolled_back_while_nobody_types(cluster, hasty_desk):
    before = status_of(cluster)
    hasty_desk.run("BEGIN")
    hasty_desk.run(CHANGE.format(what="idle"))
    # What a prompt does every second.
    wait_for(lambda: hasty_desk.session.status().transaction is None)
    assert "it was idle for too long" in hasty_desk.session.take_told()[0]
    assert seconds_until_free(cluster) < SOON_SECONDS
    assert status_of(cluster) == before
    with pytest.raises(DeniedError, match="nothing was sent"):
        hasty_desk.run("COMMIT")
    assert hasty_desk.session.status().elevated_seconds > 0


def test_what_the_server_ends_is_told_as_that(cluster, hasty_desk):
    """A console that was stopped for a while: the server did not wait for it."""
    before = status_of(cluster)
    hasty_desk.run("BEGIN")
    started = time.monotonic()
    hasty_desk.run(CHANGE.format(what="stopped"))
    assert seconds_until_free(cluster) < 60
    assert time.monotonic() - started > 2.5
    assert status_of(cluster) == before
    with pytest.raises(NotSentError):
        hasty_desk.run(CHANGE.format(what="on and on"))
    (line,) = hasty_desk.session.take_told()
    assert "was rolled back" in line
    assert status_of(cluster) == before


@pytest.mark.parametrize("how", ["stand down", "leave"])
def test_it_ends_with_the_elevation_and_with_the_session(cluster, desk, how):
    before = status_of(cluster)
    desk.run("BEGIN")
    desk.run(CHANGE.format(what="undone"))
    if how == "leave":
        line, *_ = desk.session.close()
    else:
        desk.session.stand_down()
        (line,) = desk.session.take_told()
    assert "was rolled back" in line
    assert seconds_until_free(cluster) < SOON_SECONDS
    assert status_of(cluster) == before


def test_a_statement_at_its_limit_takes_it_along(cluster, desk):
    before = status_of(cluster)
    desk.run("BEGIN")
    desk.run(CHANGE.format(what="first"))
    desk.session.tighten("run_seconds", 0.5)
    with pytest.raises(StoppedError):
        desk.run("UPDATE orders SET status = IF(SLEEP(0.02) = 0, 'slow', status) WHERE id BETWEEN 200 AND 400")
    assert "a statement of it was stopped" in desk.session.take_told()[0]
    assert seconds_until_free(cluster) < SOON_SECONDS
    assert status_of(cluster) == before


def test_ddl_is_refused_and_nothing_is_committed_by_it(cluster, desk):
    before = status_of(cluster)
    desk.run("BEGIN")
    desk.run(CHANGE.format(what="unasked"))
    with pytest.raises(DeniedError, match="servers commit what is open before they run create table"):
        desk.run("CREATE TABLE unasked (id INT)")
    assert status_of(cluster) == before
    desk.run("ROLLBACK")


def test_two_consoles_hold_each_other_up_no_longer_than_their_limits(cluster, desk, tmp_path):
    """The second waits for the first's row, is told whose lock it was not, and nothing of either is mixed."""
    before = status_of(cluster)
    desk.run("BEGIN")
    desk.run(CHANGE.format(what="one"))
    with seated(cluster, tmp_path / "other", justification=None) as other:
        other.session.elevate(reason="incident 8")
        other.session.tighten("lock_wait_seconds", 1)
        other.run("BEGIN")
        with pytest.raises(StoppedError) as caught:
            other.run(CHANGE.format(what="two"))
        assert caught.value.ceiling == "lock_wait_seconds"
        assert "a statement of it was stopped" in other.session.take_told()[0]
    desk.run("ROLLBACK")
    assert status_of(cluster) == before


def test_of_two_consoles_in_a_deadlock_one_is_told_that_all_of_its_own_is_undone(cluster, desk, tmp_path):
    with seated(cluster, tmp_path / "other", justification=None) as other:
        other.session.elevate(reason="incident 8")
        for seat, row in ((desk, 41), (other, 42)):
            seat.run("BEGIN")
            seat.run(f"UPDATE orders SET status = 'x' WHERE id = {row}")
        errors = []

        def cross(seat, row):
            try:
                seat.run(f"UPDATE orders SET status = 'y' WHERE id = {row}")
            except (ServerError, StoppedError) as error:
                errors.append((seat, error))

        crossing = threading.Thread(target=cross, args=(other, 41))
        crossing.start()
        time.sleep(0.3)
        cross(desk, 42)
        crossing.join()
        ((loser, error),) = errors
        assert error.number == 1213
        assert "the server ended it, as after a deadlock" in loser.session.take_told()[0]
        assert loser.session.status().elevated_seconds > 0
        winner = desk if loser is other else other
        winner.run("ROLLBACK")


CONSOLE = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from tests.harness.desk import seated

cluster = SimpleNamespace(nodes=(), accounts={accounts!r})
settings = {{"demo": {home!r}, "transactions": {{"write_idle_seconds": {idle}}}}}
with seated(cluster, Path({directory!r}), nodes={nodes!r}, justification=None, **settings) as desk:
    desk.session.elevate(reason="incident 7")
    desk.run("BEGIN")
    desk.run({change!r})
    print("open", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def console(cluster, tmp_path):
    """A function that starts a console in a process of its own, which opens a transaction and waits."""
    started = []

    def start(*, idle=3, nodes=None):
        text = CONSOLE.format(
            accounts=dict(cluster.accounts), directory=str(tmp_path / "gone"), idle=idle, home=str(home_of(cluster)),
            nodes=nodes or {node.name: f"{node.host}:{node.port}" for node in cluster.nodes},
            change=CHANGE.format(what="gone"),
        )  # fmt: skip
        running = subprocess.Popen([sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, text=True)
        started.append(running)
        assert running.stdout.readline() == "open\n"
        return running

    yield start
    for running in started:
        running.kill()
        running.wait()
        running.stdout.close()


def test_a_console_that_is_killed_leaves_nothing_open(cluster, console):
    before = status_of(cluster)
    os.kill(console().pid, signal.SIGKILL)
    # The kernel closes its connections, and the server rolls back.
    assert seconds_until_free(cluster) < SOON_SECONDS
    assert status_of(cluster) == before


def test_a_console_that_is_stopped_leaves_nothing_open_past_its_deadline(cluster, console, tmp_path):
    """Nothing of it runs, and its connections stay: the server ends the transaction by itself."""
    before = status_of(cluster)
    running = console(idle=3)
    os.kill(running.pid, signal.SIGSTOP)
    waited = seconds_until_free(cluster)
    os.kill(running.pid, signal.SIGCONT)
    assert waited < 3 + SOON_SECONDS
    assert status_of(cluster) == before


def test_the_journal_of_a_killed_console_shows_what_was_open(cluster, console, tmp_path):
    os.kill(console().pid, signal.SIGKILL)
    (path,) = (tmp_path / "gone" / "audit" / "sessions").glob("*.jsonl")
    records = [json.loads(line)["record"] for line in path.read_text().splitlines()]
    assert [record["sql"] for record in records if record["type"] == "intent"][0] == "BEGIN"
    assert not [record for record in records if record["type"] == "closed"]


@pytest.fixture(params=("mysql", "mariadb"))
def breakable(request, private_cluster):
    return private_cluster(request.param)


def test_a_primary_that_dies_under_it_leaves_no_doubt_and_nothing(breakable, tmp_path):
    before = status_of(breakable)
    with seated(breakable, tmp_path / "desk", justification=None, connect_seconds=1.5) as desk:
        desk.session.elevate(reason="incident 7")
        desk.run("BEGIN")
        desk.run(CHANGE.format(what="lost"))
        kill(breakable.primary)
        error = desk.error_of("COMMIT")
        assert not isinstance(error, OutcomeUnknownError), error.message
        assert isinstance(error, NotSentError)
        assert "COMMIT was never sent" in desk.session.take_told()[0]
        # A lost connection alone ends no window; another primary does, before anything is sent to it.
        assert desk.session.status().elevated_seconds > 0
        promote(breakable, breakable.replicas[0])
        # The promoted node is the primary from here on; the other replica follows it with a lag.
        assert status_of(breakable) == before
        assert isinstance(desk.error_of(CHANGE.format(what="lost")), NotSentError)
        assert desk.session.status().elevated_seconds == 0
        # Nothing goes on in what was lost.
        desk.session.elevate(reason="incident 7")
        with pytest.raises(DeniedError, match="nothing was sent: the transaction"):
            desk.run(CHANGE.format(what="lost"))
        desk.run("BEGIN")
        desk.run(CHANGE.format(what="found"))
        desk.run("COMMIT")
        assert status_of(breakable) == "found"


def test_a_failover_under_it_undoes_it(breakable, tmp_path):
    before = status_of(breakable)
    with seated(breakable, tmp_path / "desk", justification=None) as desk:
        desk.session.elevate(reason="incident 7")
        desk.run("BEGIN")
        desk.run(CHANGE.format(what="lost"))
        promote(breakable, breakable.replicas[0])
        error = desk.error_of("COMMIT")
        assert isinstance(error, NotSentError)
        assert "was rolled back" in desk.session.take_told()[0]
        assert status_of(breakable, breakable.replicas[0]) == before
