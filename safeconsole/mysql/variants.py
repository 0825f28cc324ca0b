"""
What differs between the family's members, as data: settings, sensors, kill forms, words.

Source: MySQL 9.7 and MariaDB 10.11, measured; Aurora MySQL and the RDS procedures from their
manuals ("Ending a session or query", "Aurora MySQL information_schema tables"), never met live.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from safeconsole.policy.limits import Limits
from safeconsole.sqltext.vocabulary import Flavour

_TEMPORARY_TABLE_BYTES = 16 * 1024 * 1024
_TEMPORARY_DISK_BYTES = 1024 * 1024 * 1024
_STALLED_WRITE_SECONDS = 30
_IDLE_SECONDS = 3_600
_IDLE_TRANSACTION_SECONDS = 300
_NO_SELECT_LIMIT = 2**64 - 1
_SORTED_BYTES = 1024


class Holds(StrEnum):
    """How a guard's reading is compared with what was asked for."""

    EQUAL = "equal"
    AT_MOST = "at-most"
    AT_LEAST = "at-least"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """
    One session setting that the console owns.

    Attributes:
        variable: its name.
        value: what it is set to, from the limits in force.
        words: what it may be, where it holds a word: the server's global value if that is one of them, else the first
            one; empty where it holds a number.
        holds: how a number is compared; AT_MOST never above the server's global value, AT_LEAST never below it.
        zero_lifts: whether zero means that nothing is held.
        since: first version that has it (`LexicalRules.version`), 0 for all.
        follows_limits: whether its value changes with the limits.
    """

    variable: str
    value: Callable[[Limits], float] = lambda _limits: 0
    words: tuple[str, ...] = ()
    holds: Holds = Holds.EQUAL
    zero_lifts: bool = False
    since: int = 0
    follows_limits: bool = False

    def assignment(self, limits: Limits) -> str:
        """Return the part of a SET SESSION that puts it in force."""
        served, wanted = f"@@GLOBAL.{self.variable}", number(self.value(limits))
        if len(self.words) > 1:
            wanted = f"IF({served} IN ({', '.join(map(_quoted, self.words))}), {served}, {_quoted(self.words[0])})"
        elif self.words:
            wanted = _quoted(self.words[0])
        elif self.zero_lifts:
            wanted = f"CAST(IF({served} BETWEEN 1 AND {wanted}, {served}, {wanted}) AS UNSIGNED)"
        elif self.holds is not Holds.EQUAL:
            bound = "LEAST" if self.holds is Holds.AT_MOST else "GREATEST"
            wanted = f"CAST({bound}({served}, {wanted}) AS UNSIGNED)"
        return f"SESSION {self.variable} = {wanted}"

    def is_in_force(self, reading: object, limits: Limits) -> bool:
        """Whether the value read back protects as asked."""
        if self.words:
            return str(reading).upper() in map(str.upper, self.words)
        try:
            read = Decimal(str(reading))
        except ArithmeticError:
            return False
        wanted = Decimal(number(self.value(limits)))
        match self.holds:
            case Holds.AT_MOST:
                return read <= wanted and not (self.zero_lifts and not read)
            case Holds.AT_LEAST:
                return read >= wanted
            case Holds.EQUAL:
                return read == wanted


