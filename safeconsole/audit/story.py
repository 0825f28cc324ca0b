"""Sessions summarised and narrated: their statements, and a sentence for each record. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from safeconsole.audit.record import (
    TAMPERING,
    Approved,
    Asked,
    CodeEntered,
    CommandGiven,
    Confirmed,
    Decided,
    Disagreed,
    ElevationChanged,
    Ended,
    Entry,
    Intent,
    Noticed,
    Record,
    Sampled,
    SessionClosed,
    SessionOpened,
    SessionSummary,
)
from safeconsole.policy.decision import ElevationState, Scope
from safeconsole.sqltext.vocabulary import OutcomeKind


class StatementStory(msgspec.Struct, kw_only=True):
    """All that a session's journal holds about one statement.

    Attributes:
        asked, sent, ended: UTC times, "" for a step that was not reached.
        by_console: asked by the console, not the person.
        confirmed: the person's answer, "" when nothing was asked.
        elevation, reason, ticket: the elevation it ran under.
        approver: who approved it as second person, or who was skipped.
        outcome: "done", "refused", "failed", "stopped", "unknown", or "running" while the console lives; "" when
            nothing was sent and no end is recorded.
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
    count = _Count()
    for entry in entries:
        count.read(entry)
    # A lock that somebody else holds does not keep a session open that has closed.
    live = live and not count.closed
    return SessionSummary(
        session=session,
        opened=count.opened,
        closed=count.closed,
        person=count.person,
        cluster=count.cluster,
        face=count.face,
        statements=count.asked,
        refused=count.outcomes[OutcomeKind.REFUSED],
        failed=count.outcomes[OutcomeKind.FAILED],
        changed_rows=count.changed_rows,
        denied=count.denied,
        stopped=count.outcomes[OutcomeKind.STOPPED],
        elevated=count.elevated,
        unknown=count.outcomes[OutcomeKind.UNKNOWN] + (0 if live else len(count.open_intents)),
        break_glass=count.break_glass,
        tampered=count.tampered,
        live=live,
        entries=count.entries,
        head=count.head,
        trouble=trouble,
    )


class _Count(msgspec.Struct):
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
    tampered: int = 0
    denied: int = 0
    changed_rows: int = 0
    denials: set[int] = msgspec.field(default_factory=set)
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
            case Decided(verdict="deny", observed=False) as record:
                self.denials.add(record.statement)
            case ElevationChanged(state="granted") as record:
                self.elevated += 1
                self.break_glass += record.scope == Scope.BREAK_GLASS
            case Noticed() as record if record.what == TAMPERING:
                self.tampered += 1
            case Intent() as record:
                self.open_intents.add(record.statement)
            case Ended() as record:
                self.open_intents.discard(record.statement)
                self.outcomes[record.outcome] += 1
                self.changed_rows += record.changed_rows
                self.denied += record.outcome == OutcomeKind.REFUSED and record.statement in self.denials
            case _:
                pass


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """What one entry says.

    Attributes:
        number: -1 for what follows from the whole session.
        time: UTC, "" for what follows from the whole session.
        mark: "plain", "asked", "good", "bad" or "loud".
        lines: a headline and its details; hostile text is not escaped.
    """

    number: int
    time: str
    offset_seconds: float
    mark: str
    lines: tuple[str, ...]


def narrate(entries: Iterable[Entry], *, live: bool = False) -> Iterator[Passage]:
    """Yield a session's passages in order without single samples, and at the end statements that have no outcome.

    Args:
        live: whether a console still writes; such statements may then still run.
    """
    under_way: dict[int, Entry] = {}
    covered: dict[str, list[str]] = {}
    for entry in entries:
        record = entry.record
        if isinstance(record, Intent):
            under_way[record.statement] = entry
            if record.elevation:
                covered.setdefault(record.elevation, []).append(f"#{record.statement} {' '.join(record.sql.split())}")
        elif isinstance(record, Ended):
            under_way.pop(record.statement, None)
        if not isinstance(record, Sampled):
            yield _with_cover(passage_of(entry), record, covered)
    for number, entry in under_way.items():
        state = "still running" if live else "no outcome is recorded: it may or may not have run (unknown)"
        yield Passage(
            number=-1, time="", offset_seconds=entry.offset_seconds, mark="plain" if live else "loud",
            lines=(f"#{number} was sent at {entry.time}; {state}",),
        )  # fmt: skip


def _with_cover(passage: Passage, record: Record, covered: dict[str, list[str]]) -> Passage:
    if not isinstance(record, ElevationChanged) or record.state in {
        ElevationState.ASKED,
        ElevationState.GRANTED,
        ElevationState.DECLINED,
    }:
        return passage
    sent = covered.pop(record.id, None) or ["nothing was sent under it"]
    return msgspec.structs.replace(passage, lines=(*passage.lines, *(f"covered: {each}" for each in sent)))


def passage_of(entry: Entry) -> Passage:
    mark, lines = told(entry.record)
    return Passage(number=entry.number, time=entry.time, offset_seconds=entry.offset_seconds, mark=mark, lines=lines)


