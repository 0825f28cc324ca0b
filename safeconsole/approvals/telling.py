"""Tells a team's channels which requests wait for an approver: Slack, Teams, or any receiver of JSON.

A channel is read by more people, and kept longer, than the page: what it is told of a statement has no literals.
"""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from safeconsole.approvals.mailbox import Mailbox
from safeconsole.approvals.requests import ApprovalRequest
from safeconsole.audit.sinks import SinkError, post
from safeconsole.config.settings import HookSettings
from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import Handling, StatementLiterals, Treatment
from safeconsole.sqltext.redaction import LEFT_OUT, redacted, redacted_message
from safeconsole.sqltext.vocabulary import Flavour

LONGEST_TEXT = 2_000
"""Characters of one field: Slack refuses more than 3,000."""

MOST_LINES = 12
PAUSE_SECONDS = 15.0
"""How long a channel that did not take a message is left alone."""

_DROPPED = StatementLiterals(otherwise=Treatment.DROP, rules=())
_HANDLINGS = tuple(
    Handling(rules=LexicalRules(dialect=DIALECTS[Flavour.MYSQL], no_backslash_escapes=mode), literals=_DROPPED)
    for mode in (False, True)
)
"""How a server reads a backslash is not known here: what the two read otherwise is not shown."""


def without_literals(request: ApprovalRequest) -> tuple[str, tuple[str, ...]]:
    """Return a request's statement and evidence as a channel may have them."""
    if not request.sql:
        return "every statement that needs an elevation", request.evidence
    one, other = (redacted(request.sql, "unknown", handling) for handling in _HANDLINGS)
    if one != other:
        return LEFT_OUT, ()
    handling = _HANDLINGS[0]
    return one, tuple(redacted_message(line, request.sql, handling) for line in request.evidence)


def told_lines(request: ApprovalRequest) -> tuple[tuple[str, str], ...]:
    """Return what a channel is told of a request: label and text, one printable line or statement each."""
    what, evidence = without_literals(request)
    until = datetime.fromtimestamp(request.expires_epoch, UTC).strftime("%H:%M UTC")
    lines = (
        ("who", f"{request.person} on {request.host}{f', by a program: {request.agent}' if request.agent else ''}"),
        ("where", f"{request.cluster} ({request.environment}) {request.node}".rstrip()),
        ("reason", request.reason),
        ("ticket", request.ticket or "none"),
        ("until", until),
        *(("evidence", line) for line in evidence[:MOST_LINES]),
        ("what", what),
    )
    return tuple((label, _printable(text)) for label, text in lines)


def _printable(text: str) -> str:
    shown = "".join(each if each.isprintable() or each == "\n" else " " for each in text)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]} … (cut; the page has it whole)"


def title_of(request: ApprovalRequest) -> str:
    return _printable(f"{request.person} asks for an approval on {request.cluster}")


def slack_body(request: ApprovalRequest, link: str) -> object:
    """Return a message of blocks; every text of a person's is plain, so that it makes no link and calls nobody."""
    told = [
        {"type": "section", "text": {"type": "plain_text", "emoji": False, "text": f"{label}: {text}"}}
        for label, text in told_lines(request)
    ]
    button = {"type": "button", "text": {"type": "plain_text", "text": "See it and decide"}, "url": link}
    head = {"type": "header", "text": {"type": "plain_text", "text": title_of(request)[:150]}}
    # `text` is what a notification shows, and is read as markup: it holds nothing of the person's.
    return {"text": "An approval is asked for", "blocks": [head, *told, {"type": "actions", "elements": [button]}]}


def teams_body(request: ApprovalRequest, link: str) -> object:
    """Return an adaptive card; its runs of text are not read as markup."""
    lines = [
        {
            "type": "RichTextBlock",
            "inlines": [
                {"type": "TextRun", "text": f"{label}: ", "weight": "Bolder"},
                {"type": "TextRun", "text": text},
            ],
        }
        for label, text in told_lines(request)
    ]
    head = {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": title_of(request), "size": "Large"}]}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [head, *lines],
        "actions": [{"type": "Action.OpenUrl", "title": "See it and decide", "url": link}],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [content]}


def json_body(request: ApprovalRequest, link: str) -> object:
    return {"title": title_of(request), "link": link, "lines": [list(line) for line in told_lines(request)]}


BODIES: Mapping[str, Callable[[ApprovalRequest, str], object]] = {
    "slack": slack_body,
    "teams": teams_body,
    "json": json_body,
}


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """One channel: where it is, and what it understands. The address may hold a token."""

    kind: str
    url: str

    def __repr__(self) -> str:
        return f"Hook({self.kind})"


def hooks_of(settings: Mapping[str, HookSettings], environ: Mapping[str, str]) -> dict[str, Hook]:
    """Return the configured channels. Raises ConfigurationError: a secret is not set, or an address is none."""
    found = {}
    for name, each in settings.items():
        secret = environ.get(each.secret_variable, "") if each.secret_variable else ""
        if each.secret_variable and not secret:
            raise ConfigurationError(f"serve.hooks.{name}: {each.secret_variable} is not set")
        url = each.address.replace("{secret}", urllib.parse.quote(secret, safe="/"))
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise ConfigurationError(f"serve.hooks.{name}: the address begins with https:// or http://")
        found[name] = Hook(kind=each.kind, url=url)
    return found


class Telling:
    """Tells each channel of each request once, and again while a channel does not take it.

    What was told is remembered while the process lives: after a restart what still waits is told once more, which is
    better than never.

    Args:
        page: the address of the page of a request, by the request's name.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        hooks: Mapping[str, Hook],
        page: Callable[[str], str],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._mailbox, self._hooks, self._page, self._now = mailbox, hooks, page, now
        self._told: dict[tuple[str, str], int] = {}
        self._not_before: dict[str, float] = {}
        self.troubles: dict[str, str] = {}

    def step(self) -> int:
        """Tell what is new, and return how many messages were taken. Raises ConfigurationError: the mailbox failed."""
        waiting = self._mailbox.waiting()
        told = 0
        for hook, about in self._hooks.items():
            if self._now() < self._not_before.get(hook, 0.0):
                continue
            for name, request in waiting:
                if (name, hook) in self._told:
                    continue
                body = json.dumps(BODIES[about.kind](request, self._page(name))).encode()
                try:
                    post(about.url, body, {"Content-Type": "application/json"}, what=hook)
                except SinkError as error:
                    # Whoever is away is left alone for a moment, and keeps no other channel waiting.
                    self.troubles[hook], self._not_before[hook] = str(error), self._now() + PAUSE_SECONDS
                    break
                self.troubles.pop(hook, None)
                self._told[name, hook] = request.expires_epoch
                told += 1
        self._told = {key: expires for key, expires in self._told.items() if expires > self._now()}
        return told
