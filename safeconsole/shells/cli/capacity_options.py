"""What can be asked of a capacity report: the options, and their values as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click
import msgspec

from safeconsole.shells.terminal.looks import FORMATS


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is asked for; see `capacity --help`.

    Attributes:
        top, verify, indexes: numbers of tables; `top` 0 is all, the others 0 are none.
        patience: minutes to wait for a fit node.
        last: show the last kept report, and ask no server.
    """

    schema: str = ""
    pattern: str = ""
    top: int = 20
    by: str = "table"
    leftovers: bool = False
    plan: bool = False
    verify: int = 0
    indexes: int = 0
    unseen: bool = False
    since: str = ""
    html: str = ""
    form: str = "table"
    patience: float = 10.0
    afresh: bool = False
    last: bool = False


_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--schema", default="", help="One schema only."),
    click.option("--pattern", default="", metavar="GLOB", help="Show tables that fit: `orders_*`, `shop*.orders_*`."),
    click.option("--top", type=click.IntRange(0), default=20, show_default=True, help="Show so many; 0 shows all."),
    click.option("--by", type=click.Choice(("table", "schema")), default="table", show_default=True),
    click.option("--leftovers", is_flag=True, help="What schema migrations left behind, with the evidence."),
    click.option("--plan", is_flag=True, help="How to remove what looks abandoned, for review; never run by us."),
    click.option("--verify", type=click.IntRange(1, 1000), metavar="N", help="Hold the N largest to the tables."),
    click.option("--indexes", type=click.IntRange(1, 1000), metavar="N", help="The indexes of the N largest."),
    click.option("--unseen", is_flag=True, help="Tables that the statistics do not show, by name."),
    click.option("--since", default="", metavar="WHEN", help="What grew since a kept report: 7d, 12h, 2026-01-31."),
    click.option("--html", default="", metavar="FILE", help="Also write a treemap, one page that loads nothing."),
    click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True),
    click.option("--patience", type=click.FloatRange(0), default=10.0, show_default=True, metavar="MINUTES",
                 help="How long to wait when no node is fit."),
    click.option("--afresh", is_flag=True, help="Do not go on from what an interrupted run left."),
    click.option("--last", is_flag=True, help="Show the last report kept here; ask no server."),
)  # fmt: skip


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a capacity report."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wish_of(given: Mapping[str, Any]) -> Wish:
    """Return the options as a value. Raises UsageError: some do not go together."""
    wish = Wish(**{**given, "verify": given["verify"] or 0, "indexes": given["indexes"] or 0})
    views = [name for name in ("leftovers", "verify", "indexes", "unseen", "since") if getattr(wish, name)]
    if len(views) > 1:
        raise click.UsageError(f"--{' and --'.join(views)} do not go together")
    if wish.last and (wish.verify or wish.indexes or wish.unseen or wish.afresh):
        raise click.UsageError("--last asks no server, so --verify, --indexes, --unseen and --afresh do not go with it")
    return wish
