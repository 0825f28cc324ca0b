"""The journal of one session: `<directory>/sessions/<UTC date>-<id>.jsonl`, one entry a line, append-only.

Each line is one write. A durable record is followed by one sync that covers it and all before it, and by a check that
the path still names our file. Every `CHECKPOINT_RECORDS`, and after each elevated intent, the head is anchored in the
host log.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from safeconsole.audit.files import (
    check_private,
    check_still_named,
    last_line,
    make_private_directory,
    open_appending,
    open_regular,
    sync_directory,
    unavailable,
    write_whole,
)
from safeconsole.audit.host_log import ENDS, HOST_LOG, AnchorEvent, HostLog, lock, open_host_log
from safeconsole.audit.kept import KeptChange, purge_kept, write_kept
from safeconsole.audit.record import (
    SCHEMA_VERSION,
    ElevationChanged,
    Ended,
    Entry,
    Intent,
    Noticed,
    Record,
    hash_in_line,
    sealed_line,
)
from safeconsole.clock import Clock
from safeconsole.errors import AuditUnavailableError
from safeconsole.patterns import late
from safeconsole.sqltext.literal_rules import NO_KEY, LiteralKey

SESSIONS = "sessions"
SESSION_ID = late(r"[0-9A-Za-z-]{1,64}")
"""Pattern of a session's id."""

CHECKPOINT_RECORDS = 64
MOST_OWED = 1_000
"""Records that are kept while the journal cannot be written."""

SETTLE_WINDOW_BYTES = 64 * 1024
"""How far back in the host log an opening session looks for crashed sessions."""


class _NamesSync(threading.Thread):
    """Makes a session's opening anchor and its file's name durable, while something else is waited for."""

    def __init__(self, host_log: HostLog, directory: Path) -> None:
        super().__init__(name="safeconsole-journal", daemon=True)
        self._host_log = host_log
        self._directory = directory
        self._failure: OSError | None = None

    def run(self) -> None:
        try:
            self._host_log.sync()
            sync_directory(self._directory)
        except OSError as error:
            self._failure = error

    def wait(self) -> None:
        """Return once both are durable. Raises OSError: they are not."""
        self.join()
        if self._failure is not None:
            raise self._failure


class FileJournal:
    """One session's file, open for appending; thread-safe."""

    literal_key: LiteralKey = NO_KEY

    def __init__(self, descriptor: int, path: Path, session: str, host_log: HostLog, clock: Clock) -> None:
        self._descriptor = descriptor
        self._path = path
        self._session = session
        self._host_log = host_log
        self._clock = clock
        self._opened_seconds = clock.monotonic()
        self._lock = threading.Lock()
        self._size = 0
        self._number = 0
        self._head = ""
        self._anchored = 0
        self._broken: OSError | None = None
        self._owed: list[Record] = []
        self._closed = False
        self._names: _NamesSync | None = None

    @classmethod
    def begin(cls, directory: Path, session: str, host_log: HostLog, clock: Clock) -> FileJournal:
        """Create the session's file and its opening anchor. Raises OSError."""
        path = directory / SESSIONS / f"{clock.utc()[:10]}-{session}.jsonl"
        # Who comes next clears up what is kept for some days only.
        purge_kept(directory)
        descriptor = open_appending(path, new=True)
        try:
            # Held as long as the session lives: how others know that it does.
            lock(descriptor, path)
            journal = cls(descriptor, path, session, host_log, clock)
            journal._head = host_log.add(AnchorEvent.OPENED, session, count=0, head="")
            journal._names = _NamesSync(host_log, path.parent)
            journal._names.start()
        except OSError:
            os.close(descriptor)
            raise
        return journal

    @property
    def session(self) -> str:
        return self._session

    @property
    def path(self) -> Path:
        return self._path

    def append(self, record: Record, *, durable: bool = False) -> None:
        """Append one record; with `durable`, it and all before it are on disk on return.

        What happened and could not be written, as on a disk that is full, is kept and written before the next one. What
        only follows from a record is not: an intent was not sent, a grant is not in force.

        Raises AuditUnavailableError: not written or not durable; nothing may be sent after that.
        """
        with self._lock:
            try:
                if self._owed:
                    self._write_owed()
                self._write(record)
            except OSError as error:
                if happened(record) and len(self._owed) < MOST_OWED:
                    self._owed.append(record)
                unavailable(self._path.parent, error)
            try:
                if durable:
                    self._make_durable()
                    elevated = isinstance(record, Intent) and bool(record.elevation)
                    if elevated or self._number - self._anchored >= CHECKPOINT_RECORDS:
                        self._anchor(AnchorEvent.CHECKPOINT)
            except OSError as error:
                unavailable(self._path.parent, error)

    def keep_rows(self, change: KeptChange) -> None:
        """Keep the rows of a change beside the journal. Raises AuditUnavailableError."""
        directory = self._path.parent.parent
        try:
            write_kept(directory, change)
        except OSError as error:
            unavailable(directory, error)

    def close(self) -> None:
        """Sync and close; a second call does nothing. Raises AuditUnavailableError."""
        with self._lock:
            if self._closed:
                return
            try:
                if self._owed:
                    self._write_owed()
                self._closed = True
                self._make_durable()
                self._anchor(AnchorEvent.CLOSED)
            except OSError as error:
                unavailable(self._path.parent, error)
            finally:
                self._closed = True
                os.close(self._descriptor)

    def _write_owed(self) -> None:
        """Write records that could not be written earlier, with a notice. Raises OSError."""
        # What another write left behind of itself is not gone on after.
        check_still_named(self._descriptor, self._path, self._size)
        count = len(self._owed)
        while self._owed:
            self._write(self._owed[0])
            del self._owed[0]
        late = f"{count} record{'s' if count > 1 else ''} before this could not be written when they happened"
        self._write(Noticed(what="journal written again", detail=late))

    def _write(self, record: Record) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the session's journal is closed already")
        if self._broken is not None:
            raise self._broken
        line, digest = _sealed(
            Entry(
                version=SCHEMA_VERSION,
                session=self._session,
                number=self._number,
                time=self._clock.utc(),
                offset_seconds=round(self._clock.monotonic() - self._opened_seconds, 6),
                previous=self._head,
                record=record,
            )
        )
        size, number = self._size + len(line) + 1, self._number + 1
        try:
            write_whole(self._descriptor, line + b"\n")
        except BaseException:
            # An interrupt may come right after the line was written, and the next one MUST follow on it.
            if os.fstat(self._descriptor).st_size == size:
                self._size, self._number, self._head = size, number, digest
            raise
        # No call stands here: Python lets an interrupt in after calls only.
        self._size, self._number, self._head = size, number, digest

    def _make_durable(self) -> None:
        if self._broken is not None:
            raise self._broken
        check_still_named(self._descriptor, self._path, self._size)
        try:
            if self._names is not None:
                self._names.wait()
            os.fdatasync(self._descriptor)
        except OSError as error:
            # After a failed sync the kernel may have dropped what it could not store, and the next sync
            # would succeed without it (Linux fsync(2), "Errors"): no later success proves anything.
            self._broken = error
            raise
        self._names = None

    def _anchor(self, event: AnchorEvent) -> None:
        # MUST follow a sync: the host log never knows of a record that a power loss could take back. The anchor itself
        # needs none: if it is lost, the next session anchors the same head again.
        self._host_log.add(event, self._session, count=self._number, head=self._head)
        self._anchored = self._number


