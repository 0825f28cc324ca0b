"""
Rows decoded by the C driver where it is installed (`mysqlclient`, the extra `fast`), a quarter of the time.

The C driver never meets a server. It could not be made as safe as `dialling` is: it resolves names by itself, it checks
a certificate against what it dials (which is an address here), and no other thread can end its reads. So the guarded
connection stays what it always is, and the driver is handed, over a socket pair of this process, the very bytes of
rows that came in there. Whatever it does not take is decoded in Python, with the same outcome.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from safeconsole.mysql.protocol import Decoder, Packets, decode_rows, text

LONG_RESULT_ROWS = 10_000
"""Rows that are decoded in Python first: a shorter result is done before the driver is imported."""

_STRETCH_BYTES = 48 * 1024
"""Handed over at a time: a socket's buffer holds it, so that neither side ever waits for the other."""

_STRETCH_ROWS = 2_000
_PATIENCE_SECONDS = 2
_SEQUENCES = 256

_TEXT_TYPE, _BYTES_TYPE, _INTEGER_TYPE = 253, 252, 8
_TYPES: dict[Decoder, int] = {text: _TEXT_TYPE, int: _INTEGER_TYPE}
_CONVERSIONS = {_TEXT_TYPE: str, _BYTES_TYPE: bytes, _INTEGER_TYPE: int}
_UTF8, _BINARY = 45, 63

_CAPABILITIES = 0x1 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
"""Long passwords, long flags, a schema at login, the protocol of 4.1, transactions, its login, its plugins' names.
Source: MySQL 9.1 source code documentation, "Capabilities Flags"."""


class CRows(msgspec.Struct):
    """
    Decodes the ordinary rows of one long result.

    Attributes:
        decoders: one a column, in order.
        passed_rows: rows of the result that were decoded elsewhere so far.
    """

    decoders: Sequence[Decoder]
    passed_rows: int = 0
    _driver: _Driver | None = None
    _is_off: bool = False

    def next(self, packets: Packets) -> Sequence[tuple[Any, ...]]:
        """
        Return the next rows, at least one, or none where the next packet is for others to read.

        Raises:
            DriverError, OSError: the connection ended, as `Packets.next`.
        """
        if self._is_off or self.passed_rows < LONG_RESULT_ROWS:
            return ()
        packets.await_whole()
        stretch, count = packets.stretch(_STRETCH_ROWS, _STRETCH_BYTES)
        if not count:
            return ()
        try:
            if self._driver is None:
                self._driver = _Driver(self.decoders)
            rows = self._driver.decode(stretch, count)
        except Exception:  # noqa: BLE001 (the driver's errors are known once it is imported, which may be what failed)
            # No driver, or it does not take what is no UTF-8. The bytes are still here.
            self.close()
            payloads = Packets(_nothing, ceiling_bytes=len(stretch), buffer=stretch).arrived(count, len(stretch))
            rows = decode_rows(payloads, self.decoders)
        return rows

    def close(self) -> None:
        """Let go of the driver; never raises."""
        self._is_off = True
        if self._driver is not None:
            self._driver.close()
            self._driver = None


