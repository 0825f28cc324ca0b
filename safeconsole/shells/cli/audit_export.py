"""`safeconsole audit export`: every field of every statement, for other programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import click
import msgspec

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.story import StatementStory
from safeconsole.interfaces import Archive
from safeconsole.shells.cli.audit_query import complain, found, query_of, query_options
from safeconsole.shells.cli.ocsf import ocsf_event
from safeconsole.shells.cli.output import write_rows

STORY_FIELDS = StatementStory.__struct_fields__

_LINES: dict[str, Callable[[StatementStory], object]] = {"jsonl": lambda story: story, "ocsf": ocsf_event}


class HasArchive(Protocol):
    """What `ctx.obj` must offer to this command."""

    def archive(self) -> Archive:
        """The journals of this computer."""
        ...


@click.command("export")
@click.argument("text", default="")
@query_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "ocsf", "parquet"]),
    default="jsonl",
    show_default=True,
    help="One JSON object a line, comma-separated values, OCSF Datastore Activity, one event a line, or Parquet.",
)
@click.pass_obj
def export_command(app: HasArchive, /, text: str, sessions: tuple[str, ...], form: str, **fields: object) -> None:
    """Write the statements that hold TEXT, and all that the options say, with all that is known of them."""
    stories = found(app.archive(), query_of(text, fields), sessions, unread=complain)
    if form == "parquet":
        if sys.stdout.isatty():
            raise ConfigurationError("a parquet file is no text for a terminal", instead="… --format parquet > FILE")
        from safeconsole.shells.cli.audit_parquet import write_parquet

        write_parquet(stories, sys.stdout.buffer)
        return
    if form == "csv":
        write_rows(STORY_FIELDS, map(_row, stories), "csv")
        return
    encode, shape = msgspec.json.Encoder().encode, _LINES[form]
    for story in stories:
        sys.stdout.write(encode(shape(story)).decode() + "\n")


def _row(story: StatementStory) -> tuple[object, ...]:
    values = (getattr(story, name) for name in STORY_FIELDS)
    return tuple(", ".join(value) if isinstance(value, tuple) else value for value in values)
