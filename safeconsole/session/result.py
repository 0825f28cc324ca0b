"""The result of a statement: columns, batches that the reader pulls, and how it ended."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self, cast

from safeconsole.audit.record import Ended
from safeconsole.clock import Clock
from safeconsole.cluster.engine import (
    Answer,
    Column,
    Connection,
    Row,
    Splice,
    SplicedRows,
    by_whom,
    stop_insistently,
)
from safeconsole.cluster.splicing import MaskedSplice
from safeconsole.errors import (
    NotSentError,
    OutcomeUnknownError,
    SafeConsoleError,
    ServerError,
    StoppedError,
    stop_words,
)
from safeconsole.interrupts import told_words
from safeconsole.policy.decision import Assessment, Permit, not_maskable
from safeconsole.policy.watchdog import Sample
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import Handling
from safeconsole.sqltext.masking import MASK, NOTHING_MASKED, Masking
from safeconsole.sqltext.redaction import redacted_message
from safeconsole.sqltext.statement import Statement

Batch = Sequence[Row]
"""A few thousand rows at most."""

NEXT_SET: Batch = []
"""Stands between the batches of two result sets; told by its identity."""

Progress = Callable[[Sample | str], None]
"""Takes a statement's progress before its first rows: what it waits for, in words, or a sample.

