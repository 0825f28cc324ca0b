"""Pursues statements that were asked to stop and not seen to stop, until the server shows that they ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from safeconsole.audit.record import Noticed
from safeconsole.cluster.engine import Connection
from safeconsole.errors import UNSEEN, AuditUnavailableError, OutcomeUnknownError, SafeConsoleError, StoppedError
from safeconsole.sqltext.vocabulary import NodeName

BETWEEN_SECONDS = 1.0
LEAVING_SECONDS = 5.0
"""How long who leaves waits for the last of them."""


class Pursuits:
    """The pursued statements of one session, each in a thread of its own, since its server may not answer.

    Args:
        record: writes to the journal, from any thread.
    """

    def __init__(self, record: Callable[[Noticed], None]) -> None:
        self._record = record
        self._left = threading.Event()
        self._threads: dict[threading.Thread, str] = {}
        self._told: list[str] = []

    def begin(self, number: int, node: NodeName, connection: Connection, failure: SafeConsoleError) -> None:
        """Start pursuing a failed statement, unless it was seen to end."""
        if not isinstance(failure, StoppedError | OutcomeUnknownError) or failure.verified not in UNSEEN:
            return
        what = f"statement {number} on {node}"
        thread = threading.Thread(target=self._pursue, args=(what, connection), daemon=True, name="safeconsole-pursuit")
        self._threads[thread] = what
        thread.start()

    @property
    def told(self) -> tuple[str, ...]:
        return tuple(self._told)

    def take_told(self) -> tuple[str, ...]:
        """Return and clear the messages about statements seen to end since."""
        told, self._told = tuple(self._told), []
        return told

    def settle(self) -> tuple[str, ...]:
        """Wait briefly for pursued statements, and return a line for each that is still unseen."""
        threads, until = dict(self._threads), time.monotonic() + LEAVING_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._left.set()
        missing = tuple(
            f"{what} was not seen to stop: look at the process list there"
            for thread, what in threads.items()
            if thread.is_alive()
        )
        for line in missing:
            self._record(Noticed(what="left before it was seen to be over", detail=line))
        return (*self.take_told(), *missing)

    def _pursue(self, what: str, connection: Connection) -> None:
        while not self._left.wait(BETWEEN_SECONDS):
            verified = connection.chase()
            if verified not in UNSEEN:
                line = f"{what} is over now: {verified}"
                with suppress(AuditUnavailableError):
                    self._record(Noticed(what="seen to be over", detail=line))
                self._told.append(line)
                return
