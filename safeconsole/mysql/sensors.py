"""Numbers about a running statement and its instance, and the second connection that reads them and kills."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from safeconsole.cluster.engine import Sensor
from safeconsole.errors import UnreachableError
from safeconsole.mysql.error_codes import code_of, is_lost
from safeconsole.mysql.wire import DriverError, Wire
from safeconsole.policy.watchdog import MISSING_READINGS, Sample, SensorName, unseen
from safeconsole.sqltext.dialect import Dialect, Probe

_INSTANCE_MEMORY = ("INSTANCE_MEMORY", "MEMORY_USED")


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """One look: each None where no sensor tells. Units as in `watchdog.Sample`."""

    session_memory_bytes: int | None = None
    instance_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    opened_tables: int | None = None
    threads_running: int | None = None


class Sensors(msgspec.Struct):
    """The sensors of one watched connection; those that the account may not read drop out until all are tried again.

    Attributes:
        thread: the watched connection's id on the server.
        free_memory: a source for the host's free memory, or None.
        missing: what to grant for the sensors that dropped out.
    """

    dialect: Dialect
    thread: int
    free_memory: Sensor | None = None
    missing: list[str] = msgspec.field(default_factory=list)
    _probes: tuple[Probe, ...] | None = None

    def read(self, wire: Wire) -> Numbers:
        """Read all sensors in one round trip.

        Raises:
            DriverError, OSError: the connection is lost.
        """
        try:
            read = self._ask(wire)
        except DriverError as error:
            if is_lost(error):
                raise
            # What worked is refused now, so a grant was taken away: the other sensors must not fall silent with it.
            self.try_all_again()
            read = self._ask(wire)
        return Numbers(
            session_memory_bytes=read.get("SESSION_MEMORY"),
            instance_memory_bytes=next((read[name] for name in _INSTANCE_MEMORY if name in read), None),
            free_memory_bytes=self.free_memory.read() if self.free_memory else None,
            opened_tables=read.get("OPENED_TABLE_DEFINITIONS"),
            threads_running=read.get("THREADS_RUNNING"),
        )

    def try_all_again(self) -> None:
        self._probes = None
        self.missing.clear()

    def _ask(self, wire: Wire) -> dict[str, int]:
        if self._probes is None:
            self._probes = tuple(probe for probe in self.dialect.server.probes if self._works(wire, probe))
        if not self._probes:
            return {}
        text = " UNION ALL ".join(f"({probe.sql})" for probe in self._probes).format(thread=self.thread)
        return numbers_of(wire.rows(text))

    def _works(self, wire: Wire, probe: Probe) -> bool:
        try:
            wire.rows(probe.sql.format(thread=self.thread))
        except DriverError as error:
            if is_lost(error):
                raise
            self.missing.append(probe.needs)
            return False
        return True


def numbers_of(rows: list[tuple[object, ...]]) -> dict[str, int]:
    """Return rows of (name, number) by upper-case name, without those that hold no number."""
    found = {}
    for name, value in rows:
        try:
            found[str(name).upper()] = int(str(value))
        except ValueError:
            continue
    return found


# The watchdog's second connection: looks at the watched one, and ends it or what it runs.
#
# A connection that is gone is opened again, once, to the same address and the same instance; if that fails too, the
# watchdog is blind, and says so.

Found = TypeVar("Found")

_NO_SUCH_THREAD = 1094
_IDLE, _KILLED = "Sleep", "Killed"
ANSWER_SECONDS = 2.0
LEAST_ANSWER_SECONDS = 0.25


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The connection that is watched.

    Attributes:
        thread: its id on the server.
        host: its end as the server's process list names it; another session with the same id differs.
        cut: ends the connection from here, for when the server cannot be told.
    """

    thread: int
    host: str
    cut: Callable[[], None]


