"""Commands for an incident: sessions, lock waits, open transactions, connections."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from textwrap import wrap
from typing import Any

import msgspec

from safeconsole.cluster.engine import Column
from safeconsole.console.state import ConsoleState
from safeconsole.diagnosis.asking import Diagnosing, ServerSessionRow, destination
from safeconsole.errors import ConfigurationError
from safeconsole.output.formats import render
from safeconsole.output.text import clipped, clock_text, counted, padded, safe, shown, span_text, width_of
from safeconsole.session.locks import Freed, LockSession, freed_by

# A session is a line; its statement follows on the line where there is room for it, else below, and is cut to what a
# screen shows. `\processlist ID`, and every format but a table, shows all of it.

_ROOM_FOR_STATEMENT = 60
_LINES_BELOW = 2

_ONLY_OWN = (
    "these are this account's own sessions: those of others need an account for diagnosis, which `safeconsole doctor"
    " {cluster} --grants` prints"
)


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions as a table of lines.

    Attributes:
        heads: of all columns but the last, which is the statement.
        rows: one a session, as wide as `heads`.
        texts: what each session runs.
    """

    heads: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    texts: Sequence[str]

    def rendered(self, name: str) -> str:
        columns = tuple(Column(name=head, numeric=head in _NUMERIC) for head in (*self.heads, "statement"))
        rows = [(*row, text or None) for row, text in zip(self.rows, self.texts, strict=True)]
        return render(columns, rows, name)

    def lines(self, columns: int, *, decorated: bool) -> list[str]:
        """Return the sessions as lines of at most `columns` cells, 0 for any."""
        cells = [tuple("" if cell is None else shown(cell) for cell in row) for row in self.rows]
        texts = [" ".join(safe(text).split()) for text in self.texts]
        widths = [max(map(width_of, (head, *each))) for head, *each in zip(self.heads, *cells, strict=True)]
        taken = sum(widths) + 2 * len(widths)
        room = columns - taken if columns else sys.maxsize
        beside = room >= min(_ROOM_FOR_STATEMENT, max(map(width_of, ("statement", *texts))))
        # What is too wide for a line goes below it: first the statement, then the column before it.
        kept = len(widths) if beside or taken <= columns else len(widths) - 1
        line = partial(_line, widths=widths[:kept], right=[head in _NUMERIC for head in self.heads])
        # What the server tells of none has no head.
        last = ["statement"] if beside and any(texts) else []
        head = clipped(line((*self.heads[:kept], *last)), columns or sys.maxsize)
        found = [f"\x1b[1m{head}\x1b[0m" if decorated else head]
        for row, text in zip(cells, texts, strict=True):
            if beside:
                found.append(line((*row, clipped(text, room))))
                continue
            found.append(clipped(line(row[:kept]), columns))
            found += [f"    {clipped(cell, columns - 4)}" for cell in row[kept:] if cell]
            found += _below(text, columns)
        return found


