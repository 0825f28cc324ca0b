"""
Reading one's own writes: a read on a replica waits for what this session changed on the primary, or is said to be old.

Every read of tables waits, not only one that names what was changed: a view may stand between.
"""

from __future__ import annotations

from collections.abc import Callable

from safeconsole.core.decision import Permit
from safeconsole.core.vocabulary import NodeName, Route
from safeconsole.interfaces import Clock, Engine

WAIT_SECONDS = 1.0
"""How long a read waits at most; replicas that are fit are mostly milliseconds behind."""


class OwnWrites:
    """
    What one session wrote, and which replicas have it.

    Args:
        shows_all_since: whether a node's last reading says that it has all that was written before a clock reading;
            asked where servers keep no account of their history.
    """

    def __init__(self, engine: Engine, clock: Clock, shows_all_since: Callable[[NodeName, float], bool]) -> None:
        self._engine = engine
        self._clock = clock
        self._shows_all_since = shows_all_since
        self._tables: dict[str, None] = {}
        self._last: tuple[NodeName, float] | None = None
        self._position: str | None = None
        self._arrived: set[NodeName] = set()

    def wrote(self, permit: Permit) -> None:
        """
        Remember a change, if it was one; asks no server.

        One whose outcome is unknown counts: who is told to look at the data before doing it again must not look at
        data from before it.
        """
        if permit.commits and self._tables:
            # What was written before counts from now on: nobody else saw it before.
            self._last, self._position = (permit.node, self._clock.monotonic()), None
            self._arrived.clear()
        if permit.read_only:
            return
        named = [str(table) for table in permit.statement.tables]
        self._tables.update(dict.fromkeys(named or [f"what {permit.statement.kind} changed"]))
        self._last, self._position = (permit.node, self._clock.monotonic()), None
        self._arrived.clear()

    def note_before(self, permit: Permit) -> str:
        """Wait until a read's replica has what was written, and return what to tell the person if it has not, or ""."""
        statement = permit.statement
        if self._last is None or permit.route is not Route.REPLICA or not permit.read_only:
            return ""
        if permit.node in self._arrived or (statement.tables_known and not statement.tables):
            return ""
        if self._has(permit.node, *self._last):
            self._arrived.add(permit.node)
            return ""
        return f"{permit.node} may not have your change of {', '.join(self._tables)} yet: what it shows may be older"

    def _has(self, node: NodeName, wrote_on: NodeName, wrote_seconds: float) -> bool:
        if self._position is None:
            # What it tells now includes what was written before.
            self._position = self._engine.position(wrote_on)
        if self._position:
            return self._engine.has_reached(node, self._position, within_seconds=WAIT_SECONDS)
        return self._shows_all_since(node, wrote_seconds)
