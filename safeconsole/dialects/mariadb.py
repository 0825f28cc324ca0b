"""MariaDB: dangerous objects, guards, sensors, kill forms.

Source unless a row says otherwise: MariaDB 10.11.19, measured on 2,000 tables.
"""

from __future__ import annotations

from safeconsole.dialects.catalogue import (
    CAPACITY,
    OTHER_KEYS,
    SECRETS,
    SIZE_COLUMNS,
    SYSTEM_SCHEMAS,
    engine_hazard,
    in_order,
)
from safeconsole.dialects.diagnosis import DIAGNOSIS_MARIADB
from safeconsole.dialects.functions import IMPURE, PURE_MARIADB, SINCE_MARIADB, SYS_FUNCTIONS
from safeconsole.dialects.grants import MARIADB_NEEDS
from safeconsole.dialects.kinds import FAMILY_KINDS
from safeconsole.dialects.queries import FAMILY_QUERIES
from safeconsole.dialects.settings import (
    ERROR_CLASSES,
    ISOLATION,
    LEANS_ON,
    SHARED_GUARDS,
    TEMPORARY_DISK_BYTES,
    family_settings,
)
from safeconsole.dialects.tokens import RESERVED_MARIADB, mariadb_pattern
from safeconsole.sqltext.dialect import (
    EVERY_VERSION,
    TABLE_KEYS,
    Catalogue,
    DangerousObject,
    Dialect,
    Functions,
    Guard,
    Holds,
    Lexis,
    Probe,
    Server,
)
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import CostClass, Flavour, words

_I_S = "information_schema"
_MEASURED = "MariaDB 10.11.19, measured"

_TABLES = (
    DangerousObject(
        id="information-schema-sizes",
        schema=_I_S,
        names=words("tables"),
        columns=SIZE_COLUMNS | words("ROW_FORMAT CREATE_TIME CREATE_OPTIONS"),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        why="sizes of every table: each one is opened, and its definition stays in memory",
        instead=CAPACITY,
        source=_MEASURED,
        measured="2,200 tables: 0.8 to 1.1 s, 94 MB of memory kept, 1,990 tables opened",
    ),
    DangerousObject(
        id="information-schema-definitions",
        schema=_I_S,
        names=words("tables"),
        columns=words("ENGINE TABLE_TYPE TABLE_COMMENT VERSION TABLE_COLLATION TEMPORARY"),
        keys=TABLE_KEYS,
        cost=CostClass.LOADS_EVERY_TABLE_DEFINITION,
        why="it reads the definition of every table from its file, and keeps it in memory",
        instead="SHOW FULL TABLES FROM a schema, which loads none of them",
        source=_MEASURED,
        measured="2,000 tables: 50 to 93 ms; 500 tables: 623 definitions loaded, no table opened",
    ),
    DangerousObject(
        id="information-schema-names",
        schema=_I_S,
        names=words("tables"),
        keys=TABLE_KEYS,
        one_schema=CostClass.LOOKUP,
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it lists every table of every schema",
        instead="give one schema: WHERE table_schema = '…'",
        source=_MEASURED,
        measured="2,000 tables, names only: 3 to 6 ms, none opened",
    ),
    DangerousObject(
        id="information-schema-columns",
        schema=_I_S,
        names=words("columns"),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        uninterruptible=True,
        why="it opens every table to list its columns, and cannot be stopped",
        instead="give schema and table by equality, or SHOW CREATE TABLE",
        source=_MEASURED,
        measured="2,000 tables: 65 ms, past a 30 ms cap",
    ),
    DangerousObject(
        id="information-schema-geometry",
        schema=_I_S,
        names=words("geometry_columns"),
        keys=("F_TABLE_SCHEMA", "F_TABLE_NAME"),
        cost=CostClass.OPENS_EVERY_TABLE,
        uninterruptible=True,
        why="it loads the definition of every table to look for geometry, and cannot be stopped",
        instead="give f_table_schema and f_table_name by equality, or SHOW CREATE TABLE",
        source="MariaDB 10.11.18 and 11.8.9, measured",
        measured="2,000 tables: 0.4 to 1.4 s, 2,112 definitions loaded; a 100 ms cap fired at 371 to 859 ms",
    ),
    DangerousObject(
        id="information-schema-periods",
        schema=_I_S,
        names=words("periods key_period_usage"),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it opens every table, or its definition, to look for periods",
        instead="give schema and table by equality, or SHOW CREATE TABLE",
        source="MariaDB 11.8.9, measured",
        measured="2,000 tables: 2,140 definitions loaded, for key_period_usage 2,152 tables opened",
    ),
    DangerousObject(
        id="information-schema-sequences",
        schema=_I_S,
        names=words("sequences"),
        keys=("SEQUENCE_SCHEMA", "SEQUENCE_NAME"),
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it opens every table to see which of them is a sequence",
        instead="give schema and name by equality, or SHOW CREATE SEQUENCE",
        source="MariaDB 11.8.9, measured",
        measured="2,000 tables: 2,152 tables opened",
    ),
    DangerousObject(
        id="information-schema-details",
        schema=_I_S,
        names=words(
            "statistics key_column_usage table_constraints referential_constraints check_constraints views triggers"
        ),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it opens every table to list its indexes, constraints, views or triggers",
        instead="give schema and table by equality, or SHOW CREATE TABLE",
        source=_MEASURED,
        measured="2,000 tables: 69 to 114 ms, all opened",
    ),
    DangerousObject(
        id="information-schema-partitions",
        schema=_I_S,
        names=words("partitions"),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it opens every table and asks the engine about each partition",
        instead=CAPACITY,
        source=_MEASURED,
        measured="2,000 tables: 81 to 139 ms, all opened",
    ),
)

