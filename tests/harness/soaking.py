"""Many short statements through one whole console, and what it and its servers hold before and after."""

import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from safeconsole.errors import SafeConsoleError

POINT_READ = "SELECT id, status FROM orders WHERE id = {number}"
RANGE = "SELECT COUNT(*), SUM(total) FROM orders WHERE id BETWEEN {number} AND {number} + 50"
WRONG = "SELECT no_such_column FROM orders WHERE id = {number}"
TOO_LONG = (
    "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < {number} - 9999"
)
TOO_MANY = "SELECT a.id FROM orders a JOIN orders b WHERE b.id < 100"
DENIED = "SELECT RELEASE_ALL_LOCKS()"
CHANGE = "UPDATE orders SET status = 'soaked' WHERE id = {number}"

KINDS = ((POINT_READ, 1), (RANGE, 7), (WRONG, 50), (DENIED, 90), (CHANGE, 150), (TOO_MANY, 200), (TOO_LONG, 250))
"""Each statement, and that every so many-th is one; the last that divides the number wins."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """
    What is held at one moment.

    Attributes:
        threads, files: of this process.
        resident_bytes: of this process.
        connections: of the console's accounts on all servers.
        locks: slots that somebody holds, on all servers.
        processes: of the servers and this one's children.
    """

    threads: int
    files: int
    resident_bytes: int
    connections: int
    locks: int
    processes: int


def held(cluster):
    """Look."""
    gc.collect()
    connections = locks = 0
    for node in cluster.nodes:
        with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user LIKE 'console%'")
            connections += cursor.fetchone()[0]
            cursor.execute(
                "SELECT " + " + ".join(f"(IS_USED_LOCK('safeconsole.heavy.{n}') IS NOT NULL)" for n in range(1, 5))
            )
            locks += cursor.fetchone()[0]
    status = Path("/proc/self/status").read_text()
    resident = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    alive = sum(Path(f"/proc/{node.pid}").exists() for node in cluster.nodes)
    children = len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    return Held(
        threads=threading.active_count(),
        files=len(os.listdir("/proc/self/fd")),
        resident_bytes=resident,
        connections=connections,
        locks=locks,
        processes=alive + children,
    )


def settled(cluster, wanted, *, at_most=10.0):
    """Look until what is held is no more than wanted; a server needs moments to see that a connection is gone."""
    until = time.monotonic() + at_most
    while True:
        now = held(cluster)
        names = ("threads", "files", "connections", "locks", "processes")
        if all(getattr(now, name) <= getattr(wanted, name) for name in names) or time.monotonic() > until:
            return now
        time.sleep(0.1)


def text_of(number):
    """The statement with a number."""
    (*_, text) = [text for text, every in KINDS if number % every == 0]
    return text.format(number=1 + number % 4000)


def soak(desk, count, *, start=1):
    """Run so many statements, some of which fail, are stopped or refused; how many ended how."""
    desk.session.tighten("run_seconds", 0.3)
    ended = {}
    for number in range(start, start + count):
        try:
            desk.run(text_of(number))
            how = "done"
        except SafeConsoleError as error:
            how = type(error).__name__
        ended[how] = ended.get(how, 0) + 1
    return ended
