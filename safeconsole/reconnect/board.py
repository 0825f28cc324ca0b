"""The nodes of one engine: which are fit, how many connections each has, where the next one goes. Thread-safe."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["primary", "replica", "any"]

_NOT_YET = "not looked at yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The result of one probe of a node.

    Attributes:
        trouble: why it cannot be used, or "".
        denied: whether account or schema are the cause, which waiting does not cure.
        server: which server answered, or "".
    """

    trouble: str = ""
    denied: bool = False
    writes: bool = False
    server: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One address.

    Attributes:
        address: host and port; an empty host is the one of the engine's URL.
        open: connections to it, those being opened included.
        unfit: why it gets no connection now, or "".
        finding: the last probe's result, None before it.
    """

    address: tuple[str, int]
    open: int = 0
    unfit: str = _NOT_YET
    finding: ProbeResult | None = None

    @property
    def name(self) -> str:
        host, port = self.address
        return f"{host}:{port}" if host else "the engine's URL"


@dataclass(slots=True, kw_only=True, eq=False)
class PooledConnection:
    """One open connection.

    Attributes:
        ends_seconds: monotonic reading at which it is too old.
        fresh: whether it has not been handed out yet.
    """

    node: Node
    server: str
    ends_seconds: float
    fresh: bool = True
    counted: bool = True


def unfit_reason(role: Role, finding: ProbeResult, *, writers: int) -> str:
    """Return why a node gets no connection, or ""; `writers` is the number of nodes that accept writes."""
    if finding.trouble or role == "any":
        return finding.trouble
    if role == "replica":
        return "it takes writes: not a replica" if finding.writes else ""
    if not finding.writes:
        return "it refuses writes: not the primary"
    # Two that take writes are a split brain: neither may be trusted with one.
    return f"{writers} nodes take writes: which is the primary is not known" if writers > 1 else ""


@dataclass(slots=True, kw_only=True)
class Board:
    """The nodes, as one engine's connections see them.

    Attributes:
        counts: events, by the names of `Counters`.
        troubled_seconds: monotonic reading of the last invalidation.
    """

    role: Role
    nodes: tuple[Node, ...]
    counts: Counter[str] = field(default_factory=Counter)
    troubled_seconds: float = float("-inf")
    _proven: dict[str, float] = field(default_factory=dict)
    _next_move_seconds: float = 0.0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def count(self, name: str) -> None:
        with self._changed:
            self.counts[name] += 1

    def has_fit(self) -> bool:
        return bool(self._fit())

    def reserve(self, *, until_seconds: float) -> Node | None:
        """Return the fit node with the fewest connections, counting this one, waiting for one until a deadline.

        Ties are broken randomly, so that many processes together spread evenly too.
        """
        with self._changed:
            if not self._fit():
                self.counts["waits"] += 1
                self._changed.wait_for(self._fit, timeout=max(until_seconds - time.monotonic(), 0.0))
            fit = self._fit()
            if not fit:
                return None
            fewest = min(node.open for node in fit)
            chosen = random.choice([node for node in fit if node.open == fewest])  # noqa: S311  (no secret)
            chosen.open += 1
            return chosen

    def give_back(self, node: Node) -> None:
        with self._changed:
            node.open -= 1

    def release(self, link: PooledConnection) -> None:
        """Uncount a connection that is closed or left the pool; idempotent."""
        with self._changed:
            if link.counted:
                link.counted = False
                link.node.open -= 1

    def suspect(self, node: Node, why: str) -> None:
        """Mark a node unfit until its next probe, and discard what was proven."""
        with self._changed:
            node.unfit = why
            node.finding = None
            self._proven.clear()

    def trouble(self) -> None:
        with self._changed:
            self.counts["invalidations"] += 1
            self.troubled_seconds = time.monotonic()
            self._proven.clear()

    def to_look_at(self) -> tuple[Node, ...]:
        """The nodes that a probe may make fit; for a primary all of them, or none once it is known."""
        with self._changed:
            if self.role == "primary":
                if self._fit():
                    return ()
                for node in self.nodes:
                    node.finding = None
                return self.nodes
            return tuple(node for node in self.nodes if node.unfit)

    def report(self, node: Node, finding: ProbeResult) -> None:
        """Store a probe's result, and wake who waits for a fit node."""
        with self._changed:
            node.finding = finding
            findings = [each.finding for each in self.nodes]
            if self.role == "primary" and None in findings:
                # A primary is the only one that takes writes: that needs an answer from everyone.
                return
            writers = sum(found.writes for found in findings if found is not None)
            for each in self.nodes if self.role == "primary" else (node,):
                if each.finding is not None:
                    each.unfit = unfit_reason(self.role, each.finding, writers=writers)
            self._changed.notify_all()

    def proven(self, server: str, now_seconds: float) -> None:
        self._proven[server] = now_seconds

    def needs_proof(self, server: str, now_seconds: float, *, every_seconds: float) -> bool:
        """Whether to ask a server for its role now; one caller asks for all."""
        if now_seconds - self._proven.get(server, float("-inf")) < every_seconds:
            return False
        self._proven[server] = now_seconds
        return True

    def may_move(self, node: Node, now_seconds: float, *, every_seconds: float) -> bool:
        """Whether a connection to this node should move to one that has at least two fewer; one at a time."""
        if self.role == "primary" or now_seconds < self._next_move_seconds:
            return False
        fit = self._fit()
        if not fit or node.open <= min(other.open for other in fit) + 1:
            return False
        self._next_move_seconds = now_seconds + every_seconds * random.uniform(0.5, 1.5)  # noqa: S311
        return True

    def unfit(self) -> dict[str, str]:
        return {node.name: node.unfit for node in self.nodes if node.unfit}

    def spread(self) -> dict[str, int]:
        return {node.name: node.open for node in self.nodes}

    def _fit(self) -> list[Node]:
        fit = [node for node in self.nodes if not node.unfit]
        if fit:
            return fit
        # Where nobody is let in, a request is told so by the server itself, and at once.
        findings = [node.finding for node in self.nodes]
        return [] if None in findings else [node for node in self.nodes if node.finding and node.finding.denied]


def board_for(role: Role, addresses: Iterable[tuple[str, int]]) -> Board:
    return Board(role=role, nodes=tuple(Node(address=address) for address in dict.fromkeys(addresses)))
