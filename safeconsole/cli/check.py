"""`safeconsole check`: the decision on a statement, as data; nothing is run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import chain
from typing import Any

import click
import msgspec
from msgspec.structs import asdict, replace

from safeconsole.cli.application import Application, Door
from safeconsole.cli.rows import write_rows
from safeconsole.cli.scripts import read_script
from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.text import FORMATS
from safeconsole.policy.decision import (
    Assessment,
    Decision,
    Facts,
    addressed,
    judged_as_asked,
    with_disagreement,
    with_masking,
)
from safeconsole.policy.facts import statement_facts
from safeconsole.policy.policy import Policy, capped, facts_behind, judge, limit_origins
from safeconsole.session.context import SessionContext, circumstances_of
from safeconsole.session.deciding import preview
from safeconsole.sqltext.analysis import analyse, analysed, is_shared, shape_of
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.masking import masking_of
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour, Route, Verdict

COLUMNS = (
    "sql", "kind", "effects", "tables", "functions", "hazards", "verdict", "route", "rules", "limits", "message",
)  # fmt: skip
"""The fields of each statement."""

There = Callable[[str, LexicalRules | None], list[dict[str, Any]]]
"""Checks a text with a cluster; see `_asked_there`."""

_SQL_MODES = ("ansi_quotes", "no_backslash_escapes", "pipes_as_concat", "oracle")

TABLE_COLUMNS = ("sql", "kind", "effects", "verdict", "route", "hazards", "message")
"""The fields that fit a screen."""


COMBINED_MODES = frozenset({"ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"})
"""Words of sql_mode that stand for ANSI_QUOTES and PIPES_AS_CONCAT too. Source: MariaDB documentation, "SQL_MODE"."""


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """Decides without a server.

    Attributes:
        rules: how the text is read.
    """

    rules: LexicalRules
    consider: Callable[[Statement], Assessment]
    policy: Policy


_SHAPES_HELD = 1000


def offline_judge(app: Application, *, cluster: str, engine: str, policy: str, to: str, sql_mode: str = "") -> Judge:
    """Return a judge that needs no connection. Raises ConfigurationError, PolicyInvalidError."""
    settings = app.settings().cluster(cluster) if cluster else None
    flavour = Flavour(engine) if engine else settings.assumed_flavour if settings else Flavour.MYSQL
    rules = app.policies.load(policy or (settings.policy if settings else "baseline"))
    if settings:
        rules = capped(rules, app.settings().limits)
    modes = frozenset(word.strip().upper() for word in sql_mode.split(",") if word.strip())
    environment = settings.environment if settings else ""
    context = SessionContext(cluster=cluster, environment=environment, face="check", person=app.person)
    circumstances = circumstances_of(context, flavour=flavour)
    lexical = LexicalRules(
        dialect=DIALECTS[flavour],
        version=DIALECTS[flavour].assumed_version,
        ansi_quotes=not modes.isdisjoint({"ANSI_QUOTES", *COMBINED_MODES}),
        no_backslash_escapes="NO_BACKSLASH_ESCAPES" in modes,
        pipes_as_concat=not modes.isdisjoint({"PIPES_AS_CONCAT", *COMBINED_MODES}),
        oracle="ORACLE" in modes,
    )
    held: dict[str, Assessment] = {}

    def consider(statement: Statement) -> Assessment:
        # Statements that differ in plain values only are judged alike, as in a session.
        shape = shape_of(statement.text) if is_shared(statement, lexical) else ""
        known = held.get(shape)
        if known is not None:
            return replace(known, statement=statement)
        considered = preview(statement, policy=rules, circumstances=circumstances, rules=lambda: lexical, to=to)
        if shape and len(held) < _SHAPES_HELD:
            held[shape] = considered
        return considered

    return Judge(rules=lexical, consider=consider, policy=rules)


@click.command()
@click.argument("arguments", metavar="[CLUSTER] [SQL]", nargs=-1)
@click.option("-f", "--file", "file", metavar="FILE", help="Check the statements of a file, `-` for standard input.")
@click.option(
    "--engine",
    type=click.Choice(("mysql", "mariadb", "aurora-mysql", "sqlite")),
    help="Read the SQL as this server family.",
)
@click.option("--to", type=click.Choice(("replica", "primary")), help="Judge as if sent there.")
@click.option("--policy", default="", metavar="NAME|FILE", help="Judge by this policy.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.pass_obj
def check(app: Application, /, arguments: tuple[str, ...], file: str | None, form: str, **given: str | None) -> None:
    """Dry run: show the verdict for SQL, a file, or standard input (`-`).

    With a CLUSTER its nodes are measured and asked for an estimate; without one no connection is opened. With --format
    jsonl, standard input holds one {"sql": …, "sql_mode"?: …} per line, and one object is printed for each, in order.
    Exits 0 whatever the verdicts are.
    """
    cluster, text = _cluster_and_text(app, arguments)
    engine, to, policy = given["engine"] or "", given["to"] or "", given["policy"] or ""
    if text in {None, "-"} and file is None and form == "jsonl":
        judge = lru_cache(maxsize=64)(
            lambda sql_mode: offline_judge(app, cluster=cluster, engine=engine, policy=policy, to=to, sql_mode=sql_mode)
        )
        with _asked_there(app, cluster, to, policy) if cluster and not engine else nullcontext() as there:
            for number, line in enumerate(sys.stdin.buffer, start=1):
                if line.strip():
                    sys.stdout.write(_checked_line(line, number, judge, there))
                    # Who asks line by line waits for each answer.
                    sys.stdout.flush()
        return
    script = read_script(file) if text in {None, "-"} else str(text)
    shown = _shown_as(form)
    if cluster and not engine:
        with _asked_there(app, cluster, to, policy) as there:
            _write(map(shown, there(script, None)), form)
    else:
        judging = offline_judge(app, cluster=cluster, engine=engine, policy=policy, to=to)
        # What is written alike is judged and shown once.
        told = lru_cache(maxsize=_SHAPES_HELD)(lambda each: shown(checked(judging.consider(each), judging.policy)))
        _write(map(told, analysed(script, judging.rules)), form)


def _shown_as(form: str) -> Callable[[dict[str, Any]], Any]:
    """Return the function that formats one statement's fields."""
    if form == "jsonl":
        return lambda fields: json.dumps(fields, ensure_ascii=False) + "\n"
    if form == "json":
        # As it stands in an array.
        return lambda fields: json.dumps([fields], ensure_ascii=False, indent=2)[1:-2]
    columns = _columns_of(form)
    return lambda fields: tuple(_cell(fields[name]) for name in columns)


