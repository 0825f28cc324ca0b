"""The privileges that the console's accounts need on a server, and those that are too wide.

The account is the first barrier, so grants are compared with needs: what is not known to be harmless is too wide.
Source: MySQL 9.7 and MariaDB 10.11, each account made and tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from msgspec.structs import replace

from safeconsole.dialects.catalogue import SYSTEM_SCHEMAS
from safeconsole.patterns import late
from safeconsole.sqltext.dialect import EVERY_VERSION, Dialect, Need
from safeconsole.sqltext.vocabulary import Account, Privilege

OWN_SCHEMA = "{schema}"
"""Stands for the application's schema in a need."""

_MEMORY_COLUMNS = (
    "THREAD_ID",
    "PROCESSLIST_ID",
    "CONTROLLED_MEMORY",
    "MAX_CONTROLLED_MEMORY",
    "TOTAL_MEMORY",
    "MAX_TOTAL_MEMORY",
)


class GrantFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of an account's grants.

    Attributes:
        kind: "wide" (it may more than the console needs), "missing", or "unclear" (not understood, so not vouched for).
        remedy: the statement that fixes it, "" if a person must look.
    """

    kind: Literal["wide", "missing", "unclear"]
    what: str
    why: str
    remedy: str = ""


def _on(names: str, schema: str = "", table: str = "", columns: tuple[str, ...] = ()) -> tuple[Privilege, ...]:
    return tuple(Privilege(name=name.strip(), schema=schema, table=table, columns=columns) for name in names.split(","))


def _tables(schema: str, names: str) -> tuple[Privilege, ...]:
    return tuple(Privilege(name="SELECT", schema=schema, table=name) for name in names.split())


def _functions(schema: str, names: str) -> tuple[Privilege, ...]:
    return tuple(Privilege(name="EXECUTE", schema=schema, table=name, routine="FUNCTION") for name in names.split())


_REPLICA_UNFIT = "a replica's lag and its threads cannot be measured, so no replica is fit"

_SHARED_NEEDS: tuple[Need, ...] = (
    Need(
        privileges=_on("SELECT", OWN_SCHEMA),
        why="nothing of the schema can be read",
        accounts=(Account.READ,),
    ),
    Need(
        privileges=_on("SELECT, INSERT, UPDATE, DELETE", OWN_SCHEMA),
        why="an elevated write has no account",
        accounts=(Account.ELEVATED,),
    ),
    Need(
        privileges=_on("SHOW VIEW", OWN_SCHEMA),
        why="views cannot be examined, so reading one needs an elevation",
    ),
    Need(
        privileges=_on("PROCESS"),
        why="locks and other sessions' statements stay unseen in an incident",
        accounts=(Account.ELEVATED, Account.DIAGNOSE),
    ),
    # The views of sys format with functions that run with the rights of who asks. Source: MySQL 9.7 and MariaDB 10.11,
    # each taken away in turn: error 1356.
    Need(
        privileges=(
            *_tables("sys", "innodb_lock_waits schema_table_lock_waits sys_config"),
            *_functions("sys", "format_statement quote_identifier ps_thread_account sys_get_config"),
        ),
        why="sys.innodb_lock_waits and sys.schema_table_lock_waits cannot be read",
        accounts=(Account.DIAGNOSE,),
    ),
)
_STATISTICS_NEEDS: tuple[Need, ...] = (
    Need(
        privileges=_on("SELECT", "mysql", "innodb_table_stats"),
        why="sizes have no cheap source, and tables cannot be counted, so that every server passes for a large one",
    ),
    Need(
        privileges=_on("SELECT", "mysql", "innodb_index_stats"),
        why="sizes of indexes have no cheap source",
    ),
)

_WHY_KILL = "the session of another account cannot be ended"

_MYSQL_NEEDS: tuple[Need, ...] = (
    *_SHARED_NEEDS,
    Need(privileges=_on("REPLICATION CLIENT"), why=_REPLICA_UNFIT, accounts=tuple(Account)),
    Need(
        privileges=_on("SELECT", "performance_schema", "threads", _MEMORY_COLUMNS),
        why="the memory of a running statement cannot be watched",
    ),
    Need(
        privileges=_on("SELECT", "performance_schema", "memory_summary_global_by_event_name"),
        why="the memory of the whole instance cannot be watched",
        accounts=tuple(Account),
    ),
    Need(
        privileges=_tables("performance_schema", "threads events_statements_current"),
        why="whose lock it is stays unseen, and what they did last",
        accounts=(Account.DIAGNOSE,),
    ),
    Need(
        privileges=_tables("performance_schema", "data_locks data_lock_waits"),
        why="who waits for whose row stays unseen",
        accounts=(Account.DIAGNOSE,),
    ),
    Need(
        privileges=_tables("performance_schema", "metadata_locks"),
        why="who waits for whose table stays unseen",
        accounts=(Account.DIAGNOSE,),
    ),
    Need(
        privileges=_tables(
            "performance_schema",
            "replication_connection_status replication_applier_status replication_applier_status_by_coordinator"
            " replication_applier_status_by_worker",
        ),
        why="why a replica stopped to apply stays unseen where several threads apply",
        accounts=(Account.DIAGNOSE,),
    ),
    *_STATISTICS_NEEDS,
)
MYSQL_NEEDS = (*_MYSQL_NEEDS, Need(privileges=_on("CONNECTION_ADMIN"), why=_WHY_KILL, accounts=(Account.ELEVATED,)))
AURORA_NEEDS = (
    *_MYSQL_NEEDS,
    # CONNECTION_ADMIN, which the master user has there, lets an account past limits too. Source: Aurora user guide,
    # "Ending a session or query", "Master user account privileges".
    Need(
        privileges=tuple(
            Privilege(name="EXECUTE", schema="mysql", table=name, routine="PROCEDURE")
            for name in ("rds_kill", "rds_kill_query")
        ),
        why=_WHY_KILL,
        accounts=(Account.ELEVATED,),
        instead=("CONNECTION_ADMIN",),
    ),
)
MARIADB_NEEDS: tuple[Need, ...] = (
    *_SHARED_NEEDS,
    Need(privileges=_on("CONNECTION ADMIN"), why=_WHY_KILL, accounts=(Account.ELEVATED,)),
    Need(
        privileges=_on("SLAVE MONITOR"),
        why=_REPLICA_UNFIT,
        accounts=tuple(Account),
        instead=("REPLICA MONITOR",),
    ),
    Need(
        privileges=_on("BINLOG MONITOR"),
        why="the binary logs of a primary cannot be listed",
        accounts=(Account.DIAGNOSE,),
        instead=("REPLICATION CLIENT",),
    ),
    Need(
        privileges=_tables("performance_schema", "threads events_statements_current metadata_locks"),
        why="who waits for whose table stays unseen, and what they did last",
        accounts=(Account.DIAGNOSE,),
    ),
    *_STATISTICS_NEEDS,
)

CONSOLE_CONNECTIONS: dict[Account, int] = {Account.READ: 2, Account.ELEVATED: 2, Account.DIAGNOSE: 2}
"""Connections that one console holds to a server at once: one asks, one measures, watches and kills."""

USUAL_PEOPLE = 3
"""Consoles at once that an account is made for where nobody said how many there will be."""

_HARMLESS = frozenset(
    {"USAGE", "SHOW VIEW", "SHOW DATABASES", "REPLICATION CLIENT", "BINLOG MONITOR", "SLAVE MONITOR", "REPLICA MONITOR"}
)
_CHANGING = frozenset(
    {
        "INSERT",
        "UPDATE",
        "DELETE",
        "DELETE HISTORY",
        "CREATE",
        "DROP",
        "INDEX",
        "ALTER",
        "CREATE VIEW",
        "REFERENCES",
        "TRIGGER",
    }
)
_STATISTICS = (
    "innodb_table_stats",
    "innodb_index_stats",
    "gtid_executed",
    "gtid_slave_pos",
    "rds_topology",
    "time_zone",
    "time_zone_name",
)
_READINGS = (
    "memory_summary_global_by_event_name",
    "global_status",
    "replication_connection_status",
    "replication_applier_status",
    "replication_applier_status_by_worker",
    "replication_applier_status_by_coordinator",
    "replication_group_members",
    "replication_group_member_stats",
    # Who waits for whom, without the text of any statement.
    "data_lock_waits",
)
_READABLE_OF_SERVER = frozenset(
    {*(f"mysql.{table}" for table in _STATISTICS), *(f"performance_schema.{table}" for table in _READINGS)}
)
_WHY: dict[str, str] = {
    "PROCESS": "it opens the buffer-pool and tablespace scans, and shows other people's statements",
    "SUPER": "it passes every limit of the server, and changes its settings",
    "FILE": "it reads and writes files of the server's computer",
    "EXECUTE": "stored routines write with their definer's rights, whatever this account may do",
    "CONNECTION_ADMIN": "it is exempt from the server's memory and connection limits, and kills other sessions",
    "CONNECTION ADMIN": "it kills other sessions, and changes settings of the server",
    "SYSTEM_VARIABLES_ADMIN": "it changes settings of the whole server",
    "LOCK TABLES": "it can hold locks that stop the application",
    "CREATE TEMPORARY TABLES": "temporary tables take the server's memory and disk",
    "ALL PRIVILEGES": "it may do everything",
    "GRANT OPTION": "it may hand its privileges on",
    "CREATE USER": "it makes accounts that no console guards",
}
_NEVER_NEEDED = "the console never needs it"
_NAME = r"(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|[\w$]+)"
"""In double quotes where sql_mode has ANSI_QUOTES, in none where sql_quote_show_create is off.

