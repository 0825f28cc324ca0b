"""The type of a dialect: everything that differs between server families, as one value.

The values are in `dialects`; whoever reads, judges or asks looks the difference up here and compares no names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from safeconsole.sqltext.statement import Hazard, Statement
from safeconsole.sqltext.vocabulary import Account, CostClass, Effect, Flavour, Privilege, Role


class Scanned(NamedTuple):
    """How a stretch of text is scanned, as the key of a compiled pattern.

    Attributes:
        ansi_quotes: `"` quotes names.
        backslash: a backslash escapes inside strings.
        inside: an executable comment is open, so `*/` closes it.
        whole: runs of literals are one token, and runs of what means nothing.
    """

    ansi_quotes: bool
    backslash: bool
    inside: bool
    delimiter: str
    whole: bool


class Lexis(msgspec.Struct, frozen=True, kw_only=True):
    """How text is cut into tokens and statements, and how values are written.

    Attributes:
        pattern: the compiled scanner; the same for the same argument.
        runs_comment: whether the server runs an executable comment of a version, by its digits and the server's
            version, in every way that it may read the digits.
        dollar_quotes: `$` may open a quoted text.
        blocks: compound blocks stand outside routines too.
        backslash_escapes: a backslash escapes in strings, unless sql_mode says otherwise.
        name_may_be_text: a double-quoted name that is no column is taken for a text.
        name_quote: what quotes a name under every setting; doubled inside of one.
        bytes_mark: what stands before the hexadecimal digits of bytes.
        nul_call: the call that makes a NUL character, "" where a text may hold it.
    """

    pattern: Callable[[Scanned], re.Pattern[str]]
    runs_comment: Callable[[str, int], set[bool]] = lambda _digits, _version: {False}
    dollar_quotes: bool = False
    blocks: bool = False
    backslash_escapes: bool = True
    name_may_be_text: bool = False
    name_quote: str = "`"
    bytes_mark: str = "_binary x"
    nul_call: str = ""


class KindShape(StrEnum):
    """How the rest of a statement is read.

    QUERY: effects come from its tokens. SHOW, EXPLAIN, SET, USE, PRAGMA: each by its own rules.
    CHANGE: writes rows; its tables and functions are read.
    NAMED: names tables after its first words. FIXED: the floor is all there is to say. BLOCK: a compound block.
    """

    QUERY = "query"
    SHOW = "show"
    EXPLAIN = "explain"
    SET = "set"
    USE = "use"
    PRAGMA = "pragma"
    CHANGE = "change"
    NAMED = "named"
    FIXED = "fixed"
    BLOCK = "block"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of statement.

    Attributes:
        name: lower-case words, as `Statement.kind`.
        shape: how the rest is read.
        words: how many words named it.
        rows: whether it answers with rows.
    """

    name: str
    effects: frozenset[Effect]
    shape: KindShape
    words: int = 1
    rows: bool = False


class Functions(msgspec.Struct, frozen=True, kw_only=True):
    """Native functions; names in lower case.

    Attributes:
        pure: free of side effects, and ending by themselves.
        since: the version that brought one; before it the name is free for a stored one.
        removed: the version that took one away.
        impure: the others, and the id of the danger of each.
        of_sys: functions of the schema sys that only format.
        default_takes_sequence: DEFAULT(column) may take the next value of a sequence.
    """

    pure: frozenset[str]
    since: Mapping[str, int] = {}
    removed: Mapping[str, int] = {}
    impure: Mapping[str, str] = {}
    of_sys: frozenset[str] = frozenset()
    default_takes_sequence: bool = False


EVERY_VERSION = 1_000_000_000

TABLE_KEYS = ("TABLE_SCHEMA", "TABLE_NAME")


