"""The diagnostic queries: sessions, lock waits, server load.

Each costs the server a few milliseconds, also while hundreds of sessions wait and hundreds of thousands of rows are
locked: `performance_schema.data_locks` is read by the id of one lock, and never as a whole. Source: MySQL 9.7 and
MariaDB 10.11, measured; docs/limits.md has the figures.
"""

from __future__ import annotations

from msgspec.structs import replace

from safeconsole.sqltext.dialect import Diagnosis
from safeconsole.sqltext.vocabulary import words

_SHOWS = frozenset(
    {
        "SHOW PROCESSLIST",
        "SHOW FULL PROCESSLIST",
        "SHOW ENGINE INNODB STATUS",
        "SHOW REPLICA STATUS",
        "SHOW REPLICA STATUS FOR CHANNEL ?",
        "SHOW SLAVE STATUS",
        "SHOW SLAVE STATUS FOR CHANNEL ?",
        "SHOW BINARY LOG STATUS",
        "SHOW MASTER STATUS",
        "SHOW BINARY LOGS",
        "SHOW MASTER LOGS",
    }
)

_SESSIONS = """SELECT /* safeconsole: sessions */ p.ID AS id, p.USER AS user, p.HOST AS host, p.DB AS db,
 p.COMMAND AS command, p.TIME AS seconds, p.STATE AS state, LEFT(p.INFO, 4000) AS statement,
 TIMESTAMPDIFF(SECOND, x.trx_started, NOW()) AS transaction_seconds, x.trx_rows_modified AS changed_rows,
 x.trx_rows_locked AS locked_rows, LEFT(s.SQL_TEXT, 4000) AS last_statement
 FROM information_schema.PROCESSLIST p
 LEFT JOIN information_schema.INNODB_TRX x ON x.trx_mysql_thread_id = p.ID
 LEFT JOIN performance_schema.threads t ON t.PROCESSLIST_ID = p.ID
 LEFT JOIN performance_schema.events_statements_current s
 ON s.THREAD_ID = t.THREAD_ID AND s.NESTING_EVENT_LEVEL = 0 WHERE {which}""".replace("\n", "")

# Source: Amazon RDS user guide, "Ending a session or query"; RDS Procedures for MySQL and MariaDB.
_KILLS = frozenset(f"CALL MYSQL . RDS_KILL{what} ( ? )" for what in ("", "_QUERY", "_QUERY_ID"))

MOST_SESSIONS = 200
"""Sessions that one look lists, the longest first."""

_WORKING = (
    "p.COMMAND NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID') AND p.ID <> CONNECTION_ID()"
    f" ORDER BY p.TIME DESC LIMIT {MOST_SESSIONS}"
)
_TRANSACTING = f"x.trx_id IS NOT NULL AND p.ID <> CONNECTION_ID() ORDER BY x.trx_started LIMIT {MOST_SESSIONS}"

_CONNECTIONS = """SELECT /* safeconsole: connections */ USER AS user, SUBSTRING_INDEX(HOST, ':', 1) AS host,
 COUNT(*) AS connections, SUM(COMMAND = 'Sleep') AS idle, SUM(COMMAND <> 'Sleep') AS at_work,
 MAX(TIME) AS longest_seconds FROM information_schema.PROCESSLIST
 WHERE COMMAND NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID')
 GROUP BY USER, SUBSTRING_INDEX(HOST, ':', 1) ORDER BY COUNT(*) DESC LIMIT 200""".replace("\n", "")

_WAITING = "p.STATE LIKE 'Waiting for % lock' OR p.STATE IN ('User lock', 'Waiting for table flush')"

# S608: no part of these texts comes from outside this file.
_TABLE_LOCKS = f"""SELECT /* safeconsole: metadata locks */ p.ID AS id, '' AS kind, '' AS `schema`, '' AS name,
 p.STATE AS mode, 'SEEN WAITING' AS status FROM information_schema.PROCESSLIST p WHERE {_WAITING}
 UNION ALL SELECT t.PROCESSLIST_ID, m.OBJECT_TYPE, m.OBJECT_SCHEMA, m.OBJECT_NAME, m.LOCK_TYPE, m.LOCK_STATUS
 FROM (SELECT DISTINCT OBJECT_TYPE, OBJECT_SCHEMA, OBJECT_NAME FROM performance_schema.metadata_locks
 WHERE LOCK_STATUS = 'PENDING' LIMIT 100) w
 JOIN performance_schema.metadata_locks m ON m.OBJECT_TYPE = w.OBJECT_TYPE
 AND m.OBJECT_SCHEMA <=> w.OBJECT_SCHEMA AND m.OBJECT_NAME <=> w.OBJECT_NAME
 JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID LIMIT 1000""".replace("\n", "")  # noqa: S608

