"""Ceilings for one statement: how they combine, and which of them the server itself enforces. Pure."""

from __future__ import annotations

import msgspec
from msgspec.structs import fields, replace

from safeconsole.sqltext.vocabulary import SMALLEST


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Ceilings for one statement.

    Attributes:
        run_seconds: wall time from send to the last row, >= 0.001.
        lock_wait_seconds: time to wait for a lock on the server, >= 1.
        shown_rows: rows after which an interactive face stops showing, >= 0.
        fetched_rows: rows that may reach the client, >= 0.
        fetched_bytes: bytes of values that may reach the client, >= 0.
        changed_rows: rows the server may report as changed, >= 0.
        session_memory_bytes: memory the session may hold on the server, > 0.
        grown_memory_bytes: growth of the instance's memory since the send, > 0.
        free_memory_bytes: floor of the node's free memory, >= 0; 0 checks nothing.
        opened_tables: tables that may be opened on the instance since the send, > 0.

    Raises:
        ValueError: a ceiling is outside its range.

    Source: docs/limits.md, "Defaults".
    """

    run_seconds: float = 30.0
    lock_wait_seconds: float = 2.0
    shown_rows: int = 1_000
    fetched_rows: int = 10_000
    fetched_bytes: int = 64 * 1024 * 1024
    changed_rows: int = 100_000
    session_memory_bytes: int = 256 * 1024 * 1024
    grown_memory_bytes: int = 512 * 1024 * 1024
    free_memory_bytes: int = 0
    opened_tables: int = 5_000

    def __post_init__(self) -> None:
        for name, smallest in SMALLEST.items():
            value = getattr(self, name)
            # `not >=` rather than `<`: a NaN must be refused too.
            if not value >= smallest:
                raise ValueError(f"limits out of range: {name} is at least {smallest:g}, not {value:g}")


LIMIT_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Limits))
"""Every ceiling that a policy, a flag or a console command may name."""

FLOORS = frozenset({"free_memory_bytes"})
"""Ceilings that are floors: the larger one is tighter."""


def tighten(limits: Limits, tighter: dict[str, float]) -> Limits:
    """Return the limits with each named ceiling lowered where the other is lower.

    Raises ValueError: an unknown name, or a value outside its range.
    """
    unknown = set(tighter) - set(LIMIT_NAMES)
    if unknown:
        raise ValueError(f"unknown limit: {', '.join(sorted(unknown))}")
    changes = {}
    for name, value in tighter.items():
        current = getattr(limits, name)
        chosen = max(current, value) if name in FLOORS else min(current, value)
        changes[name] = type(current)(chosen)
    return replace(limits, **changes)
