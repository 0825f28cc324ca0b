"""The options by which `audit search` and `audit export` say which statements are meant."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.record import Entry
from safeconsole.core.search import Query, matches, may_hold
from safeconsole.core.story import StatementStory, statements_of
from safeconsole.interfaces import Archive
from safeconsole.shells.terminal.cells import safe

_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[str]):
    """A UTC time, the beginning of one, or how long ago (`90m`, `2h`, `7d`)."""

    name = "TIME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as the beginning of a journal's time."""
        try:
            return moment_of(value)
        except ConfigurationError as error:
            self.fail(error.message, param, ctx)


def moment_of(value: str) -> str:
    """Return a time, or how long ago, as the beginning of a journal's time. Raises ConfigurationError."""
    ago = _AGO.fullmatch(value.strip())
    text = value.strip().replace(" ", "T").removesuffix("Z")
    try:
        if ago:
            then = datetime.now(UTC) - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
            return then.strftime("%Y-%m-%dT%H:%M:%S")
        datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{value!r} is no time: give 2026-11-07, 2026-11-07T11:49 (UTC), or how long ago, as 2h or 7d"
        ) from None
    return text


VERDICTS = ("allow", "confirm", "elevate", "deny")
OUTCOMES = ("done", "refused", "stopped", "unknown", "running")

QUERY_OPTIONS = (
    click.option("--person", help="Login identity or account."),
    click.option("--cluster", help="Cluster."),
    click.option("--table", help="A table it names: schema.table, or table."),
    click.option("--ticket", help="Ticket of the elevation it ran under."),
    click.option("--verdict", type=click.Choice(VERDICTS)),
    click.option("--outcome", type=click.Choice(OUTCOMES)),
    click.option("--kind", help='Kind of statement, as "select" or "alter table".'),
    click.option("--since", type=Moment(), help="From then on."),
    click.option("--until", type=Moment(), help="Until then."),
    click.option("--session", "sessions", multiple=True, help="Only this session; may be repeated."),
    click.option("--console", is_flag=True, help="Also what the console asked by itself."),
)


def query_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as keyword arguments."""
    for option in reversed(QUERY_OPTIONS):
        command = option(command)
    return command


def query_of(text: str, fields: dict[str, object]) -> Query:
    """Return the query that the options say; click has checked them."""
    return Query(text=text, **{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]


def found(
    archive: Archive, query: Query, sessions: tuple[str, ...], *, unread: Callable[[str], None]
) -> Iterator[StatementStory]:
    """
    Yield the statements that are meant, oldest session first.

    Args:
        sessions: only these; all when there are none.
        unread: told of each session that could not be read whole, where something may be missing.

    Raises:
        ConfigurationError: one of `sessions` is unknown.
    """
    glances = archive.glance()
    live = {glance.session for glance in glances if glance.live}
    for name in sessions or (glance.session for glance in glances if may_hold(query, glance)):
        troubles: list[str] = []
        entries = _as_far_as_readable(archive.entries(name), troubles)
        first = next(entries, None)
        whole_name = first.session if first else name
        held = itertools.chain((first,) if first else (), entries)
        for story in statements_of(whole_name, held, live=whole_name in live):
            if matches(query, story):
                yield story
        for trouble in troubles:
            unread(f"session {whole_name} cannot be read whole, see audit verify: {trouble}")


def _as_far_as_readable(entries: Iterator[Entry], troubles: list[str]) -> Iterator[Entry]:
    expected = 0
    try:
        for entry in entries:
            if entry.number != expected and not troubles:
                troubles.append(f"record {expected} is not there, or no record")
            expected = entry.number + 1
            yield entry
    except ConfigurationError as error:
        troubles.append(error.message)
    if not expected and not troubles:
        troubles.append("it has no record")


def complain(what: str) -> None:
    """Say on standard error what could not be read."""
    click.echo(safe(what), err=True)
