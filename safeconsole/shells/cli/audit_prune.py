"""`safeconsole audit prune`: old sessions are packed, older ones removed, each leaving a tombstone."""

from __future__ import annotations

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.shells.cli.audit_keeping import HasKeeping
from safeconsole.shells.cli.audit_query import Moment
from safeconsole.shells.cli.output import format_option, write_rows

PRUNED_COLUMNS = ("session", "act", "why", "freed_bytes")


@click.command("prune")
@click.option("--remove-before", type=Moment(), default=None, help="Remove sessions opened before, such as 365d.")
@click.option("--pack-before", type=Moment(), default=None, help="Pack sessions opened before, such as 30d.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@format_option
@click.pass_obj
def prune_command(
    app: HasKeeping, remove_before: str | None, pack_before: str | None, *, dry_run: bool, form: str
) -> None:
    """
    Remove or pack old sessions.

    What is removed leaves its head in the host log, so that `verify` still holds. A session whose
    review is open, and one that does not verify, is kept.
    """
    if remove_before is None and pack_before is None:
        raise ConfigurationError("nothing to do", instead="give --remove-before 365d, --pack-before 30d, or both")
    done = app.keeping().prune(remove_before=remove_before or "", pack_before=pack_before or "", dry=dry_run)
    write_rows(PRUNED_COLUMNS, [(one.session, one.act, one.why, one.freed_bytes) for one in done], form)
