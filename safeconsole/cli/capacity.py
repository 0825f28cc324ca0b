"""`safeconsole capacity`: sizes and leftovers of migrations, measured without loading the server."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from safeconsole.capacity.asking import NOT_GRANTED, Asker, Conduct, Progress, Watcher
from safeconsole.capacity.investigating import LOOKED_AT, investigate, unseen_tables
from safeconsole.capacity.leftovers import patterns_of, plan_of, suspects_among
from safeconsole.capacity.reports import Report, ReportShelf, days_between, growth, latest_report, report_since, since
from safeconsole.capacity.sizes import Named, SchemaSize, TableSize, by_schema, largest, matching
from safeconsole.capacity.survey import index_sizes, survey
from safeconsole.capacity.tablespaces import verify
from safeconsole.cli.application import Application, Door, OpenSession
from safeconsole.cli.capacity_views import (
    View,
    growth_view,
    headline,
    indexes_view,
    leftovers_view,
    page_of_report,
    schemas_view,
    tables_view,
    unseen_view,
    verified_view,
)
from safeconsole.cli.fleet import code_of_all, stopped_by_the_person, tell_members
from safeconsole.cli.root import CLUSTER
from safeconsole.cli.rows import write_rows
from safeconsole.config.settings import LeftoverSettings
from safeconsole.errors import ConfigurationError, SafeConsoleError, ServerError
from safeconsole.fleet import ClusterOutcome, Underway, clusters_named, over_clusters
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.presenting import Screen, screen_of
from safeconsole.output.progress import JobProgress
from safeconsole.output.text import FORMATS, counted, in_words, safe, size_text
from safeconsole.policy.decision import Assessment


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The options; see `capacity --help`.

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
    click.option("--pattern", default="", metavar="GLOB", help="Show matching tables: `orders_*`, `shop*.orders_*`."),
    click.option("--top", type=click.IntRange(0), default=20, show_default=True, help="Tables to show; 0 shows all."),
    click.option("--by", type=click.Choice(("table", "schema")), default="table", show_default=True),
    click.option("--leftovers", is_flag=True, help="Leftovers of schema migrations, with evidence."),
    click.option("--plan", is_flag=True, help="A plan to remove abandoned tables, for review; never run."),
    click.option("--verify", type=click.IntRange(1, 1000), metavar="N", help="Compare the N largest with the tables."),
    click.option("--indexes", type=click.IntRange(1, 1000), metavar="N", help="The indexes of the N largest."),
    click.option("--unseen", is_flag=True, help="Tables without statistics, by name."),
    click.option("--since", default="", metavar="WHEN", help="Growth since a kept report: 7d, 12h, 2026-01-31."),
    click.option("--html", default="", metavar="FILE", help="Also write a treemap page."),
    click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True),
    click.option("--patience", type=click.FloatRange(0), default=10.0, show_default=True, metavar="MINUTES",
                 help="How long to wait when no node is fit."),
    click.option("--afresh", is_flag=True, help="Do not resume an interrupted run."),
    click.option("--last", is_flag=True, help="Show the last report kept here; ask no server."),
)  # fmt: skip


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wish_of(given: Mapping[str, Any]) -> Wish:
    """Return the options as a value. Raises UsageError: contradictory options."""
    wish = Wish(**{**given, "verify": given["verify"] or 0, "indexes": given["indexes"] or 0})
    views = [name for name in ("leftovers", "verify", "indexes", "unseen", "since") if getattr(wish, name)]
    if len(views) > 1:
        raise click.UsageError(f"--{' and --'.join(views)} cannot be combined")
    if wish.last and (wish.verify or wish.indexes or wish.unseen or wish.afresh):
        raise click.UsageError("--last asks no server, so --verify, --indexes, --unseen and --afresh do not go with it")
    return wish


SHOWN_SCHEMAS = 10
"""Schemas shown above the tables on a terminal."""


class _Shown:
    def __init__(self, progress: JobProgress) -> None:
        self._progress = progress

    def show(self, progress: Progress) -> None:
        self._progress.draw(progress.done, progress.expected, progress.waiting)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """
    One run.

    Attributes:
        watcher: who is shown how far it is, None for the person at the screen.
    """

    opened: OpenSession
    asker: Asker
    shelf: ReportShelf
    screen: Screen
    wish: Wish
    leftovers: Mapping[str, LeftoverSettings]
    watcher: Watcher | None = None

    @property
    def cluster(self) -> str:
        return self.opened.session.context.cluster

    def say(self, text: str) -> None:
        """Write one line that is not data; names and errors in it are escaped."""
        self.screen.messages.write(f"{in_words(safe(text), self.screen.messages_style)}\n")

    @contextmanager
    def conduct(self, noun: str) -> Iterator[Conduct]:
        """Give how a job behaves, with a progress line that disappears at the end."""
        progress = JobProgress(self.screen.messages, self.screen.messages_style, noun=noun)
        try:
            yield Conduct(watcher=self.watcher or _Shown(progress), patience_seconds=self.wish.patience * 60)
        finally:
            progress.clear()


def show(work: Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    """Show the requested parts for the matching tables. Raises SafeConsoleError as `run_capacity`."""
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
        named = f"{counted(len(suspects), 'table')} with {held} named like leftovers of migrations"
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
    servers = {reading.identity.server for reading in work.opened.session.topology() if reading.identity}
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
    if wish.form == "table":
        screen.data.write(view.text(screen.data_style))
        screen.data.flush()
    else:
        write_rows(view.columns, view.rows, wish.form, screen.data)


def write_page(work: Work, report: Report, wanted: Callable[[TableSize], bool]) -> None:
    """Write the treemap. Raises ConfigurationError: its file cannot be written."""
    suspects = suspects_among(report.tables(), patterns_of(work.leftovers))
    page = page_of_report(report, filter(wanted, report.tables()), frozenset(each.size.key for each in suspects))
    try:
        Path(work.wish.html).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{work.wish.html} cannot be written: {error.strerror}") from error
    work.say(f"treemap: {work.wish.html}")


_ALONE = ("leftovers", "plan", "verify", "indexes", "unseen", "since", "html", "last")


class _Sized(msgspec.Struct, frozen=True, kw_only=True):
    report: Report
    schemas: list[SchemaSize]
    tables: list[TableSize]


class _Together:
    """The progress of many surveys as one."""

    def __init__(self, progress: JobProgress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._of: dict[str, Progress] = {}

    def watcher(self, cluster: str) -> _One:
        return _One(cluster, self.take)

    def take(self, cluster: str, progress: Progress) -> None:
        with self._lock:
            self._of[cluster] = progress
            waiting = "; ".join(f"{name}: {each.waiting}" for name, each in self._of.items() if each.waiting)
            self._progress.draw(
                sum(each.done for each in self._of.values()),
                sum(max(each.expected, each.done) for each in self._of.values()),
                waiting,
            )


class _One:
    def __init__(self, cluster: str, take: Callable[[str, Progress], None]) -> None:
        self._cluster = cluster
        self._take = take

    def show(self, progress: Progress) -> None:
        self._take(self._cluster, progress)


def capacity_of_many(
    app: Application, clusters: tuple[str, ...], wish: Wish, screen: Screen, write: Callable[[View], None]
) -> int:
    """Survey clusters, a few at a time, show their largest tables or schemas together, and return an exit code as
    `fleet`.

    Raises UsageError: an option that is for one cluster.
    """
    alone = [name for name in _ALONE if getattr(wish, name)]
    if alone:
        raise click.UsageError(f"--{alone[0]} is of one cluster at a time")
    app.policies.names()
    progress = JobProgress(screen.messages, screen.messages_style, noun="tables")
    together, underway = _Together(progress), Underway()

    def work(cluster: str) -> _Sized:
        door = Door(person=app.person, cluster=cluster, face="job", confirmer=NoTerminal())
        with app.open(door) as opened, underway.holding(opened.session.stop):
            asker = Asker(session=opened.session, rules=opened.rules)
            watcher = together.watcher(cluster)
            conduct = Conduct(watcher=watcher, patience_seconds=wish.patience * 60, rest=underway.rest)
            nodes = app.settings().clusters[cluster].nodes
            report = survey(asker, app.reports(), conduct, schema=wish.schema, afresh=wish.afresh, nodes=nodes)
        fits = matching(wish.pattern) if wish.pattern else lambda _size: True
        return _Sized(
            report=report,
            schemas=by_schema(filter(fits, report.tables())),
            tables=[] if wish.by == "schema" else largest(filter(fits, report.tables()), wish.top),
        )

    with stopped_by_the_person(underway):
        members = tell_members(
            over_clusters(clusters, work, underway=underway), screen, underway, before=progress.clear
        )
    if underway.words:
        screen.messages.write("what was read is kept: the same command resumes from there\n")
    found = [member for member in members if member.found is not None]
    if wish.form == "table":
        for member in found:
            _say_headline(member, screen)
    write(_merged(found, wish))
    return code_of_all(members)


def _say_headline(member: ClusterOutcome[_Sized], screen: Screen) -> None:
    assert member.found is not None
    schemas = member.found.schemas
    total, tables = sum(each.total_bytes for each in schemas), sum(each.tables for each in schemas)
    said = headline(member.found.report, tables, total, len(schemas))
    screen.messages.write(f"{in_words(said, screen.messages_style)}\n")


def _merged(members: Iterable[ClusterOutcome[_Sized]], wish: Wish) -> View:
    parts = [(member.cluster, _view(member.found, wish)) for member in members if member.found is not None]
    lines = [
        ((cluster, *row), replace(bar, label=f"{cluster} {bar.label}"))
        for cluster, view in parts
        for row, bar in zip(view.rows, view.bars, strict=True)
    ]
    lines.sort(key=lambda line: -(line[1].first + line[1].second))
    shown = lines[: wish.top or None]
    columns = parts[0][1].columns if parts else ()
    return View(
        columns=("cluster", *columns),
        rows=[row for row, _ in shown],
        bars=[bar for _, bar in shown],
        title=f"the largest {wish.by}s of {len(parts)} clusters",
    )


def _view(found: _Sized, wish: Wish) -> View:
    if wish.by == "schema":
        whole = sum(each.total_bytes for each in found.schemas)
        return schemas_view(found.schemas, found.report, title="", of_bytes=whole)
    return tables_view(found.tables, found.report, title="")


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--to", metavar="replica|primary|NODE", default="", help="Which node is asked; a replica if unset.")
@with_options
@click.pass_obj
def capacity(app: Application, /, cluster: str, to: str, **given: Any) -> int:  # noqa: ANN401 (options by name)
    """Show the sizes of CLUSTER's schemas and tables, and what schema migrations left behind.

    Reads persistent statistics in small pages on a replica, pausing between them, and opens no table. Figures are
    estimates, shown with their age. An interrupted run is resumed; each complete one is kept for --since. CLUSTER may
    be a shell pattern: then the largest tables of many clusters are shown together.
    """
    wish, screen = wish_of(given), screen_of(sys.stdout, sys.stderr, app.environ)
    if cluster not in app.settings().clusters and set("*?[") & set(cluster):
        if to:
            raise click.UsageError("--to is of one cluster at a time")
        clusters = clusters_named((cluster,), app.settings().clusters)
        return capacity_of_many(app, clusters, wish, screen, lambda view: write(screen, wish, view))
    with app.open(Door(person=app.person, cluster=cluster, face="job", confirmer=NoTerminal(), to=to)) as opened:
        run_capacity(opened, wish, app, screen)
    return 0


def capacity_command(app: Application, opened: OpenSession) -> Callable[[str], None]:
    r"""Return what `\capacity OPTIONS` runs in a console, on the console's own session."""

    @click.command("\\capacity", add_help_option=False)
    @with_options
    def typed(**given: Any) -> None:  # noqa: ANN401
        run_capacity(opened, wish_of(given), app, screen_of(sys.stdout, sys.stderr, app.environ))

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


