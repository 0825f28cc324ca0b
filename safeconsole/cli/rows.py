"""Writes a command's rows in a `--format` to standard output, and nothing else there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import click

from safeconsole.cluster.engine import Column, Row
from safeconsole.output.formats import render, writer_for
from safeconsole.output.text import FORMATS, safe, stream_style

_WHOLE_FORMATS = frozenset({"table", "vertical", "markdown"})
"""Formats for a person: small, and measured as a whole."""

_RAW_FORMATS = frozenset({"csv", "tsv"})
"""Formats that keep control characters: right for a program, unsafe for a terminal."""

_BATCH_ROWS = 500

format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How rows are written."
)


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
