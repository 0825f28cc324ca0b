"""
Fences inside this process: an interpreter audit hook that records, and refuses, what leads round the gate.

Honestly: this process belongs to its user, and code in it can take any fence down. What bounds the damage is the
account on the server, which cannot write and cannot see others' statements. The fences stop accidents and short
cuts (a library with an engine of its own, a shell command, a hand in the journal), and leave a trace.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from safeconsole.core.errors import RefusedError
from safeconsole.shells.python.line import Line
from safeconsole.shells.python.tracebacks import is_theirs

_ADAPTERS = "safeconsole.adapters."
_DEFAULT_PORT = 3306
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROGRAMS = frozenset(
    {
        "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.fork", "os.forkpty", "pty.spawn",
        "subprocess.Popen",
    }
)  # fmt: skip
_FILES = frozenset(
    {
        "open", "os.remove", "os.rename", "os.truncate", "os.link", "os.symlink", "os.rmdir", "os.mkdir", "os.chmod",
        "os.chown", "os.utime", "sqlite3.connect",
    }
)  # fmt: skip
_MEMORY = frozenset(
    {
        "ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.addressof", "ctypes.string_at",
        "ctypes.wstring_at", "ctypes.cdata", "ctypes.cdata/buffer", "ctypes.PyObj_FromPtr", "ctypes.call_function",
    }
)  # fmt: skip
_MACHINERY = ("ctypes", "_ctypes", "importlib", "_frozen_importlib")
_INSTEAD = {
    "program": "leave the console, or use another terminal",
    "journal": "safeconsole audit reads and exports the journals",
    "memory": "a library that needs it can be imported; code of your own cannot use it here",
    "socket": "db.engine, db.session() and db.connect() lead to the cluster",
}


class Fences:
    """
    One session's fences; the hook stays in the process and is idle once they are down.

    Args:
        line: where findings are recorded, and where tampering ends the session.
        journal_directory: where nothing but the journal writes, or "".
        nodes: the cluster's addresses ("host:port", or a socket's path), asked anew each time.
    """

    def __init__(self, line: Line, *, journal_directory: str, nodes: Callable[[], Iterable[str]]) -> None:
        self._line = line
        self._journal = str(Path(journal_directory).resolve()) if journal_directory else ""
        self._nodes = nodes
        self._up = False
        self._busy = threading.local()

    def put_up(self) -> None:
        """Install the hook; from now on the fences hold."""
        self._up = True
        sys.addaudithook(self._hook)

    def take_down(self) -> None:
        """Let everything pass: the session is over."""
        self._up = False

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        # Called for everything the interpreter does: what does not matter leaves at once.
        look = _LOOKS.get(event)
        if look is None or not self._up or getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            found = look(self, event, args)
            if found is None:
                return
            what, detail = found
            if what == "tampering":
                self._line.end_session(detail)
            self._line.gate.note("fence", detail)
        finally:
            self._busy.now = False
        raise RefusedError(f"not from this console: {detail}", instead=_INSTEAD[what])

    def _program(self, event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        if _of_console(_frame()):
            return None
        what = args[0] if args and isinstance(args[0], str) else ""
        return "program", f"{event} starts another program{f' ({what[:80]})' if what else ''}"

    def _file(self, event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        if not self._journal or (event == "open" and not _is_writing(args)):
            return None
        for path in args[:2]:
            if isinstance(path, str | bytes | os.PathLike) and self._is_in_journal(path) and not _of_console(_frame()):
                return "journal", f"{event} would change the journal"
        return None

    def _is_in_journal(self, path: str | bytes | os.PathLike[Any]) -> bool:
        try:
            place = os.path.realpath(os.fsdecode(path))
        except (ValueError, OSError):
            return False
        return place == self._journal or place.startswith(self._journal + os.sep)

    def _memory(self, event: str, _args: tuple[Any, ...]) -> tuple[str, str] | None:
        # Libraries import ctypes for reasons of their own; only code of the person's own is held back.
        return ("memory", f"{event} reaches into memory") if _is_called_by_person(_frame()) else None

    def _import(self, _event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        if args[0] not in {"ctypes", "_ctypes", "cffi", "_cffi_backend"} or not _is_called_by_person(_frame()):
            return None
        return "memory", f"import {args[0]} reaches into memory"

    def _socket(self, _event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        address = args[1]
        if not _leads_to(address, tuple(self._nodes())) or _of_console(_frame()):
            return None
        return "socket", f"a connection of its own to {_named(address)}, a node of this cluster"

    def _attribute(self, _event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        # Raised for the attributes that make a function what it is: __code__, __defaults__, __kwdefaults__.
        module = getattr(args[0], "__module__", None)
        if not isinstance(module, str) or not module.startswith("safeconsole."):
            return None
        return "tampering", f"{args[1]} of {module}.{getattr(args[0], '__qualname__', '?')} was replaced"


_LOOKS: dict[str, Callable[[Fences, str, tuple[Any, ...]], tuple[str, str] | None]] = {
    **dict.fromkeys(_PROGRAMS, Fences._program),  # noqa: SLF001 (its own table)
    **dict.fromkeys(_FILES, Fences._file),  # noqa: SLF001
    **dict.fromkeys(_MEMORY, Fences._memory),  # noqa: SLF001
    "import": Fences._import,  # noqa: SLF001
    "socket.connect": Fences._socket,  # noqa: SLF001
    "object.__setattr__": Fences._attribute,  # noqa: SLF001
}


def _frame() -> FrameType | None:
    """Return the frame that set off the hook."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (nothing else is quick enough)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _of_console(frame: FrameType | None) -> bool:
    """Whether the console's own adapters are at work: the engine, the journal, the secrets."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_ADAPTERS):
            return True
        frame = frame.f_back
    return False


def _is_called_by_person(frame: FrameType | None) -> bool:
    """Whether the first frame that is not Python's own machinery is the person's own code."""
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _MACHINERY:
        frame = frame.f_back
    return frame is not None and is_theirs(frame.f_code.co_filename)


def _is_writing(args: tuple[Any, ...]) -> bool:
    mode = args[1] if isinstance(args[1], str) else ""
    flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
    return bool(set(mode) & set("wax+")) or bool(flags & _WRITING)


def _leads_to(address: object, nodes: tuple[str, ...]) -> bool:
    """Whether a socket's address is a node's, by name or by any address that the name has."""
    if isinstance(address, str | bytes):
        return os.fsdecode(address) in nodes
    if not isinstance(address, tuple) or len(address) < 2:
        return False
    host, port = str(address[0]), address[1]
    for node in nodes:
        name, wanted = _host_and_port(node)
        if wanted == port and (host == name or _numbers(host) & _numbers(name)):
            return True
    return False


def _host_and_port(node: str) -> tuple[str, int]:
    host, colon, port = node.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdecimal() else (node.strip("[]"), _DEFAULT_PORT)


def _numbers(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return {host}


def _named(address: object) -> str:
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)
