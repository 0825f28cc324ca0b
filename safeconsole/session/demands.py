"""Meets what a decision demands: a transaction that holds, a yes, an elevation; a permit is made of the answers."""

from __future__ import annotations

from safeconsole.audit.record import Confirmed
from safeconsole.clock import Clock
from safeconsole.errors import RefusedError
from safeconsole.policy.decision import (
    Considered,
    ElevationRequest,
    Grant,
    Permit,
    Scope,
    exact_of,
    permit_from_decision,
)
from safeconsole.policy.policy import ElevationSettings
from safeconsole.session.connections import Nodes
from safeconsole.session.elevation import Elevations
from safeconsole.session.protocols import Confirmer
from safeconsole.session.recorder import Recorder
from safeconsole.session.transactions import Transactions
from safeconsole.session.visit import Plea, Visit
from safeconsole.sqltext.vocabulary import Verdict


class Demands:
    """What one session's person is asked, and what their answers are worth."""

    def __init__(  # noqa: PLR0913 (the parts that the gate brings together, each named)
        self,
        *,
        visit: Visit,
        settings: ElevationSettings,
        nodes: Nodes,
        transactions: Transactions,
        elevations: Elevations,
        recorder: Recorder,
        clock: Clock,
        confirmer: Confirmer,
    ) -> None:
        self._visit = visit
        self._settings = settings
        self._nodes = nodes
        self._transactions = transactions
        self._elevations = elevations
        self._recorder = recorder
        self._clock = clock
        self._confirmer = confirmer

    def permit(self, number: int, considered: Considered, plea: Plea | None) -> Permit:
        """
        Ask the person where the verdict demands it, and make the permit of the answer.

        Args:
            plea: what an elevation of this statement alone is asked with, or None where none is.

        Raises:
            DeniedError, RefusedError, NoFitNodeError: there is no permit; the message says why.
        """
        self._transactions.require_together(considered, alone=plea is not None)
        decision, identity, statement = considered.decision, considered.identity, considered.statement
        confirmed = False
        grant = self._elevations.covering(statement.text, identity.server) if identity else None
        if grant is None and identity is not None and not decision.observed:
            if decision.verdict is Verdict.CONFIRM:
                confirmed = self._is_confirmed(number, considered)
            elif decision.verdict is Verdict.ELEVATE and plea is not None:
                request = ElevationRequest(
                    cluster=self._visit.cluster,
                    scope=Scope.STATEMENT,
                    reason=plea.reason,
                    ticket=plea.ticket,
                    digest=statement.digest,
                    exact=exact_of(statement.text),
                    statement=number,
                    schema=self._nodes.schema,
                    server=identity.server,
                    window_seconds=self._settings.window_seconds,
                )
                grant = self._elevations.ask(request, considered, sql=self._recorder.readable(statement))
        return permit_from_decision(
            considered,
            grant=grant,
            confirmed=confirmed,
            now_seconds=self._clock.monotonic(),
            within=self._transactions.is_within(considered),
            idle_seconds=self._transactions.idle_seconds(considered),
            by_a_person=self._elevations.needs_a_person,
        )

    def window(
        self,
        last: Considered | None,
        *,
        evidence: tuple[str, ...],
        reason: str,
        ticket: str = "",
        window_seconds: float | None = None,
    ) -> Grant:
        """
        Ask for a break-glass window; see `Gate.elevate`.

        Args:
            last: the statement considered last, which is shown with the question.
            evidence: the nodes as they are now.
        """
        try:
            request = ElevationRequest(
                cluster=self._visit.cluster,
                scope=Scope.BREAK_GLASS,
                reason=reason,
                ticket=ticket,
                window_seconds=self._settings.window_seconds if window_seconds is None else window_seconds,
                evidence=evidence,
            )
        except ValueError as error:
            raise RefusedError(str(error)) from None
        return self._elevations.ask(request, last)

    def _is_confirmed(self, number: int, considered: Considered) -> bool:
        """Ask whether to run exactly this, and record the answer; who interrupts has not agreed."""
        answer = "interrupted"
        try:
            answer = "yes" if self._confirmer.confirm(considered) else "no"
        except KeyboardInterrupt:
            pass
        finally:
            digest = considered.statement.digest
            self._recorder.append(Confirmed(statement=number, digest=digest, answer=answer), durable=True)
        return answer == "yes"
