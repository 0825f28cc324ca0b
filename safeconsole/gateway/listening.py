"""The sockets that a gateway listens at; one process binds them, and those that it forks share them."""

from __future__ import annotations

import errno
import socket
import stat
from pathlib import Path

import msgspec

from safeconsole.errors import ConfigurationError

_BACKLOG = 128
_SILENT_SECONDS, _ASK_AGAIN_SECONDS, _ASKED_AT_MOST = 10, 5, 3


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """One listening socket.

    Attributes:
        is_local: whether it is a Unix socket.
        address: its path, or HOST:PORT.
    """

    sock: socket.socket
    is_local: bool
    address: str


def bound_at(path: str) -> Listener:
    """Listen at a Unix socket that every account may connect to. Raises ConfigurationError."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead_socket(Path(path))
        listening.bind(path)
        # Who connects is known by their account, whoever may open the file.
        Path(path).chmod(0o666)
        listening.listen(_BACKLOG)
    except OSError as failure:
        listening.close()
        raise ConfigurationError(f"--socket {path}: {(failure.strerror or str(failure)).lower()}") from failure
    return _listener(listening, path, is_local=True)


def bound_on(host: str, port: int, *, option: str = "--listen") -> Listener:
    """Listen on a TCP address. Raises ConfigurationError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as failure:
        raise ConfigurationError(f"{option} {host}:{port}: {(failure.strerror or str(failure)).lower()}") from failure
    return _listener(listening, f"{host}:{listening.getsockname()[1]}", is_local=False)


def notice_a_dead_line(sock: socket.socket) -> None:
    """Set TCP keep-alive, so that a dead peer is noticed within half a minute."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _ASK_AGAIN_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _ASKED_AT_MOST)


def _listener(listening: socket.socket, address: str, *, is_local: bool) -> Listener:
    # Whoever was told of a client that another process accepted must not wait for the next one.
    listening.setblocking(False)
    return Listener(sock=listening, is_local=is_local, address=address)


def _remove_dead_socket(path: Path) -> None:
    """Remove a stale socket file. Raises OSError: something else is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "something that is no socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
        trying.settimeout(1)
        try:
            trying.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another gateway listens there")
