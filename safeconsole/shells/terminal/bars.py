"""Sizes as bars: one line each, two tones for what a size is made of, to the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safeconsole.shells.terminal.cells import clipped, padded, safe, width_of
from safeconsole.shells.terminal.looks import Look
from safeconsole.shells.terminal.measures import size_text

_MOST_LABEL, _MOST_BAR, _LEAST_BAR = 48, 30, 6
_DECORATED, _PLAIN = ("█", "▒"), ("#", "=")
_FIRST_TONE, _SECOND_TONE, _DIM, _OFF = "\x1b[36m", "\x1b[34m", "\x1b[2m", "\x1b[0m"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line.

    Attributes:
        label: what it is about.
        first, second: the two parts of its size in bytes, >= 0.
        note: what else is to say on the line, cut to the width, or "".
        detail: what is to say below it, or "".
    """

    label: str
    first: int
    second: int = 0
    note: str = ""
    detail: str = ""


def bars_text(bars: Sequence[Bar], look: Look) -> str:
    """Return bars as lines, drawn to the largest of them; each line ends with a newline."""
    if not bars:
        return ""
    labels = [safe(bar.label) for bar in bars]
    label_width = min(max(map(width_of, labels)), _MOST_LABEL)
    sizes = [size_text(bar.first + bar.second) for bar in bars]
    size_width = max(map(len, sizes))
    room = (look.columns or 120) - label_width - size_width - 6
    bar_width = max(_LEAST_BAR, min(_MOST_BAR, room // 3))
    largest = max(bar.first + bar.second for bar in bars)
    lines = []
    for bar, label, size in zip(bars, labels, sizes, strict=True):
        note = safe(bar.note)
        if look.columns:
            note = clipped(note, max(0, room - bar_width))
        drawn = _drawn(bar, largest, bar_width, look)
        shown = f"{_DIM}{note}{_OFF}" if look.decorated and note else note
        line = f"  {padded(clipped(label, label_width), label_width)}  {size:>{size_width}} {drawn} {shown}"
        lines.append(line.rstrip() + "\n")
        if bar.detail:
            lines.append(f"      {safe(bar.detail)}\n")
    return "".join(lines)


def _drawn(bar: Bar, largest: int, width: int, look: Look) -> str:
    """Return the bar itself, filled with blanks; what is not nothing shows at least a sliver."""
    total = bar.first + bar.second
    cells = max(1, round(width * total / largest)) if total else 0
    first = round(cells * bar.first / total) if total else 0
    marks = _DECORATED if look.decorated else _PLAIN
    blanks = " " * (width - cells)
    if not look.decorated:
        return marks[0] * first + marks[1] * (cells - first) + blanks
    return f"{_FIRST_TONE}{marks[0] * first}{_SECOND_TONE}{marks[1] * (cells - first)}{_OFF}{blanks}"