class DangerousObject(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of a server that are dangerous to read, when, and how.

    Attributes:
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


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The hazards of the server's own objects.

    Attributes:
        objects: dangerous ones; the first row that fits decides.
        schemas: those that belong to the server, lower case.
        cheap: names in information_schema that are known to be small.
        anywhere: names of dangerous objects that every schema has.
        other_keys: columns of schema and object where they are not `TABLE_KEYS`, by the object's lower-case name.
    """

    objects: tuple[DangerousObject, ...]
    schemas: frozenset[str] = frozenset()
    cheap: frozenset[str] = frozenset()
    anywhere: frozenset[str] = frozenset()
    other_keys: Mapping[str, tuple[str, str]] = {}

    def keys_of(self, row: DangerousObject, name: str) -> tuple[str, str] | tuple[()]:
        """Return the columns by which an object can be looked up, by its lower-case name."""
        return self.other_keys.get(name, row.keys) if row.keys == TABLE_KEYS else row.keys


class AllowedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Session settings and optimizer hints that a statement may set; all others belong to the console.

    Attributes:
        harmless: lower case; setting them changes the session and nothing that protects.
        harmless_hints: upper case; they change a plan and nothing else.
        hints_known_below: versions below which every hint is known here, so that the server ignores any other.
        held: what the console holds a setting at on every connection, in every spelling, upper case.
        of_dumps: what the head of a dump sets, so that its file loads whole.
        read_only: held at 1 for the session, whatever the next transaction is.
        limits: settings that follow a ceiling: which, and how many of the setting's units are one of the ceiling's.
    """

    harmless: frozenset[str] = frozenset()
    harmless_hints: frozenset[str] = frozenset()
    hints_known_below: int = 0
    held: Mapping[str, frozenset[str]] = {}
    of_dumps: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    limits: Mapping[str, tuple[str, int]] = {}


class Queries(msgspec.Struct, frozen=True, kw_only=True):
    """Templates of the console's own queries, the cheapest that answer; `dialects.queries` fills them in.

    Attributes:
        tables: names in the session's schema.
        columns, indexes: of one table, `{table}`.
        name_column: which column of the answer to `columns` holds the name, from 0.
        size: of one table, `{schema}` as SQL and `{name}`.
        schema: finds `{schema}` by its name; "" where schemas are not asked for.
        names: the next `{most}` names after `{after}` in `{schema}`, as SQL.
        keys: key, column, and the table and column that it leads to, for each foreign key of `{table}`.
        referrers: table, column, and the column that it leads to, for each foreign key onto `{table}`.
        about: estimated rows, bytes and the comment of `{schema}`, as SQL, and `{name}`.
        schemas: names of at most `{most}` schemas; "" where schemas are not asked for.
        variables: the server's variables, their names first; "" where it has none.
        explain: the plan of `{sql}`.
        in_show_words: indexes and sizes are told in the columns of SHOW INDEX and information_schema.
    """

    tables: str
    columns: str
    indexes: str
    size: str
    names: str
    keys: str
    referrers: str
    about: str
    explain: str
    name_column: int = 0
    schemas: str = ""
    schema: str = ""
    variables: str = ""
    in_show_words: bool = True


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The statements that count as diagnosis, and the console's own diagnostic queries.

    The statements are sent as the account for diagnosis. The console's own begin with a comment, so that no other text
    shares its analysis with one of them.

    Attributes:
        shows: SHOW statements, normalised and in capitals.
        tables: lower-case "schema.name"; a query of nothing else is a diagnosis.
        sessions: the sessions that a condition picks, `{which}`, with their transactions and statements.
        working, transacting: that question, of those who run something, and of those who have a transaction open.
        connections: how many connections each account has from each host.
        row_waits: who waits for whose row; `blocking` is NULL where the server does not say.
        table_locks: sessions that wait for a metadata lock, and all locks of the objects that somebody waits for.
        locks_of: the metadata locks of some tables, `{which}`, and those of the whole server.
        idle_holders: the metadata locks that idle sessions hold.
        held_tables: metadata locks that are held, from elsewhere; "" where there is nothing else to ask.
        has_held_tables: whether that can be asked: a row, or none.
        numbers: rows of (name, number) for a live view.
        of_itself: what the account may do.
        kills: calls that end a session or its statement, normalised and in capitals, where a server has them instead of
            KILL; no text is known behind them, and what they do is.
        blind: why nobody can be named who holds a metadata lock.
        own: the console's own questions in full: each was measured, whatever the catalogue says of what it names.
    """

    shows: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    sessions: str = ""
    working: str = ""
    transacting: str = ""
    connections: str = ""
    row_waits: str = ""
    table_locks: str = ""
    locks_of: str = ""
    idle_holders: str = ""
    held_tables: str = ""
    has_held_tables: str = ""
    numbers: str = ""
    of_itself: tuple[str, ...] = ()
    kills: frozenset[str] = frozenset()
    blind: str = ""
    own: frozenset[str] = frozenset()


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Privileges that an account must have.

    Attributes:
        privileges: all of them, as they are granted; the schema may be `grants.OWN_SCHEMA`.
        why: what is lost without it.
        instead: names that serve as well, where a server has another word for it.
    """

    privileges: tuple[Privilege, ...]
    why: str
    accounts: tuple[Account, ...] = (Account.READ, Account.ELEVATED)
    instead: tuple[str, ...] = ()


class ServerSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A global setting of a server that the console's limits lean on.

    Attributes:
        wanted: what it should be, in every spelling, upper case; none where anything is right that is not `unwanted`.
        unwanted: what it should not be, the same.
        role: of the servers that it matters on, None for all.
    """

    name: str
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    why: str
    remedy: str
    role: Role | None = None

    def is_good(self, found: str) -> bool:
        word = found.upper()
        return word in self.wanted if self.wanted else word not in self.unwanted


class Holds(StrEnum):
    """How a guard's reading is compared with what was asked for."""

    EQUAL = "equal"
    AT_MOST = "at-most"
    AT_LEAST = "at-least"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One session setting that the console owns.

    Attributes:
        value: what it is set to, where it follows no limit.
        limit: the ceiling that it follows, or "".
        units: how many of its units are one of the ceiling's.
        fractions: whether it takes parts of a unit; else it is at least 1, since zero would mean no limit.
        words: what it may be, where it holds a word: the server's global value if that is one of them, else the first
            one; empty where it holds a number.
        holds: how a number is compared; AT_MOST never above the server's global value, AT_LEAST never below it.
        zero_lifts: whether zero means that nothing is held.
        since: first version that has it (`LexicalRules.version`), 0 for all.
    """

    variable: str
    value: float = 0
    limit: str = ""
    units: int = 1
    fractions: bool = False
    words: tuple[str, ...] = ()
    holds: Holds = Holds.EQUAL
    zero_lifts: bool = False
    since: int = 0


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor: a query that returns rows of (name, number); `{threads}` are the watched connections' ids.

    Attributes:
        needs: what to grant where it is refused.
    """

    sql: str
    needs: str = ""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The console's control statements for a server; `{thread}` is the watched connection's id.

    Attributes:
        guards: settings of every session, in the order in which they are put in force.
        read_only_variable: the session setting that forbids writing.
        version_prefix: what clients expect before the version in a greeting.
        time_limit_error: the error number of a statement that took too long.
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
        position: how far the server's own history goes, one row, empty where it keeps no account of it; "" where a
            replica's lag is told in milliseconds, so that a time serves as well.
        wait: whether such a position is applied, 0 when it is; waits `{seconds}` at most for `{position}`.
        group_position, group_wait: the same where the server belongs to a Galera cluster, whose nodes count alike what
            they commit, whoever wrote it. Not `wsrep_sync_wait`: where nothing is applied it waits for 30 s, whatever
            `max_statement_time` says. Source: MariaDB 10.11 with Galera 26.4, measured.
        takes_several: whether it answers, in order, what it is sent in one write before it has answered. Source: MySQL
            9.7 and MariaDB 10.11, measured. Aurora is not asked to: MariaDB Connector/J 1.5.5 stopped sending it
            batches so, which could hang a connection (its release notes, CONJ-386).
        idle_variables: the session settings after which the server ends an idle transaction with its connection.
        plan: asks for the plan of `{sql}`, planning as little as it can be told to.
        plan_is_noted: the server says in a note how it rewrote the statement, views and aliases resolved.
        plan_is_verbatim: texts stand in a plan as they are, without JSON's escapes.
    """

    guards: tuple[Guard, ...] = ()
    read_only_variable: str = ""
    version_prefix: str = ""
    time_limit_error: int = 0
    probes: tuple[Probe, ...] = ()
    process: tuple[str, ...] = ()
    kill_query: tuple[str, ...] = ()
    kill_connection: tuple[str, ...] = ()
    identity: str = ""
    replica_status: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()
    dumping: str = ""
    asks_for: str = ""
    health: str = ""
    position: str = ""
    wait: str = ""
    group_position: str = ""
    group_wait: str = ""
    idle_variables: tuple[str, ...] = ()
    takes_several: bool = False
    calls_idle_killed: bool = False
    plan: str = "EXPLAIN FORMAT=JSON {sql}"
    plan_is_noted: bool = True
    plan_is_verbatim: bool = False


class Dialect(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One server family or member; compared by identity, since each exists once.

    Attributes:
        flavour: its name in policies, records and reports.
        lexis, kinds, functions, catalogue, settings: how its texts are read.
        reserved: words that are no name without quotes, upper case.
        diagnosis: what is asked of a server in an incident.
        needs: what its accounts cannot do without; nothing where files' permissions are the barrier.
        account_lid: what CREATE USER adds for an account that reads: a default that holds until a session sets its own.
        leans_on: global settings that the console's limits lean on.
        assumed_version: of a server that nobody asked, as `LexicalRules.version`.
        server: what is asked of a server beside statements; nothing where a file is opened.
        engine_hazard: the danger of a table's storage engine, by its name.
        ends_by_itself: whether the server ends a statement at its time limit, the console alive or not.
        limits_each_part: the server's time limit holds for each statement of a routine, and for queries inside others.
        has_accounts: it has accounts, grants and a network.
        has_statistics: sizes of tables are kept, so that none has to be read for them.
        latitude_first: `ST_AsText` writes latitudes first in a geographic reference system that is defined so.
        has_pragmas: `pragma_…` names a pragma as a function and as a table.
        explain_only_compiles: EXPLAIN runs nothing of what it explains.
        plans_in_json: EXPLAIN answers with one JSON text.
        dictionary_since: the version from which metadata is read from tables of the server's own; before it, and never
            reached where there is none, each table's definition is opened for it.
        sys_since: the version that brought the schema `sys`.
        grants_show_hashes: SHOW GRANTS shows password hashes, so that privileges are read from tables, which do not
            list what a role brings.
        rewrites_rollup: views hold the columns of GROUP BY … WITH ROLLUP as calls of internal functions.
        error_classes: PEP 249's class of an error number; what is not there is an OperationalError.
    """

    flavour: Flavour
    lexis: Lexis
    kinds: Mapping[tuple[str, ...], Kind]
    functions: Functions
    catalogue: Catalogue
    queries: Queries
    settings: AllowedSettings = AllowedSettings()
    reserved: frozenset[str] = frozenset()
    diagnosis: Diagnosis = Diagnosis()
    assumed_version: int = 0
    needs: tuple[Need, ...] = ()
    account_lid: str = ""
    leans_on: tuple[ServerSetting, ...] = ()
    server: Server = Server()
    engine_hazard: Callable[[str], Hazard | None] = lambda _engine: None
    ends_by_itself: Callable[[Statement], bool] = lambda _statement: False
    limits_each_part: bool = False
    has_time_limit: bool = True
    has_accounts: bool = True
    has_statistics: bool = True
    latitude_first: bool = False
    has_pragmas: bool = False
    explain_only_compiles: bool = False
    plans_in_json: bool = True
    dictionary_since: int = 0
    sys_since: int = 0
    grants_show_hashes: bool = False
    rewrites_rollup: bool = False
    error_classes: Mapping[int, str] = {}
    sqlalchemy: str = ""

    def may_end_within(self, statement: Statement) -> bool:
        """Whether the server's time limit can end a statement, or a part of it."""
        return self.limits_each_part or self.ends_by_itself(statement)

    def quoted(self, *parts: str) -> str:
        """Return a name, its parts quoted: schema, table, column."""
        quote = self.lexis.name_quote
        return ".".join(f"{quote}{part.replace(quote, quote * 2)}{quote}" for part in parts)
