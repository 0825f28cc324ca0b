"""How long a statement outlives the first sample over a memory limit: a cold size query over many tables."""

import tempfile
import time
from pathlib import Path

from benchmarks.gone import Looker, rank
from safeconsole.demo.servers import start_cluster
from safeconsole.errors import StoppedError
from safeconsole.sqltext.vocabulary import Account, NodeName, Route
from tests.harness.talking import HAZARD, engine_of, permit_for, run, statement

PRIMARY = NodeName("primary")
SIZES = (
    "SELECT t.table_schema, SUM(t.data_length + t.index_length), COUNT(s.cardinality) FROM information_schema.tables t"
    " JOIN information_schema.statistics s USING (table_schema, table_name) GROUP BY t.table_schema"
)
LIMITS = {
    "mysql": ({"session_memory_bytes": 1_500_000}, {"grown_memory_bytes": 1_000_000}),
    "mariadb": ({"session_memory_bytes": 400_000}, {"grown_memory_bytes": 1_000_000}, {"opened_tables": 100}),
}
"""Session and instance kinds. MySQL opens no tables for this; MariaDB opens each."""

GRANTS = (
    "GRANT SELECT ON many.* TO console_read@'%'",
    "GRANT SELECT ON performance_schema.memory_summary_global_by_event_name TO console_read@'%'",
)


def measure(cluster, engine, limits, looker):
    """Return (gone, freed) in seconds after the first sample that was over, and who stopped it at which ceiling."""
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("FLUSH TABLES")
    connection = engine.connect(PRIMARY, Account.READ, schema="shop")
    asked = permit_for(connection, statement("SELECT CONNECTION_ID()"), route=Route.PRIMARY)
    thread = run(connection, asked)[0][0][0]
    seen = []
    permit = permit_for(
        connection, statement(SIZES, hazards=(HAZARD,)), route=Route.PRIMARY, **{"run_seconds": 20, **limits}
    )
    looker.look(thread, time.monotonic() + 0.15)
    said = "done"
    try:
        run(connection, permit, watch=lambda _sample: seen.append(time.monotonic()))
    except StoppedError as error:
        said = f"{error.by} at {error.ceiling}, {error.verified}"
    freed, gone = time.monotonic(), looker.gone()
    connection.close()
    # The last sample is the first that was over; none, when the server's own cap came before it.
    over = seen[-1] if seen else None
    return (None, None, said) if over is None else (gone - over, freed - over, said)


def print_breaches(flavour, tables, repeat):
    """Measure every kind of memory limit on one flavour."""
    with tempfile.TemporaryDirectory() as place, start_cluster(flavour, Path(place) / "c", replicas=0) as cluster:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute("CREATE DATABASE many")
            for number in range(tables):
                cursor.execute(f"CREATE TABLE many.t{number} (id INT PRIMARY KEY, a INT, KEY (a))")
            for grant in GRANTS:
                cursor.execute(grant)
        engine, looker = engine_of(cluster), Looker(cluster.primary)
        print(f"\n{flavour}: milliseconds from the first sample over the limit, {tables} tables, {repeat} runs each\n")
        print("| limit | gone p50 | worst | freed p50 | worst | stopped by |")
        print("|---|---|---|---|---|---|")
        for limits in LIMITS[flavour]:
            found = [measure(cluster, engine, limits, looker) for _ in range(repeat)]
            sampled = [each for each in found if each[0] is not None]
            cells = [
                f"{1000 * rank([each[which] for each in sampled], part):.0f}" if sampled else "-"
                for which in (0, 1)
                for part in (0.5, 1)
            ]
            name = ", ".join(f"{key} {value:,}" for key, value in limits.items())
            said = ", ".join(sorted({each[2] for each in found}))
            print(f"| {name} | {' | '.join(cells)} | {said} |", flush=True)
        looker.close()
        engine.close()
