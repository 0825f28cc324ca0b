"""`safeconsole doctor`, `init`, `topology`, `credentials`: a cluster's health, accounts, nodes and passwords."""

from __future__ import annotations

import os
import re
import secrets
import string
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import msgspec

from safeconsole.capacity.asking import Asker
from safeconsole.cli.application import Application, Door
from safeconsole.cli.root import CLUSTER
from safeconsole.cli.rows import format_option, write_rows
from safeconsole.config.kept_grants import KeptGrants
from safeconsole.config.settings import Accounts, ClusterSettings
from safeconsole.dialects import DIALECTS
from safeconsole.dialects.grants import USUAL_PEOPLE, grant_statements
from safeconsole.doctor import Check, CheckResult, examine
from safeconsole.errors import ConfigurationError, NoFitNodeError
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.evidence import TOPOLOGY_COLUMNS, one_line, topology_rows, topology_text
from safeconsole.output.text import counted, safe, stream_style, width_of
from safeconsole.policy.readings import unfit_reasons
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, Flavour, Role

COLUMNS = ("where", "what", "finding", "detail", "remedy")


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--grants", is_flag=True, help="Only print the statements that create the accounts.")
@click.option(
    "--person",
    "people",
    metavar="NAME",
    multiple=True,
    help="With --grants: whose accounts, where names hold {person}.",
)
@format_option
@click.pass_obj
def doctor(app: Application, cluster: str, form: str, people: tuple[str, ...], *, grants: bool) -> int:
    """Examine CLUSTER and its read account: what is wrong, why it matters, how to fix it.

    Checks roles and fitness, the account's privileges on each node (too wide, or missing), and the settings that the
    limits depend on. Every question runs under the policy, as the read account. Exits 2 when something is wrong.
    """
    settings = app.settings().clusters.get(cluster)
    if settings is None:
        known = ", ".join(sorted(app.settings().clusters)) or "none"
        raise ConfigurationError(f"no cluster {cluster} is configured", instead=f"configured clusters: {known}")
    if people and not grants:
        raise click.UsageError("--person goes with --grants")
    wanted = [settings.for_person(name) for name in people or (app.person.name,)]
    settings = settings.for_person(app.person.name)
    if grants and settings.engine != "auto":
        write_grants(DIALECTS[Flavour(settings.engine)], wanted)
        return 0
    with app.open(Door(person=app.person, cluster=cluster, face="job", confirmer=NoTerminal())) as opened:
        if grants:
            write_grants(opened.rules().dialect, wanted)
            return 0
        kept = KeptGrants(app.state_directory(app.person), cluster)
        checks = list(examine(Asker(session=opened.session, rules=opened.rules), settings, kept))
    checks.sort(key=lambda check: _WORST_FIRST.index(check.finding))
    if form == "table":
        click.echo("".join(f"{line}\n" for line in _report(checks)), nl=False)
    else:
        write_rows(COLUMNS, [(c.where, c.what, c.finding.value, c.detail, c.remedy) for c in checks], form)
    sys.stderr.write(f"{_summary(checks)}\n")
    return 2 if any(check.finding is CheckResult.WRONG for check in checks) else 0


def write_grants(dialect: Dialect, wanted: Sequence[ClusterSettings]) -> None:
    """Write the statements that create a cluster's accounts, as each of some people sees it, to standard output."""
    if not dialect.has_accounts:
        sys.stderr.write("sqlite has no accounts: the files' permissions are the barrier\n")
        return
    for cluster in {each.accounts: each for each in wanted}.values():
        click.echo(_grants_text(dialect, cluster), nl=False)


def _grants_text(
    dialect: Dialect, cluster: ClusterSettings, *, people: int = USUAL_PEOPLE, generated: bool = False
) -> str:
    lines = []
    for account in Account:
        statements = grant_statements(
            dialect,
            account,
            user=cluster.accounts.of(account) or f"console_{account}",
            schema=cluster.schema,
            people=people,
            password=_new_password() if generated else "…",
        )
        lines += [f"{statement};\n" for statement in statements]
    return "".join(lines)


