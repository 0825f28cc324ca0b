"""Who is at the other end: the peer's account on a Unix socket, a token or a certificate over TCP.

A login that fails is answered with one error that says the same whatever was wrong, and the connection is closed.
"""

from __future__ import annotations

import grp
import hmac
import ipaddress
import os
import pwd
import secrets
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from safeconsole.config.identity import Person
from safeconsole.errors import ConfigurationError
from safeconsole.gateway.packets import (
    FAST_AUTH_OK,
    NATIVE,
    NONCE_BYTES,
    OFFERED,
    SHA2,
    Capability,
    ClientChannel,
    LoginRequest,
    MalformedError,
    ServerStatus,
    auth_switch,
    greeting,
    read_login,
    wants_tls,
)
from safeconsole.gateway.tokens import PERSON_NAME, Tokens

LONGEST_LOGIN_BYTES = 64 * 1024
LOGIN_SECONDS = 10.0

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_HEADER_BYTES = 4096
_UCRED = struct.Struct("3i")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LoginRefusedError(Exception):
    """The login failed; `number` and `state` go to the client."""

    def __init__(self, message: str, *, number: int = 1045, state: str = "28000") -> None:
        super().__init__(message)
        self.number = number
        self.state = state


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A successful login: the person, and the method.

    Attributes:
        token_id: the token that it was, "" for a socket or a certificate.
        request: what the client said of itself.
    """

    person: Person
    how: str
    token_id: str
    request: LoginRequest


class Failures:
    """Counts failed logins by address; too many block the address for a while."""

    MOST = 10
    WITHIN_SECONDS = 60.0
    _MOST_ADDRESSES = 10_000

    def __init__(self, monotonic: Callable[[], float], most: int = MOST) -> None:
        self._monotonic, self._most = monotonic, most
        self._lock = threading.Lock()
        self._failed: dict[str, deque[float]] = {}

    def note(self, address: str) -> None:
        now = self._monotonic()
        with self._lock:
            if len(self._failed) >= self._MOST_ADDRESSES:
                self._failed.pop(next(iter(self._failed)))
            self._failed.setdefault(address, deque(maxlen=self._most)).append(now)

    def are_too_many(self, address: str) -> bool:
        with self._lock:
            failed = self._failed.get(address)
            if failed is None:
                return False
            while failed and self._monotonic() - failed[0] > self.WITHIN_SECONDS:
                failed.popleft()
            if not failed:
                del self._failed[address]
            return len(failed) >= self._most


class LoginDesk:
    """Authenticates clients.

    Args:
        tls: what TCP goes on in, or None.
        required: whether TCP must.
        native: whether tokens serve `mysql_native_password` too.
    """

    def __init__(
        self, tokens: Tokens, failures: Failures, *, tls: ssl.SSLContext | None, required: bool, native: bool
    ) -> None:
        self._tokens = tokens
        self._failures = failures
        self._tls = tls
        self._required = required
        self._native = native
        self._host = socket.gethostname()

    def meet(
        self,
        channel: ClientChannel,
        *,
        version: str,
        connection_id: int,
        peer: Person | None,
        address: str,
        now_epoch: float,
    ) -> Arrival:
        """Greet and authenticate a client.

        Args:
            peer: the person of a Unix socket's peer, None over TCP.
            address: of the client, "" on a Unix socket.

        Raises:
            LoginRefusedError: nobody that is let in.
            GoneError, MalformedError: it speaks another protocol, or left.
        """
        # No byte of it is zero: clients take the first one for its end.
        nonce = bytes(secrets.choice(range(1, 128)) for _ in range(NONCE_BYTES))
        offers_tls = self._tls is not None and peer is None
        capabilities = OFFERED | Capability.SSL if offers_tls else OFFERED
        channel.write(
            greeting(version, connection_id, nonce, capabilities=capabilities, status=ServerStatus.AUTOCOMMIT)
        )
        payload = channel.read_login_packet(LONGEST_LOGIN_BYTES)
        if wants_tls(payload):
            if self._tls is None or peer is not None:
                raise MalformedError("TLS was not offered")
            channel.encrypt(self._tls)
            payload = channel.read_login_packet(LONGEST_LOGIN_BYTES)
        request = read_login(payload)
        if peer is not None:
            self._let_pass(channel, request)
            return Arrival(person=peer, how="socket", token_id="", request=request)
        if self._required and not channel.encrypted:
            raise LoginRefusedError("this gateway takes no connection without TLS", number=3159, state="HY000")
        if self._failures.are_too_many(address):
            raise _denied(request)
        try:
            return self._proven(channel, request, nonce, address=address, now_epoch=now_epoch)
        except LoginRefusedError:
            self._failures.note(address)
            raise

    def _proven(
        self, channel: ClientChannel, request: LoginRequest, nonce: bytes, *, address: str, now_epoch: float
    ) -> Arrival:
        certified = channel.certificate_name
        if certified:
            if not PERSON_NAME.fullmatch(certified) or not _same(certified, request.user):
                raise _denied(request)
            self._let_pass(channel, request)
            person = self._person(certified, address=address, agent="")
            return Arrival(person=person, how="certificate", token_id="", request=request)
        if self._native and request.plugin in {"", NATIVE}:
            token = self._tokens.proven_by_sha1(request.proof, nonce, now_epoch)
        else:
            proof = request.proof
            if request.plugin != SHA2:
                channel.write(auth_switch(SHA2, nonce))
                proof = channel.read_login_packet(LONGEST_LOGIN_BYTES)
            token = self._tokens.proven_by_sha256(proof, nonce, now_epoch)
            if token is not None and _same(token.person, request.user):
                channel.write(FAST_AUTH_OK)
        if token is None or not _same(token.person, request.user):
            raise _denied(request)
        person = self._person(token.person, address=address, agent=token.agent)
        return Arrival(person=person, how="token", token_id=token.id, request=request)

    def _let_pass(self, channel: ClientChannel, request: LoginRequest) -> None:
        """Finish the exchange of a client that sent an unneeded proof."""
        if request.plugin == SHA2 and request.proof:
            channel.write(FAST_AUTH_OK)

    def _person(self, name: str, *, address: str, agent: str) -> Person:
        return Person(name=name, login=name, groups=(), host=self._host, origin=address, agent=agent)


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


def _denied(request: LoginRequest) -> LoginRefusedError:
    shown = "".join(each for each in request.user[:64] if each.isprintable())
    return LoginRefusedError(
        f"access denied for '{shown}': the password is a token of this person, from safeconsole token issue"
    )


def peer_of(sock: socket.socket) -> Person:
    """Return the person at the other end of a Unix socket, as the kernel knows them. Raises LoginRefusedError."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    if not PERSON_NAME.fullmatch(name):
        raise LoginRefusedError("the account of the socket's peer has a name that cannot be kept")
    return Person(
        name=name,
        login=name,
        groups=_groups_of(name, gid),
        host=socket.gethostname(),
        origin=f"socket, process {pid}",
    )


