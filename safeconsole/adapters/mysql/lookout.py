"""
The watchdog's second connection: looks at the watched one, and ends it or what it runs.

A connection that is gone is opened again, once, to the same address and the same instance; if that
fails too, the watchdog is blind, and says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from safeconsole.adapters.mysql.error_codes import code_of, is_lost
from safeconsole.adapters.mysql.sensors import Numbers, Sensors
from safeconsole.adapters.mysql.variants import Variant
from safeconsole.adapters.mysql.wire import DriverError, Wire
from safeconsole.core.errors import UnreachableError

Found = TypeVar("Found")

_NO_SUCH_THREAD = 1094
_IDLE, _KILLED = "Sleep", "Killed"
ANSWER_SECONDS = 2.0
LEAST_ANSWER_SECONDS = 0.25


class Target(msgspec.Struct, frozen=True, kw_only=True):
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
        self._process = variant.process[0]

    def numbers(self, *, within_seconds: float = ANSWER_SECONDS) -> Numbers:
        """
        Read the sensors; those that do not answer in time tell nothing this once.

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
        """
        Return how the process list names the watched connection's end, "" when none shows it.

        The first form that shows it is the one that every later look asks.
        """
        for form in self._variant.process:
            for host, _ in self._seen(form):
                self._process = form
                return host
        return ""

    def kill_query(self) -> bool:
        """End what it runs; whether the server accepted a kill."""
        return self._first_accepted(self._variant.kill_query)

    def kill_connection(self) -> bool:
        """End the connection itself; whether the server accepted a kill."""
        return self._first_accepted(self._variant.kill_connection)

    def _seen(self, form: str = "") -> list[tuple[str, bool]]:
        """
        Return host, and whether it runs something, of the watched thread: one row, or none.

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
        if row[4] == _KILLED and self._variant.calls_idle_killed:
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
    """Return the client's port of a process list's host; inside a routine MariaDB shows its definer's host instead."""
    return str(host).rpartition(":")[2] if ":" in str(host) else ""
