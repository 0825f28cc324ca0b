"""What goes into the recording of the terminal when something was entered."""

from __future__ import annotations

from safeconsole.core.errors import SafeConsoleError
from safeconsole.core.recordable import why_left_out
from safeconsole.shells.sql.commands import sql_in
from safeconsole.shells.sql.prompting import prompt_parts
from safeconsole.shells.sql.state import ConsoleState

SHOW_NO_STATEMENT = frozenset(
    {
        "\\topology", "\\status", "\\s", "\\use", "\\u", "\\help", "\\h", "\\?", "\\timeout", "\\rows", "\\format",
        "\\keys", "\\pager", "\\stand-down", "\\quit", "\\q",
    }
)  # fmt: skip
"""Commands that show nothing of an earlier statement; any other may show the last one."""

SHOW_ALL_STATEMENTS = frozenset({"\\history", "\\edit", "\\e"})


def tape_entry(state: ConsoleState, text: str) -> None:
    """Put the prompt and what was entered into the recording, as the journal holds it, and mute what must be."""
    tape = state.tape
    if not tape.is_on:
        return
    prompt = "".join(part for _, part, *_ in prompt_parts(state.gate.status()))
    own, sql = sql_in(text)
    try:
        statements = state.gate.split(sql) if sql else ()
        tape.entered(prompt, f"{own} {state.gate.as_recorded(sql) if sql else ''}".strip())
    except SafeConsoleError as error:
        tape.entered(prompt, "")
        tape.mute(f"it cannot be read: {error.message}")
        return
    if _shows_again(state, own.split(" ")[0]):
        tape.mute("it may show again what was left out")
    for statement in statements:
        tape.watch(statement)


def _shows_again(state: ConsoleState, command: str) -> bool:
    """Whether a command could show an earlier statement that was left out."""
    if not command or command in SHOW_NO_STATEMENT or not state.tape.has_left_out:
        return False
    if command in SHOW_ALL_STATEMENTS:
        return True
    last = state.gate.last()
    earlier = [*([last.statement] if last else []), *state.gate.split(state.last_sql)]
    return any(why_left_out(statement, state.gate.policy.literals) for statement in earlier)
