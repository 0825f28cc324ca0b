"""A journal that is full for a moment, in real terminals: nothing is sent meanwhile, what happened is written later."""

import resource
import subprocess
import sys
import os

import pytest

from tests.harness.desk import Desk, demo_configuration
from tests.harness.terminal import Terminal

pytestmark = pytest.mark.timeout(120)

NO_LIMIT = resource.RLIM_INFINITY


@pytest.fixture
def seat(mysql_cluster, tmp_path):
    """A function that opens a console on a terminal; with its terminal, its journal's file and its records."""
    terminals = []

    def sit(face):
        config = demo_configuration(mysql_cluster, tmp_path)
        terminal = Terminal(config, command=(face, "shop"))
        terminals.append(terminal)
        records = Desk(None, None, config.parent / "audit").records
        terminal.wait_for(lambda: records("session-opened") and "shop" in terminal.said())
        terminal.read(1.0)
        (file,) = (config.parent / "audit" / "sessions").glob("*.jsonl")
        return terminal, file, records, config

    yield sit
    for terminal in terminals:
        terminal.close()


def fill(terminal, file):
    """Let the console's files grow no more, as a full disk does."""
    resource.prlimit(terminal.process.pid, resource.RLIMIT_FSIZE, (file.stat().st_size, NO_LIMIT))


def free(terminal):
    resource.prlimit(terminal.process.pid, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))


def test_a_console_goes_on_once_there_is_room_and_the_journal_holds(seat):
    terminal, file, records, config = seat("sql")
    terminal.type("SELECT 6 * 7;\r")
    # The console may have asked for names before; a row came back only of this.
    terminal.wait_for(lambda: any("6 * 7" in each["sql"] for each in records("intent")) and "1 row" in terminal.said())
    terminal.wait_for(lambda: len(records("outcome")) == len(records("intent")))
    fill(terminal, file)
    terminal.type("SELECT 'not ' 'sent';\r")
    terminal.wait_for(lambda: "cannot be written" in terminal.said())
    free(terminal)
    terminal.type("SELECT 'well, ' 'again';\r")
    terminal.wait_for(lambda: "well, again" in terminal.said())
    terminal.type("\\q\r")
    assert terminal.leaves() == 0
    assert not any("'not '" in each["sql"] for each in records("intent"))
    assert records("session-closed")
    command = (sys.executable, "-m", "safeconsole", "--config", str(config), "audit", "verify")
    verified = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": str(config.parent)})
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize(("face", "word"), [("sql", "\\q"), ("sql", "exit"), ("python", "exit()"), ("python", "exit")])
def test_leaving_always_leaves(seat, face, word):
    terminal, file, _, _ = seat(face)
    fill(terminal, file)
    terminal.type("SELECT 1;\r" if face == "sql" else "1 + 1\r")
    terminal.wait_for(lambda: "cannot be written" in terminal.said())
    terminal.type(f"{word}\r")
    assert terminal.leaves() == 0, terminal.said()
