"""`safeconsole audit replay`: what the terminal showed, played back."""

from __future__ import annotations

import re
import sys
import time

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.recordable import GONE, doubt_about, noted_digest
from safeconsole.shells.cli.audit_keeping import HasKeeping

_ALLOWED_SEQUENCE = r"\x1b\[[0-9;]*[A-HJKSTfm]|\x1b\[\?(?:25|2004)[hl]"
_SEQUENCE = re.compile(
    rf"({_ALLOWED_SEQUENCE})"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x06\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""Control sequences: the first group moves, erases and colours; any other could answer, rename or write elsewhere."""


def tame(text: str) -> str:
    """Return terminal output with nothing in it but text, movement, erasure and colour: a recording is data."""
    return _SEQUENCE.sub(lambda found: found.group(1) or "", text)


@click.command("replay")
@click.argument("session")
@click.option("--speed", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Times as fast.")
@click.option("--max-idle", type=click.FloatRange(0), default=2.0, show_default=True, help="Longest pause, in seconds.")
@click.pass_obj
def replay_command(app: HasKeeping, session: str, speed: float, max_idle: float) -> None:
    """Play back what the terminal showed in SESSION; the beginning of its id is enough."""
    archive = app.archive()
    entries = list(archive.entries(session))
    if not entries:
        raise ConfigurationError(f"nothing of session {session} can be read")
    try:
        recorded = app.keeping().recording(entries[0].session)
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
