"""`safeconsole audit new-key|prune|ship|replay|serve`: the journals' keys, retention, copies, recordings and pages."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial

import click

from safeconsole.audit.record import GONE, doubt_about, noted_digest
from safeconsole.audit.recording import read_recording, tame
from safeconsole.audit.retention import keep
from safeconsole.audit.shipping import open_shipper
from safeconsole.cli.application import Application
from safeconsole.cli.audit_query import Moment
from safeconsole.cli.rows import format_option, write_rows
from safeconsole.errors import ConfigurationError


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
    """Remove or pack old sessions.

    A removed session leaves a tombstone in the host log, so that `verify` still succeeds. A session whose review is
    open, or that fails verification, is kept.
    """
    if remove_before is None and pack_before is None:
        raise ConfigurationError("nothing to do", instead="give --remove-before 365d, --pack-before 30d, or both")
    done = keep(
        app.audit_directory(app.person),
        app.settings().audit,
        app.clock,
        remove_before=remove_before or "",
        pack_before=pack_before or "",
        dry=dry_run,
    )
    write_rows(PRUNED_COLUMNS, [(one.session, one.act, one.why, one.freed_bytes) for one in done], form)


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
    from safeconsole.web.server import LOOPBACK, Desk, PageServer, new_keys

    try:
        server = PageServer(port)
    except OSError as error:
        raise ConfigurationError(f"port {port} is not available: {(error.strerror or '').lower()}") from error
    keys = new_keys(server.server_port)
    recording = partial(read_recording, app.audit_directory(app.person))
    server.desk = Desk(archive=app.archive, reviews=app.reviews, recording=recording, keys=keys)
    click.echo(f"http://{LOOPBACK}:{server.server_port}/open?token={keys.token}")
    click.echo("open it in a browser on this computer; Ctrl-C ends it", err=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
