"""
Notices when the gate's parts, or the code and the tables that decide, were exchanged behind the console's back.

It is a bell, not a wall: this process belongs to its user, and only the account on the server bounds what can be
done. But what rings ends the session, and says so in the journal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from operator import is_not, itemgetter
from types import FunctionType
from typing import Any

_MOVING = frozenset({("Recorder", "_looks"), ("PoliciesInForce", "gates"), ("Gate", "_state")})
"""Values that the road exchanges itself as it works: what the watchdog saw, gates of a policy file that was changed."""

_ACTS = (FunctionType, property, cached_property, classmethod, staticmethod, type)

_PURE = ("safeconsole.sqltext.", "safeconsole.dialects.", "safeconsole.policy.")
_OF_THIS_CONSOLE = frozenset(f"safeconsole.python.{name}" for name in ("database", "fences", "line", "seal"))


class Seal:
    """
    What the road was made of when the session opened.

    Args:
        gate: the person's session.
        elevated_by_us: whether the console itself opened the elevation that is in force.
        way: what leads to the gate, looked at as one of its parts.
    """

    def __init__(self, gate: Any, elevated_by_us: Callable[[], bool], *way: object) -> None:  # noqa: ANN401 (any parts)
        for name in _OF_THIS_CONSOLE:
            # What is loaded later could be exchanged before it is seen.
            import_module(name)
        self._gate = gate
        self._elevated_by_us = elevated_by_us
        objects = (*_objects(gate), *way)
        self._names = tuple(_SealedNames(name, parts, names) for name, parts, names in _sealed(objects) if names)
        self._tables = tuple((name, table, dict(table)) for name, table in _tables())
        self._objects = tuple((part, vars(part), type(part), _attributes(type(part))) for part in objects)

    def broken(self, *, thoroughly: bool = True) -> str:
        """
        Return what is not what it was, or "".

        Args:
            thoroughly: notice also an object in another's place that calls itself equal to it; a loop, which asks for
                every statement, cannot pay for that each time.
        """
        for names in self._names:
            if names.are_changed() if thoroughly else names.differ():
                return f"{names.name} was changed"
        for name, table, held in self._tables:
            if table != held:
                return f"the table {name} was changed"
        for part, own, kind, attributes in self._objects:
            # A function set on one object hides its class's own.
            if type(part) is not kind or not own.keys().isdisjoint(attributes):
                return f"an object of {kind.__module__}.{kind.__name__} was changed"
        if not self._elevated_by_us() and self._gate.is_elevated:
            return "an elevation is in force that nobody was asked for"
        return ""


class _SealedNames:
    """Some names of one namespace, and what they stood for."""

    def __init__(self, name: str, parts: Mapping[str, object], names: tuple[str, ...]) -> None:
        self.name = name
        self._parts = parts
        # The walk is the interpreter's own.
        self._get = itemgetter(*names, names[0])
        # Held, so that no other object can come to have the same identity.
        self._held = self._get(parts)

    def are_changed(self) -> bool:
        """Whether any is another object, or gone."""
        try:
            return any(map(is_not, self._get(self._parts), self._held))
        except KeyError:
            return True

    def differ(self) -> bool:
        """Whether any is another object that is not equal, or gone: a third of the time."""
        try:
            return bool(self._get(self._parts) != self._held)
        except KeyError:
            return True


def _objects(gate: object) -> Iterator[object]:
    """Yield the gate, and every object of the road that hangs on it."""
    waiting, seen = [gate], set[int]()
    while waiting:
        part = waiting.pop()
        if id(part) in seen or not _is_road(type(part).__module__) or not hasattr(part, "__dict__"):
            continue
        seen.add(id(part))
        yield part
        waiting.extend(vars(part).values())


def _sealed(objects: tuple[object, ...]) -> Iterator[tuple[str, Mapping[str, object], tuple[str, ...]]]:
    """Yield each namespace with the names in it that never change while the console is open."""
    for name, module in _modules():
        # All of it is looked at for every statement: in the core, only what acts.
        kinds = FunctionType if name.startswith(_PURE) else type | FunctionType
        code = {part: value for part, value in vars(module).items() if isinstance(value, kinds) and _is_ours(value)}
        yield name, vars(module), tuple(code)
        for kind in code.values():
            if isinstance(kind, type) and kind.__module__ == name:
                yield f"{name}.{kind.__name__}", vars(kind), _methods(kind)
    for part in objects:
        kind = type(part)
        # What lies behind the road (an engine's connections, the journal's file) changes as it works.
        own = {
            name: value
            for name, value in vars(part).items()
            if (_is_ours(value) or callable(value)) and (kind.__name__, name) not in _MOVING
        }
        yield f"an object of {kind.__module__}.{kind.__name__}", vars(part), tuple(own)
        for behind in {type(value) for value in own.values()}:
            if _is_ours(behind) and not _is_deciding(behind.__module__):
                yield f"{behind.__module__}.{behind.__name__}", vars(behind), _methods(behind)


def _tables() -> Iterator[tuple[str, dict[object, object]]]:
    """Yield the tables that the deciding code looks things up in, each once."""
    seen = set[int]()
    for name, module in _modules():
        for called, table in tuple(vars(module).items()):
            if isinstance(table, dict) and not called.startswith("__") and id(table) not in seen:
                seen.add(id(table))
                yield f"{name}.{called}", table


def _modules() -> Iterator[tuple[str, Any]]:
    return ((name, module) for name, module in tuple(sys.modules.items()) if _is_deciding(name))


def _is_deciding(module: str) -> bool:
    return module.startswith(_PURE) or _is_road(module) or module in _OF_THIS_CONSOLE


def _is_road(module: str) -> bool:
    """Whether a module is the gate, or one of its parts."""
    return module.startswith("safeconsole.session.")


def _methods(kind: type) -> tuple[str, ...]:
    """Return the names of what a class does; what it is called and documented as does nothing."""
    return tuple(name for name, value in vars(kind).items() if isinstance(value, _ACTS))


def _attributes(kind: type) -> frozenset[str]:
    return frozenset(dir(kind))


def _is_ours(part: object) -> bool:
    module = part.__module__ if isinstance(part, type | FunctionType) else type(part).__module__
    return module.startswith("safeconsole.")
