"""What one policy says otherwise than another, and what it would have decided otherwise."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from safeconsole.audit.archive import LocalArchive
from safeconsole.audit.record import Asked, Decided
from safeconsole.audit.rejudging import Rejudged, rejudge
from safeconsole.audit.search import moment_of
from safeconsole.cli.audit_review import Span, is_within, sessions_in
from safeconsole.policy.document import loosened
from safeconsole.policy.limits import LIMIT_NAMES
from safeconsole.policy.policy import Policy, standing_origin
from safeconsole.policy.rules import facts_named

_ABOUT_THE_FILE = frozenset({"name", "source", "hash", "limit_origins", "loosens", "rules"})
_ABOUT_THE_PLACE = frozenset({"id", "line", "policy", "facts"})

MOST_SHOWN = 20
"""Statements that are shown; all are counted."""


def differences(old: Policy, new: Policy) -> Iterator[str]:
    """Yield a line for each setting and each rule that differs; none where the two say the same."""
    looser = dict(loosened(old, new))
    before, after = as_json(old), as_json(new)
    was, now = dict(_settings(before)), dict(_settings(after))
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            mark = "  LOOSER" if name in looser else ""
            yield f"{name}: {_shown(was.get(name))} -> {_shown(now.get(name))}{mark}"
    yield from _rule_differences(before["rules"], after["rules"])


def judged_otherwise(archive: LocalArchive, old: Policy, new: Policy, *, since: str) -> Iterator[str]:
    """Yield the recorded statements that the new policy decides otherwise, then how many of how many.

    Raises ConfigurationError: `since` is no time.
    """
    span, counts, shown = Span(since=moment_of(since)), Counter[str](), 0
    for summary in sessions_in(archive, span):
        asked: dict[int, str] = {}
        held: list[Decided] = []
        for entry in archive.entries(summary.session):
            if isinstance(entry.record, Asked) and not entry.record.by_console:
                asked[entry.record.statement] = entry.record.sql
            elif isinstance(entry.record, Decided) and is_within(entry.time, span):
                held.append(entry.record)
        for before, after in zip(rejudge(old, held), rejudge(new, held), strict=True):
            if before.statement not in asked:
                continue
            change = _change(before, after)
            counts[change] += 1
            if change != "same" and shown < MOST_SHOWN:
                shown += 1
                text = " ".join(asked[before.statement].split())[:100]
                was, now = before.now.verdict.word, after.now.verdict.word
                yield f"{change}: {was} -> {now}: {summary.session[:8]}#{before.statement} {summary.cluster}: {text}"
    told = ", ".join(f"{counts[change]} {change}" for change in ("stricter", "looser", "unproven", "same"))
    yield f"{counts.total()} statements recorded since {since}, judged by both: {told}"


def _change(before: Rejudged, after: Rejudged) -> str:
    if before.missing or after.missing:
        # A fact that an older version did not record.
        return "unproven"
    if after.now.verdict == before.now.verdict:
        return "same"
    return "stricter" if after.now.verdict > before.now.verdict else "looser"


def _settings(found: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        if not above and key in _ABOUT_THE_FILE:
            continue
        if isinstance(value, Mapping) and value:
            yield from _settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _rule_differences(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    old, new = ({rule["id"]: rule for rule in rules} for rules in (before, after))
    for name in (*old, *(name for name in new if name not in old)):
        if name not in new:
            yield f"- rule {name}: {_says(old[name])}"
        elif name not in old:
            yield f"+ rule {name}: {_says(new[name])}"
        else:
            for key in old[name]:
                if key not in _ABOUT_THE_PLACE and old[name][key] != new[name][key]:
                    yield f"rule {name}: {key}: {_shown(old[name][key])} -> {_shown(new[name][key])}"


def _says(rule: Mapping[str, Any]) -> str:
    limits = ", ".join(f"{name} {value:g}" for name, value in rule["limits"].items())
    return f"{rule['then'] or 'limits'}{f' ({limits})' if limits else ''} when {' '.join(rule['when'].split())}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return " ".join(value.split()) or "nothing"
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def as_json(shown: Policy) -> dict[str, Any]:
    """Return a policy's content in the types of JSON."""
    return {
        "name": shown.name,
        "source": shown.source,
        "hash": shown.hash,
        "mode": shown.mode,
        "extends": shown.extends,
        "loosens": list(shown.loosens),
        "may_be_loosened": sorted(shown.may_be_loosened),
        "literals": shown.literals.otherwise.word,
        "literals_of": {rule.name: rule.treatment.word for rule in shown.literals.rules},
        "masked": {rule.name: "everybody" if rule.everybody else "agents" for rule in shown.masks},
        "gates": msgspec.to_builtins(shown.gates),
        "limits": msgspec.to_builtins(shown.limits),
        "limit_origins": {name: standing_origin(shown, name) for name in LIMIT_NAMES},
        "ceilings": msgspec.to_builtins(shown.ceilings),
        "sensors": list(shown.sensors),
        "slots": {
            "at_once": shown.slots.at_once,
            "wait_seconds": shown.slots.wait_seconds,
            "heavy": shown.slots.heavy,
        },
        "elevation": msgspec.to_builtins(shown.elevation),
        "fences": msgspec.to_builtins(shown.fences),
        "rules": [
            {
                "id": rule.id,
                "line": rule.line,
                "policy": rule.policy or shown.name,
                "when": rule.when,
                "facts": list(facts_named(rule.when)),
                "then": None if rule.then is None else rule.then.word,
                "limits": dict(rule.limits),
                "sensors": list(rule.sensors),
                "brake": rule.brake,
                "message": rule.message,
                "instead": rule.instead,
            }
            for rule in shown.rules
        ],
    }
