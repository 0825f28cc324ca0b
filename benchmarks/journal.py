"""
How fast the journal is: `python benchmarks/journal.py [DIRECTORY]`.

Prints microseconds a record with and without a sync, what opening costs, megabytes a thousand statements,
and how fast `audit verify` reads. The directory should be on the kind of disk that journals live on.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from safeconsole.adapters.local.archive import open_archive
from safeconsole.adapters.local.clock import SystemClock
from safeconsole.adapters.local.journal import FileJournal, open_journal
from safeconsole.core.limits import LIMIT_NAMES
from safeconsole.core.record import Asked, Decided, Ended, Intent

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


def main(parent: str | None) -> None:
    """Run all of it and print one line a figure."""
    directory = Path(tempfile.mkdtemp(dir=parent, prefix="journal-benchmark-"))
    try:
        opening = timed(20, lambda _: open_journal(directory / "opening", clock=SystemClock()).close())
        print(f"open and close a session             {opening:10.1f} us")
        journal = open_journal(directory / "audit", clock=SystemClock())
        plain = timed(1000, lambda number: statement(journal, number, durable=False))
        print(f"a statement's 4 records, no sync     {plain:10.1f} us  ({plain / 4:.1f} us a record)")
        size, began = journal.path.stat().st_size, 5000
        print(f"a thousand statements                {size / 5 / 1e6:10.2f} MB")
        durable = timed(100, lambda number: statement(journal, began + number, durable=True))
        print(f"a statement's 4 records, one sync    {durable:10.1f} us")
        journal.close()
        size = journal.path.stat().st_size
        began_seconds = time.perf_counter()
        assert open_archive(directory / "audit").verify() == ()
        seconds = time.perf_counter() - began_seconds
        entries = sum(1 for _ in open_archive(directory / "audit").entries(journal.session))
        print(
            f"verify                               {size / seconds / 1e6:10.1f} MB/s, {entries / seconds:,.0f} a second"
        )
    finally:
        shutil.rmtree(directory)
    print(f"on {os.uname().machine}, {os.cpu_count()} cpus, {parent or tempfile.gettempdir()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
