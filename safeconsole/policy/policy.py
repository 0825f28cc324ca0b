"""A policy: its rules, limits and settings, how it judges a statement's facts, and how a verdict is explained. Pure.

Rules only tighten: the strictest verdict and the tightest limits win, so their order means nothing. What no rule allows
is denied; so is everything when a rule cannot be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from math import isfinite

import msgspec
from cel_expr_python import cel
from msgspec.structs import asdict, replace

from safeconsole.errors import Action, ConfigurationError, Remedy, SafeConsoleError, StoppedError
from safeconsole.policy.decision import ITS_OWN_TEXT, Assessment, Decision
from safeconsole.policy.limits import FLOORS, LIMIT_NAMES, Limits, tighten
from safeconsole.policy.readings import Gates
from safeconsole.policy.rules import Match, Rule, facts_named, filled, match, offered
from safeconsole.policy.watchdog import SensorName
from safeconsole.sqltext.clauses import PREFIX
from safeconsole.sqltext.literal_rules import LiteralRules, Treatment
from safeconsole.sqltext.masking import MaskRule
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Verdict

MOST_KEPT_ROWS = 10_000
"""The most rows of one change that are kept: one statement puts them back."""

MOST_SLOTS = 64
"""The most slots of one node: all are asked for in one question."""


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """Slots for heavy statements on one node, shared by all consoles as named locks of the server.

    Attributes:
        at_once: number of slots per node, 0 to `MOST_SLOTS`; 0 counts nothing.
        wait_seconds: longest wait for a slot, >= 0.
        heavy: the condition's text, "" when nothing is counted.
        condition: the same, compiled by `rules.compile_condition`.
    """

    at_once: int = 0
    wait_seconds: float = 30.0
    heavy: str = ""
    condition: cel.Expression | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The named locks that are the slots of one node, in order of trying."""
        return tuple(f"{PREFIX}heavy.{number}" for number in range(1, self.at_once + 1))


def is_heavy(slots: Slots, facts: Mapping[str, object]) -> bool:
    """Whether a statement needs a slot; also if the condition cannot be judged."""
    if not slots.at_once or slots.condition is None:
        return False
    outcome, _ = match(slots.condition, offered(facts))
    return outcome is not Match.NO


class FenceMode(StrEnum):
    REFUSE = "refuse"
    RECORD = "record"


class FenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What each fence of the Python console does; a refusal is recorded too.

    Attributes:
        sockets: connections to the cluster's nodes outside of the engine.
        programs: other programs, and copies of this process.
        memory: ctypes in the person's own code.
    """

    sockets: FenceMode = FenceMode.REFUSE
    programs: FenceMode = FenceMode.REFUSE
    memory: FenceMode = FenceMode.REFUSE


LONGEST_IDLE_SECONDS = 300.0
"""Longest idle time that the servers' own guard enforces, docs/limits.md."""


class TransactionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a transaction may be idle before it is rolled back.

    Attributes:
        read_idle_seconds: for one of reads, over 0 and at most 300.
        write_idle_seconds: for one of changes, which holds locks, over 0 and at most 300.
    """

    read_idle_seconds: float = 300.0
    write_idle_seconds: float = 60.0


class ElevationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a person may exceed the policy.

    Attributes:
        window_seconds: default duration of a break-glass window, > 0.
        max_window_seconds: the longest window, >= `window_seconds`.
        ticket_required: whether a reason alone is not enough.
        two_persons: effects that a second person must approve.
        approval_may_be_skipped: whether the second person may be skipped in an emergency, with notices.
        notice_required: whether an elevation waits until its notice was delivered.
        agents_may_elevate: by environment, kinds of program ("no-terminal", "gitlab-ci") that may elevate with a
            reason, a ticket and the cluster's name given for them; any other needs an approval.
    """

    window_seconds: float = 900.0
    max_window_seconds: float = 3600.0
    ticket_required: bool = False
    two_persons: tuple[Effect, ...] = ()
    approval_may_be_skipped: bool = False
    notice_required: bool = False
    agents_may_elevate: dict[str, tuple[str, ...]] = {}

    def waits_for_a_person(self, agent: str, environment: str) -> bool:
        """Return whether an agent's request needs a person's approval; "" is a person."""
        return bool(agent) and agent not in self.agents_may_elevate.get(environment, ())


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy.

    Attributes:
        name: as the configuration calls it.
        source: the file it was read from.
        hash: hexadecimal SHA-256 of that file's bytes.
        observe: it records what it would have said and stops nothing that the account may do.
        rules: in the order of the file.
        gates: the bounds of a fit node.
        limits: ceilings that hold where no rule tightens them.
        own_limits: names of those that its file sets; the others are built in.
        configured: names of those that the configuration tightens, or whose ceilings it does.
        extends: the policy that this one extends, "" for none.
        inherited: ids of the rules that are that one's; what none of them answers is denied.
        may_be_loosened: settings that a policy which extends this one may loosen, and "rules" where its rules may
            allow what no rule here answers.
        loosens: the settings of its base that this one loosens, each with how.
        ceilings: how far a person may raise them.
        sensors: what must be readable while any statement runs.
        literals: what the journal keeps of statements' literals.
        masks: columns whose values are not given to agents, or to nobody.
        own_masks: names of those that its own file has.
        keep_rows: how many rows of one change are kept to undo it, by "schema.table" or "schema.*"; none of others.
        keep_rows_days: how long, > 0.
    """

    name: str
    source: str
    hash: str
    observe: bool
    rules: tuple[Rule, ...]
    gates: Gates
    limits: Limits
    ceilings: Limits
    elevation: ElevationSettings
    literals: LiteralRules
    slots: Slots = msgspec.field(default_factory=Slots)
    transactions: TransactionSettings = msgspec.field(default_factory=TransactionSettings)
    sensors: tuple[SensorName, ...] = ()
    fences: FenceSettings = msgspec.field(default_factory=FenceSettings)
    masks: tuple[MaskRule, ...] = ()
    own_masks: frozenset[str] = frozenset()
    keep_rows: Mapping[str, int] = msgspec.field(default_factory=dict)
    keep_rows_days: float = 7.0
    own_limits: frozenset[str] = frozenset()
    configured: frozenset[str] = frozenset()
    extends: str = ""
    inherited: frozenset[str] = frozenset()
    may_be_loosened: frozenset[str] = frozenset()
    loosens: tuple[str, ...] = ()

    def kept_rows_of(self, statement: Statement) -> int:
        """Return how many rows of a change are kept, 0 for none: only where its values may be written down at all."""
        literals = self.literals.of_statement(statement)
        if len(statement.tables) != 1 or literals.rules or literals.strictest is not Treatment.KEEP:
            return 0
        (table,) = statement.tables
        if any(rule.is_about(table) for rule in self.masks):
            return 0
        return self.keep_rows.get(str(table), self.keep_rows.get(f"{table.schema}.*", 0))

    def masks_for(self, *, agent: bool) -> tuple[MaskRule, ...]:
        """Return the rules for columns that hold for an agent, or for a person."""
        return tuple(rule for rule in self.masks if agent or rule.everybody)

    def may_be_loosened_by(self, name: str) -> str:
        return "the configuration" if name in self.configured else f"policy {self.name}"

    @property
    def mode(self) -> str:
        """Its mode, as written in the file: "observe" or "enforce"."""
        return "observe" if self.observe else "enforce"

    @property
    def label(self) -> str:
        """Name and the first twelve digits of the hash, as in decisions and records."""
        return f"{self.name}@{self.hash[:12]}"


def judge(policy: Policy, facts: Mapping[str, object], *, limits: Limits | None = None) -> Decision:
    """Return the decision. Nothing matched, no rules, a rule that fails: DENY, and the message says so.

    Args:
        facts: one value for every name in `facts.FACTS`, from `facts_of`.
        limits: the session's own, from `session_limits`; the policy's when None.
    """
    matched: list[Rule] = []
    failed: list[tuple[Rule, str]] = []
    activation = offered(facts)
    for rule in policy.rules:
        outcome, why = match(rule.condition, activation)
        if outcome is Match.YES:
            matched.append(rule)
        elif outcome is Match.FAILED:
            failed.append((rule, why))
    start = policy.limits if limits is None else limits
    tightest, sources = _tightest(policy, start, matched)
    decision = Decision(
        verdict=Verdict.DENY,
        rules=tuple(rule.id for rule in policy.rules if rule in matched or rule in [each for each, _ in failed]),
        # A policy that only observes must not stop a statement by a limit either.
        limits=start if policy.observe else tightest,
        sensors=_needed(policy, start, ()) if policy.observe else _needed(policy, tightest, matched),
        limit_sources=sources,
        policy=policy.label,
        observed=policy.observe,
    )
    if failed:
        rule, why = failed[0]
        return replace(decision, message=f"rule {rule.id} cannot be judged, so nothing is allowed: {why}")
    brakes = () if policy.observe else tuple(rule for rule in matched if rule.brake)
    decision = replace(
        decision,
        brakes=tuple(rule.id for rule in brakes),
        asks_again=tuple(filled(rule.message, facts) for rule in brakes),
    )
    answers = [rule for rule in matched if rule.then is not None]
    if policy.inherited and not any(rule.id in policy.inherited for rule in answers):
        return replace(decision, message=f"policy {policy.name} denies: no rule of {policy.extends} allows this")
    if not answers:
        empty = "it has no rules" if not policy.rules else "no rule allows this"
        return replace(decision, message=f"policy {policy.name} denies: {empty}")
    return _answer(decision, answers, facts)


def judge_together(policies: tuple[Policy, ...], facts: Mapping[str, object], *, limits: Limits) -> Decision:
    """Return the strictest of several policies' decisions, under the tightest limits of all.

    Args:
        policies: at least one; the session's own first.
        limits: the session's own; the others begin with theirs.
    """
    first, *others = policies
    decisions = [judge(first, facts, limits=limits), *(judge(other, facts) for other in others)]
    if not others:
        return decisions[0]
    # One that only observes has no say beside one that enforces.
    enforcing = [decision for decision in decisions if not decision.observed] or decisions
    strictest = max(enforcing, key=lambda decision: decision.verdict)
    tightest = enforcing[0].limits
    for decision in enforcing[1:]:
        tightest = tighten(tightest, asdict(decision.limits))
    return replace(
        strictest,
        rules=tuple(dict.fromkeys(rule for decision in enforcing for rule in decision.rules)),
        limits=tightest,
        sensors=_each_once(name for decision in enforcing for name in decision.sensors),
        limit_sources=tuple(dict.fromkeys(source for decision in enforcing for source in decision.limit_sources)),
        policy=" and ".join(policy.label for policy in policies),
        brakes=tuple(dict.fromkeys(rule for decision in enforcing for rule in decision.brakes)),
        asks_again=tuple(dict.fromkeys(line for decision in enforcing for line in decision.asks_again)),
    )


def _answer(decision: Decision, answers: list[Rule], facts: Mapping[str, object]) -> Decision:
    verdict = max(rule.then for rule in answers if rule.then is not None)
    strictest = [rule for rule in answers if rule.then is verdict]
    message = next((text for rule in strictest if (text := filled(rule.message, facts))), "")
    instead = ""
    if verdict is not Verdict.ALLOW:
        # The danger's own alternative answers the question that was asked; a rule's can only be general.
        own = (filled(rule.instead, facts) for rule in strictest)
        instead = str(facts.get("stmt.instead", "")) or next((text for text in own if text), "")
        message = message or f"rule {strictest[0].id} says {verdict.word}"
    return replace(decision, verdict=verdict, message=message, instead=instead)


def _tightest(policy: Policy, start: Limits, matched: list[Rule]) -> tuple[Limits, tuple[str, ...]]:
    limits = start
    sources = {name: "session" for name in LIMIT_NAMES if getattr(start, name) != getattr(policy.limits, name)}
    for rule in matched:
        tighter = tighten(limits, dict(rule.limits))
        sources |= {name: rule.id for name in LIMIT_NAMES if getattr(tighter, name) != getattr(limits, name)}
        limits = tighter
    return limits, tuple(f"{name}: {source}" for name, source in sources.items())


def _needed(policy: Policy, limits: Limits, matched: Iterable[Rule]) -> tuple[SensorName, ...]:
    floor = (SensorName.FREE_MEMORY,) if limits.free_memory_bytes else ()
    return _each_once((*policy.sensors, *(name for rule in matched for name in rule.sensors), *floor))


def _each_once(names: Iterable[SensorName]) -> tuple[SensorName, ...]:
    named = frozenset(names)
    return tuple(name for name in SensorName if name in named)


def capped(policy: Policy, caps: Mapping[str, float]) -> Policy:
    """Return a policy whose limits and ceilings are no looser than the configuration's.

    Raises ValueError: an unknown name, or a value outside its range.
    """
    tighter = dict(caps)
    limits, ceilings = tighten(policy.limits, tighter), tighten(policy.ceilings, tighter)
    configured = frozenset(
        name
        for name in caps
        if (getattr(limits, name), getattr(ceilings, name))
        != (getattr(policy.limits, name), getattr(policy.ceilings, name))
    )
    return replace(policy, limits=limits, ceilings=ceilings, configured=configured)


def session_limits(policy: Policy, asked: Mapping[str, float]) -> Limits:
    """Return the policy's limits with what a person or a flag asks for.

    Args:
        asked: ceilings by name; tighter ones always, looser ones up to the policy's ceilings.

    Raises:
        ConfigurationError: an unknown ceiling, a value outside its range, or above the policy's maximum.
    """
    for name, value in asked.items():
        if name not in LIMIT_NAMES:
            raise ConfigurationError(f"unknown limit {name}", instead=f"one of {', '.join(LIMIT_NAMES)}")
        ceiling = getattr(policy.ceilings, name)
        if not (value >= ceiling if name in FLOORS else value <= ceiling):
            past = "is below the minimum" if name in FLOORS else "exceeds the maximum"
            raise ConfigurationError(
                f"{name} {value:,.15g} {past} of {policy.may_be_loosened_by(name)}",
                instead=f"{'at least' if name in FLOORS else 'at most'} {ceiling:,.15g}, the ceiling there",
            )
    try:
        return replaced(policy.limits, asked)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def replaced(limits: Limits, values: Mapping[str, float]) -> Limits:
    """Return the limits with the named ceilings replaced. Raises ValueError: an unknown name or invalid value."""
    changes: dict[str, float] = {}
    for name, value in values.items():
        if name not in LIMIT_NAMES:
            raise ValueError(f"unknown limit {name}")
        current = getattr(limits, name)
        # An int() of infinity or of a NaN raises errors of other kinds.
        if not isfinite(value) or (isinstance(current, int) and value != int(value)):
            raise ValueError(f"{name} cannot be {value:g}")
        changes[name] = type(current)(value)
    return replace(limits, **changes)


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
