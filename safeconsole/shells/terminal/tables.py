"""Rows for a person: an aligned table, or one line a value where rows are wider than the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from safeconsole.interfaces import Column, Row
from safeconsole.shells.terminal.cells import padded, safe, safe_lines, shown, width_of
from safeconsole.shells.terminal.looks import Look

SAMPLED_ROWS = 1_000
"""Rows held back to find the columns' widths; later rows that are wider stand out of line, and nothing is cut."""

_BOLD, _DIM, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class TableWriter:
    """Aligned columns; turns vertical when the sampled rows do not fit the terminal."""

    def __init__(self, columns: Sequence[Column], stream: TextIO, look: Look) -> None:
        self._columns = columns
        self._stream = stream
        self._look = look
        self._held: list[Row] = []
        self._body: _Grid | VerticalWriter | None = None

    def rows(self, batch: Sequence[Row]) -> None:
        """Write more rows, or hold them until enough are there to find the widths."""
        if self._body is not None:
            self._body.rows(batch)
            return
        self._held.extend(batch)
        if len(self._held) >= SAMPLED_ROWS:
            self._start()

    def end(self, note: str = "", /) -> None:
        """Write what was held, and why the result is short."""
        body = self._body or self._start()
        body.end(note)

    abandon = end

    def _start(self) -> _Grid | VerticalWriter:
        names = [safe(column.name) for column in self._columns]
        widths = [width_of(name) for name in names]
        for row in self._held[:SAMPLED_ROWS]:
            widths = [max(width, width_of(shown(value))) for width, value in zip(widths, row, strict=True)]
        total = sum(widths) + 3 * len(widths) - (1 if self._look.decorated else 2)
        self._body = (
            VerticalWriter(self._columns, self._stream, self._look)
            if self._look.columns and total > self._look.columns and self._held
            else _Grid(self._columns, widths, self._stream, self._look)
        )
        self._body.rows(self._held)
        self._held = []
        return self._body


class _Grid:
    """Aligned rows of known widths."""

    def __init__(self, columns: Sequence[Column], widths: Sequence[int], stream: TextIO, look: Look) -> None:
        self._stream = stream
        self._look = look
        self._right = [column.numeric for column in columns]
        self._widths = widths
        self._gap = " │ " if look.decorated else "  "
        names = [
            padded(safe(column.name), width, right=column.numeric)
            for column, width in zip(columns, widths, strict=True)
        ]
        self._write(self._bold(names))
        rule = "─" if look.decorated else "-"
        cross = "─┼─" if look.decorated else "  "
        edge = rule if look.decorated else ""
        stream.write(edge + cross.join(rule * width for width in widths) + edge + "\n")

    def rows(self, batch: Sequence[Row]) -> None:
        """Write more rows."""
        for row in batch:
            cells = zip(row, self._widths, self._right, strict=True)
            self._write([self._cell(value, width, right=right) for value, width, right in cells])

    def end(self, note: str = "", /) -> None:
        """Say below the rows why there are no more."""
        if note:
            self._stream.write(f"({note})\n")

    abandon = end

    def _cell(self, value: object, width: int, *, right: bool) -> str:
        text = padded(shown(value), width, right=right)
        return f"{_DIM}{text}{_OFF}" if value is None and self._look.decorated else text

    def _bold(self, names: list[str]) -> list[str]:
        return [f"{_BOLD}{name}{_OFF}" for name in names] if self._look.decorated else names

    def _write(self, cells: list[str]) -> None:
        edge = " " if self._look.decorated else ""
        self._stream.write((edge + self._gap.join(cells)).rstrip(" ") + "\n")


class VerticalWriter:
    """One line a value, under a line that numbers the row; lines of a long text stay below each other."""

    def __init__(self, columns: Sequence[Column], stream: TextIO, look: Look) -> None:
        self._stream = stream
        self._look = look
        names = [safe(column.name) for column in columns]
        width = max(map(width_of, names), default=0)
        self._names = [padded(name, width, right=True) for name in names]
        self._indent = " " * (width + 2)
        self._number = 0

    def rows(self, batch: Sequence[Row]) -> None:
        """Write more rows."""
        for row in batch:
            self._number += 1
            self._stream.write(self._heading())
            for name, value in zip(self._names, row, strict=True):
                self._stream.write(f"{self._bold(name)}: {self._value(value)}\n")

    def end(self, note: str = "", /) -> None:
        """Say below the rows why there are no more."""
        if note:
            self._stream.write(f"({note})\n")

    abandon = end

    def _heading(self) -> str:
        if self._look.decorated:
            return f"{_DIM}{f'── row {self._number} '.ljust(40, '─')}{_OFF}\n"
        return f"{'*' * 15} {self._number}. row {'*' * 15}\n"

    def _bold(self, name: str) -> str:
        return f"{_BOLD}{name}{_OFF}" if self._look.decorated else name

    def _value(self, value: object) -> str:
        if isinstance(value, str) and "\n" in value:
            return f"\n{self._indent}".join(safe_lines(value))
        text = shown(value)
        return f"{_DIM}{text}{_OFF}" if value is None and self._look.decorated else text
