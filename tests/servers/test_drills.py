"""What goes wrong around a console in an incident: its journal is taken away, its terminal closes, its clock jumps."""

import os
import shutil
import subprocess
import sys

import pytest

from safeconsole.clock import SystemClock
from safeconsole.errors import AuditUnavailableError
from tests.harness.desk import Desk, demo_configuration, seated
from tests.harness.terminal import Terminal

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def sit_down(cluster, tmp_path):
    """A function that opens a console on a terminal; with its terminal and its records."""
    config = demo_configuration(cluster, tmp_path)
    terminal = Terminal(config)
    records = Desk(None, None, config.parent / "audit").records
    try:
        terminal.wait_for(lambda: records("session-opened") and "shop" in terminal.said())
        terminal.read(1.0)
        yield terminal, records, config.parent / "audit"
    finally:
        terminal.close()


def test_a_journal_that_is_taken_away_lets_nothing_be_sent_and_the_console_leaves(sit_down):
    terminal, records, journals = sit_down
    terminal.type("SELECT 6 * 7;\r")
    terminal.wait_for(lambda: any(each["outcome"] == "done" for each in records("outcome")))
    shutil.rmtree(journals)
    mark = f"taken away {os.getpid()}"
    terminal.type(f"SELECT '{mark}';\r")
    terminal.wait_for(lambda: "the journal" in terminal.said() or "cannot be" in terminal.said())
    terminal.read(0.5)
    terminal.type("\\q\r")
    terminal.leaves()
    assert "Traceback" not in terminal.said()
    assert "put the directory back" in terminal.said()
    assert f"│ {mark}" not in terminal.said()


def test_a_journal_that_is_taken_away_is_told_by_code_7_and_no_statement_follows(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk") as desk:
        desk.run("SELECT 1")
        shutil.rmtree(desk.journals)
        for _ in range(2):
            error = desk.error_of("UPDATE orders SET status = status WHERE id = 1 /* taken away */")
            assert isinstance(error, AuditUnavailableError)
            assert error.instead


@pytest.mark.parametrize("question", ["ticket", "cluster"])
def test_a_terminal_that_closes_at_a_question_grants_nothing(sit_down, question):
    terminal, records, _ = sit_down
    terminal.type("UPDATE orders SET status = 'asked' WHERE id = 9;\r")
    terminal.wait_for(lambda: "not run" in terminal.said() or "writes" in terminal.said())
    terminal.read(0.5)
    terminal.type("\\elevate its terminal closes\r")
    terminal.wait_for(lambda: "ticket (Enter for none)" in terminal.said())
    if question == "cluster":
        terminal.read(0.5)
        terminal.type("\r")
        terminal.wait_for(lambda: any(each["state"] == "asked" for each in records("elevation")))
    terminal.read(0.5)
    terminal.hang_up()
    assert terminal.leaves() == 129
    states = [each["state"] for each in records("elevation")]
    assert states == (["asked", "declined"] if question == "cluster" else [])
    assert records("session-closed")
    # The console asks for names to complete by itself.
    assert not [each for each in records("intent") if "orders" in each["sql"]]


def test_a_clock_that_jumps_neither_prolongs_a_window_nor_ends_it_and_the_journal_holds(cluster, tmp_path, monkeypatch):
    """The wall's clock goes back two hours and on by a day; then the computer sleeps for as long as the window lasts."""
    wall, slept = 0.0, 0.0
    utc, monotonic = SystemClock.utc, SystemClock.monotonic

    def moved(clock):
        hour = (int(utc(clock)[11:13]) + int(wall // 3600)) % 24
        text = utc(clock)
        day = "2026-12-02" if wall >= 86_400 else text[:10]
        return f"{day}T{hour:02}{text[13:]}"

    monkeypatch.setattr(SystemClock, "utc", moved)
    monkeypatch.setattr(SystemClock, "monotonic", lambda clock: monotonic(clock) + slept)
    with seated(cluster, tmp_path / "desk", justification=None) as desk:
        desk.session.elevate(reason="a test", window_seconds=600)
        for wall in (-7200.0, 86_400.0, 0.0):
            assert desk.run("UPDATE orders SET status = status WHERE id = 1").ended.outcome == "done"
            assert 0 < desk.session.status().elevated_seconds <= 600
        slept = 601.0
        error = desk.error_of("UPDATE orders SET status = status WHERE id = 1")
        assert "the elevation window ended: its time is over" in error.evidence
        assert desk.run("SELECT 1").table == [(1,)]
    words = ("--config", str(tmp_path / "desk" / "config.toml"), "audit", "verify")
    verified = subprocess.run(
        (sys.executable, "-m", "safeconsole", *words), capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(tmp_path / "desk")},
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr
