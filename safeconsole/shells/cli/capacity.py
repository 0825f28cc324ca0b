"""`safeconsole capacity`: the sizes that one wants to know, asked so that the server does not notice."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any

import click

from safeconsole.core.errors import ConfigurationError, SafeConsoleError, ServerError
from safeconsole.jobs.asking import NOT_GRANTED, Asker
from safeconsole.jobs.capacity import survey
from safeconsole.jobs.fleet import clusters_named
from safeconsole.jobs.growth import latest_report
from safeconsole.jobs.reports import Report
from safeconsole.jobs.sizes import TableSize, by_schema, matching
from safeconsole.shells.cli.application import Application, Door, Session
from safeconsole.shells.cli.capacity_answers import Work, show, write, write_page
from safeconsole.shells.cli.capacity_options import Wish, wish_of, with_options
from safeconsole.shells.cli.capacity_views import (
    headline,
)
from safeconsole.shells.cli.completion import CLUSTER
from safeconsole.shells.terminal.confirming import NoTerminal
from safeconsole.shells.terminal.presenting import Screen, screen_of


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--to", metavar="replica|primary|NODE", default="", help="Which node is asked; a replica if unset.")
@with_options
@click.pass_obj
def capacity(app: Application, /, cluster: str, to: str, **given: Any) -> int:  # noqa: ANN401 (options by name)
    """
    Show how large CLUSTER's schemas and tables are, and what schema migrations left behind.

    Reads persistent statistics in small pages on a replica, resting between them, and opens no table. Figures are
    estimates, and say how old they are. An interrupted run goes on where it stood; each whole one is kept for --since.
    CLUSTER may be a shell pattern: then the largest of many clusters are shown together.
    """
    wish, screen = wish_of(given), screen_of(sys.stdout, sys.stderr, app.environ)
    if cluster not in app.settings().clusters and set("*?[") & set(cluster):
        from safeconsole.shells.cli.capacity_fleet import capacity_of_many

        if to:
            raise click.UsageError("--to is of one cluster at a time")
        clusters = clusters_named((cluster,), app.settings().clusters)
        return capacity_of_many(app, clusters, wish, screen, lambda view: write(screen, wish, view))
    with app.open(Door(cluster=cluster, face="job", confirmer=NoTerminal(), to=to)) as session:
        run_capacity(session, wish, app, screen)
    return 0


def capacity_command(app: Application, session: Session) -> Callable[[str], None]:
    r"""Return what `\capacity OPTIONS` runs in a console, on the console's own session."""

    @click.command("\\capacity", add_help_option=False)
    @with_options
    def typed(**given: Any) -> None:  # noqa: ANN401
        run_capacity(session, wish_of(given), app, screen_of(sys.stdout, sys.stderr, app.environ))

    def run(argument: str) -> None:
        try:
            typed.main(shlex.split(argument), standalone_mode=False)
        except ValueError as error:
            raise ConfigurationError(f"\\capacity: {error}") from None
        except click.ClickException as error:
            raise ConfigurationError(
                f"\\capacity: {error.format_message()}", instead="the options of `safeconsole capacity --help`"
            ) from None

    return run


def run_capacity(session: Session, wish: Wish, app: Application, screen: Screen) -> None:
    """
    Make a report, or take the last one, and show what was asked for.

    Raises:
        SafeConsoleError: a statement was refused, failed, or no node was fit for long.
    """
    asker = Asker(gate=session.gate, rules=session.rules)
    settings = app.settings().leftovers
    work = Work(
        session=session, asker=asker, shelf=app.reports(), screen=screen, wish=wish, leftovers=settings
    )  # fmt: skip
    session.gate.note("command", f"capacity {wish}")
    nodes = app.settings().clusters[work.cluster].nodes
    report = (
        latest_report(work.shelf, work.cluster, schema=wish.schema, nodes=nodes)
        if wish.last
        else _surveyed(work, nodes)
    )
    wanted = _wanted(wish)
    schemas = by_schema(size for size in report.tables() if wanted(size))
    total = sum(each.total_bytes for each in schemas)
    if wish.form == "table":
        work.say(headline(report, sum(each.tables for each in schemas), total, len(schemas)))
    show(work, report, wanted)
    if wish.html:
        write_page(work, report, wanted)


def _surveyed(work: Work, nodes: tuple[str, ...]) -> Report:
    try:
        with work.conduct("tables") as conduct:
            return survey(
                work.asker, work.shelf, conduct, schema=work.wish.schema, afresh=work.wish.afresh, nodes=nodes
            )
    except ServerError as error:
        if error.code not in NOT_GRANTED:
            raise
        raise ServerError(
            error.code, error.server_message, instead="grant the read account SELECT ON mysql.innodb_table_stats"
        ) from error
    except (SafeConsoleError, KeyboardInterrupt):
        work.say("what was read is kept: the same command goes on from there")
        raise


def _wanted(wish: Wish) -> Callable[[TableSize], bool]:
    fits = matching(wish.pattern) if wish.pattern else None
    return lambda size: wish.schema in {"", size.schema} and (fits is None or fits(size))