def _line(cells: Sequence[str], *, widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = [padded(cell, width, right=side) for cell, width, side in zip(cells, widths, right, strict=False)]
    return "  ".join((*placed, *cells[len(widths) :])).rstrip()


_NUMERIC = frozenset(
    {"id", "kill", "seconds", "age", "blocks", "connections", "idle", "at work", "rows changed", "rows locked"}
)


def _below(text: str, columns: int) -> list[str]:
    lines = wrap(text, max(columns - 4, 20)) if text else []
    if len(lines) > _LINES_BELOW:
        lines = [*lines[: _LINES_BELOW - 1], clipped(" ".join(lines[_LINES_BELOW - 1 :]), max(columns - 4, 20))]
    return [f"    {line}" for line in lines]


def show_sheet(state: ConsoleState, sheet: Sheet) -> None:
    style = state.screen().data_style
    if state.format == "table":
        if sheet.rows:
            columns = 0 if state.pager else style.columns
            state.answer("\n".join(sheet.lines(columns, decorated=style.decorated)))
    else:
        state.answer(sheet.rendered(state.format))


def asks_of(state: ConsoleState, argument: str = "") -> Diagnosing:
    to = destination(state.session, argument.rstrip(";").strip())
    return Diagnosing(session=state.session, dialect=state.services.rules().dialect, to=to)


def said_of(asks: Diagnosing, what: str) -> str:
    return f"{what} on {safe(asks.node)}, {span_text(asks.seconds)}"


def processlist(state: ConsoleState, argument: str) -> None:
    """Show the sessions at work on a node; one session, whole, by its id."""
    if argument.rstrip(";").isdecimal():
        _one_session(state, int(argument.rstrip(";")))
        return
    asks = asks_of(state, argument)
    sessions = asks.working()
    show_sheet(state, sheet_of(sessions))
    state.say(said_of(asks, f"{counted(len(sessions), 'session')} at work"))
    if not asks.sees_others:
        state.say(_ONLY_OWN.format(cluster=state.session.context.cluster))


def sheet_of(sessions: Iterable[ServerSessionRow]) -> Sheet:
    listed = tuple(sessions)
    return Sheet(
        heads=("id", "user", "host", "schema", "seconds", "state"),
        rows=[
            (each.id, each.user, host_of(each.host), each.schema, each.seconds, each.state or each.command)
            for each in listed
        ],
        texts=[each.statement for each in listed],
    )


def host_of(host: str) -> str:
    return host.rpartition(":")[0] or host


def _one_session(state: ConsoleState, id_: int) -> None:
    asks = asks_of(state)
    found = asks.is_there(id_)
    if found is None:
        raise ConfigurationError(f"there is no session {id_} on {safe(asks.node or asks.to)}")
    state.answer(render(tuple(found), [tuple(found.values())], "vertical" if state.format == "table" else state.format))


def transactions(state: ConsoleState, argument: str) -> None:
    asks = asks_of(state, argument)
    sessions = asks.transacting()
    sheet = Sheet(
        heads=("id", "user", "host", "age", "rows changed", "state"),
        rows=[
            (
                each.id,
                each.user,
                host_of(each.host),
                age_text(each.transaction_seconds or 0),
                each.changed_rows,
                state_text(each),
            )
            for each in sessions
        ],
        texts=[text_of(each) for each in sessions],
    )
    show_sheet(state, sheet)
    state.say(said_of(asks, counted(len(sessions), "open transaction")))


def connections(state: ConsoleState, argument: str) -> None:
    asks = asks_of(state, argument)
    rows = asks.rows(asks.known.connections)
    heads = ("user", "host", "connections", "idle", "at work", "longest")
    listed = [
        (row["user"], row["host"], int(row["connections"]), int(row["idle"]), int(row["at_work"]), _longest(row))
        for row in rows
    ]
    columns = tuple(Column(name=head, numeric=head in _NUMERIC) for head in heads)
    state.answer(render(columns, listed, state.format, state.screen().data_style))
    numbers = asks.numbers()
    most = numbers.get("max_connections", 0)
    state.say(said_of(asks, f"{numbers.get('threads_connected', 0):,} of {most:,} connections"))


def _longest(row: dict[str, Any]) -> str:
    return age_text(int(row["longest_seconds"] or 0))


def age_text(seconds: int) -> str:
    return f"{seconds} s" if seconds < 60 else clock_text(seconds)


def locks(state: ConsoleState, argument: str) -> None:
    """Show who blocks whom, the oldest transaction first."""
    asks = asks_of(state, argument)
    found = asks.locks()
    show_sheet(state, _sheet_of_locks(found.sessions))
    waiting = sum(bool(each.waits_for) or each.id in found.unexplained for each in found.sessions)
    shown = {each.id for each in found.sessions}
    others = [(each, holds) for each, holds in asks.holding() if each.id not in shown]
    if not waiting:
        _say_who_may_be_next(state, asks, others)
        return
    state.say(said_of(asks, f"{counted(waiting, 'session')} {'waits' if waiting == 1 else 'wait'} for a lock"))
    if found.unexplained:
        ids = ", ".join(map(str, found.unexplained))
        state.say(f"who holds what {ids} {'waits' if waiting == 1 else 'wait'} for is not known: {found.blind}")
        may = f": {_ids_text([each.id for each, _ in others])}" if others else ""
        state.say(f"\\transactions lists who may, the oldest first{may}")
    roots = [each for each in found.sessions if each.blocks and not each.waits_for and each.id]
    for root in roots[:_MOST_ROOTS]:
        state.say(_freed_text(root.id, freed_by(root.id, found.sessions)))
    if others and not found.unexplained:
        hold = "holds" if len(others) == 1 else "hold"
        state.say(f"{counted(len(others), 'other session')} {hold} locks that nobody waits for: \\transactions")


_MOST_ROOTS = 3
_MOST_HOLDERS = 10
_MOST_IDS = 5


def _freed_text(id_: int, freed: Freed) -> str:
    """Return who goes on once a session is killed, and who has to wait for those."""
    if not freed.at_once:
        waits = "waits" if len(freed.later) == 1 else "wait"
        return f"\\kill {id_} frees nobody by itself: {_ids_text(freed.later)} {waits} for others too"
    waits = "waits" if len(freed.later) == 1 else "wait"
    later = f"; {_ids_text(freed.later)} still {waits}, until those before have ended" if freed.later else ""
    return f"\\kill {id_} frees {_ids_text(freed.at_once)}{later}"


def _ids_text(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - _MOST_IDS:,} more" if len(ids) > _MOST_IDS else ""
    return f"{', '.join(map(str, ids[:_MOST_IDS]))}{more}"


def _say_who_may_be_next(state: ConsoleState, asks: Diagnosing, held: Sequence[tuple[ServerSessionRow, str]]) -> None:
    """Show who holds locks that nobody waits for yet: the next statement may."""
    show_sheet(state, _sheet_of_holders(held[:_MOST_HOLDERS]))
    state.say(said_of(asks, "nobody waits for a lock"))
    if held:
        hold = "holds" if len(held) == 1 else "hold"
        more = ": \\transactions shows all" if len(held) > _MOST_HOLDERS else ""
        state.say(f"{counted(len(held), 'session')} {hold} locks that the next one may wait for{more}")


def _sheet_of_holders(held: Sequence[tuple[ServerSessionRow, str]]) -> Sheet:
    return Sheet(
        heads=("kill", "user", "host", "open", "rows locked", "rows changed", "state", "holds"),
        rows=[
            (
                each.id,
                each.user,
                host_of(each.host),
                "no transaction" if each.transaction_seconds is None else age_text(each.transaction_seconds),
                each.locked_rows,
                each.changed_rows,
                state_text(each),
                holds or None,
            )
            for each, holds in held
        ],
        texts=[text_of(each) for each, _ in held],
    )


def state_text(session: ServerSessionRow) -> str:
    return f"idle {age_text(session.seconds)}" if session.idle else session.state or session.command


def text_of(session: ServerSessionRow) -> str:
    """Return what a session runs, or ran last where the server tells that, or ""."""
    return session.statement or (f"last: {session.last_statement}" if session.last_statement else "")


def _sheet_of_locks(sessions: Sequence[LockSession]) -> Sheet:
    return Sheet(
        heads=("kill", "user", "host", "age", "blocks", "waits for", "lock"),
        rows=[
            (
                each.id,
                each.user,
                each.host,
                age_text(each.age_seconds),
                each.blocks or None,
                ", ".join(map(str, each.waits_for)) or None,
                each.lock,
            )
            for each in sessions
        ],
        texts=[_idle_text(each.statement) if each.idle else each.statement for each in sessions],
    )


def _idle_text(last: str) -> str:
    return f"idle; last: {last}" if last else "idle"
