"""A session's open transaction: its states, its statements, and the report of its end."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from safeconsole.audit.record import Noticed
from safeconsole.clock import Clock
from safeconsole.cluster.engine import Completion, Connection
from safeconsole.cluster.routing import Choice
from safeconsole.errors import (
    DeniedError,
    NotSentError,
    OutcomeUnknownError,
    SafeConsoleError,
    ServerError,
    UnreachableError,
)
from safeconsole.policy.decision import Assessment, Decision, Permit
from safeconsole.policy.policy import TransactionSettings
from safeconsole.policy.readings import route_of
from safeconsole.policy.watchdog import followed
from safeconsole.sqltext.statement import ENDS, NEEDS_ONE, Statement, begins, begins_anew, begins_writing
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Route, Verdict

_COMMITS_FIRST = frozenset({Effect.DDL, Effect.ADMIN, Effect.UNKNOWN})
_LOCKS_WHOLE_TABLES = frozenset({"lock table", "lock tables", "unlock table", "unlock tables", "xa"})


class TransactionState(StrEnum):
    """The state of a transaction; the last four are final."""

    NONE = "none"
    READING = "reading"
    WRITING = "writing"
    OVER = "over"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    UNKNOWN = "unknown"


class TransactionEvent(StrEnum):
    """What changes the state of a transaction."""

    BEGAN_READING = "began-reading"
    BEGAN_WRITING = "began-writing"
    WENT_ON = "went-on"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    COMMIT_LOST = "commit-lost"
    VANISHED = "vanished"
    SERVER_ENDED = "server-ended"
    STOPPED = "stopped"
    IDLED = "idled"
    CONNECTION_LOST = "connection-lost"
    ELEVATION_ENDED = "elevation-ended"
    FAILED_OVER = "failed-over"
    LEFT = "left"


UNDOING: dict[TransactionEvent, str] = {
    TransactionEvent.ROLLED_BACK: "by you",
    TransactionEvent.SERVER_ENDED: "the server ended it, as after a deadlock",
    TransactionEvent.STOPPED: "a statement of it was stopped",
    TransactionEvent.IDLED: "it was idle for too long",
    TransactionEvent.CONNECTION_LOST: "its connection was lost and COMMIT was never sent, so the server undoes it",
    TransactionEvent.ELEVATION_ENDED: "the elevation ended",
    TransactionEvent.FAILED_OVER: "the cluster changed",
    TransactionEvent.LEFT: "the session ended",
}
"""The events that undo a transaction of changes, and their reasons in words."""

TRANSITIONS: dict[tuple[TransactionState, TransactionEvent], TransactionState] = {
    (TransactionState.NONE, TransactionEvent.BEGAN_READING): TransactionState.READING,
    (TransactionState.NONE, TransactionEvent.BEGAN_WRITING): TransactionState.WRITING,
    (TransactionState.READING, TransactionEvent.WENT_ON): TransactionState.READING,
    (TransactionState.READING, TransactionEvent.COMMITTED): TransactionState.OVER,
    (TransactionState.READING, TransactionEvent.COMMIT_LOST): TransactionState.OVER,
    (TransactionState.READING, TransactionEvent.VANISHED): TransactionState.OVER,
    **{(TransactionState.READING, event): TransactionState.OVER for event in UNDOING},
    (TransactionState.WRITING, TransactionEvent.WENT_ON): TransactionState.WRITING,
    (TransactionState.WRITING, TransactionEvent.COMMITTED): TransactionState.COMMITTED,
    # Only a COMMIT that was sent, or an end that nobody asked for, leaves a doubt.
    (TransactionState.WRITING, TransactionEvent.COMMIT_LOST): TransactionState.UNKNOWN,
    (TransactionState.WRITING, TransactionEvent.VANISHED): TransactionState.UNKNOWN,
    **{(TransactionState.WRITING, event): TransactionState.ROLLED_BACK for event in UNDOING},
}


def next_state(state: TransactionState, event: TransactionEvent) -> TransactionState:
    """Return the state after an event. Raises ValueError: the event cannot happen in that state."""
    return followed(TRANSITIONS, state, event, what="a transaction")


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that the person opened.

    Attributes:
        node, account: the connection that it lives on.
        state: READING or WRITING, or how it ended.
        began_seconds: monotonic reading at its begin.
        last_seconds: monotonic reading at which its last statement ended.
        idle_seconds: how long it may stand idle, > 0.
        statements: statements that ran in it so far.
        changed_rows: rows that they changed, as the server counted; a ROLLBACK TO does not lower it.
    """

    node: NodeName
    account: Account
    state: TransactionState
    began_seconds: float
    last_seconds: float
    idle_seconds: float
    statements: int = 0
    changed_rows: int = 0

    @property
    def writes(self) -> bool:
        return self.account is Account.ELEVATED

    @property
    def place(self) -> str:
        return place_of(self.node, self.account)

    def is_idle_at(self, now_seconds: float) -> bool:
        return now_seconds - self.last_seconds > self.idle_seconds

    def went_on(self, now_seconds: float, *, changed_rows: int = 0) -> Transaction:
        return replace(
            self,
            state=next_state(self.state, TransactionEvent.WENT_ON),
            last_seconds=now_seconds,
            statements=self.statements + 1,
            changed_rows=self.changed_rows + changed_rows,
        )

    def ended(self, event: TransactionEvent) -> Transaction:
        """Return the transaction as it ended. Raises ValueError: the event ends nothing."""
        return replace(self, state=next_state(self.state, event))