def _columns_of(form: str) -> tuple[str, ...]:
    return TABLE_COLUMNS if form == "table" else COLUMNS


def _write(shown: Iterator[Any], form: str) -> None:
    """Write statements as they are judged. Raises ConfigurationError: there is none."""
    first = next(shown, None)
    if first is None:
        raise ConfigurationError("there is no statement to check")
    if form not in {"json", "jsonl"}:
        write_rows(_columns_of(form), chain((first,), shown), form)
        return
    begin, between, end = ("[", ",", "\n]\n") if form == "json" else ("", "", "")
    sys.stdout.write(f"{begin}{first}")
    sys.stdout.writelines(f"{between}{each}" for each in shown)
    sys.stdout.write(end)


def checked(considered: Assessment, policy: Policy) -> dict[str, Any]:
    """Return the fields of one statement by the names of `COLUMNS`, and the reasons."""
    statement, decision = considered.statement, considered.decision
    hazards = dict.fromkeys((*statement.hazards, *considered.estimate.hazards))
    return {
        "sql": statement.text,
        "kind": statement.kind,
        "effects": sorted(statement.effects),
        "tables": list(dict.fromkeys(str(table) for table in statement.tables)),
        "functions": list(dict.fromkeys(statement.functions)),
        "hazards": [{"id": each.id, "why": each.why, "instead": each.instead} for each in hazards],
        "verdict": decision.verdict.word,
        "route": Route.NONE.value if decision.verdict is Verdict.DENY else considered.route.value,
        "rules": list(decision.rules),
        "limits": asdict(decision.limits),
        "message": decision.message,
        "instead": decision.instead,
        "masked": list(dict.fromkeys(rule.name for rule in decision.masking.masked)),
        "policy": decision.policy,
        "facts": facts_behind(considered, policy),
        "limit_origins": limit_origins(decision, policy),
    }