class _Driver:
    """The C driver in the midst of reading a result that this process plays to it."""

    def __init__(self, decoders: Sequence[Decoder]) -> None:
        # Imported here: optional, and only a long result needs it.
        from MySQLdb import _mysql  # noqa: PLC0415

        types = [_TYPES.get(decode, _BYTES_TYPE) for decode in decoders]
        self._finishing = [None if decode in _TYPES or decode is bytes else decode for decode in decoders]
        self._needs_finishing = any(self._finishing)
        self._null_row = b"\xfb" * len(types)
        self._ours, self._connection = _paired(_mysql)
        self._result: Any = None
        try:
            self._connection.send_query(b"-")
            self._ours.recv(64)
            self._ours.sendall(_head(types))
            self._connection.read_query_result()
            self._result = self._connection.use_result()
            self._ours.setblocking(False)
        except BaseException:
            self.close()
            raise
        self._expected = len(types) + 3

    def decode(self, stretch: bytes, count: int) -> Sequence[tuple[Any, ...]]:
        """
        Return the rows of whole packets.

        Raises:
            Exception: of many kinds; nothing more can be asked then.
        """
        # Packets are numbered. What was decoded elsewhere is made up for by rows that are thrown away.
        missing = (stretch[3] - self._expected) % _SEQUENCES
        for number in range(missing):
            self._feed(_packet(self._expected + number, self._null_row), 1)
        rows = self._feed(stretch, count)
        self._expected = stretch[3] + count
        if not self._needs_finishing:
            return rows
        return [
            tuple(
                value if finish is None or value is None else finish(value)
                for value, finish in zip(row, self._finishing, strict=True)
            )
            for row in rows
        ]

    def _feed(self, stretch: bytes, count: int) -> Sequence[tuple[Any, ...]]:
        if self._ours.send(stretch) != len(stretch):
            raise BlockingIOError("the socket's buffer does not hold a stretch of rows")
        rows: Sequence[tuple[Any, ...]] = self._result.fetch_row(count, 0)
        if len(rows) != count:
            raise ValueError(f"{count} rows were handed over and {len(rows)} came back")
        return rows

    def close(self) -> None:
        """Close both ends; never raises."""
        with contextlib.suppress(Exception):
            # MUST come first: the driver reads a result to its end before it lets go of it.
            self._ours.shutdown(socket.SHUT_WR)
            self._result = None
            self._connection.close()
        self._ours.close()


def _paired(driver: Any) -> tuple[socket.socket, Any]:  # noqa: ANN401  (the driver has no types)
    """Return our end of a connection within this process, and the driver's. Raises what the driver and sockets do."""
    # Imported here: most sessions have no long result.
    import tempfile  # noqa: PLC0415

    with (
        tempfile.TemporaryDirectory(prefix="safeconsole-rows-") as private,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        path = str(Path(private, "s"))
        listening.bind(path)
        listening.listen(1)
        listening.settimeout(_PATIENCE_SECONDS)
        ends: list[socket.socket] = []
        greeter = threading.Thread(target=_greet, args=(listening, ends), daemon=True, name="safeconsole-rows")
        greeter.start()
        try:
            connection = driver.connect(
                unix_socket=path,
                user="-",
                password="",
                conv=_CONVERSIONS,
                charset="utf8mb4",
                local_infile=0,
                ssl_mode="DISABLED",
                connect_timeout=_PATIENCE_SECONDS,
                read_timeout=_PATIENCE_SECONDS,
                write_timeout=_PATIENCE_SECONDS,
            )
        except BaseException:
            greeter.join()
            for end in ends:
                end.close()
            raise
        greeter.join()
    return ends[0], connection


def _greet(listening: socket.socket, ends: list[socket.socket]) -> None:
    """Play the server's part of a login that asks for nothing."""
    greeting = (
        b"\x0a8.0.0\0"
        + struct.pack("<I8sx", 1, b"-" * 8)
        + struct.pack("<HBHH", _CAPABILITIES & 0xFFFF, _UTF8, 2, _CAPABILITIES >> 16)
        + struct.pack("<B10x12sx", 21, b"-" * 12)
        + b"mysql_native_password\0"
    )
    with contextlib.suppress(OSError):
        ours, _ = listening.accept()
        ends.append(ours)
        ours.settimeout(_PATIENCE_SECONDS)
        ours.sendall(_packet(0, greeting))
        ours.recv(4096)
        ours.sendall(_packet(2, b"\0\0\0\2\0\0\0"))


def _head(types: Sequence[int]) -> bytes:
    """Return the head of a result, as a server writes it: how many columns, each one's definition, an end marker."""
    count = len(types)
    counted = bytes((count,)) if count < 251 else struct.pack("<BH", 252, count)
    definitions = [
        b"\x03def"
        + b"\0" * 5
        + struct.pack("<BHIBHBxx", 12, _BINARY if kind != _TEXT_TYPE else _UTF8, 1024, kind, 0, 0)
        for kind in types
    ]
    packets = [counted, *definitions, b"\xfe\0\0\2\0"]
    return b"".join(_packet(number, payload) for number, payload in enumerate(packets, start=1))


def _packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload) | (number % _SEQUENCES) << 24) + payload


def _nothing(_count: int) -> bytes:
    return b""
