"""Servers that are not what they say: a proxy that has a real one look like another, and a stranger of our own."""

import re
import socket
import struct
import threading

from tests.harness.proxy import Proxy, shut

COM_QUERY, COM_STMT_PREPARE = b"\x03", b"\x16"
_OK = b"\x00\x00\x00\x02\x00\x00\x00"
_EOF = b"\xfe\x00\x00\x02\x00"
# Long password, protocol 4.1, transactions, secure connection, plugin names; no TLS, several results or new ends.
_CAPABILITIES = 0x0001 | 0x0008 | 0x0200 | 0x2000 | 0x8000 | 0x80000


class Imitation(Proxy):
    """
    A real server that greets as another one, and is asked other questions than those that were sent.

    The real server answers whatever it is asked, so that the order of answers, their form and its errors are its own.

    Args:
        host, port: of the real server.
        greeting: a function to the version that it greets with, or the version itself; "" for its own.
        thread: the number that it gives each connection, None for the server's own.
        swaps: a function to (pattern, replacement) of the texts that it is asked, or these themselves, in order, as
            `re.sub` takes them; in any case.

    Attributes:
        asked: each text as it was sent.
    """

    def __init__(self, host, port, *, greeting="", thread=None, swaps=(), at=("127.0.0.1", 0)):
        self._greeting = greeting if callable(greeting) else lambda: greeting
        self._swaps = swaps if callable(swaps) else lambda: swaps
        self._thread = thread
        self.asked = []
        super().__init__(host, port, at=at)

    def _carry(self, client, server):
        for act, *ends in ((self._greet, server, client), (self._ask, client, server)):
            threading.Thread(target=act, args=ends, daemon=True).start()

    def _greet(self, server, client):
        try:
            sequence, first = read_packet(server)
            client.sendall(packet(self._greeted(first), sequence))
        except OSError:
            shut(client)
            return
        self._pass_on(server, client)

    def _greeted(self, first):
        if first[:1] != b"\x0a":
            return first
        end = first.index(b"\0", 1)
        thread = first[end + 1 : end + 5] if self._thread is None else struct.pack("<I", self._thread)
        return first[:1] + (self._greeting().encode() or first[1:end]) + b"\0" + thread + first[end + 5 :]

    def _ask(self, client, server):
        try:
            while True:
                sequence, payload = read_packet(client)
                # A command is the first of its exchange; what belongs to a login is not.
                if sequence == 0 and payload[:1] in (COM_QUERY, COM_STMT_PREPARE):
                    payload = payload[:1] + self._asked(payload[1:].decode()).encode()
                server.sendall(packet(payload, sequence))
        except OSError:
            shut(server)

    def _asked(self, text):
        self.asked.append(text)
        for pattern, new in self._swaps():
            text = re.sub(pattern, new, text, flags=re.IGNORECASE | re.DOTALL)
        return text


class Stranger:
    """
    A server of our own, which lets anybody in and answers each text by a function.

    Args:
        greeting: the version that it greets with.
        answer: from a text to rows, or None for "done".
    """

    def __init__(self, greeting, answer):
        self._greeting, self._answer = greeting.encode(), answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.asked = []
        self._ends = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def close(self):
        self._listening.close()
        for end in self._ends:
            shut(end)
            end.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._ends.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
        greeting = b"\x0a" + self._greeting + b"\0" + struct.pack("<I", 7) + b"saltsalt\0"
        greeting += struct.pack("<HBHHB", low, 45, 2, high, 21) + bytes(10) + b"saltsaltsalt\0mysql_native_password\0"
        try:
            client.sendall(packet(greeting, 0))
            read_packet(client)
            client.sendall(packet(_OK, 2))
            while True:
                _, payload = read_packet(client)
                if payload[:1] == b"\x01":
                    break
                text = payload[1:].decode(errors="replace")
                self.asked.append(text)
                client.sendall(answered(self._answer(text)) if payload[:1] == COM_QUERY else packet(_OK, 1))
        except OSError:
            pass
        shut(client)
        client.close()


def answered(rows):
    """The packets of an answer of the text protocol: "done" for None, else rows of one width, which may be none."""
    if rows is None:
        return packet(_OK, 1)
    width = len(rows[0]) if rows else 1
    column = (
        b"".join(map(_counted, (b"def", b"", b"", b"", b"c", b"")))
        + b"\x0c"
        + struct.pack("<HIBHBxx", 45, 1024, 253, 0, 0)
    )
    body = [bytes((width,)), *[column] * width, _EOF]
    body += [b"".join(b"\xfb" if value is None else _counted(str(value).encode()) for value in row) for row in rows]
    return b"".join(packet(each, number) for number, each in enumerate((*body, _EOF), start=1))


def _counted(value):
    assert len(value) < 251
    return bytes((len(value),)) + value


def packet(payload, sequence):
    """A packet on the wire."""
    return struct.pack("<I", len(payload))[:3] + bytes((sequence,)) + payload


def read_packet(source):
    """Read one packet: its sequence number and payload. Raises OSError at the end."""
    header = _read(source, 4)
    return header[3], _read(source, int.from_bytes(header[:3], "little"))


def _read(source, count):
    parts = bytearray()
    while len(parts) < count:
        part = source.recv(count - len(parts))
        if not part:
            raise ConnectionResetError("closed")
        parts += part
    return bytes(parts)
