"""The host log: `<directory>/host.jsonl`, one anchor per session event, chained over all sessions of this computer.

A session's own chain shows a change inside it; the host log shows that a session was truncated or removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import pwd
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from safeconsole.audit.files import last_line, open_appending, open_regular, sync_directory, write_whole
from safeconsole.audit.record import GENESIS, hash_in_line, sealed_line
from safeconsole.clock import Clock

if TYPE_CHECKING:
    # A start without a key does not pay for it.
    from safeconsole.audit.signing import KeySigner

# A session's own chain shows a change inside it; the host log shows that a session was cut short or is gone. Anchors
# are chained among themselves over all sessions of the computer, and signed where a key is configured.


ANCHOR_VERSION = 1


class AnchorEvent(StrEnum):
    """Why an anchor was written.

    ABANDONED: the session ended without closing; a later session found it.
    PRUNED: retention removed the session's file; the anchor is its tombstone.
    REVIEWED: somebody reviewed it; count and head are the review book's.
    RECOVERED: the host log itself ended in a partial line, after a crash.
    """

    OPENED = "opened"
    CHECKPOINT = "checkpoint"
    CLOSED = "closed"
    ABANDONED = "abandoned"
    PRUNED = "pruned"
    REVIEWED = "reviewed"
    RECOVERED = "recovered"


ENDS = frozenset({AnchorEvent.CLOSED, AnchorEvent.ABANDONED})
"""Anchors after which a session gets no more entries."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the host log.

    Attributes:
        number: 0 for the first line, increasing by 1.
        time: UTC, ISO 8601 with microseconds.
        session: "" for RECOVERED.
        count: entries in the session, >= 0.
        head: hash of its last entry; "" for OPENED.
        torn: hexadecimal SHA-256 of a partial line after the last entry, or "".
        by: the account that wrote it.
        key: fingerprint of the signing key, "" when none is configured.
        previous: hash of the anchor before.
        signature: hexadecimal Ed25519 signature of `statement_to_sign`, "" without a key.
        hash: hexadecimal SHA-256 over all of the above.
    """

    version: int
    number: int
    time: str
    event: AnchorEvent
    session: str
    count: int
    head: str
    torn: str = ""
    by: str = ""
    key: str = ""
    previous: str = ""
    signature: str = ""
    hash: str = ""


def statement_to_sign(anchor: Anchor) -> bytes:
    """Return the bytes that a signature covers: everything but signature and hash."""
    fields = (
        f"safeconsole anchor {anchor.version}",
        str(anchor.number),
        anchor.time,
        anchor.event.value,
        anchor.session,
        str(anchor.count),
        anchor.head,
        anchor.torn,
        anchor.by,
        anchor.key,
        anchor.previous,
    )
    return "\n".join(fields).encode()


# Every console appends to it, a few lines a session, each under the file's lock for some microseconds.


HOST_LOG = "host.jsonl"
LOCK_SECONDS = 5.0
"""How long to wait for another console's line; it takes microseconds unless that process is stopped."""


class _LogTail(msgspec.Struct, frozen=True):
    number: int
    hash: str


