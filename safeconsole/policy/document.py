"""Strict reading of a policy's document, and of one that extends another; every error names file, line and rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import inf, isfinite
from typing import Any, Literal, NoReturn

import msgspec
from msgspec.structs import fields, replace

from safeconsole.errors import PolicyInvalidError
from safeconsole.patterns import late
from safeconsole.policy.limits import FLOORS, LIMIT_NAMES, Limits
from safeconsole.policy.policy import (
    LONGEST_IDLE_SECONDS,
    MOST_KEPT_ROWS,
    MOST_SLOTS,
    ElevationSettings,
    FenceMode,
    FenceSettings,
    Policy,
    Slots,
    TransactionSettings,
    replaced,
)
from safeconsole.policy.readings import Gates, tightest_gates
from safeconsole.policy.rules import Rule, compile_condition, unknown_places
from safeconsole.policy.watchdog import SensorName
from safeconsole.sqltext.literal_rules import LiteralRules, literal_rules
from safeconsole.sqltext.masking import MaskRule, mask_rules
from safeconsole.sqltext.vocabulary import Verdict

MERGED = ("limits", "ceilings", "gates", "elevation", "transactions", "literals_of", "masked", "fences", "slots")
"""Settings that are tables: what the policy does not name is the base's."""
JOINED = ("rules", "sensors")

_LITERALS = ("keep", "hash", "drop")


