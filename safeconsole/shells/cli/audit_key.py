"""`safeconsole audit new-key`: the key that signs the host log, or the one that literals are hashed with."""

from __future__ import annotations

import click

from safeconsole.shells.cli.audit_keeping import HasKeeping


@click.command("new-key")
@click.argument("where", metavar="FILE|keyring")
@click.option(
    "--for",
    "use",
    type=click.Choice(["signing", "literals"]),
    default="signing",
    show_default=True,
    help="What it is for.",
)
@click.pass_obj
def new_key_command(app: HasKeeping, where: str, use: str) -> None:
    """Make a key, and print the lines for the configuration. Run it as root for a key that is root's."""
    if use == "literals":
        app.keeping().new_literal_key(where)
        click.echo("[audit]")
        click.echo(f'literal_key = "{where}"')
        return
    public = app.keeping().new_signing_key(where)
    click.echo("[audit]")
    click.echo(f'signing_key = "{where}"')
    click.echo(f'public_keys = ["{public}"]')
