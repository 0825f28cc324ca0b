"""What the person, the journal and the data say of a statement that was cut off: the same, and no more than is known."""

import os
import signal
import subprocess
import sys
import time

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.errors import OutcomeUnknownError, StoppedError
from tests.harness.desk import seated
from tests.harness.talking import act_when, interrupt_when, threads_running, wait_for

pytestmark = pytest.mark.timeout(240)

SLOW = "UPDATE {table} SET status = IF(SLEEP(0.02) = 0, 'cut', status) WHERE id BETWEEN 1 AND 2000"
ENDLESS = "SELECT COUNT(*) FROM orders {mark} JOIN orders b JOIN orders c WHERE {mark}.total + b.total + c.total < 0"


def asked(cluster, sql, node=None):
    with cluster.dba_connect(node or cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("USE shop")
        for each in sql if isinstance(sql, tuple) else (sql,):
            cursor.execute(each)
        return cursor.fetchall()


def table_of(cluster, mark, engine):
    """A table of its own for a test, with an engine; its name is its mark."""
    asked(
        cluster,
        (
            f"DROP TABLE IF EXISTS {mark}",
            f"CREATE TABLE {mark} (id INT PRIMARY KEY, status VARCHAR(16)) ENGINE = {engine}",
            f"INSERT INTO {mark} SELECT id, 'old' FROM orders WHERE id <= 2000",
        ),
    )
    return mark


def kill(cluster, mark, form):
    rows = asked(
        cluster,
        f"SELECT id FROM information_schema.processlist WHERE info LIKE 'UPDATE {mark}%' AND command <> 'Sleep'",
    )
    for (thread,) in rows:
        asked(cluster, f"{form} {thread}")


def cut(cluster, tmp_path, mark, how, *, limit=30.0):
    """Run a slow change and end it in some way; what was told, recorded and kept."""
    with seated(cluster, tmp_path / "desk") as desk:
        desk.session.tighten("run_seconds", limit)
        if how is not None:
            how(lambda: threads_running(cluster, cluster.primary, f"UPDATE {mark}"))
        error = desk.error_of(SLOW.format(table=mark))
        outcome = desk.records("outcome")[-1]
    wait_for(lambda: not threads_running(cluster, cluster.primary, f"UPDATE {mark}"))
    ((kept,),) = asked(cluster, f"SELECT COUNT(*) FROM {mark} WHERE status = 'cut'")
    return error, outcome, kept


ENDS = {
    "KILL QUERY": lambda cluster, mark: lambda runs: act_when(runs, lambda: kill(cluster, mark, "KILL QUERY")),
    "KILL": lambda cluster, mark: lambda runs: act_when(runs, lambda: kill(cluster, mark, "KILL")),
    "Ctrl-C": lambda cluster, mark: interrupt_when,
    "the time": lambda cluster, mark: None,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_change_whose_commit_was_never_sent_is_not_committed(cluster, tmp_path, end):
    mark = table_of(cluster, f"ended_{len(end)}_{os.getpid()}", "InnoDB")
    limit = 1.5 if end == "the time" else 30.0
    error, outcome, kept = cut(cluster, tmp_path, mark, ENDS[end](cluster, mark), limit=limit)
    assert kept == 0
    assert exit_code_of(error) == 5, error.message
    assert error.message.endswith("; not committed"), error.message
    assert (outcome["outcome"], outcome["message"]) == ("stopped", error.message)


def test_a_change_of_a_table_without_transactions_is_not_said_to_be_undone(cluster, tmp_path):
    mark = table_of(cluster, f"myisam_{os.getpid()}", "MyISAM")

    def under_way():
        found = f"SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'UPDATE {mark}%' AND time >= 1"
        return asked(cluster, found)[0][0]

    how = lambda _runs: act_when(under_way, lambda: kill(cluster, mark, "KILL"))  # noqa: E731
    error, outcome, kept = cut(cluster, tmp_path, mark, how)
    assert kept > 0
    assert isinstance(error, OutcomeUnknownError), error.message
    assert outcome["outcome"] == "unknown"


def test_a_trigger_past_its_time_is_not_committed(cluster, tmp_path):
    mark = table_of(cluster, f"fired_{os.getpid()}", "InnoDB")
    asked(
        cluster,
        f"CREATE TRIGGER {mark}_slow BEFORE UPDATE ON {mark} FOR EACH ROW"
        " BEGIN DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; DO SLEEP(0.2); DO SLEEP(0.2); END",
    )
    with seated(cluster, tmp_path / "desk") as desk:
        desk.session.tighten("run_seconds", 1)
        error = desk.error_of(f"UPDATE {mark} SET status = 'cut' WHERE id <= 60")
        outcome = desk.records("outcome")[-1]
    assert isinstance(error, StoppedError) and error.ceiling == "run_seconds", error
    assert error.message.endswith("; not committed")
    # It swallows a KILL, too: whether it is seen to end is the server's affair.
    assert outcome["outcome"] == ("unseen" if error.message.startswith("asked to stop") else "stopped")
    wait_for(lambda: not threads_running(cluster, cluster.primary, f"UPDATE {mark}"), at_most=120)
    assert asked(cluster, f"SELECT COUNT(*) FROM {mark} WHERE status = 'cut'") == ((0,),)


def test_what_commits_by_itself_and_was_answered_is_done_though_its_connection_is_lost_after_it(cluster, tmp_path):
    mark = f"made_{os.getpid()}"
    asked(cluster, f"DROP TABLE IF EXISTS {mark}")
    with seated(cluster, tmp_path / "desk") as desk:
        from safeconsole.mysql import running

        before = running.close_bracket

        def cut_first(wire, bracket, **how):
            wire.cut()
            before(wire, bracket, **how)

        running.close_bracket = cut_first
        try:
            shown = desk.run(f"CREATE TABLE {mark} (id INT PRIMARY KEY)")
        finally:
            running.close_bracket = before
        assert desk.records("outcome")[-1]["outcome"] == "done"
    assert any("lost right after" in warning for warning in shown.warnings)
    assert asked(cluster, f"SHOW TABLES LIKE '{mark}'")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("deed", ["read", "change"])
def test_a_server_that_hangs_is_not_said_to_have_stopped_it(private_cluster, tmp_path, flavour, deed):
    with private_cluster(flavour, replicas=1) as cluster:
        node = cluster.replicas[0] if deed == "read" else cluster.primary
        mark = "hung" if deed == "read" else table_of(cluster, "hung", "InnoDB")
        begins = "SELECT COUNT(*) FROM orders hung" if deed == "read" else "UPDATE hung"
        text = ENDLESS.format(mark=mark) if deed == "read" else SLOW.format(table=mark)

        def runs():
            if not threads_running(cluster, node, begins):
                return False
            os.kill(node.pid, signal.SIGSTOP)
            return True

        with seated(cluster, tmp_path / "desk", connect_seconds=1.5) as desk:
            interrupt_when(runs)
            try:
                error = desk.error_of(text)
                outcome = desk.records("outcome")[-1]
            finally:
                os.kill(node.pid, signal.SIGCONT)
            assert error.message.startswith("asked to stop on "), error.message
            assert "not seen to stop" in error.message
            assert exit_code_of(error) == 5
            assert (outcome["outcome"], outcome["kill"]) == ("unseen", "unreachable")
            assert any(line.startswith("connection: ") for line in error.evidence)
            told = []
            until = time.monotonic() + 60
            while not told and time.monotonic() < until:
                time.sleep(0.1)
                told += [line for line in desk.session.take_told() if "is over now" in line]
            assert told, "nobody said that it is over"
            assert not threads_running(cluster, node, begins)
            assert told[0] in [each["detail"] for each in desk.records("notice")]
        if deed == "change":
            assert error.message.endswith("; not committed")
            assert asked(cluster, f"SELECT COUNT(*) FROM {mark} WHERE status = 'cut'") == ((0,),)


def test_what_mariadb_cuts_with_a_warning_is_no_success(mariadb_cluster, tmp_path):
    """LIMIT ROWS EXAMINED: an answer without an error, and warning 1931."""
    mark = table_of(mariadb_cluster, f"examined_{os.getpid()}", "InnoDB")
    mariadb_cluster.wait_caught_up()
    with seated(mariadb_cluster, tmp_path / "desk") as desk:
        assert len(desk.run(f"SELECT id FROM {mark} LIMIT ROWS EXAMINED 100000").table) == 2000
        for text in (
            f"SELECT id FROM {mark} LIMIT ROWS EXAMINED 50",
            f"SELECT COUNT(*) FROM {mark} LIMIT ROWS EXAMINED 50",
            f"SELECT id, 'x' + 1 FROM {mark} LIMIT 2000 ROWS EXAMINED 500",
            f"INSERT INTO {mark} SELECT id + 5000, 'cut' FROM {mark} LIMIT ROWS EXAMINED 50",
        ):
            error = desk.error_of(text)
            outcome = desk.records("outcome")[-1]
            assert (type(error), error.ceiling) == (StoppedError, "rows_examined"), text
            assert exit_code_of(error) == 5
            assert (outcome["outcome"], outcome["ceiling"]) == ("stopped", "rows_examined"), text
        assert "not committed" in error.message
        assert asked(mariadb_cluster, f"SELECT COUNT(*) FROM {mark}") == ((2000,),)
        assert desk.run("SELECT 1").table == [(1,)]
    asked(mariadb_cluster, f"DROP TABLE {mark}")


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2>/dev/full >/dev/full"])
def test_a_status_line_that_cannot_be_written_ends_no_change(cluster, tmp_path, where):
    mark = table_of(cluster, f"told_nobody_{os.getpid()}", "InnoDB")
    with seated(cluster, tmp_path / "desk") as desk:
        words = (
            f"-m safeconsole --config {tmp_path}/desk/config.toml sql shop --reason x --ticket T-1 --confirm shop"
            f" -e \"UPDATE {mark} SET status = 'told' WHERE id <= 7\""
        )
        left = subprocess.run(
            ("bash", "-c", f"{sys.executable} {words} {where}"),
            env={**os.environ, "HOME": str(tmp_path / "desk")}, check=False,
        )  # fmt: skip
        outcomes = [(each["outcome"], each["changed_rows"]) for each in desk.records("outcome")]
    assert (left.returncode, outcomes) == (0, [("done", 7)])
    assert asked(cluster, f"SELECT COUNT(*) FROM {mark} WHERE status = 'told'") == ((7,),)
    asked(cluster, f"DROP TABLE {mark}")
