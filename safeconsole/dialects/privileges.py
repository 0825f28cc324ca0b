"""Reads an account's own privileges, and finds the one that a statement lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from safeconsole.dialects.grants import privileges_of, quoted_account, schema_pattern
from safeconsole.sqltext.dialect import EVERY_VERSION, Dialect
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Privilege

_KILLS = ("CONNECTION_ADMIN", "CONNECTION ADMIN", "SUPER")
_SETS = ("SYSTEM_VARIABLES_ADMIN", "SUPER", "CONNECTION ADMIN", "BINLOG ADMIN", "REPLICATION SLAVE ADMIN")

_OF_TABLES: dict[str, str] = {
    "insert": "INSERT",
    "replace": "INSERT",
    "update": "UPDATE",
    "delete": "DELETE",
    "truncate": "DROP",
    "truncate table": "DROP",
    "drop table": "DROP",
    "drop view": "DROP",
    "alter table": "ALTER",
    "create table": "CREATE",
    "create view": "CREATE VIEW",
    "create index": "INDEX",
    "create unique index": "INDEX",
    "drop index": "INDEX",
    "rename table": "ALTER",
}
"""The privilege without which a statement of a kind is answered with error 1142. Source: the manuals of MySQL 9.7 and
MariaDB 10.11, "Privileges Provided"; measured.
"""


class AccountPrivileges(msgspec.Struct, frozen=True, kw_only=True):
    """The privileges of an account.

    Attributes:
        grantee: its name as GRANT writes it.
        role: the one that is active, or "".
        unclear: lines of SHOW GRANTS that are not understood.
        version: the server's, as `LexicalRules.version`.
    """

    privileges: tuple[Privilege, ...]
    unclear: tuple[str, ...] = ()
    grantee: str = ""
    role: str = ""
    version: int = EVERY_VERSION


def privileges_by_grants(lines: Iterable[str]) -> AccountPrivileges:
    """Return the privileges in lines of SHOW GRANTS."""
    read = [(line, privileges_of(line)) for line in lines if not _is_role(line)]
    held = tuple(privilege for _, found in read for privilege in found or ())
    return AccountPrivileges(privileges=held, unclear=tuple(line for line, found in read if found is None))


def privilege_of_row(row: Sequence[Any]) -> Privilege:
    """Return the privilege in a row of a privilege table of information_schema."""
    name, grantable, *where = row
    return Privilege(
        name=str(name),
        schema=str(where[0]) if where else "",
        table=str(where[1]) if where[1:] else "",
        columns=tuple(str(column) for column in where[2:]),
        grantable=grantable == "YES",
    )


def privileges_by_itself(dialect: Dialect, answers: Sequence[Sequence[Sequence[Any]]]) -> AccountPrivileges:
    """Return the privileges from an account's answers to `Diagnosis.of_itself`.

    Args:
        answers: the rows of each.
    """
    (named, *_), *listed = answers
    if dialect.grants_show_hashes:
        held = AccountPrivileges(privileges=tuple(privilege_of_row(row) for rows in listed for row in rows))
    else:
        held = privileges_by_grants(str(row[0]) for row in listed[0])
    role = str(named[1] or "NONE")
    user, _, host = str(named[0]).rpartition("@")
    return msgspec.structs.replace(held, grantee=quoted_account(user, host), role="" if role == "NONE" else role)


def lacking(held: AccountPrivileges, statement: Statement, dialect: Dialect, *, schema: str) -> str:
    """Return the privilege that an account is known to lack for a statement, or "".

    Args:
        schema: the session's.
    """
    if held.unclear or (held.role and dialect.grants_show_hashes):
        return ""
    names = {privilege.name for privilege in held.privileges if not privilege.schema}
    if statement.kind == "kill":
        by_routine = any(privilege.table.startswith("rds_kill") for privilege in held.privileges)
        return "" if by_routine or names & {*_KILLS, "ALL PRIVILEGES"} else _KILLS[dialect.grants_show_hashes]
    if statement.kind == "set global":
        return "" if names & {*_SETS, "ALL PRIVILEGES"} else _SETS[0]
    wanted = _OF_TABLES.get(statement.kind, "")
    places = [(table.schema or schema, table.name) for table in statement.tables]
    if not wanted or not places or not all(schema_ for schema_, _ in places):
        return ""
    # Not all that it names is changed: it lacks what it has on none of them.
    if any(_holds(privilege, wanted, *place) for privilege in held.privileges for place in places):
        return ""
    return f"{wanted} on {'.'.join(places[0])}"


def sees_triggers_of(held: AccountPrivileges, schema: str, table: str) -> bool:
    """Whether an account is known to see a table's triggers; the names of others are not shown to it."""
    return any(_holds(privilege, "TRIGGER", schema, table) for privilege in held.privileges)


def _holds(privilege: Privilege, wanted: str, schema: str, table: str) -> bool:
    if privilege.routine or privilege.name not in {wanted, "ALL PRIVILEGES"}:
        return False
    if privilege.schema and not schema_pattern(privilege.schema.lower()).fullmatch(schema.lower()):
        return False
    return privilege.table.lower() in {"", table.lower()}


def _is_role(line: str) -> bool:
    """Whether a grant line grants a role; what an active one brings is listed as well. Source: MySQL 9.7, measured."""
    return line.startswith("GRANT ") and " ON " not in line
