"""Commands that run, repeat or export statements; each passes the gate."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace

from safeconsole.cluster.engine import Column, Row
from safeconsole.console.plans import explain_statement
from safeconsole.console.running import (
    HeldRows,
    Reshape,
    held_result,
    indexes_shown,
    run_text,
    show_statement,
    size_shown,
    write_statement,
)
from safeconsole.console.state import ConsoleState
from safeconsole.dialects import queries
from safeconsole.errors import ConfigurationError
from safeconsole.output.evidence import one_line
from safeconsole.output.formats import is_csv_null, render
from safeconsole.output.presenting import ResultPrinter, ResultStyle
from safeconsole.output.text import PLAIN, ROW_FORMATS, safe, safe_lines, shown, size_text
from safeconsole.queries import filled, named_queries, named_query
from safeconsole.sqltext.statement import Statement

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".md": "markdown",
    ".txt": "table",
    ".parquet": "parquet",
    ".sql": "insert",
}
"""Formats by the ending of a file's name."""

_PART_MODE = 0o600
_EXPORT_NULL = re.compile(r"--null[ =](?:'[^']*'|\S+)(?: +|$)")


def export_statement(state: ConsoleState, path: Path, statement: Statement, *, null: str | None = None) -> None:
    """Run a read and write its rows to a new file that only its owner can read.

    Args:
        null: what stands for NULL in CSV, None for the default.

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
    target = None
    if format_name in ROW_FORMATS:
        from safeconsole.output.row_statements import target_of  # noqa: PLC0415 (few need it)

        format_name = state.format if state.format in ROW_FORMATS else format_name
        target = target_of(statement, format_name, state.session, state.services.rules())
    part = path.with_name(f"{path.name}.part")
    try:
        if path.exists():
            raise ConfigurationError(f"{safe(str(path))} is there already: choose another name")
        descriptor = _open_part(state, part)
    except OSError as error:
        raise ConfigurationError(f"{safe(str(part))} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="", errors="backslashreplace") as file:
        screen = replace(state.screen(), data=file, data_style=PLAIN)
        shape = ResultStyle(
            format=format_name,
            header=False,
            null=null,
            target=target,
            more_rows="\\rows N",
            most_rows=state.session.policy.ceilings.fetched_rows,
        )
        done = write_statement(state, statement, ResultPrinter(screen, shape, state.session.last))
        file.flush()
        # MUST come before the file is closed, which ends its lock: another export would replace it.
        _keep(state, part, path, done=done)


def _open_part(state: ConsoleState, part: Path) -> int:
    """Open a temporary file for rows; replaces only what an earlier export left.

    Raises:
        ConfigurationError: what is there is no export's, or another console writes it now.
        OSError: it cannot be made.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return _locked(part, os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        descriptor = _locked(part, os.open(part, flags))
    os.ftruncate(descriptor, 0)
    state.say(f"replacing {safe(str(part))}, which an export that was cut short left")
    return descriptor


def _locked(part: Path, descriptor: int) -> int:
    """Lock an export's open file until it is closed. Raises as `_open_part`, with the file closed."""
    found, refusal = os.fstat(descriptor), ""
    is_own_file = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_nlink == 1
    if not is_own_file or stat.S_IMODE(found.st_mode) & ~_PART_MODE:
        refusal = "is there already, and no export made it"
    else:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The export that held the lock may have given the file its name meanwhile.
            refusal = "" if part.stat().st_ino == found.st_ino else "is written by another export"
        except (BlockingIOError, FileNotFoundError):
            refusal = "is written by another export"
    if refusal:
        os.close(descriptor)
        raise ConfigurationError(f"{safe(str(part))} {refusal}: choose another name")
    return descriptor


def _keep(state: ConsoleState, part: Path, path: Path, *, done: bool) -> None:
    """Rename the file once it is complete; an incomplete file never has the final name."""
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


LEAST_SECONDS = 1.0
"""A read that is repeated more often than this is a load test."""

MARK = " *"


def watch_statement(state: ConsoleState, statement: Statement, seconds: float) -> None:
    """Run a read at an interval through the gate; an error or Ctrl-C ends it.

    Raises:
        ConfigurationError: the statement is no read, or the span is too short.
    """
    if not statement.is_plain_read:
        raise ConfigurationError(f"only a read is repeated, and this is {statement.kind}")
    if not LEAST_SECONDS <= seconds < float("inf"):
        raise ConfigurationError(f"\\watch repeats at most once in {LEAST_SECONDS:g} s")
    before: Sequence[Row] | None = None
    try:
        while True:
            held = held_result(state, statement)
            if held is None:
                return
            state.answer(_page(state, statement, held, before, seconds))
            before = held.rows
            state.services.pause(seconds)
    except KeyboardInterrupt:
        state.say("no longer watched")


def marked(columns: Sequence[Column], rows: Sequence[Row], before: Sequence[Row] | None) -> list[Row]:
    """Return rows as text, with a mark behind each cell that changed since the previous run."""
    return [
        tuple(
            _marked_cell(value, changed=_changed(value, before, at, place), numeric=columns[place].numeric)
            for place, value in enumerate(row)
        )
        for at, row in enumerate(rows)
    ]


def _changed(value: object, before: Sequence[Row] | None, at: int, place: int) -> bool:
    if before is None:
        return False
    return at >= len(before) or place >= len(before[at]) or before[at][place] != value


def _marked_cell(value: object, *, changed: bool, numeric: bool) -> str:
    # Numbers are aligned right: what carries no mark is moved by its width, so that digits stay below each other.
    return shown(value) + (MARK if changed else " " * len(MARK) if numeric else "")


def _page(
    state: ConsoleState,
    statement: Statement,
    held: HeldRows,
    before: Sequence[Row] | None,
    seconds: float,
) -> str:
    style = state.screen().data_style
    clear = "\x1b[2J\x1b[H" if style.decorated else ""
    title = f"{one_line(statement.text)} · every {seconds:g} s · Ctrl-C ends it\n"
    rows = marked(held.columns, held.rows, before)
    more = f"({held.count - len(rows):,} more rows)\n" if held.count > len(rows) else ""
    return clear + title + render(held.columns, rows, "table", style) + more


def tables(state: ConsoleState, argument: str) -> None:
    dialect = state.services.rules().dialect
    name = argument.rstrip(";").strip()
    _run(state, queries.columns_sql(dialect, name) if name else dialect.queries.tables)


def indexes(state: ConsoleState, argument: str) -> None:
    name = argument.rstrip(";").strip()
    if not name:
        raise ConfigurationError("\\di needs the name of a table")
    dialect = state.services.rules().dialect
    _run(state, queries.indexes_sql(dialect, name), indexes_shown if dialect.queries.in_show_words else None)


def size(state: ConsoleState, argument: str) -> None:
    name = argument.rstrip(";").strip()
    if not name:
        raise ConfigurationError("\\size needs the name of a table", instead="\\capacity for all of them")
    dialect = state.services.rules().dialect
    _run(state, queries.size_sql(dialect, name), size_shown if dialect.queries.in_show_words else None)


def again_vertical(state: ConsoleState, _argument: str) -> None:
    statement = _statement(state, "")
    _run(state, f"{statement.text}\\G")


def explain(state: ConsoleState, argument: str) -> None:
    explain_statement(state, _statement(state, argument))


def null_option(argument: str) -> tuple[str, str]:
    r"""Split `\export` arguments into the NULL option with its blank, or "", and the rest."""
    end = found.end() if (found := _EXPORT_NULL.match(argument)) else 0
    return argument[:end], argument[end:]


def export(state: ConsoleState, argument: str) -> None:
    option, argument = null_option(argument)
    null = option.strip()[len("--null ") :].strip("'") if option else None
    if null is not None and not is_csv_null(null):
        raise ConfigurationError("the text for NULL may not contain a comma, a quote or a line end")
    name, _, sql = argument.partition(" ")
    if not name:
        raise ConfigurationError("\\export needs the name of a file")
    path = Path(name).expanduser()
    if null is not None and ENDINGS.get(path.suffix.lower()) != "csv":
        raise ConfigurationError(f"--null is for CSV, and {safe(path.name)} is not CSV")
    export_statement(state, path, _statement(state, sql), null=null)


def run_query(state: ConsoleState, argument: str) -> None:
    """Run a named query with its values, as if its text were typed."""
    try:
        name, *values = shlex.split(argument)
    except ValueError:
        what = "a quote is not closed" if argument.strip() else "\\run needs the name of a query"
        raise ConfigurationError(what, instead="\\queries lists them") from None
    query = named_query(state.services.queries, name)
    text = filled(query, values, state.services.rules())
    state.session.note("named query", f"{query.name}, sha256 {query.digest[:16]}")
    run_text(state, text)


def queries_(state: ConsoleState, argument: str) -> None:
    """List the named queries, or show one."""
    directory = state.services.queries
    if argument:
        query = named_query(directory, argument)
        state.answer("\n".join(safe_lines(query.text.rstrip())))
        state.say(f"usage: \\run {safe(query.usage)}")
        return
    found = named_queries(directory)
    if not found:
        state.say(f"there is no query in {safe(directory)}")
        return
    rows = [
        (name, f"cannot be used: {query.message}", "")
        if isinstance(query, ConfigurationError)
        else (name, query.about, " ".join(each.usage for each in query.parameters))
        for name, query in found.items()
    ]
    state.answer(render(("name", "what it is for", "parameters"), rows, "table", state.screen().data_style))


def watch(state: ConsoleState, argument: str) -> None:
    try:
        seconds = float(argument or "2")
    except ValueError:
        raise ConfigurationError("\\watch needs seconds") from None
    watch_statement(state, _statement(state, ""), seconds)


def edit(state: ConsoleState, argument: str) -> None:
    """Open the statement in the person's editor, and put the edited text at the prompt."""
    environ = state.streams.environ
    editor = environ.get("VISUAL") or environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="safeconsole-") as folder:
        path = Path(folder, "statement.sql")
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(argument or state.draft or state.last_sql)
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise ConfigurationError(
                f"the editor {editor!r} failed: {error}", instead="set $VISUAL or $EDITOR"
            ) from error
        state.draft = path.read_text(encoding="utf-8", errors="replace").strip()


def _statement(state: ConsoleState, sql: str) -> Statement:
    statements = state.session.split(sql or state.last_sql)
    if not statements:
        raise ConfigurationError("there is no statement yet: type one, or give it after the command")
    return statements[-1]


def _run(state: ConsoleState, sql: str, shape: Reshape | None = None) -> bool:
    shape = shape if state.format in {"table", "vertical"} else None
    return all(show_statement(state, statement, shape=shape) for statement in state.session.split(sql))
