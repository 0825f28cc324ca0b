"""A node's place in a group that keeps its own roles: group replication, Galera, Aurora."""

from __future__ import annotations

from typing import Any

from safeconsole.adapters.mysql.error_codes import is_lost
from safeconsole.adapters.mysql.topology import Member
from safeconsole.adapters.mysql.variants import Variant
from safeconsole.adapters.mysql.wire import DriverError, Wire
from safeconsole.core.vocabulary import Flavour

_GROUP_ONLINE = "ONLINE"
_GALERA_SYNCED = "Synced"
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
        "SELECT MEMBER_STATE, MEMBER_ROLE FROM performance_schema.replication_group_members"  # noqa: S608  (stripped of quotes)
        f" WHERE MEMBER_ID = '{_plain(server)}'",
    )
    if rows is None:
        return Member(
            kind="group replication",
            writes=False,
            online=False,
            lag_seconds=None,
            words="its members are not readable: grant SELECT ON performance_schema.replication_group_members",
        )
    if not rows or rows[0][0] == "OFFLINE":
        return None
    state, role = str(rows[0][0]), str(rows[0][1])
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
    )


def _galera_member(wire: Wire) -> Member | None:
    on = ask(wire, "SELECT @@wsrep_on, @@read_only")
    if not on or not int(on[0][0]):
        return None
    rows = ask(wire, "SHOW GLOBAL STATUS LIKE 'wsrep_local_state_comment'") or []
    queue = ask(wire, "SHOW GLOBAL STATUS LIKE 'wsrep_local_recv_queue'") or []
    state = str(rows[0][1]) if rows else "state unknown"
    return Member(
        kind="galera",
        writes=not int(on[0][1]),
        online=state == _GALERA_SYNCED,
        lag_seconds=0.0 if queue and int(queue[0][1]) == 0 else None,
        words=state.lower(),
    )


def _aurora_member(wire: Wire, server: str) -> Member:
    rows = ask(
        wire,
        "SELECT SESSION_ID, REPLICA_LAG_IN_MILLISECONDS FROM information_schema.replica_host_status"  # noqa: S608  (stripped of quotes)
        f" WHERE SERVER_ID = '{_plain(server)}'",
    )
    if not rows:
        words = "replica_host_status does not name this instance"
        return Member(kind="aurora", writes=False, online=False, lag_seconds=None, words=words)
    writes = str(rows[0][0]) == _AURORA_WRITER
    lag = rows[0][1]
    return Member(
        kind="aurora",
        writes=writes,
        online=True,
        lag_seconds=None if lag is None else float(lag) / 1000,
        words="writer" if writes else "reader",
    )


def _plain(server: str) -> str:
    """Return an identity that may stand between quotes."""
    return "".join(character for character in server if character.isalnum() or character in "-_.:")
