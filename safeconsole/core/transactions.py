"""
A transaction over several statements: what belongs to it, how it goes on, and how it ends.

It lives on one connection: one of reads on a replica, one of changes on the primary, as the elevated
account. Nothing else may look as if it were part of it, nothing in it may commit it unasked, and whatever
ends it other than the person's own COMMIT undoes it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from safeconsole.core.statement import Statement
from safeconsole.core.states import followed
from safeconsole.core.vocabulary import Account, Effect, NodeName, Route

BEGINS = frozenset({"begin", "begin work", "start transaction"})
ENDS = frozenset({"commit", "end", "rollback"})
NEEDS_ONE = frozenset({"rollback", "savepoint", "release savepoint", "release"})
"""Kinds that promise something about an open transaction; COMMIT without one promises nothing that is not so."""

LONGEST_IDLE_SECONDS = 300.0
"""What the servers' own guard holds an idle transaction to, docs/limits.md."""

_COMMITS_FIRST = frozenset({Effect.DDL, Effect.ADMIN, Effect.UNKNOWN})
_LOCKS_WHOLE_TABLES = frozenset({"lock table", "lock tables", "unlock table", "unlock tables", "xa"})


class TransactionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    How long a transaction may stand idle before it is rolled back.

    Attributes:
        read_idle_seconds: one of reads, over 0 and at most 300.
        write_idle_seconds: one of changes, which holds locks, over 0 and at most 300.
    """

    read_idle_seconds: float = 300.0
    write_idle_seconds: float = 60.0


class State(StrEnum):
    """Where a transaction stands; the last four are final."""

    NONE = "none"
    READING = "reading"
    WRITING = "writing"
    OVER = "over"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    UNKNOWN = "unknown"


class Event(StrEnum):
    """What can happen to it."""

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


UNDOING: dict[Event, str] = {
    Event.ROLLED_BACK: "at your word",
    Event.SERVER_ENDED: "the server ended it, as after a deadlock",
    Event.STOPPED: "a statement of it was stopped",
    Event.IDLED: "it stood idle past its limit",
    Event.CONNECTION_LOST: "its connection was lost and COMMIT was never sent, so the server undoes it",
    Event.ELEVATION_ENDED: "the elevation ended",
    Event.FAILED_OVER: "the cluster is not what it was",
    Event.LEFT: "the session ended",
}
"""What undoes a transaction of changes, and why in words."""

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.NONE, Event.BEGAN_READING): State.READING,
    (State.NONE, Event.BEGAN_WRITING): State.WRITING,
    (State.READING, Event.WENT_ON): State.READING,
    (State.READING, Event.COMMITTED): State.OVER,
    (State.READING, Event.COMMIT_LOST): State.OVER,
    (State.READING, Event.VANISHED): State.OVER,
    **{(State.READING, event): State.OVER for event in UNDOING},
    (State.WRITING, Event.WENT_ON): State.WRITING,
    (State.WRITING, Event.COMMITTED): State.COMMITTED,
    # Only a COMMIT that was sent, or an end that nobody asked for, leaves a doubt.
    (State.WRITING, Event.COMMIT_LOST): State.UNKNOWN,
    (State.WRITING, Event.VANISHED): State.UNKNOWN,
    **{(State.WRITING, event): State.ROLLED_BACK for event in UNDOING},
}


def next_state(state: State, event: Event) -> State:
    """Return the state after an event. Raises ValueError: the event cannot happen in that state."""
    return followed(TRANSITIONS, state, event, what="a transaction")


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """
    One transaction of the person's.

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
    state: State
    began_seconds: float
    last_seconds: float
    idle_seconds: float
    statements: int = 0
    changed_rows: int = 0

    @property
    def writes(self) -> bool:
        """Whether changes may run in it."""
        return self.account is Account.ELEVATED

    @property
    def place(self) -> str:
        """Where it is open, in the words of `place_of`."""
        return place_of(self.node, self.account)

    def is_idle_at(self, now_seconds: float) -> bool:
        """Whether it stood idle past its limit."""
        return now_seconds - self.last_seconds > self.idle_seconds

    def went_on(self, now_seconds: float, *, changed_rows: int = 0) -> Transaction:
        """Return it with one more statement."""
        return replace(
            self,
            state=next_state(self.state, Event.WENT_ON),
            last_seconds=now_seconds,
            statements=self.statements + 1,
            changed_rows=self.changed_rows + changed_rows,
        )

    def ended(self, event: Event) -> Transaction:
        """Return it as it ended. Raises ValueError for an event that ends nothing."""
        return replace(self, state=next_state(self.state, event))


