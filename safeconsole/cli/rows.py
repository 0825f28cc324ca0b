"""Writes a command's rows in a `--format` to standard output, and nothing else there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import click
import msgspec

from safeconsole.cluster.engine import Column, Row
from safeconsole.output.formats import render, writer_for
from safeconsole.output.text import FORMATS, clipped, safe, stream_style, width_of

_WHOLE_FORMATS = frozenset({"table", "vertical", "markdown"})
"""Formats for a person: small, and measured as a whole."""

_RAW_FORMATS = frozenset({"csv", "tsv"})
"""Formats that keep control characters: right for a program, unsafe for a terminal."""

_BATCH_ROWS = 500

format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How rows are written."
)


def write_list(columns: Sequence[str], rows: Iterable[Row], stream: TextIO | None = None) -> None:
    """Write one line for each row, with the last column cut at the terminal's width."""
    stream = stream or sys.stdout
    style = stream_style(stream, os.environ)
    rows = list(rows)
    if style.columns and rows:
        widths = [max(len(name), *(width_of(safe(str(row[at]))) for row in rows)) for at, name in enumerate(columns)]
        room = max(style.columns - sum(widths[:-1]) - 2 * (len(columns) - 1), len(columns[-1]))
        rows = [(*row[:-1], clipped(safe(str(row[-1])), room)) for row in rows]
    # Without lines between the cells: they take the room of words.
    style = msgspec.structs.replace(style, columns=0, decorated=False)
    click.echo(render(columns, rows, "table", style), file=stream, nl=False)


def write_rows(columns: Sequence[str], rows: Iterable[Row], form: str, stream: TextIO | None = None) -> None:
    """Write rows in a format; the formats for programs stream, so that years of journals are not held in memory.

    Args:
        stream: where they go; None for standard output.
    """
    stream = stream or sys.stdout
    style = stream_style(stream, os.environ)
    if form in _WHOLE_FORMATS:
        click.echo(render(columns, rows, form, style), file=stream, nl=False)
        return
    if form in _RAW_FORMATS and _is_terminal():
        rows = map(_harmless, rows)
    writer = writer_for(form, [Column(name=name) for name in columns], stream, style)
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            writer.rows(batch)
            batch.clear()
    writer.rows(batch)
    writer.end()


def _harmless(row: Row) -> Row:
    return tuple(safe(value) if isinstance(value, str) else value for value in row)


def _is_terminal() -> bool:
    return sys.stdout.isatty()
