"""Tells how far a node's history goes, and waits until another node has as much of it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from safeconsole.errors import SafeConsoleError
from safeconsole.mysql.control import Control
from safeconsole.mysql.guards import number
from safeconsole.mysql.measuring import lag_of
from safeconsole.mysql.running import BREAKS
from safeconsole.sqltext.dialect import Dialect

_POSITION = re.compile(r"[0-9A-Za-z_:,-]+", re.ASCII)
_STEP_SECONDS = 0.2
_LOOK_SECONDS = 0.05
_LEAST_ANSWER_SECONDS = 2.0
# Of a second, in a position that is a time of the cluster's clock.
_TICKS = 1_000_000


class History:
    """One node's; no method raises.

    Args:
        control: to the node.
        now: the cluster's clock, one for all of its nodes.
    """

    def __init__(self, control: Control, now: Callable[[], float], *, connect_seconds: float) -> None:
        self._control = control
        self._now = now
        self._answer_seconds = max(connect_seconds, _LEAST_ANSWER_SECONDS)
        self._goes_by_time = self._is_in_galera = False

    def measured(self, dialect: Dialect, *, in_galera: bool) -> None:
        """Take note of which server the node is."""
        self._goes_by_time, self._is_in_galera = not dialect.server.position, in_galera

    def position(self) -> str:
        """How far the node's own history goes now, "" if unknown."""
        if self._goes_by_time:
            return str(math.ceil(self._now() * _TICKS))
        rows = self._asked(
            lambda dialect: dialect.server.group_position if self._is_in_galera else dialect.server.position
        )
        found = "".join(str(rows[0][0] or "").split()) if rows else ""
        # It is put into a text again; what a server says is not trusted for that.
        return found if _POSITION.fullmatch(found) else ""

    def has_reached(self, position: str, *, within_seconds: float) -> bool:
        """Wait until the node has applied a position; False if it has not, or cannot tell."""
        if not _POSITION.fullmatch(position):
            return False
        until = time.monotonic() + within_seconds
        if self._goes_by_time:
            return self._has_what_was_at(int(position) / _TICKS, until)
        while True:
            left = until - time.monotonic()
            # In steps: who waits for an answer on the control connection keeps all others from it.
            seconds = number(max(min(left, _STEP_SECONDS), 0.001))
            rows = self._asked(partial(self._waits, position, seconds))
            if not rows or rows[0][0] is None or str(rows[0][0]) == "0":
                return bool(rows) and str(rows[0][0]) == "0"
            if left <= _STEP_SECONDS:
                return False

    def _waits(self, position: str, seconds: str, dialect: Dialect) -> str:
        text = dialect.server.group_wait if self._is_in_galera else dialect.server.wait
        return text.format(position=position, seconds=seconds)

    def _has_what_was_at(self, when: float, until: float) -> bool:
        while True:
            now = self._now()
            try:
                lag = self._control.ask(
                    lambda line: lag_of(line.wire, line.dialect, line.session.server),
                    within_seconds=self._answer_seconds,
                )
            except (SafeConsoleError, *BREAKS):
                return False
            if lag is None or now - lag > when or time.monotonic() >= until:
                return lag is not None and now - lag > when
            time.sleep(_LOOK_SECONDS)

    def _asked(self, question: Callable[[Dialect], str]) -> list[tuple[Any, ...]]:
        try:
            return self._control.ask(
                lambda line: line.wire.rows(question(line.dialect)), within_seconds=self._answer_seconds
            )
        except (SafeConsoleError, *BREAKS):
            return []
