"""Time: what a session needs of a clock, and the clock of this computer."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    def monotonic(self) -> float:
        """Seconds that never run backwards, and stand still for nothing but a reboot.

        Source: Linux clock_gettime(2): CLOCK_MONOTONIC stands still while a computer is suspended, and an elevation
        would go on after the night; CLOCK_BOOTTIME does not. On macOS CLOCK_MONOTONIC does not either.
        """
        return time.clock_gettime(_CLOCK)

    def utc(self) -> str:
        """UTC now, ISO 8601 with microseconds and a trailing Z."""
        # Twice as quick as strftime, and asked four times a statement.
        return f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


class Clock(Protocol):
    """Time, so that the road can be tested without waiting."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def utc(self) -> str:
        """UTC now, ISO 8601 with microseconds and a trailing Z."""
        ...
