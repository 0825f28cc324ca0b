"""Sizes as bars: one line each, two tones for what a size is made of, to the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safeconsole.shells.terminal.cells import clipped, padded, safe, width_of
from safeconsole.shells.terminal.looks import Look
from safeconsole.shells.terminal.measures import size_text
from safeconsole.shells.terminal.wrapping import in_words

_MOST_LABEL, _MOST_BAR, _LEAST_BAR = 48, 30, 6
_LONGEST_NAME, _LONGEST_LINE = 130, 10_000
_DECORATED, _PLAIN = ("█", "▒"), ("#", "=")
_FIRST_TONE, _SECOND_TONE, _DIM, _OFF = "\x1b[36m", "\x1b[34m", "\x1b[2m", "\x1b[0m"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line.

    Attributes:
        label: what it is about.
        first, second: the two parts of its size in bytes, >= 0.
        size: the size in words, where it is not the sum of the parts, or "".
        notes: what else is to be said on the line, most important first; those that do not fit whole are left out.
        detail: what MUST be said: on the line where all bars' fit there, below it where one does not; or "".
    """

    label: str
    first: int
    second: int = 0
    size: str = ""
    notes: tuple[str, ...] = ()
    detail: str = ""


def bars_text(bars: Sequence[Bar], look: Look) -> str:
    """Return bars as lines, drawn to the largest of them; each line ends with a newline."""
    if not bars:
        return ""
    most_label = max(_MOST_LABEL, look.columns // 2) if look.columns else _LONGEST_NAME
    label_width = min(max(width_of(safe(bar.label)) for bar in bars), most_label)
    sizes = [bar.size or size_text(bar.first + bar.second) for bar in bars]
    size_width = max(map(len, sizes))
    room = (look.columns or 120) - label_width - size_width - 6
    bar_width = max(_LEAST_BAR, min(_MOST_BAR, room // 3))
    notes = [_said(bar, room - bar_width if look.columns else _LONGEST_LINE) for bar in bars]
    below = not all(bar.detail in note for bar, note in zip(bars, notes, strict=True))
    largest = max(bar.first + bar.second for bar in bars)
    lines = []
    for bar, size, note in zip(bars, sizes, notes, strict=True):
        label = padded(clipped(safe(bar.label), label_width), label_width)
        shown = "" if below else safe(note)
        shown = f"{_DIM}{shown}{_OFF}" if look.decorated and shown else shown
        line = f"  {label}  {size:>{size_width}} {_drawn(bar, largest, bar_width, look)} {shown}"
        lines.append(line.rstrip() + "\n")
        if below and bar.detail:
            lines.append(in_words(f"      {safe(bar.detail)}", look) + "\n")
    return "".join(lines)


def _said(bar: Bar, width: int) -> str:
    """Return what fits beside a bar: its detail, or as many of its notes as fit whole, in order."""
    said = ""
    for note in (bar.detail,) if bar.detail else bar.notes:
        longer = f"{said}, {note}" if said else note
        if width_of(safe(longer)) > width:
            break
        said = longer
    return said


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
