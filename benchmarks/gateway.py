"""
What a gateway costs beside a direct connection, in one run: latency, processor time, memory, connections.

    python -m benchmarks.gateway [--flavour mysql|mariadb] [--repeat 300] [--idle 200] [--busy 50] [--crowd]

Starts a throw-away cluster and a gateway in front of it. Times are medians in milliseconds; processor time is the
gateway's own.
"""

import argparse
import hashlib
import os
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from benchmarks.team import Watcher, percentile, side_by_side
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster, tell
from safeconsole.dialects.grants import CONSOLE_CONNECTIONS
from safeconsole.sqltext.vocabulary import Account
from tests.harness.clusters import account_connect
from tests.harness.gateway import serving

MILLION = "SELECT a.id, b.status, a.total, a.created_at FROM orders a JOIN orders b ON b.id <= 200"


class Meter:
    """The gateway's processor time and memory."""

    def __init__(self, pid):
        self._pid = pid

    @property
    def cpu_seconds(self):
        fields = Path(f"/proc/{self._pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mb(self):
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def median_ms(act, repeat):
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def by_key(cursor):
    numbers = iter(range(1, 1_000_000))
    return lambda: (
        cursor.execute(f"SELECT status FROM orders WHERE id = {next(numbers) % 5000 + 1}"),
        cursor.fetchall(),
    )


def refused(cursor):
    with suppress(pymysql.err.MySQLError):
        cursor.execute("UPDATE orders SET status = 'x' WHERE id = 3")


def million(connection):
    """Read a million rows without making anything of them; seconds, and a digest of them."""
    began, digest, ends = time.perf_counter(), hashlib.md5(usedforsecurity=False), 0
    connection._execute_command(3, MILLION)  # noqa: SLF001 (the packets as they come)
    while ends < 2:
        head = connection._rfile.read(4)  # noqa: SLF001
        payload = connection._rfile.read(int.from_bytes(head[:3], "little"))  # noqa: SLF001
        if payload[0] == 0xFF:
            raise RuntimeError(payload.decode(errors="replace"))
        if payload[0] == 0xFE and len(payload) < 9:
            ends += 1
        else:
            digest.update(payload)
    return time.perf_counter() - began, digest.hexdigest()


@dataclass
class Crowd:
    """
    What many clients at once came to.

    Attributes:
        seconds: of each statement of the busy, in order of length.
        a_second: statements a second of all of them.
        unanswered: the errors that a client had instead of an answer.
        peak, idle: server connections of our accounts by node, at most, and once all clients rest.
    """

    seconds: list = field(default_factory=list)
    a_second: float = 0.0
    unanswered: list = field(default_factory=list)
    peak: dict = field(default_factory=dict)
    idle: dict = field(default_factory=dict)


def limited(cluster, people):
    """Give the accounts the limits that `init --people` prints."""
    with cluster.dba_connect(cluster.primary) as dba:
        for account in Account:
            most = people * CONSOLE_CONNECTIONS[account]
            tell(dba, f"ALTER USER 'console_{account}'@'%' WITH MAX_USER_CONNECTIONS {most}")
    cluster.wait_caught_up()


def crowded(cluster, gateway, *, idle, busy, each):
    """Have clients ask side by side while others are connected and do nothing; see `Crowd`."""
    found, lock = Crowd(), threading.Lock()

    def ask():
        try:
            with gateway.connect_socket() as connection, connection.cursor() as cursor:
                act = by_key(cursor)
                own = [median_ms(act, 1) / 1000 for _ in range(each)]
        except pymysql.err.MySQLError as error:
            with lock:
                found.unanswered.append(str(error))
            return
        with lock:
            found.seconds.extend(own)

    with Watcher(cluster) as watcher, ExitStack() as opened:
        resting = [opened.enter_context(gateway.connect_socket()) for _ in range(idle)]
        for connection in resting:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        began = time.perf_counter()
        side_by_side([ask] * busy)
        found.a_second = len(found.seconds) / (time.perf_counter() - began)
        found.idle = watcher.idle(3 * len(cluster.nodes))
        found.peak = watcher.peak
        for connection in resting:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
    found.seconds.sort()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--flavour", choices=FLAVOURS, default="mysql")
    parser.add_argument("--repeat", type=int, default=300)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--busy", type=int, default=50)
    parser.add_argument("--people", type=int, default=20, help="the limits that init prints for so many")
    parser.add_argument("--crowd", action="store_true", help="measure the idle and the busy clients alone")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, start_cluster(asked.flavour, Path(place) / "nodes") as cluster:
        settings = (
            f"[gateway]\nclients = {asked.idle + asked.busy + 10}\nclients_a_person = {asked.idle + asked.busy + 10}\n"
        )
        with serving(cluster, Path(place) / "gateway", settings=settings) as gateway:
            (tell_crowd if asked.crowd else measure)(cluster, gateway, asked)


def tell_crowd(cluster, gateway, asked):
    """Print what many clients at once came to."""
    limited(cluster, asked.people)
    crowd = crowded(cluster, gateway, idle=asked.idle, busy=asked.busy, each=20)
    print(
        f"{asked.idle} idle and {asked.busy} busy, limits of init --people {asked.people}:"
        f" {crowd.a_second:.0f} statements a second, p50 {percentile(crowd.seconds, 0.5) * 1000:.0f} ms,"
        f" p99 {percentile(crowd.seconds, 0.99) * 1000:.0f} ms, not answered: {len(crowd.unanswered)}"
    )
    for name in crowd.peak:
        print(f"connections to {name}: at most {crowd.peak[name]}, {crowd.idle[name]} when all rest")
    for words in crowd.unanswered[:3]:
        print(words)


def measure(cluster, gateway, asked):
    meter = Meter(gateway.process.pid)
    direct = account_connect(cluster, cluster.replicas[0], "console_read")
    with direct, gateway.connect_socket() as through:
        cursor, beside = through.cursor(), direct.cursor()
        median_ms(by_key(cursor), 20)
        used = meter.cpu_seconds
        key = median_ms(by_key(cursor), asked.repeat)
        used = (meter.cpu_seconds - used) / asked.repeat * 1000
        print(
            f"read by key: {key:.2f} ms, direct {median_ms(by_key(beside), asked.repeat):.2f} ms, {used:.2f} ms of CPU"
        )
        print(f"absorbed SET: {median_ms(lambda: cursor.execute('SET NAMES utf8mb4'), asked.repeat):.2f} ms")
        print(f"refusal: {median_ms(lambda: refused(cursor), 50):.1f} ms")
        print(f"login: {median_ms(lambda: gateway.connect_socket().close(), 30):.1f} ms")
        for name, value in (("fetched_rows", 1_100_000), ("fetched_bytes", 400_000_000), ("run_seconds", 60)):
            cursor.execute(f"CALL safeconsole.tighten('{name}', '{value}')")
        (seconds, digest), (alone, other) = million(through), million(direct)
        print(
            f"a million rows: {seconds:.1f} s, direct {alone:.1f} s, the same: {digest == other},"
            f" {meter.resident_mb:.0f} MB resident"
        )
    tell_crowd(cluster, gateway, asked)
    before = meter.resident_mb
    idle = [gateway.connect_socket() for _ in range(asked.idle)]
    for connection in idle:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    time.sleep(5)
    print(f"{asked.idle} idle: {meter.resident_mb:.0f} MB resident, {meter.resident_mb - before:.0f} MB for them")
    for connection in idle:
        connection.close()


if __name__ == "__main__":
    main()
