"""Bars and treemaps."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from safeconsole.output.text import StreamStyle, clipped, in_words, padded, safe, size_text, width_of

_MOST_LABEL, _MOST_BAR, _LEAST_BAR = 48, 30, 6
_LONGEST_NAME, _LONGEST_LINE = 130, 10_000
_DECORATED, _PLAIN = ("█", "▒"), ("#", "=")
_FIRST_TONE, _SECOND_TONE, _DIM, _OFF = "\x1b[36m", "\x1b[34m", "\x1b[2m", "\x1b[0m"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One line.

    Attributes:
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


def bars_text(bars: Sequence[Bar], style: StreamStyle) -> str:
    """Return bars as lines, scaled to the largest; each line ends with a newline."""
    if not bars:
        return ""
    most_label = max(_MOST_LABEL, style.columns // 2) if style.columns else _LONGEST_NAME
    label_width = min(max(width_of(safe(bar.label)) for bar in bars), most_label)
    sizes = [bar.size or size_text(bar.first + bar.second) for bar in bars]
    size_width = max(map(len, sizes))
    room = (style.columns or 120) - label_width - size_width - 6
    bar_width = max(_LEAST_BAR, min(_MOST_BAR, room // 3))
    notes = [_said(bar, room - bar_width if style.columns else _LONGEST_LINE) for bar in bars]
    below = not all(bar.detail in note for bar, note in zip(bars, notes, strict=True))
    largest = max(bar.first + bar.second for bar in bars)
    lines = []
    for bar, size, note in zip(bars, sizes, notes, strict=True):
        label = padded(clipped(safe(bar.label), label_width), label_width)
        shown = "" if below else safe(note)
        shown = f"{_DIM}{shown}{_OFF}" if style.decorated and shown else shown
        line = f"  {label}  {size:>{size_width}} {_drawn(bar, largest, bar_width, style)} {shown}"
        lines.append(line.rstrip() + "\n")
        if below and bar.detail:
            lines.append(in_words(f"      {safe(bar.detail)}", style) + "\n")
    return "".join(lines)


def key_of_bars(first: str, second: str, style: StreamStyle) -> str:
    """Return what the two parts of bars are: `# data, = indexes`."""
    marks = _DECORATED if style.decorated else _PLAIN
    tones = (_FIRST_TONE, _SECOND_TONE) if style.decorated else ("", "")
    drawn = (f"{tone}{mark}{_OFF if tone else ''}" for tone, mark in zip(tones, marks, strict=True))
    return ", ".join(f"{mark} {what}" for mark, what in zip(drawn, (first, second), strict=True))


def _said(bar: Bar, width: int) -> str:
    said = ""
    for note in (bar.detail,) if bar.detail else bar.notes:
        longer = f"{said}, {note}" if said else note
        if width_of(safe(longer)) > width:
            break
        said = longer
    return said


def _drawn(bar: Bar, largest: int, width: int, style: StreamStyle) -> str:
    total = bar.first + bar.second
    cells = max(1, round(width * total / largest)) if total else 0
    first = round(cells * bar.first / total) if total else 0
    marks = _DECORATED if style.decorated else _PLAIN
    blanks = " " * (width - cells)
    if not style.decorated:
        return marks[0] * first + marks[1] * (cells - first) + blanks
    return f"{_FIRST_TONE}{marks[0] * first}{_SECOND_TONE}{marks[1] * (cells - first)}{_OFF}{blanks}"


# Squarified: rows of boxes as near to squares as they get. Source: Bruls, Huizing, van Wijk, "Squarified Treemaps",
# 2000.


WIDTH, HEIGHT = 1600.0, 900.0
_HEADING, _GAP = 23.0, 3.0
_LETTER_WIDTH, _LINE_HEIGHT = 8.6, 16.5


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One box.

    Attributes:
        weight: its area, > 0.
        detail: shown when the pointer rests on it.
        marked: drawn as what stands out.
    """

    label: str
    weight: int
    detail: str = ""
    marked: bool = False


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    leaves: tuple[Leaf, ...]

    @property
    def weight(self) -> int:
        return sum(leaf.weight for leaf in self.leaves)


class Area(msgspec.Struct, frozen=True, kw_only=True):
    x: float
    y: float
    width: float
    height: float


def treemap_page(title: str, notes: Sequence[str], branches: Sequence[Branch], *, key: str = "") -> str:
    """Return an HTML page with a treemap; leaves without weight are left out.

    Args:
        key: says what is marked, or "" where nothing is.
    """
    ordered = sorted((branch for branch in branches if branch.weight > 0), key=lambda branch: -branch.weight)
    whole = Area(x=0.0, y=0.0, width=WIDTH, height=HEIGHT)
    drawn = "".join(
        _branch(branch, area, number % len(_TONES))
        for number, (branch, area) in enumerate(
            zip(ordered, squarified([branch.weight for branch in ordered], whole), strict=True)
        )
    )
    listed = "".join(f"<li>{_text(note)}</li>" for note in notes)
    if key:
        listed += f'<li class="key">{_text(key)}</li>'
    return _PAGE.format(title=_text(title), notes=listed, width=WIDTH, height=HEIGHT, drawn=drawn)


def squarified(weights: Sequence[int], area: Area) -> Iterator[Area]:
    """Yield one area for each weight, in order; weights are > 0 and descending."""
    rest, left, at = area, sum(weights), 0
    while at < len(weights):
        side, scale = min(rest.width, rest.height), rest.width * rest.height / left
        end = at + 1
        while end < len(weights) and _worst(weights[at : end + 1], scale, side) <= _worst(weights[at:end], scale, side):
            end += 1
        row, sideways = weights[at:end], rest.width >= rest.height
        taken = sum(row)
        strip, before = _share(rest, 0, taken, left, sideways=sideways), 0
        for weight in row:
            yield _share(strip, before, weight, taken, sideways=not sideways)
            before += weight
        rest = _share(rest, taken, left - taken, left, sideways=sideways)
        left, at = left - taken, end


