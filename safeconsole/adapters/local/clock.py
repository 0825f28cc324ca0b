"""Time as this computer tells it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The computer's own clocks."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, and stand still for nothing but a reboot."""
        return time.monotonic()

    def utc(self) -> str:
        """UTC now, ISO 8601 with microseconds and a trailing Z."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
