"""`safeconsole audit new-key`: the key that signs the host log."""

from __future__ import annotations

import click

from safeconsole.shells.cli.audit_keeping import HasKeeping


@click.command("new-key")
@click.argument("where", metavar="FILE|keyring")
@click.pass_obj
def new_key_command(app: HasKeeping, where: str) -> None:
    """Make a signing key, and print the lines for the configuration. Run it as root for a key that is root's."""
    public = app.keeping().new_signing_key(where)
    click.echo("[audit]")
    click.echo(f'signing_key = "{where}"')
    click.echo(f'public_keys = ["{public}"]')
