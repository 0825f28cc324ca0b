"""One session's view of its cluster: the readings of its nodes, and its connections to them."""

from __future__ import annotations

from msgspec.structs import replace

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, Engine
from safeconsole.cluster.routing import Choice, choose
from safeconsole.errors import ConfigurationError, UnreachableError
from safeconsole.policy.readings import Gates, Reading, is_the_demo
from safeconsole.session.cache import HOLD_SECONDS, CacheKind
from safeconsole.sqltext.vocabulary import Account, NodeName, Role, Route

Key = tuple[NodeName, Account]
"""The purpose of one connection."""


class Nodes:
    """The nodes of a cluster, measured, and at most one connection for each node and account.

    Attributes:
        schema: the schema that connections are opened in, or "".
        used: the node that the last statement went to, None before the first.
        has_moved: whether the schema ever changed.
    """

    def __init__(self, engine: Engine, clock: Clock, schema: str) -> None:
        self.schema = schema
        self.used: NodeName | None = None
        self.has_moved = False
        self._sticky: dict[Route, NodeName] = {}
        self._primaries: frozenset[str] = frozenset()
        self._failed_over = False
        self._engine = engine
        self._clock = clock
        self._open: dict[Key, Connection] = {}
        self._readings: tuple[Reading, ...] = ()
        self._measured_seconds = float("-inf")
        self._choices: dict[tuple[Route, Gates, str], tuple[NodeName | None, Choice]] = {}
        self._opened = 0
        self._numbers: dict[Key, int] = {}

    def measure(self) -> tuple[Reading, ...]:
        before = {reading.node: reading for reading in self._readings}
        self._read_anew(self._engine.topology())
        self._measured_seconds = self._clock.monotonic()
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
        """Whether another instance proved to be the primary since this was last asked."""
        found, self._failed_over = self._failed_over, False
        return found

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(reading.identity.address for reading in self._readings if reading.identity)

    def forget(self) -> None:
        """Believe nothing that was measured: the next choice measures again."""
        self._measured_seconds = float("-inf")

    @property
    def servers(self) -> frozenset[str]:
        return frozenset(reading.identity.server for reading in self._readings if reading.identity)

    def role_of(self, node: NodeName | None) -> Role:
        return next((reading.role for reading in self._readings if reading.node == node), Role.UNKNOWN)

    def is_the_demo(self, mark: str) -> bool:
        """Whether every node that answers now is a server of the demo with a mark."""
        if self._clock.monotonic() - self._measured_seconds > HOLD_SECONDS[CacheKind.READINGS]:
            self.measure()
        return is_the_demo(self._readings, mark)

    def reading_of(self, node: NodeName) -> Reading | None:
        return next((each for each in self._readings if each.node == node), None)

    def choose(self, route: Route, gates: Gates, *, node: str, connected: bool) -> Choice:
        """Choose the node for a statement.

        Args:
            route: replica or primary.
            node: the only node to consider, or "".
            connected: also connect to it as the read account; a node that refuses is out, and the next is tried.

        Raises:
            ConfigurationError: there is no such node.
        """
        asked_seconds = self._clock.monotonic()
        if asked_seconds - self._measured_seconds > HOLD_SECONDS[CacheKind.READINGS]:
            self.measure()
        if node and node not in (known := [reading.node for reading in self._readings]):
            raise ConfigurationError(f"the cluster has no node {node}", instead=f"its nodes: {', '.join(known)}")
        choice = self._choose(route, gates, node=node, connected=connected)
        if choice.reading is None and self._measured_seconds < asked_seconds:
            # An old reading may let a statement pass for a moment; it refuses none.
            self.measure()
            choice = self._choose(route, gates, node=node, connected=connected)
        return choice if node else _with_move(choice, self._sticky.get(route))

    def _choose(self, route: Route, gates: Gates, *, node: str, connected: bool) -> Choice:
        while True:
            choice = self._chosen_of(route, gates, node)
            if choice.reading is None or not connected:
                return choice
            try:
                self.connect(choice.reading.node, Account.READ)
            except UnreachableError as error:
                refused = replace(choice.reading, unreachable=error.message)
                self._read_anew(tuple(refused if each is choice.reading else each for each in self._readings))
            else:
                return choice

    def _chosen_of(self, route: Route, gates: Gates, node: str) -> Choice:
        asked, sticky = (route, gates, node), self._sticky.get(route)
        held = self._choices.get(asked)
        # A node that was the best one is the best one still when it is preferred for having been used.
        if held is not None and (held[0] == sticky or (held[1].reading and held[1].reading.node == sticky)):
            return held[1]
        choice = choose(self._readings, gates, route, node=node, sticky=sticky)
        self._choices[asked] = sticky, choice
        return choice

    def _read_anew(self, readings: tuple[Reading, ...]) -> None:
        self._readings = readings
        self._choices.clear()

    def number_of(self, node: NodeName, account: Account) -> int:
        """Return the number of the open connection; another one for the same node and account has another number."""
        return self._numbers[node, account]

    def connect(self, node: NodeName, account: Account) -> Connection:
        """Return the open connection, or open one.

        Raises:
            UnreachableError, ConfigurationError: as `Engine.connect`.
        """
        held = self._open.get((node, account))
        if held is not None and not held.broken:
            return held
        self.drop(node, account)
        opened = self._engine.connect(node, account, schema=self.schema)
        self._opened += 1
        self._open[node, account], self._numbers[node, account] = opened, self._opened
        return opened

    def was_used(self, node: NodeName, route: Route) -> None:
        self.used = self._sticky[route] = node

    def is_lost(self, node: NodeName, account: Account) -> bool:
        """Whether the connection that was open there is not, or cannot be used any more."""
        held = self._open.get((node, account))
        return held is None or held.broken

    def discard_broken(self) -> frozenset[Account]:
        broken: set[Account] = set()
        for key, held in tuple(self._open.items()):
            if held.broken:
                self.drop(*key)
                broken.add(key[1])
        return frozenset(broken)

    def change_schema(self, schema: str, *, keep: Connection | None = None) -> None:
        """Open everything in another schema from now on; what is open elsewhere is closed."""
        self.has_moved |= schema != self.schema
        self.schema = schema
        for key, held in list(self._open.items()):
            if held is not keep:
                self.drop(*key)

    def drop(self, node: NodeName, account: Account) -> None:
        """Close a connection, if there is one; a transaction on it is rolled back by that."""
        held = self._open.pop((node, account), None)
        if held is not None:
            held.close()

    def drop_node(self, node: NodeName) -> None:
        for account in Account:
            self.drop(node, account)

    def drop_elevated(self) -> None:
        for node, account in list(self._open):
            if account is Account.ELEVATED:
                self.drop(node, account)

    def close(self) -> None:
        """Close everything; never raises."""
        for key in list(self._open):
            self.drop(*key)


def _is_another(before: Reading | None, now: Reading) -> bool:
    """Whether a node proves to be another server, or of another role, than when it was measured before."""
    if before is None or before.identity is None or now.identity is None:
        return False
    return before.identity.server != now.identity.server or (
        before.role != now.role and before.role is not Role.UNKNOWN
    )


def _with_move(choice: Choice, before: NodeName | None) -> Choice:
    """Return a choice that says so, and why, when it is another node than before."""
    if choice.reading is None or before is None or choice.reading.node == before:
        return choice
    why = next((line for line in choice.reasons if line.startswith(f"{before}: ")), f"{before}: not there any more")
    return replace(choice, notes=(f"{choice.reading.node} takes the place of {why}", *choice.notes))