def _new_password() -> str:
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    while True:
        found = "".join(secrets.choice("".join(kinds)) for _ in range(31))
        if all(set(kind) & set(found) for kind in kinds):
            return f"{found[:16]}-{found[16:]}"


_WORST_FIRST = (CheckResult.WRONG, CheckResult.ADVICE, CheckResult.UNSEEN, CheckResult.GOOD)

REPORT_COLUMNS = 100
"""A remedy that makes its line longer than this has a line of its own."""


def _report(checks: list[Check]) -> Iterator[str]:
    """Yield the report: a line for each problem with its nodes, then a line for each node."""
    problems: dict[Check, list[str]] = {}
    good: dict[str, list[str]] = {}
    for check in checks:
        if check.finding is CheckResult.GOOD:
            good.setdefault(check.where, []).append(check.what)
        else:
            problems.setdefault(msgspec.structs.replace(check, where=""), []).append(check.where)
    for check, nodes in problems.items():
        line = safe(f"{check.finding.value:<8}{', '.join(nodes)}: {check.what}: {check.detail}")
        remedy = safe(f"fix: {check.remedy}") if check.remedy else ""
        if remedy and width_of(f"{line}; {remedy}") <= REPORT_COLUMNS:
            yield f"{line}; {remedy}"
        else:
            yield from filter(None, (line, remedy and f"{' ' * 8}{remedy}"))
    for where, whats in good.items():
        yield safe(f"{CheckResult.GOOD.value:<8}{where}: {', '.join(whats)}")


def _summary(checks: list[Check]) -> str:
    counts = Counter(check.finding for check in checks)
    said = [f"{counts[finding]} {finding.value}" for finding in _WORST_FIRST if counts[finding]]
    return f"{counted(len(checks), 'check')}: {', '.join(said)}"


ENGINES = get_args(get_type_hints(ClusterSettings)["engine"])


