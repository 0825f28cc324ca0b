"""Differences between the drivers, as data, and the meaning of their error numbers for a pool.

Source: PyMySQL 1.2, mysqlclient 2.3, mysql-connector-python 26.10 against MySQL 9.7 and MariaDB 10.11, measured;
the numbers from the manuals' "Server Error Message Reference"; those of Aurora from its manual, never met live.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CLOSED = -1
"""Stands for the socket of a closed connection."""

_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}

UNREACHABLE = frozenset({2002, 2003, 2005, 2006, 2012, 2013, 2055, 1053, 3032})
"""Connect errors that are not the account's: the node is gone, or going."""

BUSY = frozenset({1040, 1203, 1226})
"""Connect errors of a node that is full."""

_LOST = frozenset({2006, 2013, 2055, 1053, 1927})
_READ_ONLY = frozenset({1836, 1874, 3604, 3501})
# One number for many things; only the text tells them apart.
_READ_ONLY_TEXTS = {
    1290: ("--read-only", "--super-read-only", "--read_only"),
    1015: ("errno: 165",),
    1036: ("read only",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDriver:
    """One driver.

    Attributes:
        socket_of: file number of a connection's socket, CLOSED, or None where the driver does not show it.
        read_timeout: name of its read timeout attribute, or "" where it is fixed at connecting.
    """

    connect_timeout: str
    socket_of: Callable[[Any], int | None]
    read_timeout: str = ""

    def has_ended(self, connection: object) -> bool:
        """Whether the server closed an idle connection; no round trip, False where it cannot be seen."""
        number = self.socket_of(connection)
        if number is None:
            return False
        try:
            poll = select.poll()
            poll.register(number, select.POLLIN)
            # An idle server says nothing: whatever comes is its farewell.
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def towards(self, parameters: Mapping[str, Any], address: tuple[str, int], *, seconds: float) -> dict[str, Any]:
        """Return connect parameters for one node; the application's own timeout has priority."""
        host, port = address
        aimed = {self.connect_timeout: max(round(seconds), 1), **parameters}
        return {**aimed, "host": host, "port": port} if host else aimed

    def probing(self, parameters: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """Return connect parameters with limited reads and writes, for a probe."""
        whole = max(round(seconds), 1)
        return {**parameters, self.connect_timeout: whole, "read_timeout": whole, "write_timeout": whole}

    def limited(self, parameters: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """Return connect parameters with limited reads until `unlimit`, where the driver can undo the limit."""
        return {**parameters, "read_timeout": max(round(seconds), 1)} if self.read_timeout else dict(parameters)

    def unlimit(self, connection: object, parameters: Mapping[str, Any]) -> None:
        """Give a new connection the application's own read timeout, if any."""
        if self.read_timeout:
            setattr(connection, self.read_timeout, parameters.get("read_timeout"))

    @contextlib.contextmanager
    def patience(self, connection: object, seconds: float) -> Iterator[None]:
        """Limit the reads of a connection temporarily, where the driver can."""
        if not self.read_timeout:
            yield
            return
        before = getattr(connection, self.read_timeout)
        setattr(connection, self.read_timeout, seconds)
        try:
            yield
        finally:
            setattr(connection, self.read_timeout, before)

    def keep_alive(self, connection: object) -> None:
        """Have the kernel detect within about ten seconds that the peer is gone, also while a read waits."""
        number = self.socket_of(connection)
        if number is None or number == CLOSED:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _pymysql_socket(connection: Any) -> int | None:  # noqa: ANN401  (a connection of any driver)
    sock = connection._sock  # noqa: SLF001  (no public face has it)
    return CLOSED if sock is None else int(sock.fileno())


def _mysqlclient_socket(connection: Any) -> int | None:  # noqa: ANN401
    try:
        return int(connection.fileno())
    except Exception:  # noqa: BLE001  (its own errors, which cannot be named without importing it)
        return CLOSED


def _connector_socket(connection: Any) -> int | None:  # noqa: ANN401
    # Its C extension shows no socket.
    sock = getattr(getattr(connection, "_socket", None), "sock", None)
    return None if sock is None else int(sock.fileno())


DRIVERS: Mapping[str, PoolDriver] = {
    "pymysql": PoolDriver(connect_timeout="connect_timeout", socket_of=_pymysql_socket, read_timeout="_read_timeout"),
    "mysqldb": PoolDriver(connect_timeout="connect_timeout", socket_of=_mysqlclient_socket),
    "mysqlconnector": PoolDriver(
        connect_timeout="connection_timeout", socket_of=_connector_socket, read_timeout="_read_timeout"
    ),
}
"""By SQLAlchemy's name of the driver."""


def code_of(error: BaseException) -> int:
    """Return the error number of a driver's error, or 0."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def text_of(error: BaseException) -> str:
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    return (text.splitlines() or [type(error).__name__])[0][:200]


def is_lost(error: BaseException) -> bool:
    return code_of(error) in _LOST


def is_refused_for_role(error: BaseException) -> bool:
    """Whether a server refused to write because it is not a primary."""
    code = code_of(error)
    text = text_of(error).lower()
    return code in _READ_ONLY or any(part in text for part in _READ_ONLY_TEXTS.get(code, ()))
