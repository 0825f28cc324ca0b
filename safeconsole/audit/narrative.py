"""A session told: a passage for each record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from safeconsole.audit.record import (
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
)
from safeconsole.policy.decision import ElevationState


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One paragraph of a session's story.

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

    What repeats is told once: guards, limits and a server's identity when they change, a plain permission where it was
    used, a send like the one before where it ended, an elevation's reason when it was asked for.

    Args:
        live: whether a console still writes; such statements may then still run.
    """
    under_way: dict[int, Entry] = {}
    covered: dict[str, list[str]] = {}
    before = _ToldBefore()
    for entry in entries:
        record = entry.record
        if isinstance(record, Intent):
            under_way[record.statement] = entry
            if record.elevation:
                covered.setdefault(record.elevation, []).append(f"#{record.statement} {' '.join(record.sql.split())}")
        elif isinstance(record, Ended):
            under_way.pop(record.statement, None)
        if not isinstance(record, Sampled):
            yield from (_with_cover(passage, record, covered) for passage in before.passages(entry))
    yield from before.rest()
    for number, entry in under_way.items():
        state = "still running" if live else "no outcome is recorded: it may or may not have run (unknown)"
        yield Passage(
            number=-1, time="", offset_seconds=entry.offset_seconds, mark="plain" if live else "loud",
            lines=(f"#{number} was sent at {entry.time}; {state}",),
        )  # fmt: skip


class _ToldBefore:
    """The state of the story so far, a permission that waits for its send, and a send that waits for its end."""

    def __init__(self) -> None:
        self._guards: dict[str, str] = {}
        self._limits: dict[str, str] = {}
        self._servers: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._allowed: tuple[Entry, Decided] | None = None
        self._destination = ""
        self._alike: tuple[Entry, Intent] | None = None

    def passages(self, entry: Entry) -> Iterator[Passage]:
        """Yield what an entry adds to the story."""
        record = entry.record
        if isinstance(record, Intent):
            yield from self._sending(entry, record)
            return
        alike = self._alike
        if alike is not None and isinstance(record, Ended) and record.statement == alike[1].statement:
            self._alike = None
            yield msgspec.structs.replace(passage_of(entry), lines=_ended(record, node=alike[1].node)[1])
            return
        yield from self.rest()
        if isinstance(record, Decided) and record.verdict == "allow" and not (record.observed or record.message):
            self._allowed = entry, record
        elif isinstance(record, ElevationChanged):
            passage = passage_of(entry)
            known = self._reasons.get(record.id) == record.reason + record.ticket
            self._reasons[record.id] = record.reason + record.ticket
            yield msgspec.structs.replace(passage, lines=passage.lines[:1]) if known else passage
        else:
            yield passage_of(entry)

    def rest(self) -> Iterator[Passage]:
        """Yield the permission that was not followed by its send, and the send that was not followed by its end."""
        if self._allowed is not None:
            yield passage_of(self._allowed[0])
        if self._alike is not None:
            entry, record = self._alike
            yield msgspec.structs.replace(passage_of(entry), lines=(f"sent to {record.node} as before",))
        self._allowed = self._alike = None

    def _sending(self, entry: Entry, record: Intent) -> Iterator[Passage]:
        by = ""
        if self._allowed is not None:
            decided = self._allowed[1]
            if (decided.statement, decided.node) == (record.statement, record.node):
                by, self._allowed = f"; allowed by {', '.join(decided.rules)}", None
        yield from self.rest()
        known = self._servers.get(record.node) == record.server
        guards, limits = dict(record.guards), _set_limits(record)
        changes = (
            *_changes("guards read back", self._guards, guards),
            *_changes("limits", self._limits, limits),
        )
        destination = _destination(record, "") + by
        if known and not changes and destination == self._destination:
            self._alike = entry, record
            return
        self._servers[record.node], self._guards, self._limits = record.server, guards, limits
        self._destination = destination
        first = _destination(record, "" if known else f", {record.server}") + by
        yield msgspec.structs.replace(passage_of(entry), lines=(first, *changes))


def _changes(title: str, before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    changed = {name: now.get(name, "no longer set") for name in {**before, **now} if before.get(name) != now.get(name)}
    return (f"{title}{', changed' if before else ''}: {_listed(changed)}",) if changed else ()


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _set_limits(record: Intent) -> dict[str, str]:
    return {name: f"{value:.15g}" for name, value in record.limits.items() if value}


def _destination(record: Intent, server: str) -> str:
    how = "read-only" if record.read_only else "able to write"
    elevation = f", elevated by {record.elevation}" if record.elevation else ""
    return f"sent to {record.node} ({record.role}{server}) as {record.account}, {how}{elevation}"


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
    return (
        _destination(record, f", {record.server}"),
        *_changes("guards read back", {}, record.guards),
        *_changes("limits", {}, _set_limits(record)),
    )


def _ended(record: Ended, *, node: str = "") -> tuple[str, tuple[str, ...]]:
    where = f" on {node}" if node else ""
    sets = f" of {record.sets:,} result sets" if record.sets else ""
    facts = [
        f"{_counted(record.rows, 'row')}{sets} in {record.elapsed_seconds:.3f} s" if record.outcome == "done" else "",
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
    mark = {"done": "good", "unknown": "loud", "unseen": "loud"}.get(record.outcome, "bad")
    return mark, (f"#{record.statement} {record.outcome}{where}{': ' if line else ''}{line}",)


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
