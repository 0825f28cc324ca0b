"""`safeconsole fleet`: one read on many clusters, rows labelled by cluster."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from safeconsole import interrupts
from safeconsole.cli.application import Application, Door, exit_code_of
from safeconsole.cli.rows import format_option
from safeconsole.cli.scripts import limit_options, limits_of, null_option, read_script
from safeconsole.cluster.engine import Column, Row
from safeconsole.errors import ConfigurationError
from safeconsole.fleet import AT_ONCE, ClusterOutcome, Underway, clusters_named, over_clusters
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.evidence import error_text
from safeconsole.output.formats import RowWriter, writer_for
from safeconsole.output.presenting import Screen, screen_of
from safeconsole.output.text import counted
from safeconsole.session.result import Result

Found = TypeVar("Found")


@click.command()
@click.argument("patterns", nargs=-1, required=True, metavar="CLUSTERS...")
@click.option("-e", "--execute", "text", metavar="SQL", help="The statement to run.")
@click.option("-f", "--file", "file", metavar="FILE", help="Read the statement from a file, `-` for standard input.")
@click.option("-D", "--schema", default="", help="Schema to start in.")
@limit_options
@click.option("--at-once", type=click.IntRange(1, 64), default=AT_ONCE, show_default=True, help="Clusters at a time.")
@format_option
@null_option
@click.pass_obj
def fleet(app: Application, /, patterns: tuple[str, ...], form: str, at_once: int, **given: object) -> int:
    """Run one statement on many CLUSTERS, given by name, shell pattern or @label, on a replica of each.

    Each cluster has its own policy, limits and journal. Rows are printed as they arrive, with the cluster's name first.
    When a limit stops one, no further cluster is started. Ctrl-C stops what runs, on the servers too; a second one
    leaves. The exit code is that of the clusters that failed, the highest when they differ.
    """
    text, file = given["text"], given["file"]
    if bool(text) == bool(file):
        raise click.UsageError("give one statement, with -e or -f")
    sql = str(text) if text else read_script(str(file))
    limits = limits_of(given)
    clusters = clusters_named(patterns, app.settings().clusters)
    # Looked up before the threads begin: what is found out once is found out by one of them.
    app.policies.names()
    screen = screen_of(sys.stdout, sys.stderr, app.environ)
    null = None if given["null"] is None else str(given["null"])
    sink, underway = _FleetResult(screen, form, null), Underway()

    def work(cluster: str) -> int:
        door = Door(
            person=app.person,
            cluster=cluster,
            face="fleet",
            confirmer=NoTerminal(),
            to="replica",
            schema=str(given["schema"]),
            limits=limits,
        )
        with app.open(door) as opened, underway.holding(opened.session.stop):
            statements = opened.session.split(sql)
            if len(statements) != 1:
                raise ConfigurationError(f"a fleet runs one statement at a time, and there are {len(statements)}")
            return sink.take(cluster, opened.session.execute(statements[0], as_text=True))

    with stopped_by_the_person(underway):
        members = tell_members(over_clusters(clusters, work, at_once=at_once, underway=underway), screen, underway)
    sink.end()
    return code_of_all(members)


@contextmanager
def stopped_by_the_person(underway: Underway) -> Iterator[None]:
    """Make interrupts stop the running work instead of raising at an arbitrary line."""
    before = signal.signal(signal.SIGINT, lambda *_: underway.interrupt())
    try:
        with interrupts.answered_by(underway.interrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def code_of_all(members: Sequence[ClusterOutcome[Any]]) -> int:
    """Return 0 if every cluster succeeded, else the highest exit code; one not begun counts as 5."""
    codes = [exit_code_of(member.error) for member in members if member.error is not None]
    codes += [5 for member in members if not member.begun]
    return max(codes, default=0)


def tell_members(
    members: Iterable[ClusterOutcome[Found]],
    screen: Screen,
    underway: Underway,
    *,
    before: Callable[[], None] = lambda: None,
) -> list[ClusterOutcome[Found]]:
    """Report how each cluster ended, as it ends, and the totals.

    Args:
        underway: knows whether the person stopped them.
        before: called before anything is reported.
    """
    held: list[ClusterOutcome[Found]] = []
    echoed = False
    for member in members:
        held.append(member)
        before()
        if underway.words and not echoed and screen.messages_style.terminal:
            # The terminal has shown `^C` where the next line begins.
            screen.messages.write("\n")
            echoed = True
        if member.error is not None:
            screen.messages.write(f"{member.cluster}: {error_text(member.error).removeprefix('safeconsole: ')}")
        elif not member.begun:
            why = "you stopped it" if underway.words else "another cluster ran into a limit"
            screen.messages.write(f"{member.cluster}: not started: {why}\n")
    before()
    well = sum(member.error is None and member.begun for member in held)
    screen.messages.write(f"{well} of {counted(len(held), 'cluster')} answered\n")
    return held


class _FleetResult:
    """The combined result: rows of all clusters under one header, written one cluster at a time."""

    def __init__(self, screen: Screen, form: str, null: str | None) -> None:
        self._screen = screen
        self._form = form
        self._null = null
        self._lock = threading.Lock()
        self._columns: tuple[str, ...] | None = None
        self._writer: RowWriter | None = None

    def take(self, cluster: str, result: Result) -> int:
        """Write the rows of one cluster as they arrive, and return how many they were."""
        count = 0
        with result:
            if result.columns:
                self._begin(cluster, result.columns)
            for batch in result:
                self._rows(cluster, batch)
                count += len(batch)
        return count

    def _begin(self, cluster: str, columns: tuple[Column, ...]) -> None:
        names = tuple(column.name for column in columns)
        with self._lock:
            if self._columns is None:
                self._columns = names
                whole = (Column(name="cluster"), *columns)
                screen = self._screen
                self._writer = writer_for(self._form, whole, screen.data, screen.data_style, null=self._null)
            elif names != self._columns:
                raise ConfigurationError(
                    f"{cluster} has other columns than the clusters before it: {', '.join(names)}",
                    instead="name the columns in the statement",
                )

    def _rows(self, cluster: str, batch: Sequence[Row]) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.rows([(cluster, *row) for row in batch])

    def end(self) -> None:
        if self._writer is not None:
            self._writer.end()
        self._screen.data.flush()
