"""Runs a database daemon for a while: its options, its data directory, its process.

A daemon never outlives the process that started it, even when that is killed: the kernel kills it then. Durability is
off; this is for throw-away data only.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from safeconsole.demo.binaries import ServerBinaries, exclusive, servers_directory

_INITIALISE_SECONDS = 180.0
# A primary would linger for ten seconds over connections of replicas that are gone.
_STOP_SECONDS = 1.5
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
# Below the range the kernel hands to outgoing connections, which could take a port
# between our choosing it and the daemon's binding it.
_FIRST_PORT, _PORT_COUNT = 20_000, 12_000
_LONGEST_SOCKET_PATH = 100
# Part of a prepared data directory's name: one made in another way is not reused.
_TEMPLATE_EDITION = 2

_COMMON = (
    "--skip-name-resolve",
    "--bind-address=127.0.0.1",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--sync-binlog=0",
    "--log-bin=binlog",
    "--relay-log=relay",
    "--report-host=127.0.0.1",
    "--max-connections=200",
    "--table-open-cache=400",
    "--table-definition-cache=500",
    "--character-set-server=utf8mb4",
    "--performance-schema=ON",
    "--performance-schema-digests-size=500",
    "--performance-schema-events-statements-history-long-size=100",
    "--performance-schema-events-waits-history-long-size=100",
    "--performance-schema-events-stages-history-long-size=100",
    "--performance-schema-events-transactions-history-long-size=100",
)
_OWN: Mapping[str, tuple[str, ...]] = {
    "mysql": (
        "--mysqlx=0",
        # The compiled-in directory exists only where the package is installed.
        "--secure-file-priv=NULL",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--log-replica-updates=ON",
        "--skip-replica-start=OFF",
        # A replica that was killed reads anew what it had not applied.
        "--relay-log-recovery=ON",
        "--innodb-fast-shutdown=2",
    ),
    "mariadb": (
        "--binlog-format=ROW",
        "--gtid-strict-mode=ON",
        "--log-slave-updates=ON",
        "--innodb-fast-shutdown=2",
    ),
}
_SMALL_FILES: Mapping[str, tuple[str, ...]] = {
    "mysql": ("--innodb-redo-log-capacity=8M", "--innodb-data-file-path=ibdata1:5M:autoextend"),
    "mariadb": ("--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:5M:autoextend"),
}
_BOOTSTRAP_SCRIPTS = (
    ("mariadb_system_tables.sql", "mysql_system_tables.sql"),
    ("mariadb_performance_tables.sql", "mysql_performance_tables.sql"),
    ("mariadb_system_tables_data.sql", "mysql_system_tables_data.sql"),
    ("maria_add_gis_sp_bootstrap.sql",),
    ("mariadb_sys_schema.sql", "mysql_sys_schema.sql"),
)
"""MariaDB's own, under the names from 11 on and before; 10.5 has no schema sys."""
# Root may then log in over the socket only, whose directory is private.
_BOOTSTRAP_END = "DELETE FROM mysql.global_priv WHERE User='root' AND Host<>'localhost';\n"


class ServerStartError(Exception):
    """A daemon did not start; the message ends with its log's last lines."""


class DaemonPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The files and the port of one daemon.

    Attributes:
        socket: its unix socket; at most 100 bytes, since the system limits the length.
        port: on 127.0.0.1.
    """

    data_directory: Path
    socket: Path
    port: int
    log: Path

    def last_words(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-8:])


class Launcher:
    """Starts daemons that the kernel kills when this process, or this launcher, ends.

    The kernel's rule follows the *thread* that started the child, so one thread of the launcher does all the starting
    and lives until `close`.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")

    def launch(self, command: tuple[str, ...], place: DaemonPlace) -> subprocess.Popen[bytes]:
        return self._thread.submit(_spawn, command, place).result()

    def close(self) -> None:
        """End the launching thread; daemons still running are killed by the kernel."""
        self._thread.shutdown()


