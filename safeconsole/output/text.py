"""Values as text for a person: escaped, measured and wrapped, with what the output stream can show.

Data is hostile: a row may hold escape sequences that retitle a window, hide text or answer a question. Everything
that is shown to a person passes `safe`.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TextIO

import msgspec

from safeconsole.patterns import late

NULL = "NULL"
SHOWN_BYTES = 32
"""Bytes of a binary value shown to a person; of longer ones only the size."""

# Joiners shape Indic and Arabic words and emoji; the other format characters only hide or reorder text.
_HARMLESS = frozenset("\u200c\u200d")
_NAMES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def safe(text: str) -> str:
    """Return the text with control, reordering and invisible characters written as escapes."""
    return text if text.isprintable() else "".join(map(_safe_character, text))


def safe_lines(text: str) -> list[str]:
    return [safe(line) for line in text.replace("\r\n", "\n").split("\n")]


def text_of(value: object) -> str:
    """Return a value as the server would write it; NULL as `NULL`, bytes as `0x` and hexadecimal digits."""
    if isinstance(value, str):
        return value
    if value is None:
        return NULL
    if isinstance(value, bytes | bytearray | memoryview):
        return "0x" + bytes(value).hex()
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dt.timedelta):
        return _time_of(value)
    # Its own words would be 0E-8 for the server's 0.00000000.
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def shown(value: object) -> str:
    """Return a value for a person on one line: safe, long binary values as their beginning and size."""
    if isinstance(value, bytes | bytearray | memoryview) and len(value) > SHOWN_BYTES:
        return f"0x{bytes(value[:8]).hex()}… ({len(value):,} bytes)"
    return safe(text_of(value))


def width_of(text: str) -> int:
    if text.isascii():
        return len(text)
    # Imported here: few results need it, and a one-shot must start quickly.
    from rich.cells import cell_len  # noqa: PLC0415

    return cell_len(text)


def clipped(text: str, width: int) -> str:
    """Return a safe text cut to a width in cells, with `…` where something was cut."""
    if width_of(text) <= width:
        return text
    if width < 1:
        return ""
    end = min(len(text), width)
    while end and width_of(text[:end]) > width - 1:
        end -= 1
    return text[:end] + "…"


def padded(text: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks


def _safe_character(character: str) -> str:
    category = unicodedata.category(character)
    if category not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in _HARMLESS:
        return character
    if character in _NAMES:
        return _NAMES[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _time_of(span: dt.timedelta) -> str:
    sign, span = ("-", -span) if span < dt.timedelta(0) else ("", span)
    minutes, seconds = divmod(span.days * 86_400 + span.seconds, 60)
    fraction = f".{span.microseconds:06d}" if span.microseconds else ""
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}"


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def span_text(seconds: float) -> str:
    """Return a span of time >= 0: `3 ms`, `1.25 s`, `14:59` from a minute on, `1:02:03` from an hour on."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return clock_text(seconds)


def clock_text(seconds: float) -> str:
    """Return a span as a clock shows it: `0:07`, `14:59`, `1:02:03`; a part of a second counts as a whole one."""
    whole = -int(-max(seconds, 0.0) // 1)
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def age_text(seconds: float) -> str:
    """Return an age in its largest unit of which there are two: `40 s`, `3 min`, `5 hours`, `12 days`."""
    for unit, name in ((86_400, "day"), (3_600, "hour")):
        if seconds >= 2 * unit:
            return counted(round(seconds / unit), name)
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def until_text(epoch: int) -> str:
    """Return a moment, in seconds since 1970: `2026-01-31 03:04:05 UTC`; whatever number somebody else sent."""
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"second {epoch}"


def size_text(size: int) -> str:
    """Return a number of bytes: `512 B`, `1.5 MiB`; negative for what shrank."""
    value, at = float(size), 0
    while abs(value) >= 1024 and at < len(_UNITS) - 1:
        value, at = value / 1024, at + 1
    unit = _UNITS[at]
    return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 100 else f"{value:.1f} {unit}"


_SIZE = late(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def size_of(text: str) -> int:
    """Return the bytes that a person wrote: `500000`, `64M`, `1.5 GiB`; every unit is a power of 1024.

    Raises:
        ValueError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a size: give bytes, or a number with K, M, G or T")
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " "))


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with `_2`, `_3`, … after those that were there before."""
    taken: set[str] = set()
    unique = []
    for name in names:
        chosen, number = name, 1
        while chosen in taken or (number > 1 and chosen in names):
            number += 1
            chosen = f"{name}_{number}"
        taken.add(chosen)
        unique.append(chosen)
    return tuple(unique)


def counted(number: int, noun: str) -> str:
    """Return a count with its noun: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


FORMATS: tuple[str, ...] = ("table", "vertical", "json", "jsonl", "csv", "tsv", "markdown")
ROW_FORMATS: tuple[str, ...] = ("insert", "update")
"""Rows as statements; see `row_statements`."""
"""Every format that `--format` and `\\format` take."""

_BOX = "│─┼╭╯·"


class StreamStyle(msgspec.Struct, frozen=True, kw_only=True):
    """Colours and width of one stream.

    Attributes:
        terminal: a person's terminal; control characters in data are escaped there.
        decorated: colours and box lines may be used.
        columns: width in character cells, 0 when there is no width to keep to.
    """

    terminal: bool = False
    decorated: bool = False
    columns: int = 0


PLAIN = StreamStyle()
"""A pipe or a file."""


def is_production(environment: str) -> bool:
    """Whether an environment is highlighted as production."""
    return environment.lower() in {"production", "prod", "live"}


def stream_style(stream: TextIO, environ: Mapping[str, str]) -> StreamStyle:
    """Return how to write to a stream.

    `NO_COLOR`, `TERM=dumb`, `SAFECONSOLE_PLAIN` (for screen readers) and an encoding without box
    characters each give a plain terminal. Source: no-color.org.
    """
    if not stream.isatty():
        return PLAIN
    switched_off = (
        environ.get("NO_COLOR") or environ.get("SAFECONSOLE_PLAIN") or environ.get("TERM", "") in {"", "dumb"}
    )
    return StreamStyle(
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


NARROWEST_COLUMNS = 20
"""Below this there is no room for words."""

_HANG = "  "


def in_words(text: str, style: StreamStyle) -> str:
    """Wrap lines at the terminal's width, with continuation lines indented; text for a pipe is unchanged.

    Words that are wider than the terminal stay whole, so that a path can be copied; so does what is drawn already.
    """
    if not style.terminal or style.columns < NARROWEST_COLUMNS or "\x1b" in text:
        return text
    return "\n".join(piece for line in text.split("\n") for piece in _turned(line, style.columns))


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