def _worst(row: Sequence[int], scale: float, side: float) -> float:
    total = sum(row) * scale
    if total <= 0 or side <= 0:
        return float("inf")
    largest, smallest = max(row) * scale, min(row) * scale
    return max(side * side * largest / (total * total), total * total / (side * side * smallest))


def _share(area: Area, before: int, weight: int, whole: int, *, sideways: bool) -> Area:
    """Return the part of an area that a weight has of the whole, behind what comes before it.

    Every length is a share of whole numbers, so none is over 1. A length that was left by subtraction could be
    nothing but rounding error, and an area that is divided by it lies outside.
    """
    start, share = before / whole, weight / whole
    if sideways:
        return replace(area, x=area.x + area.width * start, width=area.width * share)
    return replace(area, y=area.y + area.height * start, height=area.height * share)


def _branch(branch: Branch, area: Area, tone: int) -> str:
    area = _within(area, _GAP / 2)
    inner = Area(
        x=area.x + _GAP,
        y=area.y + _HEADING,
        width=max(area.width - 2 * _GAP, 0.0),
        height=max(area.height - _HEADING - _GAP, 0.0),
    )
    leaves = sorted((leaf for leaf in branch.leaves if leaf.weight > 0), key=lambda leaf: -leaf.weight)
    places = squarified([leaf.weight for leaf in leaves], inner)
    boxes = "".join(_leaf(leaf, place, tone) for leaf, place in zip(leaves, places, strict=True))
    heading = _whole(f"{branch.label}  {size_text(branch.weight)}", area.width) or _fitting(branch.label, area.width)
    return (
        f"<g><title>{_text(f'{branch.label}: {size_text(branch.weight)}')}</title>{_rectangle(area, 'branch')}"
        f'<text x="{area.x + 5:.1f}" y="{area.y + 17:.1f}" class="heading">{heading}</text>{boxes}</g>'
    )


def _within(area: Area, margin: float) -> Area:
    width, height = max(area.width - 2 * margin, 0.0), max(area.height - 2 * margin, 0.0)
    return Area(x=area.x + margin, y=area.y + margin, width=width, height=height)


def _leaf(leaf: Leaf, area: Area, tone: int) -> str:
    kind = "leaf marked" if leaf.marked else f"leaf t{tone}"
    tip = f"<title>{_text(f'{leaf.label}: {size_text(leaf.weight)}. {leaf.detail}')}</title>"
    words = ""
    if area.height > 2 * _LINE_HEIGHT:
        # A size that is cut is another size.
        lines = (_fitting(leaf.label, area.width), _whole(size_text(leaf.weight), area.width))
        words = "".join(
            f'<text x="{area.x + 5:.1f}" y="{area.y + _LINE_HEIGHT * line + 1:.1f}">{text}</text>'
            for line, text in enumerate(lines, start=1)
            if text
        )
    return f"<g>{tip}{_rectangle(area, kind)}{words}</g>"


def _rectangle(area: Area, kind: str) -> str:
    size = f'width="{area.width:.1f}" height="{area.height:.1f}"'
    return f'<rect x="{area.x:.1f}" y="{area.y:.1f}" {size} class="{kind}"/>'


def _whole(text: str, width: float) -> str:
    return _text(text) if len(safe(text)) * _LETTER_WIDTH <= width - 8 else ""


def _fitting(text: str, width: float) -> str:
    letters = int((width - 8) / _LETTER_WIDTH)
    shown = safe(text)
    if letters < 4:
        return ""
    return _text(shown if len(shown) <= letters else shown[: letters - 1] + "…")


def _text(text: str) -> str:
    return html.escape(safe(text))


_TONES = (("#4a6a8a", "#2f4a66"), ("#50718c", "#354f68"), ("#5b6590", "#3d466e"), ("#48757f", "#2e545c"))
_MARKED = ("#b4471c", "#a8431d")
_LIGHT, _DARK = (
    "".join(f".t{number}{{fill:{tone[at]}}}" for number, tone in enumerate(_TONES)) + f".marked{{fill:{_MARKED[at]}}}"
    for at in (0, 1)
)
_STYLE = f"""
:root{{color-scheme:light dark}}
body{{margin:1.5rem;font:14px/1.5 system-ui,sans-serif;background:#fff;color:#1f2933}}
h1{{font-size:1.3rem;font-weight:600;margin:0 0 .25rem}}
ul{{list-style:none;margin:0 0 1rem;padding:0;color:#5a6672}}
li.key::before{{content:"";display:inline-block;width:.8em;height:.8em;margin-right:.5em;background:{_MARKED[0]}}}
svg{{width:100%;height:auto;display:block}}
text{{font:14px system-ui,sans-serif;fill:#fff;pointer-events:none}}
.heading{{fill:#1f2933;font-weight:600}}
.branch{{fill:#e8ecf0}}
.leaf{{stroke:#e8ecf0;stroke-width:1}}
.leaf:hover{{stroke:#fff;stroke-width:2}}
{_LIGHT}
@media (prefers-color-scheme: dark){{
body{{background:#14181d;color:#dfe5eb}}
ul{{color:#93a0ad}}
.heading{{fill:#dfe5eb}}
.branch{{fill:#222a33}}
.leaf{{stroke:#222a33}}
{_DARK}
}}
"""
_PAGE = (
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>"""
    + _STYLE.replace("{", "{{").replace("}", "}}")
    + """</style></head><body>
<h1>{title}</h1><ul>{notes}</ul>
<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{title}">{drawn}</svg>
</body></html>
"""
)