def begun(node: NodeName, account: Account, settings: TransactionSettings, *, now_seconds: float) -> Transaction:
    """Return a transaction that begins now: of changes as the elevated account, else of reads."""
    writes = account is Account.ELEVATED
    return Transaction(
        node=node,
        account=account,
        state=next_state(State.NONE, Event.BEGAN_WRITING if writes else Event.BEGAN_READING),
        began_seconds=now_seconds,
        last_seconds=now_seconds,
        idle_seconds=settings.write_idle_seconds if writes else settings.read_idle_seconds,
    )


def place_of(node: NodeName, account: Account) -> str:
    """Say where a connection leads; the reading account is the one that people know of."""
    return node if account is Account.READ else f"{node} ({account})"


def told(transaction: Transaction, event: Event) -> str:
    """Return what the person is told of a transaction that ended, one line."""
    what = f"{_counted(transaction.statements, 'statement')}, {_counted(transaction.changed_rows, 'row')} changed"
    match transaction.ended(event).state:
        case State.COMMITTED:
            return f"the transaction on {transaction.place} is committed: {what}"
        case State.ROLLED_BACK:
            return f"the transaction on {transaction.place} was rolled back: {UNDOING[event]}; {what}, none of it stays"
        case State.UNKNOWN:
            return (
                f"whether the transaction on {transaction.place} was committed is not known: {what}; look at the data "
                "before doing any of it again"
            )
        case _:
            return f"the transaction of reads on {transaction.place} is over: {UNDOING.get(event, event)}"


def begins(statement: Statement) -> bool:
    """Whether a statement opens a transaction."""
    return statement.kind in BEGINS


def begins_writing(statement: Statement) -> bool:
    """Whether a statement opens a transaction that is not said to be of reads alone."""
    return begins(statement) and "READ ONLY" not in " ".join(statement.normalised.upper().split())


def begins_anew(statement: Statement) -> bool:
    """Whether a statement ends a transaction and opens the next (AND CHAIN)."""
    words = statement.normalised.upper().split()
    return statement.kind in ENDS and "CHAIN" in words and "NO" not in words


def objection(statement: Statement, *, opened: Transaction | None, goes_to: str, one_grant: bool) -> str:
    """
    Return why a statement would not do what its transaction promises, or "".

    Args:
        statement: the one in question.
        opened: what is open.
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
    """Return what to do instead, for a statement that `objection` objects to."""
    if opened is not None:
        return "end the transaction first, with COMMIT or ROLLBACK"
    if begins(statement):
        return "open a break-glass window (\\elevate), or leave BEGIN and COMMIT out; START TRANSACTION READ ONLY reads"
    return "undo a change with a statement that changes it back"


def route_within(statement: Statement, route: Route, *, opened: Transaction | None, window: bool) -> Route:
    """
    Return where a statement goes when the person names no node: with its transaction.

    Args:
        route: where it would go by itself.
        opened: what is open.
        window: whether a break-glass window is in force: then BEGIN is meant for changes.
    """
    if opened is not None:
        return Route.PRIMARY if opened.writes else route
    return Route.PRIMARY if window and begins_writing(statement) else route


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
