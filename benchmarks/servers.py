"""
What the console does on each server that can be had here, tried on it: the table of docs/servers.md.

    python -m benchmarks.servers [--write]

Starts a throw-away primary with one replica of each release, tries every capability, and prints the table; `--write`
puts it into the page. Aurora is imitated; what cannot be had here keeps "never met", whatever its manual says.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

from safeconsole.app import run
from safeconsole.demo.binaries import ServersUnavailableError
from safeconsole.demo.servers import start_cluster
from safeconsole.errors import SafeConsoleError, StoppedError
from safeconsole.sqltext.vocabulary import Role, Verdict
from tests.harness.aurora import aurora_cluster
from tests.harness.desk import demo_configuration, seated

PAGE = Path(__file__).parents[1] / "docs/servers.md"
MARK, END = "<!-- capabilities -->\n", "<!-- end of capabilities -->"
MET = (("mysql", ""), ("mariadb", "11.8"), ("mariadb", "10.11"), ("mariadb", "10.5"))
"""Flavour and release of what can be had from an archive; "" is the newest."""

IMITATED = "Aurora MySQL 3, imitated"
"""By proxies before MySQL: `tests/harness/aurora.py`."""

NEVER_MET = ("MySQL 8.0, 8.4", "MariaDB 10.6, 11.4, 12", "Aurora MySQL 3, RDS")
"""Supported by what manuals say of them, and by what is alike with those that were tried."""

HEAVY = "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < 0"
SIZES = "SELECT table_schema, SUM(data_length) FROM information_schema.tables GROUP BY table_schema"


def reads_a_replica(desk, _cluster):
    return desk.run("SELECT COUNT(*) FROM orders").where == "replica-1"


def writes_the_primary(desk, _cluster):
    return desk.run("UPDATE orders SET status = 'tried' WHERE id = 1").where == "primary"


def sees_its_own_change(desk, _cluster):
    desk.run("UPDATE orders SET total = total + 1 WHERE id = 1")
    shown = desk.run("SELECT total FROM orders WHERE id = 1")
    return (shown.where, shown.notes) == ("replica-1", ())


def ends_a_read_in_time(desk, _cluster):
    desk.session.tighten("run_seconds", 0.5)
    return _stopped(desk, HEAVY)


def kills_a_change_in_time(desk, _cluster):
    return _stopped(desk, "UPDATE orders SET total = total WHERE SLEEP(0.2) = 0")


def holds_back_all_sizes(desk, _cluster):
    desk.session.use("primary")
    (statement,) = desk.session.split(SIZES)
    return desk.session.consider(statement).decision.verdict is Verdict.ELEVATE


def reads_a_plan(desk, _cluster):
    (statement,) = desk.session.split("SELECT * FROM orders WHERE status <> 'zz'")
    return desk.session.consider(statement).estimate.full_scans == ("orders",)


def finds_the_source_of_a_replica(_desk, cluster):
    replica = cluster.replicas[0]
    with tempfile.TemporaryDirectory() as place:
        nodes = {"replica-1": f"{replica.host}:{replica.port}"}
        with seated(cluster, Path(place), nodes=nodes) as desk:
            return Role.PRIMARY in {reading.role for reading in desk.session.topology()}


def measures_capacity(_desk, cluster):
    return _command(cluster, "capacity", "shop")[0] == 0


def finds_the_grants_right(_desk, cluster):
    _, checks = _command(cluster, "doctor", "shop", "--format", "json")
    grants = [check["finding"] for check in json.loads(checks) if check["what"].startswith("grants of")]
    return bool(grants) and set(grants) == {"good"}


TRIED = {
    "a read goes to a proven replica": reads_a_replica,
    "a change goes to the primary, elevated": writes_the_primary,
    "one's own change is there when it is read on a replica": sees_its_own_change,
    "a primary is found from its replica": finds_the_source_of_a_replica,
    "a plan is read before anything runs": reads_a_plan,
    "the sizes of all tables are held back on the primary": holds_back_all_sizes,
    "`capacity` measures without opening tables": measures_capacity,
    "the printed grants are what `doctor` finds right": finds_the_grants_right,
    "a read past its time is stopped": ends_a_read_in_time,
    "a change past its time is killed and undone": kills_a_change_in_time,
}
"""In this order: what comes last tightens the session."""


def _stopped(desk, text):
    try:
        desk.run(text)
    except StoppedError:
        return True
    return False


def _command(cluster, *words):
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()) as out:
        config = demo_configuration(cluster, Path(place))
        with contextlib.redirect_stderr(io.StringIO()):
            code = run(["--config", str(config), *words], {**os.environ, "HOME": place})
    return code, out.getvalue()


def capabilities(cluster):
    """Return what holds on a cluster of a primary and one replica: yes, or what went wrong."""
    found = {}
    with tempfile.TemporaryDirectory() as place, seated(cluster, Path(place)) as desk:
        for name, tried in TRIED.items():
            try:
                found[name] = "yes" if tried(desk, cluster) else "no"
            except SafeConsoleError as error:
                found[name] = f"no: {error.message[:60]}"
            finally:
                desk.session.use("")
    return found


def version_of(cluster):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        number = cursor.fetchone()[0].split("-")[0]
    return f"{'MySQL' if cluster.flavour == 'mysql' else 'MariaDB'} {number}"


def table(columns):
    """Return the lines of the table: one column a version, and those that nobody met."""
    names = [*columns, *NEVER_MET]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in TRIED:
        cells = [*(column[row] for column in columns.values()), *("never met" for _ in NEVER_MET)]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def tables_in(page):
    """Return what the page says: for each version the cells of its column."""
    rows = [line.strip("| \n").split(" | ") for line in page.partition(MARK)[2].partition(END)[0].splitlines()]
    head, _, *body = rows
    names = head if head[0] != "" else head[1:]
    return {name: {row[0]: row[number + 1] for row in body} for number, name in enumerate(names)}


def column_of(page, version):
    """Return what the page says of a version, or of another one of its series."""
    series = version.rpartition(".")[0]
    return next(column for name, column in tables_in(page).items() if name.startswith(series))


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers", description=__doc__.splitlines()[1])
    parser.add_argument("--write", action="store_true", help="put the table into docs/servers.md")
    asked = parser.parse_args(arguments)
    columns = {}
    for flavour, release in MET:
        with tempfile.TemporaryDirectory(prefix="servers-") as place:
            try:
                started = start_cluster(flavour, Path(place) / "c", replicas=1, release=release)
            except ServersUnavailableError as error:
                sys.stderr.write(f"{flavour} {release} cannot be had here: {error}\n")
                return 1
            with started as cluster:
                columns[version_of(cluster)] = capabilities(cluster)
    with (
        tempfile.TemporaryDirectory(prefix="servers-") as place,
        aurora_cluster(Path(place) / "c", replicas=1) as aurora,
    ):
        columns[IMITATED] = capabilities(aurora.running)
    lines = table(columns)
    print("\n".join(lines))
    if asked.write:
        before, mark, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{mark}{chr(10).join(lines)}\n{END}{after}", encoding="utf-8")
    return 0 if all(cell == "yes" for column in columns.values() for cell in column.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
