"""The HTTP server on loopback; every response carries headers that forbid external content."""

from __future__ import annotations

import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from safeconsole.web.routes import Desk, HttpRequest, Keys, Response, respond

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


def new_keys(port: int) -> Keys:
    hosts = frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"})
    token, cookie, csrf, place = (secrets.token_urlsafe(32) for _ in range(4))
    return Keys(token=token, cookie=cookie, csrf=csrf, base=f"/{place}/", hosts=hosts)


class PageServer(ThreadingHTTPServer):
    daemon_threads = True
    desk: Desk

    def __init__(self, port: int) -> None:
        """Listen on a port; 0 picks a free one. Raises OSError when it is in use."""
        super().__init__((LOOPBACK, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the standard library's own
        """Ignore a browser that goes away; a failing page has answered 500 already."""


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
            self._write(Response(status=413, body="This form is too large.\n", kind="text/plain; charset=utf-8"))
            return
        self._answer(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the standard library's own
        """Log nothing: standard error belongs to the person, and reviews are in the review book."""

    def _answer(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = HttpRequest(method=self.command, target=self.path, headers=headers, body=body)
        try:
            answer = respond(request, self.server.desk)
        except Exception:  # noqa: BLE001 - one page that fails must not look like a server that is gone
            text = "This page failed; the command safeconsole audit may still show what it should.\n"
            answer = Response(status=500, body=text, kind="text/plain; charset=utf-8")
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
