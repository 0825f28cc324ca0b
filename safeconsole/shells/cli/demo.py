"""`safeconsole demo`: the console on a cluster of its own, a scripted tour, or the cluster alone."""

from __future__ import annotations

import json
import signal
import sys
import threading

import click

from safeconsole.shells.cli.application import Application, Door, Stage
from safeconsole.shells.cli.sql import ask_on_terminal, open_console, run_scripts
from safeconsole.shells.cli.tour import walk
from safeconsole.shells.terminal.confirming import NoTerminal
from safeconsole.shells.terminal.looks import FORMATS

WELCOME = """\
A shop of its own ({engine}): one primary, two replicas, nothing that can break. Try:
  SELECT status, COUNT(*) FROM orders GROUP BY status;
  UPDATE orders SET status = 'paid' WHERE id = 1;      stopped: it writes
  \\elevate trying it out                               then run the update again
  \\why  \\topology  \\help                               \\quit leaves
"""


@click.command()
@click.option(
    "--engine", type=click.Choice(("embedded", "mariadb", "mysql")), default="embedded", show_default=True,
    help="Real servers are found on this machine or fetched; see `make servers`.",
)  # fmt: skip
@click.option("-e", "--execute", "texts", metavar="SQL", multiple=True, help="Run this and leave; may be repeated.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--serve", is_flag=True, help="Print one JSON line about the cluster and keep it up until a signal.")
@click.pass_obj
def demo(app: Application, engine: str, texts: tuple[str, ...], form: str, *, serve: bool) -> int:
    """
    Try the console on a cluster of its own, which is gone afterwards.

    In a terminal it opens the console; without one it walks a short tour.
    """
    leaving = threading.Event()
    if serve:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: leaving.set())
    with app.stage(engine) as stage:
        app.configure(stage.config)
        if serve:
            return _serve(stage, leaving)
        if texts:
            with app.open(Door(cluster=stage.cluster, face="one-shot", confirmer=NoTerminal())) as session:
                run_scripts(app, session, texts, form=form)
            return 0
        if not sys.stdin.isatty():
            return walk(app, stage)
        click.echo(WELCOME.format(engine=engine), err=True)
        return open_console(app, Door(cluster=stage.cluster, face="sql", confirmer=ask_on_terminal(app)))


def _serve(stage: Stage, leaving: threading.Event) -> int:
    described = {"config": stage.config, "cluster": stage.cluster, "nodes": list(stage.nodes)}
    sys.stdout.write(json.dumps(described) + "\n")
    sys.stdout.flush()
    leaving.wait()
    return 0