@click.command()
@click.argument("cluster", required=False)
@click.option("--node", "nodes", multiple=True, metavar="HOST:PORT", help="A node or an endpoint; once for each.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True)
@click.option("--schema", default="", help="The application's schema: where a session starts, and what is granted.")
@click.option(
    "--people",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="People and agents with a console at once; the accounts' connections follow.",
)
@click.option("--read", default="console_read", show_default=True, metavar="ACCOUNT", help="The account for reads.")
@click.option(
    "--elevated",
    default="console_elevated",
    show_default=True,
    metavar="ACCOUNT",
    help="The account for elevated statements.",
)
@click.option(
    "--diagnose",
    default="console_diagnose",
    show_default=True,
    metavar="ACCOUNT",
    help="The account that sees what a server is doing.",
)
@click.option(
    "--grants-file",
    default="grants.sql",
    show_default=True,
    metavar="FILE",
    help="File for the statements that create the accounts.",
)
@click.option("--policy", default="baseline", show_default=True, metavar="NAME|FILE")
@click.option("--environment", default="production", show_default=True, help="Colours the prompt; rules can use it.")
@click.pass_obj
def init(app: Application, /, cluster: str | None, nodes: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401
    """Add CLUSTER to your configuration, and write the statements that create its accounts to a file.

    The file holds new passwords, and only you can read it. Opens no connection. Missing values are asked for in a
    terminal.
    """
    for node in nodes:
        _check_node(node)
    if not cluster or not nodes:
        cluster, nodes = _asked(cluster, nodes)
    if not re.fullmatch(r"[\w.-]+", cluster):
        raise click.UsageError(
            f"a cluster's name is letters, digits, dots, dashes and underscores, not {one_line(cluster)}"
        )
    dialect = DIALECTS[Flavour.MYSQL if given["engine"] == "auto" else Flavour(given["engine"])]
    settings = ClusterSettings(
        nodes=nodes,
        engine=given["engine"],
        schema=given["schema"] or (_asked_schema() if dialect.has_accounts else ""),
        policy=given["policy"],
        environment=given["environment"],
        accounts=Accounts(**{account: given[account] for account in Account}) if dialect.has_accounts else Accounts(),
    )
    own = settings.for_person(app.person.name)
    # Before the file: a name that names no policy is found now, not at three in the morning.
    app.policies.load(settings.policy)
    from safeconsole.config.writing import add_cluster

    grants = Path(given["grants_file"])
    people = given["people"] or (_asked_people() if dialect.has_accounts else USUAL_PEOPLE)
    if dialect.has_accounts:
        _write_private(grants, _grants_text(dialect, own, people=people, generated=True))
    try:
        file = add_cluster(app.config, app.environ, cluster, settings)
    except BaseException:
        # Accounts of a cluster that is not there are no use, and would stand in the way of the next attempt.
        if dialect.has_accounts:
            grants.unlink(missing_ok=True)
        raise
    sys.stderr.write(f"wrote cluster {cluster} to {file}\n")
    if dialect.has_accounts:
        sys.stderr.write(_accounts_told(grants, settings, people))
        for account in Account:
            sys.stderr.write(f"then: safeconsole credentials set {cluster} {own.accounts.of(account)}\n")
    sys.stderr.write(f"{'last' if dialect.has_accounts else 'next'}: safeconsole doctor {cluster}\n")


def _write_private(file: Path, text: str) -> None:
    """Write a new file that its owner alone can read. Raises ConfigurationError."""
    try:
        # The mode matters at birth: a file that is readable for a moment is readable.
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{file} exists already", instead="move it away, or give --grants-file FILE") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None


def _accounts_told(file: Path, settings: ClusterSettings, people: int) -> str:
    flavour = ", for MySQL; `safeconsole doctor --grants` knows once a server has answered" * (
        settings.engine == "auto"
    )
    return (
        f"wrote the accounts to {file}, with new passwords, readable by you alone{flavour}\n"
        f"their connections suit {counted(people, 'console')} at once; --people N sets that\n"
        f"next: run {file} on the primary as an administrator, and delete it once the passwords are stored\n"
    )


_NODE = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@?#\[\]]+)(?::(?P<port>[0-9]+))?|/[^\s:@?#]*|\.{0,2}/?[^\s:@?#]+")


def _check_node(node: str) -> None:
    """Check that a text is an address. Raises UsageError, which does not repeat it."""
    if "://" in node or "@" in node:
        raise click.UsageError("--node is HOST:PORT, not a URL: store passwords with `safeconsole credentials set`")
    found = _NODE.fullmatch(node)
    if found is None or (found["port"] and not 0 < int(found["port"]) < 65536):
        raise click.UsageError(f"--node is HOST:PORT with a port up to 65535, not {one_line(node)}")


def _asked_schema() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("give --schema: the accounts are granted the application's schema, and nothing more")
    return str(click.prompt("the application's schema, which the accounts may read and change", err=True))


def _asked_people() -> int:
    if not sys.stdin.isatty():
        return USUAL_PEOPLE
    words = "people and agents with a console at once"
    return int(click.prompt(words, default=USUAL_PEOPLE, type=click.IntRange(1, 10_000), err=True))


def _asked(cluster: str | None, nodes: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if not sys.stdin.isatty():
        raise click.UsageError("give a name and at least one --node: without a terminal nothing can be asked")
    cluster = cluster or str(click.prompt("name of the cluster", err=True))
    if not nodes:
        words = str(click.prompt("its nodes or endpoints (host:port, any order, spaces between)", err=True))
        nodes = tuple(words.replace(",", " ").split())
        for node in nodes:
            _check_node(node)
    return cluster, nodes


@click.command()
@click.argument("cluster", type=CLUSTER)
@format_option
@click.pass_obj
def topology(app: Application, cluster: str, form: str) -> None:
    """Measure CLUSTER's nodes and show which are fit, and why. Exit 8 when no replica is fit for reads."""
    with app.open(Door(person=app.person, cluster=cluster, face="topology", confirmer=NoTerminal())) as opened:
        readings, gates = opened.session.topology(), opened.session.policy.gates
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
    # Imported here: a keyring's backends are slow to find, and no other command of this file needs them.
    from safeconsole.config.credentials import need_backend

    # Before it is typed twice for nothing.
    need_backend(cluster, account)
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
