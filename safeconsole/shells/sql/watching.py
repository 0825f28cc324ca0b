"""Repeats a read and marks what changed, until it is interrupted."""

from __future__ import annotations

from collections.abc import Sequence

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.statement import Statement
from safeconsole.interfaces import Column, Row
from safeconsole.shells.sql.collecting import CollectingPresenter
from safeconsole.shells.sql.running import run_statement
from safeconsole.shells.sql.state import ConsoleState
from safeconsole.shells.terminal.cells import shown
from safeconsole.shells.terminal.evidence import one_line
from safeconsole.shells.terminal.formats import render

LEAST_SECONDS = 1.0
"""A read that is repeated more often than this is a load test."""

MARK = " *"


def watch_statement(state: ConsoleState, statement: Statement, seconds: float) -> None:
    """
    Run a read every so many seconds; each time it walks the whole road, and an error or Ctrl-C ends it.

    Raises:
        ConfigurationError: the statement is no read, or the span is too short.
    """
    if not statement.is_plain_read:
        raise ConfigurationError(f"only a read is repeated, and this is {statement.kind}")
    if not LEAST_SECONDS <= seconds < float("inf"):
        raise ConfigurationError(f"\\watch repeats at most once in {LEAST_SECONDS:g} s")
    before: Sequence[Row] | None = None
    try:
        while True:
            presenter = CollectingPresenter()
            if not run_statement(state, statement, presenter):
                return
            state.answer(_page(state, statement, presenter, before, seconds))
            before = presenter.held
            state.services.pause(seconds)
    except KeyboardInterrupt:
        state.say("no longer watched")


def marked(columns: Sequence[Column], rows: Sequence[Row], before: Sequence[Row] | None) -> list[Row]:
    """Return the rows as text, with a mark behind each cell that differs from the one in its place before."""
    return [
        tuple(
            _marked_cell(value, changed=_changed(value, before, at, place), numeric=columns[place].numeric)
            for place, value in enumerate(row)
        )
        for at, row in enumerate(rows)
    ]


def _changed(value: object, before: Sequence[Row] | None, at: int, place: int) -> bool:
    if before is None:
        return False
    return at >= len(before) or place >= len(before[at]) or before[at][place] != value


def _marked_cell(value: object, *, changed: bool, numeric: bool) -> str:
    # Numbers are aligned right: what carries no mark is moved by its width, so that digits stay below each other.
    return shown(value) + (MARK if changed else " " * len(MARK) if numeric else "")


def _page(
    state: ConsoleState,
    statement: Statement,
    presenter: CollectingPresenter,
    before: Sequence[Row] | None,
    seconds: float,
) -> str:
    look = state.screen().data_look
    clear = "\x1b[2J\x1b[H" if look.decorated else ""
    title = f"{one_line(statement.text)} · every {seconds:g} s · Ctrl-C ends it\n"
    rows = marked(presenter.columns, presenter.held, before)
    more = f"({presenter.count - len(rows):,} more rows)\n" if presenter.count > len(rows) else ""
    return clear + title + render(presenter.columns, rows, "table", look) + more
