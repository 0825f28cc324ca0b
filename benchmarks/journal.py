"""
How fast the journal is: `python benchmarks/journal.py [DIRECTORY]`.

Prints microseconds a record with and without a sync, what opening costs, syncs a statement, megabytes a
thousand statements, and how fast 100,000 records in 50 sessions are verified, listed and searched. The
directory should be on the kind of disk that journals live on.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from safeconsole.audit.archive import open_archive
from safeconsole.audit.journal import FileJournal, open_journal
from safeconsole.audit.record import Asked, Decided, Ended, Intent
from safeconsole.audit.search import Query, found
from safeconsole.clock import SystemClock
from safeconsole.policy.limits import LIMIT_NAMES

RECORDS, SESSIONS = 100_000, 50

SQL = "SELECT id, customer_id, status, total FROM orders WHERE customer_id = 4711 AND status = 'open' LIMIT 50"
LIMITS = dict.fromkeys(LIMIT_NAMES, 1000.0)
GUARDS = {f"guard_{number}": "1000" for number in range(10)}
FACTS = {f"stmt.fact_{number}": "value" for number in range(30)}
TABLES = ("shop.orders",)


def statement(journal: FileJournal, number: int, *, durable: bool) -> None:
    """Write the four records of an ordinary read."""
    journal.append(
        Asked(statement=number, sql=SQL, digest="d" * 64, kind="select", effects=("read",), tables=TABLES, hazards=())
    )
    journal.append(
        Decided(
            statement=number, verdict="allow", rules=("read-on-replica",), policy="baseline@0123456789ab",
            route="replica", node="replica-1", server="0" * 36, facts=FACTS, limits=LIMITS, message="",
        )
    )  # fmt: skip
    journal.append(
        Intent(
            statement=number, sql=SQL, digest="d" * 64, node="replica-1", server="0" * 36, role="replica",
            account="read", read_only=True, guards=GUARDS, limits=LIMITS,
        ),
        durable=durable,
    )  # fmt: skip
    journal.append(Ended(statement=number, outcome="done", rows=50, bytes=2048, elapsed_seconds=0.0123))


def timed(count: int, act: Callable[[int], None]) -> float:
    """Return the median of five runs, in microseconds an act."""
    runs = []
    for run in range(5):
        began = time.perf_counter()
        for number in range(count):
            act(run * count + number)
        runs.append((time.perf_counter() - began) / count * 1e6)
    return statistics.median(runs)


def syncs(act: Callable[[], None]) -> int:
    """Return how often an act makes the kernel sync."""
    count = 0
    real = {name: getattr(os, name) for name in ("fsync", "fdatasync")}

    def counting(name: str) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            nonlocal count
            count += 1
            real[name](descriptor)

        return sync

    for name in real:
        setattr(os, name, counting(name))
    try:
        act()
    finally:
        for name, function in real.items():
            setattr(os, name, function)
    return count


def reading(directory: Path) -> None:
    """Time what reads 100,000 records."""
    for session in range(SESSIONS):
        journal = open_journal(directory, clock=SystemClock(), session=f"session{session}")
        for number in range(RECORDS // SESSIONS // 4):
            statement(journal, number, durable=False)
        journal.close()
    lines = [line for path in (directory / "sessions").iterdir() for line in path.read_bytes().splitlines()]
    size = sum(map(len, lines)) / 1e6
    archive = open_archive(directory)
    acts: dict[str, Callable[[], object]] = {
        "SHA-256 of its lines, nothing else": lambda: [hashlib.sha256(line).digest() for line in lines],
        "verify": archive.verify,
        "list": archive.sessions,
        "search for a word": lambda: list(found(archive, Query(text="no such word"), (), unread=print)),
        "search by ticket": lambda: list(found(archive, Query(ticket="OPS-7"), (), unread=print)),
        "search in one session": lambda: list(found(archive, Query(text="no such word"), ("session7",), unread=print)),
        "search of a time before them all": lambda: list(found(archive, Query(until="2020-01-01"), (), unread=print)),
    }
    print(f"{RECORDS:,} records in {SESSIONS} sessions, {size:.0f} MB, median of three")
    alone = 0.0
    for name, act in acts.items():
        seconds = statistics.median(seconds_of(act) for _ in range(3))
        alone = alone or seconds
        print(f"  {name:<36} {seconds:8.2f} s {seconds / alone:7.2f} times the first")


def seconds_of(act: Callable[[], object]) -> float:
    """Return how long an act takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def main(parent: str | None) -> None:
    """Run all of it and print one line a figure."""
    directory = Path(tempfile.mkdtemp(dir=parent, prefix="journal-benchmark-"))
    try:
        opening = timed(20, lambda _: open_journal(directory / "opening", clock=SystemClock()).close())
        print(f"open and close a session             {opening:10.1f} us")
        journal = open_journal(directory / "audit", clock=SystemClock())
        bare = os.open(directory / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        written = timed(1000, lambda _: [os.write(bare, b"x" * 905 + b"\n") for _ in range(4)])
        plain = timed(1000, lambda number: statement(journal, number, durable=False))
        print(f"a statement's 4 records, no sync     {plain:10.1f} us  ({plain / 4:.1f} us a record)")
        print(f"four bare writes of as many bytes    {written:10.1f} us  (records: {plain / written:.1f} times that)")
        size, began = journal.path.stat().st_size, 5000
        print(f"a thousand statements                {size / 5 / 1e6:10.2f} MB")
        durable = timed(100, lambda number: statement(journal, began + number, durable=True))
        print(f"a statement's 4 records, one sync    {durable:10.1f} us")
        counted = [syncs(lambda at=at: statement(journal, began + 1000 + at, durable=True)) for at in range(100)]
        print(f"syncs a statement                    {sum(counted) / 100:10.2f}  (at most {max(counted)} of a hundred)")
        journal.close()
        packed = len(gzip.compress(journal.path.read_bytes(), mtime=0)) / journal.path.stat().st_size
        print(f"packed                               {packed:10.1%} of that")
        reading(directory / "read")
    finally:
        shutil.rmtree(directory)
    print(f"on {os.uname().machine}, {os.cpu_count()} cpus, {parent or tempfile.gettempdir()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
