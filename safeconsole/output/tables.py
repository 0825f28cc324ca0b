"""Rows as tables a person reads, geometry included."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from textwrap import wrap
from typing import TextIO

import msgspec

from safeconsole.cluster.engine import Column, Row
from safeconsole.output.text import StreamStyle, padded, safe, safe_lines, shown, width_of

# Source: MySQL 9.7 reference manual, "Internal Geometry Storage Format"; OGC 06-103r4, "Well-known Binary"; MySQL 9.7
# and MariaDB 10.11, measured. The longitude is stored first. `ST_AsText` of MariaDB writes what is stored, MySQL's
# turns it round in a geographic system that is defined so.


SHOWN_CHARACTERS = 200
"""A longer text is truncated; an export has it all."""

_NAMES = {
    1: "POINT",
    2: "LINESTRING",
    3: "POLYGON",
    4: "MULTIPOINT",
    5: "MULTILINESTRING",
    6: "MULTIPOLYGON",
    7: "GEOMETRYCOLLECTION",
}
_OF_PARTS = re.compile(r"[A-Z]+(?=\()")
_DEEPEST = 16
_LARGEST_DEFINED = 32_767
"""The greatest number of a reference system that the server defines itself; how others turn their axes is not known."""

# Numbers that lie between two of these and are none are of no reference system.
# Source: MySQL 9.7, information_schema.st_spatial_reference_systems, measured: AXIS["Lat",NORTH] is the first axis.
_LATITUDE_FIRST = (
    (3819, 3824), (3889, 3889), (3906, 3906), (4001, 4025), (4027, 4036), (4041, 4047), (4052, 4054), (4075, 4081),
    (4120, 4216), (4218, 4326), (4463, 4463), (4470, 4470), (4475, 4483), (4490, 4490), (4555, 4558), (4600, 4646),
    (4657, 4765), (4801, 4811), (4813, 4821), (4823, 4824), (4901, 5013), (5132, 5132), (5228, 5233), (5246, 5246),
    (5252, 5252), (5264, 5264), (5324, 5324), (5340, 5340), (5354, 5354), (5360, 5360), (5365, 5365), (5371, 5381),
    (5393, 5393), (5451, 5451), (5464, 5467), (5489, 5489), (5524, 5527), (5546, 5546), (5561, 5561), (5593, 5593),
    (5681, 5681), (5886, 5886), (6135, 6135), (6207, 6207), (6311, 6311), (6318, 6325), (6365, 6365), (6668, 6668),
    (6706, 6706), (6783, 6783), (6881, 6883), (6892, 6894), (6983, 6983), (6990, 6990), (7073, 7073), (7136, 7139),
    (7373, 7373), (7683, 7686), (7798, 7798), (7844, 7844), (7881, 7881), (7886, 7886), (8042, 8043), (8086, 8086),
    (8232, 8255), (8351, 8351), (8427, 8431), (8449, 8449), (8545, 8545), (8685, 8685), (8818, 8818), (8860, 8900),
    (8907, 8907), (8972, 9019), (9053, 9140),
)  # fmt: skip


def geometry_text(value: bytes, *, latitude_first: bool = False) -> str | None:
    """Return a geometry as well-known text, its reference system before it unless it has none; None when it is none.

    Args:
        latitude_first: whether its server writes latitudes first where a reference system does, as MySQL; then a system
            that somebody defined has no text here.
    """
    if len(value) < 9:
        return None
    (system,) = struct.unpack_from("<I", value)
    if latitude_first and system > _LARGEST_DEFINED:
        return None
    turned = latitude_first and any(first <= system <= last for first, last in _LATITUDE_FIRST)
    try:
        text, end = _geometry(value, 4, 0, turned=turned)
    except (struct.error, ValueError):
        return None
    if end != len(value):
        return None
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}… ({len(value):,} bytes)"
    return f"SRID={system};{text}" if system else text


def _geometry(value: bytes, at: int, depth: int, *, turned: bool) -> tuple[str, int]:
    """Return a geometry's text and where it ends. Raises struct.error, ValueError."""
    order = {0: ">", 1: "<"}.get(value[at] if at < len(value) else -1)
    if order is None or depth > _DEEPEST:
        raise ValueError("no well-known binary")
    (kind,) = struct.unpack_from(f"{order}I", value, at + 1)
    name = _NAMES.get(kind)
    if name is None:
        raise ValueError(f"no geometry is of kind {kind}")
    at += 5
    if kind == 1:
        inner, at = _points(value, at, order, 1, turned=turned)
    elif kind == 2:
        inner, at = _line(value, at, order, turned=turned)
    elif kind == 3:
        inner, at = _rings(value, at, order, turned=turned)
    else:
        inner, at = _parts(value, at, order, depth, turned=turned)
        if kind != 7:
            inner = _OF_PARTS.sub("", inner)
    return (f"{name}({inner})" if inner else f"{name} EMPTY"), at


