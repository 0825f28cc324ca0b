"""
A console session while the cluster under it fails over: what the person is told, what was sent, how soon it works again.

An application's pool works on the same cluster all the while. `make failover` prints the table of docs/routing.md.
"""

import os
import threading
import time
from pathlib import Path

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.errors import Action, LostError, NoFitNodeError, NotSentError, Remedy, StoppedError
from safeconsole.sqltext.vocabulary import Role
from tests.harness.desk import listen, seated, times_sent
from tests.harness.pool import Application
from tests.harness.proxy import Proxy
from tests.harness.talking import threads_running, wait_for
from tests.servers.test_own_writes import delay
from tests.harness.clusters import kill, promote, start_replication, stop_replication

FLAVOURS = ("mysql", "mariadb")
CHANGE = "UPDATE orders SET total = total + 1 WHERE id = 1 AND 'mark {mark}' = 'mark {mark}'"
SLOW_CHANGE = "UPDATE orders SET status = IF(SLEEP(0.02) = 0, '{mark}', status) WHERE id <= 400"
SLOW_READ = "SELECT SUM(SLEEP(0.02)), 'mark {mark}' FROM orders WHERE id <= 400"
# Busy, and nothing that a server could die of.
BUSY_READ = (
    "SELECT @@port, SUM(SHA2(REPEAT(CONCAT(a.id, b.id), 900), 512) LIKE 'f%') FROM orders a JOIN orders b"
    # Not inside the hash, whose arguments the journal leaves out.
    " ON a.id <= 300 AND b.id <= 500 AND 'mark {mark}' = 'mark {mark}'"
)
READ = "SELECT @@port, 'mark {mark}'"

pytestmark = pytest.mark.timeout(600)


HEAD = (
    "| what happened | server | what the person saw | sent | again after"
    " | the application: writes and reads that failed | without an answer, writes and reads | stored twice |"
)
LINES = []


@pytest.fixture(params=FLAVOURS)
def cluster(request, private_cluster):
    started = private_cluster(request.param)
    listen(started)
    return started


@pytest.fixture(scope="module", autouse=True)
def table():
    """Print the whole table when all is over, and write it where SAFECONSOLE_FAILOVER_TABLE says."""
    yield
    text = "\n".join((HEAD, "|---|---|---|---|---|---|---|---|", *LINES))
    print(f"\n{text}")
    place = os.environ.get("SAFECONSOLE_FAILOVER_TABLE")
    if place:
        Path(place).write_text(f"{text}\n")


@pytest.fixture
def proxies(cluster):
    """A proxy before each node, by its name."""
    made = {node.name: Proxy(node.host, node.port) for node in cluster.nodes}
    yield made
    for proxy in made.values():
        proxy.close()


@pytest.fixture
def application(cluster, proxies):
    """An application that works on the cluster meanwhile, by way of the proxies."""
    running = Application(cluster, [proxy.address for proxy in proxies.values()])
    yield running
    running.stop()


@pytest.fixture
def told(request, cluster, application):
    """A function that writes one line of the table; what the application sent is stored once."""

    def line(error, *, sent, seconds, awaits=True):
        if awaits:
            application.works_again()
        writes, reads, write_gap, read_gap, twice = application.report()
        assert twice == 0
        what = f"{exit_code_of(error)}: {error.message}" if error else "the answer"
        name = request.node.originalname.removeprefix("test_").replace("_", " ")
        LINES.append(
            f"| {name} | {cluster.flavour} | {what} | {sent} | {seconds:.1f} s"
            f" | {writes}, {reads} | {write_gap:.1f} s, {read_gap:.1f} s | {twice} |"
        )

    return line


def total_of(cluster):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT total FROM shop.orders WHERE id = 1")
        return cursor.fetchone()[0]


def later(seconds, act):
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def test_a_promotion_between_the_prompt_and_enter_is_caught(cluster, tmp_path, told):
    before, mark = total_of(cluster), "between"
    with seated(cluster, tmp_path / "desk") as desk:
        desk.run("SELECT COUNT(*) FROM orders")
        desk.answering.before_enter = lambda: promote(cluster, cluster.replicas[0])
        error = desk.error_of(CHANGE.format(mark=mark))
        assert isinstance(error, NotSentError) and "nothing was sent" in error.message
        sent = times_sent(cluster, f"mark {mark}")
        assert sent == 0 and total_of(cluster) == before
        assert [record["state"] for record in desk.records("elevation")][-1] == "revoked"
        desk.answering.before_enter = lambda: None
        asked = desk.answering.asked
        seconds, errors, shown = desk.seconds_until(CHANGE.format(mark=mark))
        assert errors == [] and shown.where == "replica-1"
        assert desk.answering.asked == asked + 1
        assert (total_of(cluster), times_sent(cluster, f"mark {mark}")) == (before + 1, 1)
        told(error, sent=sent, seconds=seconds)


