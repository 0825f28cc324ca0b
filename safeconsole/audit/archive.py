"""The journals of this computer, for reading. Reads only, and trusts nothing that it reads."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import msgspec

from safeconsole.audit.files import PACKED, open_regular, reading
from safeconsole.audit.host_log import HOST_LOG, Anchor, AnchorEvent, anchors_in
from safeconsole.audit.journal import SESSIONS
from safeconsole.audit.record import Entry, Finding, SessionOpened, SessionSummary, hash_in_line
from safeconsole.audit.review import REVIEWS
from safeconsole.audit.story import summary_of
from safeconsole.audit.verification import (
    Compared,
    check_host_log,
    check_reviews,
    check_session,
    check_signatures,
    closes_without_anchor,
    compared,
)
from safeconsole.errors import ConfigurationError


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """A session by its first record alone.

    Attributes:
        opened, cluster, person, login: "" where the first record cannot be read; `opened` is UTC.
        live: whether a console still writes to it.
    """

    session: str
    opened: str = ""
    cluster: str = ""
    person: str = ""
    login: str = ""
    live: bool = False


_DATE_LENGTH = len("2023-11-07-")
_IS_SESSION = re.compile(r".*-.*\.jsonl(?:" + re.escape(PACKED) + r")?")
_ENTRY = msgspec.json.Decoder(Entry)


class LocalArchive:
    def __init__(self, directory: Path, *, public_keys: Sequence[str] = ()) -> None:
        self._directory = directory
        self._public_keys = public_keys
        self._listed: dict[str, Path] = {}
        self._summaries: dict[str, tuple[_Stamp, SessionSummary]] = {}

    def sessions(self) -> tuple[SessionSummary, ...]:
        """Return a summary of every session, oldest first; an unreadable one says why.

        Of an archive that is asked again, sessions that are closed and unchanged are not read again.
        """
        summaries = [self._summary(session, path) for session, path in self._files().items()]
        return tuple(sorted(summaries, key=lambda summary: (summary.opened, summary.session)))

    def newest(self, most: int, *, person: str = "", cluster: str = "") -> tuple[tuple[SessionSummary, ...], int]:
        """Return summaries of the newest sessions, oldest first, and how many older ones are left out.

        Only these are read, and the first records of as many as it takes to find them.

        Args:
            person, cluster: only theirs; "" for all.
        """
        chosen: list[Glance] = []
        older = 0
        for day, files in itertools.groupby(reversed(self._files().items()), key=lambda file: _day_of(file[1])):
            listed = list(files)
            if len(chosen) >= most and not person and not cluster:
                older += len(listed)
                continue
            glances = (_glance(session, path) for session, path in listed)
            theirs = [
                each
                for each in glances
                if (not person or each.person == person) and (not cluster or each.cluster == cluster)
            ]
            # One whose first record cannot be read stands at the beginning of its day.
            theirs.sort(key=lambda glance: (glance.opened or day, glance.session), reverse=True)
            room = max(0, most - len(chosen))
            older += len(theirs[room:])
            chosen += theirs[:room]
        return tuple(self._summary(each.session, self._listed[each.session]) for each in reversed(chosen)), older

    def summary(self, session: str) -> SessionSummary:
        """Return one session's summary. Raises ConfigurationError: as `entries`."""
        path = self.file_of(session)
        return self._summary(_session_of(path), path)

    def count(self) -> int:
        return len(self._files())

    def glance(self) -> tuple[Glance, ...]:
        """Return every session by its first record alone, oldest first."""
        glances = [_glance(session, path) for session, path in self._files().items()]
        return tuple(sorted(glances, key=lambda glance: (glance.opened, glance.session)))

    def entries(self, session: str) -> Iterator[Entry]:
        """Yield a session's readable entries in order; a unique prefix of its id is enough.

        Raises ConfigurationError: no such session, the prefix is ambiguous, or the file cannot be read.
        """
        path = self.file_of(session)
        return (entry for entry, _ in _readable(_lines(path)) if entry is not None)

    def file_of(self, session: str) -> Path:
        """Return a session's file; a unique prefix of its id is enough. Raises ConfigurationError."""
        path = self._listed.get(session)
        # Who reads all sessions lists them once; one that was packed since is looked for anew.
        if path is None or not path.exists():
            path = self._files()[self._resolve(session)]
        return path

    def verify(self, session: str = "") -> tuple[Finding, ...]:
        """Verify one session, or all and the host log; an empty result means that all are intact."""
        files = self._files()
        host_lines, host_trouble = _all_lines(self._directory / HOST_LOG)
        reviews, review_trouble = _all_lines(self._directory / REVIEWS)
        held = anchors_in([line.rstrip(b"\n") for line in host_lines])
        anchors: dict[str, list[Anchor]] = {}
        for anchor in held:
            anchors.setdefault(anchor.session, []).append(anchor)
        anchors.pop("", None)
        wanted = {self._resolve(session, known=set(files) | set(anchors))} if session else set(files) | set(anchors)
        findings = [_unreadable("host log", host_trouble) or check_host_log(host_lines) or self._check_signatures(held)]
        findings.append(_unreadable("review book", review_trouble) or check_reviews(reviews, held))
        findings += [_check(name, files.get(name), anchors.get(name, [])) for name in sorted(wanted)]
        return tuple(finding for finding in findings if finding is not None)

    def compare(self, copy: Iterable[bytes]) -> Compared:
        """Compare with a copy kept elsewhere; each of its lines that is missing here is a finding."""
        paths = [self._directory / HOST_LOG, self._directory / REVIEWS, *self._files().values()]
        held = {found for path in paths for line in _all_lines(path)[0] if (found := hash_in_line(line.rstrip(b"\n")))}
        host_log = [line.rstrip(b"\n") for line in _all_lines(self._directory / HOST_LOG)[0]]
        anchors = anchors_in(host_log)
        pruned = {anchor.session for anchor in anchors if anchor.event is AnchorEvent.PRUNED}
        hashes = [found for line in host_log if (found := hash_in_line(line))]
        return compared(copy, held=held, pruned=pruned, host_log=hashes)

    def _check_signatures(self, anchors: list[Anchor]) -> Finding | None:
        if not self._public_keys:
            return None
        # Imported here: it is slow to import, and most reading does not need it.
        from safeconsole.audit.signing import KeyRing  # noqa: PLC0415

        return check_signatures(anchors, KeyRing(self._public_keys))

    def _files(self) -> dict[str, Path]:
        folder = self._directory / SESSIONS
        try:
            # Names as text: twenty thousand paths take half a second to sort.
            names = sorted(name for name in os.listdir(folder) if _IS_SESSION.fullmatch(name))  # noqa: PTH208
        except OSError:
            names = []
        self._listed = {_session_of(path): path for path in map(folder.joinpath, names)}
        return self._listed

    def _resolve(self, prefix: str, *, known: set[str] | None = None) -> str:
        names = set(self._files()) if known is None else known
        if prefix in names:
            return prefix
        found = sorted(name for name in names if prefix and name.startswith(prefix))
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigurationError(
                f"session {prefix} is ambiguous: {', '.join(found[:5])}", instead="give more of its id"
            )
        raise ConfigurationError(
            f"there is no session {prefix or '(empty)'} in {self._directory}", instead="see audit list"
        )

    def _summary(self, session: str, path: Path) -> SessionSummary:
        stamp = _stamp(path)
        known = self._summaries.get(session)
        if known is not None and known[0] == stamp:
            return known[1]
        found = self._read_summary(session, path)
        # Who still writes may write in the same moment, and holds a lock that no time of a file shows.
        if stamp is not None and found.closed and not found.live:
            self._summaries[session] = stamp, found
        return found

    def _read_summary(self, session: str, path: Path) -> SessionSummary:
        entries: list[Entry] = []
        trouble = ""
        try:
            for number, (entry, what) in enumerate(_readable(_lines(path))):
                if entry is not None:
                    entries.append(entry)
                elif not trouble:
                    trouble = f"record {number}: {what}"
        except ConfigurationError as error:
            trouble = error.message
        return summary_of(session, entries, live=_is_live(path), trouble=trouble)


