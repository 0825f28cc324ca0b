"""The records of one statement's way, made from the values that the road hands along."""

from __future__ import annotations

from typing import Protocol

from safeconsole.core.decision import Considered, Permit
from safeconsole.core.errors import OutcomeUnknownError, SafeConsoleError, ServerError, StoppedError
from safeconsole.core.limits import LIMIT_NAMES, Limits
from safeconsole.core.record import Asked, Decided, Ended, Intent, Sampled
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import OutcomeKind
from safeconsole.core.watchdog import Sample


class Done(Protocol):
    """What the record needs of a completion."""

    @property
    def changed_rows(self) -> int:
        """Rows changed."""
        ...

    @property
    def peak_memory_bytes(self) -> int:
        """Highest session memory."""
        ...

    @property
    def inserted_id(self) -> int:
        """The number that the server gave to the first row inserted."""
        ...


def _named(limits: Limits) -> dict[str, float]:
    return {name: getattr(limits, name) for name in LIMIT_NAMES}


def asked(number: int, statement: Statement, sql: str, *, by_console: bool = False) -> Asked:
    """Return the record of a statement that was asked for; `sql` is its redacted text."""
    return Asked(
        statement=number,
        sql=sql,
        digest=statement.digest,
        kind=statement.kind,
        effects=tuple(sorted(statement.effects)),
        tables=tuple(str(table) for table in statement.tables),
        hazards=tuple(hazard.id for hazard in statement.hazards),
        by_console=by_console,
    )


def decided(number: int, considered: Considered) -> Decided:
    """Return the record of a decision, with the facts it was made on."""
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
    """Return the record of what is about to be sent; `guards` as read back from the server."""
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
    """Return the record of one look at a running statement."""
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
    code = error.code if isinstance(error, ServerError) else 0
    return Ended(statement=number, outcome=OutcomeKind.REFUSED, server_error=code, message=message)


def done(number: int, *, rows: int, bytes_: int, elapsed_seconds: float, completion: Done) -> Ended:
    """Return the outcome of a statement that ended well."""
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
    kind = OutcomeKind.STOPPED if stopped else OutcomeKind.REFUSED
    return Ended(
        statement=number,
        outcome=OutcomeKind.UNKNOWN if isinstance(error, OutcomeUnknownError) else kind,
        rows=rows,
        bytes=bytes_,
        elapsed_seconds=elapsed,
        truncated=rows > 0,
        stopped_by=stopped.by if stopped else "",
        ceiling=stopped.ceiling if stopped else "",
        kill=stopped.verified if stopped else "",
        server_error=error.code if isinstance(error, ServerError) else 0,
        message=message,
    )
