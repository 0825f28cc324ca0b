"""
The incident's query beside `safeconsole capacity`: `python benchmarks/capacity.py [--flavour F] [--tables N ...]`.

For each flavour it starts a throw-away primary and replica (64 MB buffer pool), makes N small tables and 20 larger
ones that look like migration leftovers and live tables, and waits until the replica has them. Then, for each side, it
restarts the replica so that its caches are cold, reads single rows beside it all the time, and measures what the side
does to the replica: resident memory, tables and definitions opened, redo written, latency of the single reads, time.

Sides: `nothing` (the console opens and runs SELECT 1) · `capacity` · the raw queries, as an account that may do all.
The error is that of the 20 largest tables' estimates against their files on disk. `--rows N` also puts N made-up rows
into the statistics and measures the console's own memory and time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pymysql

from safeconsole.demo.cluster import RunningCluster, RunningNode, connect_root, has_ended
from safeconsole.demo.servers import start_cluster

SCHEMA = "bench"
LARGE = 20
SETTLE_SECONDS, IDLE_SECONDS, AFTER_SECONDS = 3.0, 6.0, 0.5
_SIZES = "SELECT table_schema, table_name, data_length + index_length FROM information_schema.tables"
_STATS = "SELECT name, clust_index_size, other_index_size FROM information_schema."
RAW = {
    "mysql": {"information_schema.tables": _SIZES, "innodb_tablestats": f"{_STATS}innodb_tablestats"},
    "mariadb": {"information_schema.tables": _SIZES, "innodb_sys_tablestats": f"{_STATS}innodb_sys_tablestats"},
}
LOAD = """
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
    """What one side did: bytes, counts, milliseconds, seconds."""

    side: str
    wall: float
    grown: int
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


