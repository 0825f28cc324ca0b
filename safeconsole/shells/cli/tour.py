"""The scripted tour of the demo: every step is a real command line, run down the same road as any other."""

from __future__ import annotations

import shlex
import sys

import msgspec

from safeconsole.core.errors import SafeConsoleError
from safeconsole.shells.cli.application import Application, Stage


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """
    One step.

    Attributes:
        says: what it shows.
        arguments: the command line after `safeconsole --config FILE`.
        expected: the exit code that proves it.
    """

    says: str
    arguments: tuple[str, ...]
    expected: int


def steps(cluster: str, *, embedded: bool) -> tuple[Step, ...]:
    """Return the tour of a cluster; the embedded engine has a twin of its own for the incident's query."""
    sizes = (
        "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"
        if embedded
        else "SELECT table_schema, table_name, data_length+index_length FROM information_schema.tables"
    )
    read = "SELECT status, COUNT(*) AS orders FROM orders GROUP BY status"
    write = "UPDATE orders SET status='x' WHERE id=1"
    elevation = ("--reason", "the tour", "--ticket", "DEMO-1", "--confirm", cluster)
    return (
        Step(says="A read goes to a proven replica, under limits.", arguments=("sql", cluster, "-e", read), expected=0),
        Step(says="A write is stopped, with evidence.", arguments=("sql", cluster, "-e", write), expected=3),
        Step(
            says="The incident's query, the size of all tables, is stopped on the primary and offered a safer way.",
            arguments=("sql", cluster, "--to", "primary", "-e", sizes),
            expected=3,
        ),
        Step(
            says="The write runs once it is elevated: a reason, a ticket, the cluster's name.",
            arguments=("sql", cluster, *elevation, "-e", write),
            expected=0,
        ),
        Step(says="All of it is in a journal that shows tampering.", arguments=("audit", "list"), expected=0),
        Step(says="", arguments=("audit", "verify"), expected=0),
    )


def walk(app: Application, stage: Stage) -> int:
    """Walk the tour; 0 when every step ended as it should, 1 at the first that did not."""
    from safeconsole.shells.cli.root import main

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
