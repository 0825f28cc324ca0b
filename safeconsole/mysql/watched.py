"""A statement under watch, and the alarm that wakes its watchdog's thread in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from safeconsole.policy.limits import Limits
from safeconsole.policy.watchdog import Breach, Sample, SensorName, WatchState

_AWAKE = float("-inf")

SAMPLE_SECONDS = 0.2
"""Time between two looks at a running statement."""


class Alarm:
    """Wakes one sleeping thread; a call that is not needed costs two thread switches."""

    def __init__(self) -> None:
        self._called = threading.Event()
        self._wakes_seconds = _AWAKE

    def sleep_until(self, moment_seconds: float, *, unless: Callable[[], bool]) -> None:
        """Sleep until a monotonic time or the next ring; may return sooner.

        Args:
            unless: there is work already; asked once it shows when this thread wakes, so that who brings work and then
                looks at that cannot be missed by both.
        """
        self._wakes_seconds = moment_seconds
        if not unless():
            self._called.wait(max(moment_seconds - time.monotonic(), 0.001))
        self._wakes_seconds = _AWAKE
        self._called.clear()

    def ring(self) -> None:
        self._called.set()

    def ring_before(self, moment_seconds: float) -> None:
        """Wake the thread if it would sleep past a time; the work MUST have been added before."""
        if self._wakes_seconds > moment_seconds:
            self._called.set()


class Watched(msgspec.Struct, kw_only=True, eq=False):
    """One statement under watch, shared by the person's thread and the watchdog's.

    Attributes:
        sent_seconds: monotonic reading at the send.
        first: the sample that growth is counted from.
        needed: the sensors that must be readable.
        report: called with each sample, or None.
        misses: how many looks in a row each of those told nothing.
        rows: rows that reached the client; written by the person's thread.
        breach: the ceiling behind the kill, or None.
        verified: what the process list said in the end, "" while nobody had to look.
        blind: whether the watchdog could not look any more, and ended it for that.
        pursued: whether a thread is ending it now.
        reporting: whether a report has not returned yet.
        look_seconds: seconds after the send of the next look.
        waits: the lock that it waited for when it was ended, in the server's words, or "".
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
    pursued: bool = False
    reporting: bool = False
    state: WatchState = WatchState.RUNNING
    misses: dict[SensorName, int] = msgspec.field(default_factory=dict)
    resume_seconds: float = 0.0
    look_seconds: float = SAMPLE_SECONDS
    over: threading.Event = msgspec.field(default_factory=threading.Event)
    waits: str = ""

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the send."""
        return time.monotonic() - self.sent_seconds

    @property
    def deadline_seconds(self) -> float:
        """Monotonic time of its deadline, or of the next attempt after a kill found nothing running."""
        return self.sent_seconds + max(self.limits.run_seconds, self.resume_seconds)

    @property
    def is_live(self) -> bool:
        return not (self.finished or self.over.is_set())
