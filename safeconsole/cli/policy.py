"""`safeconsole policy lint|test|show|diff|facts`: the validity, the cases, the content and the changes of policies."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import msgspec

from safeconsole.cli.application import Application
from safeconsole.cli.policy_diff import as_json, differences, judged_otherwise
from safeconsole.config.policies import PolicyFiles
from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError, PolicyInvalidError
from safeconsole.output.text import safe
from safeconsole.policy.cases import failures, lint, unmatched_rules
from safeconsole.policy.facts import FACTS
from safeconsole.policy.limits import LIMIT_NAMES
from safeconsole.policy.policy import Policy, capped, standing_origin
from safeconsole.policy.rules import Rule
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Flavour


@click.group()
def policy() -> None:
    """Show policies, and test them with their cases."""


@policy.command("lint")
@click.argument("names", metavar="[NAME|FILE]...", nargs=-1)
@click.pass_obj
def lint_command(app: Application, names: tuple[str, ...]) -> None:
    """Check policies: facts, types, rules that never decide, rules without a case."""
    checked = names or app.policies.names()
    found = [line for name in checked for line in _lint(app.policies, name)]
    for line in found:
        click.echo(line)
    if found:
        raise PolicyInvalidError(_counted(len(found), "problem", "found"))
    click.echo(f"nothing wrong: {', '.join(checked)}", err=True)


@policy.command("test")
@click.argument("names", metavar="[NAME|FILE]...", nargs=-1)
@click.pass_obj
def test_command(app: Application, names: tuple[str, ...]) -> None:
    """Judge the cases of policies, offline; only failures are printed in full."""
    wrong = 0
    for name in names or app.policies.names():
        cases = app.policies.cases(name)
        if not cases:
            raise PolicyInvalidError(f"policy {name} has no cases", instead="write them beside it, in NAME.cases.yaml")
        failed = list(failures(app.policies.load(name), cases, _analysed))
        for failure in failed:
            click.echo(f"{name}: {failure.engine}: {failure.case}: {failure.what}")
        click.echo(f"{name}: {_counted(len(cases), 'case', '')}, {len(failed)} not as expected")
        wrong += len(failed)
    if wrong:
        raise PolicyInvalidError(_counted(wrong, "case", "not as expected"))


@policy.command("show")
@click.argument("name", metavar="[NAME|FILE]", required=False)
@click.option("--cluster", metavar="CLUSTER", help="The one in force there, under the configuration's limits.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def show_command(app: Application, name: str | None, cluster: str | None, form: str) -> None:
    """Print a policy's content, the line of each rule, and the source of each limit."""
    if bool(name) == bool(cluster):
        raise click.UsageError("give a policy's name or file, or --cluster")
    shown = _in_force(app, cluster) if cluster else app.policies.load(str(name))
    if form == "json":
        click.echo(json.dumps(as_json(shown), indent=2, ensure_ascii=False))
        return
    for line in _as_text(shown):
        click.echo(line)


@policy.command("diff")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "--since", metavar="TIME", help="Judge what was recorded since then (7d) by both, from the recorded facts."
)
@click.pass_obj
def diff_command(app: Application, old: str, new: str, since: str | None) -> None:
    """Show what NEW says otherwise than OLD, each a name or a file; what is looser is marked.

    With --since also which recorded statements NEW would have decided otherwise: no server is asked, nothing runs. The
    output fits a pull request.
    """
    before, after = app.policies.load(old), app.policies.load(new)
    for line in differences(before, after):
        click.echo(safe(line))
    if since:
        for line in judged_otherwise(app.archive(), before, after, since=since):
            click.echo(safe(line))


@policy.command("facts")
def facts_command() -> None:
    """Print every fact that a rule may name, as docs/policy.md lists them."""
    for line in facts_table():
        click.echo(line)


def facts_table() -> Iterator[str]:
    yield "| fact | type | meaning | known from, how old, which way it can be wrong |"
    yield "|---|---|---|---|"
    for fact in FACTS.values():
        words = ", ".join(f"`{word}`" for word in fact.words if word)
        yield f"| `{fact.name}` | {fact.type} | {fact.meaning}{f': {words}' if words else ''} | {fact.source} |"


