"""Fences inside this process: an interpreter audit hook that records, and refuses, what leads round the gate."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from types import FrameType
from typing import Any

from safeconsole.errors import RefusedError
from safeconsole.policy.policy import Fencing
from safeconsole.python.line import Line
from safeconsole.python.tracebacks import is_theirs

# --------------------------------------------------------------------------------------------------------------------
# Whether an address leads to one of the cluster's nodes, by whatever name.


_DEFAULT_PORT = 3306
_LOOPBACK = "this computer"


def leads_to(address: object, nodes: Iterable[str]) -> bool:
    """
    Whether a socket's address is a node's, by name or by any address that the name has.

    Args:
        address: as `socket.connect` takes it: (host, port, …), or a path.
        nodes: "host:port", or a socket's path.
    """
    if isinstance(address, str | bytes):
        path = os.fsdecode(address)
        return any(path == node or os.path.realpath(path) == os.path.realpath(node) for node in nodes if "/" in node)
    if not isinstance(address, tuple) or len(address) < 2:
        return False
    host, port = str(address[0]), address[1]
    for node in nodes:
        name, wanted = _host_and_port(node)
        if wanted == port and (host == name or _numbers(host) & _numbers(name)):
            return True
    return False


def is_file_of(database: object, nodes: Iterable[str]) -> bool:
    """
    Whether what `sqlite3.connect` is given is a node's file.

    Args:
        database: a path, or a URI that begins with "file:".
        nodes: as in `leads_to`; those of the embedded engine are files.
    """
    if not isinstance(database, str | bytes | os.PathLike):
        return False
    path = os.fsdecode(database)
    if path.startswith("file:"):
        path = path.removeprefix("file:").partition("?")[0].removeprefix("//")
    return any(os.path.realpath(path) == os.path.realpath(node) for node in nodes if "/" in node)


def address_text(address: object) -> str:
    """Return a socket's address as a person reads it."""
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)


def _host_and_port(node: str) -> tuple[str, int]:
    host, colon, port = node.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdecimal() else (node.strip("[]"), _DEFAULT_PORT)


def _numbers(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return {host}
    return {_number(str(each[4][0])) for each in found}


def _number(text: str) -> str:
    """Return one spelling for all the addresses of one interface that a socket reaches it by."""
    try:
        number = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    # Linux connects "any address" to this computer, and 127.0.0.2 as well as 127.0.0.1.
    return _LOOPBACK if number.is_loopback or number.is_unspecified else str(number)


# --------------------------------------------------------------------------------------------------------------------
# Who set something off: the console itself, walking through one of its doors, or the person's own code.
#
# Told by the frames on the stack, which code that wants to can forge: enough for accidents and short cuts.


_CONSOLE = "safeconsole."
_ADAPTERS = tuple(
    f"safeconsole.{name}." for name in ("mysql", "sqlite", "cluster", "audit", "approvals", "config", "capacity.shelf")
)
_GATE = "safeconsole.session.gate"
_INSIDE = (*_ADAPTERS, "safeconsole.session.")
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
    if frame is None:
        return False
    if _module(frame) == _GATE:
        return not frame.f_code.co_name.startswith("_")
    return not _module(frame).startswith(_INSIDE)


def _is_persons(frame: FrameType, module: str) -> bool:
    # Libraries generate functions, too; a person's `exec` runs in the console's namespace.
    if frame.f_code.co_filename == _GENERATED:
        return module == "__main__"
    return is_theirs(frame.f_code.co_filename)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


# --------------------------------------------------------------------------------------------------------------------
# Fences inside this process: an interpreter audit hook that records, and refuses, what leads round the gate.
#
# Honestly: this process belongs to its user, and code in it can take any fence down. What bounds the damage is the
# account on the server, which cannot write and cannot see others' statements. The fences stop accidents and short
# cuts (a library with an engine of its own, a shell command, a hand in the journal), and leave a trace.


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
        "os.chown", "os.utime", "shutil.rmtree",
    }
)  # fmt: skip
_SPAWNERS = frozenset({"multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver"})
"""They start programs without an audit event of their own."""

_MEMORY = frozenset(
    {
        "ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.addressof", "ctypes.string_at",
        "ctypes.wstring_at", "ctypes.cdata", "ctypes.cdata/buffer", "ctypes.PyObj_FromPtr", "ctypes.call_function",
    }
)  # fmt: skip
_WHOLE = frozenset({"os.rename", "shutil.rmtree"})
"""What does to a directory's content what it does to the directory."""

