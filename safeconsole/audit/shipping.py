"""Ships copies of the journal to sinks, at least once, without delaying the console.

The journal's own files are the spool: a small file per sink remembers how far each stream was sent, and advances only
after the sink accepted a batch. A sink that was down for a week receives the week when it is back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from safeconsole.audit.files import (
    PACKED,
    make_private_directory,
    open_appending,
    open_regular,
    open_replacing,
    reading,
    sync_directory,
)
from safeconsole.audit.host_log import HOST_LOG
from safeconsole.audit.journal import SESSION_ID, SESSIONS
from safeconsole.audit.record import hash_in_line
from safeconsole.audit.sinks import Parcel, Sink, SinkError, SyslogSink, WebhookSink
from safeconsole.config.settings import AuditSettings, SinkSettings
from safeconsole.errors import ConfigurationError

SINKS = "sinks"
BATCH_LINES = 200
BATCH_BYTES = 1024 * 1024
PAUSE_SECONDS = 5.0
"""Pause of the background thread between two passes."""


LEAVE_SECONDS = 2.0
"""How long leaving waits for the last pass of copies to the sinks."""


class Mark(msgspec.Struct):
    """How far a stream was sent: lines, bytes, and whether it is complete."""

    lines: int = 0
    bytes: int = 0
    ended: bool = False


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one pass for one sink.

    Attributes:
        trouble: why the sink accepted no more, or "".
    """

    sink: str
    lines: int
    trouble: str = ""


class Shipper:
    def __init__(self, directory: Path, sinks: Mapping[str, Sink]) -> None:
        self._directory = directory
        self._sinks = sinks

    def ship(self) -> tuple[Shipped, ...]:
        """Send what each sink has not received yet; a failing sink does not delay the others."""
        return tuple(self._ship_to(name, sink) for name, sink in self._sinks.items())

    def _ship_to(self, name: str, sink: Sink) -> Shipped:
        taken = 0
        trouble = ""
        try:
            with _marks(self._directory / SINKS / f"{name}.json") as marks:
                if marks is None:
                    return Shipped(sink=name, lines=0, trouble="another console is sending")
                for stream, path in self._streams():
                    try:
                        taken += self._ship_stream(sink, stream, path, marks)
                    except OSError as error:
                        # Whoever plants a file that cannot be read must not keep the others here.
                        trouble = trouble or str(error).lower()
        except (SinkError, OSError) as error:
            return Shipped(sink=name, lines=taken, trouble=str(error).lower())
        return Shipped(sink=name, lines=taken, trouble=trouble)

    def _ship_stream(self, sink: Sink, stream: str, path: Path, marks: Marks) -> int:
        mark = marks.of(stream)
        if mark.ended:
            return 0
        # Asked before reading: what is written after the answer would be left out for ever.
        over = path.name != HOST_LOG and _is_over(path)
        taken = 0
        for lines in _batches(path, mark.bytes):
            parcels = [Parcel(stream=stream, number=mark.lines + at, line=line[:-1]) for at, line in enumerate(lines)]
            sink.send(parcels)
            mark.lines += len(lines)
            mark.bytes += sum(map(len, lines))
            taken += len(lines)
            # MUST follow the send: a crash in between sends a batch twice, and never leaves one out.
            marks.save()
        if over:
            mark.ended = True
            marks.save()
        return taken

    def _streams(self) -> Iterator[tuple[str, Path]]:
        log = self._directory / HOST_LOG
        with contextlib.suppress(FileNotFoundError):
            yield f"host-{_first_hash(log)[:12]}", log
        for path in sorted((self._directory / SESSIONS).glob("*-*.jsonl*")):
            stream = path.name.removesuffix(PACKED).removesuffix(".jsonl")[11:]
            # What no console calls a session is not sent: a sink that cannot hold its name would stop there for ever.
            if path.suffix in {".jsonl", PACKED} and SESSION_ID.fullmatch(stream):
                yield stream, path


def open_shipper(directory: Path, settings: AuditSettings, environ: Mapping[str, str]) -> Shipper | None:
    """Return an audit directory's shipper, or None without sinks. Raises ConfigurationError: an invalid sink."""
    sinks = {name: sink_from(sink, environ) for name, sink in settings.sinks.items()}
    return Shipper(directory, sinks) if sinks else None


