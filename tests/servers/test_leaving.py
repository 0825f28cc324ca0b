"""A person at a real terminal who presses Ctrl-C: once stops the statement, again leaves, and both kill on the server."""

import pytest

from tests.harness.desk import Desk, seated
from tests.harness.terminal import Terminal
from tests.harness.talking import threads_running, wait_for

HEAVY = "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders leaving WHERE a.total + b.total + leaving.total < 0"
# Names itself in the process list, also while a statement of its own runs.
BODY = (
    "DECLARE n INT DEFAULT 0; WHILE n < 400 DO DO SLEEP(0.05 + 0 * LENGTH('swallows_kills')); SET n = n + 1; END WHILE;"
)


@pytest.fixture
def sit_down(cluster, tmp_path):
    """A function that opens a console at a terminal, with the baseline policy."""
    terminals = []

    def sit(*arguments):
        with seated(cluster, tmp_path / "desk"):
            pass
        terminals.append(Terminal(tmp_path / "desk" / "config.toml", *arguments))
        terminals[-1].wait_for(lambda: "shop" in terminals[-1].said())
        return terminals[-1]

    yield sit
    for terminal in terminals:
        terminal.close()


def outcomes(tmp_path):
    return Desk(None, None, tmp_path / "desk" / "audit").records("outcome")


def test_once_stops_the_statement_and_keeps_the_console(cluster, sit_down, tmp_path):
    terminal = sit_down("--to", "replica-1")
    terminal.type(f"{HEAVY};\r")
    terminal.wait_for(lambda: threads_running(cluster, cluster.replicas[0], "JOIN orders leaving"))
    terminal.wait_for(lambda: "Ctrl-C stops it on the server" in terminal.said())
    terminal.type("\x03")
    # The journal, not the screen: the status line is drawn until the very end.
    terminal.wait_for(lambda: any(each["outcome"] == "stopped" for each in outcomes(tmp_path)))
    assert threads_running(cluster, cluster.replicas[0], "JOIN orders leaving") == 0
    terminal.type("SELECT 'well, ' 'and alive';\r")
    terminal.wait_for(lambda: "well, and alive" in terminal.said())
    assert terminal.process.poll() is None
    terminal.type("\\quit\r")
    terminal.wait_for(lambda: terminal.process.poll() is not None)
    assert terminal.process.returncode == 0
    ended = [(each["outcome"], each["stopped_by"], each["kill"]) for each in outcomes(tmp_path)]
    assert ("stopped", "person", "killed") in ended


def test_again_while_it_is_being_stopped_leaves_and_kills_first(cluster, sit_down, tmp_path):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("USE shop")
        cursor.execute("DROP PROCEDURE IF EXISTS swallows_kills")
        # It swallows KILL QUERY, so that the first Ctrl-C takes the whole grace.
        cursor.execute(f"CREATE PROCEDURE swallows_kills() SQL SECURITY INVOKER BEGIN {BODY} END")
        cursor.execute("GRANT EXECUTE ON shop.* TO console_elevated@'%'")
    terminal = sit_down("--to", "primary", "--reason", "a test", "--ticket", "T-1", "--confirm", "shop")

    def at_work():
        return threads_running(cluster, cluster.primary, "swallows_kills")

    # The second must come within the grace of the first: where the machine slept over that, both once more.
    for stopped_before in range(5):
        terminal.type("CALL swallows_kills();\r")
        terminal.wait_for(lambda: terminal.said().count("type the name of the cluster") > stopped_before)  # noqa: B023
        terminal.type("shop\r")
        terminal.wait_for(at_work)
        terminal.type("\x03")
        terminal.read(0.15)
        terminal.type("\x03")
        terminal.wait_for(lambda: len(outcomes(tmp_path)) > stopped_before)
        if terminal.ends():
            break
    terminal.wait_for(lambda: terminal.process.poll() is not None)
    assert terminal.process.returncode == 130, terminal.said()
    wait_for(lambda: not at_work())
    ended = outcomes(tmp_path)[-1]
    # It commits by itself, so nobody says that it did nothing.
    assert ended["outcome"] == "unknown"
    closed = Desk(None, None, tmp_path / "desk" / "audit").records("session-closed")
    assert closed
