"""HTML built from escaped text, and plots of readings over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from safeconsole.audit.record import Sampled
from safeconsole.output.text import safe, safe_lines

VOID = frozenset({"input", "br", "meta", "link", "line", "rect", "polyline", "path", "circle"})
"""Elements without an end tag."""


class Markup(str):
    __slots__ = ()


Child = str | Iterable[str]


def tag(name: str, /, *children: Child, **attributes: str | float | bool) -> Markup:
    """Return an element.

    Args:
        children: texts, which are escaped, and elements, which are not.
        attributes: `class_` is `class`, `_` in a name is `-`; True is a bare attribute, False and "" omit it.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(
            f"<{name}{told}>" if name not in {"line", "rect", "polyline", "path", "circle"} else f"<{name}{told}/>"
        )
    return Markup(f"<{name}{told}>{together(*children)}</{name}>")


def together(*children: Child) -> Markup:
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        # Control and reordering characters are shown as escapes: a reviewer must see what was really asked.
        return escape("\n".join(safe_lines(child)))
    return "".join(_child(one) for one in child)


def _attribute(key: str, value: str | float | bool) -> str:  # noqa: FBT001 - an attribute's value
    if value is False or value == "":
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(safe(str(value)), quote=True)}"'


WIDTH, HEIGHT = 720, 150
LEFT, RIGHT, TOP, BOTTOM = 80, 4, 12, 24
HEADROOM = 1.15
MIB = 1_048_576

Point = tuple[float, float]


def memory_plots(samples: Sequence[Sampled], limits: Mapping[str, float]) -> list[tuple[str, Markup]]:
    """Return titled plots of a statement's session memory and its instance's growth.

    Args:
        samples: of one statement, in order; at least one.
        limits: the ceilings that were in force, by name.
    """
    session = [
        (one.elapsed_seconds, float(one.session_memory_bytes))
        for one in samples
        if one.session_memory_bytes is not None
    ]
    instance = [
        (one.elapsed_seconds, float(one.instance_memory_bytes))
        for one in samples
        if one.instance_memory_bytes is not None
    ]
    grown = [(seconds, max(0.0, held - instance[0][1])) for seconds, held in instance]
    drawn = []
    if session:
        title = f"memory of the session, peak {_peak(session):.1f} MiB"
        drawn.append((title, plot(session, limits.get("session_memory_bytes", 0), title)))
    if grown:
        title = f"growth of the instance, peak {_peak(grown):.1f} MiB over {instance[0][1] / MIB:.1f} MiB"
        drawn.append((title, plot(grown, limits.get("grown_memory_bytes", 0), title)))
    return drawn


def plot(points: Sequence[Point], limit_bytes: float, title: str) -> Markup:
    """Return a plot of MiB over seconds.

    Args:
        points: seconds and bytes, in order; at least one.
        limit_bytes: the ceiling, 0 when unknown.
    """
    seconds = max(moment for moment, _ in points) or 1.0
    top = max(limit_bytes, *(value for _, value in points), 1.0) * HEADROOM
    line = " ".join(f"{_x(moment, seconds):.1f},{_y(value, top)}" for moment, value in points)
    floor = HEIGHT - BOTTOM
    parts = [
        tag("line", x1=LEFT, y1=floor, x2=WIDTH, y2=floor, class_="axis"),
        tag("line", x1=LEFT, y1=TOP, x2=LEFT, y2=floor, class_="axis"),
        tag("polyline", points=line, fill="none"),
        *(tag("circle", cx=round(_x(moment, seconds), 1), cy=_y(value, top), r=2.5) for moment, value in points),
        _label(LEFT - 6, TOP + 8, f"{top / MIB:.1f} MiB", "end"),
        _label(LEFT - 6, floor, "0", "end"),
        _label(WIDTH, HEIGHT - 6, f"{seconds:.1f} s", "end"),
    ]
    if limit_bytes:
        y = _y(limit_bytes, top)
        parts.append(tag("line", x1=LEFT, y1=y, x2=WIDTH, y2=y, class_="limit"))
        parts.append(_label(LEFT + 8, y - 4, f"limit {limit_bytes / MIB:.1f} MiB", "start"))
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)


def _peak(points: Sequence[Point]) -> float:
    return max(value for _, value in points) / MIB


def _x(moment: float, seconds: float) -> float:
    return LEFT + moment / seconds * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)


def _label(x: float, y: float, text: str, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor)
