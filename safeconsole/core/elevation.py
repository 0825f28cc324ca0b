"""
How a person goes beyond the policy: one table of states, one value that proves it.

A grant exists only in state GRANTED, is bound to one cluster, and for the scope STATEMENT also to
one statement digest and one server identity. Every way out of GRANTED is final.
"""

from __future__ import annotations

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
    # A grant of one statement is for one run of it.
    (State.GRANTED, Event.USED): State.EXPIRED,
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


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a person asks for.

    Attributes:
        cluster: the cluster it is for.
        scope: one statement, or a window.
        reason: why, in the person's words, not blank.
        ticket: reference of the incident or change, or "".
        digest: the statement's digest for scope STATEMENT, else "".
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
    server: str = ""
    window_seconds: float = 900.0
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("an elevation needs a reason")
        if not self.window_seconds > 0:
            raise ValueError(f"an elevation needs a positive window: {self.window_seconds}")
        if self.scope is Scope.STATEMENT and not (self.digest and self.server):
            raise ValueError("an elevation of one statement is bound to a digest and a server")


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


def covers(grant: Grant, digest: str, server: str, now_seconds: float) -> bool:
    """
    Whether a grant is in force for a statement on an instance.

    Time that runs backwards ends it: a reading before the grant began proves nothing.
    """
    if grant.state is not State.GRANTED or not grant.granted_seconds <= now_seconds < grant.ends_seconds:
        return False
    if grant.request.scope is Scope.BREAK_GLASS:
        return True
    return grant.request.digest == digest and grant.request.server == server
