"""Measurements of a node, and whether they make it fit. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Flavour, NodeName, Role, Route

COUNTED_TABLES = 5_000
"""How far a server's tables are counted; a larger count is "at least", and rules ask for no more."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which server instance answered, so that two connections can be compared.

    Attributes:
        server: `@@server_uuid`, `@@aurora_server_id`, or `@@hostname`+`@@server_id` (facts: MariaDB has no uuid).
        address: the resolved "ip:port", or a socket's or file's path.
    """

    server: str
    address: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of a node.

    Attributes:
        proof: the facts that prove the role, one line.
        identity, flavour: None when it could not be reached.
        lag_seconds: replication lag >= 0, or None when unknown; unknown is not zero.
        replicating: whether every replication thread it should run is running.
        shares_writes: whether it is one of several that take writes and pass them on to each other.
        read_only: whether the server itself refuses writes from this account.
        free_memory_bytes: free memory of the host, or None without a source.
        used_memory_bytes: memory the server says it holds, or None.
        threads_running: running statements, or None.
        tables: the least number of tables, counted up to `COUNTED_TABLES` + 1, or None if unknown.
        history_length: InnoDB purge backlog, or None without the privilege.
        tags: words from the configuration ("console", "failover-target").
        mark: the mark of a demo's server, or "".
        found: how it was discovered, "" for a configured node.
        unseen: what this account cannot see of its replicas, or "".
        unreachable: why it could not be measured, or "".
        mend: what to do about that, or "".
        is_full: whether that is since the account may hold no further connection to it now.
        is_gateway: whether that is since it is a gateway of ours.
        one_at_a_time: whether what stands before its server takes no question before the last one is answered.
        measured_seconds: monotonic time of the measurement.
    """

    node: NodeName
    role: Role = Role.UNKNOWN
    proof: str = ""
    identity: Identity | None = None
    flavour: Flavour | None = None
    version: str = ""
    lag_seconds: float | None = None
    replicating: bool = False
    shares_writes: bool = False
    read_only: bool = False
    free_memory_bytes: int | None = None
    used_memory_bytes: int | None = None
    threads_running: int | None = None
    tables: int | None = None
    history_length: int | None = None
    tags: frozenset[str] = frozenset()
    mark: str = ""
    found: str = ""
    unseen: str = ""
    unreachable: str = ""
    mend: str = ""
    is_full: bool = False
    is_gateway: bool = False
    one_at_a_time: bool = False
    measured_seconds: float = 0.0


def is_the_demo(readings: Iterable[Reading], mark: str) -> bool:
    """Return whether every node that answers is a server of the demo with a mark; silence proves nothing."""
    answering = [reading for reading in readings if not reading.unreachable]
    return bool(mark and answering) and all(reading.mark == mark for reading in answering)


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds that a node's readings must be within before a statement is sent to it.

    Attributes:
        lag_seconds: highest lag of a replica, >= 0; an unknown lag is over it.
        threads_running: highest number of running statements, > 0.
        free_memory_bytes: lowest free memory; 0 checks nothing, otherwise an unknown reading is under it.
        history_length: longest purge backlog; 0 checks nothing, otherwise an unknown reading is over it.
    """

    lag_seconds: float = 30.0
    threads_running: int = 200
    free_memory_bytes: int = 0
    history_length: int = 0


OPEN_GATES = Gates(lag_seconds=float("inf"), threads_running=sys.maxsize)
"""What asks a node how it is must reach it however it is."""


def tightest_gates(first: Gates, *others: Gates) -> Gates:
    every = (first, *others)
    return Gates(
        lag_seconds=min(gates.lag_seconds for gates in every),
        threads_running=min(gates.threads_running for gates in every),
        free_memory_bytes=max(gates.free_memory_bytes for gates in every),
        # 0 asks nothing.
        history_length=min((gates.history_length for gates in every if gates.history_length), default=0),
    )


def route_of(statement: Statement, *, to: str = "") -> Route:
    """Return the kind of node a statement belongs on.

    Args:
        to: "replica" or "primary" when the person asked for one; anything else leaves it to the statement.
    """
    if to in {Route.PRIMARY, Route.REPLICA}:
        return Route(to)
    if statement.changes_nothing:
        return Route.REPLICA
    return Route.PRIMARY


def unfit_reasons(reading: Reading, gates: Gates) -> tuple[str, ...]:
    """Return why a node may not be sent a statement now; empty means fit."""
    if reading.unreachable:
        return (f"unreachable: {reading.unreachable}",)
    return (*stale_reasons(reading, gates), *_strained_reasons(reading, gates))


def _strained_reasons(reading: Reading, gates: Gates) -> tuple[str, ...]:
    reasons = []
    if reading.threads_running is not None and reading.threads_running > gates.threads_running:
        reasons.append(f"{reading.threads_running} threads running, over {gates.threads_running}")
    if gates.free_memory_bytes and reading.free_memory_bytes is None:
        reasons.append("free memory unknown, and the policy asks for a floor")
    elif (reading.free_memory_bytes or 0) < gates.free_memory_bytes:
        reasons.append(f"free memory {reading.free_memory_bytes} under {gates.free_memory_bytes} bytes")
    if gates.history_length and reading.history_length is None:
        reasons.append("history length unknown, and the policy asks for a ceiling")
    elif gates.history_length and (reading.history_length or 0) > gates.history_length:
        reasons.append(f"history length {reading.history_length} over {gates.history_length}")
    return tuple(reasons)


def stale_reasons(reading: Reading, gates: Gates) -> tuple[str, ...]:
    """Return why a replica's data may be too old; empty for a fresh one, and for any other role."""
    if reading.role is not Role.REPLICA or reading.unreachable:
        return ()
    if not reading.replicating:
        return ("replication is not running",)
    if reading.lag_seconds is None:
        return ("lag unknown",)
    if reading.lag_seconds > gates.lag_seconds:
        return (f"lag {reading.lag_seconds:.0f} s over {gates.lag_seconds:.0f} s",)
    return ()
