"""Commands that ask for, repeat or write results; each statement walks the whole road."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Flavour
from safeconsole.shells.sql import catalogue, shaping
from safeconsole.shells.sql.explaining import explain_statement
from safeconsole.shells.sql.exporting import export_statement
from safeconsole.shells.sql.running import show_statement
from safeconsole.shells.sql.state import ConsoleState
from safeconsole.shells.sql.watching import watch_statement


def tables(state: ConsoleState, argument: str) -> None:
    """List tables, or the columns of one."""
    flavour = state.services.rules().flavour
    name = argument.rstrip(";").strip()
    _run(state, catalogue.columns_sql(flavour, name) if name else catalogue.tables_sql(flavour))


def indexes(state: ConsoleState, argument: str) -> None:
    """List the indexes of a table."""
    name = argument.rstrip(";").strip()
    if not name:
        raise ConfigurationError("\\di needs the name of a table")
    flavour = state.services.rules().flavour
    _run(state, catalogue.indexes_sql(flavour, name), None if flavour is Flavour.SQLITE else shaping.indexes)


def size(state: ConsoleState, argument: str) -> None:
    """Read the size of one table."""
    name = argument.rstrip(";").strip()
    if not name:
        raise ConfigurationError("\\size needs the name of a table", instead="\\capacity for all of them")
    flavour = state.services.rules().flavour
    _run(state, catalogue.size_sql(flavour, name), None if flavour is Flavour.SQLITE else shaping.size)


def processlist(state: ConsoleState, _argument: str) -> None:
    """List the statements at work on the node."""
    flavour = state.services.rules().flavour
    shape = shaping.at_work(0 if state.pager else state.screen().data_look.columns)
    if _run(state, catalogue.processlist_sql(flavour), shape):
        state.say("an account without PROCESS sees its own statements alone")


def locks(state: ConsoleState, _argument: str) -> None:
    """List who waits for whose row lock on the node."""
    flavour = state.services.rules().flavour
    if not _run(state, catalogue.locks_sql(flavour)):
        state.say(catalogue.locks_grant(flavour))


def again_vertical(state: ConsoleState, _argument: str) -> None:
    """Run the last statement again, vertically."""
    statement = _statement(state, "")
    _run(state, f"{statement.text}\\G")


def explain(state: ConsoleState, argument: str) -> None:
    """Show the plan of a statement."""
    explain_statement(state, _statement(state, argument))


def export(state: ConsoleState, argument: str) -> None:
    """Write a result to a file."""
    name, _, sql = argument.partition(" ")
    if not name:
        raise ConfigurationError("\\export needs the name of a file")
    export_statement(state, Path(name).expanduser(), _statement(state, sql))


def watch(state: ConsoleState, argument: str) -> None:
    """Repeat the last read."""
    try:
        seconds = float(argument or "2")
    except ValueError:
        raise ConfigurationError("\\watch needs seconds") from None
    watch_statement(state, _statement(state, ""), seconds)


def edit(state: ConsoleState, argument: str) -> None:
    """Open the statement in the person's editor, and put what they leave at the prompt."""
    environ = state.streams.environ
    editor = environ.get("VISUAL") or environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="safeconsole-") as folder:
        path = Path(folder, "statement.sql")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(argument or state.last_sql)
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise ConfigurationError(
                f"the editor {editor!r} failed: {error}", instead="set $VISUAL or $EDITOR"
            ) from error
        state.draft = path.read_text(encoding="utf-8", errors="replace").strip()


def _statement(state: ConsoleState, sql: str) -> Statement:
    """Return the one statement that a command is about: the one given, or the last one typed."""
    statements = state.gate.split(sql or state.last_sql)
    if not statements:
        raise ConfigurationError("there is no statement yet: type one, or give it after the command")
    return statements[-1]


def _run(state: ConsoleState, sql: str, shape: shaping.Reshape | None = None) -> bool:
    """Run a command's own statement; whether it ended well. What a program reads is left as the server says it."""
    shape = shape if state.format in {"table", "vertical"} else None
    return all(show_statement(state, statement, shape=shape) for statement in state.gate.split(sql))
