"""Runs typed statements one after the other, and shows their rows, in a pager if there is one."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from safeconsole import interrupts
from safeconsole.cluster.engine import Column, Row
from safeconsole.console.state import ConsoleState
from safeconsole.errors import (
    ConfigurationError,
    DeniedError,
    RefusedError,
    SafeConsoleError,
    ServerError,
    StoppedError,
)
from safeconsole.output.confirming import PREVIEW, YES
from safeconsole.output.evidence import one_line
from safeconsole.output.presenting import ResultPrinter, Screen
from safeconsole.output.text import PLAIN, ROW_FORMATS, counted, safe, size_text
from safeconsole.session.context import Justification, Status
from safeconsole.session.result import Result
from safeconsole.session.state import VARIABLE_IS_ELSEWHERE, WITHOUT_VARIABLE, lost_variable
from safeconsole.sqltext.rewriting import NotRewrittenError, preview_of
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Route, Verdict

# Hands rows to a pager as they arrive, so that a wide result is scrolled and none of it is held here.

if TYPE_CHECKING:
    from safeconsole.output.row_statements import RowTarget

USUAL_PAGER = "less -SRFX"
"""Long lines are scrolled and not folded, colours pass, what fits on one screen needs no key."""

_COLOURFUL = frozenset({"less", "more", "most", "cat", "bat", "moar", "moor", "ov"})
"""Programs that colours are left to; another one, such as an editor, would show their escapes as text."""


@contextmanager
def paged(screen: Screen, pager: str) -> Iterator[Screen]:
    """Give a screen whose rows go to a pager; messages are shown after the pager is closed.

    Args:
        screen: where to write without a pager.
        pager: its command line, "" for none.

    Raises:
        ConfigurationError: it cannot be started.
    """
    if not pager:
        yield screen
        return
    try:
        words = shlex.split(pager)
        process = subprocess.Popen(words, stdin=subprocess.PIPE, env={**os.environ, "LESS": _less_options()})
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(f"the pager {pager!r} cannot be started: {error}", instead="\\pager off") from error
    assert process.stdin is not None
    told = io.StringIO()
    rows = io.TextIOWrapper(process.stdin, encoding="utf-8", errors="backslashreplace")
    try:
        # Rows may be as wide as they are, and what is said meanwhile would be drawn over the pager's page.
        style = replace(
            screen.data_style, columns=0, decorated=screen.data_style.decorated and _shows_colours(words[0])
        )
        yield replace(screen, data=rows, data_style=style, messages=told, messages_style=PLAIN)
    finally:
        with suppress(BrokenPipeError):
            rows.close()
        _wait_for(process)
        screen.messages.write(told.getvalue())
        screen.messages.flush()


def _less_options() -> str:
    return f"{os.environ.get('LESS', '')} -R".strip()


def _shows_colours(program: str) -> bool:
    return Path(program).name in _COLOURFUL


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        if interrupts.told():
            # It may wait for a key that nobody presses any more.
            process.terminate()
        with suppress(KeyboardInterrupt):
            process.wait()


# Runs what was typed: one statement after the other, each down the whole road, stopping at the first that fails.

HELD_ROWS = 1_000
"""Rows held for a command that shows a result in its own way."""

PREVIEWED_ROWS = 20
"""Rows of a change that are shown before it is made."""

SHOWN_STATEMENTS = 20
"""Statements of a pasted script that are listed one by one."""

_NO_SUCH_TABLE = frozenset({1146})
"""Source: MySQL 9.7 and MariaDB 10.11, ER_NO_SUCH_TABLE."""


def run_text(state: ConsoleState, text: str, *, pasted: bool = False) -> None:
    """Run every statement of a text; several are listed before anything runs."""
    statements = state.session.split(text)
    if not statements:
        return
    state.last_sql, state.previewed = text.strip(), None
    opened = state.session.status().transaction is not None
    lost = lost_variable(statements, state.services.rules(), opened=opened)
    if lost is not None:
        what = f"nothing was run: statement {lost[0]} needs {lost[1]}: {VARIABLE_IS_ELSEWHERE}"
        state.refuse(DeniedError(what, instead=WITHOUT_VARIABLE))
        return
    if len(statements) > 1 and not _agreed(state, statements, pasted=pasted):
        state.say("nothing was run")
        return
    for at, statement in enumerate(statements, start=1):
        if not show_statement(state, statement):
            left = len(statements) - at
            if left:
                state.say(f"{counted(left, 'statement')} after it {'was' if left == 1 else 'were'} not run")
            return


def show_statement(
    state: ConsoleState,
    statement: Statement,
    *,
    justification: Justification | None = None,
    shape: Reshape | None = None,
    exactly_rows: int = -1,
) -> bool:
    """Run one statement and show its rows, in the pager if there is one; return whether it succeeded.

    Args:
        justification: what an elevation of it alone is asked with.
        exactly_rows: how many rows a change must find, -1 for any number.
        shape: makes of its rows what is shown, or None.
    """
    before = state.session.status()
    told_already = False
    try:
        target = _target_of(state, statement) if shape is None else None
        with paged(state.screen(), state.pager) as screen:
            printer = state.printer(screen, target)
            show = printer.show if shape is None else partial(show_shaped, printer, shape=shape)
            run = partial(state.session.execute, justification=justification, exactly_rows=exactly_rows)
            problem = _problem_of(state, statement, show, printer=printer, as_text=shape is None, run=run)
            told_already = printer.told_way_out and not state.pager
    except SafeConsoleError as error:
        problem = error
    if isinstance(problem, RefusedError) and problem.code == PREVIEW:
        show_preview(state, statement)
        return False
    return _told(state, before, problem, told_already=told_already)


def _target_of(state: ConsoleState, statement: Statement) -> RowTarget | None:
    """Return the table that a SELECT's rows are written for; None where they are shown. Raises SafeConsoleError."""
    if state.format not in ROW_FORMATS or statement.kind not in {"select", "table", "with"}:
        return None
    from safeconsole.output.row_statements import target_of  # noqa: PLC0415 (few need it)

    return target_of(statement, state.format, state.session, state.services.rules())


