"""Sessions summarised, and the story of each statement. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from safeconsole.audit.record import (
    INSISTING,
    TAMPERING,
    Approved,
    Asked,
    Confirmed,
    Decided,
    Disagreed,
    ElevationChanged,
    Ended,
    Entry,
    Intent,
    Noticed,
    SessionClosed,
    SessionOpened,
    SessionSummary,
)
from safeconsole.policy.decision import Scope
from safeconsole.sqltext.vocabulary import OutcomeKind


class StatementStory(msgspec.Struct, kw_only=True):
    """All that a session's journal holds about one statement.

    Attributes:
        asked, sent, ended: UTC times, "" for a step that was not reached.
        by_console: asked by the console, not the person.
        confirmed: the person's answer, "" when nothing was asked.
        elevation, reason, ticket: the elevation it ran under.
        approver: who approved it as second person, or who was skipped.
        outcome: "done", "refused", "failed", "stopped", "unseen", "unknown", or "running" while the console lives; ""
            when nothing was sent and no end is recorded.
        server_error, end_message: the last message of the server, or of the console.
    """

    session: str
    statement: int
    person: str = ""
    login: str = ""
    host: str = ""
    origin: str = ""
    agent: str = ""
    face: str = ""
    cluster: str = ""
    environment: str = ""
    asked: str = ""
    sent: str = ""
    ended: str = ""
    by_console: bool = False
    sql: str = ""
    digest: str = ""
    kind: str = ""
    effects: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    hazards: tuple[str, ...] = ()
    verdict: str = ""
    rules: tuple[str, ...] = ()
    policy: str = ""
    message: str = ""
    observed: bool = False
    route: str = ""
    node: str = ""
    server: str = ""
    role: str = ""
    account: str = ""
    read_only: bool = False
    confirmed: str = ""
    elevation: str = ""
    reason: str = ""
    ticket: str = ""
    approver: str = ""
    outcome: str = ""
    rows: int = 0
    bytes: int = 0
    changed_rows: int = 0
    elapsed_seconds: float = 0.0
    truncated: bool = False
    peak_memory_bytes: int = 0
    stopped_by: str = ""
    ceiling: str = ""
    kill: str = ""
    server_error: int = 0
    end_message: str = ""


_OPENING = ("person", "login", "host", "origin", "agent", "face", "cluster", "environment")
_ASKED = ("sql", "digest", "kind", "effects", "tables", "hazards", "by_console")
_DECIDED = ("verdict", "rules", "policy", "message", "observed", "route", "node", "server")
_INTENT = ("sql", "digest", "node", "server", "role", "account", "read_only", "elevation")
_ENDED = (
    "outcome", "rows", "bytes", "changed_rows", "elapsed_seconds", "truncated", "peak_memory_bytes", "stopped_by",
    "ceiling", "kill", "server_error",
)  # fmt: skip


class StoryReader:
    """Reads one session's entries in order and keeps each statement's story."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._opening: dict[str, object] = {}
        self._elevations: dict[str, ElevationChanged] = {}
        self._approvals: dict[str, str] = {}
        self.stories: dict[int, StatementStory] = {}

    def read(self, entry: Entry) -> None:
        match entry.record:
            case SessionOpened() as record:
                self._opening = {name: getattr(record, name) for name in _OPENING}
            case Asked() as record:
                self._copy(record.statement, record, _ASKED).asked = entry.time
            case Decided() as record:
                self._copy(record.statement, record, _DECIDED)
            case Disagreed() as record:
                self._story(record.statement).message = f"the server objects: {record.servers} ({record.code})"
            case Confirmed() as record:
                self._story(record.statement).confirmed = record.answer
            case Approved() as record:
                self._approved(record)
            case ElevationChanged() as record:
                self._elevations[record.id] = record
            case Intent() as record:
                self._sent(record, entry.time)
            case Ended() as record:
                story = self._copy(record.statement, record, _ENDED)
                story.ended, story.end_message = entry.time, record.message
            case _:
                pass

    def _approved(self, record: Approved) -> None:
        # What an elevation's request was answered belongs to every statement that is sent under it.
        self._approvals[record.request] = f"{record.approver} ({record.answer})"
        if record.statement >= 0:
            self._story(record.statement).approver = self._approvals[record.request]

    def _sent(self, record: Intent, time: str) -> None:
        story = self._copy(record.statement, record, _INTENT)
        story.sent = time
        story.approver = self._approvals.get(record.elevation, story.approver)
        granted = self._elevations.get(record.elevation)
        if granted is not None:
            story.reason, story.ticket = granted.reason, granted.ticket

    def _copy(self, number: int, record: msgspec.Struct, names: tuple[str, ...]) -> StatementStory:
        story = self._story(number)
        for name in names:
            setattr(story, name, getattr(record, name))
        return story

    def _story(self, number: int) -> StatementStory:
        if number not in self.stories:
            self.stories[number] = StatementStory(session=self._session, statement=number)
            for name, value in self._opening.items():
                setattr(self.stories[number], name, value)
        return self.stories[number]