def happened(record: Record) -> bool:
    """Whether a record reports something that has happened already, recorded or not."""
    if isinstance(record, ElevationChanged):
        return record.state not in _BEGINS
    return isinstance(record, Ended | Noticed)


_BEGINS = frozenset({"asked", "granted"})


def open_journal(
    directory: Path,
    *,
    clock: Clock,
    session: str | None = None,
    signing_key: str = "",
    literal_key: LiteralKey = NO_KEY,
) -> FileJournal:
    """Begin a session's journal, after settling crashed sessions of the directory.

    Args:
        directory: created with mode 0700 when missing.
        session: the session's id; generated when None.
        signing_key: key file that signs the host log, or "keyring"; "" signs nothing.

    Raises:
        AuditUnavailableError: the journal cannot be written there.
        ValueError: the id is invalid.
    """
    host_log = open_host_log(directory, clock, signing_key)
    session = session or os.urandom(6).hex()
    if not SESSION_ID.fullmatch(session):
        raise ValueError(f"a session's id is 1 to 64 letters, digits and dashes: {session!r}")
    try:
        make_private_directory(directory / SESSIONS)
        for path in (directory, directory / SESSIONS, directory / HOST_LOG):
            if path.exists():
                check_private(path)
        settle(directory, host_log)
        journal = FileJournal.begin(directory, session, host_log, clock)
        journal.literal_key = literal_key
    except FileExistsError as error:
        raise AuditUnavailableError(f"there is a session {session} in {directory} already") from error
    except OSError as error:
        unavailable(directory, error)
    return journal


def settle(directory: Path, host_log: HostLog) -> int:
    """Anchor sessions that ended without closing, and return how many there were.

    Looks at sessions in the newest `SETTLE_WINDOW_BYTES` of the host log. Raises OSError.
    """
    return sum(_settle_one(directory, host_log, session) for session in _open_sessions(host_log))


def _open_sessions(host_log: HostLog) -> dict[str, None]:
    found: dict[str, None] = {}
    for anchor in host_log.recent(SETTLE_WINDOW_BYTES):
        if anchor.event in ENDS or anchor.event is AnchorEvent.PRUNED:
            found.pop(anchor.session, None)
        elif anchor.event is AnchorEvent.OPENED:
            found[anchor.session] = None
    return found


def _settle_one(directory: Path, host_log: HostLog, session: str) -> bool:
    try:
        path = next((directory / SESSIONS).glob(f"????-??-??-{session}.jsonl"))
        descriptor = open_regular(path)
    except (OSError, StopIteration):
        return False  # gone or unreadable: `verify` says so, it does not stop a session
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Asked again under the lock: it may have ended, or been settled by another, since we looked.
            if session not in _open_sessions(host_log):
                return False
            line, torn = last_line(descriptor)
            head = hash_in_line(line) if line else ""
            if head is None:
                return False  # its last record does not hold: `verify` names it
            number = msgspec.json.decode(line, type=_LineNumber).number + 1 if line else 0
            torn_hash = hashlib.sha256(torn).hexdigest() if torn else ""
            host_log.add(AnchorEvent.ABANDONED, session, count=number, head=head, torn=torn_hash)
            return True
    finally:
        os.close(descriptor)
    return False


class _LineNumber(msgspec.Struct, frozen=True):
    number: int


def _sealed(entry: Entry) -> tuple[bytes, str]:
    try:
        return sealed_line(entry)
    except UnicodeEncodeError:
        # Half a surrogate pair, as undecodable input leaves it: kept readable, never a reason not to record.
        return sealed_line(msgspec.structs.replace(entry, record=_encodable(entry.record)))


def _encodable(record: Record) -> Record:
    def mended(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        match value:
            case str():
                return value.encode("utf-8", "backslashreplace").decode()
            case dict():
                return {mended(key): mended(item) for key, item in value.items()}
            case list() | tuple():
                return [mended(item) for item in value]
            case _:
                return value

    whole: Record = msgspec.convert(mended(msgspec.to_builtins(record)), type=Record)
    return whole
