"""Where a connection leads, who logs in there, and the socket to it."""

from __future__ import annotations

import math
import socket
import ssl
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from safeconsole.mysql.bastion import Bastion


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to open another connection to the same address.

    Attributes:
        host: the configured name, which a certificate must carry.
        ip: what it resolved to, once; "" for a socket, and behind a bastion.
        socket: path of a Unix socket, or "".
        bastion: reaches it, where its network is another one.
        password: its secret; never shown.
        tls: how the server proves itself, or None where that is not asked.
        server_key: the public key that a password is encrypted with where the connection is not; b"" is, on loopback
            alone, the one that is given there.
        connect_seconds: for all of connecting together, until `Wire.ready`, and then for each answer until
            `Wire.wait_at_most` says otherwise.
        is_leased: whether the account was made for a while, so that the next login may be another account's.
        retired_seconds: monotonic reading from which on a connection is `Wire.is_retired`.
    """

    host: str
    ip: str
    port: int
    socket: str
    account: str
    password: str
    tls: ssl.SSLContext | None
    connect_seconds: float
    server_key: bytes = b""
    bastion: Bastion | None = None
    is_leased: bool = False
    retired_seconds: float = math.inf

    def __repr__(self) -> str:
        return f"Login({self.account}@{self.address})"

    @property
    def address(self) -> str:
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return self.socket or f"{ip or self.host}:{self.port}"


def open_socket(login: Login) -> socket.socket:
    """Return a connected socket. Raises OSError, UnreachableError."""
    if login.bastion is not None:
        return login.bastion.connect(login.host, login.port, within_seconds=login.connect_seconds)
    if login.socket:
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        plain.settimeout(login.connect_seconds)
        try:
            plain.connect(login.socket)
        except OSError:
            plain.close()
            raise
        return plain
    # As bytes: for text, Python loads the tables of international names first, even where it is an address.
    place: Any = (login.ip.encode(), login.port)
    opened = socket.create_connection(place, login.connect_seconds)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return opened
