"""
When a running statement is stopped, as a table; no thread, no clock, no connection here.

The adapter feeds readings in and carries out what comes back.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from safeconsole.core.limits import Limits


class State(StrEnum):
    """Where one watched statement stands."""

    RUNNING = "running"
    KILLING_QUERY = "killing-query"
    KILLING_CONNECTION = "killing-connection"
    OVER = "over"
    MISSED = "missed"


class Event(StrEnum):
    """What can be seen of it."""

    FINISHED = "finished"
    LIMIT_PASSED = "limit-passed"
    INTERRUPTED = "interrupted"
    GONE = "gone"
    GRACE_PASSED = "grace-passed"
    UNREACHABLE = "unreachable"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.RUNNING, Event.FINISHED): State.OVER,
    (State.RUNNING, Event.GONE): State.OVER,
    (State.RUNNING, Event.LIMIT_PASSED): State.KILLING_QUERY,
    (State.RUNNING, Event.INTERRUPTED): State.KILLING_QUERY,
    (State.RUNNING, Event.UNREACHABLE): State.KILLING_QUERY,
    (State.KILLING_QUERY, Event.FINISHED): State.OVER,
    (State.KILLING_QUERY, Event.GONE): State.OVER,
    # Asked again: no more grace.
    (State.KILLING_QUERY, Event.INTERRUPTED): State.KILLING_CONNECTION,
    (State.KILLING_QUERY, Event.GRACE_PASSED): State.KILLING_CONNECTION,
    (State.KILLING_QUERY, Event.UNREACHABLE): State.MISSED,
    (State.KILLING_CONNECTION, Event.FINISHED): State.OVER,
    (State.KILLING_CONNECTION, Event.GONE): State.OVER,
    (State.KILLING_CONNECTION, Event.INTERRUPTED): State.KILLING_CONNECTION,
    (State.KILLING_CONNECTION, Event.GRACE_PASSED): State.MISSED,
    (State.KILLING_CONNECTION, Event.UNREACHABLE): State.MISSED,
}


def next_state(state: State, event: Event) -> State:
    """
    Return the state after an event.

    Raises:
        ValueError: the event cannot happen in that state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"a watched statement that is {state} cannot meet {event}") from None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """
    One look at a running statement and the instance it runs on.

    Attributes:
        elapsed_seconds: since the send.
        session_memory_bytes: held by the session, or None where no sensor tells.
        instance_memory_bytes: held by the instance, or None.
        free_memory_bytes: free on the host, or None.
        opened_tables: tables opened on the instance since its start, or None.
        threads_running: statements at work on the instance, or None.
        rows: rows that have reached the client so far.
    """

    elapsed_seconds: float
    session_memory_bytes: int | None = None
    instance_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    opened_tables: int | None = None
    threads_running: int | None = None
    rows: int = 0


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A ceiling that was passed: its name in `Limits`, what was read, and what was allowed."""

    ceiling: str
    read: float
    allowed: float


def breach_of(limits: Limits, first: Sample, now: Sample) -> Breach | None:
    """
    Return the first ceiling that the latest sample passes, or None.

    Args:
        limits: ceilings in force.
        first: the sample taken before the send; growth is counted from it.
        now: the latest sample.
    """
    grown = _growth(first.instance_memory_bytes, now.instance_memory_bytes)
    opened = _growth(first.opened_tables, now.opened_tables)
    readings: tuple[tuple[str, float | None, float], ...] = (
        ("run_seconds", now.elapsed_seconds, limits.run_seconds),
        ("session_memory_bytes", now.session_memory_bytes, limits.session_memory_bytes),
        ("grown_memory_bytes", grown, limits.grown_memory_bytes),
        ("opened_tables", opened, limits.opened_tables),
    )
    for ceiling, read, allowed in readings:
        if read is not None and read > allowed:
            return Breach(ceiling=ceiling, read=read, allowed=allowed)
    free = now.free_memory_bytes
    if limits.free_memory_bytes and free is not None and free < limits.free_memory_bytes:
        return Breach(ceiling="free_memory_bytes", read=free, allowed=limits.free_memory_bytes)
    return None


def _growth(first: int | None, now: int | None) -> int | None:
    return None if first is None or now is None else now - first
