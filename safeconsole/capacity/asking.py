"""Runs the statements of a capacity job through the gate, one at a time, on a node that stays fit."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from safeconsole.cluster.engine import Row
from safeconsole.errors import NoFitNodeError, RefusedError, ServerError, StoppedError
from safeconsole.policy.decision import Assessment
from safeconsole.policy.readings import Gates, Reading, unfit_reasons
from safeconsole.session.session import Session
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Role, Route

NOT_GRANTED = frozenset({1044, 1142, 1143, 1227, 1370})
"""Error numbers of missing privileges. Source: MySQL 9.7 and MariaDB 10.11, measured."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    Attributes:
        considered: the decision and what it was based on; names the node and its readings.
        seconds: wall time from the question to the last row.
    """

    rows: list[Row]
    considered: Assessment
    seconds: float

    @property
    def server(self) -> str:
        return self.considered.identity.server if self.considered.identity else ""


class Asker(msgspec.Struct, kw_only=True):
    """Runs the console's own statements on one session; each is decided, recorded and watched like any other.

    Attributes:
        rules: how the servers read text; may ask them on the first call.
        seconds: a monotonic clock.
        last: what was considered for the last answer, None before the first.
    """

    session: Session
    rules: Callable[[], LexicalRules]
    seconds: Callable[[], float] = time.monotonic
    asked: int = 0
    last: Assessment | None = None

    @property
    def dialect(self) -> Dialect:
        return self.rules().dialect

    def ask(self, sql: str) -> Reply:
        """Run one statement.

        Raises SafeConsoleError: it was refused, stopped, lost or failed; the journal has it already.
        """
        (statement,) = self.session.split(sql)
        started = self.seconds()
        self.asked += 1
        result = self.session.execute(statement, by_console=True)
        rows = result.take()
        self.last = result.considered
        return Reply(rows=rows, considered=result.considered, seconds=self.seconds() - started)

    def ask_if_allowed(self, sql: str) -> tuple[list[Row], str]:
        """Return the rows, or no rows and why the account, the policy or a limit did not allow them.

        Raises SafeConsoleError: anything else, such as a lost connection or no fit node.
        """
        try:
            return self.ask(sql).rows, ""
        except ServerError as error:
            return [], "not granted" if error.number in NOT_GRANTED else error.message
        except StoppedError as error:
            if error.by == "person":
                raise
            return [], error.message
        except RefusedError as error:
            return [], error.message

    def literal(self, text: str) -> str:
        """Return a text as a string literal under the server's own sql_mode."""
        doubled = text.replace("'", "''")
        return "'" + (doubled.replace("\\", "\\\\") if self.rules().escapes else doubled) + "'"

    def name(self, *parts: str) -> str:
        """Return a quoted name of schema, table, column."""
        return self.dialect.quoted(*parts)


_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0

Found = TypeVar("Found")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a job.

    Attributes:
        done: items done, an earlier run's included.
        expected: the server's own estimate of all items; 0 when it has none.
        waiting: why it waits, or "".
    """

    done: int
    expected: int = 0
    waiting: str = ""


class Watcher(Protocol):
    def show(self, progress: Progress) -> None:
        """Show progress; called after every step and while waiting."""
        ...


class Conduct(msgspec.Struct, frozen=True, kw_only=True):
    """How a job behaves while it runs.

    Attributes:
        patience_seconds: longest wait for a fit node, >= 0.
        rest: waits so many seconds.
    """

    watcher: Watcher
    patience_seconds: float = 600.0
    rest: Callable[[float], None] = time.sleep
    utc: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    def once_fit(self, session: Session, done: int, step: Callable[[], Found]) -> Found:
        """Run a step; while no node is fit for it, wait and try again.

        Raises NoFitNodeError: none became fit in time; its evidence is what the last one lacked.
        """
        waited, wait = 0.0, _FIRST_WAIT_SECONDS
        while True:
            try:
                return step()
            except NoFitNodeError as error:
                if waited >= self.patience_seconds:
                    raise
                closed = error
            # Measured without asking the road again: each refusal is a record.
            while waited < self.patience_seconds:
                self.watcher.show(Progress(done=done, waiting=_why(closed)))
                self.rest(wait)
                waited, wait = waited + wait, min(wait * 2, _LONGEST_WAIT_SECONDS)
                if any(_is_fit(reading, session) for reading in session.topology()):
                    break


def _is_fit(reading: Reading, session: Session) -> bool:
    to = session.to
    wanted = Role.PRIMARY if to == Route.PRIMARY else Role.REPLICA
    named = to not in {"", Route.PRIMARY, Route.REPLICA}
    suits = reading.node == to if named else reading.role is wanted
    return suits and not unfit_reasons(reading, session.policy.gates)


def _why(error: NoFitNodeError) -> str:
    return "; ".join(error.evidence) or error.message


REST = 4.0
"""Seconds of rest per second of work: a job takes at most a fifth of one connection's time."""

SHORTEST_SECONDS, LONGEST_SECONDS = 0.005, 5.0

_USUAL_WEIGHT = 0.1
_SLOW_FACTOR = 3.0


def pressure_of(considered: Assessment, gates: Gates) -> float:
    """Return how near the node is to the readings that would make it unfit, >= 0; 1 is at a bound.

    Uses the readings that the statement was routed by, at most a few seconds old; an unknown one counts as 0.
    """
    facts = considered.facts
    lag, threads = _number(facts.get("node.lag_seconds")), _number(facts.get("node.threads_running"))
    memory = _number(facts.get("node.free_memory_bytes"))
    parts = [max(lag, 0.0) / gates.lag_seconds if gates.lag_seconds > 0 else 0.0]
    parts.append(max(threads, 0.0) / gates.threads_running)
    if gates.free_memory_bytes and memory > 0:
        parts.append(gates.free_memory_bytes / memory)
    return max(parts)


class Pace(msgspec.Struct, kw_only=True):
    """The pause between pages, adapted to what pages cost and what the node bears.

    Attributes:
        usual_seconds: moving average of the pages so far, 0 before the first.
    """

    usual_seconds: float = 0.0

    def rest_seconds(self, page_seconds: float, pressure: float) -> float:
        """Return the pause after a page, in seconds, and learn from the page.

        Args:
            page_seconds: duration of the page, >= 0.
            pressure: see `pressure_of`; at 1 the pause is nine times that of an idle node.
        """
        slow = self.usual_seconds > 0 and page_seconds > _SLOW_FACTOR * self.usual_seconds
        # A page that was slow says that others wait too; it must not become the usual.
        if not slow:
            old = self.usual_seconds or page_seconds
            self.usual_seconds = old + _USUAL_WEIGHT * (page_seconds - old)
        rest = page_seconds * REST * (1.0 + 8.0 * min(pressure, 1.0)) * (2.0 if slow else 1.0)
        return min(max(rest, SHORTEST_SECONDS), LONGEST_SECONDS)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else -1.0