def _count(value: bytes, at: int, order: str, smallest: int) -> int:
    (count,) = struct.unpack_from(f"{order}I", value, at)
    if count * smallest > len(value) - at - 4:
        raise ValueError("it says to hold more than it does")
    return int(count)


def _points(value: bytes, at: int, order: str, count: int, *, turned: bool) -> tuple[str, int]:
    numbers = struct.unpack_from(f"{order}{2 * count}d", value, at)
    pairs = zip(numbers[turned::2], numbers[not turned :: 2], strict=True)
    return ",".join(f"{_number(x)} {_number(y)}" for x, y in pairs), at + 16 * count


def _line(value: bytes, at: int, order: str, *, turned: bool) -> tuple[str, int]:
    return _points(value, at + 4, order, _count(value, at, order, 16), turned=turned)


def _rings(value: bytes, at: int, order: str, *, turned: bool) -> tuple[str, int]:
    count, at, rings = _count(value, at, order, 4), at + 4, []
    for _ in range(count):
        ring, at = _line(value, at, order, turned=turned)
        rings.append(f"({ring})")
    return ",".join(rings), at


def _parts(value: bytes, at: int, order: str, depth: int, *, turned: bool) -> tuple[str, int]:
    count, at, parts = _count(value, at, order, 5), at + 4, []
    for _ in range(count):
        part, at = _geometry(value, at, depth + 1, turned=turned)
        parts.append(part)
    return ",".join(parts), at


_MOST_DIGITS, _WIDEST = 15, 25


def _number(value: float) -> str:
    """Return a number as `ST_AsText` writes it: the fewest digits that read back, with an exponent where it is long.

    Source: MySQL 9.7, strings/dtoa.cc, my_gcvt; measured.
    """
    decimal = Decimal(repr(value))
    digits = len(decimal.normalize().as_tuple().digits)
    point = decimal.adjusted() + 1
    width = digits + 2 - point if point <= 0 else max(point, digits + 1)
    if (-_MOST_DIGITS < point <= _MOST_DIGITS and width <= _WIDEST) or _MOST_DIGITS < point < digits or not value:
        fixed = format(decimal, "f")
        return fixed.removesuffix(".0")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


SAMPLED_ROWS = 1_000
"""Rows held back to find the columns' widths; later rows that are wider stand out of line, and nothing is cut."""

_BOLD, _DIM, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class TableWriter:
    """Aligned columns; turns vertical when the sampled rows do not fit the terminal."""

    def __init__(self, columns: Sequence[Column], stream: TextIO, style: StreamStyle) -> None:
        self._columns = columns
        self._stream = stream
        self._style = style
        self._held: list[Row] = []
        self._body: _Grid | VerticalWriter | _Nothing | None = None

    def rows(self, batch: Sequence[Row]) -> None:
        """Write rows, or hold them until there are enough to compute the column widths."""
        if self._body is not None:
            self._body.rows(batch)
            return
        self._held.extend(batch)
        if len(self._held) >= SAMPLED_ROWS:
            self._start()

    def end(self, note: str = "", /) -> None:
        body = self._body or self._start()
        body.end(note)

    abandon = end

    def _start(self) -> _Grid | VerticalWriter | _Nothing:
        names = [safe(column.name) for column in self._columns]
        widths = [width_of(name) for name in names]
        show = [_shower(column) for column in self._columns]
        for row in self._held[:SAMPLED_ROWS]:
            cells = zip(widths, row, show, strict=True)
            widths = [max(width, width_of(shown_as(value))) for width, value, shown_as in cells]
        total = sum(widths) + 3 * len(widths) - (1 if self._style.decorated else 2)
        if self._style.columns and total > self._style.columns and not self._held:
            # Nothing stands below the names: on one line they would only be folded.
            self._stream.write("\n".join(wrap(f"columns: {', '.join(names)}", self._style.columns)) + "\n")
            self._body = _Nothing()
            return self._body
        self._body = (
            VerticalWriter(self._columns, self._stream, self._style)
            if self._style.columns and total > self._style.columns and self._held
            else _Grid(self._columns, widths, self._stream, self._style)
        )
        self._body.rows(self._held)
        self._held = []
        return self._body


