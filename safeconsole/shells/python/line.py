"""
The one way from Python code to the gate: text in, rows out, one statement at a time.

Cursors, the SQLAlchemy engine, `db.sql` and the reflected tables all end here, whatever thread they run on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NoReturn, Protocol

import msgspec

from safeconsole.core.decision import Considered
from safeconsole.core.elevation import Grant
from safeconsole.core.errors import DeniedError, RefusedError, ServerError, StoppedError
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.record import TAMPERING, Ended, Record
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Effect, Verdict
from safeconsole.core.watchdog import Sample
from safeconsole.gate import Gate
from safeconsole.interfaces import Column, Row
from safeconsole.shells.python.faults import NotSupportedError, ProgrammingError, fault_of
from safeconsole.shells.python.looping import Looping
from safeconsole.shells.python.ownership import is_boundary, is_told_apart, needs_transaction
from safeconsole.shells.python.seal import Seal
from safeconsole.shells.python.templates import Parameters, Places, fill
from safeconsole.shells.terminal.cells import clipped, safe
from safeconsole.shells.terminal.presenting import Screen
from safeconsole.shells.terminal.status_line import QUIET_SECONDS, StatusLine, status_text
from safeconsole.shells.terminal.taping import Tape

_READS = frozenset({Effect.READ, Effect.SESSION})


class SessionEndedError(SystemExit):
    """The session was ended by the console itself; no handler for ordinary errors may go on."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of one statement.

    Attributes:
        statement: what was sent.
        considered: everything known before it ran.
        columns: the result's columns, empty when it has none.
        rows: one tuple a row, in column order.
        ended: the record of its end.
    """

    statement: Statement
    considered: Considered | None
    columns: tuple[Column, ...]
    rows: list[Row]
    ended: Ended

    @property
    def changes(self) -> bool:
        """Whether it may have changed something."""
        return not self.statement.effects <= _READS


class Owner(Protocol):
    """Who can have a transaction: a connection."""

    @property
    def autocommits(self) -> bool:
        """Whether each of its statements is to be a transaction of its own."""
        ...


class Line:
    """
    One person's gate, for the code that they run.

    Args:
        gate: the person's session.
        rules: how the servers read text.
        screen: where a statement that takes its time shows how it is doing.
        tape: what is recorded of the terminal.
    """

    def __init__(self, gate: Gate, rules: Callable[[], LexicalRules], screen: Screen, tape: Tape | None = None) -> None:
        self.gate = gate
        self.screen = screen
        self.tape = tape or Tape()
        self._rules = rules
        self._lock = threading.RLock()
        self._grant: Grant | None = None
        self._owner: Owner | None = None
        self._at_work = 0
        self._looping = Looping(screen)
        self._over = False
        self._seal = Seal(gate, lambda: self._grant is not None, self)

    @property
    def rules(self) -> LexicalRules:
        """How the servers read text; asks them the first time."""
        with self._lock:
            return self._rules()

    @property
    def elevated(self) -> bool:
        """Whether an elevation is in force."""
        return self._grant is not None and self.gate.status().elevated_seconds > 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let code send statements while this holds; completion at a waiting prompt must send none."""
        self._at_work += 1
        try:
            with self._looping.counted() if self._at_work == 1 else nullcontext():
                yield
        finally:
            self._at_work -= 1

    def run(
        self,
        text: str,
        parameters: Parameters | None = None,
        places: Places = Places.FORMAT,
        *,
        owner: Owner | None = None,
    ) -> Answered:
        """
        Fill in the parameters, and walk the whole road with the one statement that comes of it.

        Args:
            owner: whose statement it is; one that changes rows while elevated begins the owner's transaction first.

        Raises:
            SafeConsoleError: it was refused, stopped or lost.
            faults.DatabaseError: the server's own error, or a text that is not one statement.
            KeyboardInterrupt: the person stopped it, on the server too.
        """
        with self._lock:
            if not self._at_work:
                raise RefusedError("nothing is sent while the console waits for input")
            Line.check(self, thoroughly=False)
            statement = self._one(fill(text, parameters, self._rules(), places))
            if not statement.is_plain_read:
                Line.check(self)
            if owner is not None:
                self._bring_into(owner, statement)
            return self._walk(statement)

    def is_owner(self, owner: Owner) -> bool:
        """Whether the transaction that is open, if one is, was begun for this owner."""
        return self._owner is owner

    def end(self, owner: Owner, word: str) -> None:
        """
        End the transaction that an owner began, if it began one.

        Args:
            word: "COMMIT" or "ROLLBACK".

        Raises:
            As `run`; DeniedError: it was undone before, by whatever ended it.
        """
        with self._lock:
            if self._owner is owner:
                self._owner = None
                self.run(word)

    def _bring_into(self, owner: Owner, statement: Statement) -> None:
        """Begin the owner's transaction where the statement needs one; refuse what would run in somebody else's."""
        if is_boundary(statement):
            raise NotSupportedError(0, f"{statement.kind}: the connection's own methods begin and end its transaction")
        if not is_told_apart(statement):
            return
        opened = self.gate.status().transaction
        if opened is not None and self._owner is not owner:
            raise NotSupportedError(
                0, f"a transaction is open on {opened.place} that another connection, or db.sql, began: end it first"
            )
        if opened is None and self._owner is not owner:
            self._owner = None
            if not owner.autocommits and needs_transaction(statement) and self.elevated:
                self._walk(self._one("BEGIN"))
                self._owner = owner

    def _walk(self, statement: Statement) -> Answered:
        self.tape.watch(statement)
        collecting = Collecting(self.screen, self.gate.last)
        try:
            ended = self.gate.run(statement, collecting)
        except StoppedError as error:
            # An ordinary error would be swallowed by the loop that the person wants to stop.
            if error.leaving:
                raise SystemExit(130) from error
            if error.by == "person":
                raise KeyboardInterrupt(error.message) from error
            raise
        except ServerError as error:
            raise fault_of(error, self._rules().flavour) from error
        except RefusedError as error:
            self._refuse(error)
        considered = self.gate.last()
        self._looping.sent(considered.node or "" if considered else "")
        return Answered(
            statement=statement,
            considered=considered,
            columns=collecting.columns,
            rows=collecting.held,
            ended=ended,
        )

    def tell(self) -> None:
        """Show what the person must be told that no statement of theirs said: how a transaction ended."""
        for each in self.gate.take_told():
            self.screen.messages.write(f"{safe(each)}\n")
        self.screen.messages.flush()

    def elevate(self, *, reason: str, ticket: str, window_seconds: float | None) -> None:
        """Ask the person, and hold what they granted. Raises RefusedError."""
        with self._lock:
            self.check()
            if self.elevated:
                raise RefusedError("an elevation is in force already", instead="leave its block first")
            self._grant = self.gate.elevate(reason=reason, ticket=ticket, window_seconds=window_seconds)

    def stand_down(self) -> None:
        """End the elevation."""
        with self._lock:
            self._grant = None
            self.gate.stand_down()
            self.tell()

    def check(self, *, thoroughly: bool = True) -> None:
        """
        End the session when the road is not what it was.

        Args:
            thoroughly: see `Seal.broken`.

        Raises:
            SessionEndedError: something was tampered with; it is recorded, and nothing more is sent.
        """
        if self._over:
            raise SessionEndedError(DeniedError.exit_code)
        # Not through the instance, here and where it is called: what was tampered with may be just that.
        found = Seal.broken(self._seal, thoroughly=thoroughly)
        if found:
            self.end_session(found)

    def end_session(self, found: str) -> NoReturn:
        """Record what was found, close the gate and end the program."""
        self._over = True
        Gate.note(self.gate, TAMPERING, found)
        Gate.close(self.gate, f"ended: {found}")
        self.screen.messages.write(f"safeconsole: the session is over, and recorded as tampered with: {found}\n")
        raise SessionEndedError(DeniedError.exit_code)

    def _one(self, text: str) -> Statement:
        statements = self.gate.split(text)
        if len(statements) != 1:
            self.gate.note("not run", f"a text of {len(statements)} statements")
            what = "there is no statement in it" if not statements else f"it holds {len(statements)} statements"
            raise ProgrammingError(0, f"one statement at a time: {what}")
        return statements[0]

    def _refuse(self, error: RefusedError) -> NoReturn:
        """Say how this console elevates."""
        last = self.gate.last()
        demands = last is not None and last.decision.verdict is Verdict.ELEVATE and type(error) is RefusedError
        if demands and not isinstance(error, DeniedError) and not self.elevated:
            way = 'if it must run as it is: with elevate(reason="…", ticket="…"): …'
            error.instead = f"{error.instead}; {way}" if error.instead else way
        raise error


