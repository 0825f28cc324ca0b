"""What would be decided, from the text and the policy alone: no server is asked."""

from __future__ import annotations

from safeconsole.core.decision import Considered, Decision, Facts, addressed, judged_as_asked
from safeconsole.core.evidence import evidence_of
from safeconsole.core.facts import Circumstances, facts_of
from safeconsole.core.limits import Limits
from safeconsole.core.policy import Policy, judge
from safeconsole.core.routing import Choice, route_of
from safeconsole.core.statement import Estimate, Statement


def preview(
    statement: Statement, *, policy: Policy, circumstances: Circumstances, to: str = "", limits: Limits | None = None
) -> Considered:
    """
    Consider a statement as if its route led to a fit node of that role.

    Args:
        statement: the analysed text.
        policy: the rules.
        circumstances: who asks, from where, about which cluster.
        to: "replica" or "primary" when the person asked for one.
        limits: the session's own; the policy's when None.
    """
    route, estimate = route_of(statement, to=to), Estimate()

    def judged(statement: Statement) -> tuple[Facts, Decision]:
        facts = facts_of(statement, route=route, reading=None, estimate=estimate, circumstances=circumstances)
        return facts, judge(policy, facts, limits=limits)

    statement, facts, decision = judged_as_asked(statement, judged)
    decision = addressed(decision, circumstances.cluster, statement.hazards)
    return Considered(
        statement=statement,
        route=route,
        node=None,
        identity=None,
        estimate=estimate,
        decision=decision,
        evidence=evidence_of(statement, Choice(route=route, reading=None, reasons=()), estimate, decision),
        facts=facts,
        notes=statement.notes,
    )
