"""Delivers requests to a second person and their answers back: by hand, or through a shared directory.

Whoever can write to the directory can remove a request or add an answer, but cannot forge one: answers are signed, and
the console trusts only the keys in its configuration.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from safeconsole.approvals.requests import (
    REQUEST_MARK,
    Approval,
    ApprovalRequest,
    ApproverRefusal,
    Waiting,
    answer_code,
    any_of,
    approval_from_code,
    objection_to,
    refusal_in,
    request_code,
    request_from_code,
    signed_bytes,
)
from safeconsole.approvals.requests import request_hash as hash_of_request
from safeconsole.approvals.waiting import WaitingRequests, paths_of, refused, text_of, write_new
from safeconsole.config.settings import ApprovalSettings
from safeconsole.errors import AuditUnavailableError, ConfigurationError, RefusedError

KEYRING_ACCOUNT = "approval-signing-key"
POLL_SECONDS = 0.5
_PROBE = b"safeconsole: whose key is this"

Ask = Callable[[str, ApprovalRequest], str]
"""Shows a code and a request to the person who asks, and returns the answer that they paste, "" for none."""

Show = Callable[[str, ApprovalRequest], None]


class LocalApprovals:
    """Obtains a second person's signed approval on this computer.

    Args:
        ask: used when no directory is configured.
        waiting: the stored requests of agents, and approvals that were given back.
    """

    def __init__(self, settings: ApprovalSettings, *, ask: Ask, show: Show, waiting: WaitingRequests) -> None:
        self._settings = settings
        self._ask = ask
        self._show = show
        self._waiting = waiting

    def expiry(self) -> int:
        """Seconds since 1970 at which a request made now expires."""
        return int(time.time() + self._settings.wait_seconds)

    def approvers(self, person: str) -> tuple[str, ...]:
        """Return who could approve a person's requests, sorted."""
        return tuple(sorted(name for name in self._settings.approvers if name != person))

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
        text = self._from_directory(request, code) if self._settings.directory else self._ask(code, request)
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
            approval, request, approvers=self._settings.approvers, now_epoch=time.time(), holds=is_signed_by
        )
        if wrong:
            raise RefusedError(f"the approval does not count: {wrong}", instead=f"{any_of(others)} can")
        return approval

    def _from_directory(self, request: ApprovalRequest, code: str) -> str:
        asked, answered = paths_of(Path(self._settings.directory), request.id)
        try:
            write_new(asked, code)
            try:
                self._show(asked.stem, request)
                while time.time() < request.expires_epoch:
                    if answered.exists():
                        return text_of(answered)
                    time.sleep(POLL_SECONDS)
            finally:
                asked.unlink(missing_ok=True)
        except OSError as error:
            said = (error.strerror or "").lower()
            raise ConfigurationError(f"approvals.directory {self._settings.directory}: {said}") from error
        except KeyboardInterrupt:
            raise RefusedError("no second person approved it: interrupted") from None
        return ""


def request_text(code: str, settings: ApprovalSettings) -> str:
    """Return a request's text: the code itself, or the file of that name. Raises ConfigurationError: it is neither."""
    if code.lstrip().startswith(REQUEST_MARK) or not settings.directory:
        return code
    try:
        return text_of(paths_of(Path(settings.directory), code)[0])
    except OSError as error:
        raise ConfigurationError(
            f"there is no request {code} in {settings.directory}: {(error.strerror or '').lower()}",
            instead="it goes when it was answered, given up or has expired; the console that asks shows its name",
        ) from error


def waiting_requests(settings: ApprovalSettings) -> tuple[tuple[str, ApprovalRequest], ...]:
    """Return unanswered requests in the shared directory by name, oldest first.

    Raises ConfigurationError: there is no shared directory, or it cannot be read.
    """
    if not settings.directory:
        raise ConfigurationError(
            "there is no approvals.directory, so that requests travel by hand",
            instead="the console that asks shows its code: safeconsole approve CODE",
        )
    directory, found = Path(settings.directory), []
    try:
        names = [path.name for path in directory.iterdir() if path.suffix == ".request" and path.name[0] != "."]
    except OSError as error:
        raise ConfigurationError(f"approvals.directory {directory}: {(error.strerror or '').lower()}") from error
    for name in names:
        # What others put there may be anything, and may be gone by now.
        with contextlib.suppress(OSError, ValueError):
            request = request_from_code(text_of(directory / name))
            stem = paths_of(directory, request.id)[0].stem
            if stem == Path(name).stem and not paths_of(directory, request.id)[1].exists():
                found.append((stem, request))
    still = [each for each in found if time.time() < each[1].expires_epoch]
    return tuple(sorted(still, key=lambda each: each[1].expires_epoch))


def sign(request: ApprovalRequest, settings: ApprovalSettings, *, approver: str) -> str:
    """Return an approver's signed answer as text, and store it in the shared directory if there is one.

    Raises:
        RefusedError: it is the approver's own request, or it has expired.
        ConfigurationError: this account has no key to sign with, or the directory cannot be used.
    """
    if approver == request.person:
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
    signature = signer.sign(signed_bytes(request, approver))
    answer = answer_code(
        Approval(request=hash_of_request(request), approver=approver, key=signer.key, signature=signature)
    )
    if settings.directory:
        _store_answer(request, settings, answer)
    return answer


def refuse(request: ApprovalRequest, settings: ApprovalSettings, *, by: str, reason: str) -> None:
    """Store a refusal with its reason in place of the answer.

    Raises:
        RefusedError: it was answered already.
        ConfigurationError: there is no shared directory, or it cannot be used.
    """
    if not settings.directory:
        raise ConfigurationError(
            "a no travels through approvals.directory, and none is configured",
            instead="say it to them; without an answer the request expires",
        )
    _store_answer(request, settings, msgspec.json.encode(ApproverRefusal(refused_by=by, reason=reason)).decode())


def _store_answer(request: ApprovalRequest, settings: ApprovalSettings, answer: str) -> None:
    try:
        write_new(paths_of(Path(settings.directory), request.id)[1], answer)
    except FileExistsError:
        raise RefusedError(
            "the request was answered already", instead="it counts once; nothing is left to do"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"approvals.directory: {(error.strerror or '').lower()}") from error
