"""Holds a small result for a command that shows it in its own way."""

from __future__ import annotations

from collections.abc import Sequence

from safeconsole.core.decision import Considered
from safeconsole.core.record import Record
from safeconsole.core.watchdog import Sample
from safeconsole.interfaces import Column, Row

HELD_ROWS = 1_000
"""Rows held where a command does not say otherwise."""


class CollectingPresenter:
    """
    Keeps the first rows of one result and shows nothing.

    Args:
        most: rows after which the rest is counted and not held.
    """

    def __init__(self, most: int = HELD_ROWS) -> None:
        self._most = most
        self.columns: tuple[Column, ...] = ()
        self.held: list[Row] = []
        self.count = 0

    @property
    def wants_text(self) -> bool:
        """Values are wanted as they are."""
        return False

    def begin(self, _considered: Considered, columns: tuple[Column, ...]) -> None:
        """Take the columns."""
        self.columns = columns

    def rows(self, batch: Sequence[Row]) -> None:
        """Take more rows."""
        self.held.extend(batch[: self._most - len(self.held)])
        self.count += len(batch)

    def waits(self, _what: str) -> None:
        """Show nothing."""

    def progress(self, _sample: Sample) -> None:
        """Show nothing."""

    def warned(self, _warnings: Sequence[str]) -> None:
        """Show nothing."""

    def end(self, _ended: Record) -> None:
        """Show nothing."""