def number(value: float) -> str:
    """Return a number as SQL, without an exponent: 30, 0.5."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6f}".rstrip("0")


def _quoted(word: str) -> str:
    """Return a word of a setting as SQL; DEFAULT is a keyword there."""
    return word if word == "DEFAULT" else f"'{word}'"


def milliseconds(limits: Limits) -> float:
    """Return the run limit in whole milliseconds, >= 1: zero would mean no limit."""
    # A thousandth of a whole number is often a little less than that, as binary fractions are.
    return max(1, math.floor(limits.run_seconds * 1000 + 1e-6))


def lock_seconds(limits: Limits) -> float:
    """Return the lock wait in whole seconds, >= 1."""
    return max(1, math.floor(limits.lock_wait_seconds))


def _constant(value: float) -> Callable[[Limits], float]:
    return lambda _limits: value


def _shared_guards() -> tuple[Guard, ...]:
    return (
        Guard(variable="lock_wait_timeout", value=lock_seconds, follows_limits=True),
        Guard(variable="innodb_lock_wait_timeout", value=lock_seconds, follows_limits=True),
        Guard(variable="tmp_table_size", value=_constant(_TEMPORARY_TABLE_BYTES), holds=Holds.AT_MOST),
        Guard(variable="max_heap_table_size", value=_constant(_TEMPORARY_TABLE_BYTES), holds=Holds.AT_MOST),
        # A client that vanished without a word, or stopped reading, holds the server no longer than this.
        Guard(variable="net_write_timeout", value=_constant(_STALLED_WRITE_SECONDS), holds=Holds.AT_MOST),
        Guard(variable="wait_timeout", value=_constant(_IDLE_SECONDS), holds=Holds.AT_MOST),
        Guard(variable="autocommit", value=_constant(1)),
        # CHAIN opens another transaction behind each that ends, and what follows would be part of it.
        Guard(variable="completion_type", words=("NO_CHAIN",)),
        # An answer that is cut short here is cut short without a word; the largest number is no limit.
        Guard(variable="sql_select_limit", value=_constant(_NO_SELECT_LIMIT)),
        # Texts that are alike up to here are not sorted, without a word.
        Guard(variable="max_sort_length", value=_constant(_SORTED_BYTES), holds=Holds.AT_LEAST),
        # Analysis reads the server's notes, its quotes round names, and what some of its errors say.
        Guard(variable="sql_notes", value=_constant(1)),
        Guard(variable="sql_quote_show_create", value=_constant(1)),
        Guard(variable="lc_messages", words=("en_US",)),
        # `id IS NULL` would find the row that was inserted last.
        Guard(variable="sql_auto_is_null", value=_constant(0)),
        # A change that a constraint forbids is refused, and not let in because a global value says so.
        Guard(variable="foreign_key_checks", value=_constant(1)),
        Guard(variable="unique_checks", value=_constant(1)),
    )


# SERIALIZABLE makes plain reads lock the rows they see, READ-UNCOMMITTED shows what may be rolled back. The other two
# are the server's to choose: with READ-COMMITTED a change locks less.
_ISOLATION = ("REPEATABLE-READ", "READ-COMMITTED")


_MYSQL_GUARDS = (
    # MUST be first: every guard after it is set inside a session that can no longer write.
    Guard(variable="transaction_read_only", value=_constant(1)),
    Guard(variable="max_execution_time", value=milliseconds, follows_limits=True),
    *_shared_guards(),
    Guard(variable="transaction_isolation", words=_ISOLATION),
    # Zero reads sizes live; any other value makes a read of information_schema write them down.
    Guard(variable="information_schema_stats_expiry", value=_constant(0)),
    # The plans are read in the older of its two shapes.
    Guard(variable="explain_json_format_version", value=_constant(1), since=80300),
    # With them a plan is not JSON.
    Guard(variable="end_markers_in_json", value=_constant(0)),
)

_MARIADB_GUARDS = (
    Guard(variable="tx_read_only", value=_constant(1)),
    Guard(variable="max_statement_time", value=lambda limits: limits.run_seconds, follows_limits=True),
    *_shared_guards(),
    Guard(
        variable="max_session_mem_used",
        value=lambda limits: limits.session_memory_bytes,
        holds=Holds.AT_MOST,
        follows_limits=True,
    ),
    Guard(variable="tmp_disk_table_size", value=_constant(_TEMPORARY_DISK_BYTES), holds=Holds.AT_MOST),
    # The same for temporary files of every kind; zero is no limit. Source: MariaDB 11.8, measured.
    Guard(
        variable="max_tmp_session_space_usage",
        value=_constant(_TEMPORARY_DISK_BYTES),
        holds=Holds.AT_MOST,
        zero_lifts=True,
        since=110500,
    ),
    Guard(
        variable="idle_transaction_timeout",
        value=_constant(_IDLE_TRANSACTION_SECONDS),
    ),
    Guard(variable="tx_isolation", words=_ISOLATION),
    Guard(variable="check_constraint_checks", value=_constant(1), since=100201),
    # Else tables with a history would be read as they stood at that time. Source: MariaDB 10.11, measured: in a session
    # the word stands for "as of now", not for the global value.
    Guard(variable="system_versioning_asof", words=("DEFAULT",), since=100304),
)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """
    One sensor: a query that returns rows of (name, number); `{thread}` is the watched connection's id.

    Attributes:
        sql: the query.
        needs: what to grant where it is refused.
    """

    sql: str
    needs: str = ""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """
    One family member; `{thread}` in its texts is the watched connection's id.

    Attributes:
        flavour: which.
        guards: settings of every session, in the order in which they are put in force.
        read_only_variable: the session setting that forbids writing.
        probes: sensors of a running statement, cheapest first.
        process: rows of (id, user, host, schema, command, ...), the watched thread's among them; forms tried in order
            until one shows it. Source: MySQL 9.7, measured: performance_schema=OFF leaves its tables empty.
        calls_idle_killed: whether that list says "Killed" also of a thread that is idle: one that a KILL QUERY reached
            right after its statement's end. `process` then has state and text in its columns 6 and 7. Source: MariaDB
            10.11, measured; MySQL 9.7 says so only of connections that were killed.
        kill_query, kill_connection: forms of a kill, tried in order until one is not refused.
        identity: columns that say which server this is.
        replica_status: one row a replication channel; forms tried in order.
        followers: one row a replica that registered here; forms tried in order.
        dumping: one row (host, this server's port) a connection that reads the binary log; asked where `followers` is
            refused. A replica's own port is in neither; most have the same.
        asks_for: what lets an account see who copies from a server.
        health: global numbers for routing, rows of (name, number).
        position: how far the server's own history goes, one row, empty where it keeps no account of it.
        wait: whether such a position is applied, 0 when it is; waits `{seconds}` at most for `{position}`.
        takes_several: whether it answers, in order, what it is sent in one write before it has answered. Source: MySQL
            9.7 and MariaDB 10.11, measured. Aurora is not asked to: MariaDB Connector/J 1.5.5 stopped sending it
            batches so, which could hang a connection (its release notes, CONJ-386).
        idle_variables: the session settings after which the server ends an idle transaction with its connection.
    """

    flavour: Flavour
    guards: tuple[Guard, ...]
    read_only_variable: str
    probes: tuple[Probe, ...]
    process: tuple[str, ...]
    kill_query: tuple[str, ...]
    kill_connection: tuple[str, ...]
    identity: str
    replica_status: tuple[str, ...]
    followers: tuple[str, ...]
    dumping: str
    asks_for: str
    health: str
    position: str
    wait: str
    idle_variables: tuple[str, ...]
    takes_several: bool = False
    calls_idle_killed: bool = False


# Answered from counters; each costs 0.2-0.8 ms. The sums of `sys` cost 100 ms and are never asked.
_MYSQL_PROBES = (
    Probe(
        sql="SELECT 'SESSION_MEMORY', TOTAL_MEMORY FROM performance_schema.threads WHERE PROCESSLIST_ID = {thread}",
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
_MARIADB_PROBES = (
    Probe(
        sql="SELECT 'SESSION_MEMORY', MEMORY_USED FROM information_schema.PROCESSLIST WHERE ID = {thread}",
    ),
    Probe(
        sql="SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
        " WHERE VARIABLE_NAME IN ('THREADS_RUNNING', 'OPENED_TABLE_DEFINITIONS', 'MEMORY_USED')",
    ),
)

MYSQL = Variant(
    flavour=Flavour.MYSQL,
    guards=_MYSQL_GUARDS,
    read_only_variable="transaction_read_only",
    probes=_MYSQL_PROBES,
    process=(
        "SELECT ID, USER, HOST, DB, COMMAND FROM performance_schema.processlist WHERE ID = {thread}",
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

AURORA_MYSQL = Variant(
    flavour=Flavour.AURORA_MYSQL,
    guards=_MYSQL_GUARDS,
    read_only_variable="transaction_read_only",
    probes=_MYSQL_PROBES,
    process=("SHOW PROCESSLIST",),
    kill_query=("CALL mysql.rds_kill_query({thread})", "KILL QUERY {thread}"),
    kill_connection=("CALL mysql.rds_kill({thread})", "KILL {thread}"),
    identity="@@aurora_server_id",
    replica_status=("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"),
    followers=MYSQL.followers,
    dumping=MYSQL.dumping,
    asks_for=MYSQL.asks_for,
    health=MYSQL.health,
    position=MYSQL.position,
    wait=MYSQL.wait,
    idle_variables=MYSQL.idle_variables,
)

MARIADB = Variant(
    flavour=Flavour.MARIADB,
    guards=_MARIADB_GUARDS,
    read_only_variable="tx_read_only",
    probes=_MARIADB_PROBES,
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
    takes_several=True,
    idle_variables=("idle_write_transaction_timeout", "idle_readonly_transaction_timeout"),
)

VARIANTS: Mapping[Flavour, Variant] = {variant.flavour: variant for variant in (MYSQL, AURORA_MYSQL, MARIADB)}
