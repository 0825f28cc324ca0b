"""The words in which each flavour is told to replicate, and asked how far it is."""

from __future__ import annotations

from typing import TypeAlias

from pymysql.connections import Connection
from pymysql.cursors import Cursor

from safeconsole.demo.binaries import Flavour

# Quoted: the driver is generic for type checkers only.
Dba: TypeAlias = "Connection[Cursor]"


def ask(connection: Dba, question: str, values: tuple[object, ...] = ()) -> object:
    """Return the first column of the first row, or None when there is no row."""
    with connection.cursor() as cursor:
        cursor.execute(question, values)
        row = cursor.fetchone()
    return row[0] if row else None


def tell(connection: Dba, *statements: str) -> None:
    """Run statements one after the other and drop what they return."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def follow(replica: Dba, flavour: Flavour, *, port: int, account: str, password: str) -> None:
    """Make a server, whose replication is not running, a replica of the one at `port`."""
    if flavour == "mysql":
        change = (
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, "
            f"SOURCE_USER='{account}', SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, "
            # The account's password may only be sent over a secured connection.
            "SOURCE_SSL=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=86400"
        )
    else:
        change = (
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, "
            f"MASTER_USER='{account}', MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, "
            "MASTER_CONNECT_RETRY=1"
        )
    tell(replica, change, "START REPLICA")


def position(server: Dba, flavour: Flavour) -> str:
    """Return how far a server's own history goes, as its flavour writes it."""
    variable = "@@GLOBAL.gtid_executed" if flavour == "mysql" else "@@GLOBAL.gtid_current_pos"
    return str(ask(server, f"SELECT {variable}")).replace("\n", "")


def has_reached(replica: Dba, flavour: Flavour, goal: str, *, seconds: float) -> bool:
    """Wait until a replica has applied everything up to `goal`; False when time ran out."""
    function = "WAIT_FOR_EXECUTED_GTID_SET" if flavour == "mysql" else "MASTER_GTID_WAIT"
    return ask(replica, f"SELECT {function}(%s, %s)", (goal, seconds)) == 0


def set_read_only(server: Dba, flavour: Flavour, *, value: bool) -> None:
    """Let a server take writes, or not; on MySQL that binds administrators too."""
    variable = "super_read_only" if flavour == "mysql" else "read_only"
    tell(server, f"SET GLOBAL {variable} = {int(value)}")
    if not value:
        tell(server, "SET GLOBAL read_only = 0")
