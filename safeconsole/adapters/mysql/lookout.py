"""
The watchdog's second connection: looks at the watched one, and ends it or what it runs.

A connection that is gone is opened again, once, to the same address and the same instance; if that
fails too, the watchdog is blind, and says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from safeconsole.adapters.mysql.error_codes import code_of, is_lost
from safeconsole.adapters.mysql.sensors import Numbers, Sensors
from safeconsole.adapters.mysql.variants import Variant
from safeconsole.adapters.mysql.wire import DriverError, Wire
from safeconsole.core.errors import UnreachableError

Found = TypeVar("Found")

_NO_SUCH = frozenset({1094, 1957})  # no such thread, no such query
_IDLE = "Sleep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    The connection that is watched.

    Attributes:
        thread: its id on the server.
        host: its end as the server's process list names it; another session with the same id differs.
        cut: ends the connection from here, for when the server cannot be told.
    """

    thread: int
    host: str
    cut: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """A watched connection that runs something; `query` is its id where the server has such."""

    query: int | None


class Lookout:
    """
    Looks and kills, from one thread at a time.

    Args:
        variant: the family member.
        wire: the second connection, to the same instance.
        reopen: opens another one to the same address and compares its identity; raises UnreachableError.
        target: whom to look at.
        sensors: what to read.

    Raises:
        UnreachableError: from every look, when the connection is gone and does not come back.
    """

    def __init__(
        self, *, variant: Variant, wire: Wire, reopen: Callable[[], Wire], target: Target, sensors: Sensors
    ) -> None:
        self.target = target
        self.sensors = sensors
        self._variant = variant
        self._wire = wire
        self._reopen = reopen

    def numbers(self) -> Numbers:
        """Read the sensors."""
        return self._twice(self.sensors.read)

    def at_work(self) -> AtWork | None:
        """Return what the watched connection runs; None when it is idle, gone, or not ours any more."""
        text = self._variant.process.format(thread=self.target.thread)
        rows: list[tuple[Any, ...]] = self._twice(lambda wire: wire.rows(text))
        if not rows or _port(rows[0][0]) != _port(self.target.host) or rows[0][1] == _IDLE:
            return None
        return AtWork(query=rows[0][2])

    def kill_query(self, seen: AtWork) -> bool:
        """End what it runs; whether the server accepted a kill."""
        return self._first_accepted(self._variant.kill_query, seen)

    def kill_connection(self, seen: AtWork) -> bool:
        """End the connection itself; whether the server accepted a kill."""
        return self._first_accepted(self._variant.kill_connection, seen)

    def close(self) -> None:
        """Close the connection; never raises."""
        self._wire.quit()

    def _twice(self, look: Callable[[Wire], Found]) -> Found:
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

    def _first_accepted(self, forms: tuple[str, ...], seen: AtWork) -> bool:
        for form in forms:
            try:
                self._wire.run(form.format(thread=self.target.thread, query=seen.query))
            except (DriverError, OSError) as error:
                if code_of(error) in _NO_SUCH:
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
    """Return the client's port of a process list's host; inside a routine MariaDB shows its definer's host instead."""
    return str(host).rpartition(":")[2] if ":" in str(host) else ""
