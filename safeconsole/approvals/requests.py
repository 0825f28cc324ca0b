"""Approval requests, signed answers, and notices as values. Pure.

A request says what, where, who, why and until when. The answer is a signature over exactly that, so that it fits no
other request; only the console that asked accepts it, once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

# A request says what, where, who, why and until when. The answer is a signature over exactly that, so that it fits no
# other request. The console that asked is the only one that takes the answer, once.


NO_SERVERS: Mapping[str, str] = {}

REQUEST_MARK = "sc-request-"
ANSWER_MARK = "sc-answer-"
LARGEST_BYTES = 64 * 1024
"""Maximum size of an unpacked request or answer."""


class ApprovalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a second person is asked to approve.

    Attributes:
        id: the elevation's id in the journal of the console that asks.
        server, node: identity and name of the instance; "" for a window on the whole cluster.
        person, host: who asks, and from which computer.
        agent: the program that asks for them, or "".
        scope: "statement" or "break-glass".
        sql: the statement with its literals and without its secrets, "" for a window.
        digest: the statement's digest, "" for a window; statements that differ in literals share it.
        exact: hexadecimal SHA-256 of the exact statement; "" for a window, and for a statement of which something is
            hidden in `sql`: its approval is valid for the console that asked and is not carried over.
        schema: the session's schema, "" for none and for a window.
        evidence: what the person who asks was shown, one line each.
        window_seconds: duration, > 0.
        expires_epoch: seconds since 1970, UTC, after which no answer counts.
        login: the account that asks, which may have another name than the person.
    """

    id: str
    cluster: str
    environment: str
    server: str
    node: str
    person: str
    host: str
    agent: str
    reason: str
    ticket: str
    scope: str
    sql: str
    digest: str
    exact: str
    schema: str
    evidence: tuple[str, ...]
    window_seconds: float
    expires_epoch: int
    login: str = ""


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A second person's yes.

    Attributes:
        request: `request_hash` of what was approved.
        approver: the name that the configuration gives to their public key.
        key: fingerprint of that key.
        signature: hexadecimal Ed25519 signature over `signed_bytes`.
        through: the address of the pages where they said so, whose key signed it; "" for a key of their own.
        reason: why, as they said there.
    """

    request: str
    approver: str
    key: str
    signature: str
    through: str = ""
    reason: str = ""


class ApproverRefusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A second person's refusal, unsigned because it grants nothing.

    Attributes:
        refused_by: the name of their account, as they say.
    """

    refused_by: str
    reason: str


def refusal_in(text: str) -> ApproverRefusal | None:
    """Return the refusal that an answer is, None for one that is none."""
    try:
        return msgspec.json.decode(text, type=ApproverRefusal)
    except msgspec.MsgspecError:
        return None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A stored request that waits for approval.

    Attributes:
        request: may have been made by an earlier session.
        by_hand: whether the answer must be carried back by hand.
    """

    request: ApprovalRequest
    code: str
    by_hand: bool


OWN_TO_ONE_ASKING = frozenset({"id", "evidence", "expires_epoch"})
"""Fields that differ between two requests for the same: times and measurements."""


def asks_the_same(one: ApprovalRequest, other: ApprovalRequest) -> bool:
    """Return whether two requests ask for the same on the same server, for the same person and reason."""
    names = (name for name in ApprovalRequest.__struct_fields__ if name not in OWN_TO_ONE_ASKING)
    return all(getattr(one, name) == getattr(other, name) for name in names)


def request_hash(request: ApprovalRequest) -> str:
    return hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()


def signed_bytes(request: ApprovalRequest, approver: str, *, through: str = "", reason: str = "") -> bytes:
    """Return what an approval signs; what a server signs is never what a person's own key does."""
    if not through:
        return f"safeconsole approval\n{request_hash(request)}\n{approver}".encode()
    told = msgspec.json.encode((request_hash(request), approver, through, reason))
    return b"safeconsole approval through a server\n" + told


def request_code(request: ApprovalRequest) -> str:
    return REQUEST_MARK + _packed(msgspec.json.encode(request))


def answer_code(approval: Approval) -> str:
    return ANSWER_MARK + _packed(msgspec.json.encode(approval))


def is_portable(request: ApprovalRequest) -> bool:
    """Return whether a request is small enough to be read where it arrives."""
    return max(len(msgspec.json.encode(request)), len(request_code(request))) < LARGEST_BYTES


def request_from_code(code: str) -> ApprovalRequest:
    """Return the request in a text. Raises ValueError: it contains none."""
    return msgspec.json.decode(_unpacked(code, REQUEST_MARK), type=ApprovalRequest)


def approval_from_code(code: str) -> Approval:
    """Return the approval in a text. Raises ValueError: it contains none."""
    return msgspec.json.decode(_unpacked(code, ANSWER_MARK), type=Approval)