def test_an_elevation_does_not_survive_a_promotion(cluster, tmp_path, told):
    mark = "window"
    with seated(cluster, tmp_path / "desk", justification=None) as desk:
        desk.session.elevate(reason="incident 7")
        desk.run(CHANGE.format(mark="before"))
        promote(cluster, cluster.replicas[0])
        error = desk.error_of(CHANGE.format(mark=mark))
        assert isinstance(error, NotSentError)
        assert desk.session.status().elevated_seconds == 0
        assert times_sent(cluster, f"mark {mark}") == 0
        # Asked for anew, it is for the new primary.
        desk.session.elevate(reason="incident 7")
        seconds, errors, shown = desk.seconds_until(CHANGE.format(mark=mark))
        assert errors == [] and shown.where == "replica-1"
        told(error, sent=0, seconds=seconds)


def test_a_replica_that_is_promoted_gets_no_more_reads(cluster, tmp_path, told):
    with seated(cluster, tmp_path / "desk") as desk:
        first = desk.port()
        promoted = next(node for node in cluster.replicas if node.port == first)
        stays = next(node for node in cluster.replicas if node.port != first)
        promote(cluster, promoted)
        mark = "onpromoted"
        # Measured or not since: the live session is looked at before each send.
        seconds, errors, shown = desk.seconds_until(READ.format(mark=mark))
        assert shown.table[0][0] == stays.port
        assert times_sent(cluster, f"mark {mark}") == 1
        told(errors[0] if errors else None, sent=1, seconds=seconds)


def test_a_primary_that_is_killed_under_a_change_has_not_committed_it(cluster, tmp_path, told):
    mark = "killedunder"
    with seated(cluster, tmp_path / "desk", connect_seconds=1.5) as desk:
        desk.run("SELECT COUNT(*) FROM orders")
        later(1.0, lambda: kill(cluster.primary))
        error = desk.error_of(SLOW_CHANGE.format(mark=mark))
        assert isinstance(error, StoppedError) and "not committed" in error.message
        lost = desk.error_of(CHANGE.format(mark="nowhere"))
        assert isinstance(lost, NoFitNodeError)
        assert any("primary" in line and "unreachable" in line for line in lost.evidence)
        # Nothing replicates any more, so no replica is fresh; one that is named is read, and said to be stale.
        stale = desk.error_of("SELECT COUNT(*) FROM orders")
        assert isinstance(stale, NoFitNodeError) and stale.remedies == (Remedy(Action.NAME_NODE),)
        desk.session.use("replica-2")
        shown = desk.run("SELECT COUNT(*) FROM orders")
        assert shown.table and any("may be stale" in note for note in shown.notes)
        desk.session.use("")
        promote(cluster, cluster.replicas[0])
        seconds, errors, shown = desk.seconds_until(CHANGE.format(mark="after"))
        assert shown.where == "replica-1"
        assert times_sent(cluster, f"mark {mark}") == 0
        assert desk.run(f"SELECT COUNT(*) FROM orders WHERE status = '{mark}'").table == [(0,)]
        told(error, sent=1, seconds=seconds)


def test_a_window_does_not_survive_the_promotion_after_a_primary_was_killed_while_idle(cluster, tmp_path, told):
    with seated(cluster, tmp_path / "desk", justification=None, connect_seconds=1.5) as desk:
        desk.session.elevate(reason="incident 7")
        desk.run(CHANGE.format(mark="before"))
        kill(cluster.primary)
        error = desk.error_of(CHANGE.format(mark="idle"))
        assert isinstance(error, NoFitNodeError)
        # A lost connection alone ends no window; another primary does, before anything is sent to it.
        assert desk.session.status().elevated_seconds > 0
        promote(cluster, cluster.replicas[0])
        refused = desk.error_of(CHANGE.format(mark="idle"))
        assert isinstance(refused, NotSentError)
        assert desk.session.status().elevated_seconds == 0
        assert times_sent(cluster, "mark idle") == 0
        desk.session.elevate(reason="incident 7")
        seconds, errors, shown = desk.seconds_until(CHANGE.format(mark="idle"))
        assert (times_sent(cluster, "mark idle"), shown.where) == (1, "replica-1")
        told(error, sent=1, seconds=seconds)


