"""The HTTP server of the pages: a bounded number of threads, small requests, headers that forbid external content."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from typing import Any

import msgspec

HTML, JSON, PLAIN = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
STATIC = {"style.css": "text/css; charset=utf-8", "replay.js": "text/javascript; charset=utf-8"}


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's request, with header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    body: str
    kind: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


def static_file(path: str) -> Response | None:
    """Return the file under `/static/`, or None where the path is of none."""
    name = path.removeprefix("/static/")
    if name not in STATIC or not path.startswith("/static/"):
        return None
    return Response(status=200, body=resources.files(__package__).joinpath(name).read_text(), kind=STATIC[name])


def text_response(status: int, text: str) -> Response:
    return Response(status=status, body=f"{text}\n", kind=PLAIN)


LOOPBACK = "127.0.0.1"
LARGEST_FORM_BYTES = 64 * 1024
IDLE_SECONDS = 10

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'self'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not "no-referrer": browsers then send our own forms with the origin "null", which is refused.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


class PageServer(HTTPServer):
    """Answers requests on a fixed number of threads; who comes while all of them and the queue are busy is let go.

    Set `answer` before serving.

    Args:
        address: host and port; port 0 picks a free one.
        tls: what connections are encrypted with, None for none.
    """

    answer: Callable[[HttpRequest], Response]
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int] = (LOOPBACK, 0), *, threads: int = 4, tls: ssl.SSLContext | None = None
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self._tls = tls
        self._waiting: queue.Queue[tuple[Any, Any] | None] = queue.Queue(maxsize=4 * threads)
        self._threads = [
            threading.Thread(target=self._work, name=f"safeconsole-page-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the standard library's own
        try:
            self._waiting.put_nowait((request, client_address))
        except queue.Full:
            self.shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for _ in self._threads:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the standard library's own
        """Ignore a browser that goes away; a failing page has answered 500 already."""

    def _work(self) -> None:
        while (taken := self._waiting.get()) is not None:
            request, client_address = taken
            try:
                request.settimeout(IDLE_SECONDS)
                if self._tls is not None:
                    # Here and not where connections are taken: whoever says nothing must not keep others out.
                    request = self._tls.wrap_socket(request, server_side=True)
                self.finish_request(request, client_address)
            except OSError:
                self.handle_error(request, client_address)
            finally:
                self.shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = IDLE_SECONDS
    server_version = "safeconsole"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_FORM_BYTES:
            self._write(text_response(413, "This form is too large."))
            return
        self._answer(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the standard library's own
        """Log nothing: standard error belongs to the person, and reviews are in the review book."""

    def _answer(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = HttpRequest(method=self.command, target=self.path, headers=headers, body=body)
        try:
            answer = self.server.answer(request)
        except Exception:  # noqa: BLE001 - one page that fails must not look like a server that is gone
            answer = text_response(
                500, "This page failed; the command safeconsole audit may still show what it should."
            )
        self._write(answer)

    def _write(self, answer: Response) -> None:
        data = answer.body.encode("utf-8", "backslashreplace")
        self.send_response(answer.status)
        for name, value in (
            *HEADERS,
            *answer.headers,
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(data))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
