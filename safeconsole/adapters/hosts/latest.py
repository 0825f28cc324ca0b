"""A slow source, read by a thread of its own, so that who asks never waits longer than they can."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class LatestReading:
    """
    The latest number of one source; see `interfaces.Sensor`.

    At most one thread reads it at a time; a source that hangs is not asked again before it came back.

    Args:
        fetch: reads the source once, within bounded time; returns None when it cannot, and never raises.
        wait_seconds: how long `read` waits for a number, >= 0.
        keep_seconds: how long a number is given again without asking, >= 0.
        fresh_seconds: how old a number may be that a source which is late or silent now gave before, >= `keep_seconds`.
        monotonic: the clock.
    """

    def __init__(
        self,
        fetch: Callable[[], int | None],
        *,
        wait_seconds: float,
        keep_seconds: float,
        fresh_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._wait_seconds = wait_seconds
        self._keep_seconds = keep_seconds
        self._fresh_seconds = fresh_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._held: tuple[float, int] | None = None

    def read(self) -> int | None:
        """Return the latest number, or None when there is none that is fresh enough."""
        with self._lock:
            if self._held is not None and self._monotonic() - self._held[0] < self._keep_seconds:
                return self._held[1]
            if self._worker is None or not self._worker.is_alive():
                # A daemon: leaving must not wait for a host that does not answer.
                self._worker = threading.Thread(target=self._work, daemon=True, name="safeconsole-host")
                self._worker.start()
            worker = self._worker
        worker.join(self._wait_seconds)
        with self._lock:
            if self._held is None or self._monotonic() - self._held[0] > self._fresh_seconds:
                return None
            return self._held[1]

    def _work(self) -> None:
        # Its age counts from before it was asked.
        asked_seconds = self._monotonic()
        found = self._fetch()
        if found is not None:
            with self._lock:
                self._held = (asked_seconds, found)
