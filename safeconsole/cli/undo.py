"""`safeconsole undo`: shows the statement that puts the rows of a change back, and runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from safeconsole.audit.kept import NOT_KEPT_OF, KeptChange, kept_change
from safeconsole.audit.record import Noticed
from safeconsole.cli.application import Application, Door, told_failure
from safeconsole.cli.sql import confirmer_of, one_shot_words
from safeconsole.errors import ConfigurationError, RefusedError, SafeConsoleError
from safeconsole.output.presenting import ResultPrinter, ResultStyle, screen_of
from safeconsole.output.text import safe, until_text
from safeconsole.sqltext.undoing import undo_of


@click.command()
@click.argument("spot", metavar="SESSION#STATEMENT")
@click.option("--reason", default="", metavar="TEXT", help="Why it is undone.")
@click.option("--ticket", default="", metavar="ID", help="Incident or change that this is for.")
@click.option("--confirm", default="", metavar="CLUSTER", help="The cluster's name, typed to grant the elevation.")
@click.option("--despite", multiple=True, metavar="RULE", help="Answer a rule that asks once more; repeatable.")
@click.pass_obj
def undo(app: Application, /, spot: str, reason: str, ticket: str, confirm: str, despite: tuple[str, ...]) -> int:
    """Undo the change SESSION#STATEMENT: print the statement that puts its rows back; with --reason, run it.

    It runs elevated like any change, in one transaction. Where a row of it changed since, all of it is rolled back.
    """
    from safeconsole.session.context import Justification

    change = _kept_of(app, spot)
    text, count = undo_of(change.rows), len(change.rows.before)
    click.echo(safe(f"undoes, until {until_text(change.until_epoch)}: {change.sql}"), err=True)
    if change.rows.unseen:
        click.echo(f"not put back: {safe(change.rows.unseen)}", err=True)
    if not count:
        raise ConfigurationError("it found no rows, so there is nothing to put back")
    if not reason.strip():
        click.echo(f"{text};")
        return 0
    door = Door(
        person=app.person,
        cluster=change.cluster,
        face="one-shot",
        confirmer=confirmer_of(app, confirm),
        schema=change.schema,
        justification=Justification(reason=reason, ticket=ticket, despite=despite),
    )
    try:
        with app.open(door) as opened:
            opened.session.note("undo", f"{change.session}#{change.statement}")
            (statement,) = opened.session.split(text)
            # On record, since its plan is asked of a server.
            considered = opened.session.check(statement)
            server = considered.identity.server if considered.identity else ""
            if server != change.server:
                raise RefusedError(
                    f"nothing was undone: it was made on {change.server}, and the primary is {server or 'unknown'}",
                    instead="look at the rows, and put them back by hand: without --reason the statement is printed",
                )
            printer = ResultPrinter(screen_of(sys.stdout, sys.stderr, app.environ), ResultStyle(), opened.session.last)
            try:
                printer.show(opened.session.execute(statement, exactly_rows=count, progress=printer.progress))
            finally:
                printer.progress.end()
    except SafeConsoleError as error:
        return told_failure(error, app.environ, words=one_shot_words)
    return 0


def _kept_of(app: Application, spot: str) -> KeptChange:
    """Return a change's kept rows. Raises ConfigurationError: there are none, and why as far as the journal knows."""
    try:
        return kept_change(Path(app.settings().audit.directory), spot)
    except ConfigurationError as error:
        session, _, number = spot.partition("#")
        try:
            records = [entry.record for entry in app.archive().entries(session)]
        except ConfigurationError:
            raise error from None
        for record in records:
            if isinstance(record, Noticed) and record.what == f"{NOT_KEPT_OF} {number}":
                raise ConfigurationError(
                    f"{spot}: {record.detail}", instead="look at the rows, and put them back by hand"
                ) from None
        raise