def told(record: Record) -> tuple[str, tuple[str, ...]]:
    match record:
        case SessionOpened() | SessionClosed():
            return "plain", _of_session(record)
        case Asked():
            by = " by the console itself" if record.by_console else ""
            first, *rest = record.sql.split("\n")
            return "asked", (f"#{record.statement} asked{by}: {first}", *rest)
        case Decided():
            return _decided(record)
        case Ended():
            return _ended(record)
        case Intent():
            return "plain", _sent(record)
        case ElevationChanged():
            return "loud", _elevation(record)
        case _:
            return _aside(record)


def _of_session(record: SessionOpened | SessionClosed) -> tuple[str, ...]:
    if isinstance(record, SessionClosed):
        why = f" ({record.reason})" if record.reason else ""
        return (f"closed after {_counted(record.statements, 'statement')}{why}",)
    account = f" as {record.login}" if record.login != record.person else ""
    origin = f" from {record.origin}" if record.origin else ""
    agent = f", through {record.agent}" if record.agent else ""
    return (
        f"{record.person}{account} on {record.host}{origin}{agent} opened {record.face} on {record.cluster}",
        f"environment {record.environment}, groups {', '.join(record.groups) or 'none'}",
        f"policy {record.policy} {record.policy_hash[:12]}, {record.program}",
    )


def _decided(record: Decided) -> tuple[str, tuple[str, ...]]:
    where = f"{record.node} ({record.route})" if record.node else f"no node ({record.route})"
    observed = ", observed only" if record.observed else ""
    line = f"{record.verdict} by {', '.join(record.rules) or 'no rule'}{observed}: {where}"
    mark = "plain" if record.verdict == "allow" else "bad" if record.verdict == "deny" else "loud"
    return mark, (line, *((record.message,) if record.message else ()))


def _sent(record: Intent) -> tuple[str, ...]:
    how = "read-only" if record.read_only else "able to write"
    elevation = f", elevated by {record.elevation}" if record.elevation else ""
    guards = ", ".join(f"{name}={value}" for name, value in record.guards.items())
    limits = ", ".join(f"{name}={value:.15g}" for name, value in record.limits.items() if value)
    return (
        f"sent to {record.node} ({record.role}, {record.server}) as {record.account}, {how}{elevation}",
        *((f"guards read back: {guards}",) if guards else ()),
        *((f"limits: {limits}",) if limits else ()),
    )


def _ended(record: Ended) -> tuple[str, tuple[str, ...]]:
    facts = [
        f"{_counted(record.rows, 'row')} in {record.elapsed_seconds:.3f} s" if record.outcome == "done" else "",
        f"{_counted(record.changed_rows, 'row')} changed" if record.changed_rows else "",
        "cut short" if record.truncated else "",
        f"peak memory {record.peak_memory_bytes / 1_048_576:.1f} MiB" if record.peak_memory_bytes else "",
        f"by {record.stopped_by}" if record.stopped_by else "",
        f"at {record.ceiling}" if record.ceiling else "",
        f"kill: {record.kill}" if record.kill else "",
        f"server error {record.server_error}" if record.server_error else "",
        record.message,
    ]
    line = ", ".join(fact for fact in facts if fact)
    mark = {"done": "good", "unknown": "loud"}.get(record.outcome, "bad")
    return mark, (f"#{record.statement} {record.outcome}{': ' if line else ''}{line}",)


def _elevation(record: ElevationChanged) -> tuple[str, ...]:
    ticket = f" ({record.ticket})" if record.ticket else ""
    scope = record.scope if record.statement < 0 else f"{record.scope} #{record.statement}"
    first = f"elevation {record.id} {record.state} for {scope}, {record.window_seconds:g} s, on {record.cluster}"
    by = "" if record.event == record.state else f": {record.event}"
    return (f"{first}{by}", f"reason: {record.reason}{ticket}")


def _aside(record: Record) -> tuple[str, tuple[str, ...]]:
    match record:
        case Confirmed():
            return ("good" if record.answer == "yes" else "bad"), (f"#{record.statement} confirmed: {record.answer}",)
        case Disagreed():
            line = f"#{record.statement} looked like {record.ours}, the server says otherwise: {record.servers}"
            return "bad", (f"{line} ({record.code})",)
        case Approved():
            reason = f": {record.reason}" if record.reason else ""
            return "loud", (f"approval {record.request} {record.answer} by {record.approver}{reason}",)
        case CodeEntered():
            first, *rest = record.source.split("\n")
            return "asked", (f"{record.language}: {first}", *rest)
        case CommandGiven():
            return "plain", (record.command, *((record.answer,) if record.answer else ()))
        case Sampled():
            return "plain", (f"#{record.statement} after {record.elapsed_seconds:.1f} s: {_readings(record)}",)
        case Noticed():
            return "plain", (f"{record.what}: {record.detail}" if record.detail else record.what,)
        case _:
            return "plain", (str(record),)


def _readings(record: Sampled) -> str:
    named = (
        ("session", record.session_memory_bytes),
        ("instance", record.instance_memory_bytes),
        ("free", record.free_memory_bytes),
    )
    told_bytes = [f"{name} {value / 1_048_576:.1f} MiB" for name, value in named if value is not None]
    return ", ".join([*told_bytes, _counted(record.rows, "row")])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
