"""One interpreter audit hook: it records, and by policy refuses, sockets, programs and ctypes in the Python console.

It stops accidents and habits. This process belongs to its user, whose code can take the hook down: the boundary is the
account on the server.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from types import FrameType
from typing import Any

from safeconsole.errors import RefusedError
from safeconsole.policy.policy import FenceMode, FenceSettings
from safeconsole.python.tracebacks import is_theirs

_PROGRAMS = frozenset(
    {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "pty.spawn"}
) | {"subprocess.Popen"}
# They start programs without an audit event of their own.
_SPAWNERS = frozenset({"multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver"})
_CTYPES = frozenset({"ctypes", "_ctypes", "cffi", "_cffi_backend"})
_MACHINERY = frozenset({"ctypes", "_ctypes", "importlib", "_frozen_importlib"})
# Which argument of the event is the address.
_CONNECTS = {"socket.connect": 1, "sqlite3.connect": 0}
_INSTEAD = {
    "programs": "leave the console, or use another terminal",
    "memory": "a library that needs it can be imported; code of your own cannot use it here",
    "sockets": "db.engine, db.session() and db.connect() lead to the cluster",
}


_mark = threading.local()


@contextmanager
def marked(*, console: bool) -> Iterator[None]:
    """Mark this thread's work as the console's own, or as the person's code; also a decorator."""
    before, _mark.console = getattr(_mark, "console", None), console
    try:
        yield
    finally:
        _mark.console = before


def _is_console() -> bool:
    if getattr(_mark, "console", None) is None:
        # The console's own threads have names that begin so: tests/architecture/test_walls.py.
        _mark.console = threading.current_thread().name.startswith("safeconsole-")
    return bool(_mark.console)


class AuditHook:
    """The hook of one session; it stays in the process, idle after `remove`.

    Args:
        fences, note: what the policy says of each kind, and what records a finding.
        nodes: the cluster's addresses ("host:port", or a path), asked anew each time.
    """

    def __init__(
        self, fences: Callable[[], FenceSettings], note: Callable[[str], None], nodes: Callable[[], Iterable[str]]
    ) -> None:
        self._fences, self._note, self._nodes = fences, note, nodes
        self._installed = False

    def install(self) -> None:
        """Install the hook from the console's own thread, before the person's code runs."""
        self._installed = _mark.console = True
        sys.addaudithook(self._hook)

    def remove(self) -> None:
        """Stop refusing, because the session is over."""
        self._installed = False

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        # The interpreter calls this for everything it does: what is common leaves at once.
        watched = event in _CONNECTS or event in _PROGRAMS or event == "import" or event.startswith("ctypes.")
        if not watched or not self._installed or _is_console():
            return
        with marked(console=True):
            kind, what = self._finding(event, args)
            if not kind:
                return
            refused = getattr(self._fences(), kind) is FenceMode.REFUSE
            self._note(what if refused else f"let pass, as the policy says: {what}")
        if refused:
            evidence = (f"the policy says fences.{kind}: refuse",)
            raise RefusedError(f"not allowed in this console: {what}", evidence=evidence, instead=_INSTEAD[kind])

    def _finding(self, event: str, args: tuple[Any, ...]) -> tuple[str, str]:
        """Return the fence that an audit event meets, and a description of the event; "" for none."""
        if event in _CONNECTS:
            address = args[_CONNECTS[event]]
            if _is_node(address, self._nodes()):
                shown = ":".join(map(str, address[:2])) if isinstance(address, tuple) else os.fsdecode(address)
                return "sockets", f"a direct connection to {shown}, a node of this cluster"
        elif event in _PROGRAMS:
            what = f" ({args[0][:80]})" if args and isinstance(args[0], str) else ""
            return "programs", f"{event} starts another program{what}"
        elif event == "import" and args[0] in _SPAWNERS:
            return "programs", f"import {args[0]} starts other programs"
        elif (event != "import" or args[0] in _CTYPES) and _is_called_by_source():
            return "memory", f"{f'import {args[0]}' if event == 'import' else event} reaches into memory"
        return "", ""


def _is_called_by_source() -> bool:
    """Whether the person's own source calls ctypes; libraries may."""
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001 (the caller of what raised the event)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _MACHINERY:
        frame = frame.f_back
    return frame is not None and is_theirs(frame.f_code.co_filename)


def _is_node(address: Any, nodes: Iterable[str]) -> bool:  # noqa: ANN401 (of any family)
    if isinstance(address, str | bytes | os.PathLike):
        path = os.fsdecode(address)
        if path.startswith("file:"):
            path = path.removeprefix("file:").partition("?")[0].removeprefix("//")
        return any(os.path.realpath(path) == os.path.realpath(node) for node in nodes if "/" in node)
    for node in nodes if isinstance(address, tuple) else ():
        name, _, port = node.rpartition(":") if node.rpartition(":")[2].isdecimal() else (node, "", "3306")
        host, name = str(address[0]), name.strip("[]")
        if str(address[1]) == port and (host == name or _numbers(host) & _numbers(name)):
            return True
    return False


def _numbers(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return {host}
    numbers = (ip_address(str(each[4][0]).partition("%")[0]) for each in found)
    plain = {getattr(number, "ipv4_mapped", None) or number for number in numbers}
    # One spelling for this computer: Linux connects "any address" to it, and 127.0.0.2 as well as 127.0.0.1.
    return {"loopback" if number.is_loopback or number.is_unspecified else str(number) for number in plain}
