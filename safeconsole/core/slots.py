"""
Slots: how many heavy statements run on one node at a time, across all consoles.

What is heavy is a condition of the policy, over the same facts as its rules. A slot is one of the server's own
named locks, so that consoles that know nothing of each other count together.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from cel_expr_python import cel

from safeconsole.core.named_locks import PREFIX
from safeconsole.core.rules import Match, match, offered

MOST_SLOTS = 64
"""The most that a policy may give one node: all are asked for in one question."""


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a policy counts heavy statements.

    Attributes:
        at_once: how many may run on a node at a time, 0 to `MOST_SLOTS`; 0 counts nothing.
        wait_seconds: how long one waits for a slot at most, >= 0.
        heavy: the condition's text, "" when nothing is counted.
        condition: the same, compiled by `rules.compile_condition`.
    """

    at_once: int = 0
    wait_seconds: float = 30.0
    heavy: str = ""
    condition: cel.Expression | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The named locks that are the slots of one node, the first tried first."""
        return tuple(f"{PREFIX}heavy.{number}" for number in range(1, self.at_once + 1))


def is_heavy(slots: Slots, facts: Mapping[str, object]) -> bool:
    """Whether a statement needs a slot; what cannot be judged does."""
    if not slots.at_once or slots.condition is None:
        return False
    outcome, _ = match(slots.condition, offered(facts))
    return outcome is not Match.NO