class _Nothing:
    """A result without rows, whose columns were named already."""

    def rows(self, batch: Sequence[Row]) -> None: ...

    def end(self, note: str = "", /) -> None: ...

    abandon = end


class _Grid:
    """Aligned rows of known widths."""

    def __init__(self, columns: Sequence[Column], widths: Sequence[int], stream: TextIO, style: StreamStyle) -> None:
        self._stream = stream
        self._style = style
        self._right = [column.numeric for column in columns]
        self._show = [_shower(column) for column in columns]
        self._json = [style.decorated and column.type_name == "json" for column in columns]
        self._widths = widths
        self._gap = " │ " if style.decorated else "  "
        cells = (f"%{width}s" if right else f"%-{width}s" for width, right in zip(widths, self._right, strict=True))
        self._plain = None if style.decorated else self._gap.join(cells)
        names = [
            padded(safe(column.name), width, right=column.numeric)
            for column, width in zip(columns, widths, strict=True)
        ]
        self._write(self._bold(names))
        rule = "─" if style.decorated else "-"
        cross = "─┼─" if style.decorated else "  "
        edge = rule if style.decorated else ""
        stream.write(edge + cross.join(rule * width for width in widths) + edge + "\n")

    def rows(self, batch: Sequence[Row]) -> None:
        if self._plain is not None and _is_plain(batch):
            line = self._plain
            self._stream.write("".join([(line % tuple(row)).rstrip(" ") + "\n" for row in batch]))
            return
        for row in batch:
            cells = zip(row, self._show, self._widths, self._right, strict=True)
            texts = [self._cell(value, show(value), width, right=right) for value, show, width, right in cells]
            self._write([coloured(text) if json else text for text, json in zip(texts, self._json, strict=True)])

    def end(self, note: str = "", /) -> None:
        if note:
            self._stream.write(f"({note})\n")

    abandon = end

    def _cell(self, value: object, shown_text: str, width: int, *, right: bool) -> str:
        text = padded(shown_text, width, right=right)
        return f"{_DIM}{text}{_OFF}" if value is None and self._style.decorated else text

    def _bold(self, names: list[str]) -> list[str]:
        return [f"{_BOLD}{name}{_OFF}" for name in names] if self._style.decorated else names

    def _write(self, cells: list[str]) -> None:
        edge = " " if self._style.decorated else ""
        self._stream.write((edge + self._gap.join(cells)).rstrip(" ") + "\n")


def _is_plain(batch: Sequence[Row]) -> bool:
    """Whether the rows are texts that are shown as they are, one character a cell: no NULL, nothing to escape."""
    try:
        text = "".join(chain.from_iterable(batch))
    except TypeError:
        return False
    return text.isascii() and text.isprintable()


