"""Meets what a decision demands: a transaction that holds, a yes, an elevation; a permit is made of the answers."""

from __future__ import annotations

from safeconsole.core.decision import Considered, Permit, permit_from_decision
from safeconsole.core.elevation import Request, Scope
from safeconsole.core.errors import DeniedError
from safeconsole.core.policy import ElevationSettings
from safeconsole.core.record import Confirmed
from safeconsole.core.transactions import ENDS, objection, way_out
from safeconsole.core.visit import Visit
from safeconsole.core.vocabulary import Account, NodeName, Verdict
from safeconsole.elevations import Elevations
from safeconsole.interfaces import Clock, Confirmer
from safeconsole.nodes import Nodes
from safeconsole.recorder import Recorder


class Demands:
    """What one session's person is asked, and what their answers are worth."""

    def __init__(  # noqa: PLR0913 (the parts that the gate brings together, each named)
        self,
        *,
        visit: Visit,
        settings: ElevationSettings,
        nodes: Nodes,
        elevations: Elevations,
        recorder: Recorder,
        clock: Clock,
        confirmer: Confirmer,
    ) -> None:
        self._visit = visit
        self._settings = settings
        self._nodes = nodes
        self._elevations = elevations
        self._recorder = recorder
        self._clock = clock
        self._confirmer = confirmer

    def permit(self, number: int, considered: Considered) -> Permit:
        """
        Ask the person where the verdict demands it, and make the permit of the answer.

        Raises:
            DeniedError, RefusedError, NoFitNodeError: there is no permit; the message says why.
        """
        self._require_together(considered)
        decision, identity, digest = considered.decision, considered.identity, considered.statement.digest
        confirmed = False
        grant = self._elevations.covering(digest, identity.server) if identity else None
        if grant is None and identity is not None and not decision.observed:
            if decision.verdict is Verdict.CONFIRM:
                confirmed = self._is_confirmed(number, considered)
            elif decision.verdict is Verdict.ELEVATE and self._visit.plea is not None:
                request = Request(
                    cluster=self._visit.cluster,
                    scope=Scope.STATEMENT,
                    reason=self._visit.plea.reason,
                    ticket=self._visit.plea.ticket,
                    digest=digest,
                    server=identity.server,
                    window_seconds=self._settings.window_seconds,
                )
                grant = self._elevations.ask(request, considered, sql=self._recorder.readable(considered.statement))
        return permit_from_decision(considered, grant=grant, confirmed=confirmed, now_seconds=self._clock.monotonic())

    def _require_together(self, considered: Considered) -> None:
        """Refuse what would not do what its transaction promises; nobody is asked about it first."""
        kind, held = considered.statement.kind, self._nodes.transaction
        if considered.node is None or considered.decision.verdict is Verdict.DENY:
            return
        elevates = considered.decision.verdict is Verdict.ELEVATE and not considered.decision.observed
        goes_to = (considered.node, Account.ELEVATED if elevates else Account.READ)
        open_on = _place(held) if held else ""
        why = objection(
            kind,
            elevated=self._elevations.is_held or self._visit.plea is not None,
            open_on=open_on,
            goes_to=_place(goes_to),
        )
        if held is not None and why and kind in ENDS:
            self._nodes.drop(*held)
            why, open_on = (
                f"the transaction on {open_on} is over: its connection was closed, and nothing of it stays",
                "",
            )
        if why:
            raise DeniedError(why, evidence=considered.evidence, instead=way_out(kind, open_on=open_on))

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


def _place(key: tuple[NodeName, Account]) -> str:
    """Say where a connection leads; the reading account is the one that people know of."""
    node, account = key
    return node if account is Account.READ else f"{node} ({account})"
