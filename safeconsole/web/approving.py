"""The pages of requests for approval: the evidence, and a signed-in approver's yes or no."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from safeconsole.approvals.carrying import refuse, sign
from safeconsole.approvals.mailbox import Mailbox
from safeconsole.approvals.requests import ApprovalRequest, is_own, request_from_code, request_hash
from safeconsole.config.settings import ApprovalSettings, ServeSettings
from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.output.evidence import request_lines
from safeconsole.output.text import until_text
from safeconsole.web.pages import Markup, Viewer, csrf_field, page, table_of, tag, together

LONGEST_REASON = 500
HEADS = ("until", "request", "person", "host", "cluster", "reason", "ticket", "what")
SHOWN_STATEMENT = 300


class Deciding(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks at requests: the name they are known by, every name of theirs, and their roles."""

    by: str
    names: frozenset[str]
    roles: frozenset[str]


class Approving(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that wait, and what signs the answers to them."""

    settings: ServeSettings
    mailbox: Mailbox

    def request(self, name: str) -> ApprovalRequest:
        """Return the request with a name. Raises ConfigurationError: there is none, or it is none."""
        try:
            return request_from_code(self.mailbox.text_of(name))
        except ValueError:
            raise ConfigurationError(f"{name} is no request") from None

    def objection_to(self, request: ApprovalRequest, who: Deciding) -> str:
        """Return why somebody cannot approve a request, or ""."""
        if "approver" not in who.roles:
            return f"{who.by} is no approver here: [serve.roles] names the groups that are"
        if not self.settings.key:
            return "this server has no key to sign with (serve.key): approve it with `safeconsole approve`"
        if is_own(request, who.names):
            return f"{request.person} cannot approve what {request.person} asked for"
        known = {name.casefold() for names in self.settings.people.values() for name in names}
        if known and request.person.casefold() not in known:
            return f"{request.person} is nobody in [serve.people], so that nobody knows whose request it is"
        return ""

    def decide(self, name: str, form: Mapping[str, str], who: Deciding) -> str:
        """Store an approver's answer, and return what became of it.

        Raises:
            RefusedError: they cannot approve it, it was answered already, or it has expired.
            ConfigurationError: there is no such request, or the answer cannot be stored.
        """
        request = self.request(name)
        objection = self.objection_to(request, who)
        if objection:
            raise RefusedError(objection)
        # Who can write where requests lie could put another one there while the page is read.
        if form.get("request") != request_hash(request):
            raise RefusedError("this is not the request that you were shown", instead="read it again")
        reason = " ".join(form.get("reason", "").split())[:LONGEST_REASON]
        if not reason:
            raise RefusedError("a yes and a no both need a reason", instead="say why; it is recorded with the answer")
        if form.get("answer") == "no":
            refuse(request, ApprovalSettings(), by=who.by, reason=reason, mailbox=self.mailbox)
            return f"Refused; {request.person} reads the reason with the answer."
        if form.get("answer") != "yes":
            raise ConfigurationError("yes or no?")
        if form.get("cluster", "").strip() != request.cluster:
            raise RefusedError(
                f"not approved: the name typed is not {request.cluster}", instead="type the cluster's name to approve"
            )
        key = ApprovalSettings(key=self.settings.key)
        sign(request, key, approver=who.by, mailbox=self.mailbox, through=self.settings.url, reason=reason)
        return f"Approved; the console of {request.person} goes on with exactly this."


def approvals_page(viewer: Viewer, waiting: tuple[tuple[str, ApprovalRequest], ...]) -> str:
    """Return the requests that wait for an answer, what expires first before the others."""
    rows = [
        (
            until_text(request.expires_epoch), tag("a", name, href=f"requests/{name}"), request.person, request.host,
            f"{request.cluster} ({request.environment})", request.reason, request.ticket,
            tag("code", _beginning(request.sql or "every statement that needs an elevation")),
        )
        for name, request in waiting
    ]  # fmt: skip
    shown = table_of(HEADS, rows, class_="found") if rows else tag("p", "No request waits.", class_="quiet")
    return page("Approvals", viewer, shown)


def _beginning(text: str) -> str:
    return text if len(text) <= SHOWN_STATEMENT else f"{text[:SHOWN_STATEMENT]} …"


def request_page(viewer: Viewer, name: str, request: ApprovalRequest, objection: str) -> str:
    """Return all that an approver is shown in a terminal, and the form for the answer."""
    *lines, (_, what) = request_lines(request)
    facts = [together(tag("dt", label or "evidence"), tag("dd", text)) for label, text in lines]
    # Last, right above the question: what would run.
    return page(
        f"{request.person} asks for an approval",
        viewer,
        tag("dl", facts),
        tag("pre", what, class_="what"),
        tag("p", objection, class_="quiet") if objection else _form(viewer, name, request),
    )


def _form(viewer: Viewer, name: str, request: ApprovalRequest) -> Markup:
    return tag(
        "form",
        csrf_field(viewer),
        tag("input", type="hidden", name="request", value=request_hash(request)),
        tag("textarea", "", name="reason", rows=2, placeholder="why, for yes and for no", required=True),
        tag("label", f"to approve, type {request.cluster}", tag("input", name="cluster", autocomplete="off")),
        tag("button", "Approve", name="answer", value="yes"),
        tag("button", "Refuse", name="answer", value="no"),
        method="post",
        action=f"requests/{name}",
        class_="review",
    )