_NO_DIRECTORY = -1
_DESCRIPTORS: dict[str, tuple[int, ...]] = {
    "os.remove": (1,),
    "os.rename": (2, 3),
    "os.link": (2, 3),
    "os.symlink": (2,),
    "os.mkdir": (2,),
    "os.rmdir": (1,),
    "os.chmod": (2,),
    "os.chown": (3,),
    "os.utime": (3,),
    "shutil.rmtree": (1,),
}
"""Where an event says which open directory its paths are relative to. Source: Python manual, "Audit events table"."""

_INSTEAD = {
    "programs": "leave the console, or use another terminal",
    "journal": "safeconsole audit reads and exports the journals",
    "memory": "a library that needs it can be imported; code of your own cannot use it here",
    "sockets": "db.engine, db.session() and db.connect() lead to the cluster",
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
            if getattr(self._line.gate.policy.fences, what) is Fencing.RECORD:
                self._line.gate.note("fence", f"let pass, as the policy says: {detail}")
                return
            self._line.gate.note("fence", detail)
        finally:
            self._busy.now = False
        raise RefusedError(
            f"not from this console: {detail}",
            evidence=(f"policy {self._line.gate.policy.label}: fences.{what} refuses",),
            instead=_INSTEAD[what],
        )

    def _program(self, event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        if is_adapters_work(_frame()):
            return None
        what = args[0] if args and isinstance(args[0], str) else ""
        return "programs", f"{event} starts another program{f' ({what[:80]})' if what else ''}"

    def _file(self, event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        if event == "open" and not _is_writing(args):
            return None
        for path in _paths(event, args):
            if _is_memory(path):
                return "memory", f"{event} of {path} reaches into memory"
            if self._is_in_journal(path, whole=event in _WHOLE) and not is_adapters_work(_frame()):
                return "journal", f"{event} would change the journal"
        return None

    def _is_in_journal(self, path: str, *, whole: bool) -> bool:
        if not self._journal:
            return False
        return (
            path == self._journal
            or path.startswith(self._journal + os.sep)
            or (whole and self._journal.startswith(path + os.sep))
        )

    def _memory(self, event: str, _args: tuple[Any, ...]) -> tuple[str, str] | None:
        # Libraries import ctypes for reasons of their own; only code of the person's own is held back.
        return ("memory", f"{event} reaches into memory") if is_called_by_person(_frame()) else None

    def _import(self, _event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        if args[0] in _SPAWNERS:
            return "programs", f"import {args[0]} starts other programs"
        if args[0] not in {"ctypes", "_ctypes", "cffi", "_cffi_backend"} or not is_called_by_person(_frame()):
            return None
        return "memory", f"import {args[0]} reaches into memory"

    def _socket(self, _event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        address = args[1]
        if not leads_to(address, self._nodes()) or is_adapters_work(_frame()):
            return None
        return "sockets", f"a connection of its own to {address_text(address)}, a node of this cluster"

    def _database(self, _event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
        if is_adapters_work(_frame()):
            return None
        if is_file_of(args[0], self._nodes()):
            return "sockets", "a connection of its own to the file of a node of this cluster"
        return self._file("sqlite3.connect", args)

    def _send(self, _event: str, _args: tuple[Any, ...]) -> tuple[str, str] | None:
        if is_through_a_door(_frame()):
            return None
        return "tampering", "a statement was sent past the gate's doors"

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
    "sqlite3.connect": Fences._database,  # noqa: SLF001
    "safeconsole.send": Fences._send,  # noqa: SLF001
    "object.__setattr__": Fences._attribute,  # noqa: SLF001
}


def _frame() -> FrameType | None:
    """Return the frame that set off the hook."""
    return frame_outside(__file__)


def _paths(event: str, args: tuple[Any, ...]) -> list[str]:
    """Return the paths that an event names, without links, and the directories that they are relative to resolved."""
    found = []
    # Of "open" the second is the mode.
    for at, path in enumerate(args[: 1 if event == "open" else 2]):
        if not isinstance(path, str | bytes | os.PathLike):
            continue
        places = _DESCRIPTORS.get(event, ())
        place = args[places[min(at, len(places) - 1)]] if places and len(args) > places[-1] else _NO_DIRECTORY
        start = f"/proc/self/fd/{place}" if isinstance(place, int) and place >= 0 else ""
        try:
            found.append(os.path.realpath(os.path.join(start, os.fsdecode(path))))  # noqa: PTH118 (bytes, too)
        except (ValueError, OSError):
            continue
    return found


def _is_memory(path: str) -> bool:
    return path.startswith("/proc/") and path.endswith("/mem")


def _is_writing(args: tuple[Any, ...]) -> bool:
    mode = args[1] if isinstance(args[1], str) else ""
    flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
    return bool(set(mode) & set("wax+")) or bool(flags & _WRITING)
