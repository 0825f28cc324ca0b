"""Writes a whole result to a new file, in the format that its ending names."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.statement import Statement
from safeconsole.shells.sql.running import run_statement
from safeconsole.shells.sql.state import ConsoleState
from safeconsole.shells.terminal.cells import safe
from safeconsole.shells.terminal.looks import PLAIN
from safeconsole.shells.terminal.measures import size_text
from safeconsole.shells.terminal.presenting import Shape, StreamPresenter

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".md": "markdown",
    ".txt": "table",
    ".parquet": "parquet",
}
"""Which format a file's ending asks for."""


def export_statement(state: ConsoleState, path: Path, statement: Statement) -> None:
    """
    Run a statement that only reads, and write its rows to a new file that its owner alone can read.

    Raises:
        ConfigurationError: the file is there already or cannot be made, its ending names no format, or it is no read.
    """
    format_name = ENDINGS.get(path.suffix.lower())
    if format_name is None:
        raise ConfigurationError(f"no format for {safe(path.name)}: the file's name ends in one of {' '.join(ENDINGS)}")
    if format_name == "parquet" and find_spec("pyarrow") is None:
        raise ConfigurationError(
            "Parquet files are written by pyarrow, which is not installed here",
            instead="install safeconsole[parquet], or export to .csv or .jsonl",
        )
    if not statement.is_plain_read:
        raise ConfigurationError(f"only a read is exported, and this is {statement.kind}")
    part = path.with_name(f"{path.name}.part")
    try:
        if path.exists():
            raise ConfigurationError(f"{safe(str(path))} is there already: choose another name")
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{safe(str(part))} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="", errors="backslashreplace") as file:
        screen = replace(state.screen(), data=file, data_look=PLAIN)
        shape = Shape(
            format=format_name,
            header=False,
            more_rows="\\rows N",
            most_rows=state.gate.policy.ceilings.fetched_rows,
        )
        done = run_statement(state, statement, StreamPresenter(screen, shape, state.gate.last))
    _keep(state, part, path, done=done)


def _keep(state: ConsoleState, part: Path, path: Path, *, done: bool) -> None:
    """Give the file its name once it is whole; what is not whole never has it."""
    try:
        size = part.stat().st_size
        if done:
            # A link, not a rename: it fails where another file took the name meanwhile.
            os.link(part, path)
        if done or size == 0:
            part.unlink()
    except OSError as error:
        state.say(f"the rows are in {safe(str(part))}: it could not be named {safe(path.name)}: {error.strerror}")
        return
    if done:
        state.say(f"wrote {safe(str(path))}, {size_text(size)}")
    elif size:
        state.say(f"incomplete: what arrived is in {safe(str(part))}, {size_text(size)}")
