"""
The accounts of the demo: what a person's console, an elevated one, and a replica may do.

None of the console's accounts may read another session's text, change a setting, or
grant anything: the account is the barrier, and the console's own rules come before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from safeconsole.demo.binaries import Flavour

READ_ACCOUNT: Final = "console_read"
ELEVATED_ACCOUNT: Final = "console_elevated"
REPLICATION_ACCOUNT: Final = "replicator"

# Ten would do for a person; test runs share one account between many sessions.
_CONNECTIONS = 60
_MEMORY_COLUMNS = "THREAD_ID, PROCESSLIST_ID, CONTROLLED_MEMORY, MAX_CONTROLLED_MEMORY, TOTAL_MEMORY, MAX_TOTAL_MEMORY"
_CHANGE = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, SHOW VIEW"
_GRANTS: Mapping[Flavour, Mapping[str, tuple[str, ...]]] = {
    "mysql": {
        READ_ACCOUNT: (
            "REPLICATION CLIENT ON *.*",
            "SELECT, SHOW VIEW ON shop.*",
            "SELECT ON mysql.innodb_table_stats",
            "SELECT ON mysql.innodb_index_stats",
            f"SELECT ({_MEMORY_COLUMNS}) ON performance_schema.threads",
            "SELECT ON performance_schema.memory_summary_global_by_event_name",
        ),
        ELEVATED_ACCOUNT: (
            "PROCESS, REPLICATION CLIENT ON *.*",
            f"{_CHANGE} ON shop.*",
            "SELECT ON mysql.innodb_table_stats",
            "SELECT ON mysql.innodb_index_stats",
            f"SELECT ({_MEMORY_COLUMNS}) ON performance_schema.threads",
            "SELECT ON performance_schema.memory_summary_global_by_event_name",
        ),
        REPLICATION_ACCOUNT: ("REPLICATION SLAVE ON *.*",),
    },
    "mariadb": {
        READ_ACCOUNT: (
            "SLAVE MONITOR ON *.*",
            "SELECT, SHOW VIEW ON shop.*",
            "SELECT ON mysql.innodb_table_stats",
            "SELECT ON mysql.innodb_index_stats",
        ),
        ELEVATED_ACCOUNT: (
            "PROCESS, SLAVE MONITOR ON *.*",
            f"{_CHANGE} ON shop.*",
            "SELECT ON mysql.innodb_table_stats",
            "SELECT ON mysql.innodb_index_stats",
        ),
        REPLICATION_ACCOUNT: ("REPLICATION SLAVE ON *.*",),
    },
}


def new_passwords() -> dict[str, str]:
    """Return a fresh random password for each account."""
    accounts = (READ_ACCOUNT, ELEVATED_ACCOUNT, REPLICATION_ACCOUNT)
    return {account: secrets.token_urlsafe(18) for account in accounts}


def account_statements(flavour: Flavour, passwords: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return the statements that create the accounts with exactly their grants.

    Args:
        passwords: one for each account, without quotes or backslashes.
    """
    statements: list[str] = []
    for account, password in passwords.items():
        # A default that a session may lift; the console sets its own for each statement.
        lid = " MAX_STATEMENT_TIME 2" if (flavour, account) == ("mariadb", READ_ACCOUNT) else ""
        statements.append(
            f"CREATE USER '{account}'@'%' IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS {_CONNECTIONS}{lid}"
        )
        statements.extend(f"GRANT {privileges} TO '{account}'@'%'" for privileges in _GRANTS[flavour][account])
    return tuple(statements)
