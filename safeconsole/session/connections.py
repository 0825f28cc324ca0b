"""A session's nodes and connections, and the resources that end together with them."""

from __future__ import annotations

from msgspec.structs import replace

from safeconsole.audit.record import Noticed
from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, Engine
from safeconsole.cluster.routing import Choice, choose, is_preferred
from safeconsole.errors import (
    Action,
    ConfigurationError,
    NotSentError,
    RefusedError,
    Remedy,
    SafeConsoleError,
    ServerError,
    UnreachableError,
)
from safeconsole.policy.decision import Permit
from safeconsole.policy.readings import Gates, Reading, is_the_demo
from safeconsole.session.cache import HOLD_SECONDS, Cache, CacheKind
from safeconsole.session.deciding import require_alike
from safeconsole.session.elevation import ElevationEvent, Elevations
from safeconsole.session.pursuit import Pursuits
from safeconsole.session.recorder import Recorder
from safeconsole.session.transactions import TransactionEvent, Transactions
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
            # It takes the place of another one, and was not looked at for longer than is believed.
            self._renew(_ALL, asked_seconds)
            choice = self._choose(route, gates, node=node, connected=connected, proven=proven)
        if choice.reading is None and any(each.measured_seconds < asked_seconds for each in self._readings):
            # An old reading may let a statement pass for a moment; it refuses none.
            self.measure()
            choice = self._choose(route, gates, node=node, connected=connected, proven=proven)
        return choice if node or not proven else _with_move(choice, self._sticky.get(route))

    def _choose(self, route: Route, gates: Gates, *, node: str, connected: bool, proven: bool) -> Choice:
        if not proven:
            return choose(self._readings, gates, route, node=node, proven=False)
        while True:
            choice = self._chosen_of(route, gates, node)
            if choice.reading is None or not connected:
                return choice
            try:
                self.connect(choice.reading.node, Account.READ)
            except UnreachableError as error:
                refused = replace(choice.reading, unreachable=error.message, mend=error.instead)
                self._read_anew(tuple(refused if each is choice.reading else each for each in self._readings))
            else:
                return choice

    def _chosen_of(self, route: Route, gates: Gates, node: str) -> Choice:
        asked, sticky = (route, gates, node, tuple(self.avoided)), self._sticky.get(route)
        held = self._choices.get(asked)
        # A node that was the best one is the best one still when it is preferred for having been used.
        if held is not None and (held[0] == sticky or (held[1].reading and held[1].reading.node == sticky)):
            return held[1]
        choice = self._chosen_elsewhere(route, gates) if self.avoided and not node else None
        choice = choice or choose(self._readings, gates, route, node=node, sticky=sticky)
        self._choices[asked] = sticky, choice
        return choice

    def _chosen_elsewhere(self, route: Route, gates: Gates) -> Choice | None:
        choice = choose(tuple(each for each in self._readings if each.node not in self.avoided), gates, route)
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
        """Return the open connection to a node, or open one.

        Raises:
            UnreachableError, ConfigurationError: as `Engine.connect`.
        """
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
        """Use another schema from now on; every open connection but `keep` is closed."""
        self.has_moved |= schema != self.schema
        self.schema = schema
        for key, held in list(self._open.items()):
            if held is not keep:
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


_ENDINGS = {
    ElevationEvent.FAILED_OVER: TransactionEvent.FAILED_OVER,
}
"""The effect of an elevation's end on a transaction that it allowed."""

ANOTHER_PRIMARY = "another server is the primary now"


