"""What was asked to stop and not seen to stop: looked for and killed again, until somebody sees that it is over."""

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
    """Everything that one session looks for, each in a thread of its own: its server may not answer for long.

    Args:
        record: writes to the journal, from any thread.
    """

    def __init__(self, record: Callable[[Noticed], None]) -> None:
        self._record = record
        self._left = threading.Event()
        self._threads: dict[threading.Thread, str] = {}
        self._told: list[str] = []

    def begin(self, number: int, node: NodeName, connection: Connection, failure: SafeConsoleError) -> None:
        """Look for a statement that failed, if nobody saw it end."""
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
        """Return, once, what was seen to be over since."""
        told, self._told = tuple(self._told), []
        return told

    def settle(self) -> tuple[str, ...]:
        """Wait a little for what is still looked for, and return what the person should know of it."""
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
