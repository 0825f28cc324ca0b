"""A console that dies at each single step of the write path, in the middle of a write as well."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from safeconsole.audit.archive import open_archive
from safeconsole.clock import SystemClock
from safeconsole.audit.record import Ended, Intent

REPO = Path(__file__).resolve().parents[2]

# Every call that changes or locks a file is counted; at the chosen one the process kills itself,
# before it, or after half of a write.
CONSOLE = """
    import fcntl, os, signal, sys
    from pathlib import Path
    step, half = int(sys.argv[2]), sys.argv[3] == "half"
    calls = 0
    def counted(module, name):
        real = getattr(module, name)
        def call(*args, **more):
            global calls
            calls += 1
            if calls == step:
                if half and name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)
        setattr(module, name, call)
    from safeconsole.clock import SystemClock
    from safeconsole.audit.journal import open_journal
    from safeconsole.audit.record import Ended, Intent, SessionClosed
    say = os.write
    for name in ("write", "fsync", "fdatasync", "mkdir", "open", "ftruncate"):
        counted(os, name)
    counted(fcntl, "flock")
    journal = open_journal(Path(sys.argv[1]), clock=SystemClock(), session=f"s{step}{sys.argv[3]}")
    for number in (1, 2):
        journal.append(Intent(statement=number, sql="SELECT 1", digest="d", node="n", server="s", role="replica", account="read",
            read_only=True, guards={}, limits={}, elevation="e"), durable=True)
        say(1, b"sent %d\\n" % number)
        journal.append(Ended(statement=number, outcome="done"))
    journal.append(SessionClosed(statements=2))
    journal.close()
    say(1, b"whole\\n")
"""


def run(directory, step, half):
    arguments = [sys.executable, "-c", textwrap.dedent(CONSOLE), str(directory), str(step), half]
    return subprocess.run(
        arguments, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPO)}, check=False
    )


@pytest.mark.parametrize("half", ["none", "half"])
def test_a_console_killed_at_any_step_has_an_intent_for_all_it_sent_and_leaves_a_journal_that_holds(
    directory, told, half
):
    step = 0
    while True:
        step += 1
        ended = run(directory, step, half)
        archive = open_archive(directory)
        sent = ended.stdout.count("sent")
        session = f"s{step}{half}"
        held = {summary.session for summary in archive.sessions()}
        records = [entry.record for entry in archive.entries(session)] if session in held else []
        intents = [record.statement for record in records if isinstance(record, Intent)]
        outcomes = [record.statement for record in records if isinstance(record, Ended)]
        # Never sent without an intent that survived; never an outcome without an intent.
        assert len(intents) >= sent, (step, ended)
        assert set(outcomes) <= set(intents)
        if "whole" in ended.stdout:
            break
        assert ended.returncode == -9, ended
        told.write_session(directory, SystemClock(), statements=1)
        assert open_archive(directory).verify() == (), step
    assert step > 20, "too few steps were tried to mean anything"
    assert open_archive(directory).verify() == ()