_INNODB = (
    DangerousObject(
        id="innodb-dictionary",
        schema=_I_S,
        names=words(
            "innodb_sys_tables innodb_sys_tablestats innodb_sys_indexes innodb_sys_columns innodb_sys_fields"
            " innodb_sys_foreign innodb_sys_foreign_cols innodb_sys_virtual innodb_sys_semaphore_waits"
        ),
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it makes a row for every table, index or column of InnoDB, whatever the filter",
        instead=CAPACITY,
        source=_MEASURED,
        measured="2,000 tables: 3 to 12 ms",
    ),
    DangerousObject(
        id="innodb-tablespaces",
        schema=_I_S,
        names=words(
            "innodb_sys_tablespaces innodb_sys_datafiles innodb_tablespaces_encryption innodb_tablespaces_scrubbing"
        ),
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it makes a row for every tablespace, whatever the filter",
        instead=CAPACITY,
        source=_MEASURED,
        measured="2,000 tables: 8 ms",
    ),
    DangerousObject(
        id="innodb-buffer-pages",
        schema=_I_S,
        names=words("innodb_buffer_page innodb_buffer_page_lru"),
        cost=CostClass.WALKS_BUFFER_POOL,
        why="it walks the whole buffer pool under its mutex, one row a page",
        instead="information_schema.innodb_buffer_pool_stats",
        source=_MEASURED,
        measured="32,000 pages: 102 to 139 ms",
    ),
    DangerousObject(
        id="innodb-counters-reset",
        schema=_I_S,
        names=words("innodb_cmp_reset innodb_cmpmem_reset innodb_cmp_per_index_reset"),
        cost=CostClass.RESETS_COUNTERS,
        why="reading it sets the counters to zero, for everybody",
        instead="the same table without _RESET",
        source="MariaDB manual, Information Schema INNODB_CMP_RESET",
    ),
    DangerousObject(
        id="innodb-full-text",
        schema=_I_S,
        names=words(
            "innodb_ft_index_table innodb_ft_index_cache innodb_ft_deleted innodb_ft_being_deleted innodb_ft_config"
        ),
        cost=CostClass.READS_EVERY_PAGE,
        why="it reads a whole full-text index, of the table that a global variable names",
        instead="MATCH … AGAINST on the table itself",
        source="MariaDB manual, Information Schema INNODB_FT_INDEX_TABLE",
    ),
)

_LISTS = (
    DangerousObject(
        id="information-schema-lists",
        schema=_I_S,
        names=words("routines parameters events files innodb_cmp_per_index"),
        keys=TABLE_KEYS,
        one_schema=CostClass.LOOKUP,
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it lists the objects of every schema",
        instead="give one schema",
        source="MariaDB manual, Information Schema tables; not measured",
    ),
    DangerousObject(
        id="information-schema-unlisted",
        schema=_I_S,
        names=frozenset(),
        cost=CostClass.OPENS_EVERY_TABLE,
        why="this object of information_schema is not in our catalogue, so it is treated as expensive",
        instead="SHOW statements, or performance_schema",
        source="not measured",
    ),
)