class HostLog:
    """The host log of one audit directory, for appending; keeps no file open between calls."""

    def __init__(self, directory: Path, clock: Clock, *, by: str = "", signer: KeySigner | None = None) -> None:
        self._path = directory / HOST_LOG
        self._clock = clock
        self._by = by
        self._signer = signer

    def add(
        self, event: AnchorEvent, session: str, *, count: int, head: str, torn: str = "", durable: bool = False
    ) -> str:
        """Append one anchor, on disk on return if `durable`, and return its hash.

        Raises OSError: it could not be written, or another process holds the lock.
        """
        descriptor = open_appending(self._path, new=False)
        try:
            lock(descriptor, self._path)
            previous, number = self._recovered_end(descriptor)
            anchor = self._anchor(event, number, previous, session=session, count=count, head=head, torn=torn)
            digest = self._write(descriptor, anchor)
            if durable:
                # Nobody waits for our sync: it covers what was written whether the lock is held or not.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)  # which lets go of the lock
        return digest

    def recent(self, window_bytes: int) -> list[Anchor]:
        """Return the valid anchors in the last bytes of the log, oldest first. Raises OSError."""
        # Without the lock: a line that is being written is not whole yet, and is left out.
        try:
            with os.fdopen(open_regular(self._path), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                start = max(0, size - window_bytes)
                lines = os.pread(file.fileno(), size - start, start).split(b"\n")
        except FileNotFoundError:
            return []
        return anchors_in(lines[1:] if start else lines)

    def sync(self) -> None:
        descriptor = open_appending(self._path, new=False)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def _recovered_end(self, descriptor: int) -> tuple[str, int]:
        line, torn = last_line(descriptor)
        if torn:
            os.write(descriptor, b"\n")
            return self._recover(descriptor, torn)
        if not line:
            # Whoever finds a line in it relies on its name.
            sync_directory(self._path.parent)
            return GENESIS, 0
        if hash_in_line(line) is None:
            # Someone changed it: the log goes on from the last line that holds, and `verify` names this one.
            return _last_holding(descriptor)
        return _end_after(line)

    def _recover(self, descriptor: int, torn: bytes) -> tuple[str, int]:
        previous, number = _last_holding(descriptor)
        digest = hashlib.sha256(torn).hexdigest()
        anchor = self._anchor(AnchorEvent.RECOVERED, number, previous, torn=digest)
        return self._write(descriptor, anchor), number + 1

    def _anchor(
        self, event: AnchorEvent, number: int, previous: str, *, session: str = "", count: int = 0, **ends: str
    ) -> Anchor:
        return Anchor(
            version=ANCHOR_VERSION,
            number=number,
            time=self._clock.utc(),
            event=event,
            session=session,
            count=count,
            head=ends.get("head", ""),
            torn=ends.get("torn", ""),
            by=self._by,
            key=self._signer.key if self._signer else "",
            previous=previous,
        )

    def _write(self, descriptor: int, anchor: Anchor) -> str:
        if self._signer:
            anchor = msgspec.structs.replace(anchor, signature=self._signer.sign(statement_to_sign(anchor)))
        line, digest = sealed_line(anchor)
        write_whole(descriptor, line + b"\n")
        return digest


def open_host_log(directory: Path, clock: Clock, signing_key: str = "") -> HostLog:
    """Return the host log of an audit directory.

    Args:
        signing_key: a key file, or "keyring"; "" signs nothing.

    Raises:
        AuditUnavailableError: the key is unavailable.
    """
    return HostLog(directory, clock, by=_account(), signer=_signer(signing_key))


def _signer(signing_key: str) -> KeySigner | None:
    if not signing_key:
        return None
    # Imported here: a start without a key does not pay for it.
    from safeconsole.audit.signing import load_signer  # noqa: PLC0415

    return load_signer(signing_key)


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _last_holding(descriptor: int) -> tuple[str, int]:
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    for line in reversed(data.split(b"\n")):
        if hash_in_line(line) is not None:
            return _end_after(line)
    return GENESIS, 0


def _end_after(line: bytes) -> tuple[str, int]:
    tail = msgspec.json.decode(line, type=_LogTail)
    return tail.hash, tail.number + 1


def anchors_in(lines: list[bytes]) -> list[Anchor]:
    found = []
    for line in lines:
        if hash_in_line(line) is not None:
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=Anchor))
    return found


def lock(descriptor: int, path: Path) -> None:
    """Lock a file exclusively; readers and writers hold the lock for microseconds. Raises OSError."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"another process holds the lock of {path.name} for more than {LOCK_SECONDS:g} s"
                raise OSError(errno.EAGAIN, message, str(path)) from None
            time.sleep(0.001)
        else:
            return
