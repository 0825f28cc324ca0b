"""
From the deadline to gone: how long a statement of each kind outlives its limit, on real servers.

    python -m benchmarks.limits [--flavour mysql|mariadb] [--repeat 20] [--uninterruptible TABLES]
                                [--breach TABLES] [--soak STATEMENTS] [--disconnects]

Starts a throw-away cluster of each flavour. "freed" is when the person has the answer, "gone" when the server's
process list no longer shows the statement, both in milliseconds after the deadline (0.5 s). With --breach it measures
how long a statement outlives the first sample over a memory limit, with --soak what many short ones leave behind, with
--disconnects what becomes of one whose client, network or server breaks in the middle.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.breach import print_breaches
from benchmarks.disconnects import print_disconnects
from benchmarks.gone import Looker, rank
from benchmarks.soak import print_soak
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from safeconsole.errors import SafeConsoleError
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName
from tests.harness.talking import elevated, engine_of, permit_for, run, statement

RUN_SECONDS = 0.5
HEAVY = "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < 0"
RECURSIVE = (
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
    " SELECT COUNT(*) FROM n a, n b, n c, n d"
)
DICTIONARY = ("INNODB_TABLES", "INNODB_TABLESTATS", "INNODB_INDEXES", "INNODB_COLUMNS")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of statement: its name, text, effect, the flavours that have it, and whether it swallows KILL QUERY."""

    name: str
    text: str
    kind: str = "select"
    effect: Effect = Effect.READ
    flavours: tuple = FLAVOURS
    swallows: bool = False


KINDS = (
    Kind(name="SELECT, computing", text=HEAVY),
    Kind(name="SELECT, sleeping", text="SELECT SLEEP(20)"),
    Kind(name="SELECT, sleeping a little each row", text="SELECT SLEEP(0.02) FROM orders"),
    Kind(name="SELECT BENCHMARK", text="SELECT BENCHMARK(2000000000, 1 + 1)"),
    Kind(name="SELECT, recursive CTE and join", text=RECURSIVE, kind="with"),
    Kind(name="SELECT, sending rows", text="SELECT o.*, REPEAT('x', 200) FROM orders o, orders p"),
    Kind(name="EXPLAIN ANALYZE", text=f"EXPLAIN ANALYZE {HEAVY}", kind="explain", flavours=("mysql",)),
    Kind(name="ANALYZE SELECT", text=f"ANALYZE {HEAVY}", kind="analyze", flavours=("mariadb",)),
    Kind(name="DO", text="DO SLEEP(20)", kind="do"),
    Kind(name="SET @v = (SELECT ...)", text=f"SET @v = ({HEAVY})", kind="set"),
    Kind(name="SHOW ... WHERE", text=f"SHOW TABLES WHERE ({HEAVY}) > 0", kind="show tables"),
    Kind(
        name="UPDATE",
        text="UPDATE orders SET status = IF(SLEEP(0.02) = 0, 'slow', status)",
        kind="update",
        effect=Effect.WRITE,
    ),
    Kind(
        name="INSERT ... SELECT",
        text=f"INSERT INTO orders SELECT 0, ({HEAVY}), 'x', 1, NOW()",
        kind="insert",
        effect=Effect.WRITE,
    ),
    Kind(name="CREATE TABLE ... SELECT", text=f"CREATE TABLE made AS {HEAVY}", kind="create table", effect=Effect.DDL),
    Kind(name="CALL, one slow SELECT", text="CALL one_select()", kind="call", effect=Effect.UNKNOWN),
    Kind(name="CALL, a loop", text="CALL spin()", kind="call", effect=Effect.UNKNOWN),
    Kind(
        name="CALL, many short statements", text="CALL many_short()", kind="call", effect=Effect.UNKNOWN, swallows=True
    ),
    Kind(name="CALL that handles every error", text="CALL deaf()", kind="call", effect=Effect.UNKNOWN, swallows=True),
)
PROCEDURES = {
    "one_select": f"{HEAVY.replace(' FROM', ' INTO @found FROM', 1)};",
    "spin": "DECLARE n INT DEFAULT 0; WHILE n < 2000000000 DO SET n = n + 1; END WHILE;",
    "many_short": "DECLARE n INT DEFAULT 0; WHILE n < 400 DO DO SLEEP(0.05); SET n = n + 1; END WHILE;",
    "deaf": "DECLARE n INT DEFAULT 0; DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @ignored = 1; "
    "WHILE n < 400 DO SELECT SLEEP(0.05) INTO @slept; SET n = n + 1; END WHILE;",
}


