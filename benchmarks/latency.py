"""
What a person waits for over a link: one-shots and an open session beside their peers, at 0, 2, 20 and 80 ms.

    python -m benchmarks.latency [--flavour mysql|mariadb] [--milliseconds 0 2 20 80] [--client PATH] [--write]

A proxy of our own stands before every node of a throw-away cluster, delays each byte, and counts round trips. PyMySQL
and mycli are installed into environments of their own, so that they import nothing of ours. Commands take turns.
--write puts the figures into docs/benchmarks.md.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from benchmarks.console import configured, machine, written
from benchmarks.peers import environment, interleaved, peers_of
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from tests.harness.clusters import account_connect
from tests.harness.delaying import DelayingProxy, one_after_the_other
from tests.harness.desk import listen, seated

SECTION = "latency"
BARE = "PyMySQL script"


@contextmanager
def lines(cluster, milliseconds):
    """Put a line of some length before each node, in another process; yields ports, and what tells the round trips."""
    command = [sys.executable, "-m", "benchmarks.latency", "--line", str(milliseconds)]
    nodes = [f"{node.host}:{node.port}" for node in cluster.nodes]
    with subprocess.Popen([*command, *nodes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        ports = json.loads(process.stdout.readline())

        def trips():
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ports, trips
        process.stdin.close()


def keep_lines(milliseconds: float, nodes: list[str]) -> None:
    """Be the lines, and tell their round trips whenever asked."""
    proxies = []
    for address in nodes:
        host, _, port = address.rpartition(":")
        proxies.append(DelayingProxy(host, int(port), round_trip_seconds=milliseconds / 1000, withholds=False))
    print(json.dumps([proxy.port for proxy in proxies]), flush=True)
    for _ in sys.stdin:
        print(json.dumps([[line.spans for line in proxy.lines] for proxy in proxies]), flush=True)


class Moved:
    """A cluster as it is seen through other ports."""

    def __init__(self, cluster, ports):
        self.flavour, self.accounts = cluster.flavour, cluster.accounts
        self.nodes = tuple(_Node(node.name, node.host, port) for node, port in zip(cluster.nodes, ports, strict=True))
        self.replicas = self.nodes[1:]


class _Node:
    def __init__(self, name, host, port):
        self.name, self.host, self.port = name, host, port


def one_shots(cluster, directory: Path, peers: dict[str, str | None], milliseconds: float, times: int) -> dict:
    """Return (median seconds, round trips) of each command."""
    directory.mkdir()
    with lines(cluster, milliseconds) as (ports, trips):
        moved = Moved(cluster, ports)
        commands = peers_of(
            moved,
            directory,
            configured(directory, moved),
            mycli=peers["mycli"],
            client=peers["client"],
            python=peers["python"],
        )
        shots = commands.one_shots()
        costs = interleaved(shots, commands.environ, times=times)
        counted = {}
        for name, command in shots.items():
            before = trips()
            subprocess.run(command, env=commands.environ, check=True, capture_output=True)
            # What is on the way after that, nobody waits for.
            counted[name] = serial(before, trips(), until=time.monotonic())
    return {name: (cost.wall, counted[name]) for name, cost in costs.items()}


def serial(before: list[list], after: list[list], *, until: float) -> int:
    """Return the round trips that follow each other on new connections; what is side by side is waited for once."""
    made = [line for old, of_node in zip(before, after, strict=True) for line in of_node[len(old) :]]
    return one_after_the_other([tuple(span) for line in made for span in line], until=until)


def session(cluster, directory: Path, milliseconds: float, times: int) -> dict[str, float]:
    """Return the median seconds of each step in a session that is open."""
    with lines(cluster, milliseconds) as (ports, _):
        moved = Moved(cluster, ports)
        nodes = {node.name: f"{node.host}:{node.port}" for node in moved.nodes}
        found = {BARE: _bare(moved, times)}
        with seated(cluster, directory, nodes=nodes) as desk:
            desk.run("SELECT 1")
            read = "SELECT id, status{} FROM orders WHERE id = {}"
            found["seen"] = _median(times, lambda turn: desk.run(read.format("", turn + 1)))
            found["new"] = _median(times, lambda turn: desk.run(read.format(f", 1 AS n{turn}", 7)))
            change = "UPDATE orders SET status = status WHERE id = {}"
            found["the first read on another node"] = _took(lambda: _on_primary(desk))
            found["the first elevated change"] = _took(lambda: desk.run(change.format(1)))
            # Each has an elevation of its own, and with it connections of its own.
            found["an elevated change"] = _median(times, lambda turn: desk.run(change.format(turn + 2)))
            desk.session.elevate(reason="incident 7")
            found["a change in a window"] = _median(times, lambda turn: desk.run(change.format(turn + 2)))
    return found


LOGGED = (
    "SELECT thread_id, CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE user_host LIKE 'console%'"
    " AND command_type IN ('Query', 'Prepare', 'Execute', 'Init DB')"
)
"""What our accounts sent, as the server logged it."""


def logged(cluster, directory: Path, times: int) -> dict[str, tuple[float, float]]:
    """Return (on its own connections, on those that measure and watch): statements that a server got for each step."""
    listen(cluster)
    read, change = "SELECT id, status{} FROM orders WHERE id = {}", "UPDATE orders SET status = status WHERE id = {}"
    found = {}
    with seated(cluster, directory) as desk:
        desk.run(read.format("", 1))
        desk.run(change.format(1))
        for step, act in (
            ("seen", lambda turn: desk.run(read.format("", turn + 2))),
            ("new", lambda turn: desk.run(read.format(f", 1 AS n{turn}", 7))),
            ("an elevated change", lambda turn: desk.run(change.format(turn + 2))),
        ):
            before = _logged_by(cluster)
            for turn in range(times):
                act(turn)
            found[step] = tuple((now - was) / times for was, now in zip(before, _logged_by(cluster), strict=True))
    return found


def _logged_by(cluster) -> tuple[int, int]:
    own = beside = 0
    for node in cluster.nodes:
        with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
            cursor.execute(LOGGED)
            rows = cursor.fetchall()
        watching = {thread for thread, text in rows if "SESSION_MEMORY" in text or "innodb_stats_persistent" in text}
        own += sum(thread not in watching for thread, _ in rows)
        beside += sum(thread in watching for thread, _ in rows)
    return own, beside


def _on_primary(desk):
    desk.session.use("primary")
    desk.run("SELECT id, status FROM orders WHERE id = 7")
    desk.session.use("")


def _bare(cluster, times: int) -> float:
    node = cluster.replicas[0]
    with account_connect(cluster, node, "console_read") as connection, connection.cursor() as cursor:

        def ask(turn):
            cursor.execute(f"SELECT id, status FROM orders WHERE id = {turn + 1}")
            cursor.fetchall()

        return _median(times, ask)


def _median(times: int, act) -> float:
    # The first one warms up.
    return statistics.median([_took(lambda turn=turn: act(turn)) for turn in range(times + 1)][1:])


def _took(act) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def statements_sent(sent: dict) -> list[str]:
    """Return the part of the section that no line makes longer: statements by the servers' general log."""
    return [
        "### What the servers log for one statement",
        "",
        "| statements in the general log | on its own connections | measuring and watching |",
        "|---|---:|---:|",
        *(f"| {step} | {own:.1f} | {beside:.1f} |" for step, (own, beside) in sent.items()),
        "",
    ]


