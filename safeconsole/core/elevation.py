"""
How a person goes beyond the policy: one table of states, one value that proves it.

A grant exists only in state GRANTED, is bound to one cluster, and for the scope STATEMENT also to
one exact text and one server identity, for one attempt. Every way out of GRANTED is final.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from safeconsole.core.states import followed


class Scope(StrEnum):
    """What a grant covers."""

    STATEMENT = "statement"
    BREAK_GLASS = "break-glass"


class State(StrEnum):
    """Where one request for elevation stands."""

    ASKED = "asked"
    GRANTED = "granted"
    DECLINED = "declined"
    EXPIRED = "expired"
    STOOD_DOWN = "stood-down"
    VOIDED = "voided"


class Event(StrEnum):
    """What can happen to it."""

    RECORDED_YES = "recorded-yes"
    ANSWERED_NO = "answered-no"
    INTERRUPTED = "interrupted"
    USED = "used"
    ATTEMPT_OVER = "attempt-over"
    TIME_PASSED = "time-passed"
    STOOD_DOWN = "stood-down"
    FAILED_OVER = "failed-over"
    RECONNECTED = "reconnected"
    EDITED = "edited"
    POLICY_CHANGED = "policy-changed"
    SESSION_ENDED = "session-ended"


TRANSITIONS: dict[tuple[State, Event], State] = {
    # RECORDED_YES MUST mean that the grant is durable in the journal already.
    (State.ASKED, Event.RECORDED_YES): State.GRANTED,
    (State.ASKED, Event.ANSWERED_NO): State.DECLINED,
    (State.ASKED, Event.INTERRUPTED): State.DECLINED,
    (State.ASKED, Event.TIME_PASSED): State.DECLINED,
    (State.ASKED, Event.SESSION_ENDED): State.DECLINED,
    (State.ASKED, Event.FAILED_OVER): State.DECLINED,
    # A grant of one statement is for one attempt to run it, whether it was sent or not.
    (State.GRANTED, Event.USED): State.EXPIRED,
    (State.GRANTED, Event.ATTEMPT_OVER): State.EXPIRED,
    (State.GRANTED, Event.TIME_PASSED): State.EXPIRED,
    (State.GRANTED, Event.STOOD_DOWN): State.STOOD_DOWN,
    (State.GRANTED, Event.FAILED_OVER): State.VOIDED,
    (State.GRANTED, Event.RECONNECTED): State.VOIDED,
    (State.GRANTED, Event.EDITED): State.VOIDED,
    (State.GRANTED, Event.POLICY_CHANGED): State.VOIDED,
    (State.GRANTED, Event.SESSION_ENDED): State.VOIDED,
}


def next_state(state: State, event: Event) -> State:
    """Return the state after an event. Raises ValueError: the event cannot happen in that state."""
    return followed(TRANSITIONS, state, event, what="an elevation")


def exact_of(text: str) -> str:
    """
    Return the hexadecimal SHA-256 of a statement exactly as written, which a grant of it is bound to.

    It MUST NOT be written down where the text holds something that is hidden there: who has it can try guesses.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a person asks for.

    Attributes:
        cluster: the cluster it is for.
        scope: one statement, or a window.
        reason: why, in the person's words, not blank.
        ticket: reference of the incident or change, or "".
        digest: the statement's digest for scope STATEMENT, else ""; statements that differ in literals share it.
        exact: `exact_of` its text for scope STATEMENT, else "".
        statement: its number in the session for scope STATEMENT, else -1.
        schema: the schema that the session is in for scope STATEMENT, else "".
        server: the identity of the instance for scope STATEMENT, else "".
        window_seconds: how long it holds, > 0.
        evidence: for a window, the nodes as they were measured for the question, one line each.

    Raises:
        ValueError: a blank reason, a window that is not positive, a statement scope bound to nothing.
    """

    cluster: str
    scope: Scope
    reason: str
    ticket: str = ""
    digest: str = ""
    exact: str = ""
    statement: int = -1
    schema: str = ""
    server: str = ""
    window_seconds: float = 900.0
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("an elevation needs a reason")
        if not self.window_seconds > 0:
            raise ValueError(f"an elevation needs a positive window: {self.window_seconds}")
        if self.scope is Scope.STATEMENT and not (self.digest and self.exact and self.server):
            raise ValueError("an elevation of one statement is bound to its text and a server")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """
    An elevation in force.

    Attributes:
        id: its id in the journal.
        request: what was asked.
        granted_seconds: monotonic reading at which it began.
        ends_seconds: monotonic reading after which it holds no more.
        state: GRANTED, or how it ended.
    """

    id: str
    request: Request
    granted_seconds: float
    ends_seconds: float
    state: State = State.GRANTED


def covers(grant: Grant, text: str, server: str, now_seconds: float) -> bool:
    """
    Whether a grant is in force for a statement, exactly as written, on an instance.

    Time that runs backwards ends it: a reading before the grant began proves nothing.
    """
    if grant.state is not State.GRANTED or not grant.granted_seconds <= now_seconds < grant.ends_seconds:
        return False
    if grant.request.scope is Scope.BREAK_GLASS:
        return True
    return grant.request.server == server and grant.request.exact == exact_of(text)
