"""What a gateway counts, and the page of health that it serves: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from safeconsole.errors import ConfigurationError

_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Counts:
    """Counts nothing: a gateway without `--health`."""

    def logged_in(self, how: str) -> None:
        """Count a login: "socket", "token", "certificate", or "refused"."""

    def answered(self, verdict: str, seconds: float) -> None:
        """Count a statement by its verdict, and the time until it was over."""

    def killed(self, why: str) -> None:
        """Count a statement or connection that was ended: "vanished", "killed", "drained", "token"."""

    def connected(self, clients: int) -> None:
        """Say how many clients are connected."""

    def page(self) -> bytes:
        return b""


class Prometheus(Counts):
    """Counts for Prometheus.

    Args:
        directory: of the counts of several processes, whose sums the page has, or "". It MUST be given before the
            library is imported anywhere in the process, or in the one that forked it.

    Raises:
        ConfigurationError: the extra `gateway` is not installed.
    """

    def __init__(self, directory: str = "") -> None:
        if directory:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        try:
            import prometheus_client as prometheus  # noqa: PLC0415 (an extra)
            from prometheus_client import multiprocess  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"--health needs the extra gateway ({error.name} is not installed)",
                instead="pip install 'safeconsole[gateway]'",
            ) from error
        self._latest: Callable[[Any], bytes] = prometheus.generate_latest
        # What is counted here is in files then, and a page reads the files of all.
        self._registry = registry = prometheus.CollectorRegistry()
        self._page_registry = prometheus.CollectorRegistry() if directory else registry
        if directory:
            multiprocess.MultiProcessCollector(self._page_registry, directory)  # type: ignore[no-untyped-call]
        self._sessions = prometheus.Gauge(
            "safeconsole_gateway_sessions",
            "Clients that are connected.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._logins = prometheus.Counter(
            "safeconsole_gateway_logins", "Logins, by how, or refused.", ["how"], registry=registry
        )
        self._statements = prometheus.Counter(
            "safeconsole_gateway_statements", "Statements, by verdict.", ["verdict"], registry=registry
        )
        self._kills = prometheus.Counter(
            "safeconsole_gateway_kills", "What was ended before its end, by why.", ["why"], registry=registry
        )
        self._seconds = prometheus.Histogram(
            "safeconsole_gateway_statement_seconds",
            "Time from a statement to its end.",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )

    def logged_in(self, how: str) -> None:
        self._logins.labels(how).inc()

    def answered(self, verdict: str, seconds: float) -> None:
        self._statements.labels(verdict).inc()
        self._seconds.observe(seconds)

    def connected(self, clients: int) -> None:
        self._sessions.set(clients)

    def killed(self, why: str) -> None:
        self._kills.labels(why).inc()

    def page(self) -> bytes:
        return self._latest(self._page_registry)


def forget_process(process: int, directory: str) -> None:
    """Leave out of the sums the clients that a process had which died."""
    from prometheus_client import multiprocess  # noqa: PLC0415 (an extra)

    multiprocess.mark_process_dead(process, directory)  # type: ignore[no-untyped-call]


class HealthPage:
    """Serves health and metrics on a thread of its own.

    Args:
        listening: bound; processes that serve together share it, and each answers for all.
        counts: whose page `/metrics` is.
        ready: why the gateway takes nobody in now, "" while it does.
    """

    def __init__(self, listening: socket.socket, counts: Counts, ready: Callable[[], str]) -> None:
        class _Health(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                status, body = _page(self.path, counts, ready)
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
                """Say nothing: a page that is asked every second would fill the log."""

        self._server = ThreadingHTTPServer(listening.getsockname()[:2], _Health, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="safeconsole-gateway-health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _page(path: str, counts: Counts, ready: Callable[[], str]) -> tuple[int, bytes]:
    match path.partition("?")[0]:
        case "/healthz":
            return 200, b"ok\n"
        case "/readyz":
            why = ready()
            return (503, f"{why}\n".encode()) if why else (200, b"ready\n")
        case "/metrics":
            return 200, counts.page()
        case _:
            return 404, b"there are /healthz, /readyz and /metrics\n"
