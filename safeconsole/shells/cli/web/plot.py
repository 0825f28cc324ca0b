"""A statement's memory over time as a drawing, with the limit that was in force."""

from __future__ import annotations

from collections.abc import Sequence

from safeconsole.core.record import Sampled
from safeconsole.shells.cli.web.markup import Markup, tag

WIDTH, HEIGHT = 720, 180
LEFT, TOP, BOTTOM = 80, 12, 24
SERIES = (("session_memory_bytes", "session", "series-a"), ("instance_memory_bytes", "instance", "series-b"))
MIB = 1_048_576


def memory_plot(samples: Sequence[Sampled], limit_bytes: float) -> Markup:
    """
    Return a drawing of what a statement's session and its instance held, in MiB over seconds.

    Args:
        samples: of one statement, in order; at least one.
        limit_bytes: the session's ceiling, 0 when it is not known.
    """
    seconds = max(sample.elapsed_seconds for sample in samples) or 1.0
    shown = [series for series in SERIES if any(getattr(sample, series[0]) is not None for sample in samples)]
    # The instance holds gigabytes where the session holds megabytes: each has its own scale.
    top = max([limit_bytes, *(_values(samples, "session_memory_bytes"))], default=1.0) or 1.0
    parts: list[str] = [
        tag("line", x1=LEFT, y1=HEIGHT - BOTTOM, x2=WIDTH, y2=HEIGHT - BOTTOM, class_="axis"),
        tag("line", x1=LEFT, y1=TOP, x2=LEFT, y2=HEIGHT - BOTTOM, class_="axis"),
        _label(LEFT - 6, TOP + 8, f"{top / MIB:.1f} MiB", "end"),
        _label(LEFT - 6, HEIGHT - BOTTOM, "0", "end"),
        _label(WIDTH, HEIGHT - 6, f"{seconds:.1f} s", "end"),
    ]
    if limit_bytes:
        y = _y(limit_bytes, top)
        parts.append(tag("line", x1=LEFT, y1=y, x2=WIDTH, y2=y, class_="limit"))
        parts.append(_label(WIDTH, y + 12, f"limit of the session: {limit_bytes / MIB:.1f} MiB", "end"))
    for at, (name, title, style) in enumerate(shown):
        scale = top if name == "session_memory_bytes" else max(_values(samples, name)) or 1.0
        points = " ".join(
            f"{LEFT + sample.elapsed_seconds / seconds * (WIDTH - LEFT):.1f},{_y(value, scale):.1f}"
            for sample in samples
            if (value := getattr(sample, name)) is not None
        )
        parts.append(tag("polyline", points=points, class_=style, fill="none"))
        peak = max(_values(samples, name))
        parts.append(_label(LEFT + 8, TOP + 10 + 14 * at, f"{title}: peak {peak / MIB:.1f} MiB", "start", style))
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label="memory over time")


def _values(samples: Sequence[Sampled], name: str) -> list[int]:
    return [value for sample in samples if (value := getattr(sample, name)) is not None]


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)


def _label(x: float, y: float, text: str, anchor: str, style: str = "") -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=style)
