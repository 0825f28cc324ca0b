"""The watch over one running statement, and what can be measured meanwhile."""

from __future__ import annotations

import _sqlite3
import ctypes
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

from safeconsole.policy.limits import Limits
from safeconsole.policy.watchdog import Breach, Sample, SensorName, breach_of, breach_of_misses, counted_misses, unseen


def held_memory_bytes() -> int | None:
    memory_used = _memory_used()
    return None if memory_used is None else memory_used()


def free_memory_bytes() -> int | None:
    """Return the memory that programs may still have without swapping; Linux says, others do not."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


@cache
def _memory_used() -> Callable[[], int] | None:
    """Return SQLite's own counter, taken from the very library that Python's driver uses.

    Python's driver does not offer it. Where the library is built into the interpreter without its
    symbols, there is no sensor, and only the hard heap limit holds.
    """
    path = getattr(_sqlite3, "__file__", None)
    try:
        function = ctypes.CDLL(path).sqlite3_memory_used
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int64
    function.argtypes = ()

    def memory_used() -> int:
        return int(function())

    return memory_used


# It runs in the statement's own thread; what it says is done at once. It must never raise: the driver swallows what a
# callback raises, and an interrupt would be lost.


STEPS_BETWEEN_LOOKS = 4000
"""Machine steps between two looks: about a tenth of a millisecond."""

SAMPLE_SECONDS = 0.2


class Watch(msgspec.Struct, kw_only=True):
    """What is seen of one statement.

    Attributes:
        needed: the sensors that must be readable.
        tell: called with each sample, or None.
        rows: rows that have reached the client.
        breach: the ceiling that was passed, or None.
        thrown: what was raised while it looked: an interrupt, or a fault of `tell`.
        told_to_stop: whether somebody asked for its end.
        peak_memory_bytes: the most that the statement held when it was looked at.
    """

    limits: Limits
    monotonic: Callable[[], float]
    needed: tuple[SensorName, ...] = ()
    tell: Callable[[Sample], None] | None = None
    rows: int = 0
    breach: Breach | None = None
    thrown: BaseException | None = None
    told_to_stop: bool = False
    peak_memory_bytes: int = 0
    _began: float = 0.0
    _next_sample: float = 0.0
    _misses: dict[SensorName, int] = msgspec.field(default_factory=dict)
    _first: Sample = Sample(elapsed_seconds=0.0)

    def __post_init__(self) -> None:
        self._began = self.monotonic()
        self._next_sample = self._began + SAMPLE_SECONDS
        self._first = Sample(elapsed_seconds=0.0, instance_memory_bytes=held_memory_bytes())

    @property
    def blind(self) -> tuple[SensorName, ...]:
        return unseen(self.needed, self.sample(0.0))

    @property
    def elapsed_seconds(self) -> float:
        return self.monotonic() - self._began

    @property
    def must_end(self) -> bool:
        return self.told_to_stop or self.thrown is not None or self.breach is not None

    def __call__(self) -> int:
        try:
            self.look()
        except BaseException as error:  # noqa: BLE001 - see the module: it is kept, and raised where it can be
            self.thrown = self.thrown or error
        return int(self.must_end)

    def look(self) -> None:
        """Compare with the ceilings; the memory is read no more often than it is sampled."""
        now = self.monotonic()
        elapsed = now - self._began
        if elapsed > self.limits.run_seconds:
            self.breach = self.breach or Breach(ceiling="run_seconds", read=elapsed, allowed=self.limits.run_seconds)
        if now < self._next_sample:
            return
        self._next_sample = now + SAMPLE_SECONDS
        sample = self.sample(elapsed)
        self._misses = counted_misses(self._misses, self.needed, sample)
        breach = breach_of_misses(self._misses) or breach_of(self.limits, self._first, sample)
        self.breach = self.breach or breach
        if self.tell is not None:
            self.tell(sample)

    def sample(self, elapsed_seconds: float) -> Sample:
        """Measure now; the statement's memory is what the process holds more than before it."""
        held, before = held_memory_bytes(), self._first.instance_memory_bytes
        own = None if held is None or before is None else max(0, held - before)
        self.peak_memory_bytes = max(self.peak_memory_bytes, own or 0)
        return Sample(
            elapsed_seconds=elapsed_seconds,
            session_memory_bytes=own,
            instance_memory_bytes=held,
            free_memory_bytes=free_memory_bytes(),
            rows=self.rows,
        )
