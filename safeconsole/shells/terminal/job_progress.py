"""How far a job is, on one line of the terminal: a bar, the rate, the time that remains."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from safeconsole.shells.terminal.cells import clipped, safe
from safeconsole.shells.terminal.looks import Look
from safeconsole.shells.terminal.measures import clock_text
from safeconsole.shells.terminal.status_line import StatusLine

REDRAWN_SECONDS = 0.1
_BAR_WIDTH = 24


class JobProgress:
    """
    Draws the progress of one job; on a pipe it says nothing.

    Args:
        noun: what is counted, in the plural.
        seconds: a monotonic clock.
    """

    def __init__(self, stream: TextIO, look: Look, *, noun: str, seconds: Callable[[], float] = time.monotonic) -> None:
        self._line = StatusLine(stream, look)
        self._look = look
        self._noun = noun
        self._seconds = seconds
        self._begun: tuple[float, int] | None = None
        self._drawn_seconds = float("-inf")

    def draw(self, done: int, expected: int, waiting: str = "") -> None:
        """Redraw the line, a few times a second at most."""
        now = self._seconds()
        # An earlier run's part took no time of this one.
        self._begun = self._begun or (now, done)
        if self._look.terminal and (waiting or now - self._drawn_seconds >= REDRAWN_SECONDS):
            self._drawn_seconds = now
            self._line.draw(clipped(self._text(now, done, expected, waiting), self._look.columns - 1))

    def clear(self) -> None:
        """Take the line away."""
        self._line.clear()

    def _text(self, now: float, done: int, expected: int, waiting: str) -> str:
        if waiting:
            return f"{done:,} {self._noun}, waiting for a fit node: {safe(waiting)}"
        begun_seconds, begun_done = self._begun or (now, done)
        rate = (done - begun_done) / (now - begun_seconds) if now > begun_seconds else 0.0
        parts = [f"{done:,} {self._noun}"]
        if expected >= done > 0:
            parts[0] = f"{self._bar(done / expected)} {done:,} of about {expected:,} {self._noun}"
        if rate > 0:
            parts.append(f"{rate:,.0f}/s")
            if expected > done:
                parts.append(f"{clock_text((expected - done) / rate)} left")
        return (" · " if self._look.decorated else ", ").join(parts)

    def _bar(self, part: float) -> str:
        cells = round(_BAR_WIDTH * min(part, 1.0))
        full, empty = ("█", "░") if self._look.decorated else ("#", ".")
        return full * cells + empty * (_BAR_WIDTH - cells)
