"""One row of the catalogue of dangerous objects, and how a row is written."""

from __future__ import annotations

import msgspec

from safeconsole.sqltext.vocabulary import CostClass

CAPACITY = "safeconsole capacity CLUSTER (sizes from persistent statistics, page by page)"
"""The safe way to the sizes of tables."""

EVERY_VERSION = 1_000_000_000


class DangerousObject(msgspec.Struct, frozen=True, kw_only=True):
    """
    Objects of a server that are dangerous to read, when, and how.

    Attributes:
        id: of the hazard.
        schema: lower case.
        names: lower case; empty means every object of the schema that no row before names.
        cost: read without a filter.
        why, instead, uninterruptible: as `Hazard`.
        columns: upper case; it is dangerous only when one of these is asked for, or `*`; empty means always.
        keys: columns of schema and object by which it can be looked up; empty when no filter helps.
        one_schema: cost when the schema is given by equality.
        one_name: cost when only the object is, by equality or by a prefix.
        since, until: versions it is true for, inclusive, as `LexicalRules.version`; an unknown version meets every row.
        source: where the facts come from.
        measured: the cost, measured, or "not measured".
    """

    id: str
    schema: str
    names: frozenset[str]
    cost: CostClass
    why: str
    instead: str = ""
    uninterruptible: bool = False
    columns: frozenset[str] = frozenset()
    keys: tuple[str, str] | tuple[()] = ()
    one_schema: CostClass = CostClass.LINEAR_IN_OBJECTS
    one_name: CostClass = CostClass.LINEAR_IN_OBJECTS
    since: int = 0
    until: int = EVERY_VERSION
    source: str = ""
    measured: str = "not measured"


def in_order(*groups: tuple[DangerousObject, ...], cheap: frozenset[str] = frozenset()) -> tuple[DangerousObject, ...]:
    """
    Return the rows of a catalogue; the first that fits decides.

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
    """Whether the earlier of two rows of one name fits wherever the later one does."""
    same_versions = earlier.since <= later.since and later.until <= earlier.until
    return same_versions and (not earlier.columns or (bool(later.columns) and later.columns <= earlier.columns))


def words(text: str) -> frozenset[str]:
    """Return the words of a text, as written."""
    return frozenset(text.split())


TABLE_KEYS = ("TABLE_SCHEMA", "TABLE_NAME")

_OTHER_KEYS = {
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


def keys_of(row: DangerousObject, name: str) -> tuple[str, str] | tuple[()]:
    """Return the columns by which an object can be looked up, by its lower-case name."""
    return _OTHER_KEYS.get(name, row.keys) if row.keys == TABLE_KEYS else row.keys


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