def _spawn(command: tuple[str, ...], place: DaemonPlace) -> subprocess.Popen[bytes]:
    with place.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=place.log.parent,
            # Its own session: a Ctrl-C is for the console, not for its servers.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _LIBC.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def stop_all(processes: Iterable[subprocess.Popen[bytes]], *, seconds: float = _STOP_SECONDS) -> None:
    """Terminate daemons, kill those that have not ended within `seconds`, and reap all."""
    running = tuple(processes)
    deadline = time.monotonic() + seconds
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(timeout=max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_options(binaries: ServerBinaries, place: DaemonPlace, *, server_id: int) -> tuple[str, ...]:
    """Return a daemon's complete command; options that differ by role are appended."""
    return (
        *binaries.command,
        *_basic_options(binaries, place.data_directory),
        *_COMMON,
        *_OWN[binaries.flavour],
        f"--server-id={server_id}",
        f"--socket={place.socket}",
        f"--port={place.port}",
        f"--report-port={place.port}",
        f"--pid-file={place.data_directory / 'server.pid'}",
        # A starting MariaDB removes every server's temporary tables from a directory that they share.
        f"--tmpdir={place.log.parent}",
    )


def _basic_options(binaries: ServerBinaries, data_directory: Path) -> tuple[str, ...]:
    options = [
        # MUST be first: options of the machine's own server are not ours.
        "--no-defaults",
        f"--basedir={binaries.base_directory}",
        f"--datadir={data_directory}",
        # The kernel has so many asynchronous requests for all programs: MySQL does not start where others hold them.
        "--innodb-use-native-aio=OFF",
        # The system tablespace would grow by 64 MiB at a time, and is copied for every node.
        "--innodb-autoextend-increment=1",
        *_SMALL_FILES[binaries.flavour],
    ]
    if binaries.share_directory is not None:
        options.append(f"--lc-messages-dir={binaries.share_directory}")
        options.append(f"--character-sets-dir={binaries.share_directory / 'charsets'}")
    if binaries.plugin_directory is not None:
        options.append(f"--plugin-dir={binaries.plugin_directory}")
    if os.geteuid() == 0:
        options.append("--user=root")
    return tuple(options)


def free_ports(count: int) -> tuple[int, ...]:
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(candidate)
            try:
                candidate.bind(("127.0.0.1", _FIRST_PORT + secrets.randbelow(_PORT_COUNT)))
            except OSError:
                held.pop().close()
        return tuple(taken.getsockname()[1] for taken in held)
    finally:
        for taken in held:
            taken.close()


def socket_directory(directory: Path) -> Path:
    """Return a private directory whose path is short enough for sockets."""
    wished = directory / "sockets"
    if len(os.fsencode(wished)) < _LONGEST_SOCKET_PATH - len("/replica-99.sock"):
        wished.mkdir(mode=0o700, parents=True)
        return wished
    return Path(tempfile.mkdtemp(prefix="safeconsole-"))


def fresh_data_directory(binaries: ServerBinaries, destination: Path) -> None:
    """Create an initialised data directory at a new path. Raises ServerStartError."""
    template = _template(binaries)
    shutil.copytree(template, destination)
    # The server makes a new identity at its first start when it finds none.
    (destination / "auto.cnf").unlink(missing_ok=True)


def _template(binaries: ServerBinaries) -> Path:
    version = binaries.version.replace("/", "_")
    directory = servers_directory() / "templates"
    template = directory / f"{binaries.flavour}-{version}-{_TEMPLATE_EDITION}"
    with exclusive(directory / f"{template.name}.lock"):
        if not template.is_dir():
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=directory))
            try:
                _initialise(binaries, partial / "data")
                (partial / "data").rename(template)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return template


def _initialise(binaries: ServerBinaries, destination: Path) -> None:
    destination.mkdir(mode=0o700)
    basic = _basic_options(binaries, destination)
    options, script_of = _INITIALISERS[binaries.flavour]
    command, script = (*binaries.command, *basic, *options), script_of(binaries)
    done = subprocess.run(
        command,
        input=script,
        capture_output=True,
        text=True,
        timeout=_INITIALISE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        complaint = "\n".join((done.stderr or done.stdout).splitlines()[-5:])
        raise ServerStartError(f"{binaries.flavour} did not initialise: {complaint}")


def _bootstrap_script(binaries: ServerBinaries) -> str:
    if binaries.share_directory is None:
        raise ServerStartError(f"no system table scripts beside {binaries.command[-1]}")
    start = "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
    share = binaries.share_directory
    found = (next((share / name for name in names if (share / name).exists()), None) for names in _BOOTSTRAP_SCRIPTS)
    scripts = [path.read_text(encoding="utf-8") for path in found if path is not None]
    return start + "\n".join(scripts) + "\n" + _BOOTSTRAP_END


_INITIALISERS: Mapping[str, tuple[tuple[str, ...], Callable[[ServerBinaries], str]]] = {
    "mysql": (("--mysqlx=0", "--secure-file-priv=NULL", "--initialize-insecure"), lambda _binaries: ""),
    "mariadb": (("--bootstrap", "--enforce-storage-engine="), _bootstrap_script),
}
"""Options of the run that makes a data directory, and what it reads."""
