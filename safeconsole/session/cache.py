"""The cache of one session: analyses, estimates, decisions, readings.

Every entry is found by the values that it was made of, and by nothing else. Decision 0014 says why each of them may be
used again, and what that may cost.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from enum import StrEnum

from msgspec.structs import replace

from safeconsole.clock import Clock
from safeconsole.policy.decision import Assessment
from safeconsole.policy.facts import COUNTED
from safeconsole.policy.policy import Policy
from safeconsole.policy.rules import Match, match, offered
from safeconsole.sqltext.analysis import analyse, is_bound_by_key, is_shared, shape_of
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement


class CacheKind(StrEnum):
    ANALYSIS = "analysis"
    ESTIMATE = "estimate"
    DECISION = "decision"
    READINGS = "readings"


HOLD_SECONDS: Mapping[CacheKind, float] = {
    # Analysis is a pure function of its key.
    CacheKind.ANALYSIS: math.inf,
    CacheKind.ESTIMATE: 5.0,
    # A decision is made on readings, which are part of its key.
    CacheKind.DECISION: 5.0,
    # For plain reads; anything else proves the live session again.
    CacheKind.READINGS: 5.0,
}
"""Lifetime of each kind, from before the question was asked."""

HELD = {CacheKind.ANALYSIS: 256, CacheKind.ESTIMATE: 64, CacheKind.DECISION: 64}
"""Largest number of entries of each kind; the least recently used are dropped."""

_SPACES = " \t\n\r"


class Cache:
    """One session's cache.

    Args:
        policy: the rules that the session began with. Rules that look at how much was asked are evaluated for each
            statement; what one of them says something to is decided anew.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[CacheKind, OrderedDict[Hashable, tuple[object, float]]] = {
            kind: OrderedDict() for kind in HELD
        }
        # What is typed is judged by a thread of the prompt, beside the statement that was entered.
        self._lock = threading.Lock()
        self._rules: set[LexicalRules] = set()
        self._counting = tuple(rule for rule in policy.rules if _counts(rule.when))
        others = [rule for rule in policy.rules if rule not in self._counting]
        texts = [text for rule in others for text in (rule.message, rule.instead)]
        self._decides_anew = any(map(_counts, (*texts, policy.slots.heavy))) or any(
            "estimate.recalled" in text for rule in policy.rules for text in (rule.when, rule.message, rule.instead)
        )

    def _get(self, kind: CacheKind, key: Hashable) -> object | None:
        with self._lock:
            held = self._held[kind].get(key)
            hold_seconds = HOLD_SECONDS[kind]
            if held is None or (hold_seconds < math.inf and self._clock.monotonic() - held[1] >= hold_seconds):
                return None
            self._held[kind].move_to_end(key)
            return held[0]

    def _put(self, kind: CacheKind, key: Hashable, value: object, asked_seconds: float) -> None:
        with self._lock:
            self._held[kind][key] = (value, asked_seconds)
            if len(self._held[kind]) > HELD[kind]:
                self._held[kind].popitem(last=False)

    def statements(self, text: str, rules: LexicalRules, *, schema: str) -> tuple[Statement, ...]:
        self._rules.add(rules)
        body = text.strip(_SPACES).removesuffix(";").rstrip(_SPACES)
        shape = shape_of(body)
        if not shape:
            # Pieces of a script are recalled by what they share with each other.
            return tuple(_with_shape(each, rules) for each in analyse(text, rules, schema=schema))
        held = self._get(CacheKind.ANALYSIS, (shape, rules, schema))
        if isinstance(held, Statement):
            return (held if held.text == body else replace(held, text=body),)
        found = analyse(text, rules, schema=schema)
        if len(found) == 1 and found[0].text == body and is_shared(found[0], rules):
            found = (replace(found[0], shape=shape),)
            self._put(CacheKind.ANALYSIS, (shape, rules, schema), found[0], 0.0)
        return found

    def read_now(self, statement: Statement, rules: LexicalRules, *, schema: str, moved: bool) -> Statement:
        """Return a statement analysed again if its schema or the server's rules changed since it was split.

        Args:
            moved: whether the session ever changed its schema.
        """
        # Other rules: a server was set otherwise, or another one answers.
        if not moved and self._rules <= {rules}:
            return statement
        again = analyse(statement.text, rules, schema=schema)
        # A text of several, under a delimiter of its own, is never a read and says its schemas itself.
        return replace(again[0], vertical=statement.vertical) if len(again) == 1 else statement

    def known_estimate(self, statement: Statement, where: Hashable) -> Estimate | None:
        """Return a recent estimate of a statement that differs only in its values.

        Args:
            where: the connection it was asked on, by number, and the schema.
        """
        if not statement.shape:
            return None
        held = self._get(CacheKind.ESTIMATE, (statement.shape, where))
        held = held or self._get(CacheKind.ESTIMATE, (statement.text, where))
        return held if isinstance(held, Estimate) else None

    def keep_estimate(self, statement: Statement, where: Hashable, estimate: Estimate, *, asked_seconds: float) -> None:
        """Cache an estimate: for all values if every table is read by a whole unique key, else for this text."""
        if estimate.keyed and is_bound_by_key(statement):
            key = statement.shape
        elif estimate.objection or estimate.hazards or estimate.behind.views or estimate.waits:
            # An objection is removed, a view replaced, a lock freed meanwhile: the server is asked again.
            return
        elif statement.shape and estimate.asked:
            key = statement.text
        else:
            return
        self._put(CacheKind.ESTIMATE, (key, where), replace(estimate, recalled=True), asked_seconds)

    def forget_estimates(self) -> None:
        """Drop all estimates: a statement other than a plain read was sent."""
        with self._lock:
            self._held[CacheKind.ESTIMATE].clear()

    def known_decision(
        self, statement: Statement, basis: Hashable, estimate: Estimate, counted: Mapping[str, object]
    ) -> Assessment | None:
        """Return the decision on a statement that differs only in its values, on the same basis.

        Args:
            basis: the values that it is decided on, beside the statement and the estimate.
            counted: this statement's own values of the facts that count.
        """
        held = self._get(CacheKind.DECISION, _decision_key(statement, basis, estimate)) if statement.shape else None
        if not isinstance(held, Assessment):
            return None
        facts = {**held.facts, **counted, "estimate.recalled": estimate.recalled}
        if self._counting and not self._are_silent(facts):
            return None
        return replace(held, statement=statement, estimate=estimate, facts=facts)

    def keep_decision(self, considered: Assessment, basis: Hashable) -> None:
        """Cache a decision, unless it depends on a fact that counts statements."""
        statement = considered.statement
        # Where the server's opinion hangs on the values, the decision may too.
        if self._decides_anew or not statement.shape or not considered.estimate.keyed:
            return
        if self._counting and not self._are_silent(considered.facts):
            return
        key = _decision_key(statement, basis, considered.estimate)
        self._put(CacheKind.DECISION, key, considered, self._clock.monotonic())

    def _are_silent(self, facts: Mapping[str, object]) -> bool:
        activation = offered(facts)
        return all(match(rule.condition, activation)[0] is Match.NO for rule in self._counting)


def _with_shape(statement: Statement, rules: LexicalRules) -> Statement:
    shape = shape_of(statement.text) if is_shared(statement, rules) else ""
    return replace(statement, shape=shape) if shape else statement


def _decision_key(statement: Statement, basis: Hashable, estimate: Estimate) -> Hashable:
    # Whether the server said it just now or moments ago changes a fact, and no rule that may be cached reads that one.
    return statement.shape, basis, replace(estimate, recalled=False)


def _counts(text: str) -> bool:
    return any(name in text for name in COUNTED)
