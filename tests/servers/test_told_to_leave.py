"""A closed terminal and `kill` on real servers: what runs is killed, how it ended is recorded, and the program leaves."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.harness.desk import Desk, demo_configuration
from tests.harness.talking import threads_running, wait_for
from tests.harness.terminal import Terminal

pytestmark = pytest.mark.timeout(180)

CLOSED, ENDED = "the terminal was closed (SIGHUP)", "the program was told to end (SIGTERM)"
HOWS = {
    "window closed": (lambda terminal: terminal.hang_up(), signal.SIGHUP, CLOSED),
    "kill -HUP": (lambda terminal: os.kill(terminal.process.pid, signal.SIGHUP), signal.SIGHUP, CLOSED),
    "kill -TERM": (lambda terminal: os.kill(terminal.process.pid, signal.SIGTERM), signal.SIGTERM, ENDED),
}
PLAIN = {**os.environ, "USER": "ada", "PYTHONUNBUFFERED": "1"}


def heavy(mark):
    return f"SELECT COUNT(*) FROM orders {mark} JOIN orders b JOIN orders c WHERE {mark}.total + b.total + c.total < 0"


@pytest.fixture
def config(cluster, tmp_path):
    return demo_configuration(cluster, tmp_path)


@pytest.fixture
def records(config):
    journals = Desk(None, None, config.parent / "audit")
    return journals.records


@pytest.fixture
def opened(config):
    """A function that opens a command on a terminal of its own."""
    terminals = []

    def open_one(*command):
        terminals.append(Terminal(config, command=command))
        return terminals[-1]

    yield open_one
    for terminal in terminals:
        terminal.close()


def at_work(cluster, mark):
    return sum(threads_running(cluster, node, mark) for node in cluster.nodes)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("face", ["one-shot", "sql", "python"])
def test_what_runs_is_killed_and_recorded_and_the_face_leaves(cluster, opened, records, face, how):
    tell, number, why = HOWS[how]
    mark = f"t{os.getpid()}_{face.replace('-', '')}_{number}_{'w' if how in 'window closed' else 'k'}"
    terminal = opened("sql", "shop", "-e", heavy(mark)) if face == "one-shot" else opened(face, "shop")
    if face != "one-shot":
        terminal.wait_for(lambda: records("session-opened") and "shop" in terminal.said())
        terminal.read(0.5)
        terminal.type(f"{heavy(mark)};\r" if face == "sql" else f'db.sql("{heavy(mark)}")\r')
    # What only plans it is not yet the statement.
    terminal.wait_for(lambda: records("decided") and at_work(cluster, mark))
    tell(terminal)
    code = terminal.leaves()
    wait_for(lambda: not at_work(cluster, mark))
    ended = [each for each in records("outcome") if why in each["message"]]
    assert [(each["outcome"], each["kill"]) for each in ended] == [("stopped", "killed")], records("outcome")
    assert [each["reason"] for each in records("session-closed")] == [why]
    # Of a one-shot the code says what became of its statement.
    assert code == (5 if face == "one-shot" else 128 + number), terminal.said()


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("face", ["sql", "python"])
def test_a_console_that_waits_for_input_leaves_in_order(opened, records, face, how):
    tell, number, why = HOWS[how]
    terminal = opened(face, "shop")
    terminal.wait_for(lambda: records("session-opened") and "shop" in terminal.said())
    terminal.read(1.0)
    tell(terminal)
    assert terminal.leaves() == 128 + number, terminal.said()
    assert [each["reason"] for each in records("session-closed")] == [why]


@pytest.mark.parametrize("how", HOWS)
def test_a_terminal_closed_at_a_question_is_no_yes(cluster, opened, records, how):
    tell, number, why = HOWS[how]
    terminal = opened(
        "sql", "shop", "-e", "UPDATE orders SET status = 'asked' WHERE id = 7", "--reason", "r", "--ticket", "T-1"
    )
    terminal.wait_for(lambda: "type the name of the cluster" in terminal.said())
    tell(terminal)
    assert terminal.leaves() == 128 + number, terminal.said()
    assert not records("intent")
    assert [each["reason"] for each in records("session-closed")] == [why]


def test_an_open_transaction_is_undone_and_its_locks_are_free(cluster, opened, records):
    terminal = opened("sql", "shop")
    terminal.wait_for(lambda: records("session-opened") and "shop" in terminal.said())
    for text in ("\\elevate --ticket T-1 a test\r", "shop\r", "BEGIN;\r"):
        terminal.read(1.0)
        terminal.type(text)
    terminal.type("UPDATE orders SET status = 'left open' WHERE id = 8;\r")
    terminal.wait_for(lambda: any(each.get("changed_rows") for each in records("outcome")))
    terminal.hang_up()
    assert terminal.leaves() == 128 + signal.SIGHUP
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SET innodb_lock_wait_timeout = 5")
        cursor.execute("UPDATE shop.orders SET status = status WHERE id = 8")
        cursor.execute("SELECT status FROM shop.orders WHERE id = 8")
        assert cursor.fetchone()[0] != "left open"
    assert "transaction rolled-back" in [each["what"] for each in records("notice")]
    assert [each["reason"] for each in records("session-closed")] == [CLOSED]


@contextmanager
def started(config, *command, **streams):
    """A command without a terminal."""
    words = [sys.executable, "-m", "safeconsole", "--config", str(config), *command]
    with subprocess.Popen(
        words, env={**PLAIN, "HOME": str(config.parent)}, stdout=-1, stderr=-1, text=True, **streams
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_fleet_and_its_clusters_end(cluster, config, records, number):
    mark = f"t{os.getpid()}_fleet_{number}"
    with started(config, "fleet", "shop", "-e", heavy(mark)) as process:
        wait_for(lambda: at_work(cluster, mark))
        process.send_signal(number)
        assert process.wait(30) == 5, process.stderr.read()
    wait_for(lambda: not at_work(cluster, mark))
    assert [each["outcome"] for each in records("outcome")] == ["stopped"]
    assert records("session-closed")


def test_a_survey_of_sizes_ends(config, records):
    with started(config, "capacity", "shop", "--leftovers", "--patience", "1") as process:
        wait_for(lambda: records("session-opened"))
        process.terminate()
        process.wait(30)
    assert len(records("session-closed")) == 1


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_an_agents_server_ends_what_it_runs(cluster, config, records, number):
    mark = f"t{os.getpid()}_agent_{number}"
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    with started(config, "mcp", "shop", stdin=subprocess.PIPE) as process:
        for message in (
            {"id": 1, "method": "initialize", "params": hello},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": {"name": "query", "arguments": {"sql": heavy(mark)}}},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
        wait_for(lambda: at_work(cluster, mark))
        process.send_signal(number)
        assert process.wait(30) == (130 if number == signal.SIGINT else 128 + number), process.stderr.read()
    wait_for(lambda: not at_work(cluster, mark))
    assert "stopped" in [each["outcome"] for each in records("outcome")]
    assert records("session-closed")


def test_code_that_swallows_every_word_is_left_behind(config, records):
    code = "\n".join(
        (
            "import time",
            "print('begun', flush=True)",
            "while True:",
            "  try: time.sleep(60)",
            "  except BaseException: pass",
        )
    )
    with started(config, "python", "shop", "-c", code) as process:
        assert process.stdout.readline() == "begun\n"
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert [each["reason"] for each in records("session-closed")] == [ENDED]


def test_a_signal_that_is_ignored_stays_ignored(config, records):
    """As under `nohup`."""
    with started(
        config, "python", "shop", "-c", "input(); print(db.sql('SELECT 6 * 7').scalar())", stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:  # fmt: skip
        wait_for(lambda: records("session-opened"))
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate("go\n", timeout=60)
        assert (process.returncode, out) == (0, "42\n")
