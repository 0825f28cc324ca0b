"""`safeconsole capacity 'orders-*'`: the reports of many clusters side by side, with a column that says whose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import click
import msgspec
from msgspec.structs import replace

from safeconsole.jobs.asking import Asker
from safeconsole.jobs.capacity import survey
from safeconsole.jobs.conduct import Conduct, Progress
from safeconsole.jobs.fleet import Member, over_clusters
from safeconsole.jobs.reports import Report
from safeconsole.jobs.sizes import SchemaSize, TableSize, by_schema, largest, matching
from safeconsole.jobs.underway import Underway
from safeconsole.shells.cli.application import Application, Door
from safeconsole.shells.cli.capacity_options import Wish
from safeconsole.shells.cli.capacity_views import View, headline, schemas_view, tables_view
from safeconsole.shells.cli.fleet import exit_code_of, stopped_by_the_person, tell_members
from safeconsole.shells.terminal.confirming import NoTerminal
from safeconsole.shells.terminal.job_progress import JobProgress
from safeconsole.shells.terminal.presenting import Screen
from safeconsole.shells.terminal.wrapping import in_words

_ALONE = ("leftovers", "plan", "verify", "indexes", "unseen", "since", "html", "last")


class _Sized(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one cluster's report."""

    report: Report
    schemas: list[SchemaSize]
    tables: list[TableSize]


class _Together:
    """Shows the progress of many surveys as one."""

    def __init__(self, progress: JobProgress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._of: dict[str, Progress] = {}

    def watcher(self, cluster: str) -> _One:
        """Return what one survey shows its progress to."""
        return _One(cluster, self.take)

    def take(self, cluster: str, progress: Progress) -> None:
        """Redraw the line with one survey's progress."""
        with self._lock:
            self._of[cluster] = progress
            waiting = "; ".join(f"{name}: {each.waiting}" for name, each in self._of.items() if each.waiting)
            self._progress.draw(
                sum(each.done for each in self._of.values()),
                sum(max(each.expected, each.done) for each in self._of.values()),
                waiting,
            )


class _One:
    """One survey's part of the line."""

    def __init__(self, cluster: str, take: Callable[[str, Progress], None]) -> None:
        self._cluster = cluster
        self._take = take

    def show(self, progress: Progress) -> None:
        """Hand it on."""
        self._take(self._cluster, progress)


def capacity_of_many(
    app: Application, clusters: tuple[str, ...], wish: Wish, screen: Screen, write: Callable[[View], None]
) -> int:
    """
    Survey clusters, a few at a time, and show their tables or schemas together, the largest first.

    Returns:
        The exit code, as of `fleet`.

    Raises:
        UsageError: what was asked for is of one cluster.
    """
    alone = [name for name in _ALONE if getattr(wish, name)]
    if alone:
        raise click.UsageError(f"--{alone[0]} is of one cluster at a time")
    app.policies.names()
    progress = JobProgress(screen.messages, screen.messages_look, noun="tables")
    together, underway = _Together(progress), Underway()

    def work(cluster: str) -> _Sized:
        door = Door(cluster=cluster, face="job", confirmer=NoTerminal())
        with app.open(door) as session, underway.holding(session.gate.stop):
            asker = Asker(gate=session.gate, rules=session.rules)
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
        screen.messages.write("what was read is kept: the same command goes on from there\n")
    found = [member for member in members if member.found is not None]
    if wish.form == "table":
        for member in found:
            _say_headline(member, screen)
    write(_merged(found, wish))
    return exit_code_of(members)


def _say_headline(member: Member[_Sized], screen: Screen) -> None:
    assert member.found is not None
    schemas = member.found.schemas
    total, tables = sum(each.total_bytes for each in schemas), sum(each.tables for each in schemas)
    said = headline(member.found.report, tables, total, len(schemas))
    screen.messages.write(f"{in_words(said, screen.messages_look)}\n")


def _merged(members: Iterable[Member[_Sized]], wish: Wish) -> View:
    """Return the views of all clusters as one, the largest first."""
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
