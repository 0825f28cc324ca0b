"""Delivers requests to a second person and their answers back: by hand, or where both computers can read and write.

Whoever can write there can remove a request or add an answer, but cannot forge one: answers are signed, and the console
trusts only the keys in its configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from safeconsole.approvals.mailbox import Mailbox, WaitingByName
from safeconsole.approvals.requests import (
    REQUEST_MARK,
    Approval,
    ApprovalRequest,
    ApproverRefusal,
    Waiting,
    answer_code,
    any_of,
    approval_from_code,
    is_own,
    objection_to,
    refusal_in,
    request_code,
    signed_bytes,
)
from safeconsole.approvals.requests import request_hash as hash_of_request
from safeconsole.approvals.waiting import WaitingRequests, mailbox_of, refused
from safeconsole.config.settings import ApprovalSettings
from safeconsole.errors import AuditUnavailableError, ConfigurationError, RefusedError

KEYRING_ACCOUNT = "approval-signing-key"
POLL_SECONDS = 0.5
MOST_FAILURES = 20
"""Looks in a row that may fail while an answer is waited for."""

_PROBE = b"safeconsole: whose key is this"

Ask = Callable[[str, ApprovalRequest], str]
"""Shows a code and a request to the person who asks, and returns the answer that they paste, "" for none."""

Show = Callable[[str, ApprovalRequest], None]


class LocalApprovals:
    """Obtains a second person's signed approval on this computer.

    Args:
        ask: used when no directory is configured.
        waiting: the stored requests of agents, and approvals that were given back.
        mailbox: where requests lie for other computers, None for the one that the settings name.
    """

    def __init__(
        self,
        settings: ApprovalSettings,
        *,
        ask: Ask,
        show: Show,
        waiting: WaitingRequests,
        mailbox: Mailbox | None = None,
    ) -> None:
        self._settings = settings
        self._mailbox = mailbox or mailbox_of(settings, {})
        self._ask = ask
        self._show = show
        self._waiting = waiting

    def expiry(self) -> int:
        """Seconds since 1970 at which a request made now expires."""
        return int(time.time() + self._settings.wait_seconds)

    def approvers(self, person: str) -> tuple[str, ...]:
        """Return who could approve a person's requests: those with keys of their own, sorted, and servers."""
        named = sorted(name for name in self._settings.approvers if name != person)
        return (*named, *(f"an approver at {address}" for address in sorted(self._settings.servers)))

    def how(self, person: str, waiting: Waiting) -> str:
        """Return what those who can approve a person's waiting request do."""
        named = sorted(name for name in self._settings.approvers if name != person)
        ways = [f"{any_of(tuple(named))} runs `safeconsole approve {waiting.code}`"] if named else []
        pages = sorted(self._settings.servers) if not waiting.by_hand else []
        ways += [f"an approver says so at {page_of(address, waiting.code)}" for address in pages]
        return ", or ".join(ways) or f"somebody runs `safeconsole approve {waiting.code}`"

    def holds_key_of(self, person: str) -> bool:
        from safeconsole.audit.signing import is_signed_by, load_signer  # noqa: PLC0415 (slow to import)

        public = self._settings.approvers.get(person, "")
        if not public:
            return False
        try:
            signer = load_signer(self._settings.key, account=KEYRING_ACCOUNT, what="approval signing key")
        except (AuditUnavailableError, ConfigurationError):
            return False
        return is_signed_by(public, signer.key, _PROBE, signer.sign(_PROBE))

    def earlier(self, request: ApprovalRequest) -> tuple[ApprovalRequest, Approval] | None:
        return self._waiting.earlier(request)

    def give_back(self, request: ApprovalRequest, approval: Approval) -> None:
        self._waiting.give_back(request, approval)

    def put_down(self, request: ApprovalRequest) -> Waiting:
        return self._waiting.put_down(request)

    def approve(self, request: ApprovalRequest) -> Approval:
        """Return an approval that is valid for exactly this request.

        Raises:
            RefusedError: nobody approved in time, or the answer is invalid; the message says why.
            ConfigurationError: no approver is configured, or the directory cannot be used.
        """
        others = self.approvers(request.person)
        if not others:
            raise ConfigurationError(
                "the policy requires a second person, and no other approver is configured",
                instead="add their public key under [approvals.approvers]; `safeconsole approve --new-key` makes one",
            )
        code = request_code(request)
        box = self._mailbox
        text = self._ask(code, request) if box is None else self._from_mailbox(request, box)
        if not text.strip():
            raise RefusedError(
                "no second person approved it",
                instead=f"{any_of(others)} can; without a terminal their answer comes by approvals.directory",
            )
        refusal = refusal_in(text)
        if refusal is not None:
            raise refused(refusal)
        try:
            approval = approval_from_code(text)
        except ValueError as error:
            raise RefusedError(f"not an approval: {error}") from None
        from safeconsole.audit.signing import is_signed_by  # noqa: PLC0415 (slow to import)

        wrong = objection_to(
            approval,
            request,
            approvers=self._settings.approvers,
            now_epoch=time.time(),
            holds=is_signed_by,
            servers=self._settings.servers,
        )
        if wrong:
            raise RefusedError(f"the approval does not count: {wrong}", instead=f"{any_of(others)} can")
        return approval

    def _from_mailbox(self, request: ApprovalRequest, mailbox: Mailbox) -> str:
        try:
            name = mailbox.put(request)
            try:
                pages = " or ".join(page_of(address, name) for address in sorted(self._settings.servers))
                self._show(f"{name}  (or at {pages})" if pages else name, request)
                failures = 0
                while time.time() < request.expires_epoch:
                    try:
                        answer, failures = mailbox.answer_to(request), 0
                    except ConfigurationError:
                        # A database may be away for a moment, and the answer may lie there already.
                        answer, failures = "", failures + 1
                        if failures > MOST_FAILURES:
                            raise
                    if answer:
                        return answer
                    time.sleep(POLL_SECONDS)
            finally:
                mailbox.withdraw(request)
        except KeyboardInterrupt:
            raise RefusedError("no second person approved it: interrupted") from None
        return ""