def test_a_read_is_sent_again_when_its_replica_is_killed_before_a_row_was_shown(cluster, tmp_path, told):
    mark = "readlost"
    with seated(cluster, tmp_path / "desk", connect_seconds=1.5) as desk:
        first = desk.port()
        read_from = next(node for node in cluster.replicas if node.port == first)
        stays = next(node for node in cluster.replicas if node.port != first)
        killing = threading.Thread(target=lambda: kill_under(cluster, desk, read_from, mark))
        killing.start()
        shown = desk.run(BUSY_READ.format(mark=mark))
        killing.join()
        seconds = shown.ended.elapsed_seconds
        assert [row[0] for row in shown.table] == [stays.port]
        (note,) = [note for note in shown.notes if note.startswith("retried on")]
        assert f"retried on {stays.name}: the " in note and "no row had been shown" in note
        # Each time it was on record before it was sent.
        intents = [record for record in desk.records("intent") if mark in record["sql"]]
        assert [record["node"] for record in intents] == [read_from.name, stays.name]
        outcomes = {record["statement"]: record["outcome"] for record in desk.records("outcome")}
        assert [outcomes[record["statement"]] for record in intents] == ["unseen", "done"]
        assert times_sent(cluster, f"mark {mark}") == 1
        told(None, sent=2, seconds=seconds)


def test_a_read_is_not_sent_again_once_a_row_was_shown(cluster, tmp_path, told):
    mark = "rowshown"
    with seated(cluster, tmp_path / "desk", connect_seconds=1.5) as desk:
        first = desk.port()
        read_from = next(node for node in cluster.replicas if node.port == first)
        later(1.0, lambda: kill(read_from))
        # Rows fill the server's buffer and come while it still runs.
        error = desk.error_of(f"SELECT REPEAT('x', 20000), SLEEP(0.02), 'mark {mark}' FROM orders WHERE id <= 400")
        assert isinstance(error, LostError) and "lost" in error.message
        assert times_sent(cluster, f"mark {mark}") == 0
        seconds, errors, shown = desk.seconds_until("SELECT @@port")
        assert errors == [] and shown.table != [(first,)]
        told(error, sent=1, seconds=seconds)


def test_a_read_whose_connection_was_killed_is_not_sent_again(cluster, tmp_path, told):
    mark = "killed"
    with seated(cluster, tmp_path / "desk") as desk:
        first = desk.port()
        read_from = next(node for node in cluster.replicas if node.port == first)
        later(1.0, lambda: end_whoever_runs(cluster, read_from, mark))
        error = desk.error_of(SLOW_READ.format(mark=mark))
        assert exit_code_of(error) == 5
        assert times_sent(cluster, f"mark {mark}") == 1
        told(error, sent=1, seconds=0.0)


def kill_under(cluster, desk, node, mark):
    # Its text is on the server while it is planned, too: it is sent once that is on record.
    wait_for(lambda: any(mark in record["sql"] for record in desk.records("intent")))
    wait_for(lambda: threads_running(cluster, node, mark))
    kill(node)


def end_whoever_runs(cluster, node, mark):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE info LIKE %s AND info NOT LIKE '%%processlist%%'",
            (f"%{mark}%",),
        )
        for (thread,) in cursor.fetchall():
            cursor.execute(f"KILL {thread}")


def test_a_replica_that_stops_replicating_gets_no_reads(cluster, tmp_path, told):
    with seated(cluster, tmp_path / "desk") as desk:
        first = desk.port()
        stopped = next(node for node in cluster.replicas if node.port == first)
        stop_replication(cluster, stopped)
        started = time.monotonic()
        wait_for(lambda: desk.port() != first)
        noticed = time.monotonic() - started
        for node in cluster.replicas:
            stop_replication(cluster, node)
        desk.session.topology()
        error = desk.error_of(READ.format(mark="stopped"))
        assert isinstance(error, NoFitNodeError) and exit_code_of(error) == 8
        assert sum("replication is not running" in line for line in error.evidence) == 2
        assert times_sent(cluster, "mark stopped") == 0
        start_replication(cluster, stopped)
        seconds, _, shown = desk.seconds_until("SELECT @@port")
        assert shown.table == [(stopped.port,)]
        told(error, sent=0, seconds=max(seconds, noticed))


def test_a_replica_that_lags_gets_no_reads(cluster, tmp_path, told):
    with seated(cluster, tmp_path / "desk", gates={"lag_seconds": 3}) as desk:
        desk.run("SELECT COUNT(*) FROM orders")
        for node in cluster.replicas:
            delay(cluster, node, 10)
        until = time.monotonic() + 20
        error = None
        while error is None and time.monotonic() < until:
            _touch(cluster)
            time.sleep(0.25)
            try:
                desk.run("SELECT COUNT(*) FROM orders")
            except NoFitNodeError as caught:
                error = caught
        assert error is not None and exit_code_of(error) == 8
        assert sum("lag" in line and "over 3 s" in line for line in error.evidence) >= 1
        for node in cluster.replicas:
            delay(cluster, node, 0)
        seconds, _, _ = desk.seconds_until("SELECT COUNT(*) FROM orders")
        told(error, sent=0, seconds=seconds)