def statements_of(session: str, entries: Iterable[Entry], *, live: bool = False) -> Iterator[StatementStory]:
    """Yield the story of each statement of a session, in order.

    Args:
        live: whether a console still writes; a statement without an end is then running, else unknown.
    """
    reader = StoryReader(session)
    for entry in entries:
        reader.read(entry)
    for story in reader.stories.values():
        if story.sent and not story.ended:
            story.outcome = "running" if live else OutcomeKind.UNKNOWN
        yield story


def summary_of(session: str, entries: Iterable[Entry], *, live: bool = False, trouble: str = "") -> SessionSummary:
    """Return the summary of one session.

    Args:
        entries: the readable ones, in order.
        live: whether a console still writes; its last intent is then running, not unknown.
        trouble: why not all could be read, or "".
    """
    count = SessionCount()
    for entry in entries:
        count.read(entry)
    return count.summary(session, live=live, trouble=trouble)


class SessionCount(msgspec.Struct):
    """Counters for one session, updated entry by entry."""

    opened: str = ""
    closed: str = ""
    person: str = ""
    cluster: str = ""
    face: str = ""
    head: str = ""
    entries: int = 0
    asked: int = 0
    elevated: int = 0
    break_glass: int = 0
    kept_from: int = 0
    denied: int = 0
    changed_rows: int = 0
    verdicts: set[tuple[int, str]] = msgspec.field(default_factory=set)
    notices: Counter[str] = msgspec.field(default_factory=Counter)
    open_intents: set[int] = msgspec.field(default_factory=set)
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)

    def read(self, entry: Entry) -> None:
        self.opened, self.head, self.entries = self.opened or entry.time, entry.hash, self.entries + 1
        match entry.record:
            case SessionOpened() as record:
                self.person, self.cluster, self.face = record.person, record.cluster, record.face
            case SessionClosed():
                self.closed = entry.time
            case Asked(by_console=False):
                self.asked += 1
            case Decided(observed=False) as record:
                self.verdicts.add((record.statement, record.verdict))
            case ElevationChanged(state="granted") as record:
                self.elevated += 1
                self.break_glass += record.scope == Scope.BREAK_GLASS
            case Noticed() as record:
                self.notices[record.what] += 1
            case Intent() as record:
                self.open_intents.add(record.statement)
            case Ended() as record:
                self.open_intents.discard(record.statement)
                self.outcomes[record.outcome] += 1
                self.changed_rows += record.changed_rows
                refused = record.outcome == OutcomeKind.REFUSED
                self.denied += refused and (record.statement, "deny") in self.verdicts
                self.kept_from += refused and (record.statement, "elevate") in self.verdicts
            case _:
                pass

    def summary(self, session: str, *, live: bool, trouble: str) -> SessionSummary:
        """Return the summary of what was read so far; the arguments are those of `summary_of`."""
        # A lock that somebody else holds does not keep a session open that has closed.
        live = live and not self.closed
        return SessionSummary(
            session=session,
            opened=self.opened,
            closed=self.closed,
            person=self.person,
            cluster=self.cluster,
            face=self.face,
            statements=self.asked,
            refused=self.outcomes[OutcomeKind.REFUSED],
            failed=self.outcomes[OutcomeKind.FAILED],
            changed_rows=self.changed_rows,
            denied=self.denied,
            stopped=self.outcomes[OutcomeKind.STOPPED] + self.outcomes[OutcomeKind.UNSEEN],
            elevated=self.elevated,
            unknown=self.outcomes[OutcomeKind.UNKNOWN] + (0 if live else len(self.open_intents)),
            break_glass=self.break_glass,
            tampered=self.notices[TAMPERING],
            insisted=self.notices[INSISTING],
            kept_from=self.kept_from if self.face == "mcp" else 0,
            live=live,
            entries=self.entries,
            head=self.head,
            trouble=trouble,
        )
