"""
Who set something off: the console itself, walking through one of its doors, or the person's own code.

Told by the frames on the stack, which code that wants to can forge: enough for accidents and short cuts.
"""

from __future__ import annotations

import sys
from types import FrameType

from safeconsole.shells.python.tracebacks import is_theirs

_CONSOLE = "safeconsole."
_ADAPTERS = "safeconsole.adapters."
_GATE = "safeconsole.gate"
_INSIDE = (_ADAPTERS, "safeconsole.road.")
_MACHINERY = frozenset({"ctypes", "_ctypes", "importlib", "_frozen_importlib"})
_GENERATED = "<string>"


def frame_outside(file: str) -> FrameType | None:
    """Return the innermost frame that is not of a file."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (nothing else is quick enough)
    while frame is not None and frame.f_code.co_filename in {file, __file__}:
        frame = frame.f_back
    return frame


def is_adapters_work(frame: FrameType | None) -> bool:
    """
    Whether the console's own adapters are at work (the engine, the journal, the secrets), called through a door.

    A thread of the adapters' own has nobody behind it.
    """
    adapters, door, person = _walk(frame)
    return adapters and (not person or _is_door(door))


def is_through_a_door(frame: FrameType | None) -> bool:
    """Whether what is done was asked of a shell, a job or the gate, and not of a part behind them."""
    return _is_door(_walk(frame)[1])


def is_called_by_person(frame: FrameType | None) -> bool:
    """Whether the first frame that is not Python's own machinery is the person's own code."""
    while frame is not None and _module(frame).partition(".")[0] in _MACHINERY:
        frame = frame.f_back
    return frame is not None and is_theirs(frame.f_code.co_filename)


def _walk(frame: FrameType | None) -> tuple[bool, FrameType | None, bool]:
    """Return whether adapters are at work, the console's frame next to the person's code, and whether there is any."""
    adapters, door = False, None
    while frame is not None:
        module = _module(frame)
        if module.startswith(_CONSOLE):
            adapters, door = adapters or module.startswith(_ADAPTERS), frame
        elif _is_persons(frame, module):
            return adapters, door, True
        frame = frame.f_back
    return adapters, door, False


def _is_door(frame: FrameType | None) -> bool:
    if frame is None or _module(frame).startswith(_INSIDE):
        return False
    return _module(frame) != _GATE or not frame.f_code.co_name.startswith("_")


def _is_persons(frame: FrameType, module: str) -> bool:
    # Libraries generate functions, too; a person's `exec` runs in the console's namespace.
    if frame.f_code.co_filename == _GENERATED:
        return module == "__main__"
    return is_theirs(frame.f_code.co_filename)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