def test_an_endpoint_called_replica_that_leads_to_the_primary_is_refused(cluster, tmp_path, told):
    nodes = {"replica": f"127.0.0.1:{cluster.primary.port}"}
    with seated(cluster, tmp_path / "desk", nodes=nodes) as desk:
        error = desk.error_of(READ.format(mark="misled"))
        assert isinstance(error, NoFitNodeError) and exit_code_of(error) == 8
        assert any("replica: is a primary: read_only=0, no replication channel" in line for line in error.evidence)
        assert times_sent(cluster, "mark misled") == 0
        told(error, sent=0, seconds=0.0)


def test_an_endpoint_that_moves_to_the_primary_is_refused(cluster, tmp_path, told):
    replica, proxy = cluster.replicas[0], Proxy(cluster.replicas[0].host, cluster.replicas[0].port)
    with seated(cluster, tmp_path / "desk", nodes={"reader": proxy.address}) as desk:
        assert desk.port() == replica.port
        proxy.lead_to(cluster.primary.host, cluster.primary.port)
        proxy.cut()
        time.sleep(0.2)
        error = desk.error_of(READ.format(mark="moved"))
        assert isinstance(error, NoFitNodeError) and exit_code_of(error) == 8
        assert times_sent(cluster, "mark moved") == 0
        other = cluster.replicas[1]
        proxy.lead_to(other.host, other.port)
        proxy.cut()
        seconds, _, shown = desk.seconds_until("SELECT @@port")
        assert shown.table == [(other.port,)]
        told(error, sent=0, seconds=seconds)
    proxy.close()


def test_a_replica_that_goes_deaf_is_left_for_one_that_answers(cluster, proxies, tmp_path, told):
    nodes = {name: proxy.address for name, proxy in proxies.items()}
    with seated(cluster, tmp_path / "desk", nodes=nodes, connect_seconds=1.5) as desk:
        first = desk.port()
        name = next(node.name for node in cluster.replicas if node.port == first)
        proxies[name].go_deaf()
        started = time.monotonic()
        shown = desk.run(READ.format(mark="deaf"))
        seconds = time.monotonic() - started
        assert shown.table[0][0] != first
        # Nothing of it had been sent, so that the next replica was asked, and the person was not.
        assert times_sent(cluster, "mark deaf") == 1
        assert any(name in note for note in shown.notes), shown.notes
        told(None, sent=1, seconds=seconds)


def test_a_primary_that_is_cut_off_takes_no_change_and_another_does(cluster, proxies, tmp_path, told):
    nodes, mark = {name: proxy.address for name, proxy in proxies.items()}, "cutoff"
    with seated(cluster, tmp_path / "desk", nodes=nodes, connect_seconds=1.5) as desk:
        desk.run("SELECT COUNT(*) FROM orders")
        proxies["primary"].go_deaf()
        error = desk.error_of(CHANGE.format(mark=mark))
        assert exit_code_of(error) == 8 and times_sent(cluster, f"mark {mark}") == 0
        promote(cluster, cluster.replicas[0])
        seconds, errors, shown = desk.seconds_until(CHANGE.format(mark=mark))
        assert shown.where == "replica-1" and times_sent(cluster, f"mark {mark}") == 1
        told(error, sent=0, seconds=seconds)
        # Whoever was cut off and comes back is no second primary.
        proxies["primary"].hear_again()
        proxies["primary"].cut()
        roles = {str(reading.node): reading.role for reading in desk.session.topology()}
        assert (roles["primary"], roles["replica-1"]) == (Role.UNKNOWN, Role.PRIMARY)


def test_a_primary_that_is_cut_off_under_a_change_has_not_committed_it(cluster, proxies, tmp_path, told):
    nodes, mark = {name: proxy.address for name, proxy in proxies.items()}, "cutunder"
    with seated(cluster, tmp_path / "desk", nodes=nodes, connect_seconds=1.5) as desk:
        desk.run("SELECT COUNT(*) FROM orders")
        later(1.0, proxies["primary"].go_deaf)
        started = time.monotonic()
        error = desk.error_of(SLOW_CHANGE.format(mark=mark))
        assert isinstance(error, LostError) and "not committed" in error.message
        # The watchdog gets no answer either, and does not wait for the deadline to say so.
        assert time.monotonic() - started < desk.session.status().limits.run_seconds
        promote(cluster, cluster.replicas[0])
        seconds, errors, shown = desk.seconds_until(CHANGE.format(mark="aftercut"))
        assert shown.where == "replica-1" and times_sent(cluster, "mark aftercut") == 1
        assert desk.run(f"SELECT COUNT(*) FROM orders WHERE status = '{mark}'").table == [(0,)]
        told(error, sent=1, seconds=seconds)


def _touch(cluster):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("UPDATE shop.orders SET total = total + 1 WHERE id = 2")
