"""A node exporter for tests: real HTTP on loopback, answering what a test plans, well or badly."""

import socket
import threading
import time
from contextlib import contextmanager

PAGE = b"""# HELP node_memory_MemAvailable_bytes Memory information field MemAvailable_bytes.
# TYPE node_memory_MemAvailable_bytes gauge
node_memory_MemAvailable_bytes %s
# TYPE node_memory_MemFree_bytes gauge
node_memory_MemFree_bytes 1.0e+09
"""


def page_of(number):
    """The exporter's answer with a number."""
    return b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n" + PAGE % str(number).encode()


class Exporter:
    """
    Answers every connection with `answer`: bytes, or a function of the connection.

    Attributes:
        url: its metrics page.
        requests: what was asked, each whole.
    """

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/metrics"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            try:
                self.requests.append(connection.recv(65536))
                if callable(self.answer):
                    self.answer(connection)
                else:
                    connection.sendall(self.answer)
            except OSError:
                return

    def close(self):
        self._listener.close()


@contextmanager
def exporting(answer):
    """An exporter while the context lasts."""
    made = Exporter(answer)
    try:
        yield made
    finally:
        made.close()


def silence(connection):
    """Say nothing, and stay."""
    time.sleep(30)


def drip(connection):
    """A byte now and then, for ever."""
    while True:
        connection.sendall(b"H")
        time.sleep(0.05)


def flood(connection):
    """More than anybody could want."""
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)
