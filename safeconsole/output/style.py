"""Colours and widths of a terminal, and wrapped text."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import TextIO

import msgspec

from safeconsole.output.cells import width_of

# --------------------------------------------------------------------------------------------------------------------
# What an output stream can show: a terminal or a pipe, decorated or plain, how wide.


FORMATS: tuple[str, ...] = ("table", "vertical", "json", "jsonl", "csv", "tsv", "markdown")
"""Every format that `--format` and `\\format` take."""

_BOX = "│─┼╭╯·"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to write to one stream.

    Attributes:
        terminal: a person's terminal; control characters in data are escaped there.
        decorated: colours and box lines may be used.
        columns: width in character cells, 0 when there is no width to keep to.
    """

    terminal: bool = False
    decorated: bool = False
    columns: int = 0


PLAIN = Look()
"""A pipe or a file."""


def is_production(environment: str) -> bool:
    """Whether a cluster's environment is shown as the one where mistakes are dear."""
    return environment.lower() in {"production", "prod", "live"}


def look_of(stream: TextIO, environ: Mapping[str, str]) -> Look:
    """
    Return how to write to a stream.

    `NO_COLOR`, `TERM=dumb`, `SAFECONSOLE_PLAIN` (for screen readers) and an encoding without box
    characters each give a plain terminal. Source: no-color.org.
    """
    if not stream.isatty():
        return PLAIN
    switched_off = (
        environ.get("NO_COLOR") or environ.get("SAFECONSOLE_PLAIN") or environ.get("TERM", "") in {"", "dumb"}
    )
    return Look(
        terminal=True,
        decorated=not switched_off and _can_encode(stream, _BOX),
        columns=_columns_of(stream, environ),
    )


def forgive_encoding(stream: TextIO) -> None:
    """Make a stream write what its encoding lacks as `\\N` escapes, where it would have raised."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _columns_of(stream: TextIO, environ: Mapping[str, str]) -> int:
    given = environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


# --------------------------------------------------------------------------------------------------------------------
# Lines that turn between words at the edge of a terminal, which alone would turn within them.


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
