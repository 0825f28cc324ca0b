"""A node's place in a group that keeps its own roles: group replication, Galera, Aurora."""

from __future__ import annotations

from typing import Any

from safeconsole.adapters.mysql.discovery import address_of
from safeconsole.adapters.mysql.error_codes import is_lost
from safeconsole.adapters.mysql.topology import Member
from safeconsole.adapters.mysql.variants import Variant
from safeconsole.adapters.mysql.wire import DriverError, Wire
from safeconsole.core.vocabulary import Flavour

_GROUP_ONLINE = "ONLINE"
_GALERA_SYNCED = "Synced"
_GALERA_STATUS = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_local_state_comment', 'wsrep_local_recv_queue',"
    " 'wsrep_cluster_state_uuid', 'wsrep_incoming_addresses')"
)
_AURORA_WRITER = "MASTER_SESSION_ID"


def ask(wire: Wire, text: str) -> list[tuple[Any, ...]] | None:
    """Return the rows, or None where the server refuses or does not know the question."""
    try:
        return wire.rows(text)
    except DriverError as error:
        if is_lost(error):
            raise
        return None


def member_of(wire: Wire, variant: Variant, server: str) -> Member | None:
    """Return the node's place in its group, or None when it is in none. Raises DriverError, OSError."""
    if variant.flavour is Flavour.AURORA_MYSQL:
        return _aurora_member(wire, server)
    if variant.flavour is Flavour.MARIADB:
        return _galera_member(wire)
    return _group_member(wire, server)


def _group_member(wire: Wire, server: str) -> Member | None:
    name = ask(wire, "SELECT @@group_replication_group_name")
    if not name or not name[0][0]:
        return None
    rows = ask(
        wire,
        "SELECT MEMBER_STATE, MEMBER_ROLE, MEMBER_ID, MEMBER_HOST, MEMBER_PORT"
        " FROM performance_schema.replication_group_members",
    )
    if rows is None:
        return Member(
            kind="group replication",
            writes=False,
            online=False,
            lag_seconds=None,
            words="its members are not readable: grant SELECT ON performance_schema.replication_group_members",
        )
    own = next((row for row in rows if str(row[2]) == server), None)
    if own is None or own[0] == "OFFLINE":
        return None
    state, role = str(own[0]), str(own[1])
    queue = ask(
        wire,
        "SELECT COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE FROM performance_schema.replication_group_member_stats"  # noqa: S608  (stripped of quotes)
        f" WHERE MEMBER_ID = '{_plain(server)}'",
    )
    return Member(
        kind="group replication",
        writes=role == "PRIMARY",
        online=state == _GROUP_ONLINE,
        # An empty queue means no lag; a queue has a length, and no age.
        lag_seconds=0.0 if queue and int(queue[0][0]) == 0 else None,
        words=f"{state.lower()} {role.lower()}",
        group=str(name[0][0]),
        members=tuple((address_of(row[3], row[4]), str(row[2])) for row in rows),
    )


def _galera_member(wire: Wire) -> Member | None:
    on = ask(wire, "SELECT @@wsrep_on, @@read_only")
    if not on or not int(on[0][0]):
        return None
    status = {str(row[0]): str(row[1]) for row in ask(wire, _GALERA_STATUS) or []}
    state, queue = status.get("wsrep_local_state_comment", "state unknown"), status.get("wsrep_local_recv_queue", "")
    addresses = (address.rpartition(":") for address in status.get("wsrep_incoming_addresses", "").split(","))
    return Member(
        kind="galera",
        writes=not int(on[0][1]),
        online=state == _GALERA_SYNCED,
        lag_seconds=0.0 if queue == "0" else None,
        words=state.lower(),
        group=status.get("wsrep_cluster_state_uuid", ""),
        # A node that was not told its own address calls it AUTO.
        members=tuple((found, "") for host, _, port in addresses if (found := address_of(host, port))),
    )


def _aurora_member(wire: Wire, server: str) -> Member:
    rows = ask(
        wire,
        "SELECT SERVER_ID, SESSION_ID, REPLICA_LAG_IN_MILLISECONDS FROM information_schema.replica_host_status",
    )
    own = next((row for row in rows or [] if str(row[0]) == server), None)
    if rows is None or own is None:
        words = "replica_host_status does not name this instance"
        return Member(kind="aurora", writes=False, online=False, lag_seconds=None, words=words)
    writes, lag = str(own[1]) == _AURORA_WRITER, own[2]
    return Member(
        kind="aurora",
        writes=writes,
        online=True,
        lag_seconds=None if lag is None else float(lag) / 1000,
        words="writer" if writes else "reader",
        # Nobody is told what the cluster is called: an instance is tied to it by the name that others have for it.
        members=tuple(("", str(row[0])) for row in rows),
    )


def _plain(server: str) -> str:
    """Return an identity that may stand between quotes."""
    return "".join(character for character in server if character.isalnum() or character in "-_.:")