_CHEAP = words(
    "schemata engines plugins all_plugins character_sets collations collation_character_set_applicability keywords"
    " processlist user_privileges schema_privileges table_privileges column_privileges applicable_roles enabled_roles"
    " optimizer_trace profiling user_variables"
    " sql_functions spatial_ref_sys system_variables global_status session_status global_variables"
    " session_variables innodb_trx innodb_metrics innodb_buffer_pool_stats innodb_cmp innodb_cmpmem innodb_locks"
    " innodb_lock_waits innodb_ft_default_stopword innodb_mutexes client_statistics index_statistics table_statistics"
    " user_statistics key_caches thread_pool_groups thread_pool_queues thread_pool_stats thread_pool_waits"
    " wsrep_membership wsrep_status metadata_lock_info query_response_time query_response_time_read"
    " query_response_time_write query_response_time_read_write locales optimizer_costs users"
    " slave_status tablespaces"
)
"""Objects of information_schema that are small whatever the server holds."""

_VIEWS = (
    DangerousObject(
        id="sys-buffer-pages",
        schema="sys",
        names=words(
            "innodb_buffer_stats_by_table innodb_buffer_stats_by_schema x$innodb_buffer_stats_by_table"
            " x$innodb_buffer_stats_by_schema schema_table_statistics_with_buffer x$schema_table_statistics_with_buffer"
        ),
        cost=CostClass.WALKS_BUFFER_POOL,
        why="a view over information_schema.innodb_buffer_page: it walks the whole buffer pool",
        instead="sys.schema_table_statistics, information_schema.innodb_buffer_pool_stats",
        source=_MEASURED,
        measured="32,000 pages: 73 to 403 ms",
    ),
    DangerousObject(
        id="sys-index-reports",
        schema="sys",
        names=words("schema_unused_indexes schema_redundant_indexes x$schema_flattened_keys"),
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it joins every index of the server with itself or with statistics",
        instead="SHOW INDEX FROM one table, performance_schema.table_io_waits_summary_by_index_usage",
        source=_MEASURED,
        measured="2,000 tables: 5.7 s, 4,043 tables opened",
    ),
    DangerousObject(
        id="sys-object-reports",
        schema="sys",
        names=words("schema_object_overview schema_auto_increment_columns"),
        cost=CostClass.OPENS_EVERY_TABLE,
        uninterruptible=True,
        why="it collects every object, or every column, of the server, and cannot be stopped",
        instead="give one schema to information_schema.tables",
        source=_MEASURED,
        measured="2,000 tables: 213 to 531 ms",
    ),
)

_OBJECTS = in_order(_TABLES, _INNODB, _LISTS, _VIEWS, SECRETS, cheap=_CHEAP)
"""The catalogue; the first row that fits decides."""

_GUARDS = (
    Guard(variable="tx_read_only", value=1),
    Guard(variable="max_statement_time", limit="run_seconds", fractions=True),
    *SHARED_GUARDS,
    Guard(
        variable="max_session_mem_used",
        limit="session_memory_bytes",
        holds=Holds.AT_MOST,
    ),
    Guard(variable="tmp_disk_table_size", value=TEMPORARY_DISK_BYTES, holds=Holds.AT_MOST),
    # The same for temporary files of every kind; zero is no limit. Source: MariaDB 11.8, measured.
    Guard(
        variable="max_tmp_session_space_usage",
        value=TEMPORARY_DISK_BYTES,
        holds=Holds.AT_MOST,
        zero_lifts=True,
        since=110500,
    ),
    Guard(
        variable="idle_transaction_timeout",
        value=300,
    ),
    Guard(variable="tx_isolation", words=ISOLATION),
    Guard(variable="check_constraint_checks", value=1, since=100201),
    # Else tables with a history would be read as they stood at that time. Source: MariaDB 10.11, measured: in a session
    # the word stands for "as of now", not for the global value.
    Guard(variable="system_versioning_asof", words=("DEFAULT",), since=100304),
)

_PROBES = (
    Probe(
        sql="SELECT CONCAT('SESSION_MEMORY ', ID), MEMORY_USED FROM information_schema.PROCESSLIST"
        " WHERE ID IN ({threads})",
    ),
    Probe(
        sql="SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
        " WHERE VARIABLE_NAME IN ('THREADS_RUNNING', 'OPENED_TABLE_DEFINITIONS', 'MEMORY_USED')",
    ),
)

_COMMITTED = (
    "(SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME = 'WSREP_LAST_COMMITTED')"
)

