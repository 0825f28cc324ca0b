"""The only path from Python code to the gate: text in, rows out, one statement at a time.

Cursors, the SQLAlchemy engine, `db.sql` and the reflected tables all end here, whatever thread they run on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

import msgspec

from safeconsole.audit.record import Ended
from safeconsole.cluster.engine import Column, Row
from safeconsole.errors import RefusedError, ServerError, StoppedError
from safeconsole.output.presenting import Screen
from safeconsole.output.progress import LoopProgress, StatementProgress
from safeconsole.output.recording import TerminalRecorder
from safeconsole.output.text import safe
from safeconsole.policy.decision import Assessment, Grant
from safeconsole.python.audit_hook import marked
from safeconsole.python.dbapi import NotSupportedError, Parameters, Places, ProgrammingError, dbapi_error_of, fill
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import BEGINS, ENDS, Statement
from safeconsole.sqltext.vocabulary import Effect

# Whose transaction is open: the session has one at a time, and only who began it may end it. A connection's first
# change inside `elevate()` begins a transaction, and `commit` and `rollback` end it. Reads before it begin none: they
# roam over the replicas, each by itself.

_ROW_CHANGES = frozenset({Effect.WRITE, Effect.LOCK})
_IN_TRANSACTIONS = frozenset({Effect.READ, Effect.SESSION, *_ROW_CHANGES})
_MARKS = frozenset({"savepoint"})


def is_boundary(statement: Statement) -> bool:
    """Whether a statement begins or ends a transaction; a connection has methods for that."""
    # ROLLBACK TO a savepoint is within one.
    ends = statement.kind in ENDS and "TO" not in statement.normalised.upper().split()
    return ends or statement.kind in BEGINS or statement.kind.startswith("xa")


def needs_transaction(statement: Statement) -> bool:
    """Whether a statement begins a transaction implicitly: it changes rows, locks them, or sets a savepoint."""
    changes = bool(statement.effects & _ROW_CHANGES) and statement.effects <= _IN_TRANSACTIONS
    return changes or statement.kind in _MARKS


def belongs_in_transaction(statement: Statement) -> bool:
    """Whether a statement depends on its transaction; all but reads do."""
    return not statement.changes_nothing or statement.kind in _MARKS


_READS = frozenset({Effect.READ, Effect.SESSION})


class StatementResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one statement.

    Attributes:
        considered: everything known before it ran.
        columns: the result's columns, empty when it has none.
        rows: one tuple a row, in column order.
        further: columns and rows of the result sets behind the first one.
    """

    statement: Statement
    considered: Assessment
    columns: tuple[Column, ...]
    rows: list[Row]
    ended: Ended
    further: tuple[tuple[tuple[Column, ...], list[Row]], ...] = ()

    @property
    def changes(self) -> bool:
        return not self.statement.effects <= _READS


class TransactionOwner(Protocol):
    @property
    def autocommits(self) -> bool: ...


