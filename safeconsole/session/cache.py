"""What is used again between statements: analyses, estimates, decisions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection
from safeconsole.policy.decision import Considered
from safeconsole.policy.facts import COUNTED
from safeconsole.policy.policy import Policy
from safeconsole.policy.rules import Match, match, offered
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.shapes import is_bound_by_key, is_shared, shape_of
from safeconsole.sqltext.statement import Estimate, Statement

# --------------------------------------------------------------------------------------------------------------------
# Remembers what texts were analysed as, so that a loop over one statement is analysed once.


_SPACES = " \t\n\r"
HELD_SHAPES = 256
"""Shapes remembered at once, those used last; each holds one statement."""


class Understanding:
    """What one session knows of the texts it met; analysis is pure, so nothing here ever becomes untrue."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, LexicalRules, str], Statement] = OrderedDict()
        self._rules: set[LexicalRules] = set()

    def may_have_read_otherwise(self, rules: LexicalRules) -> bool:
        """Whether any text was read by other rules than these: a server was set otherwise, or another one answers."""
        return not self._rules <= {rules}

    def statements(self, text: str, rules: LexicalRules, *, schema: str) -> tuple[Statement, ...]:
        """Return what `analyse` returns for the same arguments."""
        self._rules.add(rules)
        body = text.strip(_SPACES).removesuffix(";").rstrip(_SPACES)
        shape = shape_of(body)
        if not shape:
            return analyse(text, rules, schema=schema)
        key = (shape, rules, schema)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            return (held if held.text == body else replace(held, text=body),)
        found = analyse(text, rules, schema=schema)
        if len(found) == 1 and found[0].text == body and is_shared(found[0], rules):
            found = (replace(found[0], shape=shape),)
            self._held[key] = found[0]
            if len(self._held) > HELD_SHAPES:
                self._held.popitem(last=False)
        return found


# --------------------------------------------------------------------------------------------------------------------
# Servers' opinions of reads by key, believed for a moment for all that differ in their values only.
#
# A loop over `… WHERE id = ?` asks the same question ten thousand times; the server's answer to it cannot depend on
# the value. Everything else is asked anew each time: ranges, lists and patterns, whose cost hangs on what they say.


BELIEVED_SECONDS = 5.0
"""As long as measured roles are: an index that was dropped meanwhile is noticed as soon as a role that changed."""

HELD_OPINIONS = 64


class _Opinion(msgspec.Struct, frozen=True, kw_only=True):
    connection: Connection
    estimate: Estimate
    asked_seconds: float


class Opinions:
    """What one session was told; forgotten whenever something happens that is not a plain read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], _Opinion] = OrderedDict()

    def recalled(self, statement: Statement, connection: Connection) -> Estimate | None:
        """Return what was said of a statement with other values on this very connection, None when nothing was."""
        held = self._held.get((statement.shape, connection.schema)) if statement.shape else None
        if held is None or held.connection is not connection:
            return None
        return held.estimate if self._clock.monotonic() - held.asked_seconds < BELIEVED_SECONDS else None

    def keep(self, statement: Statement, connection: Connection, estimate: Estimate, *, asked_seconds: float) -> None:
        """
        Keep what a server said, where it holds for other values too.

        Args:
            asked_seconds: monotonic clock reading from before it was asked.
        """
        if not estimate.keyed or not is_bound_by_key(statement):
            return
        opinion = _Opinion(
            connection=connection, estimate=replace(estimate, recalled=True), asked_seconds=asked_seconds
        )
        self._held[statement.shape, connection.schema] = opinion
        if len(self._held) > HELD_OPINIONS:
            self._held.popitem(last=False)

    def forget(self) -> None:
        """Believe nothing that was said before."""
        self._held.clear()


# --------------------------------------------------------------------------------------------------------------------
# Decisions that were made already: the same rules over the same facts come to the same.
#
# A decision is looked up by the statement's shape and holds only where all that it was made of is the very same: the
# analysis, the choice of the node, the server's opinion, the limits, the elevation. What was measured anew, asked
# anew or granted anew is another object, and is judged anew.


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
