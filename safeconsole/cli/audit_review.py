"""`safeconsole audit review|rejudge|export`: sessions to review, another policy's verdicts, statements by options."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import msgspec

from safeconsole.audit.archive import LocalArchive
from safeconsole.audit.export import ocsf_event
from safeconsole.audit.record import Asked, Decided, Entry, SessionSummary
from safeconsole.audit.rejudging import Rejudged, rejudge
from safeconsole.audit.review import (
    Review,
    ReviewAct,
    ReviewState,
    by_session,
    lacks_closing_note,
    reasons_for_review,
    state_of,
)
from safeconsole.audit.search import OUTCOMES, VERDICTS, Query, found, moment_of, query_of
from safeconsole.audit.story import StatementStory
from safeconsole.cli.application import Application
from safeconsole.cli.rows import format_option, write_list, write_rows
from safeconsole.cluster.engine import Row
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import safe
from safeconsole.policy.policy import Policy


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


STORED_OPTION = click.option(
    "--from",
    "places",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Search Parquet files of `audit export`, or directories of them, instead of the journal of this computer.",
)


def statements_found(
    app: Application, query: Query, sessions: tuple[str, ...], places: tuple[Path, ...]
) -> Iterator[StatementStory]:
    """Yield matching statements, from the journal of this computer or from exported files."""
    if not places:
        return found(app.archive(), query, sessions, unread=complain)
    from safeconsole.audit.stored import stored

    return stored(places, query, sessions)


def complain(what: str) -> None:
    click.echo(safe(what), err=True)


STORY_FIELDS = StatementStory.__struct_fields__

_LINES: dict[str, Callable[[StatementStory], object]] = {"jsonl": lambda story: story, "ocsf": ocsf_event}


@click.command("export")
@click.argument("text", default="")
@query_options
@STORED_OPTION
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "ocsf", "parquet"]),
    default="jsonl",
    show_default=True,
    help="One JSON object a line, comma-separated values, OCSF Datastore Activity, one event a line, or Parquet.",
)
@click.pass_obj
def export_command(
    app: Application, /, text: str, sessions: tuple[str, ...], places: tuple[Path, ...], form: str, **fields: object
) -> None:
    """Write all fields of the statements matching TEXT and the options."""
    stories = statements_found(app, query_of(text, fields), sessions, places)
    if form == "parquet":
        if sys.stdout.isatty():
            raise ConfigurationError(
                "a Parquet file cannot be shown in a terminal", instead="… --format parquet > FILE"
            )
        from safeconsole.audit.parquet import write_parquet

        write_parquet(stories, sys.stdout.buffer)
        return
    if form == "csv":
        write_rows(STORY_FIELDS, map(_statement_row, stories), "csv")
        return
    encode, shape = msgspec.json.Encoder().encode, _LINES[form]
    for story in stories:
        sys.stdout.write(encode(shape(story)).decode() + "\n")


def _statement_row(story: StatementStory) -> tuple[object, ...]:
    values = (getattr(story, name) for name in STORY_FIELDS)
    return tuple(", ".join(value) if isinstance(value, tuple) else value for value in values)


LISTED_COLUMNS = ("session", "opened, UTC", "person", "cluster", "state", "waits for", "why")
QUEUE_COLUMNS = ("session", "opened", "person", "cluster", "state", "reasons", "waits_for", "by", "note")


@click.command("review")
@click.argument("session", default="")
@click.option("--approve", "act", flag_value=ReviewAct.APPROVE.value, help="Approve the session.")
@click.option("--flag", "act", flag_value=ReviewAct.FLAG.value, help="Flag for discussion; with --note.")
@click.option("--note", default="", help="A note; alone, it is the person's own closing note.")
@click.option("--all", "everything", is_flag=True, help="List reviewed sessions too.")
@format_option
@click.pass_obj
def review_command(app: Application, session: str, act: str | None, note: str, *, everything: bool, form: str) -> None:
    """List the sessions that need a review, or review SESSION.

    Nobody reviews their own session. A break-glass session needs its person's closing note first.
    """
    summaries, book = app.archive().sessions(), app.reviews()
    if not session:
        if act or note:
            raise ConfigurationError("which session?", instead="safeconsole audit review SESSION --approve")
        waiting = _queue(summaries, book.reviews(), everything=everything)
        if form == "table":
            write_list(LISTED_COLUMNS, map(_listed, waiting))
        else:
            write_rows(QUEUE_COLUMNS, waiting, form)
        return
    if act is None and not note:
        raise ConfigurationError(
            "give --approve, --flag or --note",
            instead=f"safeconsole audit show {session} shows what was done",
        )
    summary = _summary(summaries, session)
    review = book.add(summary, ReviewAct(act or ReviewAct.NOTE), note)
    click.echo(safe(f"session {review.session}: {review.act} by {review.by}"))
    ended = [summary for summary in summaries if not summary.live]
    waiting = [row[0] for row in _queue(tuple(ended), book.reviews(), everything=False)]
    if waiting:
        click.echo(f"next: safeconsole audit show {waiting[0]}", err=True)


def _listed(row: Row) -> Row:
    session, opened, person, cluster, state, reasons, waits_for, by, note = map(str, row)
    said = f"{reasons}; {by}: {note}" if note else reasons
    return (session, opened[:16].replace("T", " "), person, cluster, state, waits_for, said)


def _summary(summaries: tuple[SessionSummary, ...], session: str) -> SessionSummary:
    exact = [summary for summary in summaries if summary.session == session]
    found = exact or [summary for summary in summaries if summary.session.startswith(session)]
    if len(found) != 1:
        what = "is ambiguous" if found else "does not exist"
        raise ConfigurationError(f"session {session} {what}", instead="safeconsole audit list names them")
    return found[0]


def _queue(summaries: tuple[SessionSummary, ...], reviews: tuple[Review, ...], *, everything: bool) -> list[Row]:
    wanted = {ReviewState.PENDING, ReviewState.FLAGGED} | ({ReviewState.APPROVED} if everything else set())
    rows, found = [], by_session(reviews)
    for summary in summaries:
        own = found.get(summary.session, [])
        state = state_of(summary, own)
        if state not in wanted:
            continue
        last = own[-1] if own else None
        # Nobody keeps what they did from being seen by leaving the session open.
        waits = "its end" if summary.live else summary.person if lacks_closing_note(summary, own) else "a reviewer"
        rows.append(
            (
                summary.session,
                summary.opened,
                summary.person,
                summary.cluster,
                state.value,
                ", ".join(reasons_for_review(summary)),
                waits if state is ReviewState.PENDING else "",
                last.by if last else "",
                last.note if last else "",
            )
        )
    return rows


REJUDGED_COLUMNS = (
    "asked", "session", "statement", "person", "cluster", "change", "was", "now", "rules", "message", "sql",
)  # fmt: skip


class Change(StrEnum):
    """How another policy's decision differs from the recorded one."""

    STRICTER = "stricter"
    LOOSER = "looser"
    SAME = "same"
    UNPROVEN = "unproven"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Selects recorded decisions; "" matches any.

    Attributes:
        sessions: ids or prefixes, none for all.
        since, until: prefixes of UTC times, both included.
        console: include what the console itself asked.
    """

    sessions: tuple[str, ...] = ()
    person: str = ""
    cluster: str = ""
    since: str = ""
    until: str = ""
    console: bool = False


@click.command("rejudge")
@click.option("--policy", "name", metavar="NAME|FILE", required=True, help="The policy to try.")
@click.option("--since", type=Moment(), help="From this time on.")
@click.option("--until", type=Moment(), help="Until this time.")
@click.option("--person", default="", help="Login identity.")
@click.option("--cluster", default="", help="Cluster.")
@click.option("--session", "sessions", multiple=True, help="Only this session; may be repeated.")
@click.option("--console", is_flag=True, help="Include the console's own statements.")
@click.option("--all", "everything", is_flag=True, help="Include unchanged decisions.")
@format_option
@click.pass_obj
def rejudge_command(app: Application, /, name: str, *, everything: bool, form: str, **span: object) -> None:
    """Judge recorded statements again by another policy, from the facts recorded with them.

    Asks no server and runs nothing. Prints the decisions that would differ; one is "unproven" where the policy names a
    fact that was not recorded. The counts go to standard error.
    """
    policy = app.policies.load(name)
    counts: Counter[Change] = Counter()
    given = {name: value for name, value in span.items() if value is not None}
    found = _rejudged(app.archive(), policy, Span(**given), counts)  # type: ignore[arg-type]  # click has checked them
    write_rows(REJUDGED_COLUMNS, (row for change, row in found if everything or change is not Change.SAME), form)
    told = ", ".join(f"{counts[change]} {change}" for change in Change)
    click.echo(f"{safe(policy.label)}: {counts.total()} decisions judged again: {told}", err=True)


def _rejudged(
    archive: LocalArchive, policy: Policy, span: Span, counts: Counter[Change]
) -> Iterator[tuple[Change, Row]]:
    for summary in sessions_in(archive, span):
        if summary.trouble:
            click.echo(f"session {safe(summary.session)} cannot be read completely: {safe(summary.trouble)}", err=True)
        asked: dict[int, Asked] = {}
        held: list[tuple[Entry, Decided]] = []
        for entry in archive.entries(summary.session):
            if isinstance(entry.record, Asked):
                asked[entry.record.statement] = entry.record
            elif isinstance(entry.record, Decided) and is_within(entry.time, span):
                held.append((entry, entry.record))
        for (entry, decided), again in zip(held, rejudge(policy, (each for _, each in held)), strict=True):
            question = asked.get(decided.statement)
            if question is not None and question.by_console and not span.console:
                continue
            change = _change(again)
            counts[change] += 1
            yield change, _row(summary, entry, question.sql if question else "", change, again)


def sessions_in(archive: LocalArchive, span: Span) -> Iterator[SessionSummary]:
    """Yield the sessions that have something within a span."""
    summaries = archive.sessions()
    # A beginning that names none, or more than one, is refused by the archive, not passed over.
    named = {next(archive.entries(each)).session for each in span.sessions}
    for summary in summaries:
        over = bool(span.since) and bool(summary.closed) and not is_within(summary.closed, Span(since=span.since))
        if (
            (not named or summary.session in named)
            and (not span.person or span.person == summary.person)
            and (not span.cluster or span.cluster == summary.cluster)
            and not over
        ):
            yield summary


def is_within(time: str, span: Span) -> bool:
    """Return whether a moment is within a span."""
    return time >= span.since and (not span.until or time[: len(span.until)] <= span.until)


def _change(again: Rejudged) -> Change:
    if again.missing:
        return Change.UNPROVEN
    if again.is_stricter:
        return Change.STRICTER
    return Change.LOOSER if again.is_looser else Change.SAME


def _row(summary: SessionSummary, entry: Entry, sql: str, change: Change, again: Rejudged) -> Row:
    where = (entry.time, summary.session, again.statement, summary.person, summary.cluster)
    if change is Change.UNPROVEN:
        said: Row = ("", "", f"not recorded then: {', '.join(again.missing)}")
    else:
        said = (again.now.verdict.word, ", ".join(again.now.rules), again.now.message)
    return (*where, change.value, again.was.word, *said, sql)