Source: MySQL 9.7, measured.
"""

_GRANT = late(
    r"GRANT (?P<what>.+) ON (?:TABLE |(?P<routine>FUNCTION|PROCEDURE) )?"
    rf"(?P<schema>\*|{_NAME})\.(?P<table>\*|{_NAME}) TO .+?"
    r"(?P<option> WITH GRANT OPTION)?",
    re.DOTALL,
)
_PART = late(rf"(?P<name>[A-Z_]+(?: [A-Z_]+)*)(?: \((?P<columns>{_NAME}(?:, ?{_NAME})*)\))?(?:, ?|$)")


def privileges_of(grant: str) -> tuple[Privilege, ...] | None:
    """Return the privileges in one line of SHOW GRANTS, or None if its form is unknown.

    Args:
        grant: such as "GRANT SELECT (`a`), INSERT ON `shop`.`orders` TO `u`@`%`". Source: MySQL 9.7, measured.
    """
    found = _GRANT.fullmatch(grant)
    if not found:
        return None
    parts, end = [], 0
    for part in _PART.finditer(found["what"]):
        if part.start() != end:
            return None
        end = part.end()
        parts.append(part)
    if not parts or end != len(found["what"]):
        return None
    return tuple(
        Privilege(
            name=part["name"],
            schema=_unquoted(found["schema"]),
            table=_unquoted(found["table"]),
            routine=found["routine"] or "",
            columns=tuple(_unquoted(name) for name in re.findall(_NAME, part["columns"] or "")),
            grantable=bool(found["option"]),
        )
        for part in parts
    )


def _unquoted(name: str) -> str:
    quote = name[0]
    if quote not in '`"':
        return "" if name == "*" else name
    return name[1:-1].replace(quote * 2, quote)


def judged(
    dialect: Dialect,
    account: Account,
    privileges: Iterable[Privilege],
    *,
    grantee: str,
    schema: str = "",
    version: int = EVERY_VERSION,
) -> Iterator[GrantFinding]:
    """Yield privileges that are too wide, then missing ones.

    Args:
        account: what the console uses it for.
        privileges: all that the server reports.
        grantee: the account as GRANT writes it ("'console_read'@'%'").
        schema: the application's schema; "" accepts any that is not the server's own.
        version: the server's, as `LexicalRules.version`: nothing is missing that it does not have.
    """
    held = tuple(privileges)
    for privilege in held:
        why = _too_wide(privilege, account)
        if why:
            yield GrantFinding(
                kind="wide", what=privilege.text, why=why, remedy=f"REVOKE {privilege.text} FROM {grantee}"
            )
        if privilege.grantable:
            option = replace(privilege, name="GRANT OPTION", columns=())
            yield GrantFinding(
                kind="wide",
                what=f"{privilege.text} WITH GRANT OPTION",
                why=_WHY["GRANT OPTION"],
                remedy=f"REVOKE {option.text} FROM {grantee}",
            )
    for need, wanted in _needed(dialect, account, schema):
        if wanted.routine and dialect.grants_show_hashes:
            # No table that the account may read lists its routines there.
            continue
        if wanted.schema == "sys" and version < dialect.sys_since:
            continue
        if not any(_covers(privilege, wanted, need.instead) for privilege in held):
            told = _placed(wanted, "app") if wanted.schema == OWN_SCHEMA else wanted
            yield GrantFinding(kind="missing", what=told.text, why=need.why, remedy=f"GRANT {told.text} TO {grantee}")


def _needed(dialect: Dialect, account: Account, schema: str) -> Iterator[tuple[Need, Privilege]]:
    for need in dialect.needs:
        if account in need.accounts:
            for privilege in need.privileges:
                yield need, _placed(privilege, schema) if schema and privilege.schema == OWN_SCHEMA else privilege


def _placed(privilege: Privilege, schema: str) -> Privilege:
    return replace(privilege, schema=schema)


def _covers(held: Privilege, wanted: Privilege, others: tuple[str, ...]) -> bool:
    """Whether a privilege meets a need; a part of the application's schema is enough, since less is a choice."""
    if held.name not in {wanted.name, "ALL PRIVILEGES", *others}:
        return False
    if held.routine not in {"", wanted.routine}:
        return False
    if wanted.schema == OWN_SCHEMA:
        return held.schema.lower() not in SYSTEM_SCHEMAS
    if held.schema and not schema_pattern(held.schema).fullmatch(wanted.schema):
        return False
    if wanted.schema.lower() not in SYSTEM_SCHEMAS:
        return True
    columns = {column.upper() for column in held.columns}
    return held.table in {"", wanted.table} and (not columns or {*wanted.columns} <= columns)


