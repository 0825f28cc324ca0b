"""Search in the journals of this computer. Reads only, and trusts nothing that it reads."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from safeconsole.audit.files import PACKED, open_regular, reading
from safeconsole.audit.host_log import HOST_LOG, Anchor, AnchorEvent, anchors_in
from safeconsole.audit.journal import SESSIONS
from safeconsole.audit.record import Entry, Finding, SessionOpened, SessionSummary, hash_in_line
from safeconsole.audit.review import REVIEWS
from safeconsole.audit.story import StatementStory, statements_of, summary_of
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


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to search for; all non-empty fields must match.

    Attributes:
        text: part of the statement, its reason or its messages, ignoring case.
        person: the login identity or the account.
        cluster, ticket, verdict, outcome, kind: equal, ignoring case.
        table: "schema.table" or "table".
        since, until: UTC times or prefixes of one ("2026-11-07"); `until` is included.
        console: include what the console itself asked.
    """

    text: str = ""
    person: str = ""
    cluster: str = ""
    table: str = ""
    ticket: str = ""
    verdict: str = ""
    outcome: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    console: bool = False


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


def may_hold(query: Query, glance: Glance) -> bool:
    """Return whether a session could hold matching statements; an unreadable one could."""
    if query.until and glance.opened[: len(query.until)] > query.until:
        return False
    if query.person and glance.person and not _is_of(query.person, glance):
        return False
    return not (query.cluster and glance.cluster) or query.cluster.casefold() == glance.cluster.casefold()


def _is_of(person: str, found: Glance | StatementStory) -> bool:
    return person.casefold() in {found.person.casefold(), found.login.casefold()}


def matches(query: Query, story: StatementStory) -> bool:
    if story.by_console and not query.console:
        return False
    if query.since and story.asked < query.since:
        return False
    if query.until and story.asked[: len(query.until)] > query.until:
        return False
    if query.person and not _is_of(query.person, story):
        return False
    for name in ("cluster", "ticket", "verdict", "outcome", "kind"):
        wanted = getattr(query, name)
        if wanted and getattr(story, name).casefold() != wanted.casefold():
            return False
    return _names_table(query.table, story) and _holds_text(query.text, story)


def _names_table(table: str, story: StatementStory) -> bool:
    if not table:
        return True
    wanted = table.casefold()
    return any(wanted in {name.casefold(), name.casefold().rpartition(".")[2]} for name in story.tables)


def _holds_text(text: str, story: StatementStory) -> bool:
    if not text:
        return True
    wanted = text.casefold()
    return any(wanted in held.casefold() for held in (story.sql, story.reason, story.message, story.end_message))


_DATE_LENGTH = len("2023-11-07-")
_ENTRY = msgspec.json.Decoder(Entry)


class LocalArchive:
    def __init__(self, directory: Path, *, public_keys: Sequence[str] = ()) -> None:
        self._directory = directory
        self._public_keys = public_keys
        self._listed: dict[str, Path] = {}

    def sessions(self) -> tuple[SessionSummary, ...]:
        """Return a summary of every session, oldest first; an unreadable one says why."""
        summaries = [self._summary(session, path) for session, path in self._files().items()]
        return tuple(sorted(summaries, key=lambda summary: (summary.opened, summary.session)))

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
        names = sorted(path for path in folder.glob("*-*.jsonl*") if path.suffix in {".jsonl", PACKED})
        self._listed = {path.name.removesuffix(PACKED).removesuffix(".jsonl")[_DATE_LENGTH:]: path for path in names}
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
    if not isinstance(entry.record, SessionOpened):
        return Glance(session=session, opened=entry.time, live=live)
    head = entry.record
    return Glance(
        session=session, opened=entry.time, cluster=head.cluster, person=head.person, login=head.login, live=live
    )


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
    finding = check_session(session, lines, anchors, live=live)
    if finding is None and not live and lines and closes_without_anchor(_tag(lines[-1]), anchors):
        what = "the session closed in order, but the host log never saw it"
        return Finding(session=session, number=len(lines) - 1, what=what)
    return finding


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
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(value: str) -> str:
    """Return a time, or an age such as "2h", as a prefix of a journal time. Raises ConfigurationError."""
    ago = _AGO.fullmatch(value.strip())
    text = value.strip().replace(" ", "T").removesuffix("Z")
    try:
        if ago:
            then = datetime.now(UTC) - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
            return then.strftime("%Y-%m-%dT%H:%M:%S")
        datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{value!r} is not a time: give 2026-11-07, 2026-11-07T11:49 (UTC), or how long ago, as 2h or 7d"
        ) from None
    return text


VERDICTS = ("allow", "confirm", "elevate", "deny")
OUTCOMES = ("done", "refused", "failed", "stopped", "unseen", "unknown", "running")


def query_of(text: str, fields: dict[str, object]) -> Query:
    """Return the query for command-line options that click has checked."""
    return Query(text=text, **{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]


def found(
    archive: LocalArchive, query: Query, sessions: tuple[str, ...], *, unread: Callable[[str], None]
) -> Iterator[StatementStory]:
    """Yield matching statements, oldest session first.

    Args:
        sessions: search only these; all when empty.
        unread: called for each session that cannot be read completely.

    Raises:
        ConfigurationError: one of `sessions` is unknown.
    """
    glances = archive.glance()
    live = {glance.session for glance in glances if glance.live}
    for name in sessions or (glance.session for glance in glances if may_hold(query, glance)):
        troubles: list[str] = []
        entries = _as_far_as_readable(archive.entries(name), troubles)
        first = next(entries, None)
        whole_name = first.session if first else name
        held = itertools.chain((first,) if first else (), entries)
        for story in statements_of(whole_name, held, live=whole_name in live):
            if matches(query, story):
                yield story
        for trouble in troubles:
            unread(f"session {whole_name} cannot be read completely, see audit verify: {trouble}")


def _as_far_as_readable(entries: Iterator[Entry], troubles: list[str]) -> Iterator[Entry]:
    expected = 0
    try:
        for entry in entries:
            if entry.number != expected and not troubles:
                troubles.append(f"record {expected} is not there, or no record")
            expected = entry.number + 1
            yield entry
    except ConfigurationError as error:
        troubles.append(error.message)
    if not expected and not troubles:
        troubles.append("it has no record")
