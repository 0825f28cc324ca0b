"""
Free memory of a host from a Prometheus node exporter: `node_memory_MemAvailable_bytes`, over HTTP.

What answers is not trusted: it is read for a bounded time and up to a bounded size, whatever it says of its length;
nothing is followed, decoded or unpacked; a number that is none, or no size of a memory, is no reading. The request
is HTTP 1.0, which leaves nothing to unpack. Source: Linux, Documentation/filesystems/proc.rst ("MemAvailable");
Prometheus documentation, "Exposition formats".
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit

from safeconsole.core.errors import ConfigurationError

ANSWER_SECONDS = 1.0
LARGEST_ANSWER_BYTES = 4 * 1024 * 1024
LARGEST_MEMORY_BYTES = 2**50
_METRIC = b"node_memory_MemAvailable_bytes"
# The exporter then reads nothing but /proc/meminfo: milliseconds instead of all it knows.
_ONLY_MEMORY = "collect[]=meminfo"
_CHUNK_BYTES = 65_536
_PORTS = {"http": 80, "https": 443}


class NodeExporter:
    """
    One exporter.

    Args:
        url: its metrics page, such as `http://10.0.0.5:9100/metrics`.

    Raises:
        ConfigurationError: it is no URL of one.
    """

    def __init__(self, url: str) -> None:
        self._url = _checked(url)

    def fetch(self) -> int | None:
        """Return the bytes that programs could have without swapping, None when they cannot be had; never raises."""
        try:
            return available_bytes(_get(self._url, until_seconds=time.monotonic() + ANSWER_SECONDS))
        except (OSError, ValueError):
            return None


def available_bytes(answer: bytes) -> int | None:
    """Return the number in an HTTP answer, None where it holds none that can be true."""
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
    """Return an HTTP answer as it came. Raises OSError, ValueError."""
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
