"""`safeconsole token`: who may log in at a gateway over the network, and until when."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import click

from safeconsole.cli.application import Application
from safeconsole.cli.rows import format_option, write_rows
from safeconsole.config.identity import NO_TERMINAL
from safeconsole.errors import RefusedError
from safeconsole.gateway.tokens import TokenFile, Tokens
from safeconsole.output.text import safe, until_text

COLUMNS = ("id", "person", "agent", "state", "issued", "until", "by")

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SPAN_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group()
def token() -> None:
    """Issue, list and revoke the tokens that people log in to a gateway with.

    Run it as the account that the gateway runs as: tokens are in a file that this account alone can read, or in the
    database of `gateway.tokens`.
    """


@token.command()
@click.argument("person")
@click.option("--for", "span", default="8h", show_default=True, metavar="SPAN", help="How long it counts: 30m, 8h, 7d.")
@click.option("--agent", is_flag=True, help="For a program: it never elevates by itself.")
@click.pass_obj
def issue(app: Application, person: str, span: str, *, agent: bool) -> None:
    """Issue a token for PERSON, and print it once, alone on standard output.

    It is the password of a MySQL client whose user is PERSON. What is stored is its hash.
    """
    found = _SPAN.fullmatch(span)
    if found is None:
        raise click.UsageError(f"--for {span!r} is not a time such as 30m, 8h or 7d")
    if app.person.agent not in {"", NO_TERMINAL} and not agent:
        raise RefusedError(
            f"an agent ({app.person.agent}) issues no token for a person",
            instead="a person issues it, or --agent makes it one for a program",
        )
    text, stored = open_tokens(app).issue(
        person,
        now_epoch=time.time(),
        seconds=int(found[1]) * _SPAN_SECONDS[found[2]],
        by=app.person.name,
        agent="agent" if agent else "",
        native=app.settings().gateway.native_password,
    )
    click.echo(text)
    until = until_text(int(stored.ends_epoch))
    sys.stderr.write(f"token {stored.id} for {safe(person)} until {until}; it is shown this once\n")


@token.command("list")
@format_option
@click.pass_obj
def list_tokens(app: Application, form: str) -> None:
    """List the tokens that are stored: whose, and until when; never their text."""
    now = time.time()
    rows = [
        (
            each.id,
            each.person,
            each.agent,
            each.state_at(now),
            until_text(int(each.issued_epoch)),
            until_text(int(each.ends_epoch)),
            each.by,
        )
        for each in open_tokens(app).all()
    ]
    write_rows(COLUMNS, rows, form)


@token.command()
@click.argument("token_id", metavar="ID")
@click.pass_obj
def revoke(app: Application, token_id: str) -> None:
    """Revoke the token ID: nobody logs in with it any more, and who did is sent away."""
    revoked = open_tokens(app).revoke(token_id, now_epoch=time.time())
    sys.stderr.write(f"token {revoked.id} of {safe(revoked.person)} is revoked\n")


def open_tokens(app: Application) -> Tokens:
    """Return the tokens: of a database, a file, or by default a file in this account's state directory.

    Raises:
        ConfigurationError: the database's address cannot be used.
    """
    settings = app.settings().gateway
    if "://" in settings.tokens:
        # Imported here: it is slow to import, and most gateways have a file.
        from safeconsole.gateway.token_database import open_token_database

        return open_token_database(settings, app.environ)
    own = app.state_directory(app.person) / "gateway" / "tokens.json"
    return TokenFile(Path(settings.tokens) if settings.tokens else own)
