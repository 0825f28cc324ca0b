"""The server's side of the MySQL protocol: packets in and out, the greeting, the login, OK, error and row packets.

Bytes in, bytes out; what a client sends is hostile, so that every length is checked before it is used, and whatever
does not add up is a `MalformedError`.

Source: MySQL 9.7 source documentation, "Client/Server Protocol"; MariaDB knowledge base, "Connection".
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Sequence
from enum import IntEnum, IntFlag

import msgspec

LONGEST_PART = 0xFFFFFF
LARGEST_BYTES = 1024 * 1024 * 1024
"""Of a command, by the protocol."""

SSL_REQUEST_BYTES = 32
NONCE_BYTES = 20
UTF8MB4 = 45
"""The number of utf8mb4_general_ci, which both families know."""

SHA2 = "caching_sha2_password"
NATIVE = "mysql_native_password"

_CHUNK_BYTES = 16 * 1024
_NULL = b"\xfb"
_BINARY_CHARSET, _ANY_DECIMALS = 63, 31


class ColumnKind(IntEnum):
    """The types of the gateway's own columns, by the protocol's number."""

    DOUBLE = 0x05
    BIGINT = 0x08
    VARCHAR = 0xFD


class Capability(IntFlag):
    """The capability flags that the gateway uses."""

    LONG_PASSWORD = 1
    FOUND_ROWS = 1 << 1
    LONG_FLAG = 1 << 2
    CONNECT_WITH_DB = 1 << 3
    LOCAL_FILES = 1 << 7
    IGNORE_SPACE = 1 << 8
    PROTOCOL_41 = 1 << 9
    INTERACTIVE = 1 << 10
    SSL = 1 << 11
    TRANSACTIONS = 1 << 13
    SECURE_CONNECTION = 1 << 15
    MULTI_STATEMENTS = 1 << 16
    MULTI_RESULTS = 1 << 17
    PS_MULTI_RESULTS = 1 << 18
    PLUGIN_AUTH = 1 << 19
    CONNECT_ATTRS = 1 << 20
    PLUGIN_AUTH_LENENC = 1 << 21


OFFERED = (
    Capability.LONG_PASSWORD
    | Capability.FOUND_ROWS
    | Capability.LONG_FLAG
    | Capability.CONNECT_WITH_DB
    # Clients that may use it fail oddly where it is not offered; a file is never asked for.
    | Capability.LOCAL_FILES
    | Capability.IGNORE_SPACE
    | Capability.PROTOCOL_41
    | Capability.INTERACTIVE
    | Capability.TRANSACTIONS
    | Capability.SECURE_CONNECTION
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.PLUGIN_AUTH
    | Capability.CONNECT_ATTRS
    | Capability.PLUGIN_AUTH_LENENC
)
"""Nothing that would change the packets that are handed on: no DEPRECATE_EOF, SESSION_TRACK, QUERY_ATTRIBUTES,
compression or optional metadata, since the connections to the nodes have none of them."""


class ServerStatus(IntFlag):
    """The status bits at the end of every answer."""

    IN_TRANSACTION = 1
    AUTOCOMMIT = 2
    MORE_RESULTS = 8


class MalformedError(Exception):
    """A client's bytes violate the protocol; nothing is read after them."""


class TooLargeError(Exception):
    """A command is larger than is taken; it was read to its end and discarded."""


class GoneError(BrokenPipeError):
    """The client is gone, or timed out."""


class Fields:
    """Reads the fields of one payload. Raises MalformedError: it is too short."""

    def __init__(self, payload: bytes, position: int = 0) -> None:
        self._payload = payload
        self.position = position

    @property
    def left(self) -> int:
        return len(self._payload) - self.position

    def take(self, count: int) -> bytes:
        if count < 0 or count > self.left:
            raise MalformedError("a field is longer than its packet")
        self.position += count
        return self._payload[self.position - count : self.position]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def length(self) -> int:
        """Return a length-encoded number."""
        first = self.number(1)
        if first < 0xFB:
            return first
        if first in {0xFC, 0xFD, 0xFE}:
            return self.number({0xFC: 2, 0xFD: 3, 0xFE: 8}[first])
        raise MalformedError(f"a length cannot begin with {first}")

    def text_until_nul(self) -> bytes:
        end = self._payload.find(b"\0", self.position)
        if end < 0:
            raise MalformedError("a text is not ended")
        found = self._payload[self.position : end]
        self.position = end + 1
        return found

    def rest(self) -> bytes:
        return self.take(self.left)


