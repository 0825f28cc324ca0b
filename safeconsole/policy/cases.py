"""Policy cases: a statement, where it goes, and the expected verdict.

A rule without a case has never been seen to match; `lint` lists those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from safeconsole.dialects import DIALECTS
from safeconsole.errors import PolicyInvalidError
from safeconsole.policy.decision import MASKED_COLUMNS, Decision, Facts, judged_as_asked, with_masking
from safeconsole.policy.facts import FACTS, Circumstances, FactType, facts_of, statement_facts
from safeconsole.policy.limits import LIMIT_NAMES
from safeconsole.policy.policy import Policy, is_heavy, judge
from safeconsole.policy.readings import route_of
from safeconsole.policy.rules import Match, Rule, match, offered
from safeconsole.policy.watchdog import SensorName
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.masking import masking_of
from safeconsole.sqltext.statement import Behind, Estimate, Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour, Verdict

Analyse = Callable[[str, Flavour], tuple[Statement, ...]]
"""Turns a text into statements, as a server of the flavour would read it."""

FactValue = bool | int | float | str | list[str]


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One case.

    Attributes:
        sql: the statement; "" when the facts alone suffice.
        rule: id of a rule that must be among those that match; "" for any.
        to: where the person sends it, "" leaves that to the statement.
        engines: flavours that it is judged for.
        facts: facts that differ from those of an offline `check`.
        heavy: whether it needs a slot; None checks nothing.
        limits: ceilings by name that it must run under; those not named may be anything.
        sensors: exactly what must be readable while it runs; None checks nothing.
        brakes: exactly the rules that ask once more whoever is elevated; None checks nothing.
        masked: exactly the policy's masked columns that it selects; None checks nothing.
    """

    verdict: Literal["allow", "confirm", "elevate", "deny"]
    sql: str = ""
    rule: str = ""
    to: Literal["", "replica", "primary"] = ""
    engines: tuple[Flavour, ...] = (Flavour.MYSQL,)
    facts: dict[str, FactValue] = {}
    heavy: bool | None = None
    limits: dict[str, float] = {}
    sensors: tuple[SensorName, ...] | None = None
    brakes: tuple[str, ...] | None = None
    masked: tuple[str, ...] | None = None

    def __str__(self) -> str:
        where = f" to the {self.to}" if self.to else ""
        facts = "".join(f", {name}={value}" for name, value in self.facts.items())
        return f"{self.sql or '(facts alone)'}{where}{facts}"


class CasesDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    cases: tuple[Case, ...]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A case that a policy does not meet, with expected and found in one line."""

    case: Case
    engine: Flavour
    what: str


def cases_from_document(document: object, *, source: str) -> tuple[Case, ...]:
    """Return the cases in a document. Raises PolicyInvalidError: the message names the file and the place."""
    try:
        cases = msgspec.convert(document, CasesDocument, strict=True).cases
    except msgspec.ValidationError as error:
        raise PolicyInvalidError(f"{source}: {str(error)[:1].lower()}{str(error)[1:]}") from None
    for number, case in enumerate(cases, 1):
        unknown = [name for name, value in case.facts.items() if not _fits(name, value)]
        if unknown:
            raise PolicyInvalidError(f"{source}: case {number}: no fact {unknown[0]} of that type")
        strange = [name for name in case.limits if name not in LIMIT_NAMES]
        if strange:
            raise PolicyInvalidError(f"{source}: case {number}: unknown limit {strange[0]}")
    return cases


def failures(policy: Policy, cases: tuple[Case, ...], analyse: Analyse) -> Iterator[Failure]:
    """Yield every case that the policy does not meet, in order."""
    for case in cases:
        for engine in case.engines:
            what = _failure(policy, case, engine, analyse)
            if what:
                yield Failure(case=case, engine=engine, what=what)


def lint(policy: Policy, cases: tuple[Case, ...]) -> tuple[str, ...]:
    """Return the faults of a valid policy's own rules, one line each, with the rule's line in its file."""
    if not policy.rules:
        return (f"{policy.source}: it has no rule, so it denies everything",)
    found = [f"{policy.source}:{rule.line}: rule {rule.id}: {what}" for rule, what in _complaints(policy, cases)]
    found += [f"{policy.source}: slots: {what}" for what in _slot_complaints(policy, cases)]
    return (*found, *(f"{policy.source}: masked: {what}" for what in _mask_complaints(policy, cases)))


def _mask_complaints(policy: Policy, cases: tuple[Case, ...]) -> Iterator[str]:
    """Yield what is wrong with the masked columns: what nobody has seen masked may be misspelt."""
    for rule in policy.masks:
        if rule.name in policy.own_masks and all(rule.name not in (case.masked or ()) for case in cases):
            yield f"{rule.name} has no case that it is `masked` in"
    if policy.own_masks and all(case.rule != MASKED_COLUMNS for case in cases):
        yield f"no case shows a statement that is refused for it (rule: {MASKED_COLUMNS})"


def _slot_complaints(policy: Policy, cases: tuple[Case, ...]) -> Iterator[str]:
    if policy.slots.condition is None or policy.extends:
        return
    constant, _ = match(policy.slots.condition, offered({}))
    if constant is Match.NO:
        yield "nothing can ever be heavy"
    for heavy, word in ((True, "heavy"), (False, "not heavy")):
        if all(case.heavy is not heavy for case in cases):
            yield f"no case is {word}"


_TEXT = r"""(?:'[^'"]*'|"[^'"]*")"""
_COMPARED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"({_TEXT})\s+in\s+stmt\.tables\b",
        r"stmt\.tables\s*[=!]=\s*(\[[^\]]*\])",
        rf"stmt\.tables\.\w+\(\s*(\w+)\s*,.*?\b\1\s*(?:[=!]=\s*({_TEXT})|in\s+(\[[^\]]*\]))",
        rf"stmt\.tables\.\w+\(\s*(\w+)\s*,.*?({_TEXT})\s*[=!]=\s*\1\b",
    )
)
"""What a condition compares whole names of tables with: texts, and lists of them."""


def _names_without_schema(when: str) -> tuple[str, ...]:
    found = (part for pattern in _COMPARED for match in pattern.finditer(when) for part in match.groups() if part)
    names = [text[1:-1] for part in found for text in re.findall(_TEXT, part)]
    return tuple(dict.fromkeys(name for name in names if name and "." not in name))


def _complaints(policy: Policy, cases: tuple[Case, ...]) -> Iterator[tuple[Rule, str]]:
    exampled = {case.rule for case in cases}
    for position, rule in enumerate(policy.rules):
        if rule.policy:
            # What is wrong in the base is told there.
            continue
        # A condition that needs no fact to be judged is always what it is now.
        constant, _ = match(rule.condition, offered({}))
        if constant is Match.NO:
            yield rule, "it can never match"
        if constant is Match.YES and rule.then is Verdict.ALLOW:
            yield rule, "it allows everything"
        shadow = _shadow(rule, policy.rules, position)
        if shadow:
            yield rule, f"it never decides: rule {shadow.id} has the same condition and is at least as strict"
        for name in _names_without_schema(rule.when):
            yield rule, f"'{name}' names no schema: tables are 'schema.{name}' wherever a session has one"
        if rule.id not in exampled:
            yield rule, "it has no case"


def _shadow(rule: Rule, rules: tuple[Rule, ...], position: int) -> Rule | None:
    for other_position, other in enumerate(rules):
        same = other is not rule and " ".join(other.when.split()) == " ".join(rule.when.split())
        if not same or rule.limits or rule.sensors or rule.brake or rule.then is None or other.then is None:
            continue
        if other.then > rule.then or (other.then is rule.then and other_position < position):
            return other
    return None


def unmatched_rules(policy: Policy, cases: tuple[Case, ...]) -> tuple[str, ...]:
    known = {rule.id for rule in policy.rules} | ({MASKED_COLUMNS} if policy.masks else set())
    return tuple(dict.fromkeys(case.rule for case in cases if case.rule and case.rule not in known))


