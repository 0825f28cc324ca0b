"""Makes of what a server answers to SHOW what a person reads at a glance; how it went is said as for any statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from safeconsole.audit.record import Ended, Record
from safeconsole.cluster.engine import Column, Row
from safeconsole.output.text import clipped, safe, size_text, width_of
from safeconsole.policy.decision import Considered
from safeconsole.policy.watchdog import Sample
from safeconsole.session.protocols import Presenter

HELD_ROWS = 5_000
"""Rows of a server's answer that are looked at; the rest is not shown."""

Table = tuple[tuple[Column, ...], Sequence[Row]]
Reshape = Callable[[Sequence[Mapping[str, Any]]], Table]
"""Takes the rows by the lower-case names of their columns."""


class Shaped:
    """
    Holds a small answer, and shows it in another shape when it is whole.

    Args:
        shown: shows it.
        shape: see `Reshape`.
    """

    def __init__(self, shown: Presenter, shape: Reshape) -> None:
        self._shown = shown
        self._shape = shape
        self._considered: Considered | None = None
        self._columns: tuple[Column, ...] = ()
        self._held: list[Row] = []

    @property
    def wants_text(self) -> bool:
        """Values are wanted as they are."""
        return False

    def waits(self, what: str) -> None:
        """Show what it waits for."""
        self._shown.waits(what)

    def begin(self, considered: Considered, columns: tuple[Column, ...]) -> None:
        """Take the columns."""
        self._considered = considered
        self._columns = columns

    def rows(self, batch: Sequence[Row]) -> None:
        """Take more rows."""
        self._held += batch[: HELD_ROWS - len(self._held)]

    def progress(self, sample: Sample) -> None:
        """Show how it is doing."""
        self._shown.progress(sample)

    def warned(self, _warnings: Sequence[str]) -> None:
        """Say nothing: what the server thinks of the console's own statement is no news to the person."""

    def end(self, ended: Record) -> None:
        """Show all of it."""
        if self._considered is not None:
            columns, rows = self._shaped()
            self._shown.begin(self._considered, columns)
            self._shown.rows(rows)
            if isinstance(ended, Ended):
                ended = replace(ended, rows=len(rows))
        self._shown.end(ended)

    def _shaped(self) -> Table:
        names = [column.name.lower() for column in self._columns]
        try:
            return self._shape([dict(zip(names, row, strict=True)) for row in self._held])
        except (KeyError, ValueError, TypeError):
            # A server that answers otherwise than those it was tried with: as it came is better than not at all.
            return self._columns, self._held


def indexes(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return one line an index, out of SHOW INDEX."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row["key_name"]), []).append(row)
    lines = [
        (
            name,
            ", ".join(map(_indexed, parts)),
            "" if int(parts[0]["non_unique"]) else "yes",
            str(parts[0]["index_type"]) + (", invisible" if _is_hidden(parts[0]) else ""),
            parts[-1]["cardinality"],
        )
        for name, parts in found.items()
    ]
    columns = (_text("index"), _text("columns"), _text("unique"), _text("kind"), _number("different values, about"))
    return columns, lines


def _indexed(part: Mapping[str, Any]) -> str:
    shown = str(part["column_name"] or f"({part.get('expression')})")
    return f"{shown}({part['sub_part']})" if part["sub_part"] else shown


def _is_hidden(part: Mapping[str, Any]) -> bool:
    # MySQL says whether it is visible, MariaDB whether it is ignored.
    return part.get("visible") == "NO" or part.get("ignored") == "YES"


def size(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the size of one table with its units, out of information_schema.tables."""
    columns = (
        _text("table"),
        _text("engine"),
        _number("rows, about"),
        *(_number(name) for name in ("data", "indexes", "free inside")),
    )
    lines = [
        (
            f"{row['table_schema']}.{row['table_name']}",
            row["engine"],
            None if row["estimated_rows"] is None else f"{row['estimated_rows']:,}",
            *(_bytes(row[name]) for name in ("data_length", "index_length", "data_free")),
        )
        for row in rows
    ]
    return columns, lines


def _bytes(count: int | None) -> str | None:
    return None if count is None else size_text(count)


def at_work(columns: int) -> Reshape:
    """
    Return what makes one line a connection at work out of SHOW PROCESSLIST; idle ones are left out.

    Args:
        columns: width of the terminal in cells, 0 for any; the statement is cut to what is left of it.
    """

    def shape(rows: Sequence[Mapping[str, Any]]) -> Table:
        heads = ("id", "user", "schema", "seconds", "state", "statement")
        busy = [row for row in rows if row["command"] != "Sleep" and row["info"] != "SHOW PROCESSLIST"]
        lines = [
            (row["id"], row["user"], row["db"], row["time"], row["state"] or row["command"], _one_line(row["info"]))
            for row in sorted(busy, key=lambda row: -int(row["time"] or 0))
        ]
        if columns:
            taken = sum(_widest([heads[at], *(line[at] for line in lines)]) + 3 for at in range(5))
            room = max(columns - taken - 2, _NARROWEST_STATEMENT)
            lines = [(*line[:5], line[5] and clipped(line[5], room)) for line in lines]
        kinds = (_number, _text, _text, _number, _text, _text)
        return tuple(kind(head) for kind, head in zip(kinds, heads, strict=True)), lines

    return shape


_NARROWEST_STATEMENT = 12


def _widest(values: Sequence[object]) -> int:
    return max(width_of(safe("NULL" if value is None else str(value))) for value in values)


def _one_line(sql: str | None) -> str | None:
    return None if sql is None else " ".join(str(sql).split())


def _text(name: str) -> Column:
    return Column(name=name)


def _number(name: str) -> Column:
    return Column(name=name, numeric=True)