def run_capacity(
    opened: OpenSession, wish: Wish, app: Application, screen: Screen, *, watcher: Watcher | None = None
) -> Assessment | None:
    """Make a report, or load the last one, and show the requested parts.

    Args:
        watcher: see `Work`.

    Returns:
        What was considered for its last question, None when no server was asked.

    Raises SafeConsoleError: a statement was refused or failed, or no node was fit for long.
    """
    asker = Asker(session=opened.session, rules=opened.rules)
    settings = app.settings().leftovers
    work = Work(
        opened=opened, asker=asker, shelf=app.reports(), screen=screen, wish=wish, leftovers=settings,
        watcher=watcher,
    )  # fmt: skip
    opened.session.note("command", f"capacity {wish}")
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
    return asker.last


def _surveyed(work: Work, nodes: tuple[str, ...]) -> Report:
    try:
        with work.conduct("tables") as conduct:
            return survey(
                work.asker, work.shelf, conduct, schema=work.wish.schema, afresh=work.wish.afresh, nodes=nodes
            )
    except ServerError as error:
        if error.number not in NOT_GRANTED:
            raise
        raise ServerError(
            error.number, error.server_message, instead="grant the read account SELECT ON mysql.innodb_table_stats"
        ) from error
    except (SafeConsoleError, KeyboardInterrupt):
        work.say("what was read is kept: the same command resumes from there")
        raise


def _wanted(wish: Wish) -> Callable[[TableSize], bool]:
    fits = matching(wish.pattern) if wish.pattern else None
    return lambda size: wish.schema in {"", size.schema} and (fits is None or fits(size))