class ClientChannel:
    """One client's socket: payloads in, packets out; for one thread, except `shut`."""

    def __init__(self, sock: socket.socket, *, login_seconds: float) -> None:
        self._sock = sock
        self._buffer = b""
        self.opened_seconds = time.monotonic()
        self._until: float | None = self.opened_seconds + login_seconds
        self._stall_seconds = login_seconds
        self._waits_seconds = 0.0
        self.sequence = 0
        """The number of the next packet."""

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def encrypted(self) -> bool:
        return isinstance(self._sock, ssl.SSLSocket)

    @property
    def certificate_name(self) -> str:
        """The common name of the client's verified certificate, "" without one."""
        if not isinstance(self._sock, ssl.SSLSocket):
            return ""
        subject = (self._sock.getpeercert() or {}).get("subject", ())
        names = [value for part in subject for key, value in part if key == "commonName"]  # type: ignore[str-unpack]
        return str(names[0]) if len(names) == 1 else ""

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Switch to TLS. Raises GoneError: the handshake failed, or plain bytes came before it."""
        # Whatever was read beyond the request for it was not encrypted.
        if self._buffer:
            raise GoneError("bytes behind the request for TLS")
        self._set_time()
        try:
            self._sock = context.wrap_socket(self._sock, server_side=True)
            self._waits_seconds = 0.0
        except (OSError, ValueError) as error:
            raise GoneError(f"no TLS: {error}") from None

    def logged_in(self, *, stall_seconds: float) -> None:
        """End the login; from now on each packet in progress has this timeout."""
        self._until, self._stall_seconds = None, stall_seconds

    @property
    def has_begun(self) -> bool:
        """Whether more bytes of the client are buffered."""
        return bool(self._buffer) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)

    def read_plain_exactly(self, count: int) -> bytes:
        """Read exactly so many bytes of the login, because TLS may follow. Raises GoneError."""
        parts = b""
        while len(parts) < count:
            parts += self._receive(count - len(parts))
        return parts

    def read_login_packet(self, most_bytes: int) -> bytes:
        """Read one short packet and nothing after it. Raises GoneError, MalformedError."""
        header = self.read_plain_exactly(4)
        size = int.from_bytes(header[:3], "little")
        if size > most_bytes or header[3] != self.sequence:
            raise MalformedError("a packet of the login is too large, or out of order")
        self.sequence = (header[3] + 1) & 0xFF
        return self.read_plain_exactly(size)

    def read_command(self, most_bytes: int) -> bytes:
        """Read one command, which may span packets. Raises GoneError, MalformedError, TooLargeError."""
        parts: list[bytes] = []
        total = 0
        sequence = 0
        while True:
            header = self._take(4)
            size = int.from_bytes(header[:3], "little")
            total += size
            if header[3] != sequence & 0xFF:
                raise MalformedError("packets out of order")
            if total > LARGEST_BYTES:
                raise MalformedError(f"a command of more than {LARGEST_BYTES} bytes")
            part = self._take(size)
            if total <= most_bytes:
                parts.append(part)
            else:
                parts.clear()
            sequence += 1
            if size < LONGEST_PART:
                self.sequence = sequence & 0xFF
                if total > most_bytes:
                    raise TooLargeError
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, *payloads: bytes) -> None:
        """Send payloads, each in its packets. Raises GoneError."""
        framed = b"".join(map(self._framed, payloads))
        self.write_packets(framed)

    def write_packets(self, packets: bytes | memoryview) -> None:
        """Send framed packets. Raises GoneError: the client is gone, or does not read."""
        self._set_time()
        try:
            self._sock.sendall(packets)
        except (OSError, ValueError) as error:
            raise GoneError(f"the client does not read: {error}") from None

    def shut(self) -> None:
        """Shut the connection down, from any thread; a blocked read ends."""
        try:
            # The plain socket's method: the encrypted one would drop its state under the reader's feet.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        self.shut()
        self._sock.close()

    def _framed(self, payload: bytes) -> bytes:
        if len(payload) < LONGEST_PART:
            header = len(payload).to_bytes(3, "little") + bytes((self.sequence,))
            self.sequence = (self.sequence + 1) & 0xFF
            return header + payload
        parts = []
        for start in range(0, len(payload) + 1, LONGEST_PART):
            part = payload[start : start + LONGEST_PART]
            parts.append(len(part).to_bytes(3, "little") + bytes((self.sequence,)) + part)
            self.sequence = (self.sequence + 1) & 0xFF
        return b"".join(parts)

    def _take(self, count: int) -> bytes:
        if len(self._buffer) < count:
            parts, have = [self._buffer], len(self._buffer)
            self._buffer = b""
            while have < count:
                parts.append(self._receive(max(count - have, _CHUNK_BYTES)))
                have += len(parts[-1])
            self._buffer = b"".join(parts)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _receive(self, most: int) -> bytes:
        self._set_time()
        try:
            got = self._sock.recv(min(most, 1024 * 1024))
        except (OSError, ValueError) as error:
            raise GoneError(str(error)) from None
        if not got:
            raise GoneError("the client left")
        return got

    def _set_time(self) -> None:
        left = self._stall_seconds if self._until is None else self._until - time.monotonic()
        if left <= 0:
            raise GoneError("the login took too long")
        # To set it is a call of the system, and it is the same for every packet after the login.
        if left != self._waits_seconds:
            self._sock.settimeout(left)
            self._waits_seconds = left


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The login packet of a client.

    Attributes:
        proof: the answer to the greeting's nonce.
        attributes: what the client says of itself, at most 64.
    """

    capabilities: int
    character_set: int
    user: str
    proof: bytes
    schema: str
    plugin: str
    attributes: dict[str, str] = {}