def page_of(address: str, name: str) -> str:
    """Return the address of the page of a request, at a server's address."""
    return f"{address.rstrip('/')}/requests/{name}"


def request_text(code: str, settings: ApprovalSettings, mailbox: Mailbox | None = None) -> str:
    """Return a request's text: the code itself, or what lies under that name. Raises ConfigurationError: neither."""
    box = mailbox or mailbox_of(settings, {})
    return code if box is None or code.lstrip().startswith(REQUEST_MARK) else box.text_of(code)


def waiting_requests(settings: ApprovalSettings, mailbox: Mailbox | None = None) -> WaitingByName:
    """Return unanswered requests by name, oldest first.

    Raises ConfigurationError: requests travel by hand, or where they lie cannot be read.
    """
    box = mailbox or mailbox_of(settings, {})
    if box is None:
        raise ConfigurationError(
            "there is no approvals.directory or approvals.database, so that requests travel by hand",
            instead="the console that asks shows its code: safeconsole approve CODE",
        )
    return box.waiting()


def sign(
    request: ApprovalRequest,
    settings: ApprovalSettings,
    *,
    approver: str,
    mailbox: Mailbox | None = None,
    through: str = "",
    reason: str = "",
) -> str:
    """Return an approver's signed answer as text, and store it where requests lie, if anywhere.

    Args:
        through: the address of the server whose key `settings.key` is, "" for the approver's own.
        reason: why, as they said there.

    Raises:
        RefusedError: it is the approver's own request, or it has expired.
        ConfigurationError: this account has no key to sign with, or the answer cannot be stored.
    """
    if is_own(request, {approver}):
        raise RefusedError(
            f"{approver} cannot approve what {approver} asked for", instead="somebody else must approve it"
        )
    if time.time() >= request.expires_epoch:
        raise RefusedError("the request has expired", instead="it has to be asked for again")
    from safeconsole.audit.signing import load_signer  # noqa: PLC0415 (slow to import)

    try:
        signer = load_signer(settings.key, account=KEYRING_ACCOUNT, what="approval signing key")
    except AuditUnavailableError as error:
        raise ConfigurationError(error.message, instead="safeconsole approve --new-key") from error
    signature = signer.sign(signed_bytes(request, approver, through=through, reason=reason))
    answer = answer_code(
        Approval(
            request=hash_of_request(request),
            approver=approver,
            key=signer.key,
            signature=signature,
            through=through,
            reason=reason,
        )
    )
    box = mailbox or mailbox_of(settings, {})
    if box is not None:
        box.store_answer(request, answer)
    return answer


def refuse(
    request: ApprovalRequest, settings: ApprovalSettings, *, by: str, reason: str, mailbox: Mailbox | None = None
) -> None:
    """Store a refusal with its reason in place of the answer.

    Raises:
        RefusedError: it was answered already.
        ConfigurationError: requests travel by hand, or the answer cannot be stored.
    """
    box = mailbox or mailbox_of(settings, {})
    if box is None:
        raise ConfigurationError(
            "a no travels through approvals.directory or approvals.database, and none is configured",
            instead="say it to them; without an answer the request expires",
        )
    box.store_answer(request, msgspec.json.encode(ApproverRefusal(refused_by=by, reason=reason)).decode())
