"""What is shown of a capacity report: each thing that can be asked of it, one function each."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.settings import LeftoverSettings
from safeconsole.jobs.asking import Asker
from safeconsole.jobs.conduct import Conduct, Progress
from safeconsole.jobs.growth import days_between, growth, report_since, since
from safeconsole.jobs.indexes import index_sizes
from safeconsole.jobs.investigating import LOOKED_AT, investigate
from safeconsole.jobs.leftover_patterns import patterns_of
from safeconsole.jobs.leftovers import suspects_among
from safeconsole.jobs.removal import plan_of
from safeconsole.jobs.reports import Report, ReportShelf
from safeconsole.jobs.sizes import Named, TableSize, by_schema, largest, matching
from safeconsole.jobs.unseen import unseen_tables
from safeconsole.jobs.verifying import verify
from safeconsole.shells.cli.application import Session
from safeconsole.shells.cli.capacity_options import Wish
from safeconsole.shells.cli.capacity_views import (
    View,
    growth_view,
    indexes_view,
    leftovers_view,
    page_of_report,
    schemas_view,
    tables_view,
    unseen_view,
    verified_view,
)
from safeconsole.shells.cli.output import write_rows
from safeconsole.shells.terminal.cells import safe
from safeconsole.shells.terminal.job_progress import JobProgress
from safeconsole.shells.terminal.measures import counted, size_text
from safeconsole.shells.terminal.presenting import Screen
from safeconsole.shells.terminal.wrapping import in_words

SHOWN_SCHEMAS = 10
"""Schemas shown above the tables when a person looks."""


class _Shown:
    """Shows a job's progress."""

    def __init__(self, progress: JobProgress) -> None:
        self._progress = progress

    def show(self, progress: Progress) -> None:
        """Redraw the line."""
        self._progress.draw(progress.done, progress.expected, progress.waiting)


class Work(msgspec.Struct, frozen=True, kw_only=True):
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
        """Write one line that is no data; names and errors in it are a server's."""
        self.screen.messages.write(f"{in_words(safe(text), self.screen.messages_look)}\n")

    @contextmanager
    def conduct(self, noun: str) -> Iterator[Conduct]:
        """Give how a job behaves; the line that shows how far it is goes away with it."""
        progress = JobProgress(self.screen.messages, self.screen.messages_look, noun=noun)
        try:
            yield Conduct(watcher=_Shown(progress), patience_seconds=self.wish.patience * 60)
        finally:
            progress.clear()


def show(work: Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    """Show what was asked for of the tables that are wanted. Raises SafeConsoleError as `run_capacity`."""
    wish = work.wish
    if wish.leftovers or wish.plan:
        _show_leftovers(work, report, wanted)
    elif wish.verify:
        _show_verified(work, largest(filter(wanted, report.tables()), wish.verify))
    elif wish.indexes:
        _show_indexes(work, largest(filter(wanted, report.tables()), wish.indexes))
    elif wish.unseen:
        _show_unseen(work, report)
    elif wish.since:
        _show_growth(work, report, wanted)
    else:
        _show_sizes(work, report, wanted)


def _show_verified(work: Work, chosen: list[TableSize]) -> None:
    with work.conduct("tables") as conduct:
        found, refused = verify(work.asker, conduct, chosen)
    write(work.screen, work.wish, verified_view(found))
    if refused:
        work.say(f"note: sizes on disk were not asked for: {refused}")
    if any(each.witness == "table" for each in found):
        work.say("note: a table's own row holds the same statistics, and free space in its file where that is known")


def _show_indexes(work: Work, chosen: list[TableSize]) -> None:
    with work.conduct("tables") as conduct:
        indexes = index_sizes(work.asker, conduct, chosen)
    write(work.screen, work.wish, indexes_view(zip(chosen, indexes, strict=True)))


def _show_unseen(work: Work, report: Report) -> None:
    wish = work.wish
    fits: Callable[[Named], bool] = matching(wish.pattern) if wish.pattern else lambda _table: True
    with work.conduct("schemas") as conduct:
        found, notes = unseen_tables(work.asker, conduct, report, schema=wish.schema, wanted=fits)
    write(work.screen, wish, unseen_view(found[: wish.top or None], of=len(found)))
    for note in notes:
        work.say(f"note: {note}")


def _show_sizes(work: Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    wish = work.wish
    schemas = by_schema(filter(wanted, report.tables()))
    whole = sum(each.total_bytes for each in schemas)
    if wish.by == "schema" or (wish.form == "table" and len(schemas) > 1):
        shown = schemas[: wish.top or None] if wish.by == "schema" else schemas[:SHOWN_SCHEMAS]
        write(work.screen, wish, schemas_view(shown, report, title="the largest schemas", of_bytes=whole))
    if wish.by == "schema":
        return
    sizes = largest(filter(wanted, report.tables()), wish.top)
    write(work.screen, work.wish, tables_view(sizes, report, title="the largest tables"))
    suspects = suspects_among(filter(wanted, report.tables()), patterns_of(work.leftovers))
    for caveat in report.end.caveats if wish.form == "table" else ():
        work.say(f"note: {caveat}")
    if wish.form == "table" and suspects:
        held = size_text(sum(suspect.size.total_bytes for suspect in suspects))
        named = f"{counted(len(suspects), 'table')} with {held} named as migrations name what they leave behind"
        work.say(f"{named}: safeconsole capacity {shlex.quote(work.cluster)} --leftovers")


def _show_leftovers(work: Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    wish = work.wish
    suspects = suspects_among(filter(wanted, report.tables()), patterns_of(work.leftovers))
    with work.conduct("leftovers") as conduct:
        found = investigate(work.asker, conduct, report, suspects, most=0 if wish.last else LOOKED_AT)
    if wish.plan:
        work.screen.data.write(plan_of(found))
        return
    write(work.screen, work.wish, leftovers_view(found, most=wish.top))
    if wish.form == "table":
        if len(found) > len(found[: wish.top or None]):
            work.say(f"{len(found) - wish.top} more: --top 0 shows all")
        unseen = sorted({line for each in found for line in each.evidence.unseen})
        for line in unseen:
            work.say(f"not seen: {line}")
        work.say(
            f"how to remove what is abandoned, for review: safeconsole capacity {shlex.quote(work.cluster)} --plan"
        )


def _show_growth(work: Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
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
    write(work.screen, work.wish, growth_view(changed[: wish.top or None], days_between(before, report), title=title))


def write(screen: Screen, wish: Wish, view: View) -> None:
    """Write a view in the format that was asked for."""
    if wish.form == "table":
        screen.data.write(view.text(screen.data_look))
        screen.data.flush()
    else:
        write_rows(view.columns, view.rows, wish.form)


def write_page(work: Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    """Write the treemap. Raises ConfigurationError: its file cannot be written."""
    suspects = suspects_among(report.tables(), patterns_of(work.leftovers))
    page = page_of_report(report, filter(wanted, report.tables()), frozenset(each.size.key for each in suspects))
    try:
        Path(work.wish.html).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{work.wish.html} cannot be written: {error.strerror}") from error
    work.say(f"treemap: {work.wish.html}")