class Collecting:
    """Keeps one result, which the gate's limits bound, and shows how a slow one is doing."""

    def __init__(self, screen: Screen, last: Callable[[], Considered | None]) -> None:
        self.columns: tuple[Column, ...] = ()
        self.held: list[Row] = []
        self._screen = screen
        self._last = last
        self._status = StatusLine(screen.messages, screen.messages_look)
        self._first: Sample | None = None
        self._lock = threading.Lock()
        self._over = False
        self._warnings: tuple[str, ...] = ()

    @property
    def wants_text(self) -> bool:
        """Values are wanted as they are."""
        return False

    def begin(self, _considered: Considered, columns: tuple[Column, ...]) -> None:
        """Take the columns."""
        self.columns = columns

    def rows(self, batch: Sequence[Row]) -> None:
        """Take more rows."""
        self.held.extend(batch)

    def waits(self, what: str) -> None:
        """Show what the statement waits for."""
        with self._lock:
            self._status.draw(clipped(safe(what), max(1, self._screen.messages_look.columns - 1)))

    def progress(self, sample: Sample) -> None:
        """Redraw the status line; called from another thread."""
        look, considered = self._screen.messages_look, self._last()
        with self._lock:
            self._first = self._first or sample
            if self._over or considered is None or not look.terminal or sample.elapsed_seconds < QUIET_SECONDS:
                return
            limits = considered.decision.limits
            columns = max(1, look.columns - 1)
            self._status.draw(
                status_text(sample, self._first, node=considered.node or "", limits=limits, columns=columns)
            )

    def warned(self, warnings: Sequence[str]) -> None:
        """Keep what the server warned of."""
        self._warnings = tuple(warnings)

    def end(self, _ended: Record) -> None:
        """Take the line away, and say what the server warned of."""
        with self._lock:
            self._over = True
            self._status.clear()
            self._screen.messages.write("".join(f"{safe(line)}\n" for line in self._warnings))
