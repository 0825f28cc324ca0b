"""A session's nodes and connections."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, Engine, in_turn
from safeconsole.cluster.routing import Choice, choose, is_preferred
from safeconsole.errors import (
    Action,
    ConfigurationError,
    CrowdedError,
    Remedy,
    UnreachableError,
)
from safeconsole.policy.readings import Gates, Reading, is_the_demo
from safeconsole.session.cache import HOLD_SECONDS, Cache, CacheKind
from safeconsole.session.deciding import require_alike
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Account, NodeName, Role, Route

Key = tuple[NodeName, Account]
"""The purpose of one connection."""

_ASKED_AT_MOST = 2
"""A connection may have been cut for reasons of its own, once."""

_ALL: frozenset[NodeName] = frozenset()
_HELD_SECONDS = HOLD_SECONDS[CacheKind.READINGS]
_MOMENT_SECONDS = 1.0


class Nodes:
    """The nodes of a cluster, measured, and at most one connection for each node and account.

    Attributes:
        schema: the schema that connections are opened in, or "".
        used: the node that the last statement went to, None before the first.
        has_moved: whether the schema ever changed.
        avoided: replicas that the statement at hand goes to only where there is no other, and why.
    """

    def __init__(self, engine: Engine, clock: Clock, schema: str) -> None:
        self.schema = schema
        self.used: NodeName | None = None
        self.has_moved = False
        self.avoided: dict[NodeName, str] = {}
        self._sticky: dict[Route, NodeName] = {}
        self._primaries: frozenset[str] = frozenset()
        self._failed_over = False
        self._engine = engine
        self._clock = clock
        self._open: dict[Key, Connection] = {}
        self._parked: dict[Key, Connection] = {}
        self._pinned: set[Key] = set()
        self._readings: tuple[Reading, ...] = ()
        self._doubted: frozenset[NodeName] = _ALL
        self._stays_on: frozenset[NodeName] = _ALL
        self._choices: dict[tuple[Route, Gates, str, tuple[NodeName, ...]], tuple[NodeName | None, Choice]] = {}
        self._opened = 0
        # Another connection for the same node and account has another number.
        self._numbers: dict[Key, int] = {}
        self._lots: dict[NodeName, float] = {}

    def measure(self) -> tuple[Reading, ...]:
        """Measure every node; the first call accepts a measurement that is already under way."""
        now = self._clock.monotonic()
        return self._believe(now if self._readings else now - _MOMENT_SECONDS)

    def _believe(self, since_seconds: float, only: frozenset[NodeName] = _ALL) -> tuple[Reading, ...]:
        """Adopt recent readings, and drop connections whose node proves to be another server."""
        before = {reading.node: reading for reading in self._readings}
        readings = self._engine.topology(since_seconds=since_seconds, only=only)
        self._doubted = self._doubted - only if only else _ALL
        if readings is self._readings:
            return readings
        self._read_anew(readings)
        for reading in self._readings:
            if _is_another(before.get(reading.node), reading):
                self.drop_node(reading.node)
        primaries = frozenset(
            reading.identity.server for reading in self._readings if reading.role is Role.PRIMARY and reading.identity
        )
        # No primary that answers is not another primary yet.
        if primaries:
            self._failed_over |= bool(self._primaries) and primaries != self._primaries
            self._primaries = primaries
        return self._readings

    def take_failover(self) -> bool:
        """Whether another instance has become primary since the last call."""
        found, self._failed_over = self._failed_over, False
        return found

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(reading.identity.address for reading in self._readings if reading.identity)

    def forget(self) -> None:
        """Discard all readings, so that the next choice measures again."""
        self._doubted = frozenset(reading.node for reading in self._readings)

    @property
    def servers(self) -> frozenset[str]:
        return frozenset(reading.identity.server for reading in self._readings if reading.identity)

    def role_of(self, node: NodeName | None) -> Role:
        return next((reading.role for reading in self._readings if reading.node == node), Role.UNKNOWN)

    def is_the_demo(self, mark: str) -> bool:
        """Whether every node that answers now is a server of the demo with a mark."""
        self._renew(_ALL, self._clock.monotonic())
        return is_the_demo(self._readings, mark)

    def reading_of(self, node: NodeName) -> Reading | None:
        return next((each for each in self._readings if each.node == node), None)

    def choose(
        self,
        route: Route,
        gates: Gates,
        *,
        node: str,
        connected: bool,
        everywhere: bool = False,
        proven: bool = True,
    ) -> Choice:
        """Choose the node that a statement goes to.

        Args:
            route: replica or primary.
            node: the only node to consider, or "".
            connected: also connect to it as the read account; a node that refuses is out, and the next is tried.
            everywhere: all readings must be new, whatever the choice depends on.
            proven: see `routing.choose`.

        Raises:
            ConfigurationError: there is no such node.
        """
        asked_seconds = self._clock.monotonic()
        needed = _ALL
        if node:
            needed = frozenset({NodeName(node)})
        elif route is Route.REPLICA and not everywhere:
            # Who stays on a replica asks that one alone; a primary is proven by the whole cluster.
            needed = self._stays_on
        self._renew(needed, asked_seconds)
        if node and node not in (known := [reading.node for reading in self._readings]):
            raise ConfigurationError(f"the cluster has no node {node}", instead=f"its nodes: {', '.join(known)}")
        choice = self._choose(route, gates, node=node, connected=connected, proven=proven)
        reading = choice.reading
        if reading is not None and (
            reading.node in self._doubted or asked_seconds - reading.measured_seconds > _HELD_SECONDS
        ):
            # The newly chosen node's reading is too old, or in doubt: measure again.
            self._renew(_ALL, asked_seconds)
            choice = self._choose(route, gates, node=node, connected=connected, proven=proven)
        if choice.reading is None and any(each.measured_seconds < asked_seconds for each in self._readings):
            # An old reading may let a statement pass for a moment; it refuses none.
            self.measure()
            choice = self._choose(route, gates, node=node, connected=connected, proven=proven)
        if choice.is_crowded:
            chosen = partial(self._chosen_in_turn, route, gates, node=node, connected=connected, proven=proven)
            with suppress(CrowdedError):
                choice = in_turn(chosen)
        return choice if node or not proven else _with_move(choice, self._sticky.get(route))

    def _chosen_in_turn(self, route: Route, gates: Gates, *, node: str, connected: bool, proven: bool) -> Choice:
        self.measure()
        choice = self._choose(route, gates, node=node, connected=connected, proven=proven)
        if choice.is_crowded:
            raise CrowdedError("; ".join(choice.reasons))
        return choice

    def _choose(self, route: Route, gates: Gates, *, node: str, connected: bool, proven: bool) -> Choice:
        if not proven:
            return choose(self._readings, gates, route, node=node, proven=False)
        while True:
            choice = self._chosen_of(route, gates, node)
            if choice.reading is None or not connected:
                return choice
            try:
                self._connect(choice.reading.node, Account.READ)
            except UnreachableError as error:
                is_full = isinstance(error, CrowdedError)
                refused = replace(choice.reading, unreachable=error.message, mend=error.instead, is_full=is_full)
                self._read_anew(tuple(refused if each is choice.reading else each for each in self._readings))
            else:
                return choice

    def _chosen_of(self, route: Route, gates: Gates, node: str) -> Choice:
        asked, sticky = (route, gates, node, tuple(self.avoided)), self._sticky.get(route)
        held = self._choices.get(asked)
        # A node that was the best one is the best one still when it is preferred for having been used.
        if held is not None and (held[0] == sticky or (held[1].reading and held[1].reading.node == sticky)):
            return held[1]
        # Drawn once, so that a session's choice changes only with what was measured.
        for reading in self._readings:
            # What was drawn when the session began, so that a connection is there already, stands before that.
            drawn = 0.0 if reading.node == self._engine.expected else random.random()  # noqa: S311 (it spreads load)
            self._lots.setdefault(reading.node, drawn)
        choice = self._chosen_elsewhere(route, gates) if self.avoided and not node else None
        choice = choice or choose(self._readings, gates, route, node=node, sticky=sticky, lots=self._lots)
        self._choices[asked] = sticky, choice
        return choice

    def _chosen_elsewhere(self, route: Route, gates: Gates) -> Choice | None:
        choice = choose(
            tuple(each for each in self._readings if each.node not in self.avoided), gates, route, lots=self._lots
        )
        if route is not Route.REPLICA or choice.reading is None:
            return None
        return replace(choice, reasons=(*choice.reasons, *(f"{node}: {why}" for node, why in self.avoided.items())))

    def _renew(self, needed: frozenset[NodeName], asked_seconds: float) -> None:
        """Ensure recent readings, and renew those about to expire in the background."""
        seconds = [each.measured_seconds for each in self._readings if not needed or each.node in needed]
        oldest = min(seconds, default=float("-inf"))
        if self._doubted and not self._doubted.isdisjoint(needed or self._doubted):
            self._believe(asked_seconds, needed)
        elif asked_seconds - oldest > _HELD_SECONDS:
            self._believe(asked_seconds - _HELD_SECONDS, needed)
        elif asked_seconds - oldest > _HELD_SECONDS / 2:
            self._engine.measure_ahead(needed)

    def _read_anew(self, readings: tuple[Reading, ...]) -> None:
        self._readings = readings
        self._choices.clear()
        self._look_around()

    def _look_around(self) -> None:
        """Find out whether the session stays on its replica whatever the others report; then only that is measured."""
        sticky = self._sticky.get(Route.REPLICA)
        stays = sticky is not None and is_preferred(self._readings, sticky)
        self._stays_on = frozenset({sticky}) if sticky is not None and stays else _ALL

    def connect(self, node: NodeName, account: Account) -> Connection:
        """Return the open connection to a node, or open one; wait while the account may open no further one.

        Raises:
            UnreachableError, ConfigurationError: as `Engine.connect`.
        """
        held = self._open.get((node, account))
        if held is not None and not held.broken:
            return held
        return in_turn(partial(self._connect, node, account))

    def _connect(self, node: NodeName, account: Account) -> Connection:
        key = node, account
        held = self._open.get(key)
        if held is not None and not held.broken:
            return held
        parked = self._parked.pop(key, None)
        if parked is not None and self._engine.reclaim(parked):
            self._open[key] = parked
            return parked
        self.drop(node, account)
        opened = self._engine.connect(node, account, schema=self.schema)
        self._opened += 1
        self._open[node, account], self._numbers[node, account] = opened, self._opened
        return opened

    def estimate_on(self, statement: Statement, node: NodeName, cache: Cache, *, rules: LexicalRules) -> Estimate:
        """Return a node's estimate of a read; a recent one if only the values differ.

        Raises:
            UnreachableError: the connection was lost over it, twice.
            DeniedError: as `require_alike`.
        """
        for _ in range(_ASKED_AT_MOST):
            connection = self.connect(node, Account.READ)
            require_alike(statement, connection, rules=rules, schema=self.schema)
            where = self._numbers[node, Account.READ], connection.schema
            estimate = cache.known_estimate(statement, where)
            if estimate is None:
                asked_seconds = self._clock.monotonic()
                estimate = connection.estimate(statement)
                cache.keep_estimate(statement, where, estimate, asked_seconds=asked_seconds)
            if estimate.asked or not connection.broken:
                return estimate
        raise UnreachableError(
            f"{node} was asked for its plan of this, and lost the connection over it; nothing was sent",
            instead="look at the server, or use another node",
            remedies=(Remedy(Action.NAME_NODE),),
        )

    def pin(self, node: NodeName, account: Account) -> None:
        """Pin a connection to the session, because of state that a statement left on it."""
        if (node, account) in self._open:
            self._pinned.add((node, account))

    def park(self, *, but: Key | None = None) -> None:
        """Give idle connections back to the engine between two statements.

        Args:
            but: the connection that a transaction is open on, or None.
        """
        for key in list(self._open):
            # What is elevated is the session's alone, and its end is the end of the elevation.
            if key[1] is not Account.ELEVATED and key != but and key not in self._pinned:
                self._parked[key] = parked = self._open.pop(key)
                self._engine.park(parked)

    def was_used(self, node: NodeName, route: Route) -> None:
        self.used = node
        if self._sticky.get(route) != node:
            self._sticky[route] = node
            self._look_around()

    def stays_at(self, route: Route) -> NodeName | None:
        """Return the node that the session stays at for a route, as far as its role was still proven when measured."""
        node = self._sticky.get(route)
        role = Role.PRIMARY if route is Route.PRIMARY else Role.REPLICA
        return node if self.role_of(node) is role else None

    def is_lost(self, node: NodeName, account: Account) -> bool:
        """Whether the connection that was open there is closed or broken."""
        held = self._open.get((node, account))
        return held is None or held.broken

    def discard_broken(self) -> frozenset[Account]:
        broken: set[Account] = set()
        for key, held in tuple(self._open.items()):
            if held.broken or (held.is_retired and key not in self._pinned):
                self.drop(*key)
                broken.add(key[1])
        return frozenset(broken)

    def change_schema(self, schema: str, *, keep: Connection | None = None) -> None:
        """Use another schema from now on; open connections are moved there, or closed where they cannot be."""
        self.has_moved |= schema != self.schema
        self.schema = schema
        for key, held in list(self._open.items()):
            if held is not keep and not held.enter(schema):
                self.drop(*key)
        self._leave_parked()

    def drop(self, node: NodeName, account: Account) -> None:
        """Close a connection, if there is one; the server rolls back a transaction on it."""
        key = node, account
        self._pinned.discard(key)
        held, parked = self._open.pop(key, None), self._parked.pop(key, None)
        if held is not None:
            held.close()
        if parked is not None and self._engine.reclaim(parked):
            parked.close()

    def drop_node(self, node: NodeName) -> None:
        for account in Account:
            self.drop(node, account)

    def drop_elevated(self) -> None:
        for node, account in list(self._open):
            if account is Account.ELEVATED:
                self.drop(node, account)

    def close(self) -> None:
        """Close the session's connections; those that other sessions may use are parked. Never raises."""
        for key in list(self._open):
            self.drop(*key)
        self._leave_parked()

    def _leave_parked(self) -> None:
        while self._parked:
            _, parked = self._parked.popitem()
            if self._engine.reclaim(parked):
                self._engine.park(parked, last=True)


def _is_another(before: Reading | None, now: Reading) -> bool:
    """Whether a node has another identity or role than at the measurement before."""
    if before is None or before.identity is None or now.identity is None:
        return False
    return before.identity.server != now.identity.server or (
        before.role != now.role and before.role is not Role.UNKNOWN
    )


def _with_move(choice: Choice, before: NodeName | None) -> Choice:
    """Return the choice with a reason for the change, if the node differs from the one before."""
    if choice.reading is None or before is None or choice.reading.node == before:
        return choice
    why = next((line for line in choice.reasons if line.startswith(f"{before}: ")), f"{before}: not there any more")
    return replace(choice, notes=(f"{choice.reading.node} takes the place of {why}", *choice.notes))
