"""
Notices when the gate's parts, or the code that decides, were exchanged behind the console's back.

It is a bell, not a wall: this process belongs to its user, and only the account on the server bounds what can be
done. But what rings ends the session, and says so in the journal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from operator import is_not, itemgetter
from typing import Any

_MODULES = (
    "safeconsole.gate",
    "safeconsole.core.analysis",
    "safeconsole.core.decision",
    "safeconsole.core.elevation",
    "safeconsole.core.facts",
    "safeconsole.core.policy",
    "safeconsole.core.routing",
    "safeconsole.core.rules",
)
_ROAD = frozenset({"safeconsole.elevations", "safeconsole.nodes"})


class Seal:
    """
    What the road was made of when the session opened.

    Args:
        gate: the person's session.
        elevated_by_us: whether the console itself opened the elevation that is in force.
    """

    def __init__(self, gate: Any, elevated_by_us: Callable[[], bool]) -> None:  # noqa: ANN401 (any object's parts)
        self._gate = gate
        self._elevated_by_us = elevated_by_us
        self._parts = tuple(_Part(name, parts, names) for name, parts, names in _sealed(gate))

    def broken(self) -> str:
        """Return what is not what it was, or ""."""
        for part in self._parts:
            if part.is_changed():
                return f"{part.name} was changed"
        if not self._elevated_by_us() and self._gate.status().elevated_seconds > 0:
            return "an elevation is in force that nobody was asked for"
        return ""


class _Part:
    """Some names of one namespace, and what they stood for."""

    def __init__(self, name: str, parts: Mapping[str, object], names: tuple[str, ...]) -> None:
        self.name = name
        self._parts = parts
        # A loop walks these for every statement, so the walk is the interpreter's own.
        self._get = itemgetter(*names, names[0])
        # Held, so that no other object can come to have the same identity.
        self._held = self._get(parts)

    def is_changed(self) -> bool:
        try:
            return any(map(is_not, self._get(self._parts), self._held))
        except KeyError:
            return True


def _sealed(gate: object) -> Iterator[tuple[str, Mapping[str, object], tuple[str, ...]]]:
    """Yield each namespace with the names in it that never change while the console is open."""
    own = vars(gate)
    yield "the gate", own, tuple(own)
    for part in own.values():
        kind = type(part)
        if kind.__module__.startswith("safeconsole."):
            yield f"{kind.__module__}.{kind.__name__}", vars(kind), tuple(vars(kind))
        if kind.__module__ in _ROAD:
            yield f"the gate's {kind.__name__}", vars(part), _own_parts(vars(part))
    yield "safeconsole.gate.Gate", vars(type(gate)), tuple(vars(type(gate)))
    for name in _MODULES:
        if name in sys.modules:
            parts = vars(sys.modules[name])
            yield name, parts, tuple(part for part in parts if not part.startswith("__"))


def _own_parts(parts: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name, part in parts.items() if type(part).__module__.startswith("safeconsole."))
