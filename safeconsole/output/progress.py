"""The status line at the bottom of a terminal, for statements and jobs."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

import msgspec
from msgspec.structs import replace

from safeconsole.output.text import StreamStyle, clipped, clock_text, counted, safe, size_text, width_of
from safeconsole.policy.decision import Assessment
from safeconsole.policy.limits import Limits
from safeconsole.policy.watchdog import Sample

# One line at the bottom of a terminal that says how a running statement is doing.

QUIET_SECONDS = 1.0
"""A statement that is quicker than this shows no status line."""

_ERASE = "\r\x1b[2K"


class StatusLine:
    """Redraws one line; draws nothing if the stream is no terminal."""

    def __init__(self, stream: TextIO, style: StreamStyle) -> None:
        self._stream = stream
        self._style = style
        self._drawn = False

    def draw(self, text: str) -> None:
        if self._style.terminal:
            self._stream.write(_erasure(self._style) + text)
            self._stream.flush()
            self._drawn = True

    def clear(self) -> None:
        if self._drawn:
            self._stream.write(_erasure(self._style))
            self._stream.flush()
            self._drawn = False


class StatementProgress:
    """Shows a statement's progress on the status line; `Session.execute` calls it.

    Samples come from the watchdog's thread while rows come from another one.

    Attributes:
        lock: held while anything is written where the line is.
        rows: rows that reached the person, once that is more than the samples tell.

    Args:
        last: says which statement is under way (`Session.last`).
        waits: says once what is waited for, where there is no line; None for nothing.
    """

    def __init__(
        self,
        stream: TextIO,
        style: StreamStyle,
        last: Callable[[], Assessment | None],
        waits: Callable[[str], None] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.rows = 0
        self._line = StatusLine(stream, style)
        self._style = style
        self._last = last
        self._waits = waits
        self._first: Sample | None = None
        self._over = False

    def __call__(self, what: Sample | str) -> None:
        with self.lock:
            if isinstance(what, str):
                self._wait(what)
            else:
                self._draw(what)

    def _wait(self, what: str) -> None:
        if self._style.terminal:
            self._line.draw(clipped(safe(what), max(1, self._style.columns - 1)))
        elif self._waits is not None:
            self._waits(what)
        self._waits = None

    def _draw(self, sample: Sample) -> None:
        self._first = self._first or sample
        considered = self._last()
        # Nothing is drawn once it is over: the line would stay.
        if self._over or considered is None or not self._style.terminal or sample.elapsed_seconds < QUIET_SECONDS:
            return
        self._line.draw(
            status_text(
                replace(sample, rows=max(sample.rows, self.rows)),
                self._first,
                node=considered.node or "",
                limits=considered.decision.limits,
                columns=max(1, self._style.columns - 1),
                separator=" · " if self._style.decorated else ", ",
            )
        )

    def clear(self) -> None:
        with self.lock:
            self._line.clear()

    def end(self) -> None:
        with self.lock:
            self._over = True
            self._line.clear()


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """One reading on the line; the lowest ranks stay when not all fit."""

    text: str
    rank: int


def status_text(now: Sample, first: Sample, *, node: str, limits: Limits, columns: int, separator: str = ", ") -> str:
    """Return the status line in at most so many columns; the least important parts are dropped.

    Args:
        first: the first sample of the same statement; trends are counted from it.
        columns: width in cells, > 0.
    """
    parts = [
        _Part(text=f"{clock_text(now.elapsed_seconds)} of {clock_text(limits.run_seconds)}", rank=0),
        _Part(text=safe(node), rank=3),
    ]
    if now.session_memory_bytes is not None:
        parts.append(_Part(text=f"session {size_text(now.session_memory_bytes)}", rank=4))
    if now.instance_memory_bytes is not None:
        trend = now.instance_memory_bytes - (first.instance_memory_bytes or now.instance_memory_bytes)
        arrow = f" ({'+' if trend >= 0 else ''}{size_text(trend)})"
        parts.append(_Part(text=f"server {size_text(now.instance_memory_bytes)}{arrow}", rank=5))
    if now.free_memory_bytes is not None:
        parts.append(_Part(text=f"free {size_text(now.free_memory_bytes)}", rank=6))
    if now.rows:
        parts.append(_Part(text=counted(now.rows, "row"), rank=2))
    parts.append(_Part(text="Ctrl-C stops it on the server", rank=1))
    return _fitted(parts, columns, separator)


def _fitted(parts: list[_Part], columns: int, separator: str) -> str:
    kept = list(parts)
    while len(kept) > 1 and width_of(separator.join(part.text for part in kept)) > columns:
        kept.remove(max(kept, key=lambda part: part.rank))
    return clipped(separator.join(part.text for part in kept), columns)


def _erasure(style: StreamStyle) -> str:
    # A dumb terminal knows no erase sequence; blanks over the old text do the same.
    return _ERASE if style.decorated else "\r" + " " * (style.columns - 1) + "\r"


# How far a job is, on one line of the terminal: a bar, the rate, the time that remains.

REDRAWN_SECONDS = 0.1
_BAR_WIDTH = 24


class JobProgress:
    """Draws the progress of one job; on a pipe it says nothing.

    Args:
        noun: what is counted, in the plural.
        seconds: a monotonic clock.
    """

    def __init__(
        self, stream: TextIO, style: StreamStyle, *, noun: str, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = StatusLine(stream, style)
        self._style = style
        self._noun = noun
        self._seconds = seconds
        self._begun: tuple[float, int] | None = None
        self._drawn_seconds = float("-inf")

    def draw(self, done: int, expected: int, waiting: str = "") -> None:
        now = self._seconds()
        # An earlier run's part took no time of this one.
        self._begun = self._begun or (now, done)
        if self._style.terminal and (waiting or now - self._drawn_seconds >= REDRAWN_SECONDS):
            self._drawn_seconds = now
            self._line.draw(clipped(self._text(now, done, expected, waiting), self._style.columns - 1))

    def clear(self) -> None:
        self._line.clear()

    def _text(self, now: float, done: int, expected: int, waiting: str) -> str:
        if waiting:
            return f"{done:,} {self._noun}, waiting for a fit node: {safe(waiting)}"
        begun_seconds, begun_done = self._begun or (now, done)
        rate = (done - begun_done) / (now - begun_seconds) if now > begun_seconds else 0.0
        parts = [f"{done:,} {self._noun}"]
        if expected >= done > 0:
            parts[0] = f"{self._bar(done / expected)} {done:,} of about {expected:,} {self._noun}"
        if rate > 0:
            parts.append(f"{rate:,.0f}/s")
            if expected > done:
                parts.append(f"{clock_text((expected - done) / rate)} left")
        return (" · " if self._style.decorated else ", ").join(parts)

    def _bar(self, part: float) -> str:
        cells = round(_BAR_WIDTH * min(part, 1.0))
        full, empty = ("█", "░") if self._style.decorated else ("#", ".")
        return full * cells + empty * (_BAR_WIDTH - cells)


LOOP_QUIET_SECONDS = 2.0
"""Code that is done sooner says nothing of its statements."""

DRAWN_SECONDS = 0.25
"""Between two looks at the line."""

_FEWEST = 3


class LoopProgress:
    """The progress of a loop of statements, on the terminal's last line.

    Args:
        stream, style: where the line is drawn, if it is a terminal.
        now: reads a monotonic clock, in seconds.
    """

    def __init__(self, stream: TextIO, style: StreamStyle, now: Callable[[], float] = time.monotonic) -> None:
        self._style = style
        self._now = now
        self._status = StatusLine(stream, style)
        self._began = self._drawn = 0.0
        self._count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count statements until the context ends; output of the code replaces the line."""
        self._began, self._drawn, self._count = self._now(), 0.0, 0
        if not self._style.terminal:
            yield
            return
        try:
            with redirect_stdout(_ClearingOutput(sys.stdout, self.clear)):
                yield
        finally:
            self.clear()

    def sent(self, node: str) -> None:
        """Count one statement; redraws the line at most at an interval."""
        self._count += 1
        now = self._now()
        if self._count < _FEWEST or now - self._began < LOOP_QUIET_SECONDS or now - self._drawn < DRAWN_SECONDS:
            return
        self._drawn = now
        each = self._count / (now - self._began)
        text = f"{clock_text(now - self._began)}, {self._count:,} statements, {each:,.0f} a second"
        where = f", {safe(node)}" if node else ""
        columns = max(1, self._style.columns - 1)
        self._status.draw(clipped(f"{text}{where}, Ctrl-C stops the loop and its statement", columns))

    def clear(self) -> None:
        self._status.clear()


class _ClearingOutput(io.TextIOBase):
    """Standard output that clears the status line before it writes."""

    def __init__(self, stream: TextIO, clear: Callable[[], None]) -> None:
        self._stream = stream
        self._clear = clear

    def write(self, text: str) -> int:
        self._clear()
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the stream has)
        return getattr(self._stream, name)
