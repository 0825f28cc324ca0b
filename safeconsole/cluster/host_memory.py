"""Free memory of the servers' hosts: AWS CloudWatch, RDS enhanced monitoring, or a Prometheus node exporter."""

from __future__ import annotations

import importlib.util
import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from safeconsole.cluster.engine import Sensor
from safeconsole.config.settings import ClusterSettings, FreeMemorySettings
from safeconsole.errors import ConfigurationError
from safeconsole.sqltext.vocabulary import NodeName


class LatestReading:
    """The latest number of a slow source, read in its own thread so that callers wait for a bounded time.

    At most one thread reads at a time; a hanging source is not asked again before it returns.

    Args:
        fetch: reads the source once, within bounded time; returns None when it cannot, and never raises.
        wait_seconds: how long `read` waits for a number, >= 0.
        keep_seconds: how long a number is reused without asking, >= 0.
        fresh_seconds: greatest age of an earlier number when the source is late or silent, >= `keep_seconds`.
    """

    def __init__(
        self,
        fetch: Callable[[], int | None],
        *,
        wait_seconds: float,
        keep_seconds: float,
        fresh_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._wait_seconds = wait_seconds
        self._keep_seconds = keep_seconds
        self._fresh_seconds = fresh_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._held: tuple[float, int] | None = None

    def read(self) -> int | None:
        """Return the latest number, or None when none is fresh enough."""
        with self._lock:
            if self._held is not None and self._monotonic() - self._held[0] < self._keep_seconds:
                return self._held[1]
            if self._worker is None or not self._worker.is_alive():
                # A daemon: leaving must not wait for a host that does not answer.
                self._worker = threading.Thread(target=self._work, daemon=True, name="safeconsole-host")
                self._worker.start()
            worker = self._worker
        worker.join(self._wait_seconds)
        with self._lock:
            if self._held is None or self._monotonic() - self._held[0] > self._fresh_seconds:
                return None
            return self._held[1]

    def _work(self) -> None:
        # Its age counts from before it was asked.
        asked_seconds = self._monotonic()
        found = self._fetch()
        if found is not None:
            with self._lock:
                self._held = (asked_seconds, found)


# One number a minute, some time after it was true: good enough to choose a node by, far too late to stop a statement
# with. Never met live: written from the manuals and tested against recorded answers. Source: Amazon RDS User Guide,
# "Amazon CloudWatch metrics for Amazon RDS" and "OS metrics in Enhanced Monitoring".


OLDEST_SECONDS = 300.0
"""Greatest age of a usable number."""

ANSWER_SECONDS = 1.5
_LARGEST_MEMORY_BYTES = 2**50
_LOG_GROUP = "RDSOSMetrics"

Client = Callable[[], Any]


def require_boto3() -> None:
    """Check that the extra is installed. Raises ConfigurationError."""
    if not _is_installed("boto3"):
        raise ConfigurationError(
            "free memory is to come from AWS, and the aws extra is not installed",
            instead="install safeconsole[aws] (pipx inject safeconsole boto3)",
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        # A module that was put aside on purpose.
        return False


def client_of(service: str, region: str) -> Client:
    """Return a function that creates a client once, with bounded timeouts, when first needed."""
    made: list[Any] = []

    def client() -> Any:  # noqa: ANN401 (boto3 has no types)
        if not made:
            import boto3  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
            from botocore.config import (  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
                Config,
            )

            bounded = Config(
                connect_timeout=ANSWER_SECONDS, read_timeout=ANSWER_SECONDS, retries={"total_max_attempts": 1}
            )
            made.append(boto3.client(service, region_name=region or None, config=bounded))
        return made[0]

    return client


class FreeableMemory:
    """CloudWatch's `FreeableMemory` of one instance.

    Args:
        client: returns boto3's client of CloudWatch.
        now: the time, with its zone.
    """

    def __init__(
        self, instance: str, client: Client, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._instance = instance
        self._client = client
        self._now = now

    def fetch(self) -> int | None:
        """Return the lowest value of the latest minute, None without a recent one; never raises."""
        now = self._now()
        try:
            answer = self._client().get_metric_statistics(
                Namespace="AWS/RDS",
                MetricName="FreeableMemory",
                Dimensions=[{"Name": "DBInstanceIdentifier", "Value": self._instance}],
                StartTime=now - timedelta(seconds=OLDEST_SECONDS),
                EndTime=now,
                Period=60,
                Statistics=["Minimum"],
            )
            points = [point for point in answer["Datapoints"] if _age(point["Timestamp"], now) <= OLDEST_SECONDS]
            latest = max(points, key=lambda point: point["Timestamp"], default=None)
            return None if latest is None else _bytes(latest["Minimum"])
        except _failures():
            return None


class EnhancedMonitoring:
    """Free and cached memory of one instance from RDS enhanced monitoring.

    Args:
        resource: its DbiResourceId ("db-ABC…"), which names its log.
        client: returns boto3's client of CloudWatch Logs.
        now: the time, with its zone.
    """

    def __init__(
        self, resource: str, client: Client, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._resource = resource
        self._client = client
        self._now = now

    def fetch(self) -> int | None:
        """Return free and cached memory of the latest record, None without a recent one; never raises."""
        try:
            events = self._client().get_log_events(
                logGroupName=_LOG_GROUP, logStreamName=self._resource, limit=1, startFromHead=False
            )["events"]
            written = datetime.fromtimestamp(events[-1]["timestamp"] / 1000, UTC)
            if _age(written, self._now()) > OLDEST_SECONDS:
                return None
            memory: Mapping[str, Any] = json.loads(events[-1]["message"])["memory"]
            # In KiB.
            return _bytes((memory["free"] + memory["cached"]) * 1024)
        except _failures():
            return None


def _failures() -> tuple[type[Exception], ...]:
    from botocore.exceptions import (  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
        BotoCoreError,
        ClientError,
    )

    return (BotoCoreError, ClientError, OSError, LookupError, TypeError, ValueError, AttributeError)


def _age(then: datetime, now: datetime) -> float:
    return (now - then).total_seconds()


def _bytes(number: float) -> int | None:
    return int(number) if 0 <= number <= _LARGEST_MEMORY_BYTES else None


# What answers is not trusted: it is read for a bounded time and up to a bounded size, whatever it says of its length;
# nothing is followed, decoded or unpacked; a number that is none, or no size of a memory, is no reading. The request
# is HTTP 1.0, which leaves nothing to unpack. Source: Linux, Documentation/filesystems/proc.rst ("MemAvailable");
# Prometheus documentation, "Exposition formats".


SCRAPE_SECONDS = 1.0
LARGEST_ANSWER_BYTES = 4 * 1024 * 1024
LARGEST_MEMORY_BYTES = 2**50
_METRIC = b"node_memory_MemAvailable_bytes"
# The exporter then reads nothing but /proc/meminfo: milliseconds instead of all it knows.
_ONLY_MEMORY = "collect[]=meminfo"
_CHUNK_BYTES = 65_536
_PORTS = {"http": 80, "https": 443}


class NodeExporter:
    """One node exporter.

    Args:
        url: its metrics page, such as `http://10.0.0.5:9100/metrics`.

    Raises:
        ConfigurationError: an invalid URL.
    """

    def __init__(self, url: str) -> None:
        self._url = _checked(url)

    def fetch(self) -> int | None:
        """Return the bytes available without swapping, None when unavailable; never raises."""
        try:
            return available_bytes(_get(self._url, until_seconds=time.monotonic() + SCRAPE_SECONDS))
        except (OSError, ValueError):
            return None


def available_bytes(answer: bytes) -> int | None:
    """Return the number in an HTTP answer, None if it is missing or implausible."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"] or not head.startswith(b"HTTP/1."):
        return None
    for line in body.splitlines():
        words = line.split()
        if len(words) in {2, 3} and words[0] == _METRIC:
            try:
                number = float(words[1])
            except ValueError:
                return None
            return int(number) if math.isfinite(number) and 0 <= number <= LARGEST_MEMORY_BYTES else None
    return None


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or port == 0 or not plain:
        raise ConfigurationError(
            f"not the address of a node exporter: {url!r}", instead="write http://HOST:9100/metrics, without a password"
        )
    return parts


def _get(url: SplitResult, *, until_seconds: float) -> bytes:
    """Return a raw HTTP answer. Raises OSError, ValueError."""
    host = url.hostname or ""
    port = url.port or _PORTS[url.scheme]
    plain = socket.create_connection((host, port), timeout=_left(until_seconds))
    with plain:
        talking = plain
        if url.scheme == "https":
            talking = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        with talking:
            page = f"{url.path or '/metrics'}?{url.query or _ONLY_MEMORY}"
            talking.settimeout(_left(until_seconds))
            talking.sendall(f"GET {page} HTTP/1.0\r\nHost: {url.netloc}\r\nAccept: text/plain\r\n\r\n".encode("ascii"))
            return _read_all(talking, until_seconds)


def _read_all(talking: socket.socket, until_seconds: float) -> bytes:
    taken = bytearray()
    while True:
        talking.settimeout(_left(until_seconds))
        chunk = talking.recv(_CHUNK_BYTES)
        if not chunk:
            return bytes(taken)
        taken += chunk
        if len(taken) > LARGEST_ANSWER_BYTES:
            raise ValueError(f"it answers with more than {LARGEST_ANSWER_BYTES} bytes")


def _left(until_seconds: float) -> float:
    left = until_seconds - time.monotonic()
    if left <= 0:
        raise TimeoutError("it does not answer in time")
    return left


class HostSources(msgspec.Struct, frozen=True, kw_only=True):
    """Sources of free memory by node name.

    Attributes:
        beforehand: asked when a node is chosen; may be minutes old.
        while_running: asked every 200 ms while a statement runs; never older than a second.
    """

    beforehand: Mapping[NodeName, Sensor]
    while_running: Mapping[NodeName, Sensor]


def host_sources(name: str, settings: ClusterSettings) -> HostSources:
    """Return a cluster's sources without asking them. Raises ConfigurationError: incomplete settings, or no extra."""
    beforehand: dict[NodeName, Sensor] = {}
    while_running: dict[NodeName, Sensor] = {}
    for address, source in settings.free_memory.items():
        node = NodeName(settings.names.get(address, address))
        try:
            fetch = _FETCHES[source.source](source)
        except ConfigurationError as error:
            where = f"clusters.{name}.free_memory.{address}"
            raise ConfigurationError(f"{where}: {error.message}", instead=error.instead) from None
        if source.source == "node-exporter":
            beforehand[node] = LatestReading(fetch, wait_seconds=1.0, keep_seconds=0.5, fresh_seconds=2.0)
            while_running[node] = LatestReading(fetch, wait_seconds=0.1, keep_seconds=0.1, fresh_seconds=1.0)
        else:
            beforehand[node] = LatestReading(fetch, wait_seconds=2.0, keep_seconds=30.0, fresh_seconds=60.0)
    return HostSources(beforehand=beforehand, while_running=while_running)


def _node_exporter(source: FreeMemorySettings) -> Callable[[], int | None]:

    return NodeExporter(source.url).fetch


def _cloudwatch(source: FreeMemorySettings) -> Callable[[], int | None]:

    require_boto3()
    return FreeableMemory(_instance(source), client_of("cloudwatch", source.region)).fetch


def _enhanced_monitoring(source: FreeMemorySettings) -> Callable[[], int | None]:

    require_boto3()
    return EnhancedMonitoring(_instance(source), client_of("logs", source.region)).fetch


def _instance(source: FreeMemorySettings) -> str:
    if not source.instance:
        which = "DBInstanceIdentifier" if source.source == "cloudwatch" else "DbiResourceId"
        raise ConfigurationError(f"source {source.source} needs an instance", instead=f"set instance to its {which}")
    return source.instance


_FETCHES: Mapping[str, Callable[[FreeMemorySettings], Callable[[], int | None]]] = {
    "node-exporter": _node_exporter,
    "cloudwatch": _cloudwatch,
    "enhanced-monitoring": _enhanced_monitoring,
}
