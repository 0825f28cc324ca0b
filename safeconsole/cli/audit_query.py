"""`safeconsole audit export`, and the options that select statements."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from safeconsole.audit.export import ocsf_event
from safeconsole.audit.search import OUTCOMES, VERDICTS, found, moment_of, query_of
from safeconsole.audit.story import StatementStory
from safeconsole.cli.application import Application
from safeconsole.cli.rows import write_rows
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import safe


class Moment(click.ParamType[str]):
    """A UTC time, a prefix of one, or an age (`90m`, `2h`, `7d`)."""

    name = "TIME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return moment_of(value)
        except ConfigurationError as error:
            self.fail(error.message, param, ctx)


QUERY_OPTIONS = (
    click.option("--person", help="Login identity or account."),
    click.option("--cluster", help="Cluster."),
    click.option("--table", help="A table it names: schema.table, or table."),
    click.option("--ticket", help="Ticket of the elevation it ran under."),
    click.option("--verdict", type=click.Choice(VERDICTS)),
    click.option("--outcome", type=click.Choice(OUTCOMES)),
    click.option("--kind", help='Kind of statement, as "select" or "alter table".'),
    click.option("--since", type=Moment(), help="From this time on."),
    click.option("--until", type=Moment(), help="Until this time."),
    click.option("--session", "sessions", multiple=True, help="Only this session; may be repeated."),
    click.option("--console", is_flag=True, help="Include the console's own statements."),
)


def query_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(QUERY_OPTIONS):
        command = option(command)
    return command


def complain(what: str) -> None:
    click.echo(safe(what), err=True)


STORY_FIELDS = StatementStory.__struct_fields__

_LINES: dict[str, Callable[[StatementStory], object]] = {"jsonl": lambda story: story, "ocsf": ocsf_event}


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
def export_command(app: Application, /, text: str, sessions: tuple[str, ...], form: str, **fields: object) -> None:
    """Write all fields of the statements matching TEXT and the options."""
    stories = found(app.archive(), query_of(text, fields), sessions, unread=complain)
    if form == "parquet":
        if sys.stdout.isatty():
            raise ConfigurationError("a parquet file is no text for a terminal", instead="… --format parquet > FILE")
        from safeconsole.audit.parquet import write_parquet

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
