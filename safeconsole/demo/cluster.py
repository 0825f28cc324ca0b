"""A running cluster of real servers: a primary and its replicas, their replication, promotion and stop."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec
import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from safeconsole.demo.accounts import REPLICATION_ACCOUNT
from safeconsole.demo.binaries import Flavour
from safeconsole.dialects import DIALECTS
from safeconsole.sqltext import vocabulary

_FOLLOW: Mapping[Flavour, str] = {
    "mysql": (
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, "
        "SOURCE_USER='{account}', SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, "
        # The account's password may only be sent over a secured connection.
        "SOURCE_SSL=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=86400"
    ),
    "mariadb": (
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, "
        "MASTER_USER='{account}', MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, "
        "MASTER_CONNECT_RETRY=1"
    ),
}

# Quoted: the driver is generic for type checkers only.
Dba: TypeAlias = "Connection[Cursor]"


def ask(connection: Dba, question: str, values: tuple[object, ...] = ()) -> object:
    with connection.cursor() as cursor:
        cursor.execute(question, values)
        row = cursor.fetchone()
    return row[0] if row else None


def tell(connection: Dba, *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def follow(replica: Dba, flavour: Flavour, *, port: int, account: str, password: str) -> None:
    """Make a server, whose replication is not running, a replica of the one at `port`."""
    change = _FOLLOW[flavour].format(port=port, account=account, password=password)
    tell(replica, change, "START REPLICA")


def position(server: Dba, flavour: Flavour) -> str:
    return str(ask(server, DIALECTS[vocabulary.Flavour(flavour)].server.position)).replace("\n", "")


def has_reached(replica: Dba, flavour: Flavour, goal: str, *, seconds: float) -> bool:
    """Wait until a replica has applied everything up to `goal`; False after the timeout."""
    waits = DIALECTS[vocabulary.Flavour(flavour)].server.wait
    return ask(replica, waits.format(position=goal, seconds=seconds)) == 0


Role = Literal["primary", "replica"]

_CATCH_UP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_CONNECT_SECONDS = 10


class NotCaughtUpError(Exception):
    """A replica did not reach the primary's position in time."""


class RunningNode(msgspec.Struct, frozen=True, kw_only=True):
    """One server of a running cluster.

    Attributes:
        name: "primary", "replica-1", … as it was started; a promotion keeps it.
        port: on 127.0.0.1.
        role: its last assigned role; detached: a former primary that follows nobody.
        socket: unix socket, in a directory only this user may enter.
    """

    name: str
    host: str
    port: int
    role: Role
    pid: int
    socket: Path
    datadir: Path


class RunningCluster:
    """A running cluster, as its DBA sees it.

    Attributes:
        nodes: the primary first as started; roles change with `promote`.
        accounts: password of each account, the same on every node.
    """

    def __init__(
        self,
        *,
        flavour: Flavour,
        nodes: tuple[RunningNode, ...],
        accounts: Mapping[str, str],
        close: Callable[[], None] | None = None,
    ) -> None:
        """Describe a cluster; `close` ends its processes, and only its starter has one."""
        self.flavour = flavour
        self.nodes = nodes
        self.accounts = accounts
        self._close = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def primary(self) -> RunningNode:
        return next(node for node in self.nodes if node.role == "primary")

    @property
    def replicas(self) -> tuple[RunningNode, ...]:
        return tuple(node for node in self.nodes if node.role == "replica")

    def dba_connect(self, node: RunningNode) -> Dba:
        """Return a connection with all privileges, over the node's private socket."""
        return connect_root(node.socket)

    def wait_caught_up(self, timeout_seconds: float = _CATCH_UP_SECONDS) -> None:
        """Wait until every replica has applied what is committed now. Raises NotCaughtUpError."""
        deadline = time.monotonic() + timeout_seconds
        with self.dba_connect(self.primary) as primary:
            goal = position(primary, self.flavour)
        for node in self.replicas:
            left = max(deadline - time.monotonic(), 0.001)
            with self.dba_connect(node) as dba:
                if not has_reached(dba, self.flavour, goal, seconds=left):
                    raise NotCaughtUpError(f"{node.name} has not reached {goal}")

    def stop(self) -> None:
        """End every node and delete its data, once. Raises RuntimeError: another process started this cluster."""
        if self._close is None:
            raise RuntimeError("this cluster belongs to the process that started it")
        self._close()

    def follow(self, node: RunningNode, *, port: int) -> None:
        with self.dba_connect(node) as dba:
            follow(
                dba,
                self.flavour,
                port=port,
                account=REPLICATION_ACCOUNT,
                password=self.accounts[REPLICATION_ACCOUNT],
            )


def connect_root(path: Path) -> Dba:
    """Return a connection with all privileges, over a private socket.

    Raises:
        OSError: nobody listens there.
        pymysql.MySQLError: the server refuses us, or is not ready yet.
    """
    # Tried first, since the driver leaves its own socket open when nobody listens.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(path))
    return pymysql.connect(
        unix_socket=str(path),
        user="root",
        charset="utf8mb4",
        autocommit=True,
        # Else the driver reads every certificate of this computer for each connection: 25 ms of the processor.
        ssl_disabled=True,
        connect_timeout=_CONNECT_SECONDS,
    )