def extended(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the document of a policy that extends another one's.

    Args:
        base, own: documents that can be read by themselves, `own` but for what it takes over.
    """
    merged = {**base, **own}
    for name in MERGED:
        if name in base and name in own:
            merged[name] = {**base[name], **own[name]}
    for name in JOINED:
        if name in base:
            merged[name] = [*base[name], *own.get(name, ())]
    heavy = [each["slots"]["heavy"] for each in (base, own) if each.get("slots", {}).get("heavy")]
    if len(heavy) > 1:
        merged["slots"]["heavy"] = " || ".join(f"({condition})" for condition in heavy)
    return merged


def loosened(base: Policy, own: Policy) -> Iterator[tuple[str, str]]:
    """
    Yield the settings of a policy that are looser than those of its base, each with how.

    Returns:
        Names as `may_be_loosened` lists them ("limits.fetched_rows", "elevation.two_persons"), and the two values.
    """
    yield from _numbers(base, own)
    yield from _elevation(base.elevation, own.elevation)
    for name in base.fences.__struct_fields__:
        if getattr(base.fences, name) is FenceMode.REFUSE and getattr(own.fences, name) is not FenceMode.REFUSE:
            yield f"fences.{name}", f"{base.name} refuses"
    whom = {rule.name: rule.everybody for rule in own.masks}
    for rule in base.masks:
        if rule.everybody and not whom.get(rule.name):
            yield "masked", f"{rule.name} for agents alone, where {base.name} masks it for everybody"
    if base.slots.at_once and not 0 < own.slots.at_once <= base.slots.at_once:
        yield "slots.at_once", f"{own.slots.at_once} where {base.name} has {base.slots.at_once}"
    if own.observe and not base.observe:
        yield "mode", f"observe where {base.name} enforces"


def _numbers(base: Policy, own: Policy) -> Iterator[tuple[str, str]]:
    for where in ("limits", "ceilings"):
        before, after = getattr(base, where), getattr(own, where)
        for name in LIMIT_NAMES:
            was, now = getattr(before, name), getattr(after, name)
            if now < was if name in FLOORS else now > was:
                yield f"{where}.{name}", f"{now:,.15g} where {base.name} has {was:,.15g}"
    tightest = tightest_gates(base.gates, own.gates)
    for gate in fields(Gates):
        now = getattr(own.gates, gate.name)
        if now != getattr(tightest, gate.name):
            yield f"gates.{gate.name}", f"{now:g} where {base.name} has {getattr(base.gates, gate.name):g}"
    for name in base.transactions.__struct_fields__:
        was, now = getattr(base.transactions, name), getattr(own.transactions, name)
        if now > was:
            yield f"transactions.{name}", f"{now:g} where {base.name} has {was:g}"


def _elevation(base: ElevationSettings, own: ElevationSettings) -> Iterator[tuple[str, str]]:
    for name in ("window_seconds", "max_window_seconds"):
        was, now = getattr(base, name), getattr(own, name)
        if now > was:
            yield f"elevation.{name}", f"{now:g} where it was {was:g}"
    for name in ("ticket_required", "notice_required"):
        if getattr(base, name) and not getattr(own, name):
            yield f"elevation.{name}", "no longer required"
    if own.approval_may_be_skipped and not base.approval_may_be_skipped:
        yield "elevation.approval_may_be_skipped", "it may be skipped"
    if missing := set(base.two_persons) - set(own.two_persons):
        yield "elevation.two_persons", f"without {', '.join(sorted(missing))}"
    for environment, kinds in own.agents_may_elevate.items():
        if more := set(kinds) - set(base.agents_may_elevate.get(environment, ())):
            yield "elevation.agents_may_elevate", f"also {', '.join(sorted(more))} in {environment}"


def literals_loosened(base: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether the journal would keep more of statements' literals, by two documents."""
    before, after = (_LITERALS.index(each.get("literals", "keep")) for each in (base, own))
    named, now = base.get("literals_of", {}), own.get("literals_of", {})
    return after < before or any(_LITERALS.index(now[name]) < _LITERALS.index(word) for name, word in named.items())


class _RuleDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: str
    when: str
    then: Literal["allow", "confirm", "elevate", "deny"] | None = None
    limits: dict[str, float] = {}
    sensors: tuple[SensorName, ...] = ()
    brake: bool = False
    message: str = ""
    instead: str = ""


class _SlotsDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    heavy: str
    at_once: int = 2
    wait_seconds: float = 30.0


class _PolicyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    rules: tuple[_RuleDocument, ...]
    description: str = ""
    extends: str = ""
    may_be_loosened: tuple[str, ...] = ()
    mode: Literal["enforce", "observe"] = "enforce"
    gates: dict[str, float] = {}
    limits: dict[str, float] = {}
    ceilings: dict[str, float] = {}
    sensors: tuple[SensorName, ...] = ()
    elevation: ElevationSettings = ElevationSettings()
    transactions: TransactionSettings = TransactionSettings()
    literals: Literal["keep", "hash", "drop"] = "keep"
    literals_of: dict[str, Literal["hash", "drop"]] = {}
    masked: dict[str, Literal["agents", "everybody"]] = {}
    slots: _SlotsDocument | None = None
    keep_rows: dict[str, int] = {}
    keep_rows_days: float = 7.0
    fences: FenceSettings = FenceSettings()


class _DocumentPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The position in a document: its file, and lines by path ("rules[2].when")."""

    source: str
    lines: Mapping[str, int]

    def line(self, path: str) -> int:
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)

    def problem(self, path: str, what: str, *, rule: str = "") -> str:
        line = self.line(path)
        return f"{self.source}{f':{line}' if line else ''}: {f'rule {rule}: ' if rule else ''}{what}"


def policy_from_document(
    name: str, document: object, *, source: str, text_hash: str, lines: Mapping[str, int] | None = None
) -> Policy:
    """Return the policy that a document describes.

    Args:
        name: as the configuration calls it.
        document: mappings, sequences and scalars.
        source: the file, for messages.
        text_hash: hexadecimal SHA-256 of the file's bytes.
        lines: line numbers from 1 by path ("mode", "rules[2].when"), for messages.

    Raises:
        PolicyInvalidError: with file, line and rule of the first problem; the others are its evidence.
    """
    place = _DocumentPlace(source=source, lines=lines or {})
    read = _read(document, place)
    problems: list[str] = []
    rules = tuple(_rules(read, place, problems))
    limits = _limits(place, problems, "limits", Limits(), read.limits)
    ceilings = _ceilings(place, problems, limits, read.ceilings)
    gates = _gates(place, problems, read.gates)
    literals = _literals(place, problems, read)
    masks = _masks(place, problems, read)
    slots = _slots(place, problems, read.slots)
    problems += _out_of_range(place, read)
    if problems:
        _refuse(problems)
    return Policy(
        name=name,
        source=source,
        hash=text_hash,
        observe=read.mode == "observe",
        rules=rules,
        gates=gates,
        limits=limits,
        own_limits=frozenset(read.limits),
        sensors=read.sensors,
        ceilings=ceilings,
        elevation=read.elevation,
        literals=literals,
        masks=masks,
        own_masks=frozenset(read.masked),
        slots=slots,
        transactions=read.transactions,
        fences=read.fences,
        keep_rows=read.keep_rows,
        keep_rows_days=read.keep_rows_days,
        may_be_loosened=frozenset(read.may_be_loosened),
    )


def require_structure(document: object, *, source: str, lines: Mapping[str, int]) -> None:
    """Raise PolicyInvalidError unless every part of a policy's document is of the kind that it must be."""
    _read(document, _DocumentPlace(source=source, lines=lines))


def _read(document: object, place: _DocumentPlace) -> _PolicyDocument:
    try:
        return msgspec.convert(document, _PolicyDocument, strict=True)
    except msgspec.ValidationError as error:
        _refuse([_structural(place, document, str(error))])


def _out_of_range(place: _DocumentPlace, read: _PolicyDocument) -> Iterator[str]:
    for name, most in read.keep_rows.items():
        if name.count(".") != 1 or not 0 <= most <= MOST_KEPT_ROWS:
            yield place.problem("keep_rows", f"{name}: {most} is no schema.table with 0 to {MOST_KEPT_ROWS} rows")
    if not 0 < read.keep_rows_days < inf:
        yield place.problem("keep_rows_days", "keep_rows_days must be over 0")
    if not 0 < read.elevation.window_seconds <= read.elevation.max_window_seconds < inf:
        yield place.problem("elevation", "window_seconds must be over 0 and at most max_window_seconds")
    for key in read.transactions.__struct_fields__:
        if not 0 < getattr(read.transactions, key) <= LONGEST_IDLE_SECONDS:
            yield place.problem(f"transactions.{key}", f"{key} must be over 0 and at most {LONGEST_IDLE_SECONDS:g}")


def _rules(read: _PolicyDocument, place: _DocumentPlace, problems: list[str]) -> Iterator[Rule]:
    seen: set[str] = set()
    for index, rule in enumerate(read.rules):
        path = f"rules[{index}]"
        found = list(_rule_problems(rule, seen))
        seen.add(rule.id)
        try:
            condition = compile_condition(rule.when)
        except ValueError as error:
            found.append(("when", str(error)))
        problems.extend(place.problem(f"{path}.{key}", what, rule=rule.id) for key, what in found)
        if not found:
            yield Rule(
                id=rule.id,
                when=rule.when,
                condition=condition,
                then=None if rule.then is None else Verdict[rule.then.upper()],
                limits=rule.limits,
                sensors=rule.sensors,
                brake=rule.brake,
                message=rule.message,
                instead=rule.instead,
                line=place.line(path),
            )


def _rule_problems(rule: _RuleDocument, seen: set[str]) -> Iterator[tuple[str, str]]:
    if not _ID.fullmatch(rule.id):
        yield "id", "an id is lower-case words joined by hyphens"
    if rule.id in seen:
        yield "id", "another rule has the same id"
    if rule.then is None and not rule.limits and not rule.sensors and not rule.brake:
        yield "then", "it says nothing: give it `then`, `limits`, `sensors` or `brake`"
    if rule.brake and rule.then is not None:
        yield "then", "a brake asks whoever is elevated already, and has no `then`: let another rule elevate"
    if rule.brake and not rule.message:
        yield "message", "a brake says in its `message` what is asked about"
    try:
        replaced(Limits(), rule.limits)
    except ValueError as error:
        yield "limits", str(error)
    for key, text in (("message", rule.message), ("instead", rule.instead)):
        if "\n" in text.strip():
            yield key, f"`{key}` is one line"
        for name in unknown_places(text):
            yield key, f"unknown fact {{{name}}} in `{key}`"


def _limits(place: _DocumentPlace, problems: list[str], key: str, start: Limits, values: Mapping[str, float]) -> Limits:
    limits = start
    for name, value in values.items():
        try:
            limits = replaced(limits, {name: value})
        except ValueError as error:
            problems.append(place.problem(f"{key}.{name}", str(error)))
    return limits


def _ceilings(place: _DocumentPlace, problems: list[str], limits: Limits, values: Mapping[str, float]) -> Limits:
    ceilings = _limits(place, problems, "ceilings", limits, values)
    for name in LIMIT_NAMES:
        ceiling, limit = getattr(ceilings, name), getattr(limits, name)
        if ceiling > limit if name in FLOORS else ceiling < limit:
            what = f"the ceiling of {name}, {ceiling:g}, is tighter than its limit, {limit:g}"
            problems.append(place.problem(f"ceilings.{name}", what))
    return ceilings


def _gates(place: _DocumentPlace, problems: list[str], values: Mapping[str, float]) -> Gates:
    start = Gates()
    known = [gate.name for gate in fields(Gates)]
    changes: dict[str, float] = {}
    for name, value in values.items():
        if name not in known:
            problems.append(place.problem(f"gates.{name}", f"unknown gate {name}: one of {', '.join(known)}"))
        elif not (isfinite(value) and value >= 0):
            problems.append(place.problem(f"gates.{name}", f"{name} cannot be {value:g}"))
        else:
            changes[name] = type(getattr(start, name))(value)
    return replace(start, **changes)


def _literals(place: _DocumentPlace, problems: list[str], read: _PolicyDocument) -> LiteralRules:
    for name, word in read.literals_of.items():
        try:
            literal_rules(read.literals, {name: word})
        except ValueError as error:
            problems.append(place.problem("literals_of", f"literals_of: {error}"))
            return LiteralRules()
    return literal_rules(read.literals, read.literals_of)


def _masks(place: _DocumentPlace, problems: list[str], read: _PolicyDocument) -> tuple[MaskRule, ...]:
    try:
        return mask_rules(read.masked)
    except ValueError as error:
        problems.append(place.problem("masked", f"masked: {error}"))
        return ()


def _slots(place: _DocumentPlace, problems: list[str], read: _SlotsDocument | None) -> Slots:
    if read is None:
        return Slots()
    condition = None
    try:
        condition = compile_condition(read.heavy)
    except ValueError as error:
        problems.append(place.problem("slots.heavy", str(error)))
    if not 0 <= read.at_once <= MOST_SLOTS:
        problems.append(place.problem("slots.at_once", f"at_once is 0 to {MOST_SLOTS}, not {read.at_once}"))
    if not 0 <= read.wait_seconds < inf:
        problems.append(place.problem("slots.wait_seconds", f"wait_seconds cannot be {read.wait_seconds:g}"))
    return Slots(at_once=read.at_once, wait_seconds=read.wait_seconds, heavy=read.heavy, condition=condition)


def _structural(place: _DocumentPlace, document: object, error: str) -> str:
    what, _, path = error.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if path == "fences" and "`journal`" in what:
        return place.problem(
            "fences.journal", "there is no fence `journal`: delete the line; `safeconsole audit verify` shows changes"
        )
    return place.problem(
        path, f"{what[:1].lower()}{what[1:]}{f' at {path}' if path else ''}", rule=_id_at(document, path)
    )


def _id_at(document: object, path: str) -> str:
    found = re.match(r"rules\[(\d+)\]", path)
    rules = document.get("rules") if isinstance(document, dict) else None
    if not found or not isinstance(rules, list) or int(found[1]) >= len(rules):
        return ""
    rule = rules[int(found[1])]
    return str(rule.get("id", "")) if isinstance(rule, dict) else ""


def _refuse(problems: list[str]) -> NoReturn:
    raise PolicyInvalidError(problems[0], evidence=tuple(problems[1:]))


_ID = late(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
