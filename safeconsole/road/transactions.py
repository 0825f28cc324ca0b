"""
The transaction that a session has open: what belongs to it, and who is told how it ended.

What is open is ended by letting go of its connection: the server undoes what was not committed.
The states are `core.transactions`' table.
"""

from __future__ import annotations

from msgspec.structs import replace

from safeconsole.core.decision import Considered, Decision, Permit
from safeconsole.core.errors import (
    DeniedError,
    OutcomeUnknownError,
    RefusedError,
    SafeConsoleError,
    ServerError,
    UnreachableError,
)
from safeconsole.core.record import Noticed
from safeconsole.core.routing import route_of
from safeconsole.core.statement import Statement
from safeconsole.core.transactions import (
    ENDS,
    Event,
    State,
    Transaction,
    TransactionSettings,
    begins,
    begins_anew,
    begins_writing,
    begun,
    objection,
    place_of,
    route_within,
    told,
    way_out,
)
from safeconsole.core.visit import Visit
from safeconsole.core.vocabulary import Account, NodeName, Route, Verdict
from safeconsole.interfaces import Clock, Completion, Connection
from safeconsole.road.elevations import Elevations
from safeconsole.road.nodes import Nodes
from safeconsole.road.recorder import Recorder

RULE = "write-transaction"
"""The rule that sends what belongs to a transaction of changes where it is open."""

_QUIET = frozenset({Event.COMMITTED, Event.ROLLED_BACK, Event.LEFT})
_ABOUT_ONE = frozenset({"commit", "end", "savepoint", "release", "release savepoint"})


