"""Sinks for copies of the journal: syslog, a webhook, a central database, an OpenTelemetry collector.

A sink accepts a whole batch durably, or fails. It may receive the same line twice; stream and number identify it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from safeconsole.errors import ConfigurationError

SEND_SECONDS = 5.0
"""Timeout for connecting, and for each answer."""

LARGEST_ANSWER_BYTES = 64 * 1024
"""Bytes read of a receiver's answer."""

FACILITY_AUDIT = 13
SEVERITY_NOTICE = 5
ENTERPRISE = 32473
"""The private enterprise number for documentation. Source: RFC 5612."""

UDP_MESSAGE_BYTES = 8192
"""A longer line is truncated in a datagram; its hash and number come before it."""


class SinkError(Exception):
    """A batch was not accepted; the message contains no secret."""


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """One journal line to send.

    Attributes:
        stream: the session's id, or "host-…" for the host log.
        number: of the line in its stream, from 0.
        line: exactly as in the file, without the newline.
    """

    stream: str
    number: int
    line: bytes


class Sink(Protocol):
    def send(self, parcels: Sequence[Parcel]) -> None:
        """Accept a batch, or raise SinkError, perhaps after accepting a part."""
        ...


class _LineName(msgspec.Struct):
    time: str = ""
    hash: str = ""
    event: str = ""
    record: dict[str, msgspec.Raw] = {}


def kind_of(line: bytes) -> tuple[str, str, str]:
    """Return a line's time, hash and kind, each "" where missing."""
    try:
        seen = msgspec.json.decode(line, type=_LineName)
        kind = seen.event or str(msgspec.json.decode(seen.record.get("type", msgspec.Raw(b'""'))))
    except (msgspec.DecodeError, ValueError):
        return "", "", ""
    return seen.time, seen.hash, kind


class SyslogSink:
    """Syslog of RFC 5424: a local socket's path, `udp://host:port`, or `tcp://host:port` (octet counting, RFC 6587)."""

    def __init__(self, address: str) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in {"", "udp", "tcp"} or not (parts.hostname or parts.path.startswith("/")):
            raise ConfigurationError(
                f"audit.sinks: {address} is not a syslog address: a path, udp://host:port or tcp://host:port"
            )
        self._address = address
        self._scheme = parts.scheme
        self._place = (parts.hostname or "", parts.port or 514) if parts.scheme else parts.path

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Send a batch, or raise SinkError; UDP does not confirm delivery."""
        try:
            with contextlib.closing(self._connected()) as connection:
                for parcel in parcels:
                    message = syslog_message(parcel)
                    if self._scheme == "tcp":
                        message = b"%d %b" % (len(message), message)
                    else:
                        message = message[:UDP_MESSAGE_BYTES]
                    connection.sendall(message)
        except OSError as error:
            raise SinkError(f"syslog {self._address}: {said(error)}") from error

    def _connected(self) -> socket.socket:
        if self._scheme == "tcp":
            return socket.create_connection(self._place, timeout=SEND_SECONDS)  # type: ignore[arg-type]  # a pair then
        family = socket.AF_INET if self._scheme else socket.AF_UNIX
        if self._scheme and ":" in self._place[0]:
            family = socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_DGRAM)
        connection.settimeout(SEND_SECONDS)
        try:
            connection.connect(self._place)
        except OSError:
            connection.close()
            raise
        return connection


def syslog_message(parcel: Parcel) -> bytes:
    """Return a line as an RFC 5424 message; the line itself stands at the end."""
    time, digest, kind = kind_of(parcel.line)
    priority = FACILITY_AUDIT * 8 + SEVERITY_NOTICE
    data = f'[safeconsole@{ENTERPRISE} stream="{_parameter(parcel.stream)}" number="{parcel.number}" hash="{digest}"]'
    head = f"<{priority}>1 {time or '-'} {socket.gethostname() or '-'} safeconsole {os.getpid()} {kind or '-'} {data} "
    return head.encode() + parcel.line


def _parameter(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", text)


class WebhookSink:
    """An HTTP receiver: each batch is one POST of `{"entries": [{stream, number, line}]}`; any 2xx accepts it."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = dict(headers)

    def send(self, parcels: Sequence[Parcel]) -> None:
        entries = [
            {"stream": one.stream, "number": one.number, "line": one.line.decode("utf-8", "replace")} for one in parcels
        ]
        body = json.dumps({"entries": entries}).encode()
        headers = {"Content-Type": "application/json", **self._headers}
        post(self._url, body, headers, what="webhook")


def post(url: str, body: bytes, headers: Mapping[str, str], *, what: str) -> bytes:
    """Send a body by HTTP POST, and return the answer.

    Args:
        url: begins with http:// or https://.
        what: the receiver's name in messages.

    Raises:
        SinkError: no 2xx answer; the message contains neither the address nor a header.
    """
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310 - checked before
    host = urllib.parse.urlsplit(url).hostname
    try:
        with OPENER.open(request, timeout=SEND_SECONDS) as answer:
            taken: bytes = answer.read(LARGEST_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        error.close()
        raise SinkError(f"{what} {host}: it answered {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        # `from None`: the address may carry a token.
        raise SinkError(f"{what} {host}: {said(error)}") from None
    return taken


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: only the configured receiver gets data."""

    def redirect_request(self, *_: object) -> None: ...


OPENER = urllib.request.build_opener(_NoRedirect)
"""Opens the configured URL and follows no redirect."""


def said(error: Exception) -> str:
    """Return an error's message in lower case, without secrets."""
    reason = getattr(error, "reason", error)
    text = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
    return text.lower()