def begun(node: NodeName, account: Account, settings: TransactionSettings, *, now_seconds: float) -> Transaction:
    """Return a new transaction: for changes as the elevated account, else for reads."""
    writes = account is Account.ELEVATED
    return Transaction(
        node=node,
        account=account,
        state=next_state(
            TransactionState.NONE, TransactionEvent.BEGAN_WRITING if writes else TransactionEvent.BEGAN_READING
        ),
        began_seconds=now_seconds,
        last_seconds=now_seconds,
        idle_seconds=settings.write_idle_seconds if writes else settings.read_idle_seconds,
    )


def place_of(node: NodeName, account: Account) -> str:
    """Return the name of a connection's node, and its account if that is the elevated one."""
    return node if account is Account.READ else f"{node} ({account})"


def told(transaction: Transaction, event: TransactionEvent) -> str:
    what = f"{_counted(transaction.statements, 'statement')}, {_counted(transaction.changed_rows, 'row')} changed"
    match transaction.ended(event).state:
        case TransactionState.COMMITTED:
            return f"the transaction on {transaction.place} is committed: {what}"
        case TransactionState.ROLLED_BACK:
            return f"the transaction on {transaction.place} was rolled back: {UNDOING[event]}; {what}, all undone"
        case TransactionState.UNKNOWN:
            return (
                f"whether the transaction on {transaction.place} was committed is not known: {what}; look at the data "
                "before doing any of it again"
            )
        case _:
            return f"the transaction of reads on {transaction.place} is over: {UNDOING.get(event, event)}"


def objection(statement: Statement, *, opened: Transaction | None, goes_to: str, one_grant: bool) -> str:
    """Return why a statement cannot run inside the open transaction, or "".

    Args:
        goes_to: where it would be sent, in the words of `place_of`.
        one_grant: whether elevations are asked for one statement at a time.
    """
    kind = statement.kind
    if opened is not None:
        return _objection_inside(statement, opened, goes_to)
    if one_grant and begins_writing(statement):
        return "an elevation for one statement does not cover a transaction: each would be committed when it is over"
    if kind in NEEDS_ONE:
        return f"no transaction is open, so {kind} would undo nothing: each statement was committed when it was over"
    return ""


def _objection_inside(statement: Statement, opened: Transaction, goes_to: str) -> str:
    kind = statement.kind
    if opened.place != goes_to:
        return f"a transaction is open on {opened.place}, and this would run outside it, on {goes_to}"
    if begins(statement):
        return f"a transaction is open on {opened.place} already, and {kind} would commit it"
    if statement.effects & _COMMITS_FIRST or kind in _LOCKS_WHOLE_TABLES:
        return f"a transaction is open on {opened.place}, and servers commit what is open before they run {kind}"
    return ""


def way_out(statement: Statement, *, opened: Transaction | None) -> str:
    if opened is not None:
        return "end the transaction first, with COMMIT or ROLLBACK"
    if begins(statement):
        return "open a break-glass window, or leave BEGIN and COMMIT out; START TRANSACTION READ ONLY reads"
    return "undo a change with a statement that changes it back"


