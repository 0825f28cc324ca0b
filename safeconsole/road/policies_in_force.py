"""The rules that hold in one session: the policy it began with, and the one that its file holds by now, if another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from safeconsole.core.decision import Decision
from safeconsole.core.limits import Limits
from safeconsole.core.policy import Policy, judge_together
from safeconsole.core.routing import tightest_gates

Reread = Callable[[], Policy]
"""Returns the policy as its file is now; the same object while nothing changed. Raises PolicyInvalidError."""


class PoliciesInForce:
    """
    A session's policies; what changes while it lasts can only tighten it.

    Attributes:
        begun: what it began with.
        held: that one, and what the file holds now if it is another; the same object while nothing changes.
        gates: what a node must offer; the same object, too.
        news: what is to be said of a file that changed, as of the last look, or "".

    Args:
        policy: the same.
        reread: looks at the file, None where there is none to look at.
    """

    def __init__(self, policy: Policy, reread: Reread | None = None) -> None:
        self.begun = policy
        self._reread = reread
        self.held: tuple[Policy, ...] = (policy,)
        self.news = ""
        self.gates = policy.gates

    def look(self) -> str:
        """
        Look at the file, and return what is to be said when it is not what the session began with, else "".

        Raises:
            PolicyInvalidError: what it holds now is no policy; nothing is allowed by it.
        """
        now = self._reread() if self._reread else self.begun
        if now.hash != self.held[-1].hash:
            changed = now.hash != self.begun.hash
            self.held = (self.begun, now) if changed else (self.begun,)
            self.news = (
                f"the policy's file has changed since this session began: it is {now.label} now" if changed else ""
            )
            self.gates = tightest_gates(*(policy.gates for policy in self.held))
        return self.news

    def judge(self, facts: Mapping[str, object], limits: Limits) -> Decision:
        """Return the strictest of their decisions, under the tightest limits."""
        return judge_together(self.held, facts, limits=limits)
