"""Shows a statement's result: data on one stream, messages on another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

import msgspec

from safeconsole.audit.record import Ended
from safeconsole.cluster.engine import Column, Row
from safeconsole.output.formats import SetsWriter
from safeconsole.output.progress import StatementProgress
from safeconsole.output.text import (
    PLAIN,
    ROW_FORMATS,
    StreamStyle,
    counted,
    forgive_encoding,
    in_words,
    safe,
    size_text,
    span_text,
    stream_style,
)
from safeconsole.policy.decision import Assessment
from safeconsole.session.result import Result
from safeconsole.sqltext.vocabulary import OutcomeKind

if TYPE_CHECKING:
    from safeconsole.output.row_statements import RowTarget

TOLD_SHOWING_SECONDS = 0.02
"""A result that took longer than this to show says how much of its time was not that, but the server's."""

_EMPTIED = dict.fromkeys(
    ("show warnings", "show errors"),
    "the console asks the server between two statements, so warnings stand below the statement that they are about",
)
"""Statements whose answer the console's own questions have emptied."""


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """The streams that a face writes to.

    Attributes:
        data: rows go here, and nothing else.
    """

    data: TextIO
    messages: TextIO
    data_style: StreamStyle = PLAIN
    messages_style: StreamStyle = PLAIN


def screen_of(data: TextIO, messages: TextIO, environ: Mapping[str, str]) -> Screen:
    """Return a screen of two streams; characters that they cannot encode are replaced from now on."""
    forgive_encoding(data)
    forgive_encoding(messages)
    return Screen(
        data=data,
        messages=messages,
        data_style=stream_style(data, environ),
        messages_style=stream_style(messages, environ),
    )


class ResultStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How results are shown.

    Attributes:
        format: one of `FORMATS`.
        interactive: a person pages through it: rows over the soft limit are counted and not shown, values may be cut.
        header: name the node before the rows.
        null: what stands for NULL in CSV, None for the default; see `formats.CsvWriter`.
        more_rows: how this face raises the row limit, such as "--max-rows", or "".
        most_rows: the highest row limit that the policy allows, 0 when that is not known.
        target: the table that rows are written for as statements; without one those formats are tables.
        error_follows: whether this face tells the error of a statement behind its rows, and with it why they are short.
    """

    format: str = "table"
    interactive: bool = False
    header: bool = True
    null: str | None = None
    more_rows: str = "--max-rows"
    most_rows: int = 0
    target: RowTarget | None = None
    error_follows: bool = False


class ResultPrinter:
    """Shows one result; make a new one for each statement.

    Attributes:
        progress: what the session tells of the statement before its first rows.
        told_way_out: whether it said why the answer is short and how to get more.

    Args:
        last: says which statement is under way before its columns are known, for the status line (`Session.last`).
        now_seconds: a clock that only goes forward.
    """

    def __init__(
        self,
        screen: Screen,
        shape: ResultStyle,
        last: Callable[[], Assessment | None] = lambda: None,
        *,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._shape = shape
        self._considered: Assessment | None = None
        self.progress = StatementProgress(
            screen.messages, screen.messages_style, lambda: self._considered or last(), self._say
        )
        self.told_way_out = False
        self._writer: SetsWriter | None = None
        self._rows = 0
        self._now_seconds = now_seconds
        self._showing_seconds = 0.0

    def show(self, result: Result) -> None:
        """Show a result as it arrives, then its status line. Raises as iterating over it."""
        try:
            with result:
                self.begin(result.considered, result.columns)
                for batch in result:
                    self.rows(batch)
                while result.next_set():
                    self.next_set(result.columns)
                    for batch in result:
                        self.rows(batch)
        finally:
            self.end(result.ended, result.warnings)

    def begin(self, considered: Assessment, columns: tuple[Column, ...]) -> None:
        with self.progress.lock:
            self.progress.clear()
            if self._shape.header and considered.node:
                self._say(f"{considered.node} ({considered.route})")
            for note in considered.notes:
                self._say(note, bold=True)
            several, screen = considered.statement.may_return_sets, self._screen
            if columns or several:
                self._writer = SetsWriter(
                    self._format(considered),
                    screen.data,
                    screen.data_style,
                    null=self._shape.null,
                    several=several,
                    target=self._shape.target,
                )
            if columns and self._writer:
                self._writer.begin(columns)
            self._considered = considered

    def next_set(self, columns: tuple[Column, ...]) -> None:
        """Go on to the rows of another result set of the same statement."""
        with self.progress.lock:
            self.progress.clear()
            if self._writer is not None:
                self._writer.begin(columns)

    def rows(self, batch: Sequence[Row]) -> None:
        """Write more rows, up to the soft limit when a person looks."""
        began = self._now_seconds()
        self._show(batch)
        self._showing_seconds += self._now_seconds() - began

    def _show(self, batch: Sequence[Row]) -> None:
        with self.progress.lock:
            if self._screen.data_style.terminal:
                # Rows that go elsewhere leave the line where it is: cleared with each batch, nobody would see it.
                self.progress.clear()
            shown = batch[: max(0, self._soft_limit() - self._rows)] if self._shape.interactive else batch
            self._rows += len(batch)
            self.progress.rows = self._rows
            if shown and self._writer is not None:
                self._writer.rows(shown)
                if self._screen.data_style.terminal:
                    self._screen.data.flush()

    def end(self, ended: Ended | None, warnings: Sequence[str] = ()) -> None:
        """Close the format and show the status line: rows, time, node, and whether the answer is incomplete."""
        with self.progress.lock:
            self.progress.end()
            considered = self._considered
            # What ended before it began is told by the error alone.
            if considered is None or ended is None:
                return
            note = self._shortfall(ended, considered)
            if self._writer is not None:
                self._close(self._writer, ended, note)
            self._say(self._footer(ended, considered), dim=True)
            for warning, times in Counter(warnings).items():
                self._say(f"  {warning}" + (f" ({times} times)" if times > 1 else ""))
            if considered.statement.kind in _EMPTIED:
                self._say(f"{considered.statement.kind} tells nothing here: {_EMPTIED[considered.statement.kind]}")
            if note and (ended.outcome == OutcomeKind.DONE or not self._shape.error_follows):
                more = self._way_to_more(ended)
                self._say(f"{note}{more}", bold=True)
                self.told_way_out = bool(more)
            if ended.outcome == OutcomeKind.DONE and ended.message:
                self._say(ended.message)

    def _close(self, writer: SetsWriter, ended: Ended, note: str) -> None:
        # Where data and messages share a terminal, the message below says it already.
        told = "" if self._screen.data_style.terminal and self._screen.messages_style.terminal else note
        # A reader that left is no second failure; what it missed stands in the outcome.
        with suppress(BrokenPipeError):
            if ended.outcome == OutcomeKind.DONE:
                writer.end(told)
            else:
                writer.abandon(told)
            self._screen.data.flush()

    def _format(self, considered: Assessment) -> str:
        form = self._shape.format
        if form in ROW_FORMATS and self._shape.target is None:
            form = "table"
        return "vertical" if considered.statement.vertical and form == "table" else form

    def _soft_limit(self) -> int:
        return self._considered.decision.limits.shown_rows if self._considered else 0

    def _footer(self, ended: Ended, considered: Assessment) -> str:
        sets = self._writer.sets if self._writer is not None else 0
        if sets:
            amount = counted(max(ended.rows, self._rows), "row")
            if sets > 1:
                amount += f" in {counted(sets, 'result set')}"
            if ended.changed_rows and considered.statement.may_return_sets:
                amount += f", {counted(ended.changed_rows, 'row')} changed"
            shown = self._soft_limit()
            if self._shape.interactive and ended.outcome != OutcomeKind.DONE and self._rows > shown:
                amount += f", the first {shown:,} shown"
        elif ended.outcome == OutcomeKind.DONE:
            amount = f"done, {counted(ended.changed_rows, 'row')} changed"
        else:
            amount = ended.outcome
        span = span_text(ended.elapsed_seconds)
        if self._showing_seconds >= TOLD_SHOWING_SECONDS:
            span += f", {span_text(max(0.0, ended.elapsed_seconds - self._showing_seconds))} of it the server's"
        parts = [amount, span, f"{considered.node} ({considered.route})"]
        if ended.peak_memory_bytes:
            parts.append(f"session memory {size_text(ended.peak_memory_bytes)}")
        return (" · " if self._screen.messages_style.decorated else ", ").join(parts)

    def _shortfall(self, ended: Ended, considered: Assessment) -> str:
        limits = considered.decision.limits
        if ended.outcome == OutcomeKind.UNKNOWN:
            return "incomplete: what happened on the server is not known"
        if ended.ceiling == "fetched_rows":
            return f"incomplete: stopped at {counted(limits.fetched_rows, 'row')}"
        if ended.ceiling == "fetched_bytes":
            return f"incomplete: stopped at {size_text(limits.fetched_bytes)}"
        if ended.outcome == OutcomeKind.UNSEEN:
            return "incomplete: asked to stop, and not seen to stop"
        if ended.outcome == OutcomeKind.STOPPED:
            at = f" at {ended.ceiling}" if ended.ceiling not in {"", "watchdog"} else ""
            blind = ", which lost sight of the server" if ended.ceiling == "watchdog" else ""
            return f"incomplete: stopped by the {ended.stopped_by or 'console'}{at}{blind}"
        if ended.outcome in {OutcomeKind.FAILED, OutcomeKind.REFUSED}:
            return "incomplete: the server ended it with an error"
        if ended.truncated:
            return "incomplete: it was cut short"
        if self._shape.interactive and self._rows > limits.shown_rows:
            return f"{limits.shown_rows:,} of {counted(self._rows, 'row')} shown"
        return ""

    def _way_to_more(self, ended: Ended) -> str:
        if ended.ceiling == "fetched_rows" and self._shape.more_rows:
            most = f" up to {self._shape.most_rows:,}" if self._shape.most_rows else ""
            return f": raise with {self._shape.more_rows}{most}, or narrow the statement"
        if ended.ceiling == "fetched_bytes":
            return ": ask for fewer or narrower columns"
        if ended.outcome == OutcomeKind.DONE and not ended.truncated:
            return ": \\rows N shows more, \\export FILE writes all"
        return ""

    def _say(self, text: str, *, dim: bool = False, bold: bool = False) -> None:
        text = in_words(safe(text), self._screen.messages_style)
        if self._screen.messages_style.decorated and (dim or bold):
            text = f"\x1b[{1 if bold else 2}m{text}\x1b[0m"
        self._screen.messages.write(text + "\n")
        self._screen.messages.flush()