class Transactions:
    """At most one transaction at a time, for one session."""

    def __init__(
        self,
        *,
        visit: Visit,
        settings: TransactionSettings,
        nodes: Nodes,
        elevations: Elevations,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._visit = visit
        self._settings = settings
        self._nodes = nodes
        self._elevations = elevations
        self._recorder = recorder
        self._clock = clock
        self._opened: Transaction | None = None
        self._told: list[str] = []
        self._undone = ""

    @property
    def opened(self) -> Transaction | None:
        """What is open, or None."""
        return self._opened

    @property
    def open_seconds(self) -> float:
        """How long it has been open, 0 when nothing is."""
        return self._clock.monotonic() - self._opened.began_seconds if self._opened is not None else 0.0

    def take_told(self) -> tuple[str, ...]:
        """Return what the person must be told of transactions that ended, once."""
        lines, self._told[:] = tuple(self._told), []
        return lines

    @property
    def told(self) -> tuple[str, ...]:
        """What `take_told` would return."""
        return tuple(self._told)

    # Before the send.

    def narrowed(self, statement: Statement, to: str) -> str:
        """Return where the person wants a statement: the end of a transaction of changes goes where it is open."""
        return "" if self._opened is not None and self._opened.writes and statement.kind in ENDS else to

    def route_of(self, statement: Statement, *, to: str) -> Route:
        """Return the kind of node for a statement; see `routing.route_of`."""
        route = route_of(statement, to=to)
        if to:
            return route
        return route_within(statement, route, opened=self._opened, window=self._elevations.has_window)

    def decided(self, decision: Decision, statement: Statement, *, node: NodeName | None, route: Route) -> Decision:
        """Return a decision as what belongs to a transaction of changes needs it: with the elevated account."""
        opened = self._opened
        if opened is not None:
            belongs = opened.writes and opened.node == node
        else:
            belongs = route is Route.PRIMARY and self._elevations.has_window and begins_writing(statement)
        if not belongs or decision.verdict >= Verdict.ELEVATE:
            return decision
        why = "it belongs to a transaction of changes"
        return replace(decision, verdict=Verdict.ELEVATE, rules=(*decision.rules, RULE), message=why)

    def require_together(self, considered: Considered, *, alone: bool) -> None:
        """
        Refuse what would not do what its transaction promises; nobody is asked about it first.

        Args:
            alone: an elevation is asked for this statement only, and ends with it.

        Raises:
            DeniedError: it would run beside the transaction, or commit it unasked.
        """
        statement, opened = considered.statement, self._opened
        if considered.node is None or considered.decision.verdict is Verdict.DENY:
            return
        self._require_known(considered)
        goes_to = place_of(considered.node, _account_of(considered))
        one_grant = alone or (self._elevations.is_held and not self._elevations.has_window)
        why = objection(statement, opened=opened, goes_to=goes_to, one_grant=one_grant)
        if not why or (self._undone and statement.kind == "rollback"):
            return
        if opened is not None and statement.kind in ENDS:
            # It cannot be ended where it is open: that is left, and told by itself.
            self.end(Event.FAILED_OVER if opened.writes else Event.ROLLED_BACK)
            why, opened = (
                f"the transaction on {opened.place} is over: its connection was closed, nothing of it stays",
                None,
            )
        raise DeniedError(why, evidence=considered.evidence, instead=way_out(statement, opened=opened))

    def _require_known(self, considered: Considered) -> None:
        """
        Refuse a change or a COMMIT after a transaction was undone, until the person says ROLLBACK or BEGIN.

        They may think that it is open still: what they type next would be committed by itself.
        """
        statement = considered.statement
        if not self._undone or (statement.changes_nothing and statement.kind not in _ABOUT_ONE):
            return
        raise DeniedError(
            f"nothing was sent: {self._undone}",
            evidence=considered.evidence,
            instead="ROLLBACK says that you know; then begin again",
        )

    def require_none(self, why: str) -> None:
        """Refuse what would end the open transaction by the way. Raises RefusedError."""
        if self._opened is not None:
            raise RefusedError(
                f"a transaction is open on {self._opened.place}, and {why}",
                instead="end the transaction first, with COMMIT or ROLLBACK",
            )

    def is_within(self, considered: Considered) -> bool:
        """Whether a statement would run in what is open."""
        opened = self._opened
        return opened is not None and (opened.node, opened.account) == (considered.node, _account_of(considered))

    def idle_seconds(self, considered: Considered) -> float:
        """Return how long what a statement opens may stand idle, 0 when it opens nothing."""
        if not begins(considered.statement):
            return 0.0
        writes = _account_of(considered) is Account.ELEVATED
        return self._settings.write_idle_seconds if writes else self._settings.read_idle_seconds

    # After it.

    def went_on(self, permit: Permit, completion: Completion) -> None:
        """Believe what the server says of a statement that ended well."""
        opened, now = self._opened, self._clock.monotonic()
        if permit.statement.kind == "rollback":
            self._undone = ""
        if opened is not None and (opened.node, opened.account) != (permit.node, permit.account):
            return
        kind = permit.statement.kind
        if opened is not None and (not completion.in_transaction or begins_anew(permit.statement)):
            self._over(Event.VANISHED if kind not in ENDS else _ending(kind))
            opened = None
        if not completion.in_transaction:
            return
        self._undone = ""
        if opened is None:
            self._opened = begun(permit.node, permit.account, self._settings, now_seconds=now)
        else:
            self._opened = opened.went_on(now, changed_rows=completion.changed_rows)

    def failed(self, permit: Permit, connection: Connection, failure: SafeConsoleError) -> None:
        """Say what becomes of what is open when a statement of it did not end well."""
        opened = self._opened
        if opened is None or (opened.node, opened.account) != (permit.node, permit.account):
            return
        if isinstance(failure, ServerError) and not connection.broken:
            if connection.in_transaction:
                self._opened = opened.went_on(self._clock.monotonic())
            else:
                self._over(Event.SERVER_ENDED)
            return
        if isinstance(failure, RefusedError):
            event = Event.CONNECTION_LOST if isinstance(failure, UnreachableError) else Event.FAILED_OVER
        elif permit.commits:
            event = Event.COMMIT_LOST
        elif isinstance(failure, OutcomeUnknownError):
            event = Event.CONNECTION_LOST
        else:
            event = Event.STOPPED
        self.end(event)

    def settle(self) -> bool:
        """
        End what stood idle past its limit, and what lost its connection.

        Returns:
            Whether an elevated connection was lost.

        Raises:
            AuditUnavailableError: it is over all the same.
        """
        opened = self._opened
        if opened is None:
            return False
        if opened.is_idle_at(self._clock.monotonic()):
            self.end(Event.IDLED)
        elif self._nodes.is_lost(opened.node, opened.account):
            self.end(Event.CONNECTION_LOST)
            return opened.writes
        return False

    def end(self, event: Event, *, account: Account | None = None) -> None:
        """
        Let go of what is open, if anything is: the server undoes what was not committed.

        Args:
            account: only when it lives on this account's connection; None for any.

        Raises:
            AuditUnavailableError: it is over all the same.
        """
        opened = self._opened
        if opened is None or (account is not None and opened.account is not account):
            return
        self._nodes.drop(opened.node, opened.account)
        self._over(event)

    def _over(self, event: Event) -> None:
        opened, self._opened = self._opened, None
        assert opened is not None
        line, state = told(opened, event), opened.ended(event).state
        if opened.writes or event not in _QUIET:
            self._told.append(line)
        if state in {State.ROLLED_BACK, State.UNKNOWN} and event is not Event.ROLLED_BACK:
            self._undone = line
        self._recorder.append(Noticed(what=f"transaction {state}", detail=line), durable=True)


def _account_of(considered: Considered) -> Account:
    """Return the account whose connection a statement would be sent on."""
    decision = considered.decision
    return Account.ELEVATED if decision.verdict is Verdict.ELEVATE and not decision.observed else Account.READ


def _ending(kind: str) -> Event:
    return Event.ROLLED_BACK if kind == "rollback" else Event.COMMITTED
