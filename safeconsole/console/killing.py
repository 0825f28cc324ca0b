"""\\kill: the session is shown, killed under an elevation, and checked until it is gone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from safeconsole.console.incident import Sheet, age_text, asks_of, host_of, said_of, show_sheet, text_of
from safeconsole.console.session_commands import asked_justification, number_of
from safeconsole.console.state import ConsoleState
from safeconsole.diagnosis.asking import Diagnosing, ServerSessionRow, session_of
from safeconsole.errors import Action, ConfigurationError, RefusedError, Remedy, SafeConsoleError, ServerError
from safeconsole.output.evidence import one_line
from safeconsole.output.text import counted, safe
from safeconsole.session.context import Justification

VERIFY_SECONDS, _LOOK_SECONDS = 10.0, 0.25
_ANOTHER_FORM = frozenset({1095, 1227, 1305, 1370, 1142})
"""Refusals after which the next form of a kill is tried: not the owner's, not granted, no such procedure."""
_NO_SUCH_THREAD = 1094
_NOT_FOR_KILLING = frozenset({"system user", "event_scheduler"})


class _Wanted(msgspec.Struct, kw_only=True):
    """The arguments of \\kill."""

    id: int = 0
    older_seconds: float = 0.0
    user: str = ""
    query: bool = False
    idle: bool = False
    ticket: str = ""
    reason: str = ""


def kill(state: ConsoleState, argument: str) -> None:
    """Kill a session, or all sessions of an account older than some seconds."""
    wanted = _read_kill(argument)
    asks = asks_of(state)
    if wanted.id:
        row = asks.is_there(wanted.id)
        sessions: tuple[ServerSessionRow, ...] = (session_of(row),) if row else ()
    else:
        sessions = _older(asks, wanted)
    if not sessions:
        state.say(said_of(asks, f"there is no session {wanted.id}" if wanted.id else "no such session"))
        return
    system = [each for each in sessions if each.user in _NOT_FOR_KILLING]
    if system:
        raise ConfigurationError(f"session {system[0].id} is the server's own, and is not ended from a console")
    show_sheet(state, _sheet_to_kill(sessions))
    what = "statement" if wanted.query else "session"
    state.say(f"{counted(len(sessions), what)} to end on {safe(asks.node)}")
    elevated = state.session.is_elevated and state.session.status().elevated_seconds > 0
    if not elevated and len(sessions) > 1:
        raise RefusedError(
            f"{len(sessions)} are ended in a window, not one by one",
            instead="\\elevate REASON, then the same \\kill again",
            remedies=(Remedy(Action.ELEVATE, of=state.session.context.cluster),),
        )
    if elevated and not _agreed(state, sessions):
        state.say("nothing was ended")
        return
    justification = None if elevated else asked_justification(state, wanted.reason, wanted.ticket)
    for session in sessions:
        _kill_one(state, asks, session, query=wanted.query, justification=justification)


_FLAGS = {"--query": "query", "--idle": "idle"}
_VALUES = {"--user": "user", "--ticket": "ticket", "--older-than": "older_seconds"}


def _read_kill(argument: str) -> _Wanted:
    wanted = _Wanted()
    reason: list[str] = []
    words = iter(argument.rstrip(";").split())
    for word in words:
        if word in _FLAGS:
            setattr(wanted, _FLAGS[word], True)
        elif word in _VALUES:
            value = next(words, "")
            older = word == "--older-than"
            setattr(wanted, _VALUES[word], number_of(value, f"{word} needs seconds") if older else value)
        elif word.isdecimal() and not wanted.id and not reason:
            wanted.id = int(word)
        elif word.startswith("--"):
            raise ConfigurationError(f"\\kill knows no {one_line(word)}", instead="\\help kill")
        else:
            reason.append(word)
    wanted.reason = " ".join(reason)
    if wanted.id and (wanted.older_seconds or wanted.user):
        raise ConfigurationError("\\kill takes an id, or --older-than with --user, not both")
    if not wanted.id and not (wanted.older_seconds and wanted.user):
        raise ConfigurationError(
            "\\kill needs the id of a session, or --older-than SECONDS and --user ACCOUNT",
            instead="\\processlist, \\transactions and \\locks show the ids",
        )
    return wanted


def _older(asks: Diagnosing, wanted: _Wanted) -> tuple[ServerSessionRow, ...]:
    """Return an account's sessions whose statement, transaction or idle time is older, the oldest first."""
    if wanted.idle:
        return asks.idle(wanted.user, wanted.older_seconds)
    found = {each.id: each for each in (*asks.transacting(), *asks.working())}
    old = [
        each
        for each in found.values()
        if each.user == wanted.user
        and max(0 if each.idle else each.seconds, each.transaction_seconds or 0) >= wanted.older_seconds
        and not (wanted.query and each.idle)
    ]
    return tuple(sorted(old, key=lambda each: -max(each.seconds, each.transaction_seconds or 0)))


def _sheet_to_kill(sessions: Sequence[ServerSessionRow]) -> Sheet:
    return Sheet(
        heads=("kill", "user", "host", "seconds", "transaction", "rows changed", "state"),
        rows=[
            (
                each.id,
                each.user,
                host_of(each.host),
                each.seconds,
                "none" if each.transaction_seconds is None else age_text(each.transaction_seconds),
                each.changed_rows,
                "idle" if each.idle else each.state or each.command,
            )
            for each in sessions
        ],
        texts=[text_of(each) for each in sessions],
    )


def _agreed(state: ConsoleState, sessions: Sequence[ServerSessionRow]) -> bool:
    """Show the sessions and ask whether to kill exactly those; the window is open already."""
    wanted = str(sessions[0].id) if len(sessions) == 1 else str(len(sessions))
    named = "the id" if len(sessions) == 1 else "how many"
    try:
        return state.streams.ask(f"end {counted(len(sessions), 'session')}? type {named}, {wanted}: ").strip() == wanted
    except (EOFError, KeyboardInterrupt):
        return False


def _kill_one(
    state: ConsoleState,
    asks: Diagnosing,
    session: ServerSessionRow,
    *,
    query: bool,
    justification: Justification | None,
) -> None:
    server = asks.dialect.server
    forms = server.kill_query if query else server.kill_connection
    node = asks.node
    for at, form in enumerate(forms, start=1):
        (statement,) = state.session.split(form.format(thread=session.id))
        try:
            state.session.execute(statement, justification=justification, to=node).take()
        except ServerError as error:
            if error.number == _NO_SUCH_THREAD:
                break
            if error.number in _ANOTHER_FORM and at < len(forms):
                continue
            raise
        break
    state.say(_verified(state, asks, session, query=query))


def _verified(state: ConsoleState, asks: Diagnosing, session: ServerSessionRow, *, query: bool) -> str:
    """Check a session until it is gone, and return what was seen."""
    until = time.monotonic() + VERIFY_SECONDS
    while True:
        try:
            row = asks.is_there(session.id)
        except SafeConsoleError as error:
            return f"asked to end {session.id}; not seen to end: {error.message}"
        if row is None:
            return f"{session.id} is gone"
        now = session_of(row)
        if query and (now.idle or now.statement != session.statement):
            return f"the statement of {session.id} is over; the session stays"
        if time.monotonic() > until:
            rows = f", {counted(now.changed_rows, 'row')} to undo" if now.changed_rows else ""
            state_now = now.state or now.command
            return f"asked to end {session.id}; it is still there: {state_now}{rows}: \\processlist {now.id}"
        state.services.pause(_LOOK_SECONDS)