def _glance(session: str, path: Path) -> Glance:
    try:
        descriptor = open_regular(path)
    except OSError:
        return Glance(session=session)
    try:
        live = _is_locked(descriptor)
        line = _first_line(descriptor, path)
    finally:
        os.close(descriptor)
    entry, _ = next(_readable(iter((line,))), (None, ""))
    if entry is None:
        return Glance(session=session, live=live)
    if not isinstance(entry.record, SessionOpened):
        return Glance(session=session, opened=entry.time, live=live)
    head = entry.record
    return Glance(
        session=session, opened=entry.time, cluster=head.cluster, person=head.person, login=head.login, live=live
    )


_FIRST_BYTES = 8 * 1024


def _first_line(descriptor: int, path: Path) -> bytes:
    """Return a file's first line, b"" where it cannot be read."""
    if path.suffix != PACKED:
        line, newline, _ = os.pread(descriptor, _FIRST_BYTES, 0).partition(b"\n")
        if newline:
            return line + newline
    try:
        return next(_lines(path), b"")
    except ConfigurationError:
        return b""


_Stamp = tuple[int, int, int, int]


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes with a file's content: nobody sets the time of its last change back."""
    try:
        about = os.lstat(path)
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _session_of(path: Path) -> str:
    return path.name.removesuffix(PACKED).removesuffix(".jsonl")[_DATE_LENGTH:]