def _checked_line(line: bytes, number: int, judge: Callable[[str], Judge], there: There | None) -> str:
    text, sql_mode = _question(line, number)
    judging = judge(sql_mode)
    if there is not None:
        found = there(text, judging.rules if sql_mode else None)
    else:
        found = [checked(judging.consider(each), judging.policy) for each in analyse(text, judging.rules)]
    if not found:
        found = [checked(judging.consider(_nothing(text)), judging.policy)]
    return json.dumps(_strictest(found, text), ensure_ascii=False) + "\n"


def _question(line: bytes, number: int) -> tuple[str, str]:
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        # Not JSON, not UTF-8, or nested deeper than anything that could be meant.
        asked = None
    if isinstance(asked, dict):
        text, sql_mode = asked.get("sql"), asked.get("sql_mode", "")
        if isinstance(text, str) and isinstance(sql_mode, str):
            return text, sql_mode
    raise ConfigurationError(f'line {number} is not {{"sql": …, "sql_mode"?: …}}')


def _nothing(text: str) -> Statement:
    return Statement(
        text=text, kind="unknown", effects=frozenset({Effect.UNKNOWN}), reasons=("it contains no statement",)
    )


def _strictest(found: list[dict[str, Any]], text: str) -> dict[str, Any]:
    if len(found) == 1:
        return found[0]
    order = [verdict.word for verdict in Verdict]
    worst = max(found, key=lambda each: order.index(each["verdict"]))
    together: dict[str, Any] = {
        name: list({json.dumps(item): item for each in found for item in each[name]}.values())
        for name in ("effects", "tables", "functions", "hazards", "rules")
    }
    return {**worst, **together, "sql": text, "statements": len(found)}


def _by(policy: Policy, considered: Assessment, cluster: str, rules: LexicalRules) -> Assessment:
    def judged(statement: Statement) -> tuple[Facts, Decision]:
        facts = {**considered.facts, **statement_facts(statement, considered.estimate)}
        return facts, judge(policy, facts)

    statement, facts, decision = judged_as_asked(considered.statement, judged)
    decision = with_disagreement(decision, considered.estimate, considered.route)
    agent = considered.facts["person.agent"] is True
    masks = policy.masks_for(agent=agent)
    decision = with_masking(decision, masking_of(statement, considered.estimate.behind, masks, rules, agent=agent))
    decision = addressed(decision, cluster, statement.hazards)
    return replace(considered, statement=statement, facts=facts, decision=decision)


@contextmanager
def _asked_there(app: Application, cluster: str, to: str, policy: str) -> Iterator[There]:
    """Check texts with a cluster, by its own policy, or by another over the same facts.

    Yields:
        A function of a text and the rules that its writer gave, if any. Where the text means something else by those
        than by the servers' own, both readings are checked.
    """
    other = app.policies.load(policy) if policy else None
    door = Door(person=app.person, cluster=cluster, face="check", confirmer=NoTerminal(), to=to)
    with app.open(door) as opened:
        session = opened.session

        def said(statement: Statement) -> dict[str, Any]:
            considered = session.check(statement)
            if other is not None:
                considered = _by(other, considered, cluster, opened.rules())
            return checked(considered, other or session.policy)

        def there(text: str, given: LexicalRules | None) -> list[dict[str, Any]]:
            statements = session.split(text)
            if given is not None:
                own = opened.rules()
                modes = {name: getattr(given, name) for name in _SQL_MODES}
                read = analyse(text, replace(own, **modes), schema=session.status().schema)
                statements = (*statements, *(each for each in read if each not in statements))
            return [said(each) for each in statements]

        yield there


def _cluster_and_text(app: Application, arguments: tuple[str, ...]) -> tuple[str, str | None]:
    match arguments:
        case ():
            return "", None
        case (only,):
            return (only, None) if only in app.settings().clusters else ("", only)
        case (cluster, text):
            return cluster, text
        case _:
            raise click.UsageError("give at most a cluster and one text; quote the text")


def _cell(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, list):
        return ", ".join(str(item["id"]) if isinstance(item, dict) else str(item) for item in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)
