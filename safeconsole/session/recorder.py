"""Builds the journal record of each step of a statement, redacted as the policy says."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter

from msgspec import structs

from safeconsole.audit.kept import NOT_KEPT_OF, KeptChange
from safeconsole.audit.record import Asked, Decided, Disagreed, Ended, Intent, Journal, Noticed, Record, Sampled
from safeconsole.cluster.engine import Completion
from safeconsole.errors import (
    UNSEEN,
    AuditUnavailableError,
    NotRecordedError,
    OutcomeUnknownError,
    SafeConsoleError,
    ServerError,
    StoppedError,
)
from safeconsole.policy.decision import Assessment, Permit
from safeconsole.policy.limits import LIMIT_NAMES, Limits
from safeconsole.policy.watchdog import Sample
from safeconsole.session.result import Execution
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import Handling, LiteralKey, LiteralRules, Treatment
from safeconsole.sqltext.redaction import redacted, redacted_message
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.undoing import NOT_KEPT
from safeconsole.sqltext.vocabulary import OutcomeKind

_ceilings = attrgetter(*LIMIT_NAMES)


def _named(limits: Limits) -> dict[str, float]:
    return dict(zip(LIMIT_NAMES, _ceilings(limits), strict=True))


def asked(number: int, statement: Statement, sql: str, *, by_console: bool = False) -> Asked:
    """Return the record of a statement that was asked for; `sql` is its redacted text."""
    return Asked(
        statement=number,
        sql=sql,
        digest=statement.digest,
        kind=statement.kind,
        effects=tuple(sorted(statement.effects)),
        tables=tuple(map(str, statement.tables)),
        hazards=tuple(hazard.id for hazard in statement.hazards),
        by_console=by_console,
    )


def decided(number: int, considered: Assessment) -> Decided:
    decision = considered.decision
    return Decided(
        statement=number,
        verdict=decision.verdict.word,
        rules=decision.rules,
        policy=decision.policy,
        route=considered.route,
        node=considered.node or "",
        server=considered.identity.server if considered.identity else "",
        facts=dict(considered.facts),
        limits=_named(decision.limits),
        message=decision.message,
        observed=decision.observed,
    )


def intent(number: int, permit: Permit, sql: str, guards: dict[str, str]) -> Intent:
    """Return the record of a statement about to be sent; `guards` as read back from the server."""
    return Intent(
        statement=number,
        sql=sql,
        digest=permit.statement.digest,
        node=permit.node,
        server=permit.identity.server,
        role=permit.route,
        account=permit.account,
        read_only=permit.read_only,
        guards=guards,
        limits=_named(permit.limits),
        elevation=permit.elevation,
    )


def sampled(number: int, sample: Sample) -> Sampled:
    return Sampled(
        statement=number,
        elapsed_seconds=sample.elapsed_seconds,
        session_memory_bytes=sample.session_memory_bytes,
        instance_memory_bytes=sample.instance_memory_bytes,
        free_memory_bytes=sample.free_memory_bytes,
        rows=sample.rows,
    )


def refused(number: int, error: SafeConsoleError, message: str) -> Ended:
    """Return the outcome of a statement that was not sent; `message` is the error's redacted text."""
    code = error.number if isinstance(error, ServerError) else 0
    kind = OutcomeKind.FAILED if isinstance(error, ServerError) else OutcomeKind.REFUSED
    if isinstance(error, StoppedError) and error.ceiling:
        # What a limit ended while the server planned it.
        return Ended(
            statement=number,
            outcome=OutcomeKind.STOPPED,
            stopped_by=error.by,
            ceiling=error.ceiling,
            message=message,
        )
    return Ended(statement=number, outcome=kind, server_error=code, message=message)


def done(number: int, *, rows: int, bytes_: int, elapsed_seconds: float, completion: Completion) -> Ended:
    return Ended(
        statement=number,
        outcome=OutcomeKind.DONE,
        rows=rows,
        bytes=bytes_,
        changed_rows=completion.changed_rows,
        elapsed_seconds=elapsed_seconds,
        peak_memory_bytes=completion.peak_memory_bytes,
        inserted_id=completion.inserted_id,
    )