def greeting(version: str, connection_id: int, nonce: bytes, *, capabilities: int, status: int) -> bytes:
    return b"".join(
        (
            b"\x0a",
            version.encode("ascii", "replace"),
            b"\0",
            struct.pack("<I", connection_id & 0xFFFFFFFF),
            nonce[:8],
            b"\0",
            struct.pack("<H", capabilities & 0xFFFF),
            bytes((UTF8MB4,)),
            struct.pack("<HHB", status, capabilities >> 16, NONCE_BYTES + 1),
            bytes(10),
            nonce[8:],
            b"\0",
            SHA2.encode(),
            b"\0",
        )
    )


def wants_tls(payload: bytes) -> bool:
    """Whether the first packet of a login requests TLS."""
    return len(payload) == SSL_REQUEST_BYTES and bool(int.from_bytes(payload[:4], "little") & Capability.SSL)


def read_login(payload: bytes) -> LoginRequest:
    """Return a client's login. Raises MalformedError."""
    fields = Fields(payload)
    capabilities = fields.number(4)
    if not capabilities & Capability.PROTOCOL_41 or not capabilities & Capability.SECURE_CONNECTION:
        raise MalformedError("a client older than MySQL 4.1")
    fields.take(4)
    character_set = fields.number(1)
    fields.take(23)
    user = fields.text_until_nul()
    proof = fields.take(fields.length() if capabilities & Capability.PLUGIN_AUTH_LENENC else fields.number(1))
    schema = plugin = b""
    if capabilities & Capability.CONNECT_WITH_DB and fields.left:
        schema = fields.text_until_nul()
    if capabilities & Capability.PLUGIN_AUTH and fields.left:
        plugin = fields.text_until_nul()
    attributes = {}
    if capabilities & Capability.CONNECT_ATTRS and fields.left:
        attributes = _attributes(fields.take(fields.length()))
    try:
        return LoginRequest(
            capabilities=capabilities,
            character_set=character_set,
            user=user.decode(),
            proof=proof,
            schema=schema.decode(),
            plugin=plugin.decode("ascii"),
            attributes=attributes,
        )
    except UnicodeDecodeError:
        raise MalformedError("a name that is no UTF-8") from None


