"""What happens to a real cluster in tests and benchmarks: its nodes die, fall behind, are promoted."""

import os
import signal
import time
from pathlib import Path

import pymysql
from msgspec.structs import replace

from safeconsole.demo.servers import connect_root, tell
from safeconsole.demo.shop import SCHEMA

CONNECT_SECONDS = 10
POLL_SECONDS = 0.05


def account_connect(cluster, node, account):
    """Return a connection of one of the cluster's accounts, over TCP, autocommitting, in the shop."""
    return pymysql.connect(
        host=node.host,
        port=node.port,
        user=account,
        password=cluster.accounts[account],
        database=SCHEMA,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
    )


def kill(node):
    """Kill a node as a crash would, and wait until it is gone."""
    os.kill(node.pid, signal.SIGKILL)
    while not has_ended(node.pid):
        time.sleep(POLL_SECONDS)


def stop_replication(cluster, node):
    """Let a replica fall behind."""
    with cluster.dba_connect(node) as dba:
        tell(dba, "STOP REPLICA")


def start_replication(cluster, node):
    """Let a replica follow again."""
    with cluster.dba_connect(node) as dba:
        tell(dba, "START REPLICA")


def promote(cluster, node):
    """
    Make a replica the primary and let the other replicas follow it.

    A former primary that is still up first stops taking writes, so nothing is lost; it is not made a replica but left
    detached: it follows nobody. Without it, what the node had not received is gone, as in a real failover.
    """
    former = cluster.primary
    if _answers(former):
        with cluster.dba_connect(former) as dba:
            _set_read_only(dba, cluster.flavour, value=True)
        cluster.wait_caught_up()
    with cluster.dba_connect(node) as dba:
        tell(dba, "STOP REPLICA", "RESET REPLICA ALL")
        _set_read_only(dba, cluster.flavour, value=False)
    for other in cluster.replicas:
        if other.name != node.name and _answers(other):
            with cluster.dba_connect(other) as dba:
                tell(dba, "STOP REPLICA")
            cluster.follow(other, port=node.port)
    roles = {former.name: "detached", node.name: "primary"}
    cluster.nodes = tuple(replace(each, role=roles.get(each.name, each.role)) for each in cluster.nodes)


def has_ended(pid):
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


def _set_read_only(server, flavour, *, value):
    """Let a server take writes, or not; on MySQL that binds administrators too."""
    variable = "super_read_only" if flavour == "mysql" else "read_only"
    tell(server, f"SET GLOBAL {variable} = {int(value)}")
    if not value:
        tell(server, "SET GLOBAL read_only = 0")


def _answers(node):
    if has_ended(node.pid):
        return False
    try:
        connect_root(node.socket).close()
    except (OSError, pymysql.MySQLError):
        return False
    return True
