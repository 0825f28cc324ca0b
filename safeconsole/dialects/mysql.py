"""MySQL, and Aurora MySQL where it differs: guards, sensors, kill forms, versions.

Source unless a line says otherwise: MySQL 9.7.4 and 8.0.36, measured. Aurora MySQL and the RDS procedures from their
manuals ("Ending a session or query", "Aurora MySQL information_schema tables"), never met live.
"""

from __future__ import annotations

from msgspec.structs import replace

from safeconsole.dialects.catalogue import OTHER_KEYS, SYSTEM_SCHEMAS, engine_hazard
from safeconsole.dialects.diagnosis import DIAGNOSIS_MYSQL
from safeconsole.dialects.functions import IMPURE, PURE_MYSQL, REMOVED_MYSQL, SINCE_MYSQL, SYS_FUNCTIONS
from safeconsole.dialects.grants import AURORA_NEEDS, MYSQL_NEEDS
from safeconsole.dialects.kinds import FAMILY_KINDS
from safeconsole.dialects.mysql_objects import CHEAP_MYSQL, OBJECTS_MYSQL
from safeconsole.dialects.queries import FAMILY_QUERIES
from safeconsole.dialects.settings import (
    AURORA_FORWARDING,
    AURORA_OOM_RESPONSE,
    ERROR_CLASSES,
    GTID_MODE,
    ISOLATION,
    LEANS_ON,
    PERFORMANCE_SCHEMA,
    SHARED_GUARDS,
    SUPER_READ_ONLY,
    family_settings,
)
from safeconsole.dialects.tokens import RESERVED_MYSQL, mysql_pattern
from safeconsole.sqltext.dialect import (
    Catalogue,
    Dialect,
    Functions,
    Guard,
    Lexis,
    Probe,
    Server,
)
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour

_MYSQL_GUARDS = (
    # MUST be first: every guard after it is set inside a session that can no longer write.
    Guard(variable="transaction_read_only", value=1),
    Guard(variable="max_execution_time", limit="run_seconds", units=1000),
    *SHARED_GUARDS,
    Guard(variable="transaction_isolation", words=ISOLATION),
    # Zero reads sizes live; any other value makes a read of information_schema write them down.
    Guard(variable="information_schema_stats_expiry"),
    # The plans are read in the older of its two shapes.
    Guard(variable="explain_json_format_version", value=1, since=80300),
    # With them a plan is not JSON.
    Guard(variable="end_markers_in_json"),
)

# Answered from counters; each costs 0.2-0.8 ms. The sums of `sys` cost 100 ms and are never asked.
_MYSQL_PROBES = (
    Probe(
        sql="SELECT CONCAT('SESSION_MEMORY ', PROCESSLIST_ID), TOTAL_MEMORY FROM performance_schema.threads"
        " WHERE PROCESSLIST_ID IN ({threads})",
        needs="SELECT (PROCESSLIST_ID, TOTAL_MEMORY) ON performance_schema.threads",
    ),
    Probe(
        sql="SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_status"
        " WHERE VARIABLE_NAME IN ('Threads_running', 'Opened_table_definitions')",
    ),
    Probe(
        sql="SELECT 'INSTANCE_MEMORY', SUM(CURRENT_NUMBER_OF_BYTES_USED)"
        " FROM performance_schema.memory_summary_global_by_event_name",
        needs="SELECT ON performance_schema.memory_summary_global_by_event_name",
    ),
)

_SERVER = Server(
    guards=_MYSQL_GUARDS,
    read_only_variable="transaction_read_only",
    time_limit_error=3024,
    probes=_MYSQL_PROBES,
    process=(
        "SELECT ID, USER, HOST, DB, COMMAND, TIME, STATE FROM performance_schema.processlist WHERE ID = {thread}",
        "SHOW PROCESSLIST",
    ),
    kill_query=("KILL QUERY {thread}", "CALL mysql.rds_kill_query({thread})"),
    kill_connection=("KILL {thread}", "CALL mysql.rds_kill({thread})"),
    identity="@@server_uuid",
    replica_status=("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"),
    followers=("SHOW REPLICAS", "SHOW SLAVE HOSTS"),
    # Not the process list, which shows an account without PROCESS its own sessions only, and says nothing of others.
    dumping="SELECT PROCESSLIST_HOST, @@port FROM performance_schema.threads"
    " WHERE PROCESSLIST_COMMAND LIKE 'Binlog Dump%'",
    asks_for="grant SELECT (PROCESSLIST_COMMAND, PROCESSLIST_HOST) ON performance_schema.threads, or list every node",
    health="SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_status"
    " WHERE VARIABLE_NAME IN ('Threads_running', 'Open_table_definitions')",
    position="SELECT @@GLOBAL.gtid_executed",
    wait="SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {seconds})",
    takes_several=True,
    # It holds every idle connection, so it is put back when the transaction is over.
    idle_variables=("wait_timeout",),
)

