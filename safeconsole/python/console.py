"""The console: ptpython on the guarded namespace, without start-up files or `!`; source is recorded, then run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import linecache
import os
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import CodeType
from typing import Any, Protocol
from urllib.parse import quote

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory, ThreadedHistory
from ptpython.repl import PythonRepl

import safeconsole
from safeconsole import interrupts
from safeconsole.errors import AuditUnavailableError, SafeConsoleError
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
def enter(python: PythonSession, source: str) -> None:
    """Record source in the journal, before it runs.

    Raises:
        AuditUnavailableError: it could not be recorded.
    """
    dropped = python.session.policy.literals.strictest is not Treatment.KEEP
    recorded = recorded_source(source, drop_literals=dropped)
    python.session.enter_code(recorded)
    python.recorder.entered(">>> ", recorded)
    if may_hold_secret(source):
        python.recorder.mute("it is about a secret")
    elif python.recorder.has_left_out:
        # What was read before is in the person's variables.
        python.recorder.mute("it may show again what was left out")


def run_source(python: PythonSession, source: str, namespace: dict[str, Any], *, name: str) -> object:
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
    enter(python, source)
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
    """Remove the current directory from `sys.path`, unless PYTHONPATH names it."""
    here = os.path.realpath(os.curdir)
    wanted = {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}
    # The console's own code may lie there, where it is run from its source.
    wanted.add(os.path.dirname(os.path.dirname(os.path.realpath(safeconsole.__file__))))  # noqa: PTH120
    sys.path[:] = [path for path in sys.path if os.path.realpath(path or os.curdir) != here or here in wanted]
    sys.path[:] = [path for path in sys.path if path not in {"", "."}]


# One-shots: code from the command line, a file or a pipe, run once.

FAILED, INTERRUPTED = 1, 130


def run_script(python: PythonSession, source: str, namespace: dict[str, Any], *, name: str) -> int | SafeConsoleError:
    """
    Run code once; a last expression that has a value is printed.

    Args:
        name: what tracebacks call it.

    Returns:
        0, what the console refused or stopped, 1 for any other failure, 130 for an interrupt.
    """
    screen = python.screen
    try:
        with python.at_work():
            result = run_source(python, source, namespace, name=name)
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


# Completes tables and columns where Python alone knows none: behind `db.tables`, and inside the text of a statement.
# From names that were learnt already; nothing here asks a server.

SHOWN_COMPLETIONS = 100
"""More than this nobody reads; the next letter narrows them."""

LONGEST_CHARACTERS = 20_000
"""In a longer entry only Python's own names are completed: typing must stay quick."""

_TABLE = re.compile(r"\bdb\.tables\.(\w*)\Z")
_COLUMN = re.compile(r"\bdb\.tables\.(\w+)\.(?:c|columns)\.(\w*)\Z")
_STATEMENT = re.compile(
    r"\b(?:sql|execute|executemany|text|read_sql|read_sql_query)\(\s*[rR]?"
    r"(?P<quote>\"{3}|'{3}|\"|')(?P<text>(?:(?!(?P=quote)).)*)\Z",
    re.DOTALL,
)


class Names(Protocol):
    """The known names of the session's schema."""

    def learn(self) -> None:
        """Learn one more page, if a replica was asked last; never raises for a server's answer."""
        ...

    def tables_from(self, prefix: str, most: int) -> Iterable[str]:
        """Yield at most `most` tables that begin with a prefix, in any case."""
        ...

    def columns_of(self, table: str) -> Iterable[str]:
        """The columns of a table, none if they are not known yet."""
        ...

    @property
    def in_statements(self) -> Completer:
        """Completes a statement's text."""
        ...


class NamesCompleter(Completer):
    """Completes the name before the cursor.

    Args:
        python: completes everything else.
        names: see `Names`.
    """

    def __init__(self, python: Completer, names: Names) -> None:
        self._python = python
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        if len(before) > LONGEST_CHARACTERS:
            return self._python.get_completions(document, complete_event)
        if found := _COLUMN.search(before):
            return _named(self._names.columns_of(found[1]), found[2], "column")
        if found := _TABLE.search(before):
            return _named(self._names.tables_from(found[1], SHOWN_COMPLETIONS), found[1], "table")
        if found := _STATEMENT.search(before):
            after = document.text_after_cursor.partition(found["quote"])[0]
            inside = Document(found["text"] + after, len(found["text"]))
            return self._names.in_statements.get_completions(inside, complete_event)
        return self._python.get_completions(document, complete_event)


def _named(names: Iterable[str], written: str, kind: str) -> Iterator[Completion]:
    for name in names:
        # What is no identifier is written db.tables["…"].
        if name.isidentifier() and name.lower().startswith(written.lower()):
            yield Completion(name, start_position=-len(written), display_meta=kind)