def _failure(policy: Policy, case: Case, engine: Flavour, analyse: Analyse) -> str:
    judged = list(_judged(policy, case, engine, analyse))
    offered_facts, decisions = [facts for facts, _ in judged], [decision for _, decision in judged]
    if not decisions:
        return "it holds no statement"
    verdict = max(decision.verdict for decision in decisions)
    rules = tuple(dict.fromkeys(rule for decision in decisions for rule in decision.rules))
    if verdict.word != case.verdict:
        return f"expected {case.verdict}, found {verdict.word} by {_strictest(decisions)}"
    if case.rule and case.rule not in rules:
        return f"rule {case.rule} does not match; those that do: {', '.join(rules) or 'none'}"
    heavy = any(is_heavy(policy.slots, facts) for facts in offered_facts)
    if case.heavy is not None and heavy is not case.heavy:
        return f"it is {'heavy' if heavy else 'not heavy'}, so that it takes {'a' if heavy else 'no'} slot"
    wrong = _wrong_limit(case, decisions) or _wrong_sensors(case, decisions) or _wrong_brakes(case, decisions)
    return wrong or _wrong_masks(case, decisions)


def _wrong_masks(case: Case, decisions: list[Decision]) -> str:
    found = {rule.name for decision in decisions for rule in decision.masking.masked}
    if case.masked is None or found == set(case.masked):
        return ""
    return f"expected masked {', '.join(case.masked) or 'nothing'}, found {', '.join(sorted(found)) or 'nothing'}"


def _wrong_brakes(case: Case, decisions: list[Decision]) -> str:
    found = {rule for decision in decisions for rule in decision.brakes}
    if case.brakes is None or found == set(case.brakes):
        return ""
    return f"expected brakes {', '.join(case.brakes) or 'none'}, found {', '.join(sorted(found)) or 'none'}"


def _wrong_sensors(case: Case, decisions: list[Decision]) -> str:
    found = {name for decision in decisions for name in decision.sensors}
    if case.sensors is None or found == set(case.sensors):
        return ""
    return f"expected sensors {', '.join(case.sensors) or 'none'}, found {', '.join(sorted(found)) or 'none'}"


def _wrong_limit(case: Case, decisions: list[Decision]) -> str:
    for name, wanted in case.limits.items():
        found = {getattr(decision.limits, name) for decision in decisions}
        if found != {wanted}:
            return f"expected {name} {wanted:g}, found {', '.join(f'{value:g}' for value in sorted(found))}"
    return ""


def _strictest(decisions: list[Decision]) -> str:
    decision = max(decisions, key=lambda each: each.verdict)
    return f"{', '.join(decision.rules) or 'no rule'} ({decision.message})"


def _judged(policy: Policy, case: Case, engine: Flavour, analyse: Analyse) -> Iterator[tuple[Facts, Decision]]:
    for statement in analyse(case.sql, engine) if case.sql else (_NOTHING,):
        route = route_of(statement, to=case.to)
        circumstances = Circumstances(flavour=engine, face="one-shot", cluster="shop", environment="production")
        found = facts_of(statement, route=route, reading=None, estimate=Estimate(), circumstances=circumstances)
        facts, decision = _judged_as_asked(policy, statement, found, case)
        agent, rules = facts["person.agent"] is True, LexicalRules(dialect=DIALECTS[engine])
        masking = masking_of(statement, Behind(), policy.masks_for(agent=agent), rules, agent=agent)
        yield facts, with_masking(decision, masking)


def _judged_as_asked(policy: Policy, statement: Statement, found: Facts, case: Case) -> tuple[Facts, Decision]:
    def judged(statement: Statement) -> tuple[Facts, Decision]:
        facts = {**found, **statement_facts(statement, Estimate()), **case.facts}
        return facts, judge(policy, facts)

    _, facts, decision = judged_as_asked(statement, judged)
    return facts, decision


def _fits(name: str, value: FactValue) -> bool:
    if name not in FACTS:
        return False
    kind = type(value)
    return kind is _PYTHON[FACTS[name].type]


_PYTHON: dict[FactType, type] = {
    FactType.STRING: str,
    FactType.BOOL: bool,
    FactType.INT: int,
    FactType.DOUBLE: float,
    FactType.STRINGS: list,
}
_NOTHING = Statement(text="", kind="unknown", effects=frozenset({Effect.UNKNOWN}))
