"""What the policy says of a statement before any server was asked: facts that are not known stay unknown."""

from __future__ import annotations

from collections.abc import Callable

from safeconsole.core.decision import Decision
from safeconsole.core.facts import Circumstances, facts_of
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.policy import judge
from safeconsole.core.routing import route_of
from safeconsole.core.statement import Estimate, Statement
from safeconsole.gate import Gate


def offline_preview(gate: Gate, rules: Callable[[], LexicalRules]) -> Callable[[Statement], Decision]:
    """Return what judges one statement for this session; it opens no connection and records nothing."""

    def preview(statement: Statement) -> Decision:
        status, visit = gate.status(), gate.visit
        elevated = status.elevated_seconds > 0
        circumstances = Circumstances(
            flavour=rules().flavour,
            person=visit.person.name,
            groups=visit.person.groups,
            agent=bool(visit.person.agent),
            face=visit.face,
            interactive=visit.person.terminal,
            cluster=visit.cluster,
            environment=visit.environment,
            elevated=elevated,
        )
        facts = facts_of(
            statement,
            route=route_of(statement, to=status.to),
            reading=None,
            estimate=Estimate(),
            circumstances=circumstances,
        )
        return judge(gate.policy, facts, limits=status.limits)

    return preview
