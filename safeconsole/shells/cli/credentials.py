"""`safeconsole credentials`: passwords in this computer's keyring; they are never shown."""

from __future__ import annotations

import sys

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.shells.cli.application import Application
from safeconsole.shells.cli.completion import CLUSTER
from safeconsole.shells.cli.output import format_option, write_rows


@click.group()
def credentials() -> None:
    """Keep passwords in this computer's keyring."""


@credentials.command("set")
@click.argument("cluster", type=CLUSTER)
@click.argument("account")
@click.pass_obj
def set_command(app: Application, cluster: str, account: str) -> None:
    """Ask for ACCOUNT's password on CLUSTER and keep it; without a terminal it is the first line of standard input."""
    password = (
        click.prompt(f"password of {account} on {cluster}", hide_input=True, confirmation_prompt=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().rstrip("\n")
    )
    if not password:
        raise ConfigurationError("an empty password is not kept")
    app.set_password(cluster, account, password)
    click.echo(f"kept the password of {account} on {cluster}", err=True)


@credentials.command("list")
@format_option
@click.pass_obj
def list_command(app: Application, form: str) -> None:
    """List the accounts whose passwords are kept."""
    write_rows(("cluster", "account"), app.kept_passwords(), form)


@credentials.command("delete")
@click.argument("cluster", type=CLUSTER)
@click.argument("account")
@click.pass_obj
def delete_command(app: Application, cluster: str, account: str) -> None:
    """Forget ACCOUNT's password on CLUSTER."""
    app.delete_password(cluster, account)
    click.echo(f"forgot the password of {account} on {cluster}", err=True)
