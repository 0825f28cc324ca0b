"""
Servers' opinions of reads by key, believed for a moment for all that differ in their values only.

A loop over `… WHERE id = ?` asks the same question ten thousand times; the server's answer to it cannot depend on the
value. Everything else is asked anew each time: ranges, lists and patterns, whose cost hangs on what they say.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from safeconsole.core.shapes import is_bound_by_key
from safeconsole.core.statement import Estimate, Statement
from safeconsole.interfaces import Clock, Connection

BELIEVED_SECONDS = 5.0
"""As long as measured roles are: an index that was dropped meanwhile is noticed as soon as a role that changed."""

HELD_OPINIONS = 64


class _Opinion(msgspec.Struct, frozen=True, kw_only=True):
    connection: Connection
    estimate: Estimate
    asked_seconds: float


class Opinions:
    """What one session was told; forgotten whenever something happens that is not a plain read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], _Opinion] = OrderedDict()

    def recalled(self, statement: Statement, connection: Connection) -> Estimate | None:
        """Return what was said of a statement with other values on this very connection, None when nothing was."""
        held = self._held.get((statement.shape, connection.schema)) if statement.shape else None
        if held is None or held.connection is not connection:
            return None
        return held.estimate if self._clock.monotonic() - held.asked_seconds < BELIEVED_SECONDS else None

    def keep(self, statement: Statement, connection: Connection, estimate: Estimate, *, asked_seconds: float) -> None:
        """
        Keep what a server said, where it holds for other values too.

        Args:
            asked_seconds: monotonic clock reading from before it was asked.
        """
        if not estimate.keyed or not is_bound_by_key(statement):
            return
        opinion = _Opinion(
            connection=connection, estimate=replace(estimate, recalled=True), asked_seconds=asked_seconds
        )
        self._held[statement.shape, connection.schema] = opinion
        if len(self._held) > HELD_OPINIONS:
            self._held.popitem(last=False)

    def forget(self) -> None:
        """Believe nothing that was said before."""
        self._held.clear()
