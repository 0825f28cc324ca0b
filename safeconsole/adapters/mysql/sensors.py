"""Numbers about a running statement and its instance, read over the watchdog's connection."""

from __future__ import annotations

import msgspec

from safeconsole.adapters.mysql.error_codes import is_lost
from safeconsole.adapters.mysql.variants import Probe, Variant
from safeconsole.adapters.mysql.wire import DriverError, Wire
from safeconsole.interfaces import Sensor

_INSTANCE_MEMORY = ("INSTANCE_MEMORY", "MEMORY_USED")


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """One look: each None where no sensor tells. Units as in `watchdog.Sample`."""

    session_memory_bytes: int | None = None
    instance_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    opened_tables: int | None = None
    threads_running: int | None = None


class Sensors(msgspec.Struct):
    """
    The sensors of one watched connection; those that the account may not read drop out until all are tried again.

    Attributes:
        thread: the watched connection's id on the server.
        free_memory: a source for the host's free memory, or None.
        missing: what to grant for the sensors that dropped out.
    """

    variant: Variant
    thread: int
    free_memory: Sensor | None = None
    missing: list[str] = msgspec.field(default_factory=list)
    _probes: tuple[Probe, ...] | None = None

    def read(self, wire: Wire) -> Numbers:
        """
        Read all sensors in one round trip.

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
        """Forget which sensors dropped out."""
        self._probes = None
        self.missing.clear()

    def _ask(self, wire: Wire) -> dict[str, int]:
        if self._probes is None:
            self._probes = tuple(probe for probe in self.variant.probes if self._works(wire, probe))
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
