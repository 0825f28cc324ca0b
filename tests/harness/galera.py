"""Three real MariaDB servers in one Galera cluster, on this computer."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pymysql
from msgspec.structs import replace

from safeconsole.demo import accounts as demo_accounts
from safeconsole.demo import archives, daemon, servers
from safeconsole.demo.binaries import ServersUnavailableError, exclusive, provide_server, servers_directory

START_SECONDS = 60
# A node that joins asks another for what it lacks. All have a copy of the same data, so that this is never all of it, and
# what is left to say is how far the copy goes.
SENDER = """#!/bin/sh
while [ $# -gt 0 ]; do
    case "$1" in
        --role) role=$2 ;; --address) address=$2 ;; --gtid) gtid=$2 ;;
    esac
    shift
done
note="$HANDOVER/${address%%/*}"
if [ "$role" = joiner ]; then
    rm -f "$note"
    echo "ready $address"
    until [ -s "$note" ]; do sleep 0.1; done
    cat "$note"
else
    echo "$gtid" > "$note.part"
    mv "$note.part" "$note"
    echo "done $gtid"
fi
"""
# A node that is gone is missed after two seconds; the defaults wait for five.
TIMES = (
    "evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S"
)


def galera_library():
    """Return Galera's library and the directories of what it links to, fetched into the cache if needed."""
    own = Path("/usr/lib/galera/libgalera_smm.so")
    if own.exists():
        return own, ()
    directory = servers_directory()
    with exclusive(directory / "galera.lock"):
        tree = directory / "galera-4"
        if not tree.is_dir():
            _fetch(directory, tree)
    libraries = [path for root in (tree / "usr/lib", tree / "lib") for path in root.glob("*-linux-gnu*")]
    return tree / "usr/lib/galera/libgalera_smm.so", tuple(map(str, libraries))


