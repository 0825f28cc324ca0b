"""The accounts of the demo: for reading, for elevated statements, for diagnosis, and for replication.

None of the console's accounts may change a setting of the server or grant anything: the account is the barrier, and the
console's own rules come before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from safeconsole.config.identity import DEMO_KEY, demo_mark
from safeconsole.demo import shop
from safeconsole.demo.binaries import Flavour
from safeconsole.dialects import DIALECTS
from safeconsole.dialects.grants import needed_grants
from safeconsole.sqltext import vocabulary
from safeconsole.sqltext.vocabulary import Account

READ_ACCOUNT: Final = "console_read"
ELEVATED_ACCOUNT: Final = "console_elevated"
DIAGNOSE_ACCOUNT: Final = "console_diagnose"
REPLICATION_ACCOUNT: Final = "replicator"

# Ten would do for a person; test runs share one account between many sessions.
_CONNECTIONS = 60
_ACCOUNTS = {
    READ_ACCOUNT: Account.READ,
    ELEVATED_ACCOUNT: Account.ELEVATED,
    DIAGNOSE_ACCOUNT: Account.DIAGNOSE,
}
# The shop's elevated account may try DDL too; in production that is granted for a change, and taken back.
_DDL = "CREATE, DROP, INDEX, ALTER ON `shop`.*"


def _grants(flavour: Flavour, account: str) -> tuple[str, ...]:
    if account == REPLICATION_ACCOUNT:
        return ("REPLICATION SLAVE ON *.*",)
    needed = needed_grants(DIALECTS[vocabulary.Flavour(flavour)], _ACCOUNTS[account], schema=shop.SCHEMA)
    return (*needed, _DDL) if account == ELEVATED_ACCOUNT else needed


def new_passwords() -> dict[str, str]:
    accounts = (*_ACCOUNTS, REPLICATION_ACCOUNT)
    return {account: secrets.token_urlsafe(18) for account in accounts}


def new_mark(directory: Path) -> str:
    """Return the mark of a new demo's servers, and store the key that proves it in the demo's directory."""
    key = secrets.token_hex(32)
    path = directory / DEMO_KEY
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(key, encoding="ascii")
    return demo_mark(key.encode())


def account_statements(flavour: Flavour, passwords: Mapping[str, str]) -> tuple[str, ...]:
    """Return the statements that create the accounts with exactly their grants."""
    statements: list[str] = []
    for account, password in passwords.items():
        lid = DIALECTS[vocabulary.Flavour(flavour)].account_lid if account == READ_ACCOUNT else ""
        statements.append(
            f"CREATE USER '{account}'@'%' IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS {_CONNECTIONS}{lid}"
        )
        statements.extend(f"GRANT {privileges} TO '{account}'@'%'" for privileges in _grants(flavour, account))
    return tuple(statements)
