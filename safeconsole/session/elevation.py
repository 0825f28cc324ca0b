"""Confirmations and elevations: what the person is asked, the states of a grant, and its end."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec.structs import replace

from safeconsole.audit.record import Confirmed, ElevationChanged, Journal
from safeconsole.clock import Clock
from safeconsole.errors import AuditUnavailableError, RefusedError, SafeConsoleError
from safeconsole.policy.decision import Assessment, ElevationRequest, ElevationState, Grant, Scope, covers, exact_of
from safeconsole.policy.policy import ElevationSettings
from safeconsole.policy.watchdog import followed
from safeconsole.session.agreements import Agreements
from safeconsole.session.context import Justification, People, SessionContext
from safeconsole.sqltext.statement import Statement, TableName
from safeconsole.sqltext.vocabulary import Effect, Verdict

# A grant exists only in state GRANTED, is bound to one cluster, and for the scope STATEMENT also to one exact text
# and one server identity, for one attempt. Every way out of GRANTED is final.


class ElevationEvent(StrEnum):
    """What changes the state of an elevation."""

    SELF_APPROVED = "self-approved"
    ANSWERED_NO = "answered-no"
    INTERRUPTED = "interrupted"
    USED = "used"
    ATTEMPT_OVER = "attempt-over"
    TIME_PASSED = "time-passed"
    STOOD_DOWN = "stood-down"
    FAILED_OVER = "failed-over"
    POLICY_CHANGED = "policy-changed"
    SESSION_ENDED = "session-ended"


ELEVATION_TRANSITIONS: dict[tuple[ElevationState, ElevationEvent], ElevationState] = {
    # SELF_APPROVED MUST mean that the grant is durable in the journal already.
    (ElevationState.ASKED, ElevationEvent.SELF_APPROVED): ElevationState.GRANTED,
    (ElevationState.ASKED, ElevationEvent.ANSWERED_NO): ElevationState.DECLINED,
    (ElevationState.ASKED, ElevationEvent.INTERRUPTED): ElevationState.DECLINED,
    # A grant of one statement is for one attempt to run it, whether it was sent or not.
    (ElevationState.GRANTED, ElevationEvent.USED): ElevationState.EXPIRED,
    (ElevationState.GRANTED, ElevationEvent.ATTEMPT_OVER): ElevationState.EXPIRED,
    (ElevationState.GRANTED, ElevationEvent.TIME_PASSED): ElevationState.EXPIRED,
    (ElevationState.GRANTED, ElevationEvent.STOOD_DOWN): ElevationState.STOOD_DOWN,
    (ElevationState.GRANTED, ElevationEvent.FAILED_OVER): ElevationState.REVOKED,
    (ElevationState.GRANTED, ElevationEvent.POLICY_CHANGED): ElevationState.REVOKED,
    (ElevationState.GRANTED, ElevationEvent.SESSION_ENDED): ElevationState.REVOKED,
}


_DENIALS = frozenset({1044, 1095, 1142, 1143, 1227, 1370})
"""Errors of an account without the privilege. Source: MySQL 9.7 and MariaDB 10.11 manuals."""

_ENDED: dict[ElevationEvent, str] = {
    ElevationEvent.TIME_PASSED: "its time is over",
    ElevationEvent.FAILED_OVER: "the cluster changed",
    ElevationEvent.POLICY_CHANGED: "the policy's file changed",
}
"""The ends of a window that the person did not ask for, in words."""


def next_state(state: ElevationState, event: ElevationEvent) -> ElevationState:
    """Return the state after an event. Raises ValueError: the event cannot happen in that state."""
    return followed(ELEVATION_TRANSITIONS, state, event, what="an elevation")


# A state changes after its record is durable; a person who is asked and interrupts has not granted.


class Elevations:
    """At most one elevation at a time, for one session.

    Args:
        is_the_demo: whether the cluster's own nodes prove that it is the demo that it is said to be.
    """

    def __init__(
        self,
        *,
        settings: ElevationSettings,
        context: SessionContext,
        journal: Journal,
        clock: Clock,
        people: People,
        is_the_demo: Callable[[], bool] = bool,
    ) -> None:
        self._agreements = Agreements(
            settings=settings, context=context, journal=journal, clock=clock, people=people, is_the_demo=is_the_demo
        )
        self._settings, self._cluster, self._has_terminal = settings, context.cluster, context.person.terminal
        self._journal = journal
        self._clock, self._confirmer = clock, people.confirmer
        self.grant: Grant | None = None
        self._open_question: Grant | None = None
        self._asked = 0
        self.broke_the_glass = False
        """Whether a break-glass window was granted in this session."""
        self.ended = ""
        """Why the last window is over, "" while one is held, before the first, and where the person ended it."""
        self._told: list[str] = []
        self._lacks: dict[tuple[str, tuple[TableName, ...]], int] = {}

    @property
    def needs_a_person(self) -> bool:
        return self._agreements.needs_a_person

    @property
    def has_window(self) -> bool:
        """Whether a break-glass window is held; its time may be over."""
        return self.grant is not None and self.grant.request.scope is Scope.BREAK_GLASS

    def was_denied(self, statement: Statement, code: int) -> None:
        """Remember that the elevated account lacks a privilege, so that no elevation is offered for it again."""
        if code in _DENIALS:
            self._lacks[statement.kind, statement.tables] = code

    def lacking(self, statement: Statement) -> str:
        """Return why an elevation would not help a statement, or ""."""
        code = self._lacks.get((statement.kind, statement.tables), 0)
        return f"the elevated account may not do this: the server answered {code} to its like" if code else ""

    @property
    def told(self) -> tuple[str, ...]:
        return tuple(self._told)

    def take_told(self) -> tuple[str, ...]:
        """Return and clear pending messages to the person: why a window ended."""
        lines, self._told[:] = tuple(self._told), []
        return lines

    def current(self) -> Grant | None:
        """The grant in force, or None; an expired one is ended and recorded here."""
        grant = self.grant
        if grant is not None and not grant.granted_seconds <= self._clock.monotonic() < grant.ends_seconds:
            self.end(ElevationEvent.TIME_PASSED)
        return self.grant

    def covering(self, text: str, server: str) -> Grant | None:
        """The grant in force for a statement, exactly as written, on an instance, or None."""
        grant = self.current()
        return grant if grant is not None and covers(grant, text, server, self._clock.monotonic()) else None

    def remaining_seconds(self) -> float:
        """Seconds left of the grant, 0 without one; does not end it."""
        grant, now = self.grant, self._clock.monotonic()
        return grant.ends_seconds - now if grant and grant.granted_seconds <= now < grant.ends_seconds else 0.0

    def ask(
        self,
        request: ElevationRequest,
        considered: Assessment | None,
        *,
        sql: str = "",
        closed: str = "",
        tables: tuple[str, ...] = (),
    ) -> Grant:
        """Ask the person, and a second one if the policy requires it; the grant holds once the answer is on disk.

        Args:
            considered: the statement behind it, if there is one.
            sql: its text as a second person may read it.
            closed: why no more are granted in this session, "" while they may be.
            tables: what a window is for, as far as it is known.

        Raises:
            RefusedError: policy forbids the request, or the person did not grant it.
            AuditUnavailableError: it could not be recorded; nothing is granted.
        """
        if closed:
            raise RefusedError(
                f"no elevation is granted any more: {closed}",
                instead="open a new session: it begins with the policy as it is now",
            )
        self._agreements.require_askable(request)
        self._asked += 1
        asked = Grant(
            id=f"{self._journal.session}.{self._asked}",
            request=request,
            granted_seconds=self._clock.monotonic(),
            ends_seconds=self._clock.monotonic(),
            state=ElevationState.ASKED,
            tables=tables,
        )
        self._await_answer(asked, considered, sql)
        # One at a time: what was granted before ends with its own record, and is not quietly prolonged.
        self.end(ElevationEvent.STOOD_DOWN)
        now = self._clock.monotonic()
        granted = replace(asked, granted_seconds=now, ends_seconds=now + request.window_seconds)
        # MUST be durable before it is held: there is no elevation that the journal does not know.
        self.grant = self._move(granted, ElevationEvent.SELF_APPROVED)
        self.broke_the_glass |= self.has_window
        self.ended = ""
        return self.grant

    def _await_answer(self, asked: Grant, considered: Assessment | None, sql: str) -> None:
        """Return once the person, and a second one where it takes one, said yes. Raises as `ask`."""
        self._record(asked, "asked")
        self._open_question = asked
        try:
            self._agreements.obtain(asked, considered, sql)
        except AuditUnavailableError:
            raise
        except KeyboardInterrupt:
            self.leave_question()
            raise RefusedError("the elevation was not granted: interrupted", instead="ask again") from None
        except BaseException as error:
            # A question that broke was not answered.
            refused = isinstance(error, SafeConsoleError)
            self.leave_question(ElevationEvent.ANSWERED_NO if refused else ElevationEvent.INTERRUPTED)
            raise
        if self._open_question is None:
            raise RefusedError("the elevation was not granted: its session ended before the answer")
        self._open_question = None

    def leave_question(self, event: ElevationEvent = ElevationEvent.INTERRUPTED) -> None:
        """Record that the question which is open gets no yes any more; also from another thread, as a session ends."""
        asked, self._open_question = self._open_question, None
        if asked is not None:
            self._move(asked, event)

    def answered(
        self,
        considered: Assessment,
        justification: Justification | None,
        *,
        number: int,
        schema: str,
        sql: str,
        closed: str,
    ) -> tuple[Grant | None, bool]:
        """Ask the person for what a statement's verdict requires.

        Args:
            number: the statement's in the session.
            schema: the session's.
            sql, closed: as `ask`.

        Returns:
            The grant that covers the statement, and whether a person confirmed it.
        """
        decision, identity = considered.decision, considered.identity
        if identity is None:
            return None, False
        grant, confirmed = self.covering(considered.statement.text, identity.server), False
        if grant is None and not decision.observed:
            if decision.verdict is Verdict.CONFIRM:
                confirmed = self._is_confirmed(number, considered)
            elif decision.verdict is Verdict.ELEVATE and justification is not None:
                request = self._request_for(
                    considered, justification, number=number, schema=schema, server=identity.server
                )
                grant = self.ask(request, considered, sql=sql, closed=closed)
                # Whoever answered saw the statement with everything that a brake would say.
                confirmed = self._has_terminal or self.needs_a_person
        if grant is not None and decision.brakes and decision.verdict is Verdict.ELEVATE and not confirmed:
            confirmed = self._is_released(number, considered, justification) or self._is_confirmed(number, considered)
            # It may be over by the time of the answer.
            grant = self.covering(considered.statement.text, identity.server)
        return grant, confirmed

    def _request_for(
        self, considered: Assessment, justification: Justification, *, number: int, schema: str, server: str
    ) -> ElevationRequest:
        """Return the request to run one statement, exactly as written, on one server."""
        return ElevationRequest(
            cluster=self._cluster,
            scope=Scope.STATEMENT,
            reason=justification.reason,
            ticket=justification.ticket,
            digest=considered.statement.digest,
            exact=exact_of(considered.statement.text),
            statement=number,
            schema=schema,
            server=server,
            window_seconds=self._settings.window_seconds,
        )

    def _is_released(self, number: int, considered: Assessment, justification: Justification | None) -> bool:
        """Whether `--despite` answered every brake in advance; records that as the answer."""
        decision = considered.decision
        if justification is None or not set(justification.despite).issuperset(decision.brakes):
            return False
        answer = f"given beforehand: {', '.join(decision.brakes)}"
        confirmed = Confirmed(statement=number, digest=considered.statement.digest, answer=answer)
        self._journal.append(confirmed, durable=True)
        return True

    def _is_confirmed(self, number: int, considered: Assessment) -> bool:
        """Ask whether to run exactly this statement, and record the answer; an interrupt is a no."""
        answer = "interrupted"
        try:
            answer = "yes" if self._confirmer.confirm(considered) else "no"
        except KeyboardInterrupt:
            pass
        except RefusedError as refusal:
            # The person asked for something else first.
            answer = refusal.code
            raise
        finally:
            digest = considered.statement.digest
            self._journal.append(Confirmed(statement=number, digest=digest, answer=answer), durable=True)
        return answer == "yes"

    def end(self, event: ElevationEvent, why: str = "") -> None:
        """End the grant in force, if any, even if that cannot be recorded.

        Args:
            why: what happened, where the event alone does not say it.
        """
        grant, self.grant = self.grant, None
        if grant is None:
            return
        if grant.request.scope is Scope.BREAK_GLASS:
            why = why or _ENDED.get(event, "")
            self.ended = f"the elevation window ended: {why}" if why else ""
            self._told += [self.ended] if self.ended else []
        self._move(grant, event)

    def use(self, statement: Statement, sql: str) -> None:
        """Record a use of the grant: a statement's grant ends by it, a window extends to its tables.

        Args:
            sql: its text as it is recorded.
        """
        grant = self.grant
        if grant is None:
            return
        self._agreements.spend()
        self._agreements.tell(grant, "used", sql)
        if grant.request.scope is Scope.STATEMENT:
            self.end(ElevationEvent.USED)
        elif not statement.effects.isdisjoint({Effect.WRITE, Effect.DDL}):
            tables = dict.fromkeys((*grant.tables, *map(str, statement.tables)))
            self.grant = replace(grant, tables=tuple(tables))

    def end_attempt(self) -> None:
        """End a statement's grant after the attempt to run it, sent or not.

        What was not sent spends no approval that lay waiting for it.
        """
        self._agreements.give_back()
        if self.grant is not None and self.grant.request.scope is Scope.STATEMENT:
            self.end(ElevationEvent.ATTEMPT_OVER)

    def settle(self) -> tuple[str, ...]:
        return self._agreements.settle()

    def _move(self, grant: Grant, event: ElevationEvent) -> Grant:
        moved = replace(grant, state=next_state(grant.state, event))
        self._record(moved, event)
        return moved

    def _record(self, grant: Grant, event: str) -> None:
        request = grant.request
        self._journal.append(
            ElevationChanged(
                id=grant.id,
                state=grant.state,
                event=event,
                scope=request.scope,
                cluster=request.cluster,
                reason=request.reason,
                ticket=request.ticket,
                digest=request.digest,
                statement=request.statement,
                server=request.server,
                window_seconds=request.window_seconds,
            ),
            durable=True,
        )
        # Told after it is durable, and only what others need: what they are told of is in the journal.
        told = {ElevationState.ASKED: "asked", ElevationState.GRANTED: "granted"}.get(
            grant.state, f"ended ({grant.state})"
        )
        self._agreements.tell(grant, told)
