"""`safeconsole demo`: the console on a temporary cluster, a scripted tour, or the cluster alone."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import msgspec

from safeconsole.cli.application import Application, Door
from safeconsole.cli.scripts import run_scripts
from safeconsole.cli.sql import ask_on_terminal, open_console
from safeconsole.errors import ConfigurationError, SafeConsoleError
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.text import FORMATS


class TourStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step.

    Attributes:
        arguments: the command line after `safeconsole --config FILE`.
        expected: the exit code that proves it.
    """

    says: str
    arguments: tuple[str, ...]
    expected: int


def steps(cluster: str, *, embedded: bool) -> tuple[TourStep, ...]:
    """Return the tour of a cluster; the embedded engine has its own version of the incident's query."""
    sizes = (
        "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"
        if embedded
        else "SELECT table_schema, table_name, data_length+index_length FROM information_schema.tables"
    )
    read = "SELECT status, COUNT(*) AS orders FROM orders GROUP BY status"
    write = "UPDATE orders SET status='x' WHERE id=1"
    elevation = ("--reason", "the tour", "--ticket", "DEMO-1", "--confirm", cluster)
    return (
        TourStep(
            says="A read goes to a proven replica, under limits.", arguments=("sql", cluster, "-e", read), expected=0
        ),
        TourStep(says="A write is stopped, with evidence.", arguments=("sql", cluster, "-e", write), expected=3),
        TourStep(
            says="The incident's query, the size of all tables, is stopped on the primary and offered a safer way.",
            arguments=("sql", cluster, "--to", "primary", "-e", sizes),
            expected=3,
        ),
        TourStep(
            says="The write runs once it is elevated: a reason, a ticket, the cluster's name.",
            arguments=("sql", cluster, *elevation, "-e", write),
            expected=0,
        ),
        TourStep(says="All of it is in a journal that shows tampering.", arguments=("audit", "list"), expected=0),
        TourStep(says="", arguments=("audit", "verify"), expected=0),
    )


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster to try the console on, up until its context ends.

    Attributes:
        config: path of a configuration that names it.
    """

    config: str
    cluster: str
    nodes: tuple[str, ...]


@contextmanager
def stage_of(engine: str, release: str = "") -> Iterator[Stage]:
    """Start a cluster, and stop it when the context ends. Raises ConfigurationError."""
    from safeconsole.demo.binaries import ServersUnavailableError
    from safeconsole.demo.daemon import ServerStartError
    from safeconsole.demo.stage import CLUSTER, ENGINES, staged

    known = next((each for each in ENGINES if each == engine), None)
    if known is None:
        raise ConfigurationError(f"there is no demo on {engine}", instead=f"one of {', '.join(ENGINES)}")
    try:
        with staged(known, release) as up:
            yield Stage(config=str(up.config), cluster=CLUSTER, nodes=up.nodes)
    except ServersUnavailableError as error:
        raise ConfigurationError(
            f"no {engine} server on this machine: {error.reason}", instead=error.how_to_get
        ) from error
    except ServerStartError as error:
        raise ConfigurationError(f"the demo's servers did not come up: {error}") from error


def walk(app: Application, stage: Stage) -> int:
    """Run the tour; 0 when every step ended as expected, 1 at the first that did not."""
    from safeconsole.cli.root import main

    embedded = all("/" in node for node in stage.nodes)
    for step in steps(stage.cluster, embedded=embedded):
        _say(f"\n# {step.says}" if step.says else "")
        _say(f"$ safeconsole {shlex.join(step.arguments)}")
        code = main(["--config", stage.config, *step.arguments], app)
        if code:
            _say(f"(exit {code})")
        if code != step.expected:
            raise SafeConsoleError(f"the tour expected exit {step.expected}, this is {code}")
    _say("\nThe tour is over. In a terminal `safeconsole demo` opens the console on this cluster.")
    return 0


def _say(text: str) -> None:
    sys.stdout.flush()
    if text:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


WELCOME = """\
A shop of its own ({engine}): one primary, two replicas, nothing that can break. Try:
  SELECT status, COUNT(*) FROM orders GROUP BY status;
  UPDATE orders SET status = 'paid' WHERE id = 1;      stopped: it writes
  \\elevate trying it out                               then run the update again
  \\why  \\topology  \\help                               \\quit leaves
"""


def _engine_offered() -> str:
    """Return the engine for a person: a real server that is on this machine already, where they take it."""
    from safeconsole.demo.binaries import FLAVOURS, ServersUnavailableError, find_server

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "embedded"
    for flavour in reversed(FLAVOURS):
        with suppress(ServersUnavailableError):
            found = find_server(flavour)
            if found is not None:
                what = f"{flavour} {found.version} is on this machine: start it, with two replicas? No: an embedded one"
                return flavour if click.confirm(what, default=True, err=True) else "embedded"
    return "embedded"


@click.command()
@click.option(
    "--engine", type=click.Choice(("embedded", "mariadb", "mysql")),
    help="Real servers are found on this machine or fetched; unset: embedded, or a real one where you say so.",
)  # fmt: skip
@click.option("--release", default="", metavar="N", help="Release of the server, such as 11.8 of mariadb.")
@click.option("-e", "--execute", "texts", metavar="SQL", multiple=True, help="Run this and exit; may be repeated.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--serve", is_flag=True, help="Print one JSON line about the cluster and keep it up until a signal.")
@click.pass_obj
def demo(app: Application, engine: str | None, release: str, texts: tuple[str, ...], form: str, *, serve: bool) -> int:
    """Try the console on a temporary cluster.

    In a terminal it opens the console; without one it runs a short tour.
    """
    leaving = threading.Event()
    engine = engine or (_engine_offered() if not (texts or serve or release) else "embedded")
    if release and engine == "embedded":
        raise click.UsageError("--release needs --engine mariadb or mysql")
    if serve:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: leaving.set())
    with stage_of(engine, release) as stage:
        app.configure(stage.config)
        if serve:
            return _serve(stage, leaving)
        if texts:
            with app.open(
                Door(person=app.person, cluster=stage.cluster, face="one-shot", confirmer=NoTerminal())
            ) as session:
                run_scripts(app, session, texts, form=form)
            return 0
        if not sys.stdin.isatty():
            return walk(app, stage)
        click.echo(WELCOME.format(engine=engine), err=True)
        return open_console(
            app, Door(person=app.person, cluster=stage.cluster, face="sql", confirmer=ask_on_terminal(app))
        )


def _serve(stage: Stage, leaving: threading.Event) -> int:
    described = {"config": stage.config, "cluster": stage.cluster, "nodes": list(stage.nodes)}
    sys.stdout.write(json.dumps(described) + "\n")
    sys.stdout.flush()
    leaving.wait()
    return 0