def route_within(statement: Statement, route: Route, *, opened: Transaction | None, window: bool) -> Route:
    """Return the route of a statement for which the person names no node: its transaction's.

    Args:
        route: where it would go by itself.
        window: whether a break-glass window is in force: then BEGIN is meant for changes.
    """
    if opened is not None:
        return Route.PRIMARY if opened.writes else route
    return Route.PRIMARY if window and begins_writing(statement) else route


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


RULE = "write-transaction"
"""The rule that sends what belongs to a transaction of changes where it is open."""

_QUIET = frozenset({TransactionEvent.COMMITTED, TransactionEvent.ROLLED_BACK, TransactionEvent.LEFT})
_ABOUT_ONE = frozenset({"commit", "end", "savepoint", "release", "release savepoint"})


class Transactions:
    """At most one transaction at a time, for one session.

    It lives on one connection: one of reads on a replica, one of changes on the primary, as the elevated account.
    Nothing else may look as if it were part of it, and nothing in it may commit it unasked. Whatever ends it other than
    the person's own COMMIT undoes it: its connection is let go of, and the server rolls back.

    Attributes:
        opened: what is open, or None.
    """

    def __init__(self, settings: TransactionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.opened: Transaction | None = None
        self._told: list[str] = []
        self._undone = ""

    @property
    def open_seconds(self) -> float:
        """Its age, 0 when nothing is open."""
        return self._clock.monotonic() - self.opened.began_seconds if self.opened is not None else 0.0

    def take_told(self) -> tuple[str, ...]:
        lines, self._told[:] = tuple(self._told), []
        return lines

    @property
    def told(self) -> tuple[str, ...]:
        return tuple(self._told)

    # Before the send.

    def narrowed(self, statement: Statement, to: str) -> str:
        """Return the person's route for a statement; the end of a transaction goes where that is open."""
        return "" if self.opened is not None and self.opened.writes and statement.kind in ENDS else to

    def route_of(self, statement: Statement, *, to: str, window: bool) -> Route:
        """Return the kind of node for a statement; see `policy.readings.route_of`.

        Args:
            window: whether a break-glass window is held.
        """
        route = route_of(statement, to=to)
        return route if to else route_within(statement, route, opened=self.opened, window=window)

    def decided(self, decision: Decision, statement: Statement, choice: Choice, *, window: bool) -> Decision:
        """Return a decision with the elevated account if the statement belongs to a transaction of changes."""
        opened = self.opened
        if opened is not None:
            belongs = opened.writes and choice.reading is not None and opened.node == choice.reading.node
            belongs = belongs and not statement.diagnosis
        else:
            belongs = choice.route is Route.PRIMARY and window and begins_writing(statement)
        if not belongs or decision.verdict >= Verdict.ELEVATE:
            return decision
        why = "it belongs to a transaction of changes"
        return replace(decision, verdict=Verdict.ELEVATE, rules=(*decision.rules, RULE), message=why)

    def refusal_of(
        self, considered: Assessment, *, one_grant: bool
    ) -> tuple[DeniedError, TransactionEvent | None] | None:
        """Return the refusal of a statement that cannot run inside the open transaction, or None.

        Args:
            one_grant: elevations are for one statement at a time, and end with it.

        Returns:
            The refusal, and what ends the open transaction with it, if anything does.
        """
        statement, opened = considered.statement, self.opened
        if considered.account is Account.DIAGNOSE and considered.decision.verdict < Verdict.ELEVATE:
            return None
        if considered.node is None and self._undone and statement.kind == "rollback":
            # What they ask for has happened already, and no server is needed to say so.
            undone, self._undone = self._undone, ""
            return DeniedError(f"there is nothing left to roll back: {undone}", evidence=considered.evidence), None
        if considered.node is None or considered.decision.verdict is Verdict.DENY:
            return None
        unknown = self._refusal_after_undoing(considered)
        if unknown is not None:
            return unknown, None
        goes_to = place_of(considered.node, _account_of(considered))
        why = objection(statement, opened=opened, goes_to=goes_to, one_grant=one_grant)
        if not why or (self._undone and statement.kind == "rollback"):
            return None
        event = None
        if opened is not None and statement.kind in ENDS:
            # It cannot be ended where it is open: that is left, and told by itself.
            event = TransactionEvent.FAILED_OVER if opened.writes else TransactionEvent.ROLLED_BACK
            why = f"the transaction on {opened.place} is over: its connection was closed, and all of it is undone"
            opened = None
        return DeniedError(why, evidence=considered.evidence, instead=way_out(statement, opened=opened)), event

    def _refusal_after_undoing(self, considered: Assessment) -> DeniedError | None:
        """Return the refusal of a change or COMMIT after a rolled back transaction, until ROLLBACK or BEGIN.

        They may think that it is open still: what they type next would be committed by itself.
        """
        statement = considered.statement
        if not self._undone or (statement.changes_nothing and statement.kind not in _ABOUT_ONE):
            return None
        return DeniedError(
            f"nothing was sent: {self._undone}",
            evidence=considered.evidence,
            instead="type ROLLBACK to acknowledge it, then begin again",
        )

    def is_within(self, considered: Assessment) -> bool:
        opened = self.opened
        return opened is not None and (opened.node, opened.account) == (considered.node, _account_of(considered))

    def idle_seconds(self, considered: Assessment) -> float:
        """Return the idle limit of the transaction that a statement opens, 0 if it opens none."""
        if not begins(considered.statement):
            return 0.0
        writes = _account_of(considered) is Account.ELEVATED
        return self._settings.write_idle_seconds if writes else self._settings.read_idle_seconds

    # After it.

    def went_on(self, permit: Permit, completion: Completion) -> Noticed | None:
        """Update the transaction after a successful statement; return the record of one that ended by it."""
        opened, now = self.opened, self._clock.monotonic()
        if permit.statement.kind == "rollback":
            self._undone = ""
        if opened is not None and (opened.node, opened.account) != (permit.node, permit.account):
            return None
        kind, over = permit.statement.kind, None
        if opened is not None and (not completion.in_transaction or begins_anew(permit.statement)):
            over = self.end(TransactionEvent.VANISHED if kind not in ENDS else _ending(kind))
            opened = None
        if not completion.in_transaction:
            return over
        self._undone = ""
        if opened is None:
            self.opened = begun(permit.node, permit.account, self._settings, now_seconds=now)
        else:
            self.opened = opened.went_on(now, changed_rows=completion.changed_rows)
        return over

    def failed(self, permit: Permit, connection: Connection, failure: SafeConsoleError) -> TransactionEvent | None:
        """Return the event that ends the open transaction after a failed statement, None if it continues."""
        opened = self.opened
        if opened is None or (opened.node, opened.account) != (permit.node, permit.account):
            return None
        if isinstance(failure, ServerError) and not connection.broken:
            if not connection.in_transaction:
                return TransactionEvent.SERVER_ENDED
            self.opened = opened.went_on(self._clock.monotonic())
            return None
        if isinstance(failure, NotSentError):
            unreachable = isinstance(failure, UnreachableError)
            return TransactionEvent.CONNECTION_LOST if unreachable else TransactionEvent.FAILED_OVER
        if permit.commits:
            return TransactionEvent.COMMIT_LOST
        unknown = isinstance(failure, OutcomeUnknownError)
        return TransactionEvent.CONNECTION_LOST if unknown else TransactionEvent.STOPPED

    @property
    def has_idled(self) -> bool:
        return self.opened is not None and self.opened.is_idle_at(self._clock.monotonic())

    def end(self, event: TransactionEvent) -> Noticed | None:
        """End the open transaction and return its record; the caller closes its connection first."""
        opened, self.opened = self.opened, None
        if opened is None:
            return None
        line, state = told(opened, event), opened.ended(event).state
        if opened.writes or event not in _QUIET:
            self._told.append(line)
        if (
            state in {TransactionState.ROLLED_BACK, TransactionState.UNKNOWN}
            and event is not TransactionEvent.ROLLED_BACK
        ):
            self._undone = line
        return Noticed(what=f"transaction {state}", detail=line)


def _account_of(considered: Assessment) -> Account:
    decision = considered.decision
    elevates = decision.verdict is Verdict.ELEVATE and not decision.observed
    return Account.ELEVATED if elevates else considered.account


def _ending(kind: str) -> TransactionEvent:
    return TransactionEvent.ROLLED_BACK if kind == "rollback" else TransactionEvent.COMMITTED