class PythonSession:
    """The session, as Python code uses it.

    Args:
        rules: how the servers read text.
        screen: where a statement that takes its time shows how it is doing.
    """

    def __init__(
        self,
        session: Session,
        rules: Callable[[], LexicalRules],
        screen: Screen,
        recorder: TerminalRecorder | None = None,
    ) -> None:
        self.session = session
        self.screen = screen
        self.recorder = recorder or TerminalRecorder()
        self._rules = rules
        self._lock = threading.RLock()
        self._grant: Grant | None = None
        self._owner: TransactionOwner | None = None
        self._at_work = 0
        self._loop = LoopProgress(screen.messages, screen.messages_style)

    @property
    @marked(console=True)
    def rules(self) -> LexicalRules:
        """The servers' lexical rules; measured at the first use."""
        with self._lock:
            return self._rules()

    @property
    def elevated(self) -> bool:
        return self._grant is not None and self.session.status().elevated_seconds > 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Allow statements while the person's code runs; completion at a waiting prompt may send none."""
        self._at_work += 1
        try:
            with marked(console=False), self._loop.counted() if self._at_work == 1 else nullcontext():
                yield
        finally:
            self._at_work -= 1

    @marked(console=True)
    def run(
        self,
        text: str,
        parameters: Parameters | None = None,
        places: Places = Places.FORMAT,
        *,
        owner: TransactionOwner | None = None,
    ) -> StatementResult:
        """Fill in the parameters, and send the one statement through the gate.

        Args:
            owner: whose statement it is; one that changes rows while elevated begins the owner's transaction first.

        Raises:
            SafeConsoleError: it was refused, stopped or lost.
            dbapi.DatabaseError: the server's own error, or a text that is not one statement.
            KeyboardInterrupt: the person stopped it, on the server too.
        """
        with self._lock:
            if not self._at_work:
                raise RefusedError("nothing is sent while the console waits for input")
            statement = self._one(fill(text, parameters, self._rules(), places))
            if owner is not None:
                self._bring_into(owner, statement)
            return self._walk(statement)

    def is_owner(self, owner: TransactionOwner) -> bool:
        """Whether the open transaction was begun for this owner."""
        return self._owner is owner

    def end(self, owner: TransactionOwner, word: str) -> None:
        """End the transaction that an owner began, if any.

        Args:
            word: "COMMIT" or "ROLLBACK".

        Raises:
            As `run`; DeniedError: it was undone before, by whatever ended it.
        """
        with self._lock:
            if self._owner is owner:
                self._owner = None
                self.run(word)

    def _bring_into(self, owner: TransactionOwner, statement: Statement) -> None:
        """Begin the owner's transaction if the statement needs one; refuse to run in another owner's."""
        if is_boundary(statement):
            raise NotSupportedError(0, f"{statement.kind}: the connection's own methods begin and end its transaction")
        if not belongs_in_transaction(statement):
            return
        opened = self.session.status().transaction
        if opened is not None and self._owner is not owner:
            raise NotSupportedError(
                0, f"a transaction is open on {opened.place} that another connection, or db.sql, began: end it first"
            )
        if opened is None and self._owner is not owner:
            self._owner = None
            if not owner.autocommits and needs_transaction(statement) and self.elevated:
                self._walk(self._one("BEGIN"))
                self._owner = owner

    def _walk(self, statement: Statement) -> StatementResult:
        self.recorder.watch(statement)
        progress = StatementProgress(self.screen.messages, self.screen.messages_style, self.session.last)
        try:
            # As the server wrote them: `cluster.values` reads them when Python asks.
            result = self.session.execute(statement, as_text=True, progress=progress)
            with result:
                sets = [(result.columns, result.take_set())]
                while result.next_set():
                    sets.append((result.columns, result.take_set()))
        except StoppedError as error:
            # An ordinary error would be swallowed by the loop that the person wants to stop.
            if error.leaving:
                raise SystemExit(130) from error
            if error.by == "person":
                raise KeyboardInterrupt(error.message) from error
            raise
        except ServerError as error:
            raise dbapi_error_of(error, self._rules().dialect) from error
        finally:
            progress.end()
        self.screen.messages.write("".join(f"{safe(line)}\n" for line in result.warnings))
        considered, ended = result.considered, result.ended
        assert ended is not None, "a result that was read to its end knows how it ended"
        self._loop.sent(considered.node or "")
        return StatementResult(
            statement=statement,
            considered=considered,
            columns=sets[0][0],
            rows=sets[0][1],
            ended=ended,
            further=tuple(sets[1:]),
        )

    @marked(console=True)
    def note_finding(self, finding: str) -> None:
        with self._lock:
            self.session.note("fence", finding)

    @marked(console=True)
    def tell(self) -> None:
        """Show pending messages to the person: how a transaction ended."""
        for each in self.session.take_told():
            self.screen.messages.write(f"{safe(each)}\n")
        self.screen.messages.flush()

    @marked(console=True)
    def elevate(self, *, reason: str, ticket: str, window_seconds: float | None) -> None:
        """Ask the person for an elevation. Raises RefusedError."""
        with self._lock:
            if self.elevated:
                raise RefusedError("an elevation is in force already", instead="leave its block first")
            self._grant = self.session.elevate(reason=reason, ticket=ticket, window_seconds=window_seconds)

    @marked(console=True)
    def stand_down(self) -> None:
        with self._lock:
            self._grant = None
            self.session.stand_down()
            self.tell()

    def _one(self, text: str) -> Statement:
        statements = self.session.split(text)
        if len(statements) != 1:
            self.session.note("not run", f"a text of {len(statements)} statements")
            what = "it contains no statement" if not statements else f"it holds {len(statements)} statements"
            raise ProgrammingError(0, f"one statement at a time: {what}")
        return statements[0]
