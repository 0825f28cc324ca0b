"""How a job behaves while it works: what it shows, how it rests, how long it waits for a fit node."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from safeconsole.core.errors import NoFitNodeError
from safeconsole.core.routing import Reading, unfit_reasons
from safeconsole.core.vocabulary import Role, Route
from safeconsole.gate import Gate

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0

Found = TypeVar("Found")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """
    How far a job is.

    Attributes:
        done: of what it counts, an earlier run's included.
        expected: how many there will be, by the server's own guess; 0 when it has none.
        waiting: why it waits, or "".
    """

    done: int
    expected: int = 0
    waiting: str = ""


class Watcher(Protocol):
    """Shows how far a job is."""

    def show(self, progress: Progress) -> None:
        """Show it; called after every step and while waiting."""
        ...


class Conduct(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a job behaves.

    Attributes:
        watcher: is shown the progress.
        patience_seconds: how long it waits in one piece for a fit node, >= 0.
        rest: waits so many seconds.
        utc: the time by this computer.
    """

    watcher: Watcher
    patience_seconds: float = 600.0
    rest: Callable[[float], None] = time.sleep
    utc: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    def once_fit(self, gate: Gate, done: int, step: Callable[[], Found]) -> Found:
        """
        Do a step; where no node is fit for it, wait until one is, and do it then.

        Args:
            done: shown while waiting.

        Raises:
            NoFitNodeError: none became fit in time; what the last one lacked is the evidence.
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
                if any(_is_fit(reading, gate) for reading in gate.topology()):
                    break


def _is_fit(reading: Reading, gate: Gate) -> bool:
    to = gate.to
    wanted = Role.PRIMARY if to == Route.PRIMARY else Role.REPLICA
    named = to not in {"", Route.PRIMARY, Route.REPLICA}
    suits = reading.node == to if named else reading.role is wanted
    return suits and not unfit_reasons(reading, gate.policy.gates)


def _why(error: NoFitNodeError) -> str:
    return "; ".join(error.evidence) or error.message
