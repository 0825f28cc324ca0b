"""`safeconsole audit new-key`: the key that signs the host log."""

from __future__ import annotations

from typing import Protocol

import click


class CanMakeKeys(Protocol):
    """What `ctx.obj` must offer to this command."""

    def new_signing_key(self, where: str) -> str:
        """Make a key in a file or the keyring, and return its public half. Raises ConfigurationError."""
        ...


@click.command("new-key")
@click.argument("where", metavar="FILE|keyring")
@click.pass_obj
def new_key_command(app: CanMakeKeys, where: str) -> None:
    """Make a signing key, and print the lines for the configuration. Run it as root for a key that is root's."""
    public = app.new_signing_key(where)
    click.echo("[audit]")
    click.echo(f'signing_key = "{where}"')
    click.echo(f'public_keys = ["{public}"]')