def measure(cluster, engine, kind, looker):
    """Return (freed, gone) in seconds after the deadline, and what was said."""
    primary = kind.effect is not Effect.READ
    node = cluster.primary if primary else cluster.replicas[0]
    connection = engine.connect(NodeName(node.name), Account.ELEVATED if primary else Account.READ, schema="shop")
    what = statement(kind.text, kind.kind, kind.effect)
    permit = (elevated if primary else permit_for)(connection, what, run_seconds=RUN_SECONDS)
    thread = run(
        connection,
        permit_for(connection, statement("SELECT CONNECTION_ID()"), route=permit.route, account=permit.account),
    )[0][0][0]
    looker.look(thread, time.monotonic() + RUN_SECONDS - 0.02)
    sent = time.monotonic()
    try:
        run(connection, permit)
        said = "done"
    except SafeConsoleError as error:
        said = type(error).__name__.removesuffix("Error").lower()
        said += f" by {error.by}" if hasattr(error, "by") else ""
    freed, gone = time.monotonic(), looker.gone()
    connection.close()
    deadline = sent + RUN_SECONDS
    return freed - deadline, gone - deadline, said


def print_table(flavour, repeat):
    """Measure every kind on one flavour."""
    with tempfile.TemporaryDirectory() as place, start_cluster(flavour, Path(place) / "c", replicas=1) as cluster:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("USE shop")
            for name, body in PROCEDURES.items():
                cursor.execute(f"CREATE PROCEDURE {name}() SQL SECURITY INVOKER BEGIN {body} END")
            cursor.execute("GRANT EXECUTE ON shop.* TO console_elevated@'%'")
        cluster.wait_caught_up()
        engine = engine_of(cluster)
        lookers = {node.name: Looker(node) for node in cluster.nodes}
        print(f"\n{flavour}: milliseconds after a deadline of {RUN_SECONDS} s, {repeat} runs each, {load()}\n")
        print("| statement | gone p50 | p99 | worst | freed p50 | p99 | worst | said |")
        print("|---|---|---|---|---|---|---|---|")
        obedient = []
        for kind in KINDS:
            if flavour not in kind.flavours:
                continue
            looker = lookers["primary" if kind.effect is not Effect.READ else cluster.replicas[0].name]
            found = [measure(cluster, engine, kind, looker) for _ in range(repeat)]
            freed, gone = ([1000 * run[number] for run in found] for number in (0, 1))
            obedient += [] if kind.swallows else gone
            said = ", ".join(sorted({run[2] for run in found}))
            print(f"| {kind.name} | {figures(gone)} | {figures(freed)} | {said} |", flush=True)
        print(f"\nall but those that swallow a kill, {len(obedient)} runs: gone p50 | p99 | worst: {figures(obedient)}")
        print(f"afterwards {load()}")
        for looker in lookers.values():
            looker.close()
        engine.close()


def figures(values):
    """Return p50, p99 and worst as cells."""
    return " | ".join(f"{rank(values, part):.0f}" for part in (0.5, 0.99, 1))


def load():
    """How busy the machine is: a deadline is measured beside whatever else runs."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def print_uninterruptible(tables):
    """Measure the dictionary views of MySQL, cold, over many tables: they do not stop when told."""
    with tempfile.TemporaryDirectory() as place, start_cluster("mysql", Path(place) / "c", replicas=0) as cluster:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("CREATE DATABASE many")
            for number in range(tables):
                cursor.execute(f"CREATE TABLE many.t{number} (id INT PRIMARY KEY)")
            cursor.execute("GRANT SELECT, PROCESS ON *.* TO console_elevated@'%'")
        engine = engine_of(cluster)
        print(f"\nmysql: dictionary views over {tables} tables, cold, deadline {RUN_SECONDS} s\n")
        for view in DICTIONARY:
            with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
                cursor.execute("SET GLOBAL table_definition_cache = 400")
                cursor.execute("FLUSH TABLES")
            kind = Kind(
                name=view, text=f"SELECT COUNT(*), MAX(NAME) FROM information_schema.{view}", effect=Effect.LOCK
            )
            looker = Looker(cluster.primary)
            freed, gone, said = measure(cluster, engine, kind, looker)
            looker.close()
            print(
                f"{view}: gone {1000 * gone:.0f} ms, freed {1000 * freed:.0f} ms after the deadline, {said}", flush=True
            )
        engine.close()


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", choices=FLAVOURS, action="append")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--uninterruptible", type=int, default=0, metavar="TABLES")
    parser.add_argument("--breach", type=int, default=0, metavar="TABLES")
    parser.add_argument("--soak", type=int, default=0, metavar="STATEMENTS")
    parser.add_argument("--disconnects", action="store_true")
    arguments = parser.parse_args()
    for flavour in arguments.flavour or FLAVOURS:
        if arguments.breach:
            print_breaches(flavour, arguments.breach, arguments.repeat)
        if arguments.soak:
            print_soak(flavour, arguments.soak)
        if arguments.disconnects:
            print_disconnects(flavour)
        if not (arguments.breach or arguments.soak or arguments.uninterruptible or arguments.disconnects):
            print_table(flavour, arguments.repeat)
    if arguments.uninterruptible:
        print_uninterruptible(arguments.uninterruptible)


if __name__ == "__main__":
    main()
