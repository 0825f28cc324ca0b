"""
One server of a throw-away cluster, restarted cold before each side, and what a side does to it.

Measured: memory of the process (resident at its highest, and what of it is the server's own and not its program's
pages on disk), memory by the server's own account, tables and definitions opened, redo written, and the latency of
single reads beside it. Server and reads have one processor, the console has another: it lives on another computer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pymysql

from safeconsole.demo.servers import RunningNode, connect_root
from tests.harness.clusters import has_ended

NORMAL = (
    "--innodb-doublewrite=1",
    "--innodb-flush-log-at-trx-commit=1",
    # A crash's recovery would look at every file first.
    "--innodb-fast-shutdown=1",
)
CACHES = {
    "mysql": ("--table-open-cache=4000", "--table-definition-cache=2000"),
    "mariadb": ("--table-open-cache=2000", "--table-definition-cache=400"),
}
"""The servers' own defaults, with `NORMAL` the settings of a server at work; the demo's are for throw-away data."""

ACCOUNTS = {
    "mysql": "SELECT SUM(current_number_of_bytes_used) FROM performance_schema.memory_summary_global_by_event_name",
    "mariadb": "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'MEMORY_USED'",
}
"""What the server says that it holds; MariaDB's leaves out InnoDB."""

SETTLE_SECONDS, WARM_SECONDS, IDLE_SECONDS, AFTER_SECONDS = 3.0, 2.0, 10.0, 0.5
_LOOK_SECONDS = 0.02
_ACCOUNTED_EVERY = 10
_START_SECONDS = 600.0
_LOAD = """
import sys, time, random, pymysql
c = pymysql.connect(unix_socket=sys.argv[1], user="root", autocommit=True)
q = c.cursor()
while True:
    key = random.randrange(1, 10001)
    begun = time.monotonic()
    q.execute("SELECT v FROM bench.hot WHERE id = %s" % key)
    q.fetchall()
    ended = time.monotonic()
    sys.stdout.write("%f %f\\n" % (begun, ended - begun))
    sys.stdout.flush()
    time.sleep(0.003)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """
    What one side did: bytes, counts, milliseconds, seconds.

    Attributes:
        grown: resident memory, at its highest; what a start freed is used again and does not show.
        accounted: memory by the server's own account, at its highest; see `ACCOUNTS`.
        own: the same without pages of the server's program, which its first use of any code reads from disk.
        kept: resident memory still there afterwards.
        idle_p99: of the reads beside it, in a time without it, half before and half after.
        console_bytes: the console's own memory at its highest, 0 where there was none.
    """

    side: str
    wall: float
    grown: int
    own: int
    accounted: int
    kept: int
    tables: int
    definitions: int
    redo: int
    idle_p99: float
    p99: float
    worst: float
    reads: int
    console_bytes: int = 0


def ask(dba, sql):
    with dba.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


class ColdServer:
    """A node's process; restarted by the command that it was started with, and options after it."""

    def __init__(self, node: RunningNode, flavour: str) -> None:
        self.node = node
        self.flavour = flavour
        self.pid = node.pid
        self.command = Path(f"/proc/{node.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        self.process: subprocess.Popen[bytes] | None = None

    def restart(self, *options: str) -> None:
        """Stop it, start it with these options or as a server at work, and wait until it answers."""
        self.stop()
        chosen = options or (*NORMAL, *CACHES[self.flavour])
        before = ("nice", "-n", "10") if options else on_processor(0)
        command = [*(word.encode() for word in before), *self.command, *(option.encode() for option in chosen)]
        with (self.node.datadir.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.node.datadir.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self.process.pid
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            try:
                connect_root(self.node.socket).close()
            except (OSError, pymysql.MySQLError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.2)
            else:
                return
        raise SystemExit("the replica did not come up again")

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if has_ended(self.pid):
            return
        os.kill(self.pid, signal.SIGTERM)
        if self.process is not None:
            self.process.wait()
        while not has_ended(self.pid):
            time.sleep(0.05)

    def memory(self) -> dict[str, int]:
        """Return resident memory now (VmRSS), at its highest (VmHWM), and the server's own (RssAnon), in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        wanted = ("VmRSS", "VmHWM", "RssAnon")
        return {
            line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(wanted)
        }

    def forget_highest(self) -> None:
        """Begin to look for the highest memory anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def counters(self) -> dict[str, int]:
        """Return the server's own counters."""
        names = "'Opened_tables','Opened_table_definitions','Innodb_os_log_written'"
        with connect_root(self.node.socket) as dba:
            rows = ask(dba, f"SHOW GLOBAL STATUS WHERE variable_name IN ({names})")
        return {name: int(value) for name, value in rows}


def on_processor(number: int) -> tuple[str, ...]:
    """Return what runs a command on one processor, counted from 0, or -1 for the last."""
    known = sorted(os.sched_getaffinity(0))
    return ("taskset", "-c", str(known[number])) if len(known) > 1 else ()


class _Highest:
    """Looks at the server's own memory while a side runs."""

    def __init__(self, server: ColdServer) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._dba = connect_root(server.node.socket)
        self.begun = self.accounted = self._accounted()
        self.highest = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self._over.set()
        self._thread.join()
        self._dba.close()

    def _look(self) -> None:
        looks = 0
        while not self._over.is_set():
            self.highest = max(self.highest, self._server.memory()["RssAnon"])
            looks += 1
            if looks % _ACCOUNTED_EVERY == 0:
                self.accounted = max(self.accounted, self._accounted())
            self._over.wait(_LOOK_SECONDS)

    def _accounted(self) -> int:
        return int(ask(self._dba, ACCOUNTS[self._server.flavour])[0][0])


def measured(server: ColdServer, side: str, run: Callable[[], int]) -> Cost:
    """Restart cold, load, and run one side; `run` returns the console's memory, or 0."""
    server.restart()
    # A replica that has just begun catches up first.
    time.sleep(SETTLE_SECONDS)
    reads = [*on_processor(0), sys.executable, "-c", _LOAD, str(server.node.socket)]
    load = subprocess.Popen(reads, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(WARM_SECONDS)
        idle_from = time.monotonic()
        time.sleep(IDLE_SECONDS / 2)
        own = _Highest(server)
        before, was = server.counters(), server.memory()
        server.forget_highest()
        begun = time.monotonic()
        with own:
            console = run()
        ended = time.monotonic()
        time.sleep(AFTER_SECONDS)
        now, after = server.memory(), server.counters()
        calm_from = time.monotonic()
        time.sleep(IDLE_SECONDS / 2)
        calm_to = time.monotonic()
    finally:
        load.terminate()
        lines = load.communicate()[0].splitlines()
    reads = [tuple(map(float, line.split())) for line in lines if line.count(" ") == 1]
    idle = [took * 1000 for at, took in reads if idle_from <= at < begun or calm_from <= at < calm_to]
    during = [took * 1000 for at, took in reads if begun - 0.1 <= at <= ended]
    return Cost(
        side=side, wall=ended - begun, grown=now["VmHWM"] - was["VmRSS"], kept=now["VmRSS"] - was["VmRSS"],
        own=max(own.highest - was["RssAnon"], 0), accounted=own.accounted - own.begun,
        tables=after["Opened_tables"] - before["Opened_tables"],
        definitions=after.get("Opened_table_definitions", 0) - before.get("Opened_table_definitions", 0),
        redo=after["Innodb_os_log_written"] - before["Innodb_os_log_written"],
        idle_p99=percentile(idle, 0.99), p99=percentile(during, 0.99), worst=max(during, default=float("nan")),
        reads=len(during), console_bytes=console,
    )  # fmt: skip


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")
