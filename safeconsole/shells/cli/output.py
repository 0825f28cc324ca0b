"""How commands write rows: `--format`, on standard output, nothing else there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

import click

from safeconsole.interfaces import Column, Row
from safeconsole.shells.terminal.formats import render, writer_for
from safeconsole.shells.terminal.looks import FORMATS, look_of

_WHOLE_FORMATS = frozenset({"table", "vertical", "markdown"})
"""Formats for a person: small, and measured as a whole."""

_BATCH_ROWS = 500

format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How rows are written."
)


def write_rows(columns: Sequence[str], rows: Iterable[Row], form: str) -> None:
    """Write rows in a format; the formats for programs stream, so that years of journals are not held in memory."""
    look = look_of(sys.stdout, os.environ)
    if form in _WHOLE_FORMATS:
        click.echo(render(columns, rows, form, look), nl=False)
        return
    writer = writer_for(form, [Column(name=name) for name in columns], sys.stdout, look)
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            writer.rows(batch)
            batch.clear()
    writer.rows(batch)
    writer.end()
