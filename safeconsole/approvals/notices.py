"""Delivers notices by webhook, syslog and e-mail, without delaying the console.

A notice stays in a spool, one file per channel, until the channel accepted it; the next console delivers what is left.
A notice may arrive twice; its elevation's id identifies it.
"""

from __future__ import annotations

import contextlib
import json
import os
import smtplib
import ssl
import threading
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path

import msgspec

from safeconsole.approvals.requests import Notice, notice_line
from safeconsole.audit.files import make_private_directory, open_appending, sync_directory, write_whole
from safeconsole.audit.sinks import OPENER, Parcel, SinkError, SyslogSink, said
from safeconsole.config.settings import MailSettings, NoticeSettings
from safeconsole.errors import ConfigurationError

SPOOL = "notices"
SEND_SECONDS = 5.0
"""Timeout for connecting, and for each answer."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
LEAVE_SECONDS = 2.0
"""How long leaving the console waits for pending deliveries."""

Channel = Callable[[Notice], None]
"""Sends one notice, or raises SinkError without a secret in its text."""


class LocalNotices:
    """Sends notices over every configured channel, from a durable spool, in its own thread.

    Args:
        directory: the audit directory; the spool is in it.
    """

    def __init__(self, directory: Path, channels: Mapping[str, Channel]) -> None:
        self._spool = directory / SPOOL
        self._channels = dict(channels)
        self._troubles: dict[str, str] = {}
        self._wake = threading.Event()
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None

    def notify(self, notice: Notice) -> None:
        for name in self._channels:
            try:
                self._put(name, notice)
            except OSError as error:
                self._troubles[name] = f"notices to {name} cannot be kept: {said(error)}"
        self._start()
        self._wake.set()

    def deliver(self, notice: Notice) -> str:
        wrong = []
        for name, channel in self._channels.items():
            try:
                channel(notice)
            except SinkError as error:
                wrong.append(f"{name}: {error}")
        return "; ".join(wrong) if self._channels else "no channel for notices is configured"

    def settle(self) -> tuple[str, ...]:
        if self._thread is not None:
            self._leaving.set()
            self._wake.set()
            self._thread.join(LEAVE_SECONDS)
            if self._thread.is_alive():
                self._troubles.setdefault("", "a notice is still on its way; the next console delivers what is left")
        return tuple(self._troubles.values())

    def _put(self, name: str, notice: Notice) -> None:
        make_private_directory(self._spool)
        path = self._spool / f"{notice.time.replace(':', '')}-{uuid.uuid4().hex[:8]}.{name}"
        draft = path.with_name(f".{path.name}")
        descriptor = open_appending(draft, new=True)
        try:
            write_whole(descriptor, msgspec.json.encode(notice))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.rename(path)
        sync_directory(self._spool)

    def _start(self) -> None:
        if self._thread is None and self._channels:
            self._thread = threading.Thread(target=self._run, name="safeconsole-notices", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            # What was put down while a pass was under way is not in it: the last pass begins after the leaving.
            last = self._leaving.is_set()
            left = self._pass()
            if last:
                return
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS) if left else FIRST_PAUSE_SECONDS
            # Without anything left there is nothing to come back for.
            self._wake.wait(pause if left else None)
            self._wake.clear()

    def _pass(self) -> int:
        failed: set[str] = set()
        left = 0
        for path in sorted(self._spool.glob("[!.]*")):
            name = path.suffix.removeprefix(".")
            channel = self._channels.get(name)
            if channel is None:
                continue
            if name in failed or not self._deliver_file(path, name, channel):
                failed.add(name)
                left += 1
        return left

    def _deliver_file(self, path: Path, name: str, channel: Channel) -> bool:
        try:
            notice = msgspec.json.decode(path.read_bytes(), type=Notice)
            channel(notice)
        except FileNotFoundError:
            return True  # another console delivered it
        except (SinkError, OSError, msgspec.DecodeError) as error:
            self._troubles[name] = f"a notice to {name} is not delivered yet: {error}"
            return False
        path.unlink(missing_ok=True)
        self._troubles.pop(name, None)
        return True


def open_notices(directory: Path, settings: NoticeSettings, environ: Mapping[str, str]) -> LocalNotices | None:
    """Return the notifier, or None without channels. Raises ConfigurationError: an address or secret is missing."""
    channels: dict[str, Channel] = {}
    if settings.webhook:
        channels["webhook"] = _webhook(settings, environ)
    if settings.syslog:
        channels["syslog"] = _syslog(settings.syslog)
    if settings.mail is not None:
        channels["mail"] = _mail(settings.mail)
    return LocalNotices(directory, channels) if channels else None


def _webhook(settings: NoticeSettings, environ: Mapping[str, str]) -> Channel:
    secret = environ.get(settings.secret_variable, "") if settings.secret_variable else ""
    if settings.secret_variable and not secret:
        raise ConfigurationError(f"notices: {settings.secret_variable} is not set")
    url = settings.webhook.replace("{secret}", urllib.parse.quote(secret, safe="/"))
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigurationError("notices.webhook begins with https:// or http://")

    def send(notice: Notice) -> None:
        body = json.dumps({"text": notice_line(notice), "safeconsole": msgspec.to_builtins(notice)}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - checked above
        try:
            with OPENER.open(request, timeout=SEND_SECONDS):
                pass
        except (OSError, ValueError) as error:
            # `from None`: the address may carry a token.
            with contextlib.suppress(AttributeError):
                error.close()  # type: ignore[union-attr]
            raise SinkError(f"webhook {urllib.parse.urlsplit(url).hostname}: {said(error)}") from None

    return send


def _syslog(address: str) -> Channel:
    try:
        sink = SyslogSink(address)
    except ConfigurationError:
        raise ConfigurationError(
            f"notices.syslog: {address} is not a syslog address", instead="a path, udp://host:port or tcp://host:port"
        ) from None

    def send(notice: Notice) -> None:
        line = msgspec.json.encode({"time": notice.time, "event": "notice", "text": notice_line(notice)})
        sink.send([Parcel(stream=notice.elevation, number=0, line=line)])

    return send


def _mail(settings: MailSettings) -> Channel:
    host, _, port = settings.server.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError("notices.mail.server is host:port")

    def send(notice: Notice) -> None:
        message = EmailMessage()
        own = (settings.addresses[name] for name in notice.concerns if name in settings.addresses)
        message["From"] = settings.sender
        message["To"] = ", ".join(dict.fromkeys((*settings.recipients, *own)))
        message["Subject"] = f"safeconsole: elevation {notice.what} on {notice.cluster}"
        message.set_content(notice_line(notice))
        try:
            with smtplib.SMTP(host, int(port), timeout=SEND_SECONDS) as server:
                if settings.starttls:
                    server.starttls(context=ssl.create_default_context())
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise SinkError(f"mail {settings.server}: {said(error)}") from None

    return send