_SERVER = Server(
    guards=_GUARDS,
    read_only_variable="tx_read_only",
    version_prefix="5.5.5-",
    time_limit_error=1969,
    probes=_PROBES,
    # Not information_schema.PROCESSLIST: its temporary table is made on disk, and a slow or full disk is
    # what a kill may be about. So its QUERY_ID is not known here; that a kill hits no later statement is
    # held by the watchdog's lock.
    process=("SHOW PROCESSLIST",),
    calls_idle_killed=True,
    kill_query=("KILL QUERY {thread}", "CALL mysql.rds_kill_query({thread})"),
    kill_connection=("KILL {thread}", "CALL mysql.rds_kill({thread})"),
    identity="CONCAT(@@hostname, ':', @@port, '/', @@server_id)",
    replica_status=("SHOW ALL SLAVES STATUS",),
    followers=("SHOW SLAVE HOSTS",),
    dumping="SELECT LEFT(HOST, LENGTH(HOST) - LENGTH(SUBSTRING_INDEX(HOST, ':', -1)) - 1), @@port"
    " FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'",
    # What shows them, PROCESS or REPLICATION MASTER ADMIN, is more than an account for reading should have.
    asks_for="list every node",
    health="SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME IN ('THREADS_RUNNING', 'MEMORY_USED', 'INNODB_HISTORY_LIST_LENGTH', 'SLAVES_CONNECTED',"
    " 'OPEN_TABLE_DEFINITIONS')",
    position="SELECT @@GLOBAL.gtid_current_pos",
    wait="SELECT MASTER_GTID_WAIT('{position}', {seconds})",
    group_position=f"SELECT {_COMMITTED}",
    # It looks again in a moment, so that who waits does not ask without end.
    group_wait=f"SELECT IF({_COMMITTED} >= {{position}}, 0, 1 + SLEEP(LEAST({{seconds}}, 0.05)))",
    takes_several=True,
    idle_variables=("idle_write_transaction_timeout", "idle_readonly_transaction_timeout"),
    # A cheap subquery would be run while it is planned.
    plan="SET STATEMENT expensive_subquery_limit=0 FOR EXPLAIN FORMAT=JSON {sql}",
    plan_is_noted=False,
    plan_is_verbatim=True,
)

# max_statement_time starts anew with each statement of a routine or a block.
_UNCAPPED = frozenset({"call", "begin", "if", "while", "for", "loop", "repeat", "case", "unknown"})


def _ends_by_itself(statement: Statement) -> bool:
    """Whether max_statement_time ends a statement.

    Source: MariaDB 10.11, measured (docs/limits.md, "What a server's own cap does not stop").
    """
    return statement.kind.split(" ", 1)[0] not in _UNCAPPED or statement.kind == "begin"


def _runs_comment(digits: str, version: int) -> set[bool]:
    """See `Lexis`; MariaDB 10.11 runs five digits and six up to its version, but ignores 50700 to 99999."""
    asked = int(digits or 0)
    return {asked <= version and not 50700 <= asked <= 99999}


MARIADB = Dialect(
    flavour=Flavour.MARIADB,
    lexis=Lexis(pattern=mariadb_pattern, runs_comment=_runs_comment, blocks=True),
    kinds=FAMILY_KINDS,
    functions=Functions(
        pure=PURE_MARIADB, since=SINCE_MARIADB, impure=IMPURE, of_sys=SYS_FUNCTIONS, default_takes_sequence=True
    ),
    catalogue=Catalogue(objects=_OBJECTS, schemas=SYSTEM_SCHEMAS, cheap=_CHEAP, other_keys=OTHER_KEYS),
    # It has none before 12.0 (its manual), and reads them as comments.
    settings=family_settings(hints_known_below=120000),
    reserved=RESERVED_MARIADB,
    queries=FAMILY_QUERIES,
    diagnosis=DIAGNOSIS_MARIADB,
    assumed_version=101_100,
    needs=MARIADB_NEEDS,
    # A default that the session may lift: it holds until the console has set its own.
    account_lid=" MAX_STATEMENT_TIME 2",
    leans_on=LEANS_ON,
    server=_SERVER,
    engine_hazard=engine_hazard,
    ends_by_itself=_ends_by_itself,
    limits_each_part=True,
    dictionary_since=EVERY_VERSION,
    sys_since=100600,
    grants_show_hashes=True,
    error_classes=ERROR_CLASSES,
    sqlalchemy="mysql",
)
