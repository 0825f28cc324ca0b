"""A primary and its replicas of real servers: replication, start and stop."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec
import pymysql
from msgspec.structs import replace
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from safeconsole.demo import shop
from safeconsole.demo.accounts import REPLICATION_ACCOUNT
from safeconsole.demo.binaries import Flavour

# --------------------------------------------------------------------------------------------------------------------
# The words in which each flavour is told to replicate, and asked how far it is.


# Quoted: the driver is generic for type checkers only.
Dba: TypeAlias = "Connection[Cursor]"


def ask(connection: Dba, question: str, values: tuple[object, ...] = ()) -> object:
    """Return the first column of the first row, or None when there is no row."""
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


# --------------------------------------------------------------------------------------------------------------------
# A cluster that is up, as its DBA sees it: connect, wait, stop copying, kill, promote.
#
# Nothing here starts a server, so a process may look after a cluster another one started.


Role = Literal["primary", "replica", "detached"]

_CATCH_UP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_CONNECT_SECONDS = 10


class NotCaughtUpError(Exception):
    """A replica did not reach the primary's position in the time given."""


class RunningNode(msgspec.Struct, frozen=True, kw_only=True):
    """One server of a running cluster.

    Attributes:
        name: "primary", "replica-1", ... as it was started; a promotion keeps it.
        host: always 127.0.0.1.
        port: on that host.
        role: what it was last told to be; detached: a former primary that follows nobody.
        socket: unix socket, in a directory only this user may enter.
        datadir: its data directory.
    """

    name: str
    host: str
    port: int
    role: Role
    pid: int
    socket: Path
    datadir: Path


class RunningCluster:
    """A cluster that is up, seen by its DBA.

    Attributes:
        flavour: which family member all its nodes are.
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
        """Return a connection that may do anything, over the node's private socket."""
        return connect_root(node.socket)

    def account_connect(self, node: RunningNode, account: str) -> Dba:
        """Return a connection of one of `accounts`, over TCP, autocommitting, in the shop."""
        return pymysql.connect(
            host=node.host,
            port=node.port,
            user=account,
            password=self.accounts[account],
            database=shop.SCHEMA,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
        )

    def wait_caught_up(self, timeout_seconds: float = _CATCH_UP_SECONDS) -> None:
        """Wait until every replica has applied what the primary has committed by now.

        Raises:
            NotCaughtUpError: one had not in `timeout_seconds`.
        """
        deadline = time.monotonic() + timeout_seconds
        with self.dba_connect(self.primary) as primary:
            goal = position(primary, self.flavour)
        for node in self.replicas:
            left = max(deadline - time.monotonic(), 0.001)
            with self.dba_connect(node) as dba:
                if not has_reached(dba, self.flavour, goal, seconds=left):
                    raise NotCaughtUpError(f"{node.name} has not reached {goal}")

    def kill(self, node: RunningNode) -> None:
        os.kill(node.pid, signal.SIGKILL)
        while not has_ended(node.pid):
            time.sleep(_POLL_SECONDS)

    def stop_replication(self, node: RunningNode) -> None:
        with self.dba_connect(node) as dba:
            tell(dba, "STOP REPLICA")

    def start_replication(self, node: RunningNode) -> None:
        with self.dba_connect(node) as dba:
            tell(dba, "START REPLICA")

    def promote(self, node: RunningNode) -> None:
        """Make a replica the primary and let the other replicas follow it.

        A former primary that is still up first stops taking writes, so nothing is lost;
        it is not made a replica but left detached. Without it, what the node had not
        received is gone, as in a real failover.
        """
        former = self.primary
        if _answers(former):
            with self.dba_connect(former) as dba:
                set_read_only(dba, self.flavour, value=True)
            self.wait_caught_up()
        with self.dba_connect(node) as dba:
            tell(dba, "STOP REPLICA", "RESET REPLICA ALL")
            set_read_only(dba, self.flavour, value=False)
        for other in self.replicas:
            if other.name != node.name and _answers(other):
                with self.dba_connect(other) as dba:
                    tell(dba, "STOP REPLICA")
                self.follow(other, port=node.port)
        roles: dict[str, Role] = {former.name: "detached", node.name: "primary"}
        self.nodes = tuple(replace(n, role=roles.get(n.name, n.role)) for n in self.nodes)

    def stop(self) -> None:
        """End every node and delete its data; twice does nothing more.

        Raises:
            RuntimeError: another process started this cluster, and only it can.
        """
        if self._close is None:
            raise RuntimeError("this cluster belongs to the process that started it")
        self._close()

    def follow(self, node: RunningNode, *, port: int) -> None:
        """Make a node, whose replication is not running, a replica of the one at `port`."""
        with self.dba_connect(node) as dba:
            follow(
                dba,
                self.flavour,
                port=port,
                account=REPLICATION_ACCOUNT,
                password=self.accounts[REPLICATION_ACCOUNT],
            )


def has_ended(pid: int) -> bool:
    """Tell whether a process is gone, or dead and only waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        # It is there, and another user's.
        pass
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        # It went in between, or this system has no such files.
        return Path("/proc/self/stat").exists()
    # The state follows the name, which is in brackets and may hold anything.
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


def connect_root(path: Path) -> Dba:
    """Return a connection that may do anything, over a private socket.

    Raises:
        OSError: nobody listens there.
        pymysql.MySQLError: the server that listens does not let us in, or not yet.
    """
    # Tried first, since the driver leaves its own socket open when nobody listens.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(path))
    return pymysql.connect(
        unix_socket=str(path),
        user="root",
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=_CONNECT_SECONDS,
    )


def _answers(node: RunningNode) -> bool:
    if has_ended(node.pid):
        return False
    try:
        connect_root(node.socket).close()
    except (OSError, pymysql.MySQLError):
        return False
    return True