Samples come from the watchdog's thread.
"""


def unseen(_what: Sample | str) -> None: ...


class Execution:
    """Counters of a statement that was sent.

    Attributes:
        columns: of the result set that is read; empty when the statement returns no rows.
        masked: positions of its columns whose values are masked.
        head: see `Answer.head`.
        tail: see `Completion.tail`.
        sets: result sets that were begun.
        rows: rows that the reader took, of all result sets.
        bytes: bytes of rows that reached this process.
        warnings: the server's, one line each, once the statement is done.
        ended: the record of its end, None while it runs.

    Args:
        masking: what is done about masked columns.
        splice: hand packets on, with the mask in those of masked columns.
    """

    def __init__(self, clock: Clock, masking: Masking = NOTHING_MASKED, *, splice: Splice | None = None) -> None:
        self._masking, self._splice = masking, splice
        self._splice_mask: MaskedSplice | None = None
        self.columns: tuple[Column, ...] = ()
        self.masked: frozenset[int] = frozenset()
        self.head = self.tail = b""
        self.sets = self.rows = 0
        self.bytes = 0
        self.warnings: tuple[str, ...] = ()
        self.ended: Ended | None = None
        self._clock = clock
        self._started_seconds = clock.monotonic()

    def begin_set(self, answer: Answer) -> None:
        """Store the description of the next result set, some of whose columns are masked."""
        self.columns, self.head = answer.columns, answer.head
        self.sets += bool(self.columns)
        if self._masking.rules and self.columns:
            self._mask(self._masking)

    def _mask(self, masking: Masking) -> None:
        columns = self.columns
        self.masked = masking.of_columns([column.name for column in columns], [column.origin for column in columns])
        self._splice_mask = None
        if self.masked and self._splice is not None:
            self._splice_mask = MaskedSplice(self._splice, self.masked, MASK)
            with _maskable(masking):
                self.head = self._splice_mask.head(self.head)
        self.columns = tuple(
            Column(name=column.name, type_name="varchar") if position in self.masked else column
            for position, column in enumerate(columns)
        )

    def without_masked(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield batches of the result set with the mask in its masked columns. Raises DeniedError: it is unreadable."""
        masked, in_packets = self.masked, self._splice_mask
        if in_packets is None:
            for batch in batches:
                yield [tuple(MASK if at in masked else value for at, value in enumerate(row)) for row in batch]
            return
        for batch in batches:
            with _maskable(self._masking):
                # Typed as rows: nobody but the one who asked for packets takes them.
                changed = cast("Batch", in_packets.rows(cast("SplicedRows", batch)))
            yield changed

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the send."""
        return self._clock.monotonic() - self._started_seconds


class Result:
    """The answer to one statement; a context manager, and an iterator over batches of rows.

    A procedure may return several result sets: the iteration ends with each, and `next_set` goes on to the next. The
    statement is over when the last batch of the last set was taken. Whoever leaves the context earlier stops it on the
    server, and the journal says so. An error inside the context, such as Ctrl-C or a reader that is gone, stops it too.

    Iterating raises StoppedError, ServerError or OutcomeUnknownError, after the journal knows how it ended.

    Attributes:
        considered: everything known before it ran.
        failure: what came after the send, which the iteration raises; None without one, or once it was raised.
    """

    def __init__(self, considered: Assessment, batches: Generator[Batch], execution: Execution) -> None:
        self.considered = considered
        self._batches = batches
        self._execution = execution
        self._first: Batch | None = None
        self._more = False
        self._columns: tuple[Column, ...] = ()
        self._head = b""
        self.failure: SafeConsoleError | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of this result set as the server describes them, empty for a statement that returns no rows."""
        return self._columns

    @property
    def head(self) -> bytes:
        """The packets before the first row of a spliced answer; see `Answer.head`."""
        return self._head

    @property
    def tail(self) -> bytes:
        """Of an answer with result sets, the server's OK behind the last one; known when it is done."""
        return self._execution.tail

    @property
    def warnings(self) -> tuple[str, ...]:
        """The server's warnings, one line each; complete when the statement is done."""
        return self._execution.warnings

    @property
    def ended(self) -> Ended | None:
        """The record of how it ended, None while it runs."""
        return self._execution.ended

    def begin(self) -> SafeConsoleError | None:
        """Send the statement and wait for its first batch.

        Returns:
            The failure that came after the send, which the iteration raises; None without one.

        Raises:
            SafeConsoleError: the send itself failed.
        """
        try:
            next(self._batches)
            self._columns, self._head = self._execution.columns, self._execution.head
            try:
                self._first = next(self._batches, None)
            except SafeConsoleError as error:
                self.failure = error
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self.failure

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._more:
            raise StopIteration
        batch, self._first = self._first, None
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        if batch is None:
            batch = next(self._batches)
        self._more = batch is NEXT_SET
        if self._more:
            raise StopIteration
        return batch

    @property
    def has_more(self) -> bool:
        """Whether something follows, once all batches of this result set were taken: another one, or an error."""
        return self._more

    def next_set(self) -> bool:
        """Skip the rest of this result set and move to the next; False if there is none.

        Raises as iterating does.
        """
        for _ in self:
            pass
        if not self._more:
            return False
        self._more = False
        next(self._batches)
        self._columns, self._head = self._execution.columns, self._execution.head
        return True

    def take(self, most: int | None = None) -> list[Row]:
        """Read to the end, and return the first result set's first rows, at most so many, None for all."""
        with self:
            held = self.take_set(most)
            while self.next_set():
                pass
        return held

    def take_set(self, most: int | None = None) -> list[Row]:
        """Read this result set to its end, and return its first rows as `take`; inside the context."""
        held: list[Row] = []
        for batch in self:
            held += batch if most is None else batch[: most - len(held)]
        return held

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ended is not None:
            return
        # An error of the console's own that is raised here is its reader's: nothing has stopped the statement yet.
        if error is None or isinstance(error, SafeConsoleError):
            self.close()
            return
        try:
            self._batches.throw(error)
        except BaseException as raised:
            # What was raised here already goes on by itself.
            if raised is not error:
                raise

    def close(self) -> None:
        """Stop the statement on the server unless it is over. Raises OutcomeUnknownError: a change may remain."""
        self._batches.close()


@contextmanager
def _maskable(masking: Masking) -> Iterator[None]:
    """Refuse packets that cannot be read, and so not be masked."""
    try:
        yield
    except (ValueError, IndexError, struct.error) as error:
        raise not_maskable(masking, str(error)) from None


def delivered(answer: Answer, connection: Connection, permit: Permit, execution: Execution) -> Iterator[Batch]:
    """Yield the rows of an answer; between two result sets `NEXT_SET`, and an empty batch once the next one is begun.

    A limit stops the statement on the server; limits hold over all result sets together.

    Raises:
        StoppedError, OutcomeUnknownError: a limit was reached.
        SafeConsoleError: as `Answer.batches`.
    """
    yield from _set_delivered(answer, connection, permit, execution)
    while answer.has_more:
        yield NEXT_SET
        answer.next_set()
        execution.begin_set(answer)
        # A set without rows has its columns.
        if answer.received_bytes > permit.limits.fetched_bytes:
            raise _over("fetched_bytes", connection, permit, answer, execution)
        yield ()
        yield from _set_delivered(answer, connection, permit, execution)


