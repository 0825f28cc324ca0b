"""What `safeconsole serve` counts, and its page of health: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import prometheus_client as prometheus

from safeconsole.errors import SafeConsoleError
from safeconsole.web.server import HttpRequest, Response, text_response

_LATENCY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)


class PageCounts:
    """Counts for Prometheus.

    Args:
        counted: what the central database holds now, by name; see `CentralArchive.counts`.
    """

    def __init__(self, counted: Callable[[], Mapping[str, int]]) -> None:
        self._counted = counted
        self._registry = registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "safeconsole_serve_requests", "Requests, by status.", ["status"], registry=registry
        )
        self._seconds = prometheus.Histogram(
            "safeconsole_serve_seconds", "Time to answer a request.", buckets=_LATENCY_SECONDS, registry=registry
        )
        self._lines = prometheus.Counter(
            "safeconsole_serve_indexed_lines", "Journal lines that were read into the index.", registry=registry
        )
        self._held = prometheus.Gauge(
            "safeconsole_serve_sessions", "Sessions, by state; at most 1000 are counted.", ["state"], registry=registry
        )

    def indexed(self, lines: int) -> None:
        self._lines.inc(lines)

    def counting(self, answer: Callable[[HttpRequest], Response]) -> Callable[[HttpRequest], Response]:
        """Return the same, counted."""

        def counted(request: HttpRequest) -> Response:
            began = time.perf_counter()
            status = 500
            try:
                response = answer(request)
                status = response.status
            finally:
                self._requests.labels(str(status)).inc()
                self._seconds.observe(time.perf_counter() - began)
            return response

        return counted

    def health(self, request: HttpRequest) -> Response:
        """Answer on the address that monitoring asks."""
        match request.target.partition("?")[0]:
            case "/healthz":
                return text_response(200, "ok")
            case "/readyz":
                return self._measured() or text_response(200, "ready")
            case "/metrics":
                # What the database holds is left as it was where the database does not answer.
                self._measured()
                return text_response(200, prometheus.generate_latest(self._registry).decode().rstrip())
            case _:
                return text_response(404, "there are /healthz, /readyz and /metrics")

    def _measured(self) -> Response | None:
        try:
            for state, number in self._counted().items():
                self._held.labels(state).set(number)
        except SafeConsoleError as error:
            return text_response(503, error.message)
        return None
