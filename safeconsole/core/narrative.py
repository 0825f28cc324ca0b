"""A session told as a story: what each entry means, in words, for somebody who was not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from safeconsole.core.elevation import State
from safeconsole.core.record import (
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


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one entry says.

    Attributes:
        number: the entry's number, -1 for what follows from the whole.
        time: UTC, "" for what follows from the whole.
        offset_seconds: since the session opened.
        mark: how it is to be taken: "plain", "asked", "good", "bad" or "loud".
        lines: the first stands alone, the others belong to it; hostile text is not escaped.
    """

    number: int
    time: str
    offset_seconds: float
    mark: str
    lines: tuple[str, ...]


def narrate(entries: Iterable[Entry], *, live: bool = False) -> Iterator[Passage]:
    """
    Yield a session's passages in order, without single samples, and at the end what was sent and never ended.

    Args:
        live: whether a console still writes; what has no end may then still run.
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
    """Return the end of an elevation with every statement that was sent under it."""
    if not isinstance(record, ElevationChanged) or record.state in {State.ASKED, State.GRANTED, State.DECLINED}:
        return passage
    sent = covered.pop(record.id, None) or ["nothing was sent under it"]
    return msgspec.structs.replace(passage, lines=(*passage.lines, *(f"covered: {each}" for each in sent)))


def passage_of(entry: Entry) -> Passage:
    """Return what one entry says by itself."""
    mark, lines = told(entry.record)
    return Passage(number=entry.number, time=entry.time, offset_seconds=entry.offset_seconds, mark=mark, lines=lines)


def told(record: Record) -> tuple[str, tuple[str, ...]]:
    """Return how a record is to be taken, and its lines."""
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
        f"{record.changed_rows} changed" if record.changed_rows else "",
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
    by = "" if record.event == record.state else f" by {record.event}"
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