_AURORA_SERVER = replace(
    _SERVER,
    process=("SHOW PROCESSLIST",),
    kill_query=("CALL mysql.rds_kill_query({thread})", "KILL QUERY {thread}"),
    kill_connection=("CALL mysql.rds_kill({thread})", "KILL {thread}"),
    identity="@@aurora_server_id",
    # Instances share their storage: no GTID says what a reader has, whatever gtid_mode is for copies elsewhere.
    position="",
    wait="",
    takes_several=False,
)

# max_execution_time holds for what reads rows, and for nothing else.
_CAPPED = frozenset({"select", "with", "table", "values", "explain", "describe", "desc"})


def _ends_by_itself(statement: Statement) -> bool:
    """Whether max_execution_time ends a statement.

    Source: MySQL 9.7, measured (docs/limits.md, "What a server's own cap does not stop"); Aurora MySQL by its kinship.
    """
    # A function that is not known may change rows, and then nothing ends the SELECT that calls it.
    changes = statement.effects & {Effect.UNKNOWN, Effect.WRITE}
    return statement.kind.split(" ", 1)[0] in _CAPPED and not changes


def _runs_comment(digits: str, version: int) -> set[bool]:
    """See `Lexis`; MySQL 9.7 runs five digits and six up to its version."""
    asked = int(digits or 0)
    if len(digits) == 6 and version < 90000:
        # Which release learnt six digits was not measured; before it the sixth is code.
        return {False} if min(asked, int(digits[:5])) > version else {True, False}
    return {asked <= version}


MYSQL = Dialect(
    flavour=Flavour.MYSQL,
    lexis=Lexis(pattern=mysql_pattern, runs_comment=_runs_comment, dollar_quotes=True),
    kinds=FAMILY_KINDS,
    functions=Functions(pure=PURE_MYSQL, since=SINCE_MYSQL, removed=REMOVED_MYSQL, impure=IMPURE, of_sys=SYS_FUNCTIONS),
    catalogue=Catalogue(objects=OBJECTS_MYSQL, schemas=SYSTEM_SCHEMAS, cheap=CHEAP_MYSQL, other_keys=OTHER_KEYS),
    # Every hint of 9.7 is known, measured.
    settings=family_settings(hints_known_below=90800),
    reserved=RESERVED_MYSQL,
    queries=FAMILY_QUERIES,
    diagnosis=DIAGNOSIS_MYSQL,
    assumed_version=90_700,
    needs=MYSQL_NEEDS,
    leans_on=(PERFORMANCE_SCHEMA, SUPER_READ_ONLY, GTID_MODE, *LEANS_ON),
    server=_SERVER,
    engine_hazard=engine_hazard,
    ends_by_itself=_ends_by_itself,
    dictionary_since=80000,
    rewrites_rollup=True,
    latitude_first=True,
    error_classes=ERROR_CLASSES,
    sqlalchemy="mysql",
)

AURORA_MYSQL = replace(
    MYSQL,
    flavour=Flavour.AURORA_MYSQL,
    # What the oldest Aurora MySQL 3 is made of.
    assumed_version=80_023,
    leans_on=(PERFORMANCE_SCHEMA, AURORA_OOM_RESPONSE, AURORA_FORWARDING, *LEANS_ON),
    needs=AURORA_NEEDS,
    functions=replace(MYSQL.functions, pure=PURE_MYSQL | {"aurora_version"}),
    server=_AURORA_SERVER,
)