# ptpython on the guarded namespace, without what leads round it: no start-up files, no `!` for shell commands.


_LEAVES = frozenset({"exit", "quit", "exit()", "quit()"})


class GuardedRepl(PythonRepl):
    """
    ptpython's loop, with each entry recorded before it runs.

    Args:
        session: the person's session.
        namespace: what the person's code sees.
        names: what completion knows of the schema, None for nothing.
        terminal: ptpython's own options, such as where keys come from.
    """

    def __init__(
        self,
        python: PythonSession,
        namespace: dict[str, Any],
        names: Names | None = None,
        **terminal: Any,  # noqa: ANN401 (ptpython's)
    ) -> None:
        super().__init__(get_globals=lambda: namespace, **terminal)
        self._python = python
        self._names = names
        if names is not None:
            self.completer = NamesCompleter(self.completer, names)
        self._namespace = namespace
        self._entered = 0
        self.confirm_exit = False
        # Both start other programs.
        self.enable_system_bindings = self.enable_open_in_editor = False
        # It evaluates what is being typed.
        self.enable_dictionary_completion = False

    def read(self) -> str:
        """Read an entry without recording its echo. Raises EOFError: input has ended."""
        if interrupts.told():
            raise EOFError
        with self._python.recorder.reading(), interrupts.answered_by(self._leave):
            return super().read()

    def _leave(self) -> None:
        loop = self.app.loop
        # It runs in a thread of its own; a loop that ends meanwhile says so by raising.
        with suppress(RuntimeError):
            if loop is not None:
                loop.call_soon_threadsafe(self._exit_prompt)

    def _exit_prompt(self) -> None:
        if self.app.is_running and not self.app.is_done:
            self.app.exit(exception=EOFError())

    def run_and_show_expression(self, expression: str) -> None:
        """Run an entry and show its result; statements can be sent only during this call."""
        with self._python.at_work():
            super().run_and_show_expression(expression)
        self._python.tell()
        if self._names is not None:
            with suppress(KeyboardInterrupt):
                self._names.learn()

    def eval(self, line: str) -> object:
        """Record an entry, then run it."""
        self._entered += 1
        try:
            result = run_source(self._python, line, self._namespace, name=f"<entry {self._entered}>")
        except AuditUnavailableError:
            if line.strip() in _LEAVES:
                # Leaving always leaves, also where nothing can be recorded any more.
                raise SystemExit(0) from None
            raise
        self._store_eval_result(result)
        return result

    async def eval_async(self, line: str) -> object:
        """Record an entry, then run it."""
        return self.eval(line)

    def _show_result(self, result: object) -> None:
        if isinstance(result, Rows):
            self._python.screen.data.write(f"{result!r}\n")
            self._python.screen.data.flush()
        else:
            super()._show_result(result)

    def _handle_exception(self, e: BaseException) -> None:
        recorder, literals = self._python.recorder, self._python.session.policy.literals
        # An error quotes values, and the line that it rose in.
        with nullcontext() if literals.strictest is Treatment.KEEP else recorder.reading():
            self._python.screen.messages.write(failure_text(e, self._python.screen.messages_style))
            self._python.screen.messages.flush()

    def _handle_keyboard_interrupt(self, e: KeyboardInterrupt) -> None:
        self._python.screen.messages.write(f"\r{interrupted_text(e)}")
        self._python.screen.messages.flush()


def run_console(
    python: PythonSession,
    namespace: dict[str, Any],
    *,
    history_directory: str = "",
    names: Names | None = None,
    **terminal: Any,  # noqa: ANN401 (ptpython's own)
) -> int:
    """
    Talk to the person until they leave; the gate is not closed.

    Args:
        history_directory: where histories are kept, "" for nowhere.
        names: what completion knows of the schema, None for nothing.
        terminal: ptpython's own options.

    Returns:
        The exit code.
    """
    forget_current_directory()
    repl = GuardedRepl(python, namespace, names, **terminal)
    repl.history = repl.default_buffer.history = _history(python, history_directory)
    repl.run()
    return 0


class PythonHistory(FileHistory):
    """A history file that never holds an entry with a secret."""

    def store_string(self, string: str) -> None:
        """Store an entry, unless it holds a secret."""
        if not may_hold_secret(string):
            super().store_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Yield entries, newest first; an unreadable history is empty."""
        try:
            return list(super().load_history_strings())
        except (OSError, UnicodeError):
            return []


def _history(python: PythonSession, directory: str) -> History:
    if not directory:
        return InMemoryHistory()
    path = Path(directory) / f"{quote(python.session.context.cluster, safe='')}.python.history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The mode matters at birth: a file that is readable for a moment is readable.
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
    except OSError as error:
        python.screen.messages.write(f"no history is kept: {directory}: {error.strerror}\n")
        return InMemoryHistory()
    return ThreadedHistory(PythonHistory(str(path)))
