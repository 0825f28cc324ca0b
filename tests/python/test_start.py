"""The Python console's start: the prompt stands before ptpython is imported, and what is typed there is run."""

import os
import pty
import re
import select
import sys
import time
from pathlib import Path

from tests.architecture.test_walls import imported_after

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_prompt_waits_for_no_import():
    modules = imported_after("import safeconsole.app, safeconsole.cli.python")
    assert modules.isdisjoint(
        {"ptpython", "prompt_toolkit", "rich", "sqlalchemy", "sqlglot", "safeconsole.session.session"}
    )


def test_what_is_typed_at_the_first_prompt_is_run_when_the_session_is_open(shop, tmp_path):
    child, terminal = start(shop, tmp_path)
    try:
        seen = until(terminal, b">>> ")
        assert seen.startswith(b"shop (demo). Reads go to a proven replica")
        assert seen.count(b">>> ") == 1
        os.write(terminal, b"db.sql('SELECT 271 * 31').scalar()\r")
        seen = until(terminal, b"8401", seen)
        assert seen.count(b"Reads go to") == 1
        leave(terminal)
    finally:
        os.close(terminal)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0


def test_what_is_wrong_is_said_on_a_line_of_its_own(shop, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(re.sub(r"^directory = .*$", 'directory = "/proc/nowhere"', shop.read_text(), flags=re.M))
    config.chmod(0o600)
    child, terminal = start(config, tmp_path)
    try:
        seen = until(terminal, b"open a new session")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(terminal)
    assert b">>> \x1b[?2004l\r\x1b[K" in seen
    assert code == 7


def test_a_terminal_without_colours_is_told_the_same_once(shop, tmp_path):
    child, terminal = start(shop, tmp_path, term="dumb")
    try:
        seen = until(terminal, b"help(db)")
        assert seen.startswith(b"shop (demo). Reads go to a proven replica")
        leave(terminal)
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def start(config, directory, term="xterm-256color"):
    """Start a console on a terminal of its own; returns its process and the terminal's other end."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(directory)
        environ = {**os.environ, "TERM": term, "PYTHONPATH": str(ROOT), "HOME": str(directory)}
        command = [sys.executable, "-m", "safeconsole", "--config", str(config), "python", "shop"]
        os.execve(sys.executable, command, environ)
    return child, terminal


def leave(terminal):
    """Press Ctrl-D until the terminal is closed: between two prompts it takes the key for itself."""
    for _ in range(60):
        try:
            os.write(terminal, b"\x04")
        except OSError:
            return
        if until(terminal, b"never", seconds=0.5) is None:
            return
    raise AssertionError("it does not leave")


def until(terminal, wanted, seen=b"", seconds=30.0):
    """Read until some text stands there; None when the terminal is closed. Answers where the cursor is."""
    started = time.monotonic()
    while wanted not in seen and time.monotonic() - started < seconds:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                read = os.read(terminal, 65_536)
            except OSError:
                return None
            seen += read
            if b"\x1b[6n" in read:
                os.write(terminal, b"\x1b[1;1R")
    return seen
