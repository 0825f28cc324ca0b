"""Routing: which node a statement goes to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from safeconsole.policy.decision import STALE_READS
from safeconsole.policy.readings import Gates, Reading, stale_reasons, unfit_reasons
from safeconsole.sqltext.vocabulary import NodeName, Role, Route


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen node, and the reasons.

    Attributes:
        route: replica, primary, or none when no node is fit.
        reading: the chosen node, or None.
        reasons: one line a node: why it was or was not chosen.
        notes: what the person must know about data read there, such as that it may be stale.
        way_out: what helps where nothing fits, or "".
        is_crowded: whether one is out for no other reason than that the account has no connection to it left.
    """

    route: Route
    reading: Reading | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    way_out: str = ""
    is_crowded: bool = False


_COUNTS = {2: "two", 3: "three"}

_ALIKE_THREADS = 4
"""Load below which replicas are alike: what a node runs changes by a few threads from one moment to the next."""


def choose(  # noqa: PLR0913 (what one choice depends on, each named)
    readings: tuple[Reading, ...],
    gates: Gates,
    route: Route,
    *,
    node: str = "",
    sticky: NodeName | None = None,
    proven: bool = True,
    lots: Mapping[NodeName, float] | None = None,
) -> Choice:
    """Return the node for a statement; `route` is NONE when nothing fits, and `reasons` then says why for each node.

    Args:
        readings: every node of the cluster, as measured.
        gates: the bounds that a fit node must be within.
        route: replica or primary, from `route_of`.
        node: a node that the person named; only that one is considered, whatever its proven role, and a replica
            also when it is stale, with a note: in an incident it may be all that is left to read.
        sticky: the node this session used last, preferred while it is fit.
        proven: False accepts a named node whose role is not proven: it is asked about itself.
        lots: a number drawn for each node; of replicas that are equally fit the lowest is chosen.
    """
    role = Role.PRIMARY if route is Route.PRIMARY else Role.REPLICA
    reasons, fit = [], []
    for reading in readings:
        if node and reading.node != node:
            continue
        wrong = _objections(reading, gates, role, is_named=bool(node), proven=proven)
        reasons.append(f"{reading.node}: {'; '.join(wrong) or f'fit {reading.role}, {reading.proof}'}")
        if not wrong:
            fit.append(reading)
    # Two proven primaries are a split brain: neither may be trusted with a write.
    if route is Route.PRIMARY and not node and len(fit) > 1:
        reasons.insert(
            0, f"{_COUNTS.get(len(fit), len(fit))} servers take writes: {', '.join(reading.node for reading in fit)}"
        )
    if not fit or (route is Route.PRIMARY and not node and len(fit) > 1):
        out = _way_out([each for each in readings if not node or each.node == node], gates)
        is_crowded = any(reading.is_full for reading in readings if not node or reading.node == node)
        return Choice(route=Route.NONE, reading=None, reasons=tuple(reasons), way_out=out, is_crowded=is_crowded)
    best = min(fit, key=lambda reading: _rank(reading, sticky, lots or {}))
    return Choice(
        route=Route.PRIMARY if best.role is Role.PRIMARY else Route.REPLICA,
        reading=best,
        reasons=tuple(reasons),
        notes=tuple(f"{best.node} may be stale: {reason}" for reason in stale_reasons(best, gates)),
    )


def _objections(reading: Reading, gates: Gates, role: Role, *, is_named: bool, proven: bool) -> tuple[str, ...]:
    """Return why a node does not take a statement for a role; a named one may be stale, and of another role."""
    stale = stale_reasons(reading, gates) if is_named else ()
    wrong = tuple(reason for reason in unfit_reasons(reading, gates) if reason not in stale)
    if wrong:
        return wrong
    if reading.role is Role.UNKNOWN and (proven or not is_named):
        return (f"role not proven: {reading.proof}",)
    return () if is_named or reading.role is role else (f"is a {reading.role}: {reading.proof}",)


def appointed(readings: tuple[Reading, ...], writers: tuple[str, ...]) -> tuple[Reading, ...]:
    """Return readings of which at most one is the primary, where several nodes share in the writing.

    Args:
        writers: the nodes that may be it, best first; none leaves all of them primaries.
    """
    sharing = [each for each in readings if each.shares_writes and each.role is Role.PRIMARY]
    if not sharing or not writers:
        return readings
    able = {str(each.node) for each in sharing}
    chosen = next((name for name in writers if name in able), "")
    others = f"takes writes too, which go to {chosen}" if chosen else f"of {', '.join(writers)} none can be written to"
    return tuple(
        replace(each, role=Role.REPLICA, proof=f"{each.proof}; {others}")
        if each in sharing and each.node != chosen
        else each
        for each in readings
    )


def several_writers(readings: Sequence[Reading]) -> str:
    """Return the setting that is missing where several nodes share in the writing and none is chosen, or ""."""
    sharing = sorted(str(each.node) for each in readings if each.shares_writes and each.role is Role.PRIMARY)
    names = ", ".join(f'"{name}"' for name in sharing)
    return f"writer = [{names}]" if len(sharing) > 1 else ""


def _way_out(readings: Sequence[Reading], gates: Gates) -> str:
    if setting := several_writers(readings):
        return f"say in the cluster's settings where changes go, best first: {setting}; the other nodes are read then"
    if any(stale_reasons(each, gates) == unfit_reasons(each, gates) != () for each in readings):
        return STALE_READS
    return next((each.mend for each in readings if each.unreachable and each.mend), "")


def is_preferred(readings: tuple[Reading, ...], node: NodeName) -> bool:
    """Whether no other node's tags rank above a replica's, so that it stays the choice while it is fit."""
    ranks = {reading.node: rank_of_tags(reading.tags) for reading in readings if reading.role is not Role.PRIMARY}
    return node in ranks and ranks[node] == min(ranks.values())


def rank_of_tags(tags: Collection[str]) -> tuple[bool, bool]:
    """Return how a replica ranks by its tags among others that are fit; the lowest goes first."""
    return "console" not in tags, "failover-target" in tags


def _rank(
    reading: Reading, sticky: NodeName | None, lots: Mapping[NodeName, float]
) -> tuple[tuple[bool, bool], bool, int, int, float]:
    return (
        rank_of_tags(reading.tags),
        reading.node != sticky,
        # Parts of a second, and a few threads, come and go: everybody would follow them to the same replica.
        int(reading.lag_seconds or 0.0),
        (reading.threads_running or 0) // _ALIKE_THREADS,
        lots.get(reading.node, 0.0),
    )
