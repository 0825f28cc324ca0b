"""
An archive of many sessions: what it takes to list, search and verify it, and the memory for that.

    python -m benchmarks.many_sessions [--sessions 20000] [--directory DIRECTORY]

Writes short sessions of three statements by the journal's own code, then runs the commands as a person would, each as a
process of its own: seconds, and the largest resident memory. Writing takes the most of it, since each session's opening
and closing are made durable: a directory that was filled before is used again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.journals import HandClock, write_session

COMMANDS = {
    "list": ("audit", "list", "--format", "jsonl"),
    "list all": ("audit", "list", "--limit", "0", "--format", "jsonl"),
    "search": ("audit", "search", "--outcome", "unknown", "--format", "jsonl"),
    "verify": ("audit", "verify"),
}


def fill(directory, sessions):
    """Write sessions until there are so many."""
    clock = HandClock()
    there = len(list((directory / "sessions").glob("*"))) if (directory / "sessions").is_dir() else 0
    for _ in range(there, sessions):
        write_session(directory, clock)


def ask(directory, words):
    """Run one command on an archive; its exit code, seconds, largest megabytes, and lines of data."""
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
        shown.seek(0)
        return process.returncode, seconds, used.ru_maxrss / 1024, sum(1 for _ in shown)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = (given.directory or Path(temporary)) / "audit"
        began = time.monotonic()
        fill(directory, given.sessions)
        print(f"{given.sessions:,} sessions written in {time.monotonic() - began:.1f} s")
        for name, words in COMMANDS.items():
            code, seconds, megabytes, lines = ask(directory, words)
            print(f"{name:14} exit {code}  {seconds:6.1f} s  {megabytes:6.0f} MB  {lines:,} lines")


if __name__ == "__main__":
    main()