# Who is idle without a transaction may hold such a lock, too: LOCK TABLES, FLUSH TABLES WITH READ LOCK, GET_LOCK.
_IDLE_HOLDERS = """SELECT /* safeconsole: locks of idle sessions */ t.PROCESSLIST_ID AS id, m.OBJECT_TYPE AS kind,
 m.OBJECT_SCHEMA AS `schema`, m.OBJECT_NAME AS name FROM performance_schema.metadata_locks m
 JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
 WHERE m.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_COMMAND = 'Sleep'
 AND (m.OBJECT_TYPE IN ('TABLE', 'USER LEVEL LOCK') OR (m.OBJECT_TYPE = 'GLOBAL' AND m.LOCK_TYPE = 'SHARED')
 OR (m.OBJECT_TYPE = 'BACKUP' AND m.LOCK_TYPE LIKE 'BACKUP_FTWRL%')) LIMIT 1000""".replace("\n", "")

_LOCKS_OF = """SELECT /* safeconsole: locks of tables */ t.PROCESSLIST_ID AS id, m.OBJECT_TYPE AS kind,
 m.OBJECT_SCHEMA AS `schema`, m.OBJECT_NAME AS name, m.LOCK_TYPE AS mode, m.LOCK_STATUS AS status
 FROM performance_schema.metadata_locks m JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
 WHERE m.OBJECT_TYPE = 'GLOBAL' OR (m.OBJECT_TYPE = 'TABLE' AND (m.OBJECT_SCHEMA, m.OBJECT_NAME) IN ({which}))
 LIMIT 1000""".replace("\n", "")

_ROW_WAITS_MYSQL = """SELECT /* safeconsole: row locks */ r.trx_mysql_thread_id AS waiting,
 b.trx_mysql_thread_id AS blocking, l.OBJECT_SCHEMA AS `schema`, l.OBJECT_NAME AS name, l.INDEX_NAME AS index_name,
 l.LOCK_TYPE AS kind, l.LOCK_MODE AS mode, l.LOCK_DATA AS value, @@performance_schema AS instrumented
 FROM information_schema.INNODB_TRX r
 LEFT JOIN performance_schema.data_lock_waits w ON w.REQUESTING_ENGINE_TRANSACTION_ID = CAST(r.trx_id AS UNSIGNED)
 LEFT JOIN performance_schema.data_locks l ON l.ENGINE_LOCK_ID = w.REQUESTING_ENGINE_LOCK_ID AND l.ENGINE = w.ENGINE
 LEFT JOIN information_schema.INNODB_TRX b ON b.trx_id = CAST(w.BLOCKING_ENGINE_TRANSACTION_ID AS CHAR)
 WHERE r.trx_state = 'LOCK WAIT' LIMIT 500""".replace("\n", "")

_ROW_WAITS_MARIADB = """SELECT /* safeconsole: row locks */ r.trx_mysql_thread_id AS waiting,
 b.trx_mysql_thread_id AS blocking, '' AS `schema`, l.lock_table AS name, l.lock_index AS index_name,
 l.lock_type AS kind, l.lock_mode AS mode, l.lock_data AS value, @@performance_schema AS instrumented
 FROM information_schema.INNODB_TRX r
 LEFT JOIN information_schema.INNODB_LOCK_WAITS w ON w.requesting_trx_id = r.trx_id
 LEFT JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id
 LEFT JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id
 WHERE r.trx_state = 'LOCK WAIT' LIMIT 500""".replace("\n", "")

_COUNTERS = words("Threads_connected Threads_running Queries Uptime Innodb_row_lock_current_waits Max_used_connections")
_OLDEST = (
    " UNION ALL SELECT 'oldest_transaction', TIMESTAMPDIFF(SECOND, MIN(trx_started), NOW())"
    " FROM information_schema.INNODB_TRX UNION ALL SELECT 'max_connections', @@GLOBAL.max_connections"
)


def _numbers(table: str, counters: frozenset[str], rest: str) -> str:
    names = ", ".join(f"'{name}'" for name in sorted(counters))
    return (
        "SELECT /* safeconsole: numbers */ VARIABLE_NAME AS name, VARIABLE_VALUE AS number"  # noqa: S608
        f" FROM {table} WHERE VARIABLE_NAME IN ({names}){_OLDEST}{rest}"
    )


_HOST = "SUBSTRING_INDEX(CURRENT_USER(), '@', -1)"
_USER = f"LEFT(CURRENT_USER(), LENGTH(CURRENT_USER()) - LENGTH({_HOST}) - 1)"
_PRIVILEGE_TABLES: dict[str, tuple[str, ...]] = {
    "USER_PRIVILEGES": (),
    "SCHEMA_PRIVILEGES": ("TABLE_SCHEMA",),
    "TABLE_PRIVILEGES": ("TABLE_SCHEMA", "TABLE_NAME"),
    "COLUMN_PRIVILEGES": ("TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME"),
}


def _known(of: Diagnosis) -> Diagnosis:
    texts = (of.working, of.transacting, of.connections, of.row_waits, of.table_locks, of.idle_holders, of.numbers)
    held = (of.has_held_tables, of.held_tables)
    return replace(of, own=frozenset(filter(None, (*texts, *held, *of.of_itself))))


