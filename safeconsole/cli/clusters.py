"""`safeconsole doctor`, `init`, `topology`, `credentials`: a cluster's health, accounts, nodes and passwords."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, get_args, get_type_hints

import click

from safeconsole.capacity.asking import Asker
from safeconsole.cli.application import Application, Door
from safeconsole.cli.help import CLUSTER
from safeconsole.cli.rows import format_option, write_rows
from safeconsole.config.settings import Accounts, ClusterSettings
from safeconsole.dialects import DIALECTS
from safeconsole.dialects.grants import grant_statements
from safeconsole.doctor.checks import Check, CheckResult, examine
from safeconsole.errors import ConfigurationError, NoFitNodeError
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.text import stream_style
from safeconsole.output.topology import TOPOLOGY_COLUMNS, topology_rows, topology_text
from safeconsole.policy.readings import unfit_reasons
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, Flavour, Role

COLUMNS = ("where", "what", "finding", "detail", "remedy")


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--grants", is_flag=True, help="Only print the statements that create the accounts.")
@format_option
@click.pass_obj
def doctor(app: Application, cluster: str, form: str, *, grants: bool) -> int:
    """Examine CLUSTER and its read account: what is wrong, why it matters, how to fix it.

    Checks roles and fitness, the account's privileges on each node (too wide, or missing), and the settings that the
    limits depend on. Every question runs under the policy, as the read account. Exits 2 when something is wrong.
    """
    settings = app.settings().clusters.get(cluster)
    if settings is None:
        known = ", ".join(sorted(app.settings().clusters)) or "none"
        raise ConfigurationError(f"no cluster {cluster} is configured", instead=f"configured clusters: {known}")
    if grants and settings.engine != "auto":
        write_grants(DIALECTS[Flavour(settings.engine)], settings)
        return 0
    with app.open(Door(person=app.person, cluster=cluster, face="job", confirmer=NoTerminal())) as session:
        if grants:
            write_grants(session.rules().dialect, settings)
            return 0
        checks = list(examine(Asker(gate=session.gate, rules=session.rules), settings))
    write_rows(COLUMNS, [(c.where, c.what, c.finding.value, c.detail, c.remedy) for c in checks], form)
    sys.stderr.write(f"{_summary(checks)}\n")
    return 2 if any(check.finding is CheckResult.WRONG for check in checks) else 0


def write_grants(dialect: Dialect, cluster: ClusterSettings) -> None:
    """Write the statements that create a cluster's accounts to standard output."""
    if not dialect.has_accounts:
        sys.stderr.write("sqlite has no accounts: the files' permissions are the barrier\n")
        return
    users = {
        Account.READ: cluster.accounts.read or "console_read",
        Account.ELEVATED: cluster.accounts.elevated or "console_elevated",
    }
    for account, user in users.items():
        for statement in grant_statements(dialect, account, user=user, schema=cluster.schema):
            click.echo(f"{statement};")


def _summary(checks: list[Check]) -> str:
    counts = Counter(check.finding for check in checks)
    said = [f"{counts[finding]} {finding.value}" for finding in CheckResult if counts[finding]]
    return f"{len(checks)} looked at: {', '.join(said)}"


ENGINES = get_args(get_type_hints(ClusterSettings)["engine"])


