"""Keep a cluster for processes that come and go, until the one they all serve ends.

Test workers share one cluster in this way: the first that needs it starts a keeper,
the others read what the keeper wrote down. The keeper stops the cluster when the
watched process ends, however it ends; the kernel stops it when the keeper is killed.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from safeconsole.demo.binaries import FLAVOURS, Flavour, exclusive, provide_server
from safeconsole.demo.servers import RunningCluster, RunningNode
from safeconsole.demo.daemon import ServerStartError
from safeconsole.demo.servers import start_cluster
from tests.harness.clusters import has_ended

_START_SECONDS = 300.0
_POLL_SECONDS = 0.1


def shared_cluster(flavour: Flavour, directory: Path, *, while_pid: int) -> RunningCluster:
    """Return the cluster kept in `directory`, starting its keeper when there is none.

    Args:
        directory: the same for all that share; made when missing.
        while_pid: process whose end ends the cluster; the first caller's choice counts.

    Raises:
        ServersUnavailableError: this machine has no such server and cannot fetch one.
        ServerStartError: a server did not come up.
    """
    provide_server(flavour)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(directory / "keeper.lock"):
        document = directory / "cluster.json"
        if not document.exists():
            _start_keeper(flavour, directory, while_pid)
        return read_cluster(document)


def read_cluster(document: Path) -> RunningCluster:
    """Return the cluster a keeper wrote down; only its keeper can stop it."""
    described = json.loads(document.read_text(encoding="utf-8"))
    nodes = tuple(
        RunningNode(**{**node, "socket": Path(node["socket"]), "datadir": Path(node["datadir"])})
        for node in described["nodes"]
    )
    return RunningCluster(flavour=described["flavour"], nodes=nodes, accounts=described["accounts"])


def _start_keeper(flavour: Flavour, directory: Path, while_pid: int) -> None:
    log = directory / "keeper.log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            (sys.executable, "-m", __name__, flavour, str(directory), str(while_pid)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Where `-m` finds this package even when it is not installed.
            cwd=Path(__file__).parents[2],
            # Its own session: what ends one worker must not end what all share.
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not (directory / "cluster.json").exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.kill()
            said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
            raise ServerStartError(f"no {flavour} cluster:\n" + "\n".join(said))
        time.sleep(_POLL_SECONDS)
    # Its end is not ours to wait for, nor to be warned about.
    keeper.returncode = 0


def _write_down(cluster: RunningCluster, document: Path) -> None:
    nodes = [
        {
            "name": node.name,
            "host": node.host,
            "port": node.port,
            "role": node.role,
            "pid": node.pid,
            "socket": str(node.socket),
            "datadir": str(node.datadir),
        }
        for node in cluster.nodes
    ]
    described = {"flavour": cluster.flavour, "accounts": dict(cluster.accounts), "nodes": nodes}
    partial = document.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(described), encoding="utf-8")
    partial.rename(document)


def _end(*_: object) -> NoReturn:
    sys.exit(0)


def main(arguments: Sequence[str]) -> int:
    """Keep one cluster until the watched process ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.keeper")
    parser.add_argument("flavour", choices=FLAVOURS)
    parser.add_argument("directory", type=Path)
    parser.add_argument("while_pid", type=int)
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    document: Path = asked.directory / "cluster.json"
    with start_cluster(asked.flavour, asked.directory) as cluster:
        _write_down(cluster, document)
        try:
            while not has_ended(asked.while_pid):
                time.sleep(_POLL_SECONDS)
        finally:
            document.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
