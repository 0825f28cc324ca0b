"""The product's vocabulary as closed sets."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NewType

import msgspec

NodeName = NewType("NodeName", str)
"""The name of one server inside its cluster, as shown to the person."""


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Flavour(StrEnum):
    """A server family, or a variant with rules of its own."""

    MYSQL = "mysql"
    MARIADB = "mariadb"
    AURORA_MYSQL = "aurora-mysql"
    SQLITE = "sqlite"


class Role(StrEnum):
    """The proven role of a node."""

    PRIMARY = "primary"
    REPLICA = "replica"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """What running a statement does; UNKNOWN is never a READ."""

    READ = "read"
    SESSION = "session"
    LOCK = "lock"
    WRITE = "write"
    DDL = "ddl"
    ADMIN = "admin"
    UNKNOWN = "unknown"


class Verdict(IntEnum):
    """Whether a statement may run; ordered, the strictest wins."""

    ALLOW = 0
    CONFIRM = 1
    ELEVATE = 2
    DENY = 3

    def __init__(self, _rank: int) -> None:
        # As policies, records and `check` spell it.
        self.word = self.name.lower()


class Isolation(StrEnum):
    """How much a transaction sees of others, as SQL says it; SERIALIZABLE is not here, since its reads lock rows."""

    READ_UNCOMMITTED = "READ UNCOMMITTED"
    READ_COMMITTED = "READ COMMITTED"
    REPEATABLE_READ = "REPEATABLE READ"


class Route(StrEnum):
    REPLICA = "replica"
    PRIMARY = "primary"
    NONE = "none"


class Account(StrEnum):
    READ = "read"
    ELEVATED = "elevated"
    DIAGNOSE = "diagnose"


class CostClass(StrEnum):
    LOOKUP = "lookup"
    LINEAR_IN_OBJECTS = "linear-in-objects"
    OPENS_EVERY_TABLE = "opens-every-table"
    LOADS_EVERY_TABLE_DEFINITION = "loads-every-table-definition"
    WALKS_BUFFER_POOL = "walks-buffer-pool"
    READS_EVERY_PAGE = "reads-every-page"
    WRITES = "writes"
    RESETS_COUNTERS = "resets-counters"
    HOLDS_LOCKS = "holds-locks"
    BURNS_TIME = "burns-time"
    READS_SECRETS = "reads-secrets"
    READS_FILES = "reads-files"
    LIFTS_LIMIT = "lifts-limit"
    CHANGES_SESSION = "changes-session"
    CALLS_UNKNOWN_CODE = "calls-unknown-code"
    UNREADABLE = "unreadable"


class OutcomeKind(StrEnum):
    """How a statement ended.

    REFUSED: nothing was sent.
    FAILED: the server's own error, which `server_error` names; of a record from before FAILED existed it is REFUSED.
    UNKNOWN: sent, then lost; it may or may not have run.
    UNSEEN: asked to stop, and not seen to stop; nothing of it is kept.
    """

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    UNSEEN = "unseen"


SMALLEST: dict[str, float] = {
    "run_seconds": 0.001,
    "lock_wait_seconds": 1,
    "shown_rows": 0,
    "fetched_rows": 0,
    "fetched_bytes": 0,
    "changed_rows": 0,
    "session_memory_bytes": 1,
    "grown_memory_bytes": 1,
    "free_memory_bytes": 0,
    "opened_tables": 1,
}
"""The smallest value of each ceiling."""


class Privilege(msgspec.Struct, frozen=True, kw_only=True):
    """One privilege as a server tells it.

    Attributes:
        name: in capitals ("SELECT", "REPLICATION CLIENT").
        schema: where it holds; "" is every schema.
        table: "" is every table of the schema; a routine's name where `routine` says what it is.
        routine: "FUNCTION" or "PROCEDURE", "" for tables.
        grantable: whether the account may hand it on.
    """

    name: str
    schema: str = ""
    table: str = ""
    routine: str = ""
    columns: tuple[str, ...] = ()
    grantable: bool = False

    @property
    def place(self) -> str:
        """Where it holds, as GRANT writes it."""
        names = ".".join(f"`{part.replace('`', '``')}`" if part else "*" for part in (self.schema, self.table))
        return f"{self.routine} {names}".lstrip()

    @property
    def text(self) -> str:
        """The privilege as GRANT and REVOKE write it: "SELECT (`a`, `b`) ON `s`.`t`"."""
        names = ", ".join(f"`{column.replace('`', '``')}`" for column in self.columns)
        return f"{self.name}{f' ({names})' if names else ''} ON {self.place}"
