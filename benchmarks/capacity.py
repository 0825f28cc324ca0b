"""
The incident's query beside `safeconsole capacity`: `python -m benchmarks.capacity [--flavour F] [--tables N ...]`.

For each flavour it starts a throw-away primary and replica (64 MB buffer pool) and makes tables on the replica, in
steps: N small ones, and 20 larger ones that look like migration leftovers and live tables. Then, for each side, it
restarts the replica so that its caches are cold, reads single rows beside it all the time, and measures what the side
does to it (`cold_server`).

Sides: `nothing`, which shows what the machine does to the figures by itself · `opening`, the console's SELECT 1 ·
`capacity` · the raw queries, as an account that may do all. `--shape` says how much definition each of the N tables
has: that is what the raw queries load, and the console does not. The error is that of the 20 largest tables' estimates
against their files on disk. `--rows N` also puts N made-up rows into the statistics and measures the console's own
memory and time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.cold_server import ColdServer, Cost, ask, measured, on_processor, percentile
from benchmarks.many_tables import SCHEMA, SHAPES, grow, writable
from safeconsole.demo.servers import RunningCluster, RunningNode, connect_root, start_cluster

NOTHING_SECONDS = 10.0
_SIZES = "SELECT table_schema, table_name, data_length + index_length FROM information_schema.tables"
_STATS = "SELECT name, clust_index_size, other_index_size FROM information_schema."
RAW = {
    "mysql": {"information_schema.tables": _SIZES, "innodb_tablestats": f"{_STATS}innodb_tablestats"},
    "mariadb": {"information_schema.tables": _SIZES, "innodb_sys_tablestats": f"{_STATS}innodb_sys_tablestats"},
}
WORST = {"mysql": "innodb_tablestats", "mariadb": "information_schema.tables"}
"""The side of each flavour that took servers down: what the console is held to."""


class Console:
    """The console in a process of its own, on a configuration that names the cluster."""

    def __init__(self, cluster: RunningCluster, directory: Path) -> None:
        self.output = directory / "output.json"
        secrets = directory / "secret"
        secrets.touch(mode=0o600)
        secrets.write_text(cluster.accounts["console_read"])
        nodes = json.dumps([f"{node.host}:{node.port}" for node in cluster.nodes])
        self.config = directory / "config.toml"
        self.config.write_text(
            f'[clusters.bench]\nnodes = {nodes}\n[clusters.bench.accounts]\nread = "console_read"\n'
            f'[clusters.bench.secrets]\nsources = ["command"]\ncommand = ["cat", "{secrets}"]\n'
            f'[clusters.bench.tls]\nmode = "disabled"\n[audit]\ndirectory = "{directory / "audit"}"\n'
        )
        self.environ = {**os.environ, "XDG_STATE_HOME": str(directory / "state")}

    def run(self, *arguments: str) -> int:
        """Run it and return its highest resident memory in bytes."""
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                [*on_processor(-1), sys.executable, "-m", "safeconsole", "--config", str(self.config), *arguments],
                stdout=output,
                env=self.environ,
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"safeconsole {' '.join(arguments)} ended with {process.returncode}")
        return usage.ru_maxrss * 1024

    def report(self) -> int:
        """Make a capacity report."""
        return self.run("capacity", "bench", "--top", "20", "--afresh", "--format", "json")


def nothing() -> int:
    time.sleep(NOTHING_SECONDS)
    return 0


def raw(server: ColdServer, sql: str) -> Callable[[], int]:
    def run() -> int:
        with connect_root(server.node.socket) as dba:
            ask(dba, "SET SESSION TRANSACTION READ WRITE")
            ask(dba, sql)
        return 0

    return run


def errors_of(console: Console, node: RunningNode, figure: str) -> list[float]:
    """Return how far a figure of each of the largest tables is from its file, as a part of the file."""
    found = []
    for row in json.loads(console.output.read_text()):
        path = node.datadir / row["schema"] / f"{row['table']}.ibd"
        if row[figure] is not None and row["schema"].startswith(SCHEMA) and path.exists():
            size = path.stat().st_size
            found.append((row[figure] - size) / size)
            if os.environ.get("SAFECONSOLE_BENCH_DETAIL"):
                print(f"    {row['table']:14} {row[figure]:12,} of {size:12,} {found[-1]:+.1%}")
    return found


def tell_error(what: str, errors: list[float]) -> None:
    worst, median = max(map(abs, errors)), percentile([abs(error) for error in errors], 0.5)
    print(
        f"  {what} of the {len(errors)} largest against their files: worst {worst:.1%}, median {median:.1%}", flush=True
    )


def middle(costs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    figures = {
        field.name: statistics.median([getattr(cost, field.name) for cost in costs])
        for field in dataclasses.fields(Cost)
        if field.name != "side"
    }
    return Cost(side=costs[0].side, **figures)  # type: ignore[arg-type]


def line_of(cost: Cost, tables: int) -> str:
    """Return a side as a line of a table in Markdown; megabytes, kilobytes, milliseconds."""
    memory = (f"+{count / 2**20:.1f}" for count in (cost.grown, cost.own, cost.accounted, cost.kept))
    counts = f"{cost.tables:,.0f}", f"{cost.definitions:,.0f}", f"{cost.redo / 1024:.1f}"
    reads = f"{cost.idle_p99:.2f} → {cost.p99:.2f} ({cost.p99 / cost.idle_p99 - 1:+.0%})", f"{cost.worst:.0f}"
    figures = (cost.side, f"{tables:,}", f"{cost.wall:.1f} s", *memory, *counts, *reads)
    return f"| {' | '.join(figures)} |"


HEAD = (
    "| side | tables | time | memory, MB | its own, MB | by its account, MB | kept, MB | tables opened | definitions"
    " | redo, KB | p99 of the reads beside, without → with, ms | worst |\n|" + "---|" * 12
)


def compare(server: ColdServer, console: Console, given) -> None:
    """Build up to each number of tables, and measure all sides there."""
    already, flavour = 0, server.flavour
    for tables in given.tables:
        took = grow(server, already, tables, given.shape)
        already = tables
        server.restart()
        with connect_root(server.node.socket) as dba:
            version = ask(dba, "SELECT VERSION()")[0][0]
        built = f"{tables} {given.shape} tables (built in {took:.0f} s)"
        print(f"\n{flavour} {version}, {built}, load {os.getloadavg()[0]:.1f}\n{HEAD}")
        sides: dict[str, Callable[[], int]] = {
            "nothing": nothing,
            "opening": lambda: console.run("sql", "bench", "-e", "SELECT 1"),
            "`capacity`": console.report,
            **{name: raw(server, sql) for name, sql in RAW[flavour].items()},
        }
        found: dict[str, list[Cost]] = {side: [] for side in sides}
        for _ in range(given.runs):
            for side, run in sides.items():
                found[side].append(measured(server, side, run))
        costs = {side: middle(each) for side, each in found.items()}
        for cost in costs.values():
            print(line_of(cost, tables), flush=True)
        tell_ratios(costs, WORST[flavour])
        tell_errors(server, console)


def tell_errors(server: ColdServer, console: Console) -> None:
    console.report()
    tell_error("estimate", errors_of(console, server.node, "file_bytes_estimated"))
    tell_error("pages", errors_of(console, server.node, "total_bytes"))
    for what, privilege in (("--verify", "SELECT"), ("--verify, with PROCESS", "PROCESS")):
        with connect_root(server.node.socket) as dba:
            writable(dba, value=True)
            ask(dba, f"GRANT {privilege} ON *.* TO 'console_read'@'%'")
            writable(dba, value=False)
        console.run("capacity", "bench", "--verify", "20", "--format", "json")
        tell_error(what, errors_of(console, server.node, "found_bytes"))
    with connect_root(server.node.socket) as dba:
        writable(dba, value=True)
        ask(dba, "REVOKE PROCESS ON *.* FROM 'console_read'@'%'")
        writable(dba, value=False)


def tell_ratios(costs: dict[str, Cost], worst: str) -> None:
    ours, theirs, opening = costs["`capacity`"], costs[worst], costs["opening"]
    beside = ours.own - opening.own
    print(
        f"\n  of {worst}: memory {ours.grown / max(theirs.grown, 1):.1%}, its own {ours.own / max(theirs.own, 1):.1%}"
        f" ({beside / max(theirs.own, 1):+.1%} without opening the console),"
        f" by the server's account {ours.accounted / max(theirs.accounted, 1):.1%}, definitions"
        f" {ours.definitions / max(theirs.definitions, 1):.1%},"
        f" tables opened {ours.tables / max(theirs.tables, 1):.1%};"
        f" console {ours.console_bytes / 2**20:.0f} MB",
        flush=True,
    )


def long_list(flavour: str, counts: list[int], directory: Path) -> None:
    """Measure the console on made-up statistics."""
    with start_cluster(flavour, directory / "nodes", replicas=1) as cluster:
        node = cluster.replicas[0]
        console = Console(cluster, directory)
        for count in counts:
            with cluster.dba_connect(node) as dba:
                writable(dba, value=True)
                ask(dba, "DELETE FROM mysql.innodb_table_stats WHERE database_name LIKE 'made%'")
                for start in range(0, count, 5_000):
                    rows = ",".join(
                        f"('made{n // 500:05d}', 't{n:07d}', NOW(), {n % 977}, {1 + n % 311}, {n % 7})"
                        for n in range(start, min(start + 5_000, count))
                    )
                    ask(dba, f"INSERT INTO mysql.innodb_table_stats VALUES {rows}")
                writable(dba, value=False)
            begun = time.monotonic()
            highest = console.report()
            kept = sum(path.stat().st_size for path in (directory / "state").rglob("*.gz"))
            print(f"  {flavour}: {count} tables in {time.monotonic() - begun:.1f} s, console {highest / 2**20:.0f} MB,"
                  f" reports kept {kept / 1024:.0f} KB", flush=True)  # fmt: skip
            shutil.rmtree(directory / "state")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", choices=("mysql", "mariadb"), action="append")
    parser.add_argument("--tables", type=int, nargs="*", default=[1_000, 10_000], help="ascending")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small", help="of the many tables")
    parser.add_argument("--runs", type=int, default=1, help="of each side; the medians are told")
    parser.add_argument("--rows", type=int, nargs="*", default=[], help="made-up rows for the console's own cost")
    given = parser.parse_args()
    # Ended from outside, it stops its servers as on any other end.
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(1))
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    machine = f"{platform.machine()} {model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    for flavour in given.flavour or ("mysql", "mariadb"):
        if given.tables:
            with tempfile.TemporaryDirectory(prefix="sc-cap-") as directory:
                one_flavour(flavour, Path(directory), given)
        if given.rows:
            with tempfile.TemporaryDirectory(prefix="sc-cap-") as directory:
                long_list(flavour, given.rows, Path(directory))


def one_flavour(flavour: str, directory: Path, given) -> None:
    with start_cluster(flavour, directory / "nodes", replicas=1) as cluster:
        with cluster.dba_connect(cluster.primary) as dba:
            ask(dba, "GRANT SELECT ON *.* TO 'console_read'@'%'")
        cluster.wait_caught_up()
        server, console = ColdServer(cluster.replicas[0], flavour), Console(cluster, directory)
        try:
            compare(server, console, given)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