_MOST_ATTRIBUTES = 64
_LONGEST_ATTRIBUTE = 200


def _attributes(block: bytes) -> dict[str, str]:
    fields = Fields(block)
    found: dict[str, str] = {}
    while fields.left:
        key, value = (fields.take(fields.length()).decode("utf-8", "replace") for _ in range(2))
        if len(found) < _MOST_ATTRIBUTES:
            found[key[:_LONGEST_ATTRIBUTE]] = value[:_LONGEST_ATTRIBUTE]
    return found


def auth_switch(plugin: str, nonce: bytes) -> bytes:
    return b"\xfe" + plugin.encode() + b"\0" + nonce + b"\0"


FAST_AUTH_OK = b"\x01\x03"


def lenenc(number: int) -> bytes:
    """Return a length-encoded number."""
    if number < 0xFB:
        return bytes((number,))
    for mark, width in ((0xFC, 2), (0xFD, 3)):
        if number < 1 << (8 * width):
            return bytes((mark,)) + number.to_bytes(width, "little")
    return b"\xfe" + number.to_bytes(8, "little")


def lenenc_text(text: bytes) -> bytes:
    return lenenc(len(text)) + text


def ok(*, affected: int = 0, inserted: int = 0, status: int, warnings: int = 0, info: str = "") -> bytes:
    head = b"\0" + lenenc(affected) + lenenc(inserted) + struct.pack("<HH", status, min(warnings, 0xFFFF))
    # With its length, although the manual says that it goes to the end: servers send it so, and clients read it so.
    return head + lenenc_text(info.encode()) if info else head


def end_marker(*, status: int, warnings: int = 0) -> bytes:
    return b"\xfe" + struct.pack("<HH", min(warnings, 0xFFFF), status)


LONGEST_MESSAGE_BYTES = 500
"""Clients built on libmysql keep 512 bytes of a message."""


def error(number: int, state: str, message: str) -> bytes:
    text = message.encode("utf-8", "replace")
    if len(text) > LONGEST_MESSAGE_BYTES:
        text = text[: LONGEST_MESSAGE_BYTES - 3].decode("utf-8", "ignore").encode() + b"..."
    return b"\xff" + struct.pack("<H", number) + b"#" + state.encode() + text


def column(name: str, kind: ColumnKind = ColumnKind.VARCHAR, *, schema: str = "", table: str = "") -> bytes:
    """Return the definition packet of a column of the gateway's own."""
    names = b"".join(lenenc_text(text.encode()) for text in ("def", schema, table, table, name, name if table else ""))
    text = kind is ColumnKind.VARCHAR
    character_set, width = (UTF8MB4, 4 * 65_535) if text else (_BINARY_CHARSET, 20)
    decimals = _ANY_DECIMALS if kind is ColumnKind.DOUBLE else 0
    return names + b"\x0c" + struct.pack("<HIBHBH", character_set, width, kind, 0, decimals, 0)


def text_row(values: Sequence[object]) -> bytes:
    return b"".join(_NULL if each is None else lenenc_text(str(each).encode()) for each in values)


def binary_row(values: Sequence[object], kinds: Sequence[ColumnKind]) -> bytes:
    """Return a row of the gateway's own in the binary protocol."""
    nulls = bytearray((len(values) + 9) // 8)
    parts = []
    for place, (value, kind) in enumerate(zip(values, kinds, strict=True)):
        if value is None:
            nulls[(place + 2) // 8] |= 1 << ((place + 2) % 8)
        elif kind is ColumnKind.BIGINT:
            parts.append(int(str(value)).to_bytes(8, "little", signed=True))
        elif kind is ColumnKind.DOUBLE:
            parts.append(struct.pack("<d", float(str(value))))
        else:
            parts.append(lenenc_text(str(value).encode()))
    return b"\0" + bytes(nulls) + b"".join(parts)
