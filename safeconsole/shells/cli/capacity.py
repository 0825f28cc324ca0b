"""`safeconsole capacity`: the sizes that one wants to know, asked so that the server does not notice."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from safeconsole.core.errors import ConfigurationError, SafeConsoleError, ServerError
from safeconsole.core.settings import LeftoverSettings
from safeconsole.jobs.asking import NOT_GRANTED, Asker
from safeconsole.jobs.capacity import survey
from safeconsole.jobs.conduct import Conduct, Progress
from safeconsole.jobs.fleet import clusters_named
from safeconsole.jobs.growth import days_between, growth, latest_report, report_since, since
from safeconsole.jobs.indexes import index_sizes
from safeconsole.jobs.investigating import investigate
from safeconsole.jobs.leftover_patterns import patterns_of
from safeconsole.jobs.leftovers import suspects_among
from safeconsole.jobs.removal import plan_of
from safeconsole.jobs.reports import Report, ReportShelf
from safeconsole.jobs.sizes import TableSize, by_schema, largest, matching
from safeconsole.jobs.verifying import verify
from safeconsole.shells.cli.application import Application, Door, Session
from safeconsole.shells.cli.capacity_options import Wish, wish_of, with_options
from safeconsole.shells.cli.capacity_views import (
    View,
    growth_view,
    headline,
    indexes_view,
    leftovers_view,
    page_of_report,
    schemas_view,
    tables_view,
    verified_view,
)
from safeconsole.shells.cli.output import write_rows
from safeconsole.shells.terminal.confirming import NoTerminal
from safeconsole.shells.terminal.job_progress import JobProgress
from safeconsole.shells.terminal.measures import counted, size_text
from safeconsole.shells.terminal.presenting import Screen, screen_of
from safeconsole.values import dataclass

SHOWN_SCHEMAS = 10
"""Schemas shown above the tables when a person looks."""


@click.command()
@click.argument("cluster")
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
        return capacity_of_many(app, clusters, wish, screen, lambda view: _write(screen, wish, view))
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


class _Shown:
    """Shows a job's progress."""

    def __init__(self, progress: JobProgress) -> None:
        self._progress = progress

    def show(self, progress: Progress) -> None:
        """Redraw the line."""
        self._progress.draw(progress.done, progress.expected, progress.waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What one report is made with."""

    session: Session
    asker: Asker
    shelf: ReportShelf
    screen: Screen
    wish: Wish
    leftovers: Mapping[str, LeftoverSettings]

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.session.gate.visit.cluster

    def say(self, text: str) -> None:
        """Write one line that is no data."""
        self.screen.messages.write(f"{text}\n")

    def conduct(self, noun: str) -> tuple[Conduct, JobProgress]:
        """Return how a job behaves, and the line that shows it; to be cleared."""
        progress = JobProgress(self.screen.messages, self.screen.messages_look, noun=noun)
        return Conduct(watcher=_Shown(progress), patience_seconds=self.wish.patience * 60), progress


def run_capacity(session: Session, wish: Wish, app: Application, screen: Screen) -> None:
    """
    Make a report, or take the last one, and show what was asked for.

    Raises:
        SafeConsoleError: a statement was refused, failed, or no node was fit for long.
    """
    asker = Asker(gate=session.gate, rules=session.rules)
    settings = app.settings().leftovers
    work = _Work(
        session=session, asker=asker, shelf=app.reports(), screen=screen, wish=wish, leftovers=settings
    )  # fmt: skip
    session.gate.note("command", f"capacity {wish}")
    report = latest_report(work.shelf, work.cluster, schema=wish.schema) if wish.last else _surveyed(work)
    wanted = _wanted(wish)
    schemas = by_schema(size for size in report.tables() if wanted(size))
    total = sum(each.total_bytes for each in schemas)
    if wish.form == "table":
        work.say(headline(report, sum(each.tables for each in schemas), total, len(schemas)))
    _show(work, report, wanted)
    if wish.html:
        _write_page(work, report, wanted)


def _surveyed(work: _Work) -> Report:
    conduct, progress = work.conduct("tables")
    try:
        return survey(work.asker, work.shelf, conduct, schema=work.wish.schema, afresh=work.wish.afresh)
    except ServerError as error:
        if error.code not in NOT_GRANTED:
            raise
        raise ServerError(
            error.code, error.server_message, instead="grant the read account SELECT ON mysql.innodb_table_stats"
        ) from error
    except (SafeConsoleError, KeyboardInterrupt):
        progress.clear()
        work.say("what was read is kept: the same command goes on from there")
        raise
    finally:
        progress.clear()


def _wanted(wish: Wish) -> Callable[[TableSize], bool]:
    fits = matching(wish.pattern) if wish.pattern else None
    return lambda size: wish.schema in {"", size.schema} and (fits is None or fits(size))


def _show(work: _Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    wish = work.wish
    if wish.leftovers or wish.plan:
        _show_leftovers(work, report, wanted)
    elif wish.verify:
        conduct, progress = work.conduct("tables")
        found, refused = verify(work.asker, conduct, largest(filter(wanted, report.tables()), wish.verify))
        progress.clear()
        _write(work.screen, work.wish, verified_view(found))
        if refused:
            work.say(f"note: sizes on disk were not asked for: {refused}")
            work.say(
                "note: a table's own row holds the same statistics, and free space in its file where that is known"
            )
    elif wish.indexes:
        chosen = largest(filter(wanted, report.tables()), wish.indexes)
        conduct, progress = work.conduct("tables")
        indexes = index_sizes(work.asker, conduct, chosen)
        progress.clear()
        _write(work.screen, work.wish, indexes_view(zip(chosen, indexes, strict=True)))
    elif wish.since:
        _show_growth(work, report, wanted)
    else:
        _show_sizes(work, report, wanted)


def _show_sizes(work: _Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    wish = work.wish
    schemas = by_schema(filter(wanted, report.tables()))
    shown = schemas[: wish.top or None]
    if wish.by == "schema":
        _write(work.screen, work.wish, schemas_view(shown, report, title="the largest schemas"))
        return
    if wish.form == "table" and len(schemas) > 1:
        _write(work.screen, work.wish, schemas_view(schemas[:SHOWN_SCHEMAS], report, title="the largest schemas"))
    sizes = largest(filter(wanted, report.tables()), wish.top)
    _write(work.screen, work.wish, tables_view(sizes, report, title="the largest tables"))
    suspects = suspects_among(filter(wanted, report.tables()), patterns_of(work.leftovers))
    for caveat in report.end.caveats if wish.form == "table" else ():
        work.say(f"note: {caveat}")
    if wish.form == "table" and suspects:
        held = size_text(sum(suspect.size.total_bytes for suspect in suspects))
        named = f"{counted(len(suspects), 'table')} with {held} named as migrations name what they leave behind"
        work.say(f"{named}: safeconsole capacity {shlex.quote(work.cluster)} --leftovers")


def _show_leftovers(work: _Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    wish = work.wish
    suspects = suspects_among(filter(wanted, report.tables()), patterns_of(work.leftovers))
    conduct, progress = work.conduct("leftovers")
    found = investigate(work.asker, conduct, report, suspects, most=0 if wish.last else 200)
    progress.clear()
    if wish.plan:
        work.screen.data.write(plan_of(found))
        return
    _write(work.screen, work.wish, leftovers_view(found[: wish.top or None]))
    if wish.form == "table":
        if len(found) > len(found[: wish.top or None]):
            work.say(f"{len(found) - wish.top} more: --top 0 shows all")
        unseen = sorted({line for each in found for line in each.evidence.unseen})
        for line in unseen:
            work.say(f"not seen: {line}")
        work.say(
            f"how to remove what is abandoned, for review: safeconsole capacity {shlex.quote(work.cluster)} --plan"
        )


def _show_growth(work: _Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    wish = work.wish
    when = since(wish.since, dt.datetime.now(dt.UTC))
    servers = {reading.identity.server for reading in work.session.gate.topology() if reading.identity}
    before = report_since(work.shelf, report, when, servers=servers, schema=wish.schema)
    changed = [
        each for each in growth(before.tables(), report.tables()) if each.grown_bytes and wanted(each.size)
    ]  # fmt: skip
    changed.sort(key=lambda each: (-each.grown_bytes, each.size.key))
    grown = sum(each.grown_bytes for each in changed)
    sign = "+" if grown >= 0 else "-"
    title = f"since {before.head.started}: {sign}{size_text(abs(grown))}, {counted(len(changed), 'table')} changed"
    _write(work.screen, work.wish, growth_view(changed[: wish.top or None], days_between(before, report), title=title))


def _write(screen: Screen, wish: Wish, view: View) -> None:
    if wish.form == "table":
        screen.data.write(view.text(screen.data_look))
        screen.data.flush()
    else:
        write_rows(view.columns, view.rows, wish.form)


def _write_page(work: _Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    suspects = suspects_among(report.tables(), patterns_of(work.leftovers))
    page = page_of_report(report, filter(wanted, report.tables()), frozenset(each.size.key for each in suspects))
    try:
        Path(work.wish.html).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{work.wish.html} cannot be written: {error.strerror}") from error
    work.say(f"treemap: {work.wish.html}")
