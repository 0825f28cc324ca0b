"""How long a job rests between two pages: by what the page cost, and by what the node was seen to bear."""

from __future__ import annotations

import msgspec

from safeconsole.core.decision import Considered
from safeconsole.core.routing import Gates

REST = 4.0
"""Seconds of rest for one second of work: a job takes at most a fifth of one connection's time."""

SHORTEST_SECONDS, LONGEST_SECONDS = 0.005, 5.0

_USUAL_WEIGHT = 0.1
_SLOW_FACTOR = 3.0


def pressure_of(considered: Considered, gates: Gates) -> float:
    """
    Return how near the node is to the gates that would close it, >= 0; 1 is at a gate.

    The readings are those that the statement was routed by, at most a few seconds old; what is not known presses not.
    """
    facts = considered.facts
    lag, threads = _number(facts.get("node.lag_seconds")), _number(facts.get("node.threads_running"))
    memory = _number(facts.get("node.free_memory_bytes"))
    parts = [max(lag, 0.0) / gates.lag_seconds if gates.lag_seconds > 0 else 0.0]
    parts.append(max(threads, 0.0) / gates.threads_running)
    if gates.free_memory_bytes and memory > 0:
        parts.append(gates.free_memory_bytes / memory)
    return max(parts)


class Pace(msgspec.Struct, kw_only=True):
    """
    What pages usually cost, learnt while they come.

    Attributes:
        usual_seconds: a slow mean of the pages so far, 0 before the first.
    """

    usual_seconds: float = 0.0

    def rest_seconds(self, page_seconds: float, pressure: float) -> float:
        """
        Return the rest after a page, in seconds, and learn from the page.

        Args:
            page_seconds: what it took, >= 0.
            pressure: see `pressure_of`; at a gate the rest is nine times that of an idle node.
        """
        slow = self.usual_seconds > 0 and page_seconds > _SLOW_FACTOR * self.usual_seconds
        # A page that was slow says that others wait too; it must not become the usual.
        if not slow:
            old = self.usual_seconds or page_seconds
            self.usual_seconds = old + _USUAL_WEIGHT * (page_seconds - old)
        rest = page_seconds * REST * (1.0 + 8.0 * min(pressure, 1.0)) * (2.0 if slow else 1.0)
        return min(max(rest, SHORTEST_SECONDS), LONGEST_SECONDS)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else -1.0
