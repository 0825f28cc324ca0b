"""
What a gateway costs beside a direct connection, in one run: latency, processor time, memory, connections.

    python -m benchmarks.gateway [--flavour mysql|mariadb] [--repeat 300] [--idle 200] [--busy 50] [--write]
                                 [--crowd [--workers N]]

Starts a throw-away cluster and a gateway in front of it. Times are medians in milliseconds; processor time is the
gateway's own.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pymysql

from benchmarks.console import machine, written
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


def at_once(gateway, clients, each):
    """Have clients that are logged in ask side by side; return statements a second, and percentiles in milliseconds."""
    times, lock, all_here = [], threading.Lock(), threading.Barrier(clients + 1)

    def ask():
        with gateway.connect_socket() as connection, connection.cursor() as cursor:
            act = by_key(cursor)
            act()
            all_here.wait()
            own = [median_ms(act, 1) for _ in range(each)]
        with lock:
            times.extend(own)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    all_here.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    times.sort()
    return len(times) / (time.perf_counter() - began), times[len(times) // 2], times[int(len(times) * 0.99)]


def fetched_by(client, gateway, node, account):
    """Have the C client read a million rows through the gateway and directly; return both, in seconds."""
    limits = (
        "CALL safeconsole.tighten('fetched_rows', '1100000'); CALL safeconsole.tighten('fetched_bytes', '400000000');"
    )
    login = [client, "--no-defaults", "--skip-ssl", "--batch", "--quick", "-D", "shop"]
    ways = {
        "through": [*login, "--socket", gateway.socket, "-u", "x", "-e", f"{limits} {MILLION}"],
        "direct": [*login, "-h", node.host, "-P", str(node.port), "-u", account[0], "-e", MILLION],
    }
    found = {}
    for way, command in ways.items():
        began = time.perf_counter()
        subprocess.run(command, env={**os.environ, "MYSQL_PWD": account[1]}, stdout=subprocess.DEVNULL, check=True)
        found[way] = time.perf_counter() - began
    return found["through"], found["direct"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--flavour", choices=FLAVOURS, default="mysql")
    parser.add_argument("--repeat", type=int, default=300)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--busy", type=int, default=50)
    parser.add_argument("--people", type=int, default=20, help="the limits that init prints for so many")
    parser.add_argument("--crowd", action="store_true", help="measure the idle and the busy clients alone")
    parser.add_argument("--workers", type=int, default=1, help="processes of the gateway, with --crowd")
    parser.add_argument("--client", default=shutil.which("mariadb"), help="path of the C client")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    asked = parser.parse_args()
    if asked.workers > 1 and not asked.crowd:
        parser.error("--workers goes with --crowd: times of one client do not differ")
    asked.mycli = None
    with tempfile.TemporaryDirectory() as place, start_cluster(asked.flavour, Path(place) / "nodes") as cluster:
        settings = (
            f"[gateway]\nclients = {asked.idle + asked.busy + 10}\nclients_a_person = {asked.idle + asked.busy + 10}\n"
        )
        words = ("--workers", str(asked.workers)) if asked.workers > 1 else ()
        with serving(cluster, Path(place) / "gateway", settings=settings, words=words) as gateway:
            if asked.crowd:
                tell_crowd(cluster, gateway, asked)
                return
            text = "\n".join([*machine(asked), *measure(cluster, gateway, asked)])
    print(text)
    if asked.write:
        written("gateway", text)


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
    """Return the section of docs/benchmarks.md, a line for each aim."""
    meter, found = Meter(gateway.process.pid), []
    direct = account_connect(cluster, cluster.replicas[0], "console_read")
    with direct, gateway.connect_socket() as through:
        cursor, beside = through.cursor(), direct.cursor()
        median_ms(by_key(cursor), 20)
        used = meter.cpu_seconds
        key = median_ms(by_key(cursor), asked.repeat)
        used = (meter.cpu_seconds - used) / asked.repeat * 1000
        bare = median_ms(by_key(beside), asked.repeat)
        found += [
            ("a read by key over direct, ms", key - bare, "<= 3"),
            ("its processor time, ms", used, "<= 1.5"),
            ("an absorbed SET, ms", median_ms(lambda: cursor.execute("SET NAMES utf8mb4"), asked.repeat), "<= 0.3"),
            ("a refusal, ms", median_ms(lambda: refused(cursor), 50), "<= 20"),
            ("a login, ms", median_ms(lambda: gateway.connect_socket().close(), 30), "<= 40"),
        ]
        for name, value in (("fetched_rows", 1_100_000), ("fetched_bytes", 400_000_000), ("run_seconds", 60)):
            cursor.execute(f"CALL safeconsole.tighten('{name}', '{value}')")
        used, turns = meter.cpu_seconds, [(million(through), million(direct)) for _ in range(3)]
        used = (meter.cpu_seconds - used) / len(turns)
        if len({digest for turn in turns for _, digest in turn}) != 1:
            raise RuntimeError("the rows are not the same")
        ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in turns)
        found += [
            ("a million rows beside direct", ratio, "<= 1.15"),
            ("their processor time, s", used, ""),
            ("resident with a million rows, MB", meter.resident_mb, "<= 80"),
        ]
    if asked.client:
        account = "console_read", cluster.accounts["console_read"]
        turns = [fetched_by(asked.client, gateway, cluster.replicas[0], account) for _ in range(3)]
        ratio = statistics.median(ours / theirs for ours, theirs in turns)
        found.append(("a million rows by the C client, beside direct", ratio, ""))
    rate, middle, slowest = at_once(gateway, asked.busy, 40)
    found += [
        (f"{asked.busy} at work: statements a second", rate, ">= 400"),
        (f"{asked.busy} at work: p50, ms", middle, ""),
        (f"{asked.busy} at work: p99, ms", slowest, ""),
    ]
    idle = [gateway.connect_socket() for _ in range(asked.idle)]
    for connection in idle:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    time.sleep(5)
    found.append((f"resident with {asked.idle} idle, MB", meter.resident_mb, "<= 150"))
    most = max(map(partial(connections, cluster), cluster.nodes))
    found.append((f"connections to a node with {asked.idle} idle", most, "<= 3"))
    for connection in idle:
        connection.close()
    lines = [f"| {what} | {aim.lstrip('<>= ')} | {value:.2f} | {judged(aim, value)} |" for what, value, aim in found]
    return ["| | aim | measured | |", "|---|---:|---:|---|", *lines]


def connections(cluster, node):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user LIKE 'console%'")
        return cursor.fetchone()[0]


def judged(aim, value):
    if not aim:
        return ""
    most = float(aim.lstrip("<>= "))
    return "met" if (value <= most if aim.startswith("<") else value >= most) else "**missed**"


if __name__ == "__main__":
    main()
