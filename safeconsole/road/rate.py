"""How many statements one session sends a minute, so that a policy can bound its loops."""

from __future__ import annotations

from collections import deque

from safeconsole.interfaces import Clock

MINUTE_SECONDS = 60


class Rate:
    """Counts by whole seconds: a quick loop of a minute is sixty numbers, not sixty thousand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: deque[list[int]] = deque()
        self._total = 0

    def sent(self) -> None:
        """Count one statement, now."""
        second = int(self._clock.monotonic())
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1][1] += 1
        else:
            self._counts.append([second, 1])
        self._total += 1

    def read(self) -> tuple[int, float]:
        """Return the statements sent in the last minute, and the seconds until the first of them is out of it."""
        now = self._clock.monotonic()
        while self._counts and int(now) - self._counts[0][0] >= MINUTE_SECONDS:
            self._total -= self._counts.popleft()[1]
        room_seconds = self._counts[0][0] + MINUTE_SECONDS - now if self._counts else 0.0
        return self._total, round(max(room_seconds, 0.0), 1)
