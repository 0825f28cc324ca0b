"""`safeconsole audit ship`: send what the configured sinks have not taken yet."""

from __future__ import annotations

import click

from safeconsole.shells.cli.audit_keeping import HasKeeping
from safeconsole.shells.cli.output import format_option, write_rows

SHIPPED_COLUMNS = ("sink", "lines", "trouble")
NOT_ALL_TAKEN = 1
"""Exit code when a sink did not take everything."""


@click.command("ship")
@format_option
@click.pass_context
def ship_command(ctx: click.Context, form: str) -> None:
    """Send copies to the configured sinks, once; a console does the same in the background."""
    app: HasKeeping = ctx.obj
    done = list(app.keeping().ship())
    if not done:
        click.echo("no sink is configured; see docs/audit.md, audit.sinks", err=True)
    write_rows(SHIPPED_COLUMNS, [(one.sink, one.lines, one.trouble) for one in done], form)
    if any(one.trouble for one in done):
        ctx.exit(NOT_ALL_TAKEN)
