"""The console's commands as one table, from which help, completion and the documentation are generated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from safeconsole.audit.record import why_left_out
from safeconsole.console import incident, killing, result_commands, session_commands, top
from safeconsole.console.prompt import prompt_parts
from safeconsole.console.state import After, ConsoleState
from safeconsole.errors import SafeConsoleError
from safeconsole.output.evidence import one_line

_SHELL = "use another terminal; a production console runs no shell commands"
_SCRIPT = "safeconsole sql CLUSTER -f FILE in a shell; or paste the file: it is listed before anything runs"
_PAGER = "\\pager COMMAND, \\pager on and \\pager off"
_TEE = "every session is recorded already: safeconsole audit show; \\export FILE writes a result"
_LINK = "lost connections are reopened automatically, with their guards; \\use NODE chooses one"
_WARNINGS = "warnings are always shown below their statement"

ELSEWHERE: Mapping[str, str] = {
    "\\!": _SHELL,
    "system": _SHELL,
    "\\.": _SCRIPT,
    "source": _SCRIPT,
    "\\P": _PAGER,
    "pager": _PAGER,
    "\\n": _PAGER,
    "nopager": _PAGER,
    "\\T": "\\format NAME; " + _TEE,
    "tee": _TEE,
    "\\t": _TEE,
    "notee": _TEE,
    "\\r": _LINK,
    "connect": _LINK,
    "\\#": "names are learnt automatically",
    "rehash": "names are learnt automatically",
    "\\x": "a row wider than the terminal is shown vertically; \\format vertical turns all",
    "\\o": "\\export FILE",
    "\\f": "\\queries lists the team's named queries, \\run NAME runs one; \\history WORDS searches what was typed",
    "\\fs": "named queries are files that a team reviews: \\queries says where",
    "\\fd": "named queries are files that a team reviews: \\queries says where",
    "\\c": "Ctrl-C clears the line",
    "\\W": _WARNINGS,
    "\\w": _WARNINGS,
    "warnings": _WARNINGS,
    "nowarning": _WARNINGS,
    "\\timing": "the time is always shown below each result",
    "\\l": "SHOW SCHEMAS;",
    "\\df": "SHOW FUNCTION STATUS;",
    "\\du": "SHOW GRANTS; for this account; those of others are the administrator's to read",
    "\\i": _SCRIPT,
    "\\conninfo": "\\status, and \\topology for every node",
    "\\d+": "\\d TABLE for columns, \\di TABLE for indexes, \\size TABLE for the size",
    "\\dt+": "\\dt for names, \\size TABLE or \\capacity for sizes",
    "\\di+": "\\di TABLE",
    "\\dv": "SHOW FULL TABLES WHERE Table_type = 'VIEW';",
}
"""By the first word, in its case: what to do here. Source: the manuals of mysql, mariadb, mycli and psql."""


def done_here_by(text: str) -> str:
    """Return the command here for one typed by habit from another client, or ""."""
    line = text.strip()
    if "\n" in line or not line:
        return ""
    word = line.split()[0].rstrip(";")
    return ELSEWHERE.get(word if word.startswith("\\") else word.lower(), "")


Run = Callable[[ConsoleState, str], After | None]
"""Carries a command out; takes what was typed after its name."""

_BARE_WORDS = {
    "quit": "\\quit",
    "exit": "\\quit",
    "help": "\\help",
    "?": "\\help",
    "status": "\\status",
    "edit": "\\edit",
}
"""Commands of the mysql client that people type without a backslash."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command.

    Attributes:
        names: with their backslash, the first one is taught.
        task: the heading it stands under in help.
        help: what it does, one line.
        run: see `Run`.
    """

    names: tuple[str, ...]
    arguments: str
    task: str
    help: str
    run: Run


def _help(state: ConsoleState, argument: str) -> None:
    state.answer(help_text(argument))


def _leave(_state: ConsoleState, _argument: str) -> After:
    return After.LEAVE


_ROWS: tuple[tuple[str, str, str, str, Run], ...] = (
    ("\\dt \\d", "", "look around", "names of the tables in this schema", result_commands.tables),
    ("\\d", "TABLE", "look around", "columns of a table", result_commands.tables),
    ("\\di", "TABLE", "look around", "indexes of a table", result_commands.indexes),
    ("\\size", "TABLE", "look around", "size of one table, opening it alone", result_commands.size),
    ("\\u", "SCHEMA", "look around", "change to another schema", session_commands.use_schema),
    ("\\capacity", "[OPTIONS]", "look around", "sizes of schemas and tables", session_commands.capacity),
    ("\\processlist", "[NODE|ID]", "incident", "what runs on a node, or one session whole", incident.processlist),
    ("\\locks", "[NODE]", "incident", "who blocks whom, oldest transaction first", incident.locks),
    ("\\transactions", "[NODE]", "incident", "open transactions, oldest first", incident.transactions),
    ("\\connections", "[NODE]", "incident", "connections by account and host", incident.connections),
    ("\\top", "[NODE] [SECONDS]", "incident", "live: numbers and statements; q leaves", top.top),
    (
        "\\kill",
        "[--query] ID | [--idle] --older-than SECONDS --user ACCOUNT",
        "incident",
        "end sessions, elevated, and see them gone",
        killing.kill,
    ),
    ("\\topology", "", "where it goes", "measure every node, show which are fit", session_commands.topology),
    ("\\use", "replica|primary|NODE|auto", "where it goes", "send what follows there", session_commands.use),
    ("\\status \\s", "", "where it goes", "node, limits and elevation in force", session_commands.status),
    ("\\why", "", "what may run", "evidence and rules behind the last decision", session_commands.why),
    ("\\explain", "[SQL]", "what may run", "the plan as a tree, without running it", result_commands.explain),
    (
        "\\preview",
        "[SQL]",
        "what may run",
        "rows that a change would touch, before and after",
        session_commands.preview,
    ),
    (
        "\\once",
        "[--ticket ID] [REASON]",
        "what may run",
        "run the refused statement, elevated",
        session_commands.once,
    ),
    (
        "\\elevate",
        "[--ticket ID] [--for MINUTES] [REASON]",
        "what may run",
        "open an elevation window",
        session_commands.elevate,
    ),
    ("\\stand-down", "", "what may run", "end the elevation now", session_commands.stand_down),
    ("\\timeout", "[SECONDS]", "limits", "seconds that a statement may run", session_commands.timeout),
    ("\\rows", "[N]", "limits", "rows that are shown and fetched", session_commands.rows),
    ("\\bytes", "[SIZE]", "limits", "bytes that are fetched, as 500M or 2G", session_commands.bytes_),
    (
        "\\format",
        "[FORMAT]",
        "results",
        "table vertical json jsonl csv tsv markdown insert update",
        session_commands.format_,
    ),
    ("\\G", "", "results", "the last statement again, one line a value", result_commands.again_vertical),
    (
        "\\export",
        "[--null TEXT] FILE [SQL]",
        "results",
        "write all rows to a new file; x.csv is CSV",
        result_commands.export,
    ),
    ("\\pager", "[on|off|COMMAND]", "results", "hand rows to a pager, as wide as they are", session_commands.pager),
    ("\\watch", "SECONDS", "results", "repeat the last read, changes marked", result_commands.watch),
    ("\\run", "NAME [VALUES]", "named queries", "run a query of the team by its name", result_commands.run_query),
    ("\\queries", "[NAME]", "named queries", "their names and parameters, or one whole", result_commands.queries_),
    ("\\edit \\e", "[SQL]", "typing", "edit the statement in $VISUAL or $EDITOR", result_commands.edit),
    ("\\history", "[WORDS]", "typing", "what was typed in this console", session_commands.history),
    ("\\keys", "emacs|vi", "typing", "which editor's keys the prompt has", session_commands.keys),
    ("\\help \\h \\?", "[COMMAND]", "typing", "this page", _help),
    ("\\quit \\q", "", "typing", "leave; so does Ctrl-D", _leave),
)

COMMANDS: tuple[Command, ...] = tuple(
    Command(names=tuple(names.split()), arguments=arguments, task=task, help=text, run=run)
    for names, arguments, task, text, run in _ROWS
)
"""Every command, in the order of help."""

_BY_NAME = {name: command for command in COMMANDS for name in command.names}


def command_arguments() -> dict[str, str]:
    return {name: command.arguments for name, command in _BY_NAME.items()}


def is_bare_word(text: str) -> bool:
    """Whether a text is a command that people type without a semicolon: `exit`, `use shop`."""
    word = text.strip().rstrip(";").strip().lower()
    return word in _BARE_WORDS or re.fullmatch(r"use\s+[`\w$-]+", word) is not None or bool(done_here_by(text))


def dispatch(state: ConsoleState, text: str) -> After | None:
    """Run a command, show its error if there is one, and return what the console does next.

    Returns:
        None when the text is no command.
    """
    line = _line_of(text)
    if not line.startswith("\\"):
        instead = done_here_by(line)
        if instead:
            state.say(f"{one_line(line.split()[0])} is not available here; instead: {instead}")
        return After.STAY if instead else None
    name, argument, command = _read(line)
    if command is None:
        instead = done_here_by(name)
        state.say(
            f"{one_line(name)} is not available here; instead: {instead}"
            if instead
            else f"safeconsole: no command {one_line(name)}: {meant(name)}\\help lists them"
        )
        return After.STAY
    if command.run is _leave:
        # Leaving always leaves, also where nothing can be recorded any more.
        with suppress(SafeConsoleError):
            state.session.note("command", one_line(name))
        return After.LEAVE
    try:
        shown, sql = _parted(command, name, argument)
        state.session.note("command", one_line(shown), sql=sql)
        return command.run(state, argument.strip()) or After.STAY
    except SafeConsoleError as error:
        state.refuse(error)
    except (EOFError, KeyboardInterrupt):
        state.say("interrupted")
    return After.STAY


def sql_in(text: str) -> tuple[str, str]:
    """Split typed text into a command's own part, or "", and the SQL after it."""
    line = _line_of(text)
    if not line.startswith("\\"):
        return "", text
    name, argument, command = _read(line)
    return (line, "") if command is None else _parted(command, name, argument)


