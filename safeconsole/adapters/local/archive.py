"""The journals kept on this computer, for reading: it writes nothing and trusts nothing it reads."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from safeconsole.adapters.local.appending import PACKED, open_regular, reading
from safeconsole.adapters.local.hostlog import HOST_LOG, anchors_in
from safeconsole.adapters.local.journal import SESSIONS
from safeconsole.adapters.local.reviews import REVIEWS
from safeconsole.core.anchor import Anchor, AnchorEvent
from safeconsole.core.chain import hash_in_line
from safeconsole.core.errors import ConfigurationError
from safeconsole.core.record import Entry, Finding, SessionOpened, SessionSummary
from safeconsole.core.search import Glance
from safeconsole.core.story import summary_of
from safeconsole.core.verification import (
    check_host_log,
    check_reviews,
    check_session,
    check_signatures,
    closes_without_anchor,
)
from safeconsole.core.witness import Compared, compared

_DATE_LENGTH = len("2023-11-07-")
_ENTRY = msgspec.json.Decoder(Entry)


class LocalArchive:
    """One audit directory."""

    def __init__(self, directory: Path, *, public_keys: Sequence[str] = ()) -> None:
        self._directory = directory
        self._public_keys = public_keys

    def sessions(self) -> tuple[SessionSummary, ...]:
        """Every session found, oldest first; one that cannot be read is a summary that says so."""
        summaries = [self._summary(session, path) for session, path in self._files().items()]
        return tuple(sorted(summaries, key=lambda summary: (summary.opened, summary.session)))

    def glance(self) -> tuple[Glance, ...]:
        """Every session by its first record alone, oldest first."""
        glances = [_glance(session, path) for session, path in self._files().items()]
        return tuple(sorted(glances, key=lambda glance: (glance.opened, glance.session)))

    def entries(self, session: str) -> Iterator[Entry]:
        """
        Yield one session's entries in order, as far as they can be read; a unique prefix of its id is enough.

        Raises:
            ConfigurationError: no such session, the prefix is ambiguous, or the file cannot be read.
        """
        found = self._resolve(session)
        return (entry for entry, _ in _readable(_lines(self._files()[found])) if entry is not None)

    def file_of(self, session: str) -> Path:
        """Return the file of a session; a unique prefix of its id is enough. Raises ConfigurationError."""
        return self._files()[self._resolve(session)]

    def verify(self, session: str = "") -> tuple[Finding, ...]:
        """Check one session, or all and the host log; nothing found means that everything holds."""
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
        """Look for each line of a copy that was kept elsewhere; a line that is not here any more is a finding."""
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
        from safeconsole.adapters.local.signing import KeyRing  # noqa: PLC0415

        return check_signatures(anchors, KeyRing(self._public_keys))

    def _files(self) -> dict[str, Path]:
        """Return the session files by id, oldest first."""
        folder = self._directory / SESSIONS
        names = sorted(path for path in folder.glob("*-*.jsonl*") if path.suffix in {".jsonl", PACKED})
        return {path.name.removesuffix(PACKED).removesuffix(".jsonl")[_DATE_LENGTH:]: path for path in names}

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
    live = _is_live(path)
    try:
        entry, _ = next(_readable(_lines(path)), (None, ""))
    except ConfigurationError:
        entry = None
    if entry is None:
        return Glance(session=session, live=live)
    cluster = entry.record.cluster if isinstance(entry.record, SessionOpened) else ""
    return Glance(session=session, opened=entry.time, cluster=cluster, live=live)


def open_archive(directory: Path, *, public_keys: Sequence[str] = ()) -> LocalArchive:
    """
    Return the archive of an audit directory; one that does not exist yet has no sessions.

    Args:
        public_keys: keys whose signatures are believed; with one, a host log that is not signed does not hold.
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
    finding = check_session(session, lines, anchors, live=live)
    if finding is None and not live and lines and closes_without_anchor(_tag(lines[-1]), anchors):
        what = "the session closed in order, but the host log never saw it"
        return Finding(session=session, number=len(lines) - 1, what=what)
    return finding


def _all_lines(path: Path) -> tuple[list[bytes], str]:
    """Return a file's lines, or none and why it cannot be read."""
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
    """Yield a file's lines with their newlines; a file that is not there has none. Raises ConfigurationError."""
    try:
        with reading(path) as file:
            yield from file
    except FileNotFoundError:
        return
    except (OSError, EOFError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(f"{path} cannot be read: {said.lower()}") from error


def _readable(lines: Iterator[bytes]) -> Iterator[tuple[Entry | None, str]]:
    """Yield each line's entry, or None and why it cannot be read."""
    for line in lines:
        if not line.endswith(b"\n"):
            yield None, f"the last line is torn ({len(line)} bytes)"
            return
        try:
            yield _ENTRY.decode(line), ""
        except (msgspec.DecodeError, ValueError) as error:
            yield None, f"it cannot be read: {error}"


def _is_live(path: Path) -> bool:
    """Return whether a console holds the session's file."""
    try:
        descriptor = open_regular(path)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
