"""Says how a loop of statements is doing, on the terminal's last line, while the code that sends them runs."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from safeconsole.shells.terminal.cells import clipped, safe
from safeconsole.shells.terminal.measures import clock_text
from safeconsole.shells.terminal.presenting import Screen
from safeconsole.shells.terminal.status_line import StatusLine

QUIET_SECONDS = 2.0
"""Code that is done sooner says nothing of its statements."""

DRAWN_SECONDS = 0.25
"""Between two looks at the line."""

_FEWEST = 3


class Looping:
    """
    The statements of one entry, counted.

    Args:
        screen: where the line is drawn, if it is a terminal.
        now: reads a monotonic clock, in seconds.
    """

    def __init__(self, screen: Screen, now: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._now = now
        self._status = StatusLine(screen.messages, screen.messages_look)
        self._began = self._drawn = 0.0
        self._count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is sent until the context ends; what the code prints takes the line's place."""
        self._began, self._drawn, self._count = self._now(), 0.0, 0
        if not self._screen.messages_look.terminal:
            yield
            return
        try:
            with redirect_stdout(_Printing(sys.stdout, self.clear)):
                yield
        finally:
            self.clear()

    def sent(self, node: str) -> None:
        """Count one statement, and say so where there is time for it."""
        self._count += 1
        now = self._now()
        if self._count < _FEWEST or now - self._began < QUIET_SECONDS or now - self._drawn < DRAWN_SECONDS:
            return
        self._drawn = now
        each = self._count / (now - self._began)
        text = f"{clock_text(now - self._began)}, {self._count:,} statements, {each:,.0f} a second"
        where = f", {safe(node)}" if node else ""
        columns = max(1, self._screen.messages_look.columns - 1)
        self._status.draw(clipped(f"{text}{where}, Ctrl-C stops the loop and its statement", columns))

    def clear(self) -> None:
        """Take the line away."""
        self._status.clear()


class _Printing(io.TextIOBase):
    """Standard output that first takes the line away."""

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
