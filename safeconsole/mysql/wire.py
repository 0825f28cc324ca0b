"""One connection of the driver, with what its public interface lacks.

The only module that touches the driver's protected members: packets read straight from the
socket, `COM_STMT_PREPARE`, and ending a read from another thread.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import math
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT, COMMAND, CR, SERVER_STATUS
from pymysql.cursors import Cursor
from pymysql.protocol import MysqlPacket

from safeconsole.mysql.answers import ResultEnd, ResultHead, decoder_of, read_head, read_texts, row_batches
from safeconsole.mysql.error_codes import is_lost
from safeconsole.mysql.login import Login, open_socket
from safeconsole.mysql.protocol import (
    CHUNK_BYTES,
    IS_MYSQL,
    Packets,
    asking_for_metadata,
    framed,
    offers_metadata,
    prepared_number,
    text,
)

TOO_LARGE = 1153
IN_TRANSACTION_READONLY = 0x2000
IN_TRANSACTION = SERVER_STATUS.SERVER_STATUS_IN_TRANS

_SWALLOW_SECONDS = 0.02
_LATE_SECONDS = 0.05
"""How late a read may end: a socket's timeout is not renewed for less."""

_LONGEST_TOGETHER = 1024 * 1024
"""Characters of a question that is sent together with others: it is one packet, and no pipe is full of it."""

_DEFINITION_BYTES = 16 * 1024 * 1024
_REPEATED = 4
_LONGEST_CHARACTER = 4
_EXECUTED_ONCE = struct.pack("<BI", 0, 1)
_IN_CLEAR = frozenset({b"mysql_clear_password", b"dialog"})
"""Ways to log in that hand the password over as it is."""

DriverError = pymysql.MySQLError
"""The driver's error; `error_codes` translates it."""

Question = tuple[int, str | bytes]
"""One of the protocol's commands, and what it is about."""


class ServerReply(msgspec.Struct, frozen=True, kw_only=True):
    """A server's answer to one of several queries.

    Attributes:
        head: what came before the rows.
        rows: their values as the server wrote them.
        status: the session's status bits after it, 0 after an error.
        error: what it refused the question with, or None.
    """

    head: ResultHead = ResultHead()
    rows: list[tuple[str | None, ...]] = []
    status: int = 0
    error: DriverError | None = None

    @property
    def told(self) -> list[tuple[str | None, ...]] | None:
        """The rows, or None if the server answered with an error."""
        return self.rows if self.error is None else None

    @property
    def named(self) -> list[dict[str, str | None]]:
        """The rows by column name. Raises ValueError, IndexError: a description of a column is nonsense."""
        names = [field.name for field in self.head.fields]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


if TYPE_CHECKING:
    _Driver = Connection[Cursor]
else:
    # Generic for type checkers only.
    _Driver = Connection