def _day_of(path: Path) -> str:
    return path.name[: _DATE_LENGTH - 1]


def open_archive(directory: Path, *, public_keys: Sequence[str] = ()) -> LocalArchive:
    """Return the archive of an audit directory; a missing directory has no sessions.

    Args:
        public_keys: trusted signing keys; with one, an unsigned host log is invalid.
    """
    return LocalArchive(directory, public_keys=public_keys)


def _check(session: str, path: Path | None, anchors: list[Anchor]) -> Finding | None:
    if path is None:
        return check_session(session, None, anchors, live=False)
    # Asked before reading: a session that ends in between must not look like one that was cut.
    live = _is_live(path)
    try:
        lines = list(_lines(path))
    except ConfigurationError as error:
        return Finding(session=session, number=0, what=error.message)
    finding = check_session(session, lines, anchors, live=live) or _misnamed(session, path, lines)
    if finding is None and not live and lines and closes_without_anchor(_tag(lines[-1]), anchors):
        what = "the session closed in order, but the host log never saw it"
        return Finding(session=session, number=len(lines) - 1, what=what)
    return finding


def _misnamed(session: str, path: Path, lines: Sequence[bytes]) -> Finding | None:
    """Return a finding where a file's name says another day than its first record: a list is cut by the names."""
    try:
        named = date.fromisoformat(_day_of(path))
        opened = date.fromisoformat(_ENTRY.decode(lines[0]).time[: _DATE_LENGTH - 1])
    except (IndexError, ValueError):
        return None
    # It is named a moment before its first record.
    if named <= opened <= named + timedelta(days=1):
        return None
    return Finding(session=session, number=0, what=f"its file is named as of {named}, and it was opened on {opened}")


def _all_lines(path: Path) -> tuple[list[bytes], str]:
    try:
        return list(_lines(path)), ""
    except ConfigurationError as error:
        return [], error.message


def _unreadable(book: str, trouble: str) -> Finding | None:
    return Finding(session="", number=0, what=f"{book}: {trouble}") if trouble else None


class _Tagged(msgspec.Struct):
    record: dict[str, msgspec.Raw]


def _tag(line: bytes) -> str:
    try:
        return str(msgspec.json.decode(msgspec.json.decode(line, type=_Tagged).record["type"]))
    except (msgspec.DecodeError, KeyError):
        return ""


def _lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines with their newlines; a missing file has none. Raises ConfigurationError."""
    try:
        with reading(path) as file:
            yield from file
    except FileNotFoundError:
        return
    except (OSError, EOFError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(f"{path} cannot be read: {said.lower()}") from error


def _readable(lines: Iterator[bytes]) -> Iterator[tuple[Entry | None, str]]:
    for line in lines:
        if not line.endswith(b"\n"):
            yield None, f"the last line is torn ({len(line)} bytes)"
            return
        try:
            yield _ENTRY.decode(line), ""
        except (msgspec.DecodeError, ValueError) as error:
            yield None, f"it cannot be read: {error}"


def _is_live(path: Path) -> bool:
    try:
        descriptor = open_regular(path)
    except OSError:
        return False
    try:
        return _is_locked(descriptor)
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    """Whether a console holds the file; it is let go of at once, for whoever goes on with it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
