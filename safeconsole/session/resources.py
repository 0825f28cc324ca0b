"""What a session holds on its cluster, and what ends together: connections, a transaction, an elevation."""

from __future__ import annotations

from safeconsole.audit.record import Noticed
from safeconsole.cluster.engine import Connection
from safeconsole.errors import NotSentError, RefusedError, SafeConsoleError, ServerError, UnreachableError
from safeconsole.policy.decision import Permit
from safeconsole.session.connections import Nodes
from safeconsole.session.deciding import require_alike
from safeconsole.session.elevation import ElevationEvent, Elevations
from safeconsole.session.pursuit import Pursuits
from safeconsole.session.recorder import Recorder
from safeconsole.session.transactions import TransactionEvent, Transactions
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Account, Role, Route

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
        plain = permit.read_only and permit.account is Account.READ and permit.route is Route.REPLICA
        if connection.identity.server != permit.identity.server:
            found = f"{permit.node} is now another server: {connection.identity.server}"
            if plain and not permit.within and not permit.elevation:
                # A replica was rebuilt under its address: that is no failover, and the read may go to the new one.
                self.nodes.drop_node(permit.node)
                self.nodes.forget()
                raise UnreachableError(f"{found}; nothing was sent")
        elif permit.account is Account.DIAGNOSE:
            # It asks this instance, whatever its role is.
            return connection
        elif plain:
            # It is compared by the connection, when the permit is sent.
            return connection
        else:
            reading = connection.prove(permit)
            if reading.role == Role(permit.route):
                return connection
            if reading.shares_writes and permit.route is Route.REPLICA:
                raise RefusedError(
                    f"nothing was sent: {permit.node} takes writes too, and what is elevated goes to the writer alone",
                    instead="send it to the primary",
                )
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