@click.command()
@click.argument("cluster", required=False)
@click.option("--node", "nodes", multiple=True, metavar="HOST:PORT", help="A node or an endpoint; once for each.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True)
@click.option("--schema", default="", help="The application's schema: where a session starts, and what is granted.")
@click.option("--read", default="console_read", show_default=True, metavar="ACCOUNT", help="The account for reads.")
@click.option(
    "--elevated",
    default="console_elevated",
    show_default=True,
    metavar="ACCOUNT",
    help="The account for elevated statements.",
)
@click.option("--policy", default="baseline", show_default=True, metavar="NAME|FILE")
@click.option("--environment", default="production", show_default=True, help="Colours the prompt; rules can use it.")
@click.pass_obj
def init(app: Application, /, cluster: str | None, nodes: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401
    """Add CLUSTER to your configuration, and print the statements that create its accounts.

    Opens no connection. Missing values are asked for in a terminal.
    """
    if not cluster or not nodes:
        cluster, nodes = _asked(cluster, nodes)
    accounts = Accounts(read=given["read"], elevated=given["elevated"])
    dialect = DIALECTS[Flavour.MYSQL if given["engine"] == "auto" else Flavour(given["engine"])]
    settings = ClusterSettings(
        nodes=nodes,
        engine=given["engine"],
        schema=given["schema"],
        policy=given["policy"],
        environment=given["environment"],
        accounts=accounts if dialect.has_accounts else Accounts(),
    )
    # Before the file: a name that names no policy is found now, not at three in the morning.
    app.policies.load(settings.policy)
    from safeconsole.config.writing import add_cluster

    file = add_cluster(app.config, app.environ, cluster, settings)
    sys.stderr.write(f"wrote cluster {cluster} to {file}\n")
    if not dialect.has_accounts:
        sys.stderr.write(f"next: safeconsole doctor {cluster}\n")
        return
    if settings.engine == "auto":
        sys.stderr.write("the accounts, for MySQL; `safeconsole doctor --grants` knows once a server has answered:\n")
    write_grants(dialect, settings)
    for account in (given["read"], given["elevated"]):
        sys.stderr.write(f"next: safeconsole credentials set {cluster} {account}\n")
    sys.stderr.write(f"then: safeconsole doctor {cluster}\n")


def _asked(cluster: str | None, nodes: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if not sys.stdin.isatty():
        raise click.UsageError("give a name and at least one --node: there is no terminal to ask in")
    cluster = cluster or str(click.prompt("name of the cluster", err=True))
    if not nodes:
        words = str(click.prompt("its nodes or endpoints (host:port, any order, spaces between)", err=True))
        nodes = tuple(words.replace(",", " ").split())
    return cluster, nodes


@click.command()
@click.argument("cluster", type=CLUSTER)
@format_option
@click.pass_obj
def topology(app: Application, cluster: str, form: str) -> None:
    """Measure CLUSTER's nodes and show which are fit, and why. Exit 8 when no replica is fit for reads."""
    with app.open(Door(person=app.person, cluster=cluster, face="topology", confirmer=NoTerminal())) as session:
        readings, gates = session.gate.topology(), session.gate.policy.gates
    if form == "table":
        click.echo(topology_text(cluster, readings, gates, stream_style(sys.stdout, app.environ)))
    else:
        write_rows([column.name for column in TOPOLOGY_COLUMNS], topology_rows(readings, gates), form)
    if not any(reading.role is Role.REPLICA and not unfit_reasons(reading, gates) for reading in readings):
        raise NoFitNodeError(f"cluster {cluster} has no replica fit for reads")


@click.group()
def credentials() -> None:
    """Store passwords in this computer's keyring."""


@credentials.command("set")
@click.argument("cluster", type=CLUSTER)
@click.argument("account")
def set_command(cluster: str, account: str) -> None:
    """Ask for ACCOUNT's password on CLUSTER and store it; without a terminal it is the first line of standard input."""
    password = (
        click.prompt(f"password of {account} on {cluster}", hide_input=True, confirmation_prompt=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().rstrip("\n")
    )
    if not password:
        raise ConfigurationError("an empty password is not stored")
    from safeconsole.config.credentials import set_credential

    set_credential(cluster, account, password)
    click.echo(f"stored the password of {account} on {cluster}", err=True)


@credentials.command("list")
@format_option
def list_command(form: str) -> None:
    """List the accounts whose passwords are stored."""
    from safeconsole.config.credentials import list_credentials

    write_rows(("cluster", "account"), [(each.cluster, each.account) for each in list_credentials()], form)


@credentials.command("delete")
@click.argument("cluster", type=CLUSTER)
@click.argument("account")
def delete_command(cluster: str, account: str) -> None:
    """Delete ACCOUNT's password on CLUSTER."""
    from safeconsole.config.credentials import delete_credential

    delete_credential(cluster, account)
    click.echo(f"deleted the password of {account} on {cluster}", err=True)
