"""
Notices when the gate's parts, or the code that decides, were exchanged behind the console's back.

It is a bell, not a wall: this process belongs to its user, and only the account on the server bounds what can be
done. But what rings ends the session, and says so in the journal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from operator import is_not, itemgetter
from types import FunctionType
from typing import Any

_DECIDING = frozenset(
    f"safeconsole.core.{name}"
    for name in (
        "analysis",
        "decision",
        "elevation",
        "facts",
        "kinds",
        "policy",
        "reading",
        "routing",
        "rules",
        "shapes",
    )
)


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
        self._parts = tuple(_Part(name, parts, names) for name, parts, names in _sealed(gate) if names)

    def broken(self) -> str:
        """Return what is not what it was, or ""."""
        for part in self._parts:
            if part.is_changed():
                return f"{part.name} was changed"
        if not self._elevated_by_us() and self._gate.is_elevated:
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
    for name, module in tuple(sys.modules.items()):
        if name in _DECIDING or _is_road(name):
            yield name, vars(module), tuple(part for part, value in vars(module).items() if _is_code(value))
    waiting, seen = [gate], set[int]()
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if id(part) in seen or not _is_ours(part):
            continue
        seen.add(id(part))
        yield f"{kind.__module__}.{kind.__name__}", vars(kind), tuple(vars(kind))
        # What lies behind the road (an engine's connections, the journal's file) changes as it works.
        if _is_road(kind.__module__) and hasattr(part, "__dict__"):
            own = {name: value for name, value in vars(part).items() if _is_ours(value) or callable(value)}
            yield f"an object of {kind.__module__}.{kind.__name__}", vars(part), tuple(own)
            waiting.extend(own.values())


def _is_road(module: str) -> bool:
    """Whether a module is one of those directly in the package: the gate, and what it is made of."""
    return module.startswith("safeconsole.") and module.count(".") == 1


def _is_ours(part: object) -> bool:
    return type(part).__module__.startswith("safeconsole.")


def _is_code(part: object) -> bool:
    return isinstance(part, type | FunctionType) and part.__module__.startswith("safeconsole.")
