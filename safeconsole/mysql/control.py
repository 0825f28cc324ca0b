"""The control connection of one node: it measures, watches and kills for all statements of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from safeconsole.errors import UnreachableError
from safeconsole.mysql.dialling import NodeAddress
from safeconsole.mysql.error_codes import is_lost
from safeconsole.mysql.guards import ServerSession
from safeconsole.mysql.login import Login
from safeconsole.mysql.measuring import Questions
from safeconsole.mysql.recognising import Variant
from safeconsole.mysql.wire import DriverError, ServerReply, Wire
from safeconsole.sqltext.dialect import Dialect

Found = TypeVar("Found")

First = Callable[[Dialect], tuple[str, ...]]
"""Questions of the console's that are asked of a server of some dialect in the round trip of the guards."""


def nothing_first(_dialect: Dialect) -> tuple[str, ...]:
    return ()


ANSWER_SECONDS = 2.0
"""Longest wait for one answer of a server to the console's own questions."""

PATIENCE_SECONDS = 0.25
"""How long a question waits for the one before it; then it is asked over a second connection."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A guarded connection for the console's own queries.

    Attributes:
        version: as in `LexicalRules.version`.
        session: what the session said when its guards were read back.
        login: what it was opened by.
        place: the address that it leads to.
        questions: what its node is asked to be measured.
        first: the answers that came with the guards, for the question that it was opened for.
    """

    wire: Wire
    login: Login
    dialect: Dialect
    version: int
    session: ServerSession
    place: NodeAddress
    questions: Questions
    first: list[ServerReply] = []

    @property
    def variant(self) -> Variant:
        return Variant(version=self.wire.server_version, dialect=self.dialect, takes_several=self.wire.takes_several)


class _Slot(msgspec.Struct):
    line: Line | None = None
    holder: object | None = None


class Control:
    """Sends queries to one node as one account; thread-safe.

    One connection answers one question at a time, and each takes milliseconds. While one of them gets no answer, and
    only then, the others are asked over a second connection. Who waits while the node turns out to be unreachable is
    told the same, and does not try it again one after the other.

    Args:
        open_line: opens a connection to the node, like the one before where it is given one, and asks the first
            questions with the guards; raises UnreachableError or ConfigurationError.
        now: the cluster's clock.
    """

    def __init__(
        self, open_line: Callable[[Line | None, First], Line], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_line = open_line
        self._before: Line | None = None
        self._changed = threading.Condition()
        self._slots = (_Slot(), _Slot())
        self._failure: tuple[float, UnreachableError] | None = None
        self._closed = False
        self.now = now
        self.used_seconds = now()

    @property
    def is_open(self) -> bool:
        return any(slot.line is not None for slot in self._slots)

    def ask(
        self,
        question: Callable[[Line], Found],
        *,
        within_seconds: float,
        server: str = "",
        insists: bool = False,
        first: First = nothing_first,
    ) -> Found:
        """Run a query; once more over a new connection if the old one is closed or lost.

        Args:
            within_seconds: how long each answer may take.
            server: the identity that must answer, or "".
            insists: ask once more also after a time that passed without an answer.
            first: asked with the guards where a connection is opened for this; answers are in `Line.first`.

        Raises:
            UnreachableError: no connection, or another server.
            ConfigurationError: as `open_line`.
            DriverError, OSError, ValueError: the server's own error, or the connection is lost.
        """
        mine = object()
        try:
            slot = self._lent(mine, within_seconds)
            reused, started = self._is_usable(slot), time.monotonic()
            try:
                return self._asked(slot, question, within_seconds, server, first)
            except (DriverError, OSError, ValueError):
                # Who let the whole time pass is deaf, or its connection is: nobody waits that long for it twice.
                is_deaf = time.monotonic() - started >= within_seconds
                if slot.line is not None or not (insists or (reused and not is_deaf)):
                    raise
            return self._asked(slot, question, within_seconds, server, first)
        finally:
            self._give_back(mine)

    def open_again(self, *, server: str = "") -> None:
        """Open the connection unless it is open. Raises as `ask`."""
        self.ask(lambda _: None, within_seconds=ANSWER_SECONDS, server=server)

    def close(self) -> None:
        """Close the connection, after running queries have ended. Never raises."""
        self._closed = True
        self.rest()

    def rest(self) -> None:
        """Close idle connections; the next query opens one again. Never raises."""
        with self._changed:
            idle = [slot for slot in self._slots if slot.holder is None]
            lines = [slot.line for slot in idle]
            for slot in idle:
                slot.line = None
        for line in lines:
            if line is not None:
                line.wire.quit()

    def _lent(self, mine: object, within_seconds: float) -> _Slot:
        """Reserve a free connection. Raises UnreachableError: none became free in time."""
        asked = time.monotonic()
        with self._changed:
            while True:
                waited = time.monotonic() - asked
                # The second is tried first by nobody: it is there while the first hangs.
                for slot in self._slots if waited >= PATIENCE_SECONDS else self._slots[:1]:
                    if slot.holder is None:
                        slot.holder = mine
                        return slot
                if self._failure is not None and self._failure[0] > asked:
                    raise self._failure[1].replaced()
                if waited >= max(within_seconds, PATIENCE_SECONDS):
                    raise UnreachableError("its control connection does not answer")
                until = PATIENCE_SECONDS if waited < PATIENCE_SECONDS else within_seconds
                self._changed.wait(max(until - waited, 0.001))

    def _give_back(self, mine: object) -> None:
        with self._changed:
            self.used_seconds = self.now()
            for slot in self._slots:
                if slot.holder is mine:
                    slot.holder = None
            needless = [slot for slot in self._slots if slot.holder is None and slot.line is not None]
            if not self._closed:
                # The second one is there for as long as the first is busy.
                first, second = self._slots
                needless = [second] if second in needless and first.holder is None else []
            lines = [slot.line for slot in needless]
            for slot in needless:
                slot.line = None
            self._changed.notify_all()
        for line in lines:
            if line is not None:
                line.wire.quit()

    def _is_usable(self, slot: _Slot) -> bool:
        if slot.line is not None and (slot.line.wire.has_ended or slot.line.wire.is_retired):
            self._discard(slot)
        return slot.line is not None

    def _asked(
        self, slot: _Slot, question: Callable[[Line], Found], within_seconds: float, server: str, first: First
    ) -> Found:
        line = slot.line
        if line is None:
            line = self._opened(server, first)
            # What came with the guards is for this question alone.
            slot.line = replace(line, first=[]) if line.first else line
        if server and line.session.server != server:
            raise UnreachableError(f"{line.place.address} answers as another server than before")
        line.wire.wait_at_most(within_seconds)
        try:
            return question(line)
        except BaseException as error:
            # An answer that was not read to its end would be taken for the next one's.
            if not isinstance(error, DriverError) or is_lost(error):
                self._discard(slot)
            raise

    def _opened(self, server: str, first: First) -> Line:
        try:
            # Who watches a server goes back to that one, and asks nobody for its password while a statement runs.
            line = self._open_line(self._before if server else None, first)
        except UnreachableError as error:
            with self._changed:
                self._failure = time.monotonic(), error
                self._changed.notify_all()
            raise
        self._before = line
        return line

    def _discard(self, slot: _Slot) -> None:
        line, slot.line = slot.line, None
        if line is not None:
            line.wire.discard()