def show_preview(state: ConsoleState, statement: Statement) -> None:
    """Show the rows that a change would touch, before and after, and offer to run it on exactly those.

    Raises ConfigurationError: it cannot be shown with certainty.
    """
    before, rules = state.session.status(), state.services.rules()
    try:
        found = preview_of(statement, rules, schema=before.schema, most_rows=PREVIEWED_ROWS)
    except NotRewrittenError as error:
        raise ConfigurationError(f"it cannot be shown before it is made: {error}", instead="\\explain") from None
    # The rows are those of the server that is to be changed.
    state.session.use(Route.PRIMARY)
    try:
        shown = show_statement(state, state.session.split(found.rows)[0])
        held = held_result(state, state.session.split(found.count)[0]) if shown else None
    finally:
        state.session.use(before.to)
    if held is None:
        return
    touched = int(held.rows[0][0])
    what = f"{counted(touched, 'row')} would be {'changed' if found.columns else 'deleted'}"
    part = f", the first {PREVIEWED_ROWS} are shown" if touched > PREVIEWED_ROWS else ""
    arrow = "; behind the row as it is stands what each column becomes (→)" if found.columns else ""
    state.say(f"{what}{part}{arrow}; what triggers and foreign keys change is not in it")
    if not touched:
        return
    if state.session.is_elevated:
        show_statement(state, statement, exactly_rows=touched)
    else:
        state.previewed = statement, touched
        state.say(f"\\once REASON runs it for exactly {'this row' if touched == 1 else f'these {touched:,} rows'}")


def write_statement(state: ConsoleState, statement: Statement, printer: ResultPrinter) -> bool:
    """Run one statement and write its rows to a stream; return whether it succeeded."""
    before = state.session.status()
    problem = _problem_of(state, statement, printer.show, printer=printer)
    return _told(state, before, problem, told_already=printer.told_way_out)


class HeldRows(msgspec.Struct, frozen=True, kw_only=True):
    """A small result held in memory, for a command with its own display."""

    columns: tuple[Column, ...]
    rows: list[Row]
    count: int


def held_result(state: ConsoleState, statement: Statement) -> HeldRows | None:
    """Run one statement and return its first rows; None if it failed, after showing the error."""
    before = state.session.status()
    found: list[HeldRows] = []

    def hold(result: Result) -> None:
        rows = result.take(HELD_ROWS)
        found.append(
            HeldRows(columns=result.columns, rows=rows, count=result.ended.rows if result.ended else len(rows))
        )

    problem = _problem_of(state, statement, hold)
    return found[0] if _told(state, before, problem, told_already=False) else None


def _problem_of(
    state: ConsoleState,
    statement: Statement,
    show: Callable[[Result], None],
    *,
    printer: ResultPrinter | None = None,
    as_text: bool = True,
    run: Callable[..., Result] | None = None,
) -> SafeConsoleError | str | None:
    """Run one statement and return its failure, or None.

    Args:
        printer: shows how it is doing; None shows nothing.
        as_text: leave values as the server wrote them.
        run: executes it, the session itself where it is None.
    """
    run = run or state.session.execute
    # Commands have statements of their own.
    state.recorder.watch(statement)
    try:
        if printer is None:
            show(run(statement, as_text=as_text))
        else:
            show(run(statement, as_text=as_text, progress=printer.progress))
    except SafeConsoleError as error:
        return error
    except KeyboardInterrupt:
        # Raised between statements, where there is nothing on a server to stop.
        return "interrupted"
    except Exception as error:  # noqa: BLE001 (the loop shows what broke and goes on)
        return f"safeconsole: this is a fault of safeconsole: {type(error).__name__}: {safe(str(error))}"
    finally:
        if printer is not None:
            printer.progress.end()
    return None