class VerticalWriter:
    """One line a value, under a line that numbers the row; lines of a long text stay below each other."""

    def __init__(self, columns: Sequence[Column], stream: TextIO, style: StreamStyle) -> None:
        self._stream = stream
        self._style = style
        names = [safe(column.name) for column in columns]
        width = max(map(width_of, names), default=0)
        self._names = [padded(name, width, right=True) for name in names]
        self._show = [_shower(column) for column in columns]
        self._indent = " " * (width + 2)
        self._number = 0

    def rows(self, batch: Sequence[Row]) -> None:
        for row in batch:
            self._number += 1
            self._stream.write(self._heading())
            for name, show, value in zip(self._names, self._show, row, strict=True):
                self._stream.write(f"{self._bold(name)}: {self._value(value, show)}\n")

    def end(self, note: str = "", /) -> None:
        if note:
            self._stream.write(f"({note})\n")

    abandon = end

    def _heading(self) -> str:
        if self._style.decorated:
            return f"{_DIM}{f'── row {self._number} '.ljust(40, '─')}{_OFF}\n"
        return f"{'*' * 15} {self._number}. row {'*' * 15}\n"

    def _bold(self, name: str) -> str:
        return f"{_BOLD}{name}{_OFF}" if self._style.decorated else name

    def _value(self, value: object, show: Callable[[object], str]) -> str:
        between = f"\n{self._indent}"
        if isinstance(value, str) and "\n" in value:
            return between.join(safe_lines(value))
        # In MariaDB a JSON column is one of text: what is a document is shown as one, wherever it stands.
        if isinstance(value, str) and is_document(value):
            lines = [safe(line) for line in pretty(value)]
            return between.join([coloured(line) for line in lines] if self._style.decorated else lines)
        text = show(value)
        return f"{_DIM}{text}{_OFF}" if value is None and self._style.decorated else text


def _shower(column: Column) -> Callable[[object], str]:
    if column.type_name != "geometry":
        return shown

    def geometry(value: object) -> str:
        text = geometry_text(value, latitude_first=column.latitude_first) if isinstance(value, bytes) else None
        return text or shown(value)

    return geometry


# JSON for a person: one thing a line, coloured. Nothing is parsed into values and written again: that would round
# numbers and lose doubled names.

LARGEST_CHARACTERS = 100_000
"""A longer document is shown as it is."""

NARROW_CHARACTERS = 60
"""A JSON value this short without nested containers stays on one line."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_COLOURED = re.compile(r'(?P<name>"(?:[^"\\]|\\.)*+")(?=\s*:)|(?P<text>"(?:[^"\\]|\\.)*+")|(?P<word>[^\s{}\[\]:,"]+)')
_WORDS = {"true", "false", "null"}
_NAME, _TEXT, _NUMBER, _WORD = "\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[33m"


def is_document(text: str) -> bool:
    if text[:1] not in {"{", "["} or "\n" in text or len(text) > LARGEST_CHARACTERS:
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def pretty(text: str) -> list[str]:
    """Return a document's lines; `is_document` MUST hold of it."""
    return list(_lines(_TOKENS.findall(text)))


def coloured(line: str) -> str:
    """Return an escaped line of JSON with colours."""
    return _COLOURED.sub(_colour, line)


def _colour(match: re.Match[str]) -> str:
    found = match.group()
    if match.lastgroup == "word":
        return f"{_WORD if found in _WORDS else _NUMBER}{found}{_OFF}"
    return f"{_NAME if match.lastgroup == 'name' else _TEXT}{found}{_OFF}"


def _lines(pieces: list[str]) -> Iterator[str]:
    depth, line, at = 0, "", 0
    while at < len(pieces):
        piece = pieces[at]
        end = _flat_end(pieces, at) if piece in {"{", "["} else None
        if end is not None:
            line += _joined(pieces[at : end + 1])
            at = end
        elif piece in {"{", "["}:
            yield "  " * depth + line + piece
            depth, line = depth + 1, ""
        elif piece in {"}", "]"}:
            if line:
                yield "  " * depth + line
            depth, line = depth - 1, piece
        elif piece == ",":
            yield "  " * depth + line + ","
            line = ""
        else:
            line += ": " if piece == ":" else piece
        at += 1
    if line:
        yield "  " * depth + line


def _flat_end(pieces: list[str], at: int) -> int | None:
    length = 0
    for end in range(at + 1, len(pieces)):
        piece = pieces[end]
        length += len(piece) + 1
        if piece in {"{", "["} or length > NARROW_CHARACTERS:
            return None
        if piece in {"}", "]"}:
            return end
    return None


def _joined(pieces: list[str]) -> str:
    return "".join(f"{piece} " if piece in {",", ":"} else piece for piece in pieces)