def _groups_of(name: str, gid: int) -> tuple[str, ...]:
    names = []
    for each in {gid, *os.getgrouplist(name, gid)}:
        try:
            names.append(grp.getgrgid(each).gr_name)
        except KeyError:
            names.append(str(each))
    return tuple(sorted(names))


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return addresses and networks as values. Raises ConfigurationError."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigurationError(f"gateway.proxies: {error}") from None


def is_from(networks: Sequence[Network], address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return any(mapped in network for network in networks if network.version == mapped.version)


def read_proxy_header(channel: ClientChannel) -> str:
    """Read a header of the PROXY protocol, version 2, and return the client's address that it tells, "" for none.

    Raises:
        MalformedError: it is none; a source that is listed speaks this protocol and no other.
        GoneError: it left.
    """
    head = channel.read_plain_exactly(16)
    if not head.startswith(_SIGNATURE) or head[12] >> 4 != 2:
        raise MalformedError("no PROXY header, version 2")
    size = int.from_bytes(head[14:16], "big")
    if size > _LONGEST_HEADER_BYTES:
        raise MalformedError("a PROXY header that is too long")
    body = channel.read_plain_exactly(size)
    if head[12] & 0x0F == 0:
        # The proxy's own health check.
        return ""
    width = {0x11: 4, 0x21: 16}.get(head[13])
    if width is None or len(body) < 2 * width + 4:
        raise MalformedError("a PROXY header for another protocol than TCP")
    address = ipaddress.ip_address(body[:width])
    return f"{address}:{int.from_bytes(body[2 * width : 2 * width + 2], 'big')}"
