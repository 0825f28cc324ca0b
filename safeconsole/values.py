"""
The `dataclass` of this program: the standard library's, but its methods are made when they are first needed.

The standard library writes and compiles six functions for every frozen slotted class, 0.7 ms each on Python 3.11,
measured: seventy of them were a third of what a start costs. Type checkers see the standard library's.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 (the checker's way to say that it is ours to give)
    from typing import Any, NoReturn
else:

    def dataclass(
        *, slots: bool, frozen: bool = False, kw_only: bool = False, eq: bool = True
    ) -> Callable[[type], type]:
        """Return what makes a slotted class of a class with annotations; see `dataclasses.dataclass`."""

        def made(plain: type) -> type:
            described = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(plain)
            return _finished(_slotted(described), frozen=frozen, eq=eq)

        if not slots:
            raise TypeError("a class without slots takes what is misspelt: every one of ours has them")
        return made


def _slotted(plain: type) -> type:
    """Return a class anew with a slot for each field: slots cannot be added to one that is there."""
    inherited = {name for base in plain.__mro__[1:] for name in getattr(base, "__dataclass_fields__", ())}
    if inherited:
        raise TypeError(f"{plain.__name__} inherits fields: write them out")
    names = tuple(_fields(plain))
    content = {name: value for name, value in vars(plain).items() if name not in {*names, "__dict__", "__weakref__"}}
    made = type(plain)(plain.__name__, plain.__bases__, content | {"__slots__": names})
    made.__qualname__ = plain.__qualname__
    return made


def _finished(made: Any, *, frozen: bool, eq: bool) -> type:  # noqa: ANN401 (a class that is being made)
    """Give a class its methods, cheap ones that are right, and an `__init__` that writes the real one when called."""
    parameters = made.__dataclass_params__
    parameters.init, parameters.repr, parameters.eq, parameters.frozen = True, True, eq, frozen
    methods: dict[str, Any] = {"__init__": _first_init(made), "__repr__": _repr}
    if eq:
        key = _key(tuple(name for name, field in _fields(made).items() if field.compare))
        methods |= {"__eq__": _eq(key), "__hash__": _hash(key) if frozen else None}
    if frozen:
        methods |= {"__setattr__": _refuse_change, "__delattr__": _refuse_change}
        methods |= {"__getstate__": _state, "__setstate__": _set_state}
    for name, method in methods.items():
        # What the class says itself stays; Python itself puts `__hash__ = None` beside an `__eq__`.
        if name not in vars(made) or (name == "__hash__" and vars(made)[name] is None):
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def _first_init(made: Any) -> Callable[..., None]:  # noqa: ANN401
    def __init__(self: object, *given: object, **named: object) -> None:  # noqa: N807 (it becomes that)
        if vars(made)["__init__"] is __init__:
            written = _written_init(made)
            written.__qualname__ = f"{made.__qualname__}.__init__"
            made.__init__ = written
        made.__init__(self, *given, **named)

    __init__.__qualname__ = f"{made.__qualname__}.__init__"
    return __init__


def _written_init(made: Any) -> Any:  # noqa: ANN401
    """Return the real `__init__`, compiled from text as the standard library does it."""
    scope: dict[str, object] = {"_MISSING": dataclasses.MISSING}
    signature: list[tuple[object, str]] = []
    body: list[str] = []
    for name, field in _fields(made).items():
        # The slot's own setter: nothing of the class stands between, so that a frozen one can be filled.
        scope[f"_set_{name}"] = getattr(made, name).__set__
        default, make = f"_default_{name}", field.default_factory
        made_each_time = make is not dataclasses.MISSING
        scope[default] = make if made_each_time else field.default
        if not field.init:
            # Given by nobody: its default, or what `__post_init__` makes of the others.
            if scope[default] is not dataclasses.MISSING:
                body.append(f"_set_{name}(self, {default}{'()' if made_each_time else ''})")
            continue
        absent = "_MISSING" if made_each_time else default
        signature.append((field.kw_only, name if scope[default] is dataclasses.MISSING else f"{name}={absent}"))
        value = f"{default}() if {name} is _MISSING else {name}" if made_each_time else name
        body.append(f"_set_{name}(self, {value})")
    if hasattr(made, "__post_init__"):
        body.append("self.__post_init__()")
    named = [part for kw_only, part in signature if kw_only]
    words = ["self", *(part for kw_only, part in signature if not kw_only), *(["*", *named] if named else [])]
    text = f"def __init__({', '.join(words)}):\n " + "\n ".join(body or ["pass"])
    # Field names only, which Python has read as names already.
    exec(text, scope)  # noqa: S102
    return scope["__init__"]


def _fields(made: type) -> dict[str, dataclasses.Field[Any]]:
    found: dict[str, dataclasses.Field[Any]] = made.__dataclass_fields__  # type: ignore[attr-defined]
    return found


def _key(names: tuple[str, ...]) -> Callable[[object], tuple[object, ...]]:
    """Return what makes the tuple that instances are compared by."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda each: tuple(getattr(each, name) for name in names)


def _eq(key: Callable[[object], tuple[object, ...]]) -> Callable[[object, object], object]:
    def __eq__(self: object, other: object) -> object:  # noqa: N807
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(key: Callable[[object], tuple[object, ...]]) -> Callable[[object], int]:
    def __hash__(self: object) -> int:  # noqa: N807
        return hash(key(self))

    return __hash__


def _repr(self: object) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, field in _fields(type(self)).items() if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_change(self: object, name: str, *_value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r} of {type(self).__name__}")


def _state(self: object) -> list[object]:
    return [getattr(self, name) for name in _fields(type(self))]


def _set_state(self: object, state: list[object]) -> None:
    for name, value in zip(_fields(type(self)), state, strict=True):
        object.__setattr__(self, name, value)