class Resources:
    """The connections, the transaction and the elevation of a session; one ending may end the others.

    Attributes:
        at_work: the connection that a statement runs on, or None.
        pursuits: what was not seen to stop.
    """

    def __init__(self, nodes: Nodes, transactions: Transactions, elevations: Elevations, recorder: Recorder) -> None:
        self.nodes = nodes
        self.transactions = transactions
        self.elevations = elevations
        self.at_work: Connection | None = None
        self.pursuits = Pursuits(recorder.append)
        self._recorder = recorder

    def settle(self) -> bool:
        """Release broken connections and ended transactions; return whether that ended an elevation."""
        if self.at_work is not None:
            return False
        was_elevated, opened = self.elevations.grant is not None, self.transactions.opened
        if opened is not None and self.transactions.has_idled:
            self.end_transaction(TransactionEvent.IDLED)
        elif opened is not None and self.nodes.is_lost(opened.node, opened.account):
            self.end_transaction(TransactionEvent.CONNECTION_LOST)
            # Who lost it may not be the primary any more: a window that goes on is looked at again.
            self.nodes.forget()
        if self.nodes.discard_broken():
            self.nodes.forget()
        try:
            if was_elevated:
                self.elevations.current()
        finally:
            if self.elevations.grant is None:
                self._drop_elevated(ElevationEvent.TIME_PASSED)
        return was_elevated and self.elevations.grant is None

    def proven(self, permit: Permit, *, rules: LexicalRules) -> Connection:
        """Return the connection for a permit, after proving instance and role on it.

        Raises:
            RefusedError: the server or its role is not what the permit was made for; the elevation ends.
            UnreachableError, ConfigurationError: as `Engine.connect`.
        """
        if self.settle() and permit.elevation:
            ended = self.elevations.ended or "the elevation ended"
            raise RefusedError(f"nothing was sent: {ended}", instead="check the topology, then run it again")
        if permit.within and self.transactions.opened is None:
            raise RefusedError("nothing was sent: the transaction that it belongs to is over")
        connection = self.nodes.connect(permit.node, permit.account)
        require_alike(permit.statement, connection, rules=rules, schema=self.nodes.schema)
        if connection.identity.server != permit.identity.server:
            found = f"{permit.node} is now another server: {connection.identity.server}"
        elif permit.account is Account.DIAGNOSE:
            # It asks this instance, whatever its role is.
            return connection
        elif permit.read_only and permit.account is Account.READ and permit.route is Route.REPLICA:
            # It is compared by the connection, when the permit is sent.
            return connection
        else:
            reading = connection.prove()
            if reading.role == Role(permit.route):
                return connection
            role = "of unknown role" if reading.role is Role.UNKNOWN else f"a {reading.role}"
            found = f"{permit.node} is now {role}: {reading.proof}"
        # Kept, a connection that leads elsewhere would refuse everything that comes after.
        self.end_transaction(TransactionEvent.FAILED_OVER)
        self.nodes.drop_node(permit.node)
        self.void(ElevationEvent.FAILED_OVER, found)
        raise RefusedError(
            f"nothing was sent: {found}",
            instead="check the topology, then run it again; an elevation does not survive a failover",
        )

    def release_after(self, permit: Permit, connection: Connection, failure: SafeConsoleError) -> None:
        """Release connections after a failed statement.

        A window outlives them: what runs in it next goes over a new connection, where the server and its role are
        proven again.
        """
        event = self.transactions.failed(permit, connection, failure)
        if event is TransactionEvent.SERVER_ENDED:
            self.record(self.transactions.end(event))
        elif event is not None:
            self.end_transaction(event)
        if isinstance(failure, ServerError):
            if permit.account is Account.ELEVATED:
                self.elevations.was_denied(permit.statement, failure.number)
            self.settle()
            return
        self.nodes.forget()
        self.nodes.drop(permit.node, permit.account)
        if isinstance(failure, NotSentError) and not isinstance(failure, UnreachableError):
            # It is not what it was: nothing that was opened to it before is used again.
            self.nodes.drop_node(permit.node)
            self.void(ElevationEvent.FAILED_OVER, failure.message)

    def void(self, event: ElevationEvent, why: str = "") -> None:
        """End the elevation and its connections, because the cluster changed."""
        self.nodes.forget()
        self.end_elevated(event, why)

    def end_elevated(self, event: ElevationEvent, why: str = "") -> None:
        try:
            self._drop_elevated(event)
        finally:
            self.elevations.end(event, why)

    def _drop_elevated(self, event: ElevationEvent) -> None:
        """Close the elevated account's connections, and report a transaction that this rolls back."""
        opened = self.transactions.opened
        try:
            if opened is not None and opened.account is Account.ELEVATED:
                self.end_transaction(_ENDINGS.get(event, TransactionEvent.ELEVATION_ENDED))
        finally:
            self.nodes.drop_elevated()

    def end_transaction(self, event: TransactionEvent) -> None:
        """Close an open transaction's connection, so that the server rolls it back."""
        opened = self.transactions.opened
        if opened is not None:
            self.nodes.drop(opened.node, opened.account)
            self.record(self.transactions.end(event))

    def record(self, notice: Noticed | None) -> None:
        if notice is not None:
            self._recorder.append(notice, durable=True)
