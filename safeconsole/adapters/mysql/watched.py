"""What the person's thread and the watchdog's know together of one statement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from safeconsole.adapters.mysql.sensors import Numbers
from safeconsole.core.limits import Limits
from safeconsole.core.watchdog import Breach, Sample, SensorName, State


class Watched(msgspec.Struct, kw_only=True):
    """
    One statement under watch, shared by the person's thread and the watchdog's.

    Attributes:
        limits: ceilings in force.
        sent_seconds: monotonic reading at the send.
        first: the sample that growth is counted from.
        needed: the sensors that must be readable.
        report: called with each sample, or None.
        misses: how many looks in a row each of those told nothing.
        rows: rows that reached the client; written by the person's thread.
        breach: the ceiling behind the kill, or None.
        verified: what the process list said in the end, "" while nobody had to look.
        killed: whether a kill was sent for it.
        blind: whether the watchdog could not look any more, and ended it for that.
        peak_memory_bytes: highest session memory sampled.
    """

    limits: Limits
    sent_seconds: float
    first: Sample
    needed: tuple[SensorName, ...] = ()
    report: Callable[[Sample], None] | None = None
    rows: int = 0
    breach: Breach | None = None
    verified: str = ""
    killed: bool = False
    blind: bool = False
    peak_memory_bytes: int = 0
    finished: bool = False
    interrupted: bool = False
    insisted: bool = False
    ending: bool = False
    state: State = State.RUNNING
    misses: dict[SensorName, int] = msgspec.field(default_factory=dict)
    resume_seconds: float = 0.0
    over: threading.Event = msgspec.field(default_factory=threading.Event)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the send."""
        return time.monotonic() - self.sent_seconds


def sample_of(numbers: Numbers, *, elapsed: float, rows: int) -> Sample:
    """Return a look at the server as a sample of a statement, `elapsed` seconds after its send."""
    return Sample(
        elapsed_seconds=elapsed,
        session_memory_bytes=numbers.session_memory_bytes,
        instance_memory_bytes=numbers.instance_memory_bytes,
        free_memory_bytes=numbers.free_memory_bytes,
        opened_tables=numbers.opened_tables,
        threads_running=numbers.threads_running,
        rows=rows,
    )
