"""Source that a person enters, or gives as a file: recorded, then run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import linecache
import os
import sys
import tokenize
from types import CodeType
from typing import Any

import safeconsole
from safeconsole.errors import SafeConsoleError
from safeconsole.python.audit_hook import marked
from safeconsole.python.namespace import Rows
from safeconsole.python.session import PythonSession
from safeconsole.python.tracebacks import console_error, failure_text, interrupted_text
from safeconsole.sqltext.literal_rules import Treatment
from safeconsole.sqltext.redaction import DROPPED, SECRET, may_hold_secret

# Source that a person enters: recorded, then run. What the journal gets is the source with the values that its rules
# take out of statements taken out of it too: the statements it sends have records of their own.

_LEFT_OUT = "<left out: it cannot be read, and may hold a secret>"
_TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def recorded_source(source: str, *, drop_literals: bool) -> str:
    """
    Return source as the journal may hold it; never raises for what it says.

    Args:
        source: what was entered.
        drop_literals: whether the policy keeps literals out of the journal.
    """
    secret = may_hold_secret(source)
    if not secret and not drop_literals:
        return source
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return _LEFT_OUT
    if any(token.type == tokenize.ERRORTOKEN for token in tokens):
        return _LEFT_OUT
    return "".join(_without_values(source, tokens, instead=SECRET if secret else DROPPED, numbers=drop_literals))


def _without_values(source: str, tokens: list[tokenize.TokenInfo], *, instead: str, numbers: bool) -> list[str]:
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    parts, done = [], 0
    for token in tokens:
        taken = token.type in _TEXTS or (numbers and token.type == tokenize.NUMBER)
        if not taken or token.start[0] > len(lines):
            continue
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if start < done:
            continue
        parts += [source[done:start], instead if token.type != tokenize.COMMENT else "#"]
        done = end
    return [*parts, source[done:]]


# Before Python 3.12 an f-string is one STRING token; since then its pieces are tokens of their own.
_TEXTS = frozenset(
    {
        tokenize.STRING,
        tokenize.COMMENT,
        *(getattr(tokenize, name) for name in ("FSTRING_MIDDLE", "TSTRING_MIDDLE") if hasattr(tokenize, name)),
    }
)


@marked(console=True)
def enter(session: PythonSession, source: str) -> None:
    """Record source in the journal; it runs only after that.

    Raises:
        AuditUnavailableError: it could not be recorded.
    """
    dropped = session.gate.policy.literals.strictest is not Treatment.KEEP
    recorded = recorded_source(source, drop_literals=dropped)
    session.gate.enter_code(recorded)
    session.recorder.entered(">>> ", recorded)
    if may_hold_secret(source):
        session.recorder.mute("it is about a secret")
    elif session.recorder.has_left_out:
        # What was read before is in the person's variables.
        session.recorder.mute("it may show again what was left out")


def run_source(session: PythonSession, source: str, namespace: dict[str, Any], *, name: str) -> object:
    """
    Record source and run it.

    Args:
        name: what tracebacks call it, such as a file's path.

    Returns:
        The value of an expression, None for statements.

    Raises:
        AuditUnavailableError: the source could not be recorded.
        BaseException: whatever the code raises.
    """
    enter(session, source)
    # So that tracebacks can show the lines of what was typed.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    code = _expression(source, name) or compile(source, name, "exec", flags=_TOP_LEVEL_AWAIT, dont_inherit=True)
    # The whole purpose: the person's own code, in the person's own process.
    result = eval(code, namespace)  # noqa: S307
    return asyncio.run(result) if code.co_flags & inspect.CO_COROUTINE else result


def _expression(source: str, name: str) -> CodeType | None:
    try:
        code: CodeType = compile(source.strip(), name, "eval", flags=_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError:
        return None
    return code


def forget_current_directory() -> None:
    """Import nothing from wherever the console happens to be started, unless PYTHONPATH names it."""
    here = os.path.realpath(os.curdir)
    wanted = {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}
    # The console's own code may lie there, where it is run from its source.
    wanted.add(os.path.dirname(os.path.dirname(os.path.realpath(safeconsole.__file__))))  # noqa: PTH120
    sys.path[:] = [path for path in sys.path if os.path.realpath(path or os.curdir) != here or here in wanted]
    sys.path[:] = [path for path in sys.path if path not in {"", "."}]


# One-shots: code from the command line, a file or a pipe, run once.

FAILED, INTERRUPTED = 1, 130


def run_script(session: PythonSession, source: str, namespace: dict[str, Any], *, name: str) -> int | SafeConsoleError:
    """
    Run code once; a last expression that has a value is printed.

    Args:
        name: what tracebacks call it.

    Returns:
        0, what the console refused or stopped, 1 for any other failure, 130 for an interrupt.
    """
    screen = session.screen
    try:
        with session.at_work():
            result = run_source(session, source, namespace, name=name)
            if result is not None:
                screen.data.write(f"{result.text() if isinstance(result, Rows) else repr(result)}".rstrip("\n") + "\n")
    except KeyboardInterrupt as error:
        screen.messages.write(interrupted_text(error))
        refusal = console_error(error)
        return refusal or INTERRUPTED
    except Exception as error:  # noqa: BLE001 (it is the person's code that failed, and they are told)
        screen.messages.write(failure_text(error, screen.messages_style))
        refusal = console_error(error)
        return refusal or FAILED
    finally:
        screen.data.flush()
        screen.messages.flush()
    return 0