def build(cluster: RunningCluster, tables: int) -> None:
    """Make N small tables in schemas of 500, and the large ones, on the replica alone: it is the one that is asked."""
    begun = time.monotonic()
    with cluster.dba_connect(cluster.primary) as dba:
        ask(dba, "GRANT SELECT ON *.* TO 'console_read'@'%'")
    cluster.wait_caught_up()
    with cluster.dba_connect(cluster.replicas[0]) as dba:
        writable(dba, value=True)
        ask(dba, f"CREATE DATABASE {SCHEMA}")
        ask(dba, f"CREATE TABLE {SCHEMA}.hot (id INT PRIMARY KEY, v VARCHAR(100))")
        for start in range(1, 10_001, 2_000):
            values = ",".join(f"({n}, REPEAT('x', 80))" for n in range(start, start + 2_000))
            ask(dba, f"INSERT INTO {SCHEMA}.hot VALUES {values}")
        for number in range(LARGE):
            name = f"`{SCHEMA}`.`_large{number:02d}_gho`" if number % 4 == 0 else f"`{SCHEMA}`.`large{number:02d}`"
            ask(dba, f"CREATE TABLE {name} (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(2000), KEY (a))")
            for part in range(3 + number // 5):
                columns = f"id + {part * 10_000}, REPEAT(CHAR(65 + (id + {part}) % 26), 1900)"
                ask(dba, f"INSERT INTO {name} (a, b) SELECT {columns} FROM {SCHEMA}.hot")
        for number in range(tables):
            schema = f"{SCHEMA}_{number // 500:04d}"
            if number % 500 == 0:
                ask(dba, f"CREATE DATABASE {schema}")
            ask(dba, f"CREATE TABLE {schema}.t{number:06d} (id INT PRIMARY KEY, a INT, KEY (a))")
        writable(dba, value=False)
    print(f"  built {tables} tables in {time.monotonic() - begun:.0f} s", flush=True)
    wait_for_statistics(cluster)


def wait_for_statistics(cluster: RunningCluster) -> None:
    """Wait until the server has noticed in the background what was filled; a restart would make it forget to."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        with cluster.dba_connect(cluster.replicas[0]) as dba:
            sql = f"SELECT COUNT(*) FROM mysql.innodb_table_stats WHERE database_name = '{SCHEMA}' AND n_rows > 25000"
            if ask(dba, sql)[0][0] == LARGE:
                return
        time.sleep(2)
    print("  the statistics of some large tables are still old", flush=True)


def writable(dba, *, value: bool) -> None:
    """Let the replica's own administrator change it, without a trace in its log; or no more."""
    if "MariaDB" not in ask(dba, "SELECT VERSION()")[0][0]:
        ask(dba, f"SET GLOBAL super_read_only = {int(not value)}")
    ask(dba, f"SET GLOBAL read_only = {int(not value)}")
    ask(dba, f"SET SESSION sql_log_bin = {int(not value)}")


class Replica:
    """The replica's process, restarted cold for each side."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self.pid = node.pid
        self.command = Path(f"/proc/{node.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        self.process: subprocess.Popen[bytes] | None = None

    def restart(self) -> None:
        """Stop it, start it with the same command, and wait until it answers."""
        self.stop()
        log = (self.node.datadir.parent / "server.log").open("ab")
        self.process = subprocess.Popen(
            self.command, cwd=self.node.datadir.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        log.close()
        self.pid = self.process.pid
        while True:
            try:
                connect_root(self.node.socket).close()
            except (OSError, pymysql.MySQLError):
                if self.process.poll() is not None:
                    raise SystemExit("the replica did not come up again") from None
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        os.kill(self.pid, signal.SIGTERM)
        if self.process is not None:
            self.process.wait()
        while not has_ended(self.pid):
            time.sleep(0.05)

    def memory(self) -> tuple[int, int]:
        """Return resident memory now and at its highest, in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = {
            line.split(":")[0]: line.split()[1] for line in text.splitlines() if line.startswith(("VmRSS", "VmHWM"))
        }
        return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024

    def forget_highest(self) -> None:
        """Begin to look for the highest memory anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def counters(self) -> dict[str, int]:
        """Return the server's own counters."""
        with connect_root(self.node.socket) as dba:
            names = "'Opened_tables','Opened_table_definitions','Innodb_os_log_written'"
            return {
                name: int(value) for name, value in ask(dba, f"SHOW GLOBAL STATUS WHERE variable_name IN ({names})")
            }


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def measured(replica: Replica, side: str, run) -> Cost:
    """Restart cold, load, and run one side; `run` returns the console's memory, or 0."""
    replica.restart()
    # A replica that has just begun catches up first.
    time.sleep(SETTLE_SECONDS)
    load = subprocess.Popen([sys.executable, "-c", LOAD, str(replica.node.socket)], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(2.0)
        idle_from = time.monotonic()
        time.sleep(IDLE_SECONDS)
        before, (resident, _) = replica.counters(), replica.memory()
        replica.forget_highest()
        begun = time.monotonic()
        console = run()
        ended = time.monotonic()
        time.sleep(AFTER_SECONDS)
        (now, highest), after = replica.memory(), replica.counters()
    finally:
        load.terminate()
        lines = load.communicate()[0].splitlines()
    reads = [tuple(map(float, line.split())) for line in lines if line.count(" ") == 1]
    idle = [seconds * 1000 for at, seconds in reads if idle_from <= at < begun]
    during = [seconds * 1000 for at, seconds in reads if begun - 0.1 <= at <= ended]
    cost = Cost(
        side=side, wall=ended - begun, grown=highest - resident, kept=now - resident,
        tables=after["Opened_tables"] - before["Opened_tables"],
        definitions=after.get("Opened_table_definitions", 0) - before.get("Opened_table_definitions", 0),
        redo=after["Innodb_os_log_written"] - before["Innodb_os_log_written"],
        idle_p99=percentile(idle, 0.99), p99=percentile(during, 0.99), worst=max(during, default=float("nan")),
        reads=len(during), console_bytes=console,
    )  # fmt: skip
    show(cost)
    return cost


def show(cost: Cost) -> None:
    print(
        f"  {cost.side:25} {cost.wall:6.2f} s  memory +{cost.grown / 2**20:6.1f} MB (kept {cost.kept / 2**20:5.1f})"
        f"  tables {cost.tables:6d}  definitions {cost.definitions:6d}  redo {cost.redo / 1024:8.1f} KB"
        f"  p99 {cost.idle_p99:6.2f} -> {cost.p99:7.2f} ms (worst {cost.worst:7.1f}, n={cost.reads})"
        + (f"  console {cost.console_bytes / 2**20:.0f} MB" if cost.console_bytes else ""),
        flush=True,
    )


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
                # It stands on another computer than the server; here it must not take the server's processor.
                ["nice", "-n", "19", sys.executable, "-m", "safeconsole", "--config", str(self.config), *arguments],
                stdout=output,
                env=self.environ,
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"safeconsole {' '.join(arguments)} ended with {process.returncode}")
        return usage.ru_maxrss * 1024


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


def raw(replica: Replica, sql: str):
    def run() -> int:
        with connect_root(replica.node.socket) as dba:
            ask(dba, "SET SESSION TRANSACTION READ WRITE")
            ask(dba, sql)
        return 0

    return run


def tell_error(what: str, errors: list[float]) -> None:
    worst, median = max(map(abs, errors)), percentile([abs(error) for error in errors], 0.5)
    print(
        f"  {what} of the {len(errors)} largest against their files: worst {worst:.1%}, median {median:.1%}", flush=True
    )


def compare(flavour: str, tables: int, directory: Path) -> None:
    with start_cluster(flavour, directory / "nodes", replicas=1) as cluster:
        build(cluster, tables)
        replica, console = Replica(cluster.replicas[0]), Console(cluster, directory)
        try:
            with connect_root(replica.node.socket) as dba:
                print(f"{flavour} {ask(dba, 'SELECT VERSION()')[0][0]}, {tables} tables, buffer pool 64 MB", flush=True)
            nothing = measured(replica, "nothing (SELECT 1)", lambda: console.run("sql", "bench", "-e", "SELECT 1"))
            ours = measured(
                replica, "capacity", lambda: console.run("capacity", "bench", "--top", "20", "--format", "json")
            )
            tell_error("estimate", errors_of(console, replica.node, "total_bytes"))
            console.run("capacity", "bench", "--verify", "20", "--format", "json")
            tell_error("--verify, with free space", errors_of(console, replica.node, "found_bytes"))
            for name, sql in RAW[flavour].items():
                theirs = measured(replica, name, raw(replica, sql))
                print(f"    capacity is {ours.grown / max(theirs.grown, 1):.1%} of its memory"
                      f" ({(ours.grown - nothing.grown) / max(theirs.grown, 1):+.1%} beside opening the console),"
                      f" {ours.tables / max(theirs.tables, 1):.1%} of its tables opened")  # fmt: skip
        finally:
            replica.stop()


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
            highest = console.run("capacity", "bench", "--top", "20", "--format", "json")
            kept = sum(path.stat().st_size for path in (directory / "state").rglob("*.gz"))
            print(f"  {flavour}: {count} tables in {time.monotonic() - begun:.1f} s, console {highest / 2**20:.0f} MB,"
                  f" reports kept {kept / 1024:.0f} KB", flush=True)  # fmt: skip
            shutil.rmtree(directory / "state")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", choices=("mysql", "mariadb"), action="append")
    parser.add_argument("--tables", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--rows", type=int, nargs="*", default=[], help="made-up rows for the console's own cost")
    given = parser.parse_args()
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    machine = f"{platform.machine()} {model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    for flavour in given.flavour or ("mysql", "mariadb"):
        for tables in given.tables:
            with tempfile.TemporaryDirectory(prefix="sc-cap-") as directory:
                compare(flavour, tables, Path(directory))
        if given.rows:
            with tempfile.TemporaryDirectory(prefix="sc-cap-") as directory:
                long_list(flavour, given.rows, Path(directory))


if __name__ == "__main__":
    main()