def tables(shots: dict, sessions: dict) -> list[str]:
    """Return the section: wall time and round trips of one-shots, then what an open session waits for."""
    names = list(next(iter(shots.values())))
    out = [
        "### One statement over a link: `-e 'SELECT 1'`",
        "",
        "Wall time in ms, median. Opening a connection is one round trip, and its greeting another.",
        "",
        f"| round trip, ms | {' | '.join(names)} | beside the script + 3 round trips | beside mycli |",
        f"|---:|{'---:|' * len(names)}---:|---:|",
    ]
    for milliseconds, costs in shots.items():
        ours, script = costs["safeconsole"][0], costs[BARE][0] + 3 * milliseconds / 1000
        peer = f"{ours / costs['mycli'][0]:.2f}" if "mycli" in costs else ""
        figures = " | ".join(f"{costs[name][0] * 1000:.0f}" for name in names)
        out.append(f"| {milliseconds:g} | {figures} | {ours / script:.2f} | {peer} |")
    # Of the longest line: on a short one nobody can tell what was waited for.
    out.append(f"| *round trips* | {' | '.join(str(costs[name][1]) for name in names)} | | |")
    steps = list(next(iter(sessions.values())))
    out += ["", "### A statement in an open session, ms", ""]
    out += [f"| round trip, ms | {' | '.join(steps)} |", f"|---:|{'---:|' * len(steps)}"]
    for milliseconds, found in sessions.items():
        out.append(f"| {milliseconds:g} | {' | '.join(f'{found[step] * 1000:.1f}' for step in steps)} |")
    return [*out, ""]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a person waits for over a link, beside their peers.")
    parser.add_argument("--flavour", choices=FLAVOURS, default="mysql")
    parser.add_argument("--milliseconds", type=float, nargs="+", default=[0, 2, 20, 80])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument(
        "--client", default=shutil.which("mariadb") or shutil.which("mysql"), help="path of the C client"
    )
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    parser.add_argument("--line", type=float, help=argparse.SUPPRESS)
    parser.add_argument("nodes", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.nodes:
        keep_lines(given.line, given.nodes)
        return
    with tempfile.TemporaryDirectory(prefix="console-latency-") as made:
        directory = Path(made)
        python = environment(directory / "bare", f"pymysql=={version('pymysql')}", "cryptography") / "python"
        mycli = environment(directory / "mycli", "mycli") / "mycli"
        peers = {"python": str(python), "mycli": str(mycli), "client": given.client}
        shots, sessions = {}, {}
        with start_cluster(given.flavour, directory / "nodes") as cluster:
            for milliseconds in given.milliseconds:
                name = f"{milliseconds:g}"
                shots[milliseconds] = one_shots(cluster, directory / f"shots-{name}", peers, milliseconds, given.times)
                sessions[milliseconds] = session(cluster, directory / f"session-{name}", milliseconds, given.times)
            rest = statements_sent(logged(cluster, directory / "logged", given.times))
        given.mycli = str(mycli)
        text = "\n".join([*machine(given), *tables(shots, sessions), *rest])
    print(text)
    if given.write:
        written(SECTION, text)


if __name__ == "__main__":
    main()
