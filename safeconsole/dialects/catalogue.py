"""The common part of the catalogues of MySQL and MariaDB: the order of rows, secrets, storage engines."""

from __future__ import annotations

from safeconsole.sqltext.dialect import DangerousObject
from safeconsole.sqltext.statement import Hazard
from safeconsole.sqltext.vocabulary import CostClass, words

CAPACITY = "safeconsole capacity CLUSTER (sizes from persistent statistics, page by page)"
"""The safe way to the sizes of tables."""


def in_order(*groups: tuple[DangerousObject, ...], cheap: frozenset[str] = frozenset()) -> tuple[DangerousObject, ...]:
    """Return the rows of a catalogue; the first that fits decides.

    Args:
        cheap: names in information_schema that are found before any row.

    Raises:
        ValueError: a row is never reached for a name, because what stands before it fits wherever it does.
    """
    rows = tuple(row for group in groups for row in group)
    reached: dict[tuple[str, str], list[DangerousObject]] = {}
    for row in rows:
        for name in row.names or ("",):
            if row.schema == "information_schema" and name in cheap:
                raise ValueError(f"{row.id}: {name} is called cheap, too")
            earlier = reached.setdefault((row.schema, name), [])
            everything = reached.get((row.schema, ""), []) if name else []
            for other in (*earlier, *everything):
                if _covers(other, row):
                    raise ValueError(f"{row.id} is never reached for {name or row.schema}: {other.id} stands before it")
            earlier.append(row)
    return rows


def _covers(earlier: DangerousObject, later: DangerousObject) -> bool:
    same_versions = earlier.since <= later.since and later.until <= earlier.until
    return same_versions and (not earlier.columns or (bool(later.columns) and later.columns <= earlier.columns))


SYSTEM_SCHEMAS = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
"""Schemas that belong to the server."""

OTHER_KEYS: dict[str, tuple[str, str]] = {
    "routines": ("ROUTINE_SCHEMA", "ROUTINE_NAME"),
    "parameters": ("SPECIFIC_SCHEMA", "SPECIFIC_NAME"),
    "events": ("EVENT_SCHEMA", "EVENT_NAME"),
    # The columns by which MariaDB finds one; TRIGGER_SCHEMA and TRIGGER_NAME are not.
    "triggers": ("EVENT_OBJECT_SCHEMA", "EVENT_OBJECT_TABLE"),
    "referential_constraints": ("CONSTRAINT_SCHEMA", "TABLE_NAME"),
    "check_constraints": ("CONSTRAINT_SCHEMA", "TABLE_NAME"),
    "table_constraints_extensions": ("CONSTRAINT_SCHEMA", "TABLE_NAME"),
    "column_statistics": ("SCHEMA_NAME", "TABLE_NAME"),
    "view_table_usage": ("VIEW_SCHEMA", "VIEW_NAME"),
    "role_routine_grants": ("ROUTINE_SCHEMA", "ROUTINE_NAME"),
    "innodb_cmp_per_index": ("DATABASE_NAME", "TABLE_NAME"),
}
"""Objects of information_schema whose columns of schema and object are called otherwise."""


SIZE_COLUMNS = words(
    "DATA_LENGTH INDEX_LENGTH TABLE_ROWS DATA_FREE AUTO_INCREMENT UPDATE_TIME CHECK_TIME CHECKSUM AVG_ROW_LENGTH"
    " MAX_DATA_LENGTH MAX_INDEX_LENGTH"
)
"""Columns of information_schema.tables that the storage engine has to be asked for."""

SECRETS = (
    DangerousObject(
        id="password-hashes",
        schema="mysql",
        names=words("user global_priv password_history"),
        cost=CostClass.READS_SECRETS,
        columns=words("AUTHENTICATION_STRING PASSWORD USER_ATTRIBUTES PRIV AUTH_STRING"),
        why="it reads the password hashes of accounts",
        instead="name the columns you need, such as user, host and plugin",
        source="MySQL 9.7 and MariaDB 10.11, grant tables",
    ),
    DangerousObject(
        id="stored-passwords",
        schema="mysql",
        names=words("slave_master_info servers"),
        cost=CostClass.READS_SECRETS,
        columns=words("USER_PASSWORD PASSWORD"),
        why="it reads passwords for other servers in clear text",
        instead="SHOW REPLICA STATUS, or name the columns you need",
        source="MySQL 9.7 manual, Replication Metadata Repositories; FEDERATED servers",
    ),
    DangerousObject(
        id="statement-logs",
        schema="mysql",
        names=words("general_log slow_log general_log_backup slow_log_backup"),
        cost=CostClass.READS_SECRETS,
        why="it reads whole statements of others, secrets in them included, from a file without an index",
        instead="performance_schema.events_statements_summary_by_digest",
        source="MySQL 9.7 and MariaDB 10.11, log tables are CSV",
    ),
)
"""Objects with secrets in them, the same in the whole family."""

_ORDINARY = words(
    "innodb xtradb myisam mrg_myisam memory heap aria csv archive sequence performance_schema rocksdb tokudb"
    " columnstore mroonga ndbcluster ndb ndbinfo"
)
"""Engines whose tables are rows that the server keeps, or counts out itself; lower case."""

_ELSEWHERE: dict[str, str] = {
    "connect": "a CONNECT table is a program that the server runs, a file that it opens, or another database",
    "federated": "a FEDERATED table is a table of another server, which is asked with a password kept here",
    "federatedx": "a FEDERATED table is a table of another server, which is asked with a password kept here",
    "spider": "a SPIDER table sends statements to other servers",
    "s3": "an S3 table is fetched from an object store",
    "sphinx": "a SPHINX table asks a search server",
    "cassandra": "a CASSANDRA table asks another cluster",
    "oqgraph": "an OQGRAPH table computes a graph out of another table, as long as that takes",
    "example": "an EXAMPLE table is a stub for developers of engines",
}


def engine_hazard(engine: str) -> Hazard | None:
    """Return the danger of reading a table of an engine, or None for an ordinary one.

    Args:
        engine: as the server names it; "" where it does not say.
    """
    name = engine.lower()
    if name in _ORDINARY:
        return None
    if name == "blackhole":
        return Hazard(
            id="engine-keeps-nothing",
            cost=CostClass.CALLS_UNKNOWN_CODE,
            why="a BLACKHOLE table keeps no row: it answers every read with none, and passes on what is written",
            instead="read the table on a node where it has another engine",
        )
    if name in _ELSEWHERE:
        return Hazard(
            id="engine-reaches-elsewhere",
            cost=CostClass.CALLS_UNKNOWN_CODE,
            why=_ELSEWHERE[name],
            instead="ask the place that the table stands for, or elevate",
        )
    return Hazard(
        id="unknown-engine",
        cost=CostClass.CALLS_UNKNOWN_CODE,
        why=f"nothing is known of the storage engine {engine or 'of a table, which the server does not name'}",
        instead="see its engine with SHOW CREATE TABLE; if it must be read, elevate",
    )
