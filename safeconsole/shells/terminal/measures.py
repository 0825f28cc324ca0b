"""Spans, sizes and counts as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

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


def counted(number: int, noun: str) -> str:
    """Return a count with its noun: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
