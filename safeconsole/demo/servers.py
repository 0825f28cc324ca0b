"""Starts a real cluster on this computer: one primary, replicas with real replication, and the shop.

Everything is private to one directory and to 127.0.0.1, runs without root, and ends with the process that started it.
Durability is off: for throw-away data only.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pymysql

from safeconsole.demo import accounts as demo_accounts
from safeconsole.demo import cluster as replication
from safeconsole.demo import daemon, shop
from safeconsole.demo.binaries import Flavour, ServerBinaries, provide_server
from safeconsole.demo.cluster import NotCaughtUpError, Role, RunningCluster, RunningNode, connect_root

__all__ = ["NotCaughtUpError", "RunningCluster", "RunningNode", "start_cluster"]

_START_SECONDS = 60.0
_START_ATTEMPTS = 3
_POLL_SECONDS = 0.05


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


def _fill(cluster: RunningCluster) -> None:
    with cluster.dba_connect(cluster.primary) as dba:
        replication.tell(
            dba,
            f"CREATE DATABASE {shop.SCHEMA} CHARACTER SET utf8mb4",
            *demo_accounts.account_statements(cluster.flavour, cluster.accounts),
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
        replication.tell(dba, f"ANALYZE TABLE {names}")
    cluster.wait_caught_up()


def _is_up(process: subprocess.Popen[bytes], place: daemon.DaemonPlace) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, pymysql.MySQLError):
            connect_root(place.socket).close()
            return True
        time.sleep(_POLL_SECONDS)
    return False
