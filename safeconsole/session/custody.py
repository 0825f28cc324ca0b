"""Holds what the road opened, proves it before it is used, and lets go of it when it is broken, moved or over."""

from __future__ import annotations

from safeconsole.cluster.engine import Completion, Connection, Engine
from safeconsole.errors import NotSentError, RefusedError, SafeConsoleError, ServerError, StoppedError, UnreachableError
from safeconsole.policy.decision import Permit
from safeconsole.session.connections import Nodes
from safeconsole.session.elevation import ElevationEvent, Elevations
from safeconsole.session.evidence import require_alike
from safeconsole.session.transactions import TransactionEvent as Ending
from safeconsole.session.transactions import Transactions
from safeconsole.sqltext.vocabulary import Account, Role, Route

_ENDINGS = {ElevationEvent.FAILED_OVER: Ending.FAILED_OVER, ElevationEvent.RECONNECTED: Ending.CONNECTION_LOST}
"""What the end of an elevation means for a transaction that it allowed."""


class Custody:
    """
    The connections of a session and the elevation that some of them need: neither outlives the other.

    What runs on them can be stopped from another thread than the one that walks the road.
    """

    def __init__(self, *, engine: Engine, nodes: Nodes, elevations: Elevations, transactions: Transactions) -> None:
        self._at_work: Connection | None = None
        self._stopped = False
        self._engine = engine
        self._nodes = nodes
        self._elevations = elevations
        self._transactions = transactions

    def begin(self, connection: Connection) -> None:
        """Take a statement as under way on a connection; nothing is let go then. Raises StoppedError as `stop` says."""
        self._at_work = connection
        # MUST come after it is held: whoever stops meanwhile finds either the word kept, or something to stop.
        self.require_going()

    def end(self) -> None:
        """Take it as over."""
        self._at_work = None

    def require_going(self) -> None:
        """Refuse to go on once the session was told to stop. Raises StoppedError."""
        if self._stopped:
            raise StoppedError("stopped at your word: nothing was sent", by="person", verified="already over")

    def stop(self) -> str:
        """
        Stop what runs, and let nothing further be sent; for another thread than the one that walks the road.

        Called again, it no longer waits for a gentle end. What is just about to be sent is not met by the first
        call: it is called until that thread is through.

        Returns:
            As `Connection.stop`.
        """
        self._stopped = True
        connection = self._at_work
        return connection.stop() if connection is not None else "already over"

    def proven(self, permit: Permit) -> Connection:
        """
        Return the connection for a permit, with the instance and its role proven on the live session.

        Raises:
            RefusedError: the server or its role is not what the permit was made for; the elevation ends.
            UnreachableError, ConfigurationError: as `Engine.connect`.
        """
        if self.settle() and permit.elevation:
            raise RefusedError("nothing was sent: the elevation ended", instead="look at the topology, then ask again")
        if permit.within and self._transactions.opened is None:
            raise RefusedError("nothing was sent: the transaction that it belongs to is over")
        connection = self._nodes.connect(permit.node, permit.account)
        require_alike(permit.statement, connection, rules=self._engine.rules, schema=self._nodes.schema)
        if connection.identity.server != permit.identity.server:
            found = f"{permit.node} is now another server: {connection.identity.server}"
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
        self._transactions.end(Ending.FAILED_OVER)
        self._nodes.drop_node(permit.node)
        self.void(ElevationEvent.FAILED_OVER)
        raise RefusedError(
            f"nothing was sent: {found}",
            instead="look at the topology, then ask again; an elevation does not survive a failover",
        )

    def was_done(self, permit: Permit, connection: Connection, completion: Completion) -> None:
        """Believe what the server did."""
        self._nodes.was_used(permit.node, permit.route)
        self._transactions.went_on(permit, completion)
        if permit.statement.kind == "use":
            self._nodes.change_schema(connection.schema, keep=connection)

    def has_failed(self, permit: Permit, connection: Connection, failure: SafeConsoleError) -> None:
        """Let go after a statement that did not end well; an elevation does not survive what broke."""
        self._transactions.failed(permit, connection, failure)
        if isinstance(failure, ServerError):
            self.settle()
            return
        self._nodes.forget()
        self._nodes.drop(permit.node, permit.account)
        if isinstance(failure, NotSentError) and not isinstance(failure, UnreachableError):
            # It is not what it was: nothing that was opened to it before is used again.
            self._nodes.drop_node(permit.node)
            self.void(ElevationEvent.FAILED_OVER)
        elif permit.account is Account.ELEVATED:
            self.void(ElevationEvent.RECONNECTED)

    def settle(self) -> bool:
        """Let go of what is broken or over; whether an elevation ended by that."""
        if self._at_work is not None:
            return False
        was_elevated = self._elevations.is_held
        lost = self._transactions.settle()
        broken = self._nodes.discard_broken()
        if broken:
            self._nodes.forget()
        if lost or Account.ELEVATED in broken:
            self.void(ElevationEvent.RECONNECTED)
        try:
            self._elevations.current()
        finally:
            if not self._elevations.is_held:
                self._drop_elevated(ElevationEvent.TIME_PASSED)
        return was_elevated and not self._elevations.is_held

    def void(self, event: ElevationEvent) -> None:
        """End the elevation and what it opened; the cluster is not what it was."""
        self._nodes.forget()
        try:
            self._drop_elevated(event)
        finally:
            self._elevations.end(event)

    def _drop_elevated(self, event: ElevationEvent) -> None:
        """Close the elevated account's connections; what is open on them is undone, and that is told."""
        try:
            self._transactions.end(_ENDINGS.get(event, Ending.ELEVATION_ENDED), account=Account.ELEVATED)
        finally:
            self._nodes.drop_elevated()
