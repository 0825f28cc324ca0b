"""Recorded decisions evaluated again by another policy, from the facts that were recorded with them.

Answers "what would this policy have refused last week?" without a server or a statement's text. A fact that an older
version did not record is unknown; a rule that names it cannot be evaluated, which is reported, not counted as refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from safeconsole.audit.record import Decided
from safeconsole.policy.decision import Decision, with_disagreement
from safeconsole.policy.facts import FACTS, FactType
from safeconsole.policy.policy import Policy, judge
from safeconsole.policy.rules import facts_named
from safeconsole.sqltext.statement import Estimate
from safeconsole.sqltext.vocabulary import Role, Route, Verdict


class Rejudged(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded decision, and another policy's verdict on the same facts.

    Attributes:
        missing: facts that its rules name and that were not recorded; if any, `now` proves nothing.
    """

    statement: int
    was: Verdict
    now: Decision
    missing: tuple[str, ...] = ()

    @property
    def is_stricter(self) -> bool:
        return not self.missing and self.now.verdict > self.was

    @property
    def is_looser(self) -> bool:
        return not self.missing and self.now.verdict < self.was


def rejudge(policy: Policy, decided: Iterable[Decided]) -> Iterator[Rejudged]:
    """Yield each recorded decision with the policy's present verdict, in the order given."""
    named = tuple(dict.fromkeys(fact for rule in policy.rules for fact in facts_named(rule.when)))
    for recorded in decided:
        facts = facts_from_record(recorded.facts)
        yield Rejudged(
            statement=recorded.statement,
            # A verdict that this program does not know was none that let anything pass.
            was=Verdict.__members__.get(recorded.verdict.upper(), Verdict.DENY),
            now=_judged(policy, facts),
            missing=tuple(fact for fact in named if fact not in facts),
        )


def _judged(policy: Policy, facts: Mapping[str, object]) -> Decision:
    estimate = Estimate(
        asked=facts.get("estimate.asked") is True,
        objection=str(facts.get("estimate.objection", "")),
        disagrees=facts.get("estimate.disagrees") is True,
    )
    route = Route.PRIMARY if facts.get("node.role") == Role.PRIMARY else Route.REPLICA
    return with_disagreement(judge(policy, facts), estimate, route)


def facts_from_record(recorded: Mapping[str, object]) -> dict[str, object]:
    """Return recorded facts as rules need them: known names only, numbers converted to the declared type."""
    facts: dict[str, object] = {}
    for name, value in recorded.items():
        fact = FACTS.get(name)
        if fact is None:
            continue
        whole = fact.type is FactType.DOUBLE and isinstance(value, int) and not isinstance(value, bool)
        facts[name] = float(value) if whole and isinstance(value, int) else value
    return facts