def schema_pattern(granted: str) -> re.Pattern[str]:
    """Return the pattern of a schema's name in a grant: `%` and `_` are wildcards there, unless escaped."""
    signs = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|.", granted, re.DOTALL)
    return re.compile("".join(signs.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)


def _too_wide(privilege: Privilege, account: Account) -> str:
    """Return why a privilege is more than an account should have, or ""."""
    name, schema = privilege.name, privilege.schema.lower()
    generic = _WHY.get(name, _NEVER_NEEDED)
    if account is Account.DIAGNOSE:
        return _more_than_diagnosis(privilege)
    if name in _HARMLESS:
        return ""
    if name == "SELECT":
        return _reads_too_much(privilege)
    if account is Account.READ:
        return _WHY.get(name, "an account for reading changes nothing" if name in _CHANGING else generic)
    if name in {"PROCESS", "CONNECTION_ADMIN", "CONNECTION ADMIN"} or _is_kill_of_rds(privilege):
        return ""
    if name in _CHANGING:
        return (
            "it holds in every schema, the server's own among them"
            if not schema
            else ("it changes the server's own tables" if schema in SYSTEM_SCHEMAS else "")
        )
    return generic


def _is_kill_of_rds(privilege: Privilege) -> bool:
    place = privilege.schema, privilege.table, privilege.routine
    return privilege.name == "EXECUTE" and place in {
        ("mysql", "rds_kill", "PROCEDURE"),
        ("mysql", "rds_kill_query", "PROCEDURE"),
    }


def _more_than_diagnosis(privilege: Privilege) -> str:
    schema, name = privilege.schema.lower(), privilege.name
    if name in _HARMLESS - {"SHOW VIEW"} or name == "PROCESS":
        return ""
    if name == "SELECT" and schema in {"performance_schema", "sys"}:
        return ""
    if name == "EXECUTE" and schema == "sys" and privilege.routine == "FUNCTION":
        return ""
    if name in {"SELECT", "SHOW VIEW"}:
        return "an account for diagnosis sees what a server does, and no table of anybody's"
    return _WHY.get(name, "an account for diagnosis changes nothing" if name in _CHANGING else _NEVER_NEEDED)


def _reads_too_much(privilege: Privilege) -> str:
    schema, place = privilege.schema.lower(), f"{privilege.schema}.{privilege.table}".lower()
    if not schema:
        return "it reads every schema: password hashes, and what others are asking, among them"
    if schema not in SYSTEM_SCHEMAS or place in _READABLE_OF_SERVER:
        return ""
    if place == "performance_schema.threads" and privilege.columns:
        shows_text = {"PROCESSLIST_INFO", "PROCESSLIST_USER"} & {column.upper() for column in privilege.columns}
        return "it shows other people's statements" if shows_text else ""
    return "it reads the server's own tables: password hashes, or what others are asking"


def grant_statements(
    dialect: Dialect,
    account: Account,
    *,
    user: str,
    schema: str = "",
    people: int = USUAL_PEOPLE,
    password: str = "…",  # noqa: S107 (a sign that stands for one)
) -> tuple[str, ...]:
    """Return the statements that create an account with exactly the grants it needs.

    Args:
        user: its name, without host.
        schema: the application's schema, "app" when "".
        people: consoles and agents that may be open at once, at least 1.
        password: of letters and digits; the sign "…" is to be replaced.

    Returns:
        Statements without a closing semicolon.
    """
    grantee = quoted_account(user, "%")
    lid = dialect.account_lid if account is Account.READ else ""
    most = people * CONSOLE_CONNECTIONS[account]
    created = f"CREATE USER {grantee} IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS {most}{lid}"
    return (
        created,
        *(f"GRANT {what} TO {grantee}" for what in needed_grants(dialect, account, schema=schema or "app")),
    )


def needed_grants(dialect: Dialect, account: Account, *, schema: str) -> tuple[str, ...]:
    """Return an account's needs as GRANT writes them, one item per place: "SELECT, SHOW VIEW ON `shop`.*"."""
    places: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for _, privilege in _needed(dialect, account, schema):
        names = places.setdefault((privilege.place, privilege.columns), [])
        names.append(privilege.text.removesuffix(f" ON {privilege.place}"))
    return tuple(f"{', '.join(names)} ON {place}" for (place, _), names in places.items())


def quoted_account(user: str, host: str) -> str:
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (user, host))
