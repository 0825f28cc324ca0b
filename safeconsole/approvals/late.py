"""Builds `LocalApprovals` when first needed: importing the signature code is slow."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from safeconsole.approvals.requests import Approval, ApprovalRequest, SecondPerson, Waiting
from safeconsole.config.settings import ApprovalSettings


class LateApprovals:
    def __init__(
        self,
        directory: Path,
        settings: ApprovalSettings,
        *,
        given: str,
        ask: Callable[[str, ApprovalRequest], str],
        show: Callable[[str, ApprovalRequest], None],
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._given = given
        self._ask = ask
        self._show = show

    @cached_property
    def _ready(self) -> SecondPerson:
        from safeconsole.approvals.carrying import LocalApprovals  # noqa: PLC0415 - as the module says
        from safeconsole.approvals.waiting import WaitingRequests  # noqa: PLC0415

        waiting = WaitingRequests(self._directory, self._settings, given=self._given)
        return LocalApprovals(self._settings, ask=self._ask, show=self._show, waiting=waiting)

    def expiry(self) -> int:
        return self._ready.expiry()

    def approvers(self, person: str) -> tuple[str, ...]:
        return self._ready.approvers(person)

    def earlier(self, request: ApprovalRequest) -> tuple[ApprovalRequest, Approval] | None:
        return self._ready.earlier(request)

    def put_down(self, request: ApprovalRequest) -> Waiting:
        return self._ready.put_down(request)

    def approve(self, request: ApprovalRequest) -> Approval:
        return self._ready.approve(request)
