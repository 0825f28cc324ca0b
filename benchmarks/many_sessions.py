"""
An archive of many sessions: what it takes to list, search, show, review and verify it, and the memory for that.

    python -m benchmarks.many_sessions [--sessions 20000] [--directory DIRECTORY] [--write]

Writes short sessions of three statements by the journal's own code, all of one day, which is the worst for a list: of
many days only the newest are opened. Then the commands run as a person would, each as a process of its own: seconds of
the clock and of the processor, and the largest resident memory; the pages of `audit serve` are asked in one process.
Writing takes the most of it, since each session's opening and closing are made durable: a directory that was filled
before is used again. --write puts the figures into docs/scale.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.console import written
from safeconsole.audit.archive import open_archive
from safeconsole.audit.review import open_reviews
from safeconsole.clock import SystemClock
from safeconsole.web.local import Desk, new_keys, respond
from safeconsole.web.server import HttpRequest
from tests.harness.journals import HandClock, write_session

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
COMMANDS = {
    "`audit list`": ("audit", "list", "--format", "jsonl"),
    "`audit list --limit 0`": ("audit", "list", "--limit", "0", "--format", "jsonl"),
    "`audit show SESSION`": ("audit", "show", "{session}"),
    "`audit search --outcome unknown`": ("audit", "search", "--outcome", "unknown", "--format", "jsonl"),
    "`audit review`": ("audit", "review", "--format", "jsonl"),
    "`audit verify`": ("audit", "verify"),
}


def fill(directory, sessions):
    """Write sessions until there are so many."""
    clock = HandClock()
    there = len(list((directory / "sessions").glob("*"))) if (directory / "sessions").is_dir() else 0
    for _ in range(there, sessions):
        write_session(directory, clock)


def ask(directory, words):
    """Run one command on an archive; its exit code, seconds, seconds of the processor, and largest megabytes."""
    config = directory.parent / "many_sessions.toml"
    config.write_text(f'[audit]\ndirectory = "{directory}"\n')
    config.chmod(0o600)
    with tempfile.TemporaryFile() as shown:
        began = time.monotonic()
        process = subprocess.Popen(
            (sys.executable, "-m", "safeconsole", "--config", str(config), *words),
            stdout=shown,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(directory.parent)},
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
    return process.returncode, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def pages(directory, session):
    """Ask for pages as a browser would; the seconds of each, and those of the processor."""
    keys, archive = new_keys(8000), open_archive(directory)
    desk = Desk(
        archive=lambda: archive,
        reviews=lambda: open_reviews(directory, by="cleo", clock=SystemClock()),
        recording=lambda _: None,
        keys=keys,
    )
    headers = {"host": "127.0.0.1:8000", "cookie": f"safeconsole_audit={keys.cookie}"}
    for name, target in (("the queue, first", ""), ("the queue, again", ""), ("one session", f"sessions/{session}")):
        began, used = time.monotonic(), time.process_time()
        told = respond(HttpRequest(method="GET", target=keys.base + target, headers=headers), desk)
        yield f"page: {name}", told.status, time.monotonic() - began, time.process_time() - used


def measured(directory):
    """Yield (what, seconds, seconds of the processor, megabytes or None)."""
    session = min((directory / "sessions").iterdir()).name[len("2026-11-07-") :].removesuffix(".jsonl")
    for name, words in COMMANDS.items():
        code, *took = ask(directory, [word.format(session=session) for word in words])
        if code:
            raise SystemExit(f"{name} ended with {code}")
        yield name, *took
    for name, status, *took in pages(directory, session):
        if status != 200:
            raise SystemExit(f"{name} was answered with {status}")
        yield name, *took, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = (given.directory or Path(temporary)) / "audit"
        fill(directory, given.sessions)
        head = (
            f"{given.sessions:,} sessions of three statements, all of one day, on {os.cpu_count()} processors;"
            f" load average {os.getloadavg()[0]:.0f} when they were asked."
        )
        lines = [
            head,
            "",
            "| | seconds | of the processor | resident, MB |",
            "|---|---:|---:|---:|",
        ]
        for name, seconds, used, megabytes in measured(directory):
            resident = "" if megabytes is None else f"{megabytes:.0f}"
            lines.append(f"| {name} | {seconds:.1f} | {used:.1f} | {resident} |")
            print(lines[-1], flush=True)
    if given.write:
        written("sessions", "\n".join(lines) + "\n", page=PAGE)


if __name__ == "__main__":
    main()
