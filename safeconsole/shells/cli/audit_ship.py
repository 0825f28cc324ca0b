"""`safeconsole audit ship`: send what the configured sinks have not taken yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import click

from safeconsole.shells.cli.output import format_option, write_rows

SHIPPED_COLUMNS = ("sink", "lines", "trouble")
NOT_ALL_TAKEN = 1
"""Exit code when a sink did not take everything."""


class ShippedTo(Protocol):
    """What one pass did for one sink."""

    @property
    def sink(self) -> str:
        """Its name."""
        ...

    @property
    def lines(self) -> int:
        """How many it took."""
        ...

    @property
    def trouble(self) -> str:
        """Why it took no more, or ""."""
        ...


class CanShip(Protocol):
    """What `ctx.obj` must offer to this command."""

    def ship(self) -> Iterable[ShippedTo]:
        """Send all that each sink has not taken yet; no sink, no result."""
        ...


@click.command("ship")
@format_option
@click.pass_context
def ship_command(ctx: click.Context, form: str) -> None:
    """Send copies to the configured sinks, once; a console does the same in the background."""
    app: CanShip = ctx.obj
    done = list(app.ship())
    write_rows(SHIPPED_COLUMNS, [(one.sink, one.lines, one.trouble) for one in done], form)
    if any(one.trouble for one in done):
        ctx.exit(NOT_ALL_TAKEN)
