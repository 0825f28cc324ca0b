"""`safeconsole audit replay`: what the terminal showed, played back."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.record import Entry, Noticed
from safeconsole.core.recordable import TERMINAL_RECORDED
from safeconsole.shells.cli.audit_keeping import HasKeeping

_ALLOWED_SEQUENCE = r"\x1b\[[0-9;]*[A-HJKSTfm]|\x1b\[\?(?:25|2004)[hl]"
_SEQUENCE = re.compile(
    rf"({_ALLOWED_SEQUENCE})"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x06\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)
"""Control sequences: the first group moves, erases and colours; any other could answer, rename or write elsewhere."""


def tame(text: str) -> str:
    """Return terminal output with nothing in it but text, movement, erasure and colour: a recording is data."""
    return _SEQUENCE.sub(lambda found: found.group(1) or "", text)


def recorded_digest(entries: Iterable[Entry]) -> str:
    """Return the SHA-256 of the recording that a session closed with, as its journal says, or ""."""
    noted = (entry.record for entry in entries if isinstance(entry.record, Noticed))
    return next((note.detail for note in noted if note.what == TERMINAL_RECORDED), "")


@click.command("replay")
@click.argument("session")
@click.option("--speed", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Times as fast.")
@click.option("--max-idle", type=click.FloatRange(0), default=2.0, show_default=True, help="Longest pause, in seconds.")
@click.pass_obj
def replay_command(app: HasKeeping, session: str, speed: float, max_idle: float) -> None:
    """Play back what the terminal showed in SESSION; the beginning of its id is enough."""
    entries = list(app.archive().entries(session))
    if not entries:
        raise ConfigurationError(f"nothing of session {session} can be read")
    first, keeping = entries[0], app.keeping()
    noted = recorded_digest(entries)
    if noted and keeping.recording_digest(first.session) != noted:
        click.echo("this is not the recording that the session closed with: somebody changed it", err=True)
    before = 0.0
    for moment, text in keeping.recording(first.session):
        time.sleep(min(max(moment - before, 0.0), max_idle) / speed)
        before = moment
        sys.stdout.write(tame(text))
        sys.stdout.flush()
    sys.stdout.write("\x1b[0m\n" if sys.stdout.isatty() else "\n")
