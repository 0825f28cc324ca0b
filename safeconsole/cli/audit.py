"""`safeconsole audit`: what was asked, refused and done, whether the journal is intact, and its upkeep."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import click
from msgspec.structs import replace

from safeconsole.audit.archive import LocalArchive
from safeconsole.audit.kept import purge_kept
from safeconsole.audit.narrative import Passage, narrate, passage_of
from safeconsole.audit.record import GONE, Entry, Finding, SessionSummary, doubt_about, moment_in, noted_digest
from safeconsole.audit.recording import read_recording, tame
from safeconsole.audit.retention import keep
from safeconsole.audit.search import query_of
from safeconsole.audit.shipping import open_shipper
from safeconsole.audit.story import StatementStory
from safeconsole.cli.application import Application
from safeconsole.cli.audit_review import (
    STORED_OPTION,
    Moment,
    export_command,
    query_options,
    rejudge_command,
    review_command,
    statements_found,
)
from safeconsole.cli.rows import format_option, write_list, write_rows
from safeconsole.cluster.engine import Row
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import FORMATS, StreamStyle, clock_text, in_words, safe, stream_style


@click.command("new-key")
@click.argument("where", metavar="FILE|keyring")
@click.option(
    "--for",
    "use",
    type=click.Choice(["signing", "literals"]),
    default="signing",
    show_default=True,
    help="Purpose of the key.",
)
def new_key_command(where: str, use: str) -> None:
    """Create a key, and print the lines for the configuration. Run as root for a key that only root can read."""
    if use == "literals":
        from safeconsole.audit.keys import new_literal_key

        new_literal_key(where)
        click.echo("[audit]")
        click.echo(f'literal_key = "{where}"')
        return
    from safeconsole.audit.signing import new_key

    public = new_key(where)
    click.echo("[audit]")
    click.echo(f'signing_key = "{where}"')
    click.echo(f'public_keys = ["{public}"]')


PRUNED_COLUMNS = ("session", "act", "why", "freed_bytes")


@click.command("prune")
@click.option("--remove-before", type=Moment(), default=None, help="Remove sessions opened before, such as 365d.")
@click.option("--pack-before", type=Moment(), default=None, help="Pack sessions opened before, such as 30d.")
@click.option("--dry-run", is_flag=True, help="Only report what would be done.")
@format_option
@click.pass_obj
def prune_command(
    app: Application, remove_before: str | None, pack_before: str | None, *, dry_run: bool, form: str
) -> None:
    """Remove or pack old sessions, and kept rows whose days of undo are over.

    A removed session leaves a tombstone in the host log, so that `verify` still succeeds. A session whose review is
    open, or that fails verification, is kept.
    """
    directory = app.audit_directory(app.person)
    rows = [(spot, "remove", "its days of undo are over", size) for spot, size in purge_kept(directory, dry=dry_run)]
    if remove_before is None and pack_before is None and not rows:
        raise ConfigurationError("nothing to do", instead="give --remove-before 365d, --pack-before 30d, or both")
    done = keep(
        directory,
        app.settings().audit,
        app.clock,
        remove_before=remove_before or "",
        pack_before=pack_before or "",
        dry=dry_run,
    )
    rows += [(one.session, one.act, one.why, one.freed_bytes) for one in done]
    write_rows(PRUNED_COLUMNS, rows, form)


SHIPPED_COLUMNS = ("sink", "lines", "trouble")
NOT_ALL_TAKEN = 1
"""Exit code when a sink did not accept everything."""


@click.command("ship")
@format_option
@click.pass_context
def ship_command(ctx: click.Context, form: str) -> None:
    """Send copies to the configured sinks, once; a console does the same in the background."""
    app: Application = ctx.obj
    shipper = open_shipper(app.audit_directory(app.person), app.settings().audit, app.environ)
    done = shipper.ship() if shipper else ()
    if not done:
        click.echo("no sink is configured; see docs/audit.md, audit.sinks", err=True)
    write_rows(SHIPPED_COLUMNS, [(one.sink, one.lines, one.trouble) for one in done], form)
    if any(one.trouble for one in done):
        ctx.exit(NOT_ALL_TAKEN)


@click.command("replay")
@click.argument("session")
@click.option(
    "--speed", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Playback speed."
)
@click.option("--max-idle", type=click.FloatRange(0), default=2.0, show_default=True, help="Longest pause, in seconds.")
@click.pass_obj
def replay_command(app: Application, session: str, speed: float, max_idle: float) -> None:
    """Play back the terminal recording of SESSION; a unique prefix of its id is enough."""
    archive = app.archive()
    entries = list(archive.entries(session))
    if not entries:
        raise ConfigurationError(f"nothing of session {session} can be read")
    try:
        recorded = read_recording(app.audit_directory(app.person), entries[0].session)
    except ConfigurationError as error:
        if noted_digest(entries):
            raise ConfigurationError(GONE, instead=error.instead) from error
        raise
    doubt = doubt_about(recorded, entries, archive.verify(entries[0].session))
    if doubt:
        click.echo(f"WARNING: {doubt}", err=True)
    before = 0.0
    for moment, text in recorded.outputs:
        time.sleep(min(max(moment - before, 0.0), max_idle) / speed)
        before = moment
        sys.stdout.write(tame(text))
        sys.stdout.flush()
    sys.stdout.write("\x1b[0m\n" if sys.stdout.isatty() else "\n")
    if doubt:
        click.echo(f"WARNING: {doubt}", err=True)


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On 127.0.0.1; 0 picks a free one.")
@click.pass_obj
def serve_command(app: Application, port: int) -> None:
    """Show the review queue, the sessions and the search as a web page.

    Only on 127.0.0.1; the printed address works once, for one browser. Ends with Ctrl-C.
    """
    # Imported here: no other command needs a web server.
    from safeconsole.web.local import Desk, new_keys, respond
    from safeconsole.web.server import LOOPBACK, PageServer

    try:
        server = PageServer((LOOPBACK, port))
    except OSError as error:
        raise ConfigurationError(f"port {port} is not available: {(error.strerror or '').lower()}") from error
    keys = new_keys(server.server_port)
    recording = partial(read_recording, app.audit_directory(app.person))
    # One archive for all pages: it reads a session that is closed once.
    archive = app.archive()
    desk = Desk(archive=lambda: archive, reviews=app.reviews, recording=recording, keys=keys)
    server.answer = partial(respond, desk=desk)
    click.echo(f"http://{LOOPBACK}:{server.server_port}/open?token={keys.token}")
    click.echo("open it in a browser on this computer; Ctrl-C ends it", err=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


DOES_NOT_HOLD = 1
"""Exit code of `audit verify` when a record is invalid."""

SHOWN_SESSIONS = 50


@click.group()
def audit() -> None:
    """Read, search and verify the journals."""


@audit.command("list")
@click.option("--person", default="", help="Login identity.")
@click.option("--cluster", default="", help="Cluster.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=SHOWN_SESSIONS,
    show_default=True,
    help="Newest sessions to list; 0 for all.",
)
@format_option
@click.pass_obj
def list_command(app: Application, person: str, cluster: str, limit: int, form: str) -> None:
    """List sessions, the newest last."""
    archive = app.archive()
    shown, older = archive.newest(limit or archive.count(), person=person, cluster=cluster)
    if form == "table":
        write_list(LISTED_COLUMNS, map(_listed_session, shown))
    else:
        write_rows(SESSION_COLUMNS, map(_session_row, shown), form)
    if older:
        click.echo(f"{older} older sessions are not shown; see --limit", err=True)


@audit.command("show")
@click.argument("session")
@click.option("--format", "form", type=click.Choice(("story", *FORMATS)), default="story", show_default=True)
@click.pass_obj
def show_command(app: Application, session: str, form: str) -> None:
    """Show one SESSION as a story; a unique prefix of its id is enough."""
    archive = app.archive()
    entries = archive.entries(session)
    if form != "story":
        write_rows(ENTRY_COLUMNS, map(_entry_row, entries), form)
        return
    summary = archive.summary(session)
    style = stream_style(sys.stdout, app.environ)
    for passage in narrate(list(entries), live=summary.live):
        for line in _passage_lines(passage, style):
            click.echo(line)
    if summary.trouble:
        click.echo(f"not all of it can be read: {safe(summary.trouble)}", err=True)


@audit.command("search")
@click.argument("text", default="")
@query_options
@STORED_OPTION
@format_option
@click.pass_obj
def search_command(
    app: Application, /, text: str, sessions: tuple[str, ...], places: tuple[Path, ...], form: str, **fields: object
) -> None:
    """Find statements matching TEXT and the options."""
    stories = statements_found(app, query_of(text, fields), sessions, places)
    if form == "table":
        write_list(FOUND_COLUMNS, map(_found_row, stories))
    else:
        write_rows(STORY_COLUMNS, map(_story_row, stories), form)


_UNPROVEN = (
    "nothing outside this journal proves its end: records cut off there, with their host log lines, do not show; "
    "compare with a sink's copy: --against COPY"
)


@audit.command("verify")
@click.argument("session", default="")
@click.option(
    "--against",
    type=click.File("rb"),
    help="A copy kept elsewhere, one journal line a line, as a sink of this host holds it. - is standard input.",
)
@format_option
@click.pass_context
def verify_command(ctx: click.Context, session: str, against: IO[bytes] | None, form: str) -> None:
    """Verify SESSION, or all: name the first invalid record of each. Exit 1 if there is one.

    Lines removed from the end of the host log, with the sessions that they name, can be found only with a copy kept
    elsewhere: without --against, and where the copy ends earlier, a note on standard error says so.
    """
    archive: LocalArchive = ctx.obj.archive()
    findings = archive.verify(session)
    if against is not None:
        findings += _compared(archive, against)
    else:
        click.echo(_UNPROVEN, err=True)
    if form != "table":
        write_rows(FINDING_COLUMNS, map(_finding_row, findings), form)
    elif findings:
        for finding in findings:
            click.echo(_finding_line(finding))
    else:
        checked = session or _counted(archive.count(), "session")
        click.echo(f"all intact: {checked} checked")
    if findings:
        ctx.exit(DOES_NOT_HOLD)


def _compared(archive: LocalArchive, against: IO[bytes]) -> tuple[Finding, ...]:
    found = archive.compare(against)
    if not found.lines:
        raise ConfigurationError(
            f"{against.name} holds no line of a journal",
            instead="give the lines of a sink's copy, such as SELECT line FROM safeconsole_entries",
        )
    if found.unproven:
        behind = f"the copy does not reach the last {_counted(found.unproven, 'line')} of the host log"
        click.echo(f"{behind}: nothing outside proves them, nor that none is missing after them", err=True)
    unreadable = f"; {_counted(found.unreadable, 'line')} cannot be compared" if found.unreadable else ""
    click.echo(f"compared with {_counted(found.lines, 'line')} of the copy{unreadable}", err=True)
    return found.findings


SESSION_COLUMNS = (
    "session", "opened", "closed", "person", "cluster", "face",
    "statements", "changed_rows", "refused", "failed", "stopped", "elevated", "unknown", "trouble",
)  # fmt: skip
LISTED_COLUMNS = ("session", "opened, UTC", "lasted", "person", "cluster", "face", "statements")
ENTRY_COLUMNS = ("number", "time", "offset_seconds", "type", "what", "hash")
STORY_COLUMNS = (
    "asked",
    "session",
    "statement",
    "person",
    "cluster",
    "node",
    "verdict",
    "outcome",
    "rows",
    "changed_rows",
    "seconds",
    "ticket",
    "sql",
)
FOUND_COLUMNS = ("asked, UTC", "session", "#", "person", "cluster", "verdict", "outcome", "changed", "statement")
FINDING_COLUMNS = ("session", "number", "what")


def _session_row(summary: SessionSummary) -> Row:
    closed = summary.closed or ("open" if summary.live else "never")
    values = [getattr(summary, name) for name in SESSION_COLUMNS]
    values[SESSION_COLUMNS.index("closed")] = closed
    return tuple(values)


def _listed_session(summary: SessionSummary) -> Row:
    """Return a session as one short line; counts of zero are left out."""
    lasted = "open" if summary.live else "no end"
    opening, closing = moment_in(summary.opened), moment_in(summary.closed)
    if summary.closed:
        lasted = clock_text((closing - opening).total_seconds()) if opening and closing else "not known"
    held = [
        f"{number:,} {what}"
        for what in ("refused", "failed", "stopped", "elevated", "unknown")
        if (number := getattr(summary, what))
    ]
    if summary.changed_rows:
        held.append(f"{_counted(summary.changed_rows, 'row')} changed")
    said = ", ".join((str(summary.statements), *held, *((summary.trouble,) if summary.trouble else ())))
    opened = summary.opened[:16].replace("T", " ")
    return (summary.session, opened, lasted, summary.person, summary.cluster, summary.face, said)


def _entry_row(entry: Entry) -> Row:
    passage = passage_of(entry)
    kind = entry.record.__struct_config__.tag
    return (entry.number, entry.time, entry.offset_seconds, kind, "\n".join(passage.lines), entry.hash)


def _story_row(story: StatementStory) -> Row:
    where = (story.asked, story.session, story.statement, story.person, story.cluster, story.node)
    how = (story.verdict, story.outcome, story.rows, story.changed_rows, round(story.elapsed_seconds, 3))
    return (*where, *how, story.ticket, story.sql)


def _found_row(story: StatementStory) -> Row:
    when = (story.asked[:16].replace("T", " "), story.session, story.statement, story.person, story.cluster)
    return (*when, story.verdict, story.outcome, story.changed_rows, " ".join(story.sql.split()))


def _finding_row(finding: Finding) -> Row:
    return (finding.session, finding.number, finding.what)


def _finding_line(finding: Finding) -> str:
    if not finding.session:
        book, _, what = finding.what.partition(": ")
        return safe(f"line {finding.number} of the {book} is invalid: {what}")
    if finding.number < 0:
        return safe(f"session {finding.session}: {finding.what}")
    return safe(f"session {finding.session}, record {finding.number} is invalid: {finding.what}")


def _passage_lines(passage: Passage, style: StreamStyle) -> Iterator[str]:
    clock = passage.time[11:23] if passage.time else " " * 12
    before = f"{clock} {passage.offset_seconds:>9.3f} s {_SIGNS[passage.mark]} "
    first, *rest = passage.lines
    if passage.mark == "asked" or not style.terminal:
        # What was typed keeps its blanks.
        yield before + safe(first)
        yield from (" " * len(before) + safe(line) for line in rest)
        return
    said, *more = in_words(safe(first), replace(style, columns=style.columns - len(before))).split("\n")
    yield before + said
    yield from (" " * len(before) + line for line in more)
    for line in rest:
        yield from in_words(_DETAIL + safe(line), style).split("\n")


_DETAIL = " " * 8
"""Before details on a terminal, where they are many and it is narrow."""

_SIGNS = {"plain": " ", "asked": ">", "good": "+", "bad": "x", "loud": "!"}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


audit.add_command(review_command)
audit.add_command(export_command)
audit.add_command(prune_command)
audit.add_command(rejudge_command)
audit.add_command(replay_command)
audit.add_command(ship_command)
audit.add_command(new_key_command)
audit.add_command(serve_command)