def _line_of(text: str) -> str:
    line = text.strip()
    return _BARE_WORDS.get(line.rstrip(";").strip().lower(), line)


def _read(line: str) -> tuple[str, str, Command | None]:
    name, _, argument = line.partition(" ")
    return name, argument, _BY_NAME.get(name) or _BY_NAME.get(name.rstrip(";"))


def _parted(command: Command, name: str, argument: str) -> tuple[str, str]:
    if "[VALUES]" in command.arguments:
        # Values are part of the statement, which is recorded as any other.
        return f"{name} {argument.split(' ', maxsplit=1)[0]}".rstrip(), ""
    if "[SQL]" not in command.arguments:
        return f"{name} {argument}".rstrip(), ""
    option, argument = result_commands.null_option(argument) if "--null" in command.arguments else ("", argument)
    words = command.arguments.removeprefix("[--null TEXT] ").split().index("[SQL]")
    parts = argument.split(" ", words)
    return f"{name} {option}" + " ".join(parts[:words]) if words else name, " ".join(parts[words:])


def meant(name: str) -> str:
    """Return the command closest to a misspelt name, as the beginning of a hint, or ""."""
    near = difflib.get_close_matches(name.lower(), _BY_NAME, n=1, cutoff=0.7) if len(name) > 2 else []
    return f"perhaps {near[0]}; " if near else ""


