"""
A geometry as people write it: the server's own form is a number of the reference system, then well-known binary.

Source: MySQL 9.7 reference manual, "Internal Geometry Storage Format"; OGC 06-103r4, "Well-known Binary"; MySQL 9.7
and MariaDB 10.11, measured. Coordinates stand in the order in which they are stored, which for system 4326 is longitude
first; `ST_AsText` of MySQL turns them round there.
"""

from __future__ import annotations

import struct

SHOWN_CHARACTERS = 200
"""A longer text is cut: who wants every corner of a coast line exports it."""

_NAMES = {
    1: "POINT",
    2: "LINESTRING",
    3: "POLYGON",
    4: "MULTIPOINT",
    5: "MULTILINESTRING",
    6: "MULTIPOLYGON",
    7: "GEOMETRYCOLLECTION",
}
_DEEPEST = 16


def geometry_text(value: bytes) -> str | None:
    """Return a geometry as well-known text, its reference system before it unless it has none; None when it is none."""
    if len(value) < 9:
        return None
    (system,) = struct.unpack_from("<I", value)
    try:
        text, end = _geometry(value, 4, 0)
    except (struct.error, ValueError):
        return None
    if end != len(value):
        return None
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}… ({len(value):,} bytes)"
    return f"SRID={system};{text}" if system else text


def _geometry(value: bytes, at: int, depth: int) -> tuple[str, int]:
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
        inner, at = _points(value, at, order, 1)
    elif kind == 2:
        inner, at = _line(value, at, order)
    elif kind == 3:
        inner, at = _rings(value, at, order)
    else:
        inner, at = _parts(value, at, order, depth, bare=kind != 7)
    return (f"{name}({inner})" if inner else f"{name} EMPTY"), at


def _count(value: bytes, at: int, order: str, smallest: int) -> int:
    """Return how many things follow; more than there is room for is no geometry."""
    (count,) = struct.unpack_from(f"{order}I", value, at)
    if count * smallest > len(value) - at - 4:
        raise ValueError("it says to hold more than it does")
    return int(count)


def _points(value: bytes, at: int, order: str, count: int) -> tuple[str, int]:
    numbers = struct.unpack_from(f"{order}{2 * count}d", value, at)
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return ",".join(f"{_number(x)} {_number(y)}" for x, y in pairs), at + 16 * count


def _line(value: bytes, at: int, order: str) -> tuple[str, int]:
    return _points(value, at + 4, order, _count(value, at, order, 16))


def _rings(value: bytes, at: int, order: str) -> tuple[str, int]:
    count, at, rings = _count(value, at, order, 4), at + 4, []
    for _ in range(count):
        ring, at = _line(value, at, order)
        rings.append(f"({ring})")
    return ",".join(rings), at


def _parts(value: bytes, at: int, order: str, depth: int, *, bare: bool) -> tuple[str, int]:
    count, at, parts = _count(value, at, order, 5), at + 4, []
    for _ in range(count):
        part, at = _geometry(value, at, depth + 1)
        parts.append(part[part.index("(") :] if bare and "(" in part else part)
    return ",".join(parts), at


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
