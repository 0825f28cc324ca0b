"""Makes of what a server answers to SHOW what a person reads at a glance; how it went is said as for any statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from safeconsole.cluster.engine import Column, Row
from safeconsole.output.presenting import ResultPrinter
from safeconsole.output.text import clipped, safe, size_text, width_of
from safeconsole.session.result import Result

HELD_ROWS = 5_000
"""Rows of a server's answer that are looked at; the rest is not shown."""

Table = tuple[tuple[Column, ...], Sequence[Row]]
Reshape = Callable[[Sequence[Mapping[str, Any]]], Table]
"""Takes the rows by the lower-case names of their columns."""


def show_shaped(printer: ResultPrinter, result: Result, shape: Reshape) -> None:
    """
    Read a small answer whole, and show it in another shape; how it went is said as for any statement.

    What the server warned of is left out: what it thinks of the console's own statement is no news to the person.
    """
    rows: list[Row] = []
    try:
        with result:
            for batch in result:
                rows += batch[: HELD_ROWS - len(rows)]
    finally:
        columns, shaped = _shaped(result.columns, rows, shape)
        printer.begin(result.considered, columns)
        printer.rows(shaped)
        printer.end(replace(result.ended, rows=len(shaped)) if result.ended else None)


def _shaped(columns: tuple[Column, ...], held: Sequence[Row], shape: Reshape) -> Table:
    """Return the answer in its other shape; as it came, when it is shaped otherwise than was thought."""
    names = [column.name.lower() for column in columns]
    try:
        return shape([dict(zip(names, row, strict=True)) for row in held])
    except (KeyError, ValueError, TypeError):
        # A server that answers otherwise than those it was tried with: as it came is better than not at all.
        return columns, held


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
