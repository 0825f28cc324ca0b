"""Runs what was typed: one statement after the other, each down the whole road, stopping at the first that fails."""

from __future__ import annotations

from collections.abc import Sequence

from safeconsole.core.errors import SafeConsoleError
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Verdict
from safeconsole.interfaces import Presenter
from safeconsole.shells.sql.state import ConsoleState
from safeconsole.shells.terminal.confirming import YES
from safeconsole.shells.terminal.evidence import one_line
from safeconsole.shells.terminal.measures import counted

SHOWN_STATEMENTS = 20
"""Statements of a pasted script that are listed one by one."""


def run_text(state: ConsoleState, text: str, *, pasted: bool = False) -> None:
    """Run every statement of a text; several at once are shown before anything runs."""
    statements = state.gate.split(text)
    if not statements:
        return
    state.last_sql = text.strip()
    if len(statements) > 1 and not _agreed(state, statements, pasted=pasted):
        state.say("nothing was run")
        return
    for at, statement in enumerate(statements, start=1):
        if not run_statement(state, statement, state.presenter()):
            left = len(statements) - at
            if left:
                state.say(f"{counted(left, 'statement')} after it {'was' if left == 1 else 'were'} not run")
            return


def run_statement(state: ConsoleState, statement: Statement, presenter: Presenter) -> bool:
    """Run one statement and show what came of it; whether it ended well."""
    before = state.gate.status()
    try:
        state.gate.run(statement, presenter)
    except SafeConsoleError as error:
        state.refuse(error)
        return False
    except KeyboardInterrupt:
        # Raised between statements, where there is nothing on a server to stop.
        state.say("interrupted")
        return False
    except Exception as error:  # noqa: BLE001 (the loop shows what broke and goes on)
        state.say(f"safeconsole: this is a fault of safeconsole: {type(error).__name__}: {error}")
        return False
    after = state.gate.status()
    if before.node != after.node and before.role == after.role:
        # The person did not ask for another node: the one they were on is no longer fit.
        state.say(f"moved from {before.node} to {after.node}: \\topology says why")
    return True


def _agreed(state: ConsoleState, statements: Sequence[Statement], *, pasted: bool) -> bool:
    """List the statements with what the policy says of each; whether they may run one after the other."""
    verdicts = [state.services.preview(statement).verdict for statement in statements]
    worst = max(verdicts)
    state.say(f"{counted(len(statements), 'statement')}, the strictest verdict is {worst.word}:")
    for number, (statement, verdict) in enumerate(zip(statements, verdicts, strict=True), start=1):
        if number <= SHOWN_STATEMENTS or verdict is not Verdict.ALLOW:
            state.say(f"  {number}. {verdict.word}: {statement.kind}: {one_line(statement.text)[:100]}")
    if not pasted and worst is Verdict.ALLOW:
        return True
    try:
        return state.streams.ask(f'run them in this order? type "{YES}": ').strip() == YES
    except (EOFError, KeyboardInterrupt):
        return False
