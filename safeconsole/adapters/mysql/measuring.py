"""Read one node's facts over one connection; a question that is refused leaves its fact unknown."""

from __future__ import annotations

import json

import msgspec

from safeconsole.adapters.mysql.discovery import Followers, Peer, address_of, follower_of
from safeconsole.adapters.mysql.error_codes import code_of, is_lost
from safeconsole.adapters.mysql.membership import ask, member_of
from safeconsole.adapters.mysql.sensors import numbers_of
from safeconsole.adapters.mysql.topology import Channel, NodeFacts, channel_of, is_on
from safeconsole.adapters.mysql.variants import AURORA_MYSQL, MARIADB, MYSQL, Variant
from safeconsole.adapters.mysql.wire import DriverError, Wire

_REFUSED = frozenset({1044, 1142, 1227})
"""Errors by which an account may not ask; another form of the question is refused alike."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a node said when it was asked.

    Attributes:
        server: its identity.
        facts: what its role is proven from.
        followers: what copies from it; not asked without health.
        threads_running, used_memory_bytes, history_length, tables: as in `Reading`, None where not told.
    """

    server: str
    facts: NodeFacts
    followers: Followers = Followers()
    threads_running: int | None = None
    used_memory_bytes: int | None = None
    history_length: int | None = None
    tables: int | None = None


def variant_of(wire: Wire) -> Variant:
    """Return the family member at the other end. Raises DriverError, OSError."""
    if "mariadb" in wire.server_version.lower():
        return MARIADB
    return AURORA_MYSQL if ask(wire, "SELECT @@aurora_version") is not None else MYSQL


def version_of(text: str) -> int:
    """Return major * 10000 + minor * 100 + patch of a server's version text, 0 when it has none."""
    numbers = []
    for part in text.removeprefix("5.5.5-").split("-")[0].split(".")[:3]:
        if not part.isdecimal():
            break
        numbers.append(int(part))
    if len(numbers) < 2:
        return 0
    major, minor, patch = (*numbers, 0)[:3]
    return major * 10000 + minor * 100 + patch


def measure(wire: Wire, variant: Variant, *, heartbeat: str = "", with_health: bool = True) -> Measured:
    """
    Ask a node what it is and how it is.

    Args:
        heartbeat: "schema.table" written by pt-heartbeat, or "".
        with_health: also read load, memory and the number of tables.

    Raises:
        DriverError, OSError: the connection is lost, or the node does not even say who it is.
        ValueError: it does not say clearly whether it takes writes.
    """
    server, read_only, innodb_read_only = wire.rows(f"SELECT {variant.identity}, @@read_only, @@innodb_read_only")[0]
    health = numbers_of(ask(wire, variant.health) or []) if with_health else {}
    facts = NodeFacts(
        read_only=is_on(read_only),
        innodb_read_only=is_on(innodb_read_only),
        channels=_channels(wire, variant),
        member=member_of(wire, variant, str(server)),
        heartbeat_lag_seconds=_heartbeat(wire, heartbeat) if heartbeat else None,
        heartbeat_asked=bool(heartbeat),
    )
    return Measured(
        server=str(server),
        facts=facts,
        followers=_followers(wire, variant, health.get("SLAVES_CONNECTED")) if with_health else Followers(),
        threads_running=health.get("THREADS_RUNNING"),
        used_memory_bytes=health.get("MEMORY_USED"),
        history_length=health.get("INNODB_HISTORY_LIST_LENGTH"),
        tables=_tables(wire) if with_health else None,
    )


def _channels(wire: Wire, variant: Variant) -> tuple[Channel, ...] | None:
    for form in variant.replica_status:
        try:
            rows = wire.named_rows(form)
        except DriverError as error:
            if is_lost(error):
                raise
            continue
        # A group's own channels are how it works, not a sign that somebody replicates into it.
        return tuple(
            channel
            for channel in map(channel_of, rows)
            if channel.name not in ("group_replication_applier", "group_replication_recovery")
        )
    return None


def _followers(wire: Wire, variant: Variant, count: int | None) -> Followers:
    """Return what copies from a node; `count` is how many it says there are, where it says so to everybody."""
    for form in variant.followers:
        try:
            rows = wire.named_rows(form)
        except DriverError as error:
            if is_lost(error):
                raise
            if code_of(error) in _REFUSED:
                break
            continue
        return Followers(seen=tuple(map(follower_of, rows)), count=len(rows))
    dumping = ask(wire, variant.dumping)
    seen = tuple(Peer(address=address) for row in dumping or () if (address := address_of(row[0], row[1])))
    return Followers(seen=seen, count=count if count is not None or dumping is None else len(dumping))


def _heartbeat(wire: Wire, table: str) -> float | None:
    """Return the age of the newest heartbeat; pt-heartbeat writes UTC with --utc, which it is told to here."""
    schema, _, name = table.partition(".")
    quoted = ".".join(f"`{part.replace('`', '``')}`" for part in (schema, name) if part)
    rows = ask(wire, f"SELECT TIMESTAMPDIFF(MICROSECOND, MAX(ts), UTC_TIMESTAMP(6)) FROM {quoted}")  # noqa: S608  (quoted above)
    if not rows or rows[0][0] is None:
        return None
    return max(float(rows[0][0]) / 1e6, 0.0)


def _tables(wire: Wire) -> int | None:
    """Return about how many InnoDB tables there are: the plan's guess, since counting reads them all."""
    rows = ask(wire, "EXPLAIN FORMAT=JSON SELECT COUNT(*) FROM mysql.innodb_table_stats")
    if not rows:
        return None
    return rows_of_single_table(json.loads(rows[0][0]))


def rows_of_single_table(plan: object) -> int | None:
    """Return the row estimate of a plan over one table, or None where there is none."""
    if isinstance(plan, dict):
        for key in ("rows_examined_per_scan", "rows", "estimated_rows"):
            if key in plan:
                return int(plan[key])
        plan = list(plan.values())
    if isinstance(plan, list):
        return next((rows for part in plan if (rows := rows_of_single_table(part)) is not None), None)
    return None
