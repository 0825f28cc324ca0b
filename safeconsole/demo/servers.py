"""Real servers on this computer: one primary, replicas with real replication, and the shop; promotion and stop.

Everything is private to one directory and to 127.0.0.1, runs without root, and ends with the process that started it.
Durability is off: for throw-away data only.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec
import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from safeconsole.demo import accounts as demo_accounts
from safeconsole.demo import daemon, shop
from safeconsole.demo.accounts import REPLICATION_ACCOUNT
from safeconsole.demo.binaries import Flavour, ServerBinaries, provide_server
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


__all__ = ["NotCaughtUpError", "RunningCluster", "RunningNode", "start_cluster"]

_START_SECONDS = 60.0
_START_ATTEMPTS = 3


def start_cluster(
    flavour: Flavour, directory: Path, *, replicas: int = 2, options: tuple[str, ...] = (), release: str = ""
) -> RunningCluster:
    """Start a cluster with the shop, and return when every replica has all of it.

    Args:
        directory: created when missing; gets everything the servers write.
        options: of every daemon, after the demo's own, so that they win.

    Raises:
        ServersUnavailableError: this machine has no such server and cannot fetch one.
        ServerStartError: a server did not start.
        NotCaughtUpError: replication did not start.
    """
    binaries = provide_server(flavour, release)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Nobody but the demo can have a server say it: it takes an administrator of the server.
    marked = f"--slow-query-log-file={demo_accounts.new_mark(directory)}.log"
    launcher = daemon.Launcher()
    processes: dict[str, subprocess.Popen[bytes]] = {}
    sockets = daemon.socket_directory(directory)

    def close() -> None:
        daemon.stop_all(processes.values())
        launcher.close()
        for place in (sockets, *(directory / name for name in processes)):
            shutil.rmtree(place, ignore_errors=True)

    try:
        names = ("primary", *(f"replica-{number}" for number in range(1, replicas + 1)))
        starts = _Starts(
            binaries=binaries,
            directory=directory,
            sockets=sockets,
            launcher=launcher,
            processes=processes,
            options=(marked, *options),
        )
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            nodes = tuple(pool.map(starts.start, enumerate(names, start=1)))
        cluster = RunningCluster(flavour=flavour, nodes=nodes, accounts=demo_accounts.new_passwords(), close=close)
        _fill(cluster)
    except BaseException:
        close()
        raise
    return cluster


class _Starts(msgspec.Struct, frozen=True, kw_only=True):
    binaries: ServerBinaries
    directory: Path
    sockets: Path
    launcher: daemon.Launcher
    processes: dict[str, subprocess.Popen[bytes]]
    options: tuple[str, ...]

    def start(self, numbered: tuple[int, str]) -> RunningNode:
        """Start one node by (server id, name); may be called from several threads."""
        server_id, name = numbered
        home = self.directory / name
        home.mkdir(mode=0o700)
        daemon.fresh_data_directory(self.binaries, home / "data")
        # Another program may take the port between our looking and the daemon's binding.
        for attempt in range(1, _START_ATTEMPTS + 1):
            place = daemon.DaemonPlace(
                data_directory=home / "data",
                socket=self.sockets / f"{name}.sock",
                port=daemon.free_ports(1)[0],
                log=home / "server.log",
            )
            role: Role = "primary" if server_id == 1 else "replica"
            command = daemon.run_options(self.binaries, place, server_id=server_id)
            process = self.launcher.launch((*command, *self._role_options(role), *self.options), place)
            self.processes[name] = process
            if _is_up(process, place):
                break
            if attempt == _START_ATTEMPTS or process.poll() is None:
                raise daemon.ServerStartError(f"{name} did not start:\n{place.last_words()}")
        return RunningNode(
            name=name,
            host="127.0.0.1",
            port=place.port,
            role=role,
            pid=process.pid,
            socket=place.socket,
            datadir=place.data_directory,
        )

    def _role_options(self, role: Role) -> tuple[str, ...]:
        if role == "primary":
            return ()
        return _READ_ONLY[self.binaries.flavour]


_READ_ONLY: Mapping[Flavour, tuple[str, ...]] = {
    "mysql": ("--read-only=1", "--super-read-only=1"),
    "mariadb": ("--read-only=1",),
}


def _that_it_can_grant(dba: Connection[Cursor], statements: Iterable[str]) -> tuple[str, ...]:
    """Return the statements without the grants on `sys` where the server has no such schema: MariaDB before 10.6."""
    with dba.cursor() as cursor:
        found = cursor.execute("SHOW DATABASES LIKE 'sys'")
    return tuple(each for each in statements if found or "`sys`." not in each)


def _fill(cluster: RunningCluster) -> None:
    with cluster.dba_connect(cluster.primary) as dba:
        tell(
            dba,
            f"CREATE DATABASE {shop.SCHEMA} CHARACTER SET utf8mb4",
            *_that_it_can_grant(dba, demo_accounts.account_statements(cluster.flavour, cluster.accounts)),
            f"USE {shop.SCHEMA}",
            *shop.create_statements("mysql"),
        )
        for node in cluster.replicas:
            cluster.follow(node, port=cluster.primary.port)
        with dba.cursor() as cursor:
            for table in shop.TABLES:
                cursor.executemany(shop.insert_statement(table, "mysql"), list(shop.rows(table.name)))
        dba.commit()
        # Sizes are read from the stored statistics, which would else come seconds later.
        names = ", ".join(table.name for table in shop.TABLES)
        tell(dba, f"ANALYZE TABLE {names}")
    cluster.wait_caught_up()


def _is_up(process: subprocess.Popen[bytes], place: daemon.DaemonPlace) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, pymysql.MySQLError):
            connect_root(place.socket).close()
            return True
        time.sleep(_POLL_SECONDS)
    return False