def objection_to(
    approval: Approval,
    request: ApprovalRequest,
    *,
    approvers: Mapping[str, str],
    now_epoch: float,
    holds: Callable[[str, str, bytes, str], bool],
    servers: Mapping[str, str] = NO_SERVERS,
) -> str:
    """Return why an approval is invalid, or "".

    Args:
        request: what this console asked for.
        approvers: public keys by person, from the configuration.
        now_epoch: seconds since 1970, UTC.
        holds: whether (public key, fingerprint, message, signature) belong together.
        servers: public keys of servers that say who approved, by address, from the configuration.
    """
    if approval.request != request_hash(request):
        return "it answers another request"
    if not now_epoch < request.expires_epoch:
        return "the request has expired"
    if is_own(request, {approval.approver}):
        return f"{request.person} cannot approve what {request.person} asked for"
    signer = approval.through or approval.approver
    public = (servers if approval.through else approvers).get(signer)
    if public is None:
        return f"{signer} is not {'a server' if approval.through else 'an approver'} in this console's configuration"
    signed = signed_bytes(request, approval.approver, through=approval.through, reason=approval.reason)
    if not holds(public, approval.key, signed, approval.signature):
        return f"the signature is not {signer}'s"
    return ""


def is_own(request: ApprovalRequest, names: Iterable[str]) -> bool:
    """Return whether a request is of somebody with one of these names."""
    theirs = {request.person.casefold(), request.login.casefold()} - {""}
    return not theirs.isdisjoint(name.casefold() for name in names)


def any_of(names: tuple[str, ...]) -> str:
    """Return names as alternatives: `ben`, `one of ann, ben`."""
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(data, 9)).decode().rstrip("=")


def _unpacked(code: str, mark: str) -> bytes:
    text = "".join(code.split())
    if not text.startswith(mark) or len(text) > LARGEST_BYTES:
        raise ValueError(f"it does not begin with {mark}")
    body = text.removeprefix(mark)
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), LARGEST_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"it is damaged: {error}") from None
    if not unpacker.eof:
        raise ValueError("it is incomplete")
    return data


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An event of an elevation.

    Attributes:
        what: "asked", "granted", "used", or how it ended.
        elevation: its id in the journal.
        time: UTC, ISO 8601.
        person, host: who, and from which computer.
        agent: the program that asked for them, or "".
        scope: "statement" or "break-glass".
        detail: the statement that used it, as the journal holds it, or "".
        concerns: login identities of people who could approve it, or were skipped.
    """

    what: str
    elevation: str
    time: str
    person: str
    host: str
    agent: str
    cluster: str
    environment: str
    scope: str
    reason: str
    ticket: str
    detail: str = ""
    concerns: tuple[str, ...] = ()


def notice_line(notice: Notice) -> str:
    who = f"{notice.person}@{notice.host}" + (f" by {notice.agent}" if notice.agent else "")
    where = f"{notice.cluster} ({notice.environment})" if notice.environment else notice.cluster
    ticket = f", ticket {notice.ticket}" if notice.ticket else ""
    detail = f": {notice.detail}" if notice.detail else ""
    line = f"elevation {notice.what} on {where}: {who}, {notice.scope}, reason: {notice.reason}{ticket}{detail}"
    return "".join(each if each.isprintable() else " " for each in line)


class SecondPerson(Protocol):
    """Obtains a second person's approval."""

    def expiry(self) -> int:
        """Seconds since 1970 at which a request made now expires."""
        ...

    def approvers(self, person: str) -> tuple[str, ...]:
        """Return who could approve a person's requests, sorted."""
        ...

    def how(self, person: str, waiting: Waiting) -> str:
        """Return what those who can approve a person's waiting request do: who, and by which command or page."""
        ...

    def holds_key_of(self, person: str) -> bool:
        """Whether this account holds the key that approves under a name; False where there is none."""
        ...

    def earlier(self, request: ApprovalRequest) -> tuple[ApprovalRequest, Approval] | None:
        """Return an earlier request for exactly the same and its valid approval, which can be used once.

        Raises:
            RefusedError: an answer was given, and it is invalid.
            ConfigurationError: the stored request cannot be read.
        """
        ...

    def give_back(self, request: ApprovalRequest, approval: Approval) -> None:
        """Let an approval be used again, by a later session, too: nothing was sent by it. Raises ConfigurationError."""
        ...

    def put_down(self, request: ApprovalRequest) -> Waiting:
        """Store a request until it is approved or expires, or return the one for the same statement that waits already.

        Raises ConfigurationError: it cannot be stored.
        """
        ...

    def approve(self, request: ApprovalRequest) -> Approval:
        """Wait for an approval that is valid for exactly this request, and return it.

        Raises:
            RefusedError: nobody approved in time, or the answer is invalid.
            ConfigurationError: there is no approver.
        """
        ...


class Notifier(Protocol):
    """Tells other people about elevations."""

    def notify(self, notice: Notice) -> None:
        """Queue one notice; never blocks, never raises."""
        ...

    def deliver(self, notice: Notice) -> str:
        """Deliver one notice now, within seconds; returns why it failed, or ""."""
        ...

    def settle(self) -> tuple[str, ...]:
        """Wait briefly for pending notices, and return what was not delivered, one line a channel; never raises."""
        ...