def failed(number: int, error: SafeConsoleError, message: str, *, rows: int, bytes_: int, elapsed: float) -> Ended:
    """Return the outcome of a statement that was sent and did not end well; `message` is the redacted text."""
    stopped = error if isinstance(error, StoppedError) else None
    verified = error.verified if isinstance(error, StoppedError | OutcomeUnknownError) else ""
    ended_there = OutcomeKind.UNSEEN if verified in UNSEEN else OutcomeKind.STOPPED
    failed_there = OutcomeKind.FAILED if isinstance(error, ServerError) else OutcomeKind.REFUSED
    kind = ended_there if stopped else failed_there
    return Ended(
        statement=number,
        outcome=OutcomeKind.UNKNOWN if isinstance(error, OutcomeUnknownError) else kind,
        rows=rows,
        bytes=bytes_,
        elapsed_seconds=elapsed,
        truncated=rows > 0,
        stopped_by=stopped.by if stopped else "",
        ceiling=stopped.ceiling if stopped else "",
        kill=verified,
        server_error=error.number if isinstance(error, ServerError) else 0,
        message=message,
    )


SIGNALLED = 1644
"""The error of SIGNAL. Source: MySQL 9.7 and MariaDB 10.11 manuals, ER_SIGNAL_EXCEPTION."""

RECORDED_SAMPLE_SECONDS = 1.0
"""Between two recorded looks at a running statement."""


class StatementSamples:
    """The samples of one running statement.

    Attributes:
        last: the latest sample, None before there was one.
        recorded_seconds: when the latest recorded sample was taken, 0 before there was one.
    """

    def __init__(self, *, number: int) -> None:
        self.number = number
        self.last: Sample | None = None
        self.peak_memory_bytes = 0
        self.recorded_seconds = 0.0

    def take(self, sample: Sample) -> None:
        self.last = sample
        self.peak_memory_bytes = max(self.peak_memory_bytes, sample.session_memory_bytes or 0)


