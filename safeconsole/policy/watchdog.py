"""When a running statement must be stopped: states, samples, breaches. Pure.

The engine passes readings in and carries out what is returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec

from safeconsole.policy.limits import Limits

StateType = TypeVar("StateType", bound=StrEnum)
EventType = TypeVar("EventType", bound=StrEnum)


def followed(
    table: Mapping[tuple[StateType, EventType], StateType], state: StateType, event: EventType, *, what: str
) -> StateType:
    """Return the state after an event.

    Args:
        what: whose state it is, with its article, for the message.

    Raises:
        ValueError: the event cannot happen in that state.
    """
    try:
        return table[state, event]
    except KeyError:
        raise ValueError(f"{what} that is {state} cannot meet {event}") from None


# The adapter feeds readings in and carries out what comes back.


class WatchState(StrEnum):
    RUNNING = "running"
    KILLING_QUERY = "killing-query"
    KILLING_CONNECTION = "killing-connection"
    OVER = "over"
    MISSED = "missed"


class WatchEvent(StrEnum):
    FINISHED = "finished"
    LIMIT_PASSED = "limit-passed"
    INTERRUPTED = "interrupted"
    GONE = "gone"
    GRACE_PASSED = "grace-passed"
    UNREACHABLE = "unreachable"


TRANSITIONS: dict[tuple[WatchState, WatchEvent], WatchState] = {
    (WatchState.RUNNING, WatchEvent.FINISHED): WatchState.OVER,
    (WatchState.RUNNING, WatchEvent.GONE): WatchState.OVER,
    (WatchState.RUNNING, WatchEvent.LIMIT_PASSED): WatchState.KILLING_QUERY,
    (WatchState.RUNNING, WatchEvent.INTERRUPTED): WatchState.KILLING_QUERY,
    (WatchState.RUNNING, WatchEvent.UNREACHABLE): WatchState.KILLING_QUERY,
    (WatchState.KILLING_QUERY, WatchEvent.FINISHED): WatchState.OVER,
    (WatchState.KILLING_QUERY, WatchEvent.GONE): WatchState.OVER,
    # Asked again: no more grace.
    (WatchState.KILLING_QUERY, WatchEvent.INTERRUPTED): WatchState.KILLING_CONNECTION,
    (WatchState.KILLING_QUERY, WatchEvent.GRACE_PASSED): WatchState.KILLING_CONNECTION,
    (WatchState.KILLING_QUERY, WatchEvent.UNREACHABLE): WatchState.MISSED,
    (WatchState.KILLING_CONNECTION, WatchEvent.FINISHED): WatchState.OVER,
    (WatchState.KILLING_CONNECTION, WatchEvent.GONE): WatchState.OVER,
    (WatchState.KILLING_CONNECTION, WatchEvent.INTERRUPTED): WatchState.KILLING_CONNECTION,
    (WatchState.KILLING_CONNECTION, WatchEvent.GRACE_PASSED): WatchState.MISSED,
    (WatchState.KILLING_CONNECTION, WatchEvent.UNREACHABLE): WatchState.MISSED,
}


def next_state(state: WatchState, event: WatchEvent) -> WatchState:
    """Return the state after an event. Raises ValueError: the event cannot happen in that state."""
    return followed(TRANSITIONS, state, event, what="a watched statement")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One sample of a running statement and its instance.

    Attributes:
        session_memory_bytes: held by the session, or None without a sensor.
        instance_memory_bytes: held by the instance, or None.
        free_memory_bytes: free on the host, or None.
        opened_tables: tables opened on the instance since its start, or None.
        threads_running: running statements on the instance, or None.
        rows: rows that have reached the client so far.
    """

    elapsed_seconds: float
    session_memory_bytes: int | None = None
    instance_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    opened_tables: int | None = None
    threads_running: int | None = None
    rows: int = 0


class SensorName(StrEnum):
    """Readings that a policy may require for a statement; each is a field of `Sample`."""

    SESSION_MEMORY = "session_memory_bytes"
    INSTANCE_MEMORY = "instance_memory_bytes"
    FREE_MEMORY = "free_memory_bytes"
    OPENED_TABLES = "opened_tables"
    THREADS_RUNNING = "threads_running"


MISSING_READINGS = 3
"""Consecutive samples without a required reading after which a statement is stopped."""


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """Why a statement is stopped.

    Attributes:
        ceiling: the ceiling that was passed, by its name in `Limits`, or `SENSOR_CEILING`.
        read: the reading; for an unreadable sensor, the number of consecutive samples without one.
        sensor: the sensor that cannot be read, or "".
    """

    ceiling: str
    read: float
    allowed: float
    sensor: str = ""


SENSOR_CEILING = "sensors"
"""Replaces a ceiling's name for a required sensor that cannot be read."""


def unseen(needed: Iterable[SensorName], sample: Sample) -> tuple[SensorName, ...]:
    return tuple(name for name in needed if getattr(sample, name) is None)


def counted_misses(
    misses: Mapping[SensorName, int], needed: Iterable[SensorName], sample: Sample
) -> dict[SensorName, int]:
    """Return how many consecutive samples each required sensor was unreadable."""
    return {name: misses.get(name, 0) + 1 for name in unseen(needed, sample)}


def breach_of_misses(misses: Mapping[SensorName, int]) -> Breach | None:
    """Return the sensor that was unreadable for too long, or None."""
    for name, looks in misses.items():
        if looks >= MISSING_READINGS:
            return Breach(ceiling=SENSOR_CEILING, read=looks, allowed=MISSING_READINGS - 1, sensor=name)
    return None


def breach_words(breach: Breach, *, floors: Iterable[str]) -> str:
    """Describe which ceiling or floor was passed, or which sensor could not be read."""
    if breach.sensor:
        return f"{breach.sensor} cannot be read, {breach.read:g} times running, and the policy needs it"
    if breach.ceiling == "run_seconds":
        return f"time limit of {figure(breach.allowed)} s reached"
    side = "under" if breach.ceiling in floors else "over"
    return f"{breach.ceiling} {figure(breach.read)} {side} {figure(breach.allowed)}"


def figure(value: float) -> str:
    """Return a reading for people: whole, with separators where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def breach_of(limits: Limits, first: Sample, now: Sample) -> Breach | None:
    """Return the first ceiling that the latest sample passes, or None.

    Args:
        first: the sample taken before the send; growth is counted from it.
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
