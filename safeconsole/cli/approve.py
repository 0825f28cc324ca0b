"""`safeconsole approve`: shows a request to the second person, who signs it or does not."""

from __future__ import annotations

import json
import sys

import click

from safeconsole.approvals.carrying import KEYRING_ACCOUNT, refuse, request_text, sign, waiting_requests
from safeconsole.approvals.requests import ApprovalRequest, request_from_code
from safeconsole.approvals.waiting import mailbox_of
from safeconsole.cli.application import Application
from safeconsole.cli.rows import format_option, write_rows
from safeconsole.config.identity import NO_TERMINAL
from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.output.evidence import block_text, request_lines
from safeconsole.output.text import safe, stream_style, until_text

LONGEST_REASON = 500
COLUMNS = ("code", "person", "agent", "host", "cluster", "node", "scope", "reason", "ticket", "until", "what")


@click.command()
@click.argument("code", required=False)
@click.option("--new-key", metavar="FILE|keyring", help="Create this account's key and print its public key.")
@click.option("--list", "listed", is_flag=True, help="List the requests that wait in the shared directory or database.")
@format_option
@click.option("--refuse", "no", metavar="REASON", help="Say no instead; the one who asks reads the reason.")
@click.option("--confirm", "typed", default="", metavar="CLUSTER", help="The cluster's name, typed to approve.")
@click.pass_obj
def approve(app: Application, /, code: str | None, typed: str, form: str, **asked: str | bool | None) -> None:
    """Show the request CODE and approve it with this account's key.

    CODE is what the requesting console shows; with approvals.directory or approvals.database it is the request's name
    there, and the answer is stored there too. The answer is printed on standard output. It is valid for this request
    only, until it expires; nobody can approve their own request. With --refuse the answer is no.
    """
    if asked["new_key"]:
        from safeconsole.audit.signing import new_key

        where = str(asked["new_key"])
        public = new_key(where, account=KEYRING_ACCOUNT)
        click.echo(public)
        click.echo(_key_text(where, public, login=app.person.login), err=True)
        return
    settings = app.settings().approvals
    box = mailbox_of(settings, app.environ)
    if asked["listed"]:
        write_rows(COLUMNS, [_row(name, request) for name, request in waiting_requests(settings, box)], form)
        return
    if not code:
        raise click.UsageError("give the CODE that the requesting console shows; --list shows waiting requests")
    try:
        request = request_from_code(request_text(code, settings, box))
    except ValueError as error:
        raise ConfigurationError(f"not a request: {error}") from None
    lines = tuple((label, safe(text)) for label, text in request_lines(request))
    click.echo(block_text("approval asked", lines, stream_style(sys.stderr, app.environ), colour="red"), err=True)
    if asked["no"]:
        refuse(
            request,
            settings,
            by=app.person.name,
            reason=" ".join(str(asked["no"]).split())[:LONGEST_REASON],
            mailbox=box,
        )
        click.echo(f"refused; {safe(request.person)} reads the reason with the answer", err=True)
        return
    if not typed and sys.stdin.isatty():
        typed = click.prompt(f"to approve, type the name of the cluster ({safe(request.cluster)})", err=True)
    if typed != request.cluster:
        raise RefusedError(
            f"not approved: the name typed is not {safe(request.cluster)}",
            instead=f"type it at the question, or give --confirm {safe(request.cluster)}",
        )
    person = app.person
    if person.agent not in {"", NO_TERMINAL}:
        raise RefusedError(f"an agent ({person.agent}) cannot approve", instead="a person approves it")
    click.echo(sign(request, settings, approver=person.name, mailbox=box))


def _row(name: str, request: ApprovalRequest) -> tuple[str, ...]:
    what = request.sql or "every statement that needs an elevation"
    said = (name, request.person, request.agent, request.host, request.cluster, request.node, request.scope)
    return (*said, request.reason, request.ticket, until_text(request.expires_epoch), what)


def _key_text(where: str, public: str, *, login: str) -> str:
    """Return where a new key is, and where its public key goes."""
    kept = "this account's keyring" if where == "keyring" else safe(where)
    yours = "" if where == "keyring" else f"\nyour configuration names it:\n  [approvals]\n  key = {json.dumps(where)}"
    return (
        f"the key is in {kept}; nobody else needs it. Above is its public key: whoever keeps the system's configuration"
        f" adds\n  [approvals.approvers]\n  {json.dumps(login)} = {json.dumps(public)}{yours}"
    )