DIAGNOSIS_MYSQL = _known(
    Diagnosis(
        shows=_SHOWS,
        tables=words(
            "information_schema.processlist information_schema.innodb_trx information_schema.innodb_metrics"
            " performance_schema.processlist performance_schema.threads performance_schema.data_lock_waits"
            " performance_schema.metadata_locks performance_schema.events_statements_current"
            " performance_schema.memory_summary_global_by_event_name"
            " performance_schema.replication_connection_status performance_schema.replication_applier_status"
            " performance_schema.replication_applier_status_by_coordinator"
            " performance_schema.replication_applier_status_by_worker"
            " sys.innodb_lock_waits sys.x$innodb_lock_waits sys.schema_table_lock_waits sys.x$schema_table_lock_waits"
        ),
        kills=_KILLS,
        sessions=_SESSIONS,
        working=_SESSIONS.format(which=_WORKING),
        transacting=_SESSIONS.format(which=_TRANSACTING),
        connections=_CONNECTIONS,
        row_waits=_ROW_WAITS_MYSQL,
        table_locks=_TABLE_LOCKS,
        locks_of=_LOCKS_OF,
        idle_holders=_IDLE_HOLDERS,
        numbers=_numbers(
            "performance_schema.global_status",
            _COUNTERS,
            " UNION ALL SELECT 'history_length', COUNT FROM information_schema.INNODB_METRICS"
            " WHERE NAME = 'trx_rseg_history_len' UNION ALL SELECT 'memory_used', SUM(CURRENT_NUMBER_OF_BYTES_USED)"
            " FROM performance_schema.memory_summary_global_by_event_name",
        ),
        of_itself=(
            "SELECT /* safeconsole: this account */ CURRENT_USER(), CURRENT_ROLE()",
            "SHOW /* safeconsole: this account */ GRANTS",
        ),
        blind="performance_schema is OFF on this server (it is set at the server's start)",
    )
)

DIAGNOSIS_MARIADB = _known(
    Diagnosis(
        shows=_SHOWS
        | {
            "SHOW SLAVE ? STATUS",
            "SHOW REPLICA ? STATUS",
            "SHOW ALL SLAVES STATUS",
            "SHOW ALL REPLICAS STATUS",
            "SHOW BINLOG STATUS",
        },
        tables=words(
            "information_schema.processlist information_schema.innodb_trx information_schema.innodb_metrics"
            " information_schema.innodb_locks information_schema.innodb_lock_waits"
            " information_schema.metadata_lock_info information_schema.plugins"
            " performance_schema.threads performance_schema.metadata_locks performance_schema.events_statements_current"
            " sys.innodb_lock_waits sys.x$innodb_lock_waits sys.schema_table_lock_waits sys.x$schema_table_lock_waits"
        ),
        kills=_KILLS,
        sessions=_SESSIONS,
        working=_SESSIONS.format(which=_WORKING),
        transacting=_SESSIONS.format(which=_TRANSACTING),
        connections=_CONNECTIONS,
        row_waits=_ROW_WAITS_MARIADB,
        table_locks=_TABLE_LOCKS,
        locks_of=_LOCKS_OF,
        idle_holders=_IDLE_HOLDERS,
        # A plugin that is not installed by itself, and needs no performance_schema. Source: MariaDB manual, "Metadata
        # Lock Info Plugin"; MariaDB 10.11, measured.
        has_held_tables=(
            "SELECT /* safeconsole: metadata locks held */ PLUGIN_NAME FROM information_schema.PLUGINS"
            " WHERE PLUGIN_NAME = 'METADATA_LOCK_INFO' AND PLUGIN_STATUS = 'ACTIVE'"
        ),
        held_tables=(
            "SELECT /* safeconsole: metadata locks held */ THREAD_ID AS id, TABLE_SCHEMA AS `schema`,"
            " TABLE_NAME AS name, LOCK_MODE AS mode FROM information_schema.METADATA_LOCK_INFO"
            " WHERE LOCK_TYPE = 'Table metadata lock' LIMIT 1000"
        ),
        numbers=_numbers(
            "information_schema.GLOBAL_STATUS",
            _COUNTERS | {"Memory_used", "Innodb_history_list_length"},
            "",
        ),
        of_itself=(
            "SELECT /* safeconsole: this account */ CURRENT_USER(), CURRENT_ROLE()",
            *(
                "SELECT /* safeconsole: this account */ "  # noqa: S608
                f"{', '.join(('PRIVILEGE_TYPE', 'IS_GRANTABLE', *places))} FROM information_schema.{table}"
                f" WHERE GRANTEE = CONCAT(QUOTE({_USER}), '@', QUOTE({_HOST}))"
                for table, places in _PRIVILEGE_TABLES.items()
            ),
        ),
        blind=(
            "this server shows no metadata locks: INSTALL SONAME 'metadata_lock_info', or performance_schema = ON with"
            " the instrument wait/lock/metadata/sql/mdl"
        ),
    )
)
