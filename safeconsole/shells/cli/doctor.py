"""`safeconsole doctor`: what is wrong with a cluster and its accounts, and what mends it."""

from __future__ import annotations

import sys
from collections import Counter

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.grants import grant_statements
from safeconsole.core.settings import ClusterSettings
from safeconsole.core.vocabulary import Account, Flavour
from safeconsole.jobs.asking import Asker
from safeconsole.jobs.doctor import Check, Finding, examine
from safeconsole.shells.cli.application import Application, Door
from safeconsole.shells.cli.completion import CLUSTER
from safeconsole.shells.cli.output import format_option, write_rows
from safeconsole.shells.terminal.confirming import NoTerminal

COLUMNS = ("where", "what", "finding", "detail", "remedy")


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--grants", is_flag=True, help="Print the statements that make the accounts, and look at nothing.")
@format_option
@click.pass_obj
def doctor(app: Application, cluster: str, form: str, *, grants: bool) -> int:
    """
    Examine CLUSTER and the account it is read with: what is wrong, why it matters, what mends it.

    Looks at roles and fitness, at what the account may do on each node (too wide, or missing), and at the settings
    that the limits lean on. Every question walks the road, on the account for reading. Exits 2 when something is wrong.
    """
    settings = app.settings().clusters.get(cluster)
    if settings is None:
        known = ", ".join(sorted(app.settings().clusters)) or "none"
        raise ConfigurationError(f"no cluster {cluster} is configured", instead=f"configured clusters: {known}")
    if grants and settings.engine != "auto":
        write_grants(Flavour(settings.engine), settings)
        return 0
    with app.open(Door(cluster=cluster, face="job", confirmer=NoTerminal())) as session:
        if grants:
            write_grants(session.rules().flavour, settings)
            return 0
        checks = list(examine(Asker(gate=session.gate, rules=session.rules), settings))
    write_rows(COLUMNS, [(c.where, c.what, c.finding.value, c.detail, c.remedy) for c in checks], form)
    sys.stderr.write(f"{_summary(checks)}\n")
    return 2 if any(check.finding is Finding.WRONG for check in checks) else 0


def write_grants(flavour: Flavour, cluster: ClusterSettings) -> None:
    """Write the statements that make a cluster's accounts to standard output."""
    if flavour is Flavour.SQLITE:
        sys.stderr.write("sqlite has no accounts: the files' permissions are the barrier\n")
        return
    users = {
        Account.READ: cluster.accounts.read or "console_read",
        Account.ELEVATED: cluster.accounts.elevated or "console_elevated",
    }
    for account, user in users.items():
        for statement in grant_statements(flavour, account, user=user, schema=cluster.schema):
            click.echo(f"{statement};")


def _summary(checks: list[Check]) -> str:
    counts = Counter(check.finding for check in checks)
    said = [f"{counts[finding]} {finding.value}" for finding in Finding if counts[finding]]
    return f"{len(checks)} looked at: {', '.join(said)}"
