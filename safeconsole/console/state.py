"""The state of an open console, and its streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, TextIO

import msgspec

from safeconsole.console.names import SchemaNames
from safeconsole.errors import Action, Remedy, SafeConsoleError
from safeconsole.output.evidence import error_text
from safeconsole.output.presenting import ResultPrinter, ResultStyle, Screen, screen_of
from safeconsole.output.recording import TerminalRecorder
from safeconsole.output.text import clock_text, in_words
from safeconsole.policy.decision import Decision
from safeconsole.session.context import Status
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement

if TYPE_CHECKING:
    from safeconsole.output.row_statements import RowTarget


class After(Enum):
    """What the console does after a command."""

    STAY = auto()
    LEAVE = auto()


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The console's services beside the gate.

    Attributes:
        rules: how the servers read text now; may wait for them the first time.
        preview: what would be decided of a statement without asking any server; it MUST open no connection.
        capacity: prints the safe sizes; takes what the person typed after the command.
        pause: waits so many seconds between two looks of \\watch.
        queries: the directory of named queries, or "".
    """

    rules: Callable[[], LexicalRules]
    preview: Callable[[Statement], Decision]
    capacity: Callable[[str], None] | None = None
    pause: Callable[[float], None] = time.sleep
    queries: str = ""


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """The console's outputs, and its way of asking.

    Attributes:
        data: rows and the answers of commands.
        environ: decides with the streams what they can show.
        ask: asks the person for one line; raises EOFError or KeyboardInterrupt.
    """

    data: TextIO
    messages: TextIO
    environ: Mapping[str, str]
    ask: Callable[[str], str]


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An open session, as the console needs it.

    Attributes:
        services: see `Services`.
    """

    session: Session
    services: Services


class Opening:
    """A session that is open, or being opened in a thread of its own.

    Args:
        act: opens it; called once, in that thread.
    """

    def __init__(self, act: Callable[[], Opened]) -> None:
        self._act = act
        self._opened: Opened | None = None
        self._failure: BaseException | None = None
        self._begun = threading.Lock()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, opened: Opened) -> Opening:
        made = cls(lambda: opened)
        made._opened = opened
        return made

    def begin(self, done: Callable[[], None] = lambda: None) -> None:
        """Start opening, once; does not wait.

        Args:
            done: called in the opening thread when it is open, or cannot be.
        """
        with self._begun:
            if self._opened is None and self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, args=(done,), name="safeconsole-opening", daemon=True
                )
                self._thread.start()

    def now(self) -> Opened | None:
        """Return the session if it is open; never waits."""
        return self._opened

    @property
    def failure(self) -> BaseException | None:
        """The error of opening, or None."""
        return self._failure

    def get(self) -> Opened:
        """Return the session; waits for it. Raises SafeConsoleError: it cannot be opened."""
        self.begin()
        self.settle()
        if self._failure is not None:
            raise self._failure
        opened = self._opened
        assert opened is not None
        return opened

    def settle(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _work(self, done: Callable[[], None]) -> None:
        try:
            self._opened = self._act()
        except BaseException as error:  # noqa: BLE001 (raised again, in the thread that asks for it)
            self._failure = error
        done()


class ConsoleState(msgspec.Struct, kw_only=True):
    """One open console.

    Attributes:
        opening: the person's session, open or being opened.
        standing: what the prompt shows until it is open.
        draft: text that the next prompt starts with, or "".
        last_sql: the last statement typed, or "".
        asked: what was typed in this console, oldest first.
        names: what completion knows of the session's schema.
        pager: the command line of what rows are handed to, "" for none.
        previewed: the change whose rows were shown last, and their number; None once something else was typed.
        leaving: whether the person pressed Ctrl-C again while a statement was being stopped.
    """

    opening: Opening
    standing: Status
    streams: Streams
    format: str = "table"
    draft: str = ""
    last_sql: str = ""
    asked: list[str]
    names: SchemaNames
    vi_keys: bool = False
    pager: str = ""
    leaving: bool = False
    previewed: tuple[Statement, int] | None = None
    recorder: TerminalRecorder = msgspec.field(default_factory=TerminalRecorder)

    @property
    def session(self) -> Session:
        """The person's session; waits for it. Raises SafeConsoleError."""
        return self.opening.get().session

    @property
    def services(self) -> Services:
        """The open session's services; waits for them. Raises SafeConsoleError."""
        return self.opening.get().services

    def status(self) -> Status:
        """The prompt's status; never waits."""
        opened = self.opening.now()
        return opened.session.status() if opened else self.standing

    def screen(self) -> Screen:
        """Return the screen to write on; made anew for each statement, because a window may be resized."""
        return screen_of(self.streams.data, self.streams.messages, self.streams.environ)

    def printer(self, screen: Screen, target: RowTarget | None = None) -> ResultPrinter:
        """Return what shows the next result.

        Args:
            target: the table that rows are written for, where they are written as statements.
        """
        shape = ResultStyle(
            format=self.format,
            target=target,
            # A pager shows all that is fetched: the person leaves it when they have seen enough.
            interactive=not self.pager,
            header=False,
            more_rows="\\rows N",
            most_rows=self.session.policy.ceilings.fetched_rows,
        )
        return ResultPrinter(screen, shape, self.session.last)

    def say(self, text: str) -> None:
        text = in_words(text, self.screen().messages_style)
        self.streams.messages.write(text if text.endswith("\n") else f"{text}\n")
        self.streams.messages.flush()

    def answer(self, text: str) -> None:
        self.streams.data.write(text if text.endswith("\n") else f"{text}\n")
        self.streams.data.flush()

    def refuse(self, error: SafeConsoleError) -> None:
        """Show an error with its evidence and the remedies of this console."""
        self.leaving |= error.leaving
        self.say(
            error_text(
                error,
                self.screen().messages_style,
                words=words,
                next_step=self._next_step(error),
                more="\\why shows all evidence",
            )
        )

    def _next_step(self, error: SafeConsoleError) -> str:
        if not any(remedy.action is Action.ELEVATE for remedy in error.remedies):
            return ""
        window = clock_text(self.session.policy.elevation.window_seconds)
        preview = "\\preview shows its rows first; " if self._may_be_previewed() else ""
        return (
            f"{preview}\\once REASON runs exactly this; \\elevate REASON opens a window of {window} "
            f"on {self.session.context.cluster}"
        )

    def _may_be_previewed(self) -> bool:
        last = self.session.last()
        return last is not None and last.statement.kind in {"update", "delete"}


_LEVERS = {"run_seconds": "\\timeout S", "fetched_rows": "\\rows N", "fetched_bytes": "\\bytes N"}


def words(remedy: Remedy) -> str:
    """Return a remedy as a command of this console."""
    lever = _LEVERS.get(remedy.of)
    if remedy.action is Action.RAISE_LIMIT and lever:
        return f"{lever} raises it, to at most {remedy.most:,.15g}"
    if remedy.action is Action.LOOK_AT_LOCKS:
        return f"\\transactions {remedy.of} lists who has one open, \\kill ID ends a session"
    return "name one with \\use NODE" if remedy.action is Action.NAME_NODE else ""
