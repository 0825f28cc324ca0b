"""ptpython on the guarded namespace: no start-up files, no `!` for shell commands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory, ThreadedHistory
from ptpython.repl import PythonRepl

from safeconsole import interrupts
from safeconsole.python.namespace import Rows
from safeconsole.python.session import PythonSession
from safeconsole.python.sources import forget_current_directory, run_source
from safeconsole.python.tracebacks import failure_text, interrupted_text
from safeconsole.sqltext.literal_rules import Treatment
from safeconsole.sqltext.redaction import may_hold_secret

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
    """The names known of the session's schema."""

    def learn(self) -> None:
        """Learn a page more, where a replica was asked last; never raises for what a server says."""
        ...

    def tables_from(self, prefix: str, most: int) -> Iterable[str]:
        """The tables that begin so, in any case, at most so many."""
        ...

    def columns_of(self, table: str) -> Iterable[str]:
        """The columns of a table, none while they are not known."""
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
        session: PythonSession,
        namespace: dict[str, Any],
        names: Names | None = None,
        **terminal: Any,  # noqa: ANN401 (ptpython's)
    ) -> None:
        super().__init__(get_globals=lambda: namespace, **terminal)
        self._session = session
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
        """Read an entry; its echo is not recorded. Raises EOFError: nobody types any more."""
        if interrupts.told():
            raise EOFError
        with self._session.recorder.reading(), interrupts.answered_by(self._leave):
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
        """Run an entry and show its result; only meanwhile are statements sent."""
        with self._session.at_work():
            super().run_and_show_expression(expression)
        self._session.tell()
        if self._names is not None:
            with suppress(KeyboardInterrupt):
                self._names.learn()

    def eval(self, line: str) -> object:
        """Record an entry, then run it."""
        self._entered += 1
        result = run_source(self._session, line, self._namespace, name=f"<entry {self._entered}>")
        self._store_eval_result(result)
        return result

    async def eval_async(self, line: str) -> object:
        """Record an entry, then run it."""
        return self.eval(line)

    def _show_result(self, result: object) -> None:
        if isinstance(result, Rows):
            self._session.screen.data.write(f"{result!r}\n")
            self._session.screen.data.flush()
        else:
            super()._show_result(result)

    def _handle_exception(self, e: BaseException) -> None:
        recorder, literals = self._session.recorder, self._session.gate.policy.literals
        # An error quotes values, and the line that it rose in.
        with nullcontext() if literals.strictest is Treatment.KEEP else recorder.reading():
            self._session.screen.messages.write(failure_text(e, self._session.screen.messages_style))
            self._session.screen.messages.flush()

    def _handle_keyboard_interrupt(self, e: KeyboardInterrupt) -> None:
        self._session.screen.messages.write(f"\r{interrupted_text(e)}")
        self._session.screen.messages.flush()


def run_console(
    session: PythonSession,
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
    repl = GuardedRepl(session, namespace, names, **terminal)
    repl.history = repl.default_buffer.history = _history(session, history_directory)
    repl.run()
    return 0


class PythonHistory(FileHistory):
    """A history file that never holds an entry with a secret."""

    def store_string(self, string: str) -> None:
        """Write an entry down, unless it holds a secret."""
        if not may_hold_secret(string):
            super().store_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Yield entries, newest first; an unreadable history is empty."""
        try:
            return list(super().load_history_strings())
        except (OSError, UnicodeError):
            return []


def _history(session: PythonSession, directory: str) -> History:
    if not directory:
        return InMemoryHistory()
    path = Path(directory) / f"{quote(session.gate.context.cluster, safe='')}.python.history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The mode matters at birth: a file that is readable for a moment is readable.
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
    except OSError as error:
        session.screen.messages.write(f"no history is kept: {directory}: {error.strerror}\n")
        return InMemoryHistory()
    return ThreadedHistory(PythonHistory(str(path)))
