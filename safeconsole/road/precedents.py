"""
Decisions that were made already: the same rules over the same facts come to the same.

A decision is looked up by the statement's shape and holds only where all that it was made of is the very same: the
analysis, the choice of the node, the server's opinion, the limits, the elevation. What was measured anew, asked anew or
granted anew is another object, and is judged anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from safeconsole.core.decision import Considered
from safeconsole.core.facts import COUNTED
from safeconsole.core.policy import Policy
from safeconsole.core.rules import Match, match, offered
from safeconsole.core.statement import Statement

HELD_PRECEDENTS = 64


class _Precedent(msgspec.Struct, frozen=True, kw_only=True):
    basis: tuple[object, ...]
    considered: Considered


class Precedents:
    """
    What one session decided, by shape.

    Args:
        policy: the rules in force; those that look at how much was asked are judged for each statement, and what one of
            them has something to say to is no precedent.
    """

    def __init__(self, policy: Policy) -> None:
        self._counting = tuple(rule for rule in policy.rules if _counts(rule.when))
        others = [rule for rule in policy.rules if rule not in self._counting]
        texts = [text for rule in others for text in (rule.message, rule.instead)]
        self._never = any(map(_counts, (*texts, policy.slots.heavy)))
        self._held: OrderedDict[str, _Precedent] = OrderedDict()

    def of(self, statement: Statement, basis: tuple[object, ...], counted: dict[str, object]) -> Considered | None:
        """
        Return what is known of a statement whose like was decided on the same basis, None when none was.

        Args:
            basis: what the decision is made of, beside the statement.
            counted: this statement's own values of the facts that count.
        """
        held = self._held.get(statement.shape) if statement.shape else None
        # Texts of one shape share this object as long as one analysis of them is remembered.
        if held is None or held.considered.statement.normalised is not statement.normalised:
            return None
        if len(basis) != len(held.basis) or any(one is not other for one, other in zip(basis, held.basis, strict=True)):
            return None
        facts = {**held.considered.facts, **counted}
        if self._counting and not self._are_silent(facts):
            return None
        return replace(held.considered, statement=statement, facts=facts)

    def _are_silent(self, facts: Mapping[str, object]) -> bool:
        """Whether no rule that counts has anything to say."""
        activation = offered(facts)
        return all(match(rule.condition, activation)[0] is Match.NO for rule in self._counting)

    def keep(self, considered: Considered, basis: tuple[object, ...]) -> None:
        """Keep a decision for its like."""
        shape = considered.statement.shape
        if self._never or not shape or (self._counting and not self._are_silent(considered.facts)):
            return
        self._held[shape] = _Precedent(basis=basis, considered=considered)
        if len(self._held) > HELD_PRECEDENTS:
            self._held.popitem(last=False)


def _counts(text: str) -> bool:
    return any(name in text for name in COUNTED)