def _told(state: ConsoleState, before: Status, problem: SafeConsoleError | str | None, *, told_already: bool) -> bool:
    if isinstance(problem, StoppedError) and told_already:
        # The line below the rows says where it stopped and what to do: a panel would say it twice.
        state.leaving |= problem.leaving
    elif isinstance(problem, SafeConsoleError):
        state.refuse(problem)
        if isinstance(problem, ServerError) and problem.number in _NO_SUCH_TABLE:
            _say_what_was_meant(state)
    elif problem is not None:
        state.say(problem)
    after = state.session.status()
    if problem is None and before.node != after.node and before.role == after.role:
        # The person did not ask for another node: the one they were on is no longer fit.
        state.say(safe(f"moved from {before.node} to {after.node}: \\topology says why"))
    return problem is None


def _say_what_was_meant(state: ConsoleState) -> None:
    last = state.session.last()
    for table in last.statement.tables if last else ():
        if table.schema in {None, "", state.session.status().schema} and state.names.table_like(table.name) is None:
            meant = state.names.nearest(table.name)
            if meant:
                state.say(f"  perhaps {safe(meant)}")


def _agreed(state: ConsoleState, statements: Sequence[Statement], *, pasted: bool) -> bool:
    verdicts = [state.services.preview(statement).verdict for statement in statements]
    worst = max(verdicts)
    state.say(f"{counted(len(statements), 'statement')}, the strictest verdict is {worst.word}:")
    for number, (statement, verdict) in enumerate(zip(statements, verdicts, strict=True), start=1):
        if number <= SHOWN_STATEMENTS or verdict is not Verdict.ALLOW:
            state.say(f"  {number}. {verdict.word}: {statement.kind}: {one_line(statement.text)[:100]}")
    if not pasted and worst is Verdict.ALLOW:
        return True
    try:
        return state.streams.ask(f'run them in this order? type "{YES}": ').strip() == YES
    except (EOFError, KeyboardInterrupt):
        return False


# What a server answers to SHOW, made into what a person reads at a glance; how it went is said as for any statement.

RESHAPED_ROWS = 5_000
"""Rows of a server's answer that are looked at; the rest is not shown."""

ShownTable = tuple[tuple[Column, ...], Sequence[Row]]
Reshape = Callable[[Sequence[Mapping[str, Any]]], ShownTable]
"""Takes the rows by the lower-case names of their columns."""


def show_shaped(printer: ResultPrinter, result: Result, shape: Reshape) -> None:
    """Read a small answer whole and show it in another layout, with the usual status line.

    What the server warned of is left out: what it thinks of the console's own statement is no news to the person.
    """
    rows: list[Row] = []
    try:
        with result:
            for batch in result:
                rows += batch[: RESHAPED_ROWS - len(rows)]
    finally:
        columns, shaped = _shaped(result.columns, rows, shape)
        printer.begin(result.considered, columns)
        printer.rows(shaped)
        printer.end(replace(result.ended, rows=len(shaped)) if result.ended else None)


def _shaped(columns: tuple[Column, ...], held: Sequence[Row], shape: Reshape) -> ShownTable:
    """Return the answer in its other layout; unchanged if its columns are not the expected ones."""
    names = [column.name.lower() for column in columns]
    try:
        return shape([dict(zip(names, row, strict=True)) for row in held])
    except (KeyError, ValueError, TypeError):
        # A server that answers otherwise than those it was tried with: as it came is better than not at all.
        return columns, held


def indexes_shown(rows: Sequence[Mapping[str, Any]]) -> ShownTable:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row["key_name"]), []).append(row)
    lines = [
        (
            name,
            ", ".join(map(_indexed, parts)),
            "" if int(parts[0]["non_unique"]) else "yes",
            str(parts[0]["index_type"]) + (", invisible" if _is_hidden(parts[0]) else ""),
            parts[-1]["cardinality"],
        )
        for name, parts in found.items()
    ]
    columns = (_text("index"), _text("columns"), _text("unique"), _text("kind"), _number("different values, about"))
    return columns, lines


def _indexed(part: Mapping[str, Any]) -> str:
    shown = str(part["column_name"] or f"({part.get('expression')})")
    return f"{shown}({part['sub_part']})" if part["sub_part"] else shown


def _is_hidden(part: Mapping[str, Any]) -> bool:
    # MySQL says whether it is visible, MariaDB whether it is ignored.
    return part.get("visible") == "NO" or part.get("ignored") == "YES"


def size_shown(rows: Sequence[Mapping[str, Any]]) -> ShownTable:
    """Return one table's row of information_schema.tables with sizes in units."""
    columns = (
        _text("table"),
        _text("engine"),
        _number("rows, about"),
        *(_number(name) for name in ("data", "indexes", "free inside")),
    )
    lines = [
        (
            f"{row['table_schema']}.{row['table_name']}",
            row["engine"],
            None if row["estimated_rows"] is None else f"{row['estimated_rows']:,}",
            *(_bytes(row[name]) for name in ("data_length", "index_length", "data_free")),
        )
        for row in rows
    ]
    return columns, lines


def _bytes(count: int | None) -> str | None:
    return None if count is None else size_text(count)


def _text(name: str) -> Column:
    return Column(name=name)


def _number(name: str) -> Column:
    return Column(name=name, numeric=True)
