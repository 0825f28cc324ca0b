"""What a session needs from its face."""

from __future__ import annotations

from typing import Protocol

import msgspec

from safeconsole.approvals.requests import ApprovalRequest, Notifier, SecondPerson
from safeconsole.policy.decision import Considered, ElevationRequest


class Confirmer(Protocol):
    """Asks the person; without a terminal every answer is no."""

    def confirm(self, considered: Considered) -> bool: ...

    def elevate(self, request: ElevationRequest, considered: Considered | None) -> bool:
        """Show the evidence and ask for the cluster's name; an interrupt is a no."""
        ...

    def show_approval(self, code: str, request: ApprovalRequest) -> None:
        """Show what a second person runs; their answer comes by itself."""
        ...

    def paste_approval(self, code: str, request: ApprovalRequest) -> str:
        """Show what a second person runs and return the answer that the person pastes, "" for none."""
        ...

    def skip_approval(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:
        """Warn who would be skipped and notified, and ask for it by name; an interrupt is a no."""
        ...


class People(msgspec.Struct, frozen=True, kw_only=True):
    """The people to ask, and to notify.

    Attributes:
        second: gets somebody else's approval, or None where nobody can be asked.
        notifier: tells others, or None where nobody is to be told.
    """

    confirmer: Confirmer
    second: SecondPerson | None = None
    notifier: Notifier | None = None
