"""`safeconsole init`: the first lines of a configuration, and the accounts that they need."""

from __future__ import annotations

import sys
from typing import Any, get_args, get_type_hints

import click

from safeconsole.core.settings import Accounts, ClusterSettings
from safeconsole.core.vocabulary import Flavour
from safeconsole.shells.cli.application import Application
from safeconsole.shells.cli.doctor import write_grants

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
    help="The account for what was elevated.",
)
@click.option("--policy", default="baseline", show_default=True, metavar="NAME|FILE")
@click.option("--environment", default="production", show_default=True, help="Colours the prompt; rules can use it.")
@click.pass_obj
def init(app: Application, /, cluster: str | None, nodes: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401
    """
    Add CLUSTER to your configuration, and print the statements that make its accounts.

    Opens no connection. What is not given is asked for in a terminal.
    """
    if not cluster or not nodes:
        cluster, nodes = _asked(cluster, nodes)
    accounts = Accounts(read=given["read"], elevated=given["elevated"])
    settings = ClusterSettings(
        nodes=nodes,
        engine=given["engine"],
        schema=given["schema"],
        policy=given["policy"],
        environment=given["environment"],
        accounts=Accounts() if given["engine"] == "sqlite" else accounts,
    )
    # Before the file: a name that names no policy is found now, not at three in the morning.
    app.policies.load(settings.policy)
    file = app.add_cluster(cluster, settings)
    sys.stderr.write(f"wrote cluster {cluster} to {file}\n")
    if settings.engine == "sqlite":
        sys.stderr.write(f"next: safeconsole doctor {cluster}\n")
        return
    if settings.engine == "auto":
        sys.stderr.write("the accounts, for MySQL; `safeconsole doctor --grants` knows once a server has answered:\n")
    write_grants(Flavour.MYSQL if settings.engine == "auto" else Flavour(settings.engine), settings)
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
