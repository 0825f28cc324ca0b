"""One line at the bottom of a terminal that says how a running statement is doing."""

from __future__ import annotations

from typing import TextIO

import msgspec

from safeconsole.core.limits import Limits
from safeconsole.core.watchdog import Sample
from safeconsole.shells.terminal.cells import clipped, safe, width_of
from safeconsole.shells.terminal.looks import Look
from safeconsole.shells.terminal.measures import clock_text, counted, size_text

QUIET_SECONDS = 1.0
"""A statement that is quicker than this shows no status line."""

_ERASE = "\r\x1b[2K"


class StatusLine:
    """Draws over itself; on anything but a terminal it draws nothing."""

    def __init__(self, stream: TextIO, look: Look) -> None:
        self._stream = stream
        self._look = look
        self._drawn = False

    def draw(self, text: str) -> None:
        """Show the text in place of the last one."""
        if self._look.terminal:
            self._stream.write(_erasure(self._look) + text)
            self._stream.flush()
            self._drawn = True

    def clear(self) -> None:
        """Leave the line as it was before."""
        if self._drawn:
            self._stream.write(_erasure(self._look))
            self._stream.flush()
            self._drawn = False


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """One reading on the line; the lowest ranks stay when not all fit."""

    text: str
    rank: int


def status_text(now: Sample, first: Sample, *, node: str, limits: Limits, columns: int, separator: str = ", ") -> str:
    """
    Return what a status line says, in at most so many columns; what fits least is left out.

    Args:
        now: the latest sample.
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


def _erasure(look: Look) -> str:
    # A dumb terminal knows no erase sequence; blanks over the old text do the same.
    return _ERASE if look.decorated else "\r" + " " * (look.columns - 1) + "\r"