class Shipping:
    """A background thread that ships periodically."""

    def __init__(self, shipper: Shipper, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._shipper = shipper
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._last: tuple[Shipped, ...] = ()
        self._thread = threading.Thread(target=self._run, name="safeconsole-shipping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def troubles(self) -> tuple[str, ...]:
        """The errors of the last pass, one line per sink."""
        return tuple(f"{one.sink}: {one.trouble}" for one in self._last if one.trouble)

    def stop(self, wait_seconds: float) -> tuple[str, ...]:
        """Make a last pass, wait at most so many seconds, and return the errors; the next session sends the rest."""
        self._stop.set()
        self._thread.join(wait_seconds)
        return self.troubles()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_seconds):
            self._last = self._shipper.ship()
        self._last = self._shipper.ship()


class SharedShipping:
    """Sends copies of each audit directory while any session of the process that writes there is open."""

    def __init__(self, settings: AuditSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._lock = threading.Lock()
        self._running: dict[Path, tuple[int, Shipping]] = {}

    @contextmanager
    def running(self, directory: Path) -> Iterator[None]:
        """Ship until the context ends, and a last pass when it is the last one. Raises ConfigurationError."""
        with self._lock:
            users, shipping = self._running.get(directory, (0, None))
            if shipping is None:
                shipper = open_shipper(directory, self._settings, self._environ)
                assert shipper is not None, "only started where there are sinks"
                shipping = Shipping(shipper)
                shipping.start()
            self._running[directory] = (users + 1, shipping)
        try:
            yield
        finally:
            with self._lock:
                users, shipping = self._running.pop(directory)
                if users > 1:
                    self._running[directory] = (users - 1, shipping)
            if users == 1:
                # What is not taken now stays in the journal's files, and the next session sends it.
                shipping.stop(LEAVE_SECONDS)


class Marks:
    """How far one sink has received each stream, in a file that is replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[str, Mark] = {}
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            # A file that cannot be read sends everything again: twice is allowed, never is not.
            self._marks = msgspec.json.decode(path.read_bytes(), type=dict[str, Mark])

    def of(self, stream: str) -> Mark:
        return self._marks.setdefault(stream, Mark())

    def save(self) -> None:
        part = self._path.with_suffix(".part")
        descriptor = open_replacing(part)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self._marks))
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._path)
        sync_directory(self._path.parent)


@contextlib.contextmanager
def _marks(path: Path) -> Iterator[Marks | None]:
    """Yield a sink's marks under a lock, or None when another process holds it. Raises OSError."""
    make_private_directory(path.parent)
    descriptor = open_appending(path.with_suffix(".lock"), new=False)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield Marks(path)
    finally:
        os.close(descriptor)


def _first_hash(path: Path) -> str:
    """Return the hash of a file's first line, "" if that is invalid. Raises FileNotFoundError."""
    try:
        with reading(path) as file:
            return hash_in_line(file.readline().rstrip(b"\n")) or ""
    except FileNotFoundError:
        raise
    except OSError:
        return ""


def _batches(path: Path, start: int) -> Iterator[list[bytes]]:
    with reading(path) as file:
        file.seek(start)
        batch: list[bytes] = []
        size = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            batch.append(line)
            size += len(line)
            if len(batch) == BATCH_LINES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _is_over(path: Path) -> bool:
    with os.fdopen(open_regular(path), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def sink_from(settings: SinkSettings, environ: Mapping[str, str]) -> Sink:
    """Return the sink for a configuration.

    Args:
        environ: holds the secret, where one is named; `{secret}` stands for it in address and header.

    Raises:
        ConfigurationError: the secret is not set, or the address is invalid.
    """
    secret = environ.get(settings.secret_variable, "") if settings.secret_variable else ""
    if settings.secret_variable and not secret:
        raise ConfigurationError(f"audit.sinks: {settings.secret_variable} is not set")
    address = settings.address.replace("{secret}", quote(secret, safe=""))
    match settings.kind:
        case "syslog":
            return SyslogSink(address)
        case "webhook" | "otel":
            if urlsplit(address).scheme not in {"http", "https"}:
                raise ConfigurationError(
                    f"audit.sinks: the address of a {settings.kind} begins with https:// or http://"
                )
            name, _, value = settings.header.replace("{secret}", secret).partition(":")
            headers = {name.strip(): value.strip()} if name else {}
            return _http_sink(settings.kind, address, headers)
        case "database":
            # Imported here: only who has a central database pays for it.
            from safeconsole.audit.central import DatabaseSink  # noqa: PLC0415

            return DatabaseSink(address)


def _http_sink(kind: str, address: str, headers: Mapping[str, str]) -> Sink:
    if kind == "webhook":
        return WebhookSink(address, headers)
    # Imported here: the extra is there for who sends there.
    from safeconsole.audit.telemetry import TelemetrySink  # noqa: PLC0415

    return TelemetrySink(address, headers)