def _fetch(directory, tree):
    distribution = archives.read_distribution()
    partial = Path(tempfile.mkdtemp(prefix=".partial-galera-", dir=directory))
    try:
        for archive in archives.machine_archives(distribution):
            found = archives.PackageArchive(uri=archive.uri, suite="bookworm", components=("main",))
            archives.unpack_package(("galera-4",), archive=found, keyring_of=distribution.identifier, into=partial)
            (partial / "tree").rename(tree)
            return
        raise ServersUnavailableError("no archive of this machine has Galera", "install galera-4")
    except archives.ArchiveError as error:
        raise ServersUnavailableError(f"no Galera: {error}", "install galera-4") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class GaleraCluster(servers.RunningCluster):
    """
    Nodes that all take writes: "node-1", which filled the others, "node-2" and so on.

    Its `primary` is node-1, in the word that the harness has for where the owner of the data says things.
    """

    def __init__(self, directory, *, nodes=3):
        self._binaries = provide_server("mariadb")
        library, linked = galera_library()
        loader, option, path, *program = self._binaries.command if len(self._binaries.command) > 1 else (None,) * 4
        if loader is not None:
            command = (loader, option, ":".join((path, *linked)), *program)
            self._binaries = replace(self._binaries, command=command)
        self._library = library
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sockets = daemon.socket_directory(directory)
        (directory / "bin").mkdir()
        script = directory / "bin/wsrep_sst_note"
        script.write_text(SENDER)
        script.chmod(0o700)
        self._mark = demo_accounts.new_mark(directory)
        self._launcher = daemon.Launcher()
        self._processes = {}
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        ports = daemon.free_ports(2 * nodes)
        self._sql, self._group = dict(zip(names, ports, strict=False)), dict(zip(names, ports[nodes:], strict=False))
        super().__init__(flavour="mariadb", nodes=(), accounts=demo_accounts.new_passwords(), close=self._end)
        try:
            self._fill(names)
            for name in names:
                started = self._launch(name, first=name == names[0])
                self._wait(started)
                self.nodes = (*self.nodes, started) if name != names[0] else (started,)
        except BaseException:
            self._end()
            raise

    def _fill(self, names):
        """Fill one server, and copy what it has, so that no node has to ask another for all of it."""
        first = self._home(names[0])
        daemon.fresh_data_directory(self._binaries, first / "data")
        node = self._launch(names[0], first=True)
        self._wait(node)
        self.nodes = (node,)
        servers._fill(self)
        self._processes[names[0]].terminate()
        self._processes[names[0]].wait(START_SECONDS)
        for name in names[1:]:
            shutil.copytree(first / "data", self._home(name) / "data")

    def _home(self, name):
        home = self._directory / name
        home.mkdir(mode=0o700, exist_ok=True)
        return home

    def _launch(self, name, *, first=False):
        home, number = self._home(name), int(name.rpartition("-")[2])
        place = daemon.DaemonPlace(
            data_directory=home / "data",
            socket=self._sockets / f"{name}.sock",
            port=self._sql[name],
            log=home / "server.log",
        )
        others = ",".join(f"127.0.0.1:{port}" for port in self._group.values())
        port = self._group[name]
        provider = f"gmcast.listen_addr=tcp://127.0.0.1:{port};ist.recv_addr=127.0.0.1:{port + 1};{TIMES}"
        command = (
            "/usr/bin/env",
            f"PATH={self._directory / 'bin'}:/usr/bin:/bin",
            f"HANDOVER={self._directory / 'bin'}",
            *daemon.run_options(self._binaries, place, server_id=number),
            f"--slow-query-log-file={self._mark}.log",
            "--wsrep-on=1",
            f"--wsrep-provider={self._library}",
            f"--wsrep-provider-options={provider};pc.recovery=false",
            f"--wsrep-cluster-address=gcomm://{'' if first else others}",
            "--wsrep-cluster-name=shop",
            f"--wsrep-node-name={name}",
            f"--wsrep-node-address=127.0.0.1:{port}",
            f"--wsrep-node-incoming-address=127.0.0.1:{place.port}",
            "--wsrep-sst-method=note",
            f"--wsrep-sst-receive-address=127.0.0.1:{port + 2}",
            "--innodb-autoinc-lock-mode=2",
            *(["--wsrep-new-cluster"] if first else []),
        )
        process = self._processes[name] = self._launcher.launch(command, place)
        return servers.RunningNode(
            name=name,
            host="127.0.0.1",
            port=place.port,
            role="primary" if number == 1 else "replica",
            pid=process.pid,
            socket=place.socket,
            datadir=place.data_directory,
        )

    def _wait(self, node):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._processes[node.name].poll() is None:
            try:
                if self.status(node).get("wsrep_local_state_comment") == "Synced":
                    return
            except (OSError, pymysql.MySQLError):
                pass
            time.sleep(0.2)
        log = (self._home(node.name) / "server.log").read_text(errors="replace").splitlines()
        raise daemon.ServerStartError(
            f"{node.name} did not join:\n" + "\n".join([line for line in log if "unauthenticated" not in line][-15:])
        )

    def status(self, node):
        """What a node says of its cluster."""
        with self.dba_connect(node) as dba, dba.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep%'")
            return dict(cursor.fetchall())

    def tell(self, node, *statements):
        with self.dba_connect(node) as dba:
            servers.tell(dba, *statements)

    def kill(self, *nodes):
        """Kill nodes as a crash would."""
        for node in nodes:
            os.kill(node.pid, signal.SIGKILL)
            self._processes[node.name].wait()

    def start_again(self, node):
        """Let a node that died join again."""
        started = self._launch(node.name)
        self._wait(started)
        self.nodes = tuple(started if each.name == node.name else each for each in self.nodes)

    def wait_caught_up(self, timeout_seconds=0.0):
        """Nothing to wait for: what a test needs on another node it asks that node for."""

    def _end(self):
        daemon.stop_all(self._processes.values())
        self._launcher.close()
        shutil.rmtree(self._directory, ignore_errors=True)
