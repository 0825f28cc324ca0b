"""Hands a statement's rows on as they come, under the limits that hold here, and says what cut them off."""

from __future__ import annotations

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Answer, Completion, Connection, stop_insistently
from safeconsole.errors import OutcomeUnknownError, RefusedError, SafeConsoleError, StoppedError
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import Limits
from safeconsole.session.protocols import Presenter


class Tally:
    """
    What has reached the person so far.

    Attributes:
        rows: rows handed on.
        bytes: bytes of rows that reached this process.
    """

    def __init__(self, clock: Clock) -> None:
        self.rows = 0
        self.bytes = 0
        self._clock = clock
        self._started_seconds = clock.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the send."""
        return self._clock.monotonic() - self._started_seconds


def deliver(answer: Answer, connection: Connection, limits: Limits, presenter: Presenter, tally: Tally) -> Completion:
    """
    Hand every row on, and finish the statement; a hard limit stops it on the server.

    Raises:
        StoppedError: a limit was reached.
        SafeConsoleError: as `Answer.batches` and `Answer.finish`.
    """
    for batch in answer.batches():
        room = limits.fetched_rows - tally.rows
        presenter.rows(batch[:room] if len(batch) > room else batch)
        tally.rows += min(len(batch), room)
        tally.bytes = answer.received_bytes
        over_bytes = "fetched_bytes" if tally.bytes > limits.fetched_bytes else ""
        ceiling = "fetched_rows" if len(batch) > room else over_bytes
        if ceiling:
            raise StoppedError(
                f"stopped after {tally.rows:,} rows: {ceiling} is {getattr(limits, ceiling):,}",
                by="console",
                ceiling=ceiling,
                verified=connection.stop(),
                instead="narrow it with WHERE or LIMIT",
            )
    completion = answer.finish()
    if completion.warnings:
        presenter.warned(completion.warnings)
    return completion


def failure_of(error: BaseException, connection: Connection, permit: Permit) -> SafeConsoleError:
    """Return what a failure after the send means; a statement that may still run is stopped on the server first."""
    if isinstance(error, SafeConsoleError):
        return error
    verified, leaving = stop_insistently(connection.stop)
    by, what = "console", f"stopped: {type(error).__name__} while showing the result"
    if isinstance(error, KeyboardInterrupt):
        by, what = "person", "stopped by you"
    elif isinstance(error, BrokenPipeError):
        what = "stopped: nobody reads the output any more"
    failure: SafeConsoleError = StoppedError(what, by=by, verified=verified)
    # What belongs to an open transaction is undone with its connection.
    if permit.changes and (permit.commits or not permit.within):
        failure = OutcomeUnknownError(
            f"{what}; it was sent, and may have been done on {permit.node}",
            evidence=(f"process list: {verified}",),
            instead="look at the data before doing it again; it was not and will not be sent again by the console",
        )
    failure.leaving = leaving
    return failure


def unsent(error: BaseException) -> SafeConsoleError:
    """Return what a failure before the send means: nothing was sent."""
    if isinstance(error, SafeConsoleError):
        return error
    how = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    return RefusedError(f"nothing was sent: {how}")
