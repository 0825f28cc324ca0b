"""A thread's sleep that others end only when they must: a call that nobody needs costs two changes of thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_AWAKE = float("-inf")


class Alarm:
    """The sleep of one thread; the others ring."""

    def __init__(self) -> None:
        self._called = threading.Event()
        self._wakes_seconds = _AWAKE

    def sleep_until(self, moment_seconds: float, *, unless: Callable[[], bool]) -> None:
        """
        Sleep until a moment of the monotonic clock, or until somebody rings; it may return sooner.

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
        """Wake the thread."""
        self._called.set()

    def ring_before(self, moment_seconds: float) -> None:
        """Wake the thread if it would sleep past a moment; who brings work for then MUST have brought it before."""
        if self._wakes_seconds > moment_seconds:
            self._called.set()
