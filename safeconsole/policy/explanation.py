"""Explains a decision: matched rules, their facts, the source of each limit, and how a limit is raised. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from safeconsole.errors import Action, Remedy, SafeConsoleError, StoppedError
from safeconsole.policy.decision import ITS_OWN_TEXT, Assessment, Decision
from safeconsole.policy.limits import FLOORS, LIMIT_NAMES
from safeconsole.policy.policy import Policy
from safeconsole.policy.rules import Rule, facts_named


def limit_origins(decision: Decision, policy: Policy) -> dict[str, str]:
    """Return the source of each limit that the statement runs under, by the limit's name.

    Returns:
        "rule ID", "its own text", "this session" for what a flag or a command asked for, "the configuration",
        "policy NAME", or "built in".
    """
    sources = dict(line.split(": ", 1) for line in decision.limit_sources)
    origins = {}
    for name in LIMIT_NAMES:
        source = sources.get(name, "")
        if source == "session":
            origins[name] = "this session"
        elif source == ITS_OWN_TEXT:
            origins[name] = "its own text"
        elif source:
            origins[name] = f"rule {source}"
        else:
            origins[name] = standing_origin(policy, name)
    return origins


def standing_origin(policy: Policy, name: str) -> str:
    # Where it is the configuration's, it is as far as anybody may go, too.
    if name in policy.configured and getattr(policy.limits, name) == getattr(policy.ceilings, name):
        return "the configuration"
    return f"policy {policy.name}" if name in policy.own_limits else "built in"


def matched_rules(decision: Decision, policy: Policy) -> tuple[Rule, ...]:
    """Return the policy's rules behind a decision, in the order of its file."""
    return tuple(rule for rule in policy.rules if rule.id in decision.rules)


def facts_behind(considered: Assessment, policy: Policy) -> dict[str, object]:
    """Return the facts that the matched rules name, with their values, each once."""
    names = (fact for rule in matched_rules(considered.decision, policy) for fact in facts_named(rule.when))
    return {name: considered.facts[name] for name in names if name in considered.facts}


def explanation_of(considered: Assessment, policy: Policy) -> tuple[str, ...]:
    decision = considered.decision
    lines = [
        f"matched: {rule.id} (line {rule.line}, {rule.says}): {' '.join(rule.when.split())}"
        for rule in matched_rules(decision, policy)
    ]
    facts = facts_behind(considered, policy)
    if facts:
        lines.append(f"facts: {', '.join(f'{name} = {_shown(value)}' for name, value in facts.items())}")
    if decision.sensors:
        lines.append(f"sensors: must be readable while it runs: {', '.join(decision.sensors)}")
    return (*lines, *_limit_lines(decision, policy))


def _limit_lines(decision: Decision, policy: Policy) -> Iterator[str]:
    origins = limit_origins(decision, policy)
    for origin in sorted(dict.fromkeys(origins.values()), key="built in".__eq__):
        set_by = (name for name in LIMIT_NAMES if origins[name] == origin)
        yield f"limits: {origin}: {', '.join(f'{name} {getattr(decision.limits, name):,.15g}' for name in set_by)}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_shown(item) for item in value)}]"
    return f"'{value}'" if isinstance(value, str) else str(value)


def with_way_to_loosen(failure: SafeConsoleError, decision: Decision, policy: Policy) -> SafeConsoleError:
    """Return a failure that says, where a limit stopped the statement, who set it and how far it can be raised."""
    if not isinstance(failure, StoppedError) or failure.ceiling not in LIMIT_NAMES:
        return failure
    name = failure.ceiling
    holds, most = getattr(decision.limits, name), getattr(policy.ceilings, name)
    source = dict(line.split(": ", 1) for line in decision.limit_sources).get(name, "session")
    if source == ITS_OWN_TEXT:
        how = f"its own text holds {name} at {holds:,.15g}"
    elif source != "session":
        how = f"rule {source} holds {name} at {holds:,.15g}"
    elif holds <= most if name in FLOORS else holds >= most:
        how = f"{holds:,.15g} is the most {name} that {policy.may_be_loosened_by(name)} allows"
    else:
        return failure.replaced(remedies=(*failure.remedies, Remedy(Action.RAISE_LIMIT, of=name, most=most)))
    return failure.replaced(instead="; ".join(filter(None, (failure.instead, how))))
