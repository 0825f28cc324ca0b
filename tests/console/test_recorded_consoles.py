"""Both consoles on a terminal of their own, recorded: what is played back, and what is nowhere in the files."""

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from safeconsole.demo.stage import staged

ROOT = Path(__file__).resolve().parents[2]
POLICY = """
description: reads, and nothing of an address in the journal
literals_of: {"*.customers.email": drop}
rules:
  - {id: reads, when: "stmt.plain_read", then: allow}
  - {id: rest, when: "!stmt.plain_read", then: elevate, message: it is no read}
"""
READS = "\x1b[?2004h"
"""What a prompt tells the terminal when it begins to read: that it takes pasted text as such."""

SECONDS = 60


@pytest.fixture(scope="module")
def embedded():
    with staged("embedded") as up:
        yield Path(up.config).read_text()


@pytest.fixture
def shop(embedded, tmp_path):
    """A function that configures the cluster, and returns the configuration's file."""

    def configured(recordings):
        (tmp_path / "policy.yaml").write_text(POLICY)
        text = embedded.replace('environment = "demo"', 'environment = "demo"\npolicy = "policy.yaml"')
        text = re.sub(r'directory = ".*"', f'directory = "{tmp_path}/audit"', text)
        config = tmp_path / "config.toml"
        config.write_text(text + recordings)
        return config

    return configured


def sit(config, face, *entries):
    """Type entries into a console on a terminal, each at its prompt; returns what the terminal showed."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 110))
    environ = {
        # A terminal's size is the terminal's, not what a test runner put into the environment.
        **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
        "PYTHONPATH": str(ROOT),
        "HOME": str(config.parent),
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), face, "shop"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True, cwd=config.parent
    )
    os.close(theirs)
    terminal = Terminal(ours)
    try:
        terminal.wait(lambda shown: READS in shown)
        for entry in entries:
            at = len(terminal.shown)
            os.write(ours, entry.encode() + b"\r")
            terminal.wait(lambda shown, at=at: READS in shown[at:])
        terminal.wait(lambda _: process.poll() is not None or leave(ours))
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0, plain(terminal.shown)
    return plain(terminal.shown)


def leave(terminal):
    """Press Ctrl-D; again and again, since the terminal itself takes one that is pressed between two prompts."""
    with contextlib.suppress(OSError):
        os.write(terminal, b"\x04")


class Terminal:
    """What a terminal showed so far, with all that drives it."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.shown = ""

    def wait(self, condition):
        deadline = time.monotonic() + SECONDS
        while not condition(self.shown):
            assert time.monotonic() < deadline, plain(self.shown)
            if select.select([self.descriptor], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self.descriptor, 65536).decode("utf-8", "replace")


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r", "", text)


def recording_of(config):
    """What the one recording shows, without colours."""
    (cast,) = (config.parent / "audit" / "recordings").iterdir()
    lines = cast.read_text().splitlines()
    assert json.loads(lines[0])["version"] == 2
    assert (json.loads(lines[0])["width"], json.loads(lines[0])["height"]) == (110, 30)
    return plain("".join(json.loads(line)[2] for line in lines[1:]))


def everything_written(config):
    return b"".join(path.read_bytes() for path in (config.parent / "audit").rglob("*") if path.is_file())


def asked(config):
    """How often the read was sent, as the journal says; the console asks for names by itself too."""
    lines = b"".join(path.read_bytes() for path in (config.parent / "audit" / "sessions").iterdir()).splitlines()
    records = [json.loads(line)["record"] for line in lines]
    return sum(record["type"] == "intent" and record["sql"] == READ.rstrip(";") for record in records)


READ = "SELECT id, status FROM orders WHERE id < 3;"
RULED = "SELECT id, email FROM customers WHERE email LIKE 'emre%' LIMIT 2;"
SECRET = "SELECT 'hunter2' AS api_token;"


def test_the_sql_console_is_recorded_as_far_as_the_journal_may_hold_it(shop):
    config = shop('[audit.recordings]\nkeep = "rows"\n')
    shown = sit(config, "sql", READ, RULED, r"\why", SECRET, r"\status")
    assert "@example.com" in shown
    recording = recording_of(config)
    assert "> SELECT id, status FROM orders WHERE id < 3\n" in recording
    assert re.search(r"1 . shipped", recording)
    assert "email LIKE ?" in recording
    assert recording.count("[what this shows is left out: the policy keeps values of its tables out]") == 1
    assert "[what this shows is left out: it may show again what was left out]" in recording
    assert "SELECT '<secret>' AS api_token" in recording
    assert "next goes to" in recording
    for planted in (b"emre", b"@example.com", b"hunter2"):
        assert planted not in everything_written(config), planted


def test_only_what_is_said_is_recorded_where_rows_are_not_kept(shop):
    config = shop('[audit.recordings]\nkeep = "messages"\n')
    sit(config, "sql", READ)
    recording = recording_of(config)
    assert "shipped" not in recording
    assert "2 rows" in recording


def test_the_python_console_is_recorded_until_it_holds_what_the_journal_may_not(shop):
    config = shop('[audit.recordings]\nkeep = "rows"\n')
    shown = sit(
        config, "python", "6 * 7", "print('said', 17)", "db.sql('SELECT id, status FROM orders WHERE id < 3')",
        "r = db.sql('SELECT id, email FROM customers LIMIT 2')", "r", "1 + 1",
    )  # fmt: skip
    assert "@example.com" in shown
    recording = recording_of(config)
    assert ">>> ? * ?\n42\n" in recording
    assert "said 17" in recording
    assert re.search(r"1\s+shipped", recording)
    assert recording.rstrip().endswith("left out: it may show again what was left out]")
    assert b"@example.com" not in everything_written(config)


def test_without_a_word_in_the_configuration_nothing_is_recorded(shop):
    config = shop("")
    sit(config, "sql", READ)
    assert not (config.parent / "audit" / "recordings").exists()
    assert b"SELECT id, status" in everything_written(config)


def test_a_recording_that_is_full_or_impossible_stops_neither_the_console_nor_its_journal(shop):
    config = shop('[audit.recordings]\nkeep = "rows"\nlargest_bytes = 600\n')
    sit(config, "sql", READ, READ, READ)
    assert "the recording ends here" in recording_of(config)
    assert asked(config) == 3
    (config.parent / "audit" / "recordings").rename(config.parent / "moved")
    (config.parent / "audit" / "recordings").write_text("in the way")
    sit(config, "sql", READ)
    assert b"terminal not recorded" in everything_written(config)
    assert asked(config) == 4