def _lint(source: PolicyFiles, name: str) -> Iterator[str]:
    try:
        loaded, cases = source.load(name), source.cases(name)
    except PolicyInvalidError as error:
        yield error.message
        yield from error.evidence
        return
    yield from lint(loaded, cases)
    for rule in unmatched_rules(loaded, cases):
        yield f"{loaded.source}: a case names rule {rule}, which does not exist"


def _analysed(text: str, flavour: Flavour) -> tuple[Statement, ...]:
    return tuple(analyse(text, LexicalRules(dialect=DIALECTS[flavour])))


def _counted(number: int, noun: str, rest: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'} {rest}".rstrip()


def _in_force(app: Application, cluster: str) -> Policy:
    settings = app.settings()
    if cluster not in settings.clusters:
        known = ", ".join(sorted(settings.clusters)) or "none"
        raise ConfigurationError(f"cluster {cluster} is not in the configuration", instead=f"configured: {known}")
    return capped(app.policies.load(settings.clusters[cluster].policy), settings.limits)


def _as_text(shown: Policy) -> Iterator[str]:
    yield f"policy {shown.name}, {shown.mode}, from {shown.source}, {shown.hash[:12]}"
    if shown.extends:
        yield f"extends {shown.extends}; looser than it: {'; '.join(shown.loosens) or 'nothing'}"
    if shown.may_be_loosened:
        yield f"a policy that extends it may loosen: {', '.join(sorted(shown.may_be_loosened))}"
    yield "limits, how far a person may loosen them, and who set them:"
    yield from _limit_lines(shown)
    if shown.sensors:
        yield f"sensors that every statement needs: {', '.join(shown.sensors)}"
    if shown.slots.at_once:
        slots = shown.slots
        heavy = " ".join(slots.heavy.split())
        yield f"slots: {slots.at_once} a node, {slots.wait_seconds:g} s of waiting; heavy: {heavy}"
    elevation = shown.elevation
    minutes = f"{elevation.window_seconds / 60:g} of at most {elevation.max_window_seconds / 60:g} minutes"
    ticket = ", with a ticket" if elevation.ticket_required else ""
    persons = f", two persons for {', '.join(elevation.two_persons)}" if elevation.two_persons else ""
    alone = (f"{', '.join(kinds)} in {where}" for where, kinds in elevation.agents_may_elevate.items())
    agents = ", and ".join(alone) or "none"
    yield f"elevation: {minutes}{ticket}{persons}; agents that may elevate by themselves: {agents}"
    fences = (f"{name} {word}" for name, word in msgspec.to_builtins(shown.fences).items())
    yield f"beside the gate, in the Python console: {', '.join(fences)}"
    for whom, everybody in (("for everybody", True), ("for agents", False)):
        names = [rule.name for rule in shown.masks if rule.everybody is everybody]
        if names:
            yield f"masked {whom}: {', '.join(names)}"
    for rule in shown.rules:
        yield ""
        yield from _rule_lines(rule)


def _limit_lines(shown: Policy) -> Iterator[str]:
    for name in LIMIT_NAMES:
        limit, ceiling = getattr(shown.limits, name), getattr(shown.ceilings, name)
        far = f" to {ceiling:,.15g}" if ceiling != limit else ""
        yield f"  {name} {limit:,.15g}{far} ({standing_origin(shown, name)})"


def _rule_lines(rule: Rule) -> Iterator[str]:
    yield f"{rule.id} ({f'{rule.policy}, ' if rule.policy else ''}line {rule.line}): {rule.says}"
    yield f"  when    {' '.join(rule.when.split())}"
    if rule.limits:
        yield f"  limits  {', '.join(f'{name} {value:.15g}' for name, value in rule.limits.items())}"
    if rule.sensors:
        yield f"  sensors {', '.join(rule.sensors)}"
    if rule.message:
        yield f"  says    {rule.message}"
    if rule.instead:
        yield f"  instead {rule.instead}"
