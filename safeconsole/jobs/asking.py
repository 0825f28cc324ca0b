"""How a job asks: one statement of its own at a time down the road, its rows held, its considerations kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from safeconsole.core.decision import Considered
from safeconsole.core.errors import DeniedError, RefusedError, ServerError, StoppedError
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.record import Record
from safeconsole.core.vocabulary import Flavour
from safeconsole.core.watchdog import Sample
from safeconsole.gate import Gate
from safeconsole.interfaces import Column, Row

NOT_GRANTED = frozenset({1044, 1142, 1143, 1227, 1370})
"""Error numbers that mean that the account may not read something. Source: MySQL 9.7 and MariaDB 10.11, measured."""


class CollectingPresenter:
    """Holds one small result and what was considered before it; shows nothing."""

    def __init__(self) -> None:
        self.held: list[Row] = []
        self.considered: Considered | None = None

    @property
    def wants_text(self) -> bool:
        """Values are wanted as they are."""
        return False

    def begin(self, considered: Considered, _columns: tuple[Column, ...]) -> None:
        """Keep what was considered."""
        self.considered = considered

    def rows(self, batch: Sequence[Row]) -> None:
        """Hold more rows."""
        self.held.extend(batch)

    def waits(self, _what: str) -> None:
        """Show nothing."""

    def progress(self, _sample: Sample) -> None:
        """Show nothing."""

    def warned(self, _warnings: Sequence[str]) -> None:
        """Show nothing."""

    def end(self, _ended: Record) -> None:
        """Show nothing."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """
    One answer.

    Attributes:
        rows: all of it.
        considered: what was found out before it was sent; names the node and its readings.
        seconds: wall time of the whole road, from the question to the last row.
    """

    rows: list[Row]
    considered: Considered
    seconds: float

    @property
    def server(self) -> str:
        """The instance that answered, or ""."""
        return self.considered.identity.server if self.considered.identity else ""


class Asker(msgspec.Struct, kw_only=True):
    """
    Asks statements of the tool's own on one session; each is split, considered, recorded and watched as any other.

    Attributes:
        gate: the session.
        rules: how the servers read text; may ask them on the first call.
        seconds: a monotonic clock.
        asked: statements asked so far.
        last: what was considered for the last answer, None before the first.
    """

    gate: Gate
    rules: Callable[[], LexicalRules]
    seconds: Callable[[], float] = time.monotonic
    asked: int = 0
    last: Considered | None = None

    @property
    def flavour(self) -> Flavour:
        """The family member."""
        return self.rules().flavour

    def ask(self, sql: str) -> Told:
        """
        Walk the road with one statement.

        Raises:
            SafeConsoleError: it was refused, stopped, lost or failed; the journal knows it already.
        """
        (statement,) = self.gate.split(sql)
        presenter, started = CollectingPresenter(), self.seconds()
        self.asked += 1
        self.gate.run(statement, presenter, by_console=True)
        assert presenter.considered is not None, "the road shows what it considered before it shows rows"
        self.last = presenter.considered
        return Told(rows=presenter.held, considered=presenter.considered, seconds=self.seconds() - started)

    def ask_if_allowed(self, sql: str) -> tuple[list[Row], str]:
        """
        Return the rows, or no rows and why not: the account, the policy or a limit of the watchdog said no.

        Raises:
            SafeConsoleError: anything else, such as a lost connection or no fit node.
        """
        try:
            return self.ask(sql).rows, ""
        except ServerError as error:
            return [], "not granted" if error.code in NOT_GRANTED else error.message
        except StoppedError as error:
            if error.by == "person":
                raise
            return [], error.message
        except RefusedError as error:
            if type(error) not in {RefusedError, DeniedError}:
                raise
            return [], error.message

    def literal(self, text: str) -> str:
        """Return a text as a string literal that means it under the server's own sql_mode."""
        rules = self.rules()
        doubled = text.replace("'", "''")
        keeps_backslashes = rules.flavour is Flavour.SQLITE or rules.no_backslash_escapes
        return f"'{doubled}'" if keeps_backslashes else "'" + doubled.replace("\\", "\\\\") + "'"

    def name(self, *parts: str) -> str:
        """Return a name, its parts quoted: schema, table, column."""
        return ".".join("`" + part.replace("`", "``") + "`" for part in parts)