def _set_delivered(answer: Answer, connection: Connection, permit: Permit, execution: Execution) -> Iterator[Batch]:
    limits, batches = permit.limits, answer.batches()
    for batch in execution.without_masked(batches) if execution.masked else batches:
        room = limits.fetched_rows - execution.rows
        yield batch[:room] if len(batch) > room else batch
        # MUST come after the reader took them: what it could not take was not handed on.
        execution.rows += min(len(batch), room)
        execution.bytes = answer.received_bytes
        over_bytes = "fetched_bytes" if execution.bytes > limits.fetched_bytes else ""
        ceiling = "fetched_rows" if len(batch) > room else over_bytes
        if ceiling:
            raise _over(ceiling, connection, permit, answer, execution)


def _over(
    ceiling: str, connection: Connection, permit: Permit, answer: Answer, execution: Execution
) -> SafeConsoleError:
    stopped = StoppedError(
        f"stopped after {execution.rows:,} rows: {ceiling} is {getattr(permit.limits, ceiling):,}",
        by="console",
        ceiling=ceiling,
        verified=connection.stop(),
        instead="narrow it with WHERE or LIMIT",
    )
    return _fated(stopped, permit, answer)


def failure_of(
    error: BaseException, connection: Connection, permit: Permit, answer: Answer | None = None
) -> SafeConsoleError:
    """Return the error for a failure after the send; a statement that may still run is stopped on the server first.

    Args:
        answer: None while it is not known whether it was sent.
    """
    if isinstance(error, SafeConsoleError):
        return _without_secrets(error, permit.statement, connection.rules)
    verified, leaving = stop_insistently(connection.stop, error)
    by, why = "console", f": {type(error).__name__} while showing the result"
    if isinstance(error, KeyboardInterrupt):
        by, why = "person", by_whom()
    elif isinstance(error, BrokenPipeError):
        why = ": the output was closed"
    elif isinstance(error, GeneratorExit):
        why = ": the rest of the result was not read"
    what = stop_words(verified, f"on {permit.node}{why}")
    return _fated(StoppedError(what, by=by, verified=verified, leaving=leaving), permit, answer)


def _fated(stopped: StoppedError, permit: Permit, answer: Answer | None) -> SafeConsoleError:
    """Return a stop completed with what happened to the statement's changes."""
    # What belongs to an open transaction is undone with its connection.
    if not permit.changes or (permit.within and not permit.commits):
        return stopped
    if answer is not None and answer.is_undone(stopped.verified):
        return stopped.replaced(message=f"{stopped.message}; not committed")
    return OutcomeUnknownError(
        f"{stopped.message}; it was sent, and may have been done on {permit.node}",
        verified=stopped.verified,
        evidence=(f"process list: {stopped.verified}",),
        instead="check the data before you repeat it; the console does not send it again",
        leaving=stopped.leaving,
    )


def unsent(error: BaseException, statement: Statement, rules: LexicalRules) -> SafeConsoleError:
    """Return the error for a failure before the send: nothing was sent."""
    if isinstance(error, SafeConsoleError):
        return _without_secrets(error, statement, rules)
    how = (told_words() or "interrupted") if isinstance(error, KeyboardInterrupt) else type(error).__name__
    return NotSentError(f"nothing was sent: {how}")


def _without_secrets(error: SafeConsoleError, statement: Statement, rules: LexicalRules) -> SafeConsoleError:
    """Return an error without passwords that the server quoted from the statement: errors end up in logs.

    All else stays as the server sent it, whatever the policy says of literals: who typed it knows them.
    """
    handling = Handling(rules=rules)
    told = {"message": error.message, "evidence": error.evidence}
    if isinstance(error, ServerError):
        told["server_message"] = error.server_message
    clean = {
        name: redacted_message(said, statement.text, handling)
        if isinstance(said, str)
        else tuple(redacted_message(line, statement.text, handling) for line in said)
        for name, said in told.items()
    }
    return error if clean == told else error.replaced(**clean)