class Wire(_Driver):
    """One open connection: utf8mb4, autocommit, one statement a packet, no local files.

    Attributes:
        address: as in `Login`.
        takes_several: whether the server answers questions in order that came in one write.
        writes: how often something was written to the server.
        largest_bytes: of a command; nothing larger is sent, since the server would end the connection over it.

    Raises:
        DriverError, OSError: from every method that talks to the server.
    """

    _sock: Any
    _result: Any
    _read_timeout: float | None
    _write_timeout: float | None
    _current_timeout: float | None
    _force_close: Callable[[], None]
    _secure: bool
    server_capabilities: int
    server_status: int
    server_version: str
    server_thread_id: tuple[int]

    def __init__(self, login: Login, *, schema: str = "") -> None:
        super().__init__(
            user=login.account,
            password=login.password.encode(),
            host=login.host,
            port=login.port,
            database=schema or None,
            charset="utf8mb4",
            # As the server has it; `guards` put it in force with the rest.
            autocommit=None,
            local_infile=False,
            connect_timeout=login.connect_seconds,
            read_timeout=login.connect_seconds,
            write_timeout=login.connect_seconds,
            program_name="safeconsole",
            ssl=login.tls,
            ssl_disabled=True if login.tls is None else None,
            defer_connect=True,
        )
        self.address = login.address
        self.takes_several = False
        self.writes = 0
        self._greeting = b""
        self._is_extended = False
        self.largest_bytes = 0
        self._retired_seconds = login.retired_seconds
        self._pinned_key = login.server_key
        self._given_key = b""
        self._takes_any_key = bool(login.socket or (login.ip and ipaddress.ip_address(login.ip).is_loopback))
        self._is_socket = bool(login.socket)
        self._owed = 0
        # A bastion may have to let us in first, which has its own time.
        opened = open_socket(login)
        self._opened_by = self._answered_by = time.monotonic() + login.connect_seconds
        if self.client_flag & CLIENT.MULTI_STATEMENTS:
            raise RuntimeError("the driver asks for several statements a packet by default")
        self.connect(opened)
        self.wait_at_most(login.connect_seconds)

    def _request_authentication(self) -> None:
        # The driver's older releases go on in clear where a server, or who stands before it, offers no TLS.
        if self.ssl and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")
        if offers_metadata(self._greeting):
            self._is_extended = True
            # Without this bit the server reads the capabilities that are MariaDB's own.
            self.client_flag &= ~IS_MYSQL
        # The handshake of TLS is one step for the socket's time.
        self.wait_at_most(max(self._opened_by - time.monotonic(), _LATE_SECONDS))
        super()._request_authentication()  # type: ignore[misc]

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        packet: MysqlPacket = super()._read_packet(packet_type)  # type: ignore[no-untyped-call]
        self._greeting = self._greeting or packet.get_all_data()  # type: ignore[no-untyped-call]
        return packet

    def write_packet(self, payload: bytes) -> None:
        """Write a packet of the driver's; the one that answers the greeting also asks for MariaDB's metadata."""
        super().write_packet(asking_for_metadata(payload) if self._is_extended else payload)

    @property
    def server_public_key(self) -> bytes:
        """The public key that encrypts the password on an unencrypted connection.

        Raises:
            DriverError: nothing vouches for any; whoever stands between could give one of their own.
        """
        if self._pinned_key:
            return self._pinned_key
        if not self._takes_any_key:
            raise pymysql.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, "no key is vouched for")
        return self._given_key

    @server_public_key.setter
    def server_public_key(self, key: bytes | None) -> None:
        self._given_key = key or b""

    def _process_auth(self, plugin_name: bytes, *rest: object) -> object:
        # Whoever has a loopback port while the server is down could ask for this, too.
        if plugin_name in _IN_CLEAR and not (self._secure or self._is_socket):
            raise pymysql.OperationalError(CR.CR_AUTH_PLUGIN_ERR, "the password is asked for in clear")
        return super()._process_auth(plugin_name, *rest)  # type: ignore[misc]

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """Do nothing: the login names the character set, and `guards` set it and read it back."""

    def ready(self) -> None:
        """End the connecting phase, which has one timeout; each later answer has its own."""
        self._opened_by = math.inf

    def wait_at_most(self, seconds: float) -> None:
        """Set the timeout of each answer to the console's own queries; passing it ends the connection.

        The answer to `begin_statement` may take longer as a whole, but no longer without a word.
        """
        # Both alike: the driver sets the socket's own time anew whenever it turns from one to the other.
        self._read_timeout = self._write_timeout = seconds

    def run(self, text: str) -> None:
        self.query(text)

    def run_unawaited(self, text: str) -> None:
        """Send a statement that returns no rows, and read its answer with the next one's.

        An error in that answer ends the connection.
        """
        if self.takes_several:
            self._write_bytes(_asked(COMMAND.COM_QUERY, text))
        else:
            self._execute_command(COMMAND.COM_QUERY, text)
        self._owed += 1

    def flight(self, *asked: str | Question) -> list[ServerReply]:
        """Run some of the console's own queries, in one round trip if the server supports that."""
        questions = ((COMMAND.COM_QUERY, each) if isinstance(each, str) else each for each in asked)
        return [self._reply(packets) for packets in self.answers(*questions)]

    def _reply(self, packets: Packets) -> ServerReply:
        try:
            head = read_head(packets)
            if head.status is not None:
                self.server_status = head.status
                return ServerReply(status=head.status)
            end = ResultEnd()
            rows = [row for batch in row_batches(packets, [text] * head.width, end) for row in batch]
        except DriverError as error:
            if is_lost(error):
                raise
            return ServerReply(error=error)
        self.server_status = end.status
        return ServerReply(head=head, rows=rows, status=end.status)

    def answers(self, *questions: Question) -> Iterator[Packets]:
        """Send some of the console's own queries, in one write if the server supports that.

        Yields:
            For each question the packets that its answer is read from, whole, before the next one is asked for.
        """
        if not self.takes_several or any(len(text) > _LONGEST_TOGETHER for _, text in questions):
            # A server repeats a text that it explains, with the names in it in full.
            longest = max(len(text) for _, text in questions)
            for command, text in questions:
                self._execute_command(command, text)
                yield self._packets(max(_DEFINITION_BYTES, _REPEATED * longest))
            return
        self._write_bytes(b"".join(_asked(command, text) for command, text in questions))
        packets = self._packets(_DEFINITION_BYTES)
        # An answer that is owed comes first, and is waited for with the others.
        self._settle(packets)
        for _ in questions:
            self._time_answer()
            yield packets

    def read_done(self, packets: Packets) -> None:
        self.server_status = read_head(packets).status or 0

    def read_texts(self, packets: Packets) -> list[tuple[str | None, ...]]:
        rows, self.server_status = read_texts(packets)
        return rows

    def require_room(self, text: str | bytes, more_bytes: int = 1) -> None:
        """Raise DriverError, as the server would, if a text and so many bytes beside it are too large to send."""
        largest = self.largest_bytes
        if not largest or len(text) * _LONGEST_CHARACTER + more_bytes < largest:
            return
        size = len(text.encode()) if isinstance(text, str) else len(text)
        if size + more_bytes >= largest:
            told = f"Got a packet bigger than 'max_allowed_packet' bytes: {size:,}, and the server takes {largest:,}"
            raise pymysql.OperationalError(TOO_LARGE, told)

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self.require_room(sql)
        self._settle()
        self._time_answer()
        super()._execute_command(command, sql)  # type: ignore[misc]

    def _write_bytes(self, data: bytes) -> None:
        self.writes += 1
        super()._write_bytes(data)  # type: ignore[misc]

    def _time_answer(self) -> None:
        self._answered_by = min(self._opened_by, time.monotonic() + (self._read_timeout or math.inf))

    def _read_in_time(self, most: int) -> bytes:
        # Another thread may have cut the connection since the send.
        sock = self._sock
        if sock is None:
            raise OSError(errno.ENOTCONN, "the connection was cut")
        left = self._answered_by - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        # A server that sends a byte now and then would else have the whole time for each of them.
        if self._current_timeout is None or left < self._current_timeout - _LATE_SECONDS:
            sock.settimeout(left)
            self._current_timeout = left
        read: bytes = sock.recv(most)
        return read

    def _read_bytes(self, num_bytes: int) -> bytes:
        parts, missing, why = [], num_bytes, "it was closed"
        try:
            while missing and (part := self._read_in_time(missing)):
                parts.append(part)
                missing -= len(part)
        except OSError as error:
            why = error.strerror or str(error)
        if missing:
            self._force_close()
            raise pymysql.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to the server during query ({why})")
        return b"".join(parts)

    def _settle(self, packets: Packets | None = None) -> None:
        """Read the answers of `run_unawaited`.

        Args:
            packets: what the answers that follow them are read from, too; what was asked since may be in its buffer.

        Raises:
            DriverError, OSError: the connection is lost.
        """
        if not self._owed:
            return
        owed, self._owed = self._owed, 0
        packets = packets or self._packets(_DEFINITION_BYTES)
        try:
            for _ in range(owed):
                # However long ago it was asked, the answer has its time from now on.
                self._time_answer()
                self.read_done(packets)
        except (DriverError, ValueError, IndexError, AssertionError) as error:
            self.discard()
            raise pymysql.OperationalError(CR.CR_SERVER_LOST, f"lost before it was used again: {error}") from error
        except KeyboardInterrupt:
            # What is still on the way would be taken for the next answer.
            self.discard()
            raise

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        self._execute_command(COMMAND.COM_QUERY, text)
        packets = self._packets(_DEFINITION_BYTES)
        head, end = read_head(packets), ResultEnd()
        decoders = [decoder_of(field, as_text=False) for field in head.fields]
        rows = [row for batch in row_batches(packets, decoders, end) for row in batch]
        self.server_status = end.status
        return rows

    def texts(self, text: str) -> list[tuple[str | None, ...]]:
        """Run one of the console's own queries and return its values as texts.

        Half the time of `rows`, which reads the description of each column.
        """
        self._execute_command(COMMAND.COM_QUERY, text)
        rows, self.server_status = read_texts(self._packets(_DEFINITION_BYTES))
        return rows

    def begin_statement(self, text: str, *, packet_bytes: int, prepared: bool = False) -> tuple[Packets, ResultHead]:
        """Send a statement and read the head of its answer; rows are read from the packets.

        Args:
            packet_bytes: the largest packet that is taken in, > 0.
            prepared: prepare and execute it, so that its rows come in the binary protocol.
        """
        if prepared:
            self._execute_prepared(text, packet_bytes)
        else:
            self._execute_command(COMMAND.COM_QUERY, text)
        # No deadline for all of it here: the watchdog enforces the statement's time limit.
        packets = self._packets(packet_bytes, timed=False)
        head = read_head(packets)
        if head.status is not None:
            self.server_status = head.status
        return packets, head

    def _execute_prepared(self, text: str, packet_bytes: int) -> None:
        self._execute_command(COMMAND.COM_STMT_PREPARE, text)
        number = prepared_number(self._packets(packet_bytes))
        if not number:
            raise ValueError("the server ran what it was asked to prepare")
        self._execute_command(COMMAND.COM_STMT_EXECUTE, number + _EXECUTED_ONCE)
        # It is read once the statement is over, and has no answer.
        self._execute_command(COMMAND.COM_STMT_CLOSE, number)

    def drop_prepared(self, packets: Packets) -> None:
        """Read the answer to COM_STMT_PREPARE and close the statement, which has no answer."""
        number = prepared_number(packets)
        if number:
            self._execute_command(COMMAND.COM_STMT_CLOSE, number)

    def _packets(self, ceiling_bytes: int, *, timed: bool = True) -> Packets:
        # Another thread may have cut the connection since the send.
        sock = self._sock
        if sock is None:
            raise OSError(errno.ENOTCONN, "the connection was cut")
        # The driver sets this when it reads a packet; here packets are read around it.
        if self._current_timeout != self._read_timeout:
            sock.settimeout(self._read_timeout)
            self._current_timeout = self._read_timeout
        read = self._read_in_time if timed else sock.recv
        return Packets(read, ceiling_bytes=ceiling_bytes, extended=self._is_extended)

    @property
    def thread(self) -> int:
        return self.server_thread_id[0]

    @property
    def has_ended(self) -> bool:
        """Whether the server has closed this idle connection or sent unexpected bytes; no round trip."""
        readable = self._is_readable()
        if readable and self._owed:
            # The answer that is owed was not unasked.
            with contextlib.suppress(DriverError, OSError):
                self._settle()
            readable = self._is_readable()
        return readable

    @property
    def is_retired(self) -> bool:
        """Whether its account expires soon; an open transaction keeps it."""
        return time.monotonic() >= self._retired_seconds and not self.server_status & IN_TRANSACTION

    def _is_readable(self) -> bool:
        if self._sock is None:
            return True
        try:
            readable, _, _ = select.select([self._sock], [], [], 0)
        except (OSError, ValueError):
            return True
        return bool(readable)

    def swallow(self, over: threading.Event) -> None:
        """Read and discard what the server sends until an event is set; never raises."""
        sock = self._sock
        with contextlib.suppress(OSError, ValueError):
            while sock is not None and not over.is_set():
                readable, _, _ = select.select([sock], [], [], _SWALLOW_SECONDS)
                if readable and not sock.recv(CHUNK_BYTES):
                    over.wait(_SWALLOW_SECONDS)

    def cut(self) -> None:
        """Shut the socket down; a read blocked in another thread ends too."""
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # The plain socket's method: the encrypted one would drop its state under the reader's feet.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def quit(self) -> None:
        """Close with COM_QUIT; never raises."""
        with contextlib.suppress(DriverError, OSError):
            self.close()

    def discard(self) -> None:
        """Close without telling the server; never raises, never reads."""
        self._result = None
        self._force_close()


def _asked(command: int, text: str | bytes) -> bytes:
    return framed(bytes((command,)) + (text.encode() if isinstance(text, str) else text), 0)