class Lookout:
    """Looks and kills, from one thread at a time.

    Args:
        wire: the second connection, to the same instance.
        reopen: opens another one to the same address and compares its identity; raises UnreachableError.

    Raises:
        UnreachableError: from every look, when the connection is gone and does not come back.
    """

    def __init__(
        self, *, dialect: Dialect, wire: Wire, reopen: Callable[[], Wire], target: Target, sensors: Sensors
    ) -> None:
        self.target = target
        self.sensors = sensors
        self._dialect = dialect
        self._wire = wire
        self._reopen = reopen
        self._process = dialect.server.process[0]

    def numbers(self, *, within_seconds: float = ANSWER_SECONDS) -> Numbers:
        """Read the sensors; those that do not answer in time tell nothing this once.

        Args:
            within_seconds: how long an answer may take: a sample must not make a deadline late.
        """
        self._wire.wait_at_most(max(within_seconds, LEAST_ANSWER_SECONDS))
        try:
            return self.sensors.read(self._wire)
        except (DriverError, OSError):
            # A read that was given up leaves its answer in the pipe: only a new connection is clean.
            self._replace()
            return Numbers()

    def is_at_work(self) -> bool:
        """Whether the watched connection runs something; not when it is idle, gone, or not ours any more."""
        return any(_port(host) == _port(self.target.host) and at_work for host, at_work in self._seen())

    def host(self) -> str:
        """Return how the process list names the watched connection's end, "" when none shows it.

        The first form that shows it is the one that every later look asks.
        """
        for form in self._dialect.server.process:
            for host, _ in self._seen(form):
                self._process = form
                return host
        return ""

    def kill_query(self) -> bool:
        """End what it runs; whether the server accepted a kill."""
        return self._first_accepted(self._dialect.server.kill_query)

    def kill_connection(self) -> bool:
        """End the connection itself; whether the server accepted a kill."""
        return self._first_accepted(self._dialect.server.kill_connection)

    def _seen(self, form: str = "") -> list[tuple[str, bool]]:
        """Return host, and whether it runs something, of the watched thread: one row, or none.

        Args:
            form: one that is tried; a server that does not know it shows nothing.
        """
        text = (form or self._process).format(thread=self.target.thread)

        def asked(wire: Wire) -> list[tuple[Any, ...]]:
            try:
                return wire.rows(text)
            except DriverError as error:
                if not form or is_lost(error):
                    raise
                return []

        return [(str(row[2]), self._runs(row)) for row in self.look(asked) if row[0] == self.target.thread]

    def _runs(self, row: tuple[Any, ...]) -> bool:
        if row[4] == _KILLED and self._dialect.server.calls_idle_killed:
            # A kill that came right after the end stays with the idle thread: what it runs, or does, tells.
            return bool(row[6] or row[7])
        return bool(row[4] != _IDLE)

    def close(self) -> None:
        """Close the connection; never raises."""
        self._wire.quit()

    def look(self, look: Callable[[Wire], Found]) -> Found:
        """Ask something over the second connection, over a new one where it is gone."""
        self._wire.wait_at_most(ANSWER_SECONDS)
        try:
            return look(self._wire)
        except (DriverError, OSError):
            self._replace()
        try:
            return look(self._wire)
        except (DriverError, OSError):
            raise UnreachableError("the watchdog's connection does not answer") from None

    def _replace(self) -> None:
        self._wire.discard()
        self._wire = self._reopen()

    def _first_accepted(self, forms: tuple[str, ...]) -> bool:
        for form in forms:
            try:
                self._wire.run(form.format(thread=self.target.thread))
            except (DriverError, OSError) as error:
                if code_of(error) == _NO_SUCH_THREAD:
                    return False
                if is_lost(error):
                    # Not repeated here: the next look opens a connection and sees what is left to do.
                    with contextlib.suppress(UnreachableError):
                        self._replace()
                    return False
                continue
            return True
        return False


def _port(host: str) -> str:
    return str(host).rpartition(":")[2] if ":" in str(host) else ""


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


BASELINE_SECONDS = 5.0
"""How old the look may be that growth is counted from."""

BETWEEN_LOOKS_SECONDS = 0.2


class Baseline(msgspec.Struct):
    """The latest look without a statement, and when it was taken.

    Attributes:
        lookout: looks; used by one thread at a time.
        numbers: what it saw, or None before the first look.
        taken_seconds: monotonic reading of that look.
    """

    lookout: Lookout
    numbers: Numbers | None = None
    taken_seconds: float = 0.0

    def seen(self, needed: tuple[SensorName, ...], *, fresh: bool) -> Numbers:
        """Return a look of the last seconds in which every needed sensor told something.

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
