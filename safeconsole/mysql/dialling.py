"""Resolves a node's address once, chooses TLS, and opens connections to it."""

from __future__ import annotations

import ipaddress
import math
import socket
import ssl
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from pymysql.constants import ER

from safeconsole.clock import Clock
from safeconsole.config.secrets import Secret, Secrets
from safeconsole.config.settings import TlsSettings
from safeconsole.errors import ConfigurationError, UnreachableError
from safeconsole.mysql.error_codes import code_of, connect_error, is_lost
from safeconsole.mysql.login import Login
from safeconsole.mysql.wire import DriverError, Wire

if TYPE_CHECKING:
    from safeconsole.mysql.bastion import Bastion

DEFAULT_PORT = 3306

_REPLICATED_SECONDS = 0.1


class NodeAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A node's address, resolved once.

    Attributes:
        host: the configured name, "" for a socket.
        ip: what it resolved to, "" for a socket, and where a bastion resolves it.
        port: TCP port, 0 for a socket.
        socket: path, or "".
        bastion: the host that it is reached through, or "".
    """

    host: str = ""
    ip: str = ""
    port: int = 0
    socket: str = ""
    bastion: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the address is local, a socket or loopback, so that traffic cannot be intercepted."""
        return bool(self.socket) or (not self.bastion and ipaddress.ip_address(self.ip).is_loopback)

    @property
    def named(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.socket or f"{host}:{self.port}"

    @property
    def address(self) -> str:
        if self.bastion:
            return self.named
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return self.socket or f"{ip}:{self.port}"


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of "host", "host:port", "[v6]:port". Raises ConfigurationError: it is neither of these."""
    host, port = address, str(DEFAULT_PORT)
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"not a node's address: {address}", instead="write host:port, or a socket's path")
    return host, int(port)


def resolve(address: str, *, bastion: str = "") -> NodeAddress:
    """Resolve an address, unless a bastion does; later connections use the result, not the name.

    Raises:
        ConfigurationError: it is not an address.
        UnreachableError: the name does not resolve.
    """
    if address.startswith("/"):
        return NodeAddress(socket=address)
    host, port = split_address(address)
    if bastion:
        return NodeAddress(host=host, port=port, bastion=bastion)
    try:
        # As bytes where it can be: for text, Python loads the tables of international names first.
        name = host.encode("ascii") if host.isascii() else host
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnreachableError(f"{host} does not resolve: {why.lower()}") from None
    # MySQL listens on IPv4 wherever a name has both; the first of those, else the first of all.
    v4 = [entry for entry in found if entry[0] is socket.AF_INET]
    return NodeAddress(host=host, ip=str((v4 or found)[0][4][0]), port=port)


def tls_for(place: NodeAddress, settings: TlsSettings) -> ssl.SSLContext | None:
    """Return the TLS context that verifies a server, or None for a local address.

    Raises:
        ConfigurationError: TLS is disabled for a place that needs it, or the authority cannot be read.
    """
    if settings.mode == "disabled" and not place.is_local:
        raise ConfigurationError(
            f"TLS is disabled, and {place.address} is neither loopback nor a socket",
            instead='set clusters.*.tls.mode to "verify-identity", and tls.ca where the authority is private',
        )
    if settings.mode == "disabled" or (place.is_local and not settings.ca):
        return None
    try:
        return _tls_context(settings.mode, settings.ca, Path(settings.ca).stat().st_mtime_ns if settings.ca else 0)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"clusters.*.tls.ca cannot be read: {settings.ca} ({error})") from None


# Reading the certificates of this computer takes 25 ms of the processor, and a session opens many connections.
@lru_cache(maxsize=8)
def _tls_context(mode: str, ca: str, _changed_ns: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca or None)
    # Certificates that MySQL makes for itself lack what RFC 5280 asks of an authority.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = mode == "verify-identity"
    return context


def _server_key(settings: TlsSettings) -> bytes:
    if not settings.server_key:
        return b""
    try:
        key = Path(settings.server_key).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"clusters.*.tls.server_key cannot be read: {error}") from None
    if b"-----BEGIN PUBLIC KEY-----" not in key:
        raise ConfigurationError(
            f"clusters.*.tls.server_key is not a public key: {settings.server_key}",
            instead="copy public_key.pem from the server's data directory",
        )
    return key


HOLD_SECONDS = 5.0
"""How long a password is reused: a start opens several connections, and a rotated one must be found soon."""


class HeldSecret:
    """The secret of one account, cached for a while; thread-safe.

    A source may be a program that takes a second or asks for a touch of a key: every node's connection,
    and the one for the statement, would start it again.

    Args:
        is_by_node: whether a node's is good for that node alone, as an IAM token is.
    """

    def __init__(self, secrets: Secrets, clock: Clock, *, cluster: str, account: str, is_by_node: bool = False) -> None:
        self._secrets = secrets
        self._clock = clock
        self._cluster = cluster
        self._account = account
        self._is_by_node = is_by_node
        self._asking = threading.Lock()
        self._held: dict[str, tuple[float, Secret]] = {}

    def get(self, node: str = "") -> Secret:
        """Return the secret for the node at an address. Raises as `Secrets.secret`."""
        place = node if self._is_by_node else ""
        with self._asking:
            until, secret = self._held.get(place, (-math.inf, None))
            now = self._clock.monotonic()
            if secret is None or now > until:
                secret = self._renewed(secret, place, now)
                until = secret.renew_seconds if secret.is_leased else now + HOLD_SECONDS
                self._held[place] = until, secret
            return secret

    def _renewed(self, held: Secret | None, place: str, now: float) -> Secret:
        try:
            return self._secrets.secret(self._cluster, self._account, place)
        except ConfigurationError:
            # A source that is away for a moment makes no lease shorter than it is.
            if held is None or not held.is_leased or now >= held.ends_seconds:
                raise
            return held


def login_for(
    place: NodeAddress, settings: TlsSettings, *, secret: Secret, connect_seconds: float, bastion: Bastion | None = None
) -> Login:
    """Return what one account needs to log in at an address. Raises ConfigurationError."""
    return Login(
        host=place.host or "localhost",
        ip=place.ip,
        port=place.port,
        socket=place.socket,
        account=secret.account,
        password=secret.password,
        is_leased=secret.is_leased,
        retired_seconds=secret.renew_seconds,
        bastion=bastion if place.bastion else None,
        tls=tls_for(place, settings),
        server_key=_server_key(settings),
        connect_seconds=connect_seconds,
    )


def dial(login: Login, *, schema: str = "") -> Wire:
    """Open one connection. Raises UnreachableError: it did not come up; the message says why and carries no secret."""
    until = time.monotonic() + login.connect_seconds
    try:
        while True:
            try:
                return Wire(login, schema=schema)
            except DriverError as error:
                # An account that was made a moment ago comes to a replica with the replication.
                if not login.is_leased or code_of(error) != ER.ACCESS_DENIED_ERROR or time.monotonic() >= until:
                    raise
            time.sleep(_REPLICATED_SECONDS)
    except (DriverError, OSError, ValueError, IndexError, AssertionError) as error:
        if login.bastion is not None and isinstance(error, DriverError) and is_lost(error):
            # A bastion accepts first, and then tries; it has no word for what it does not reach.
            raise UnreachableError(
                f"{login.bastion.host} does not reach {login.address}, or it closes connections at once",
                instead=f"try `ssh {login.bastion.host} nc -vz {login.host} {login.port}`",
            ) from None
        # Without the chain: the driver's error keeps a formatted traceback of its frames.
        raise connect_error(error, server=login.address, account=login.account) from None