def help_text(argument: str = "") -> str:
    name = argument if argument.startswith("\\") else f"\\{argument}"
    chosen = [command for command in COMMANDS if argument and name in command.names]
    if argument and not chosen:
        return f"no command {one_line(argument)}: {meant(name)}\\help lists them\n"
    lines: list[str] = []
    task = ""
    for command in chosen or COMMANDS:
        if command.task != task:
            task = command.task
            lines.append(f"{task}\n")
        lines += _help_lines(command)
    if not chosen:
        lines.append("Ctrl-C stops a running statement on the server, and clears the line at a prompt.\n")
        lines.append("End a statement with ; or \\G; Esc Enter sends what stands there.\n")
    return "".join(lines)


def _help_lines(command: Command) -> Iterable[str]:
    usage = f"{' '.join(command.names)} {command.arguments}".strip()
    if len(usage) <= 32:
        return (f"  {usage:<32}  {command.help}\n",)
    return (f"  {usage}\n", f"  {'':<32}  {command.help}\n")


SHOW_NO_STATEMENT = frozenset(
    {
        "\\topology", "\\status", "\\s", "\\use", "\\u", "\\help", "\\h", "\\?", "\\timeout", "\\rows", "\\bytes",
        "\\format", "\\queries",
        "\\keys", "\\pager", "\\stand-down", "\\quit", "\\q",
    }
)  # fmt: skip
"""Commands that show nothing of an earlier statement; any other may show the last one."""

SHOW_ALL_STATEMENTS = frozenset({"\\history", "\\edit", "\\e"})


def record_entry(state: ConsoleState, text: str) -> None:
    """Write the prompt and the entry into the recording, redacted as in the journal, and mute output that may hold
    secrets.
    """
    recorder = state.recorder
    if not recorder.is_on:
        return
    prompt = "".join(part for _, part, *_ in prompt_parts(state.session.status()))
    own, sql = sql_in(text)
    try:
        statements = state.session.split(sql) if sql else ()
        recorder.entered(prompt, f"{own} {state.session.as_recorded(sql) if sql else ''}".strip())
    except SafeConsoleError as error:
        recorder.entered(prompt, "")
        recorder.mute(f"it cannot be read: {error.message}")
        return
    if _shows_again(state, own.split(" ")[0]):
        recorder.mute("it may show again what was left out")
    for statement in statements:
        recorder.watch(statement)


def _shows_again(state: ConsoleState, command: str) -> bool:
    if not command or command in SHOW_NO_STATEMENT or not state.recorder.has_left_out:
        return False
    if command in SHOW_ALL_STATEMENTS:
        return True
    last = state.session.last()
    earlier = [*([last.statement] if last else []), *state.session.split(state.last_sql)]
    return any(why_left_out(statement, state.session.policy.literals) for statement in earlier)
