"""What a statement's growth is counted from, and that what it needs can be seen at all before it is sent."""

from __future__ import annotations

import time

import msgspec

from safeconsole.adapters.mysql.lookout import Lookout
from safeconsole.adapters.mysql.sensors import Numbers
from safeconsole.adapters.mysql.watched import sample_of
from safeconsole.core.errors import UnreachableError
from safeconsole.core.watchdog import MISSING_READINGS, SensorName, unseen

BASELINE_SECONDS = 5.0
"""How old the look may be that growth is counted from."""

BETWEEN_LOOKS_SECONDS = 0.2


class Baseline(msgspec.Struct):
    """
    The latest look without a statement, and when it was taken.

    Attributes:
        lookout: looks; used by one thread at a time.
        numbers: what it saw, or None before the first look.
        taken_seconds: monotonic reading of that look.
    """

    lookout: Lookout
    numbers: Numbers | None = None
    taken_seconds: float = 0.0

    def seen(self, needed: tuple[SensorName, ...], *, fresh: bool) -> Numbers:
        """
        Return a look of the last seconds in which every needed sensor told something.

        Args:
            fresh: look anew in any case.

        Raises:
            UnreachableError: a needed sensor told nothing, as often as it may while a statement runs, or the connection
                is gone and does not come back.
        """
        now = time.monotonic()
        if self.numbers is not None and not fresh and now - self.taken_seconds < BASELINE_SECONDS:
            if not _blind(needed, self.numbers):
                return self.numbers
            # A grant that was given since counts at once.
            self.lookout.sensors.try_all_again()
        numbers = self._look()
        for _ in range(MISSING_READINGS - 1):
            if not _blind(needed, numbers):
                break
            time.sleep(BETWEEN_LOOKS_SECONDS)
            numbers = self._look()
        blind = _blind(needed, numbers)
        if blind:
            raise self._refusal(blind)
        return numbers

    def _look(self) -> Numbers:
        numbers = self.lookout.numbers()
        if numbers == Numbers():
            # Its connection was gone and is new; growth needs a number to count from.
            numbers = self.lookout.numbers()
        self.numbers, self.taken_seconds = numbers, time.monotonic()
        return numbers

    def _refusal(self, blind: tuple[SensorName, ...]) -> UnreachableError:
        grants = tuple(dict.fromkeys(needs for needs in self.lookout.sensors.missing if needs))
        return UnreachableError(
            f"{', '.join(blind)} cannot be read here, and the policy needs it for this statement; nothing was sent",
            evidence=tuple(f"refused to this account: {needs}" for needs in grants),
            instead="try another node" + (", or have that granted" if grants else ", or look at the sensor's source"),
        )


def _blind(needed: tuple[SensorName, ...], numbers: Numbers) -> tuple[SensorName, ...]:
    return unseen(needed, sample_of(numbers, elapsed=0.0, rows=0))