class Recorder:
    """The session's journal, as the gate writes to it.

    Args:
        rules: how the servers read text.
        literals: what the policy says of statements' literals.
    """

    def __init__(self, journal: Journal, *, rules: Callable[[], LexicalRules], literals: LiteralRules) -> None:
        self._journal = journal
        self._rules = rules
        self._literals = literals
        # A statement's text stands in two records, and in more where it elevates.
        self._shown = ("", "", "")
        self._samples = StatementSamples(number=-1)

    @property
    def session(self) -> str:
        return self._journal.session

    @property
    def literal_key(self) -> LiteralKey:
        return self._journal.literal_key

    def append(self, record: Record, *, durable: bool = False) -> None:
        """Add one record; see `Journal`.

        Raises:
            AuditUnavailableError: it cannot be written; the next one is tried again, with this one before it.
        """
        self._journal.append(record, durable=durable)

    def close(self) -> None:
        """Make everything durable and close; see `Journal`."""
        self._journal.close()

    def kept(self, number: int, permit: Permit, completion: Completion, cluster: str, schema: str) -> tuple[str, ...]:
        """Store the kept rows of a change, if its permit asks for them; return a note for the person."""
        rows, keep = completion.kept, permit.keep
        if keep is None:
            return ()
        if rows is None:
            for why in (line for line in completion.warnings if line.startswith(NOT_KEPT)):
                self.append(Noticed(what=f"{NOT_KEPT_OF} {number}", detail=why))
            return ()
        change = KeptChange(
            session=self.session,
            statement=number,
            cluster=cluster,
            schema=schema,
            server=permit.identity.server,
            sql=self.text_of(permit.statement),
            until_epoch=int(time.time() + keep.days * 86_400),
            rows=rows,
        )
        what = f"rows kept of statement {number}"
        try:
            self._journal.keep_rows(change)
            self.append(Noticed(what=what, detail=f"{len(rows.before)}, for {keep.days:g} days"))
        except AuditUnavailableError as error:
            return (f"{NOT_KEPT}: {error.message}",)
        return (f"to undo it within {keep.days:g} days: safeconsole undo {self.session}#{number}",)

    def keep_rows(self, change: KeptChange) -> None:
        self._journal.keep_rows(change)

    def asked(self, number: int, statement: Statement, *, by_console: bool) -> None:
        self.append(asked(number, statement, self.text_of(statement), by_console=by_console))

    def decided(self, number: int, considered: Assessment) -> None:
        """Record the decision and the server's estimate, redacted because servers quote statements."""
        said = considered.estimate.objection
        record = decided(number, considered)
        if said:
            shown = self._message(said, considered.statement)
            facts = {**record.facts, "estimate.objection": shown}
            record = structs.replace(record, facts=facts, message=record.message.replace(said, shown))
        self.append(record)
        if considered.estimate.disagrees:
            code, servers = considered.estimate.objection_code, record.facts["estimate.objection"]
            self.append(Disagreed(statement=number, ours="read", servers=servers, code=code))

    def intent(self, number: int, permit: Permit, guards: dict[str, str]) -> None:
        """Record the intent to send a statement; durable on return."""
        self.append(intent(number, permit, self.text_of(permit.statement), guards), durable=True)

    def ended(self, ended: Ended, *, durable: bool = False, sent: bool = True) -> None:
        """Record how a statement ended.

        Args:
            sent: False where nothing was; a record says so itself where it is refused.

        Raises:
            AuditUnavailableError: it cannot be, and nothing was sent.
            NotRecordedError: it cannot be, and the statement was sent.
        """
        try:
            self._last_look(ended)
            self.append(ended, durable=durable)
        except AuditUnavailableError as error:
            if not sent or ended.outcome == OutcomeKind.REFUSED:
                raise
            raise NotRecordedError(
                f"the statement was sent, and how it ended ({ended.outcome}) is not on record: {error.message}",
                instead=error.instead,
            ) from error

    def refused(self, number: int, statement: Statement, error: SafeConsoleError) -> Ended:
        return refused(number, error, self._error_message(statement, error))

    def failed(self, number: int, statement: Statement, error: SafeConsoleError, execution: Execution) -> Ended:
        said, seconds = self._error_message(statement, error), execution.elapsed_seconds
        ended = failed(number, error, said, rows=execution.rows, bytes_=execution.bytes, elapsed=seconds)
        peak = self._samples.peak_memory_bytes if self._samples.number == number else 0
        return structs.replace(ended, peak_memory_bytes=peak, sets=_sets_of(execution))

    def done(self, number: int, completion: Completion, execution: Execution) -> Ended:
        ended = done(
            number,
            rows=execution.rows,
            bytes_=execution.bytes,
            elapsed_seconds=execution.elapsed_seconds,
            completion=completion,
        )
        return structs.replace(ended, sets=_sets_of(execution))

    def watching(self, number: int, show: Callable[[Sample], None]) -> Callable[[Sample], None]:
        """Return a function that reports every sample of a running statement and records one per second."""
        samples = self._samples = StatementSamples(number=number)

        def watch(sample: Sample) -> None:
            samples.take(sample)
            show(sample)
            if sample.elapsed_seconds - samples.recorded_seconds < RECORDED_SAMPLE_SECONDS:
                return
            samples.recorded_seconds = sample.elapsed_seconds
            # A journal that cannot be written is found out by the outcome; the watchdog goes on.
            with suppress(AuditUnavailableError):
                self.append(sampled(number, sample))

        return watch

    def _last_look(self, ended: Ended) -> None:
        """Record the last sample: for a stopped statement it shows the reason."""
        samples = self._samples
        wanted = samples.recorded_seconds > 0 or ended.outcome == OutcomeKind.STOPPED
        if samples.number != ended.statement or samples.last is None or not wanted:
            return
        if samples.last.elapsed_seconds > samples.recorded_seconds:
            self.append(sampled(samples.number, samples.last))

    def text_of(self, statement: Statement) -> str:
        text, kind, shown = self._shown
        if (text, kind) != (statement.text, statement.kind):
            literals = self._literals.of_statement(statement)
            handling = Handling(rules=self._rules(), literals=literals, key=self.literal_key)
            shown = redacted(statement.text, statement.kind, handling)
            self._shown = (statement.text, statement.kind, shown)
        return shown

    def readable(self, statement: Statement) -> str:
        """Return a statement as a second person reads it: with literals, without passwords."""
        return redacted(statement.text, statement.kind, Handling(rules=self._rules()))

    def _error_message(self, statement: Statement, error: SafeConsoleError) -> str:
        return self._message(error.message, statement, code=error.number if isinstance(error, ServerError) else 0)

    def _message(self, said: str, statement: Statement, *, code: int = 0) -> str:
        literals = self._literals.of_statement(statement)
        if code == SIGNALLED and literals.strictest is not Treatment.KEEP:
            return f"<left out: the words of a trigger or a routine, which may quote values> ({code})"
        return redacted_message(
            said, statement.text, Handling(rules=self._rules(), literals=literals, key=self.literal_key)
        )


def _sets_of(execution: Execution) -> int:
    return execution.sets if execution.sets > 1 else 0
