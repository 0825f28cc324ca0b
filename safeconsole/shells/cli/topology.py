"""`safeconsole topology`: the nodes as they were just measured."""

from __future__ import annotations

import sys

import click

from safeconsole.core.errors import NoFitNodeError
from safeconsole.core.routing import unfit_reasons
from safeconsole.core.vocabulary import Role
from safeconsole.shells.cli.application import Application, Door
from safeconsole.shells.cli.completion import CLUSTER
from safeconsole.shells.cli.output import format_option, write_rows
from safeconsole.shells.terminal.confirming import NoTerminal
from safeconsole.shells.terminal.looks import look_of
from safeconsole.shells.terminal.topology import TOPOLOGY_COLUMNS, topology_rows, topology_text


@click.command()
@click.argument("cluster", type=CLUSTER)
@format_option
@click.pass_obj
def topology(app: Application, cluster: str, form: str) -> None:
    """Measure CLUSTER's nodes and say which are fit, and why. Exit 8 when no replica is fit for reads."""
    with app.open(Door(cluster=cluster, face="topology", confirmer=NoTerminal())) as session:
        readings, gates = session.gate.topology(), session.gate.policy.gates
    if form == "table":
        click.echo(topology_text(cluster, readings, gates, look_of(sys.stdout, app.environ)))
    else:
        write_rows([column.name for column in TOPOLOGY_COLUMNS], topology_rows(readings, gates), form)
    if not any(reading.role is Role.REPLICA and not unfit_reasons(reading, gates) for reading in readings):
        raise NoFitNodeError(f"cluster {cluster} has no replica fit for reads")
