"""Lines that turn between words at the edge of a terminal, which alone would turn within them."""

from __future__ import annotations

from collections.abc import Iterator

from safeconsole.shells.terminal.cells import width_of
from safeconsole.shells.terminal.looks import Look

NARROWEST_COLUMNS = 20
"""Below this there is no room for words."""

_HANG = "  "


def in_words(text: str, look: Look) -> str:
    """
    Return lines of words turned at a terminal's width, what follows a turn indented; a pipe's are left as they are.

    Words that are wider than the terminal stay whole, so that a path can be copied; so does what is drawn already.
    """
    if not look.terminal or look.columns < NARROWEST_COLUMNS or "\x1b" in text:
        return text
    return "\n".join(piece for line in text.split("\n") for piece in _turned(line, look.columns))


def _turned(line: str, columns: int) -> Iterator[str]:
    if width_of(line) <= columns:
        yield line
        return
    margin = line[: len(line) - len(line.lstrip(" "))]
    hanging, held = margin + _HANG, ""
    for word in line.split():
        if held and width_of(held) + 1 + width_of(word) > columns:
            yield held
            margin, held = hanging, ""
        held = f"{held} {word}" if held else margin + word
    yield held
