"""`safeconsole audit serve`: the review queue in a browser, on this computer only."""

from __future__ import annotations

import contextlib
from typing import Protocol

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.shells.cli.audit_keeping import HasKeeping
from safeconsole.shells.cli.audit_review import HasReviews


class HasDesk(HasReviews, HasKeeping, Protocol):
    """What `ctx.obj` must offer to this command."""


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On 127.0.0.1; one that is free when 0.")
@click.pass_obj
def serve_command(app: HasDesk, port: int) -> None:
    """
    Show the queue, the stories and the search as a web page.

    Only on 127.0.0.1; the address that is printed works once, for one browser. Ends with Ctrl-C.
    """
    # Imported here: no other command needs a web server.
    from safeconsole.shells.cli.web.routes import Desk
    from safeconsole.shells.cli.web.server import LOOPBACK, PageServer, new_keys

    try:
        server = PageServer(port)
    except OSError as error:
        raise ConfigurationError(f"port {port} cannot be had: {(error.strerror or '').lower()}") from error
    keys = new_keys(server.server_port)
    server.desk = Desk(archive=app.archive, reviews=app.reviews, recording=app.keeping().recording, keys=keys)
    click.echo(f"http://{LOOPBACK}:{server.server_port}/open?token={keys.token}")
    click.echo("open it in a browser on this computer; Ctrl-C ends it", err=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
