"""Whether a statement may run, decided from facts alone.

The rules judge the facts (`policy.judge`); the strictest verdict and the tightest limits win; what a rule could not
judge is denied. A `Permit` is made here alone, and only from a decision whose demands are met.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from safeconsole.errors import Action, DeniedError, NoFitNodeError, RefusedError, Remedy
from safeconsole.policy.limits import Limits, tighten
from safeconsole.policy.readings import Identity
from safeconsole.policy.watchdog import SensorName
from safeconsole.sqltext.findings import ACTIONS
from safeconsole.sqltext.masking import NAME_THEM, NOTHING_MASKED, Masking
from safeconsole.sqltext.statement import Behind, Estimate, Hazard, Statement, begins
from safeconsole.sqltext.undoing import KeepOrder
from safeconsole.sqltext.vocabulary import Account, Effect, Isolation, NodeName, Route, Verdict

CAPACITY_COMMAND = "safeconsole capacity"
"""The command that hazards and rules recommend for sizes; CLUSTER may follow it."""


ITS_OWN_TEXT = "statement"
"""The source of a ceiling that the statement itself set."""

Facts = Mapping[str, object]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a statement may run on a node, and within which limits.

    Attributes:
        verdict: the strictest of all rules that matched.
        rules: ids of the rules that matched, in policy order.
        sensors: what must be readable while it runs, over all rules.
        limit_sources: for each ceiling that is not the default, "name: rule id".
        message: one line for the person, from the strictest rule.
        instead: a safer way, from the strictest rule or the first hazard, or "".
        policy: "name@first 12 digits of the hash".
        observed: the policy only observes; the verdict is what would have happened.
        brakes: ids of the rules for which even whoever is elevated is asked once more.
        asks_again: what those say, one line each.
        masking: which columns of its result are masked.
    """

    verdict: Verdict
    rules: tuple[str, ...]
    limits: Limits
    sensors: tuple[SensorName, ...] = ()
    limit_sources: tuple[str, ...] = ()
    message: str = ""
    instead: str = ""
    policy: str = ""
    observed: bool = False
    brakes: tuple[str, ...] = ()
    asks_again: tuple[str, ...] = ()
    masking: Masking = NOTHING_MASKED


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """The only thing that a connection sends; made by `permit_from_decision` alone.

    Attributes:
        statement: what will be sent, exactly its `text`.
        identity: the instance; the connection compares it before sending.
        route: the role the instance must still have.
        account: the account that may send it.
        sensors: what must be readable before it is sent, and while it runs.
        read_only: whether it runs inside a read-only transaction.
        rules: ids of the rules behind it.
        elevation: id of the grant behind it, or "".
        within: whether it belongs to a transaction that the person has open on that connection.
        idle_seconds: how long the transaction that it opens may be idle, 0 when it opens none.
        transactional: whether the engines of its tables undo what is not committed; None where nobody said.
        exactly_rows: how many rows the change must find, or all of it is rolled back; -1 for any number.
        keep: the rows of the change that are kept, so that it can be undone; None for none.
        isolation: of the transaction that it opens, None for the server's own.
        masking: which columns of its result are masked.
    """

    statement: Statement
    node: NodeName
    identity: Identity
    route: Route
    account: Account
    limits: Limits
    read_only: bool
    rules: tuple[str, ...]
    sensors: tuple[SensorName, ...] = ()
    elevation: str = ""
    within: bool = False
    idle_seconds: float = 0.0
    transactional: bool | None = None
    exactly_rows: int = -1
    keep: KeepOrder | None = None
    isolation: Isolation | None = None
    masking: Masking = NOTHING_MASKED

    @property
    def commits(self) -> bool:
        return self.within and self.account is Account.ELEVATED and self.statement.kind in {"commit", "end"}

    @property
    def changes(self) -> bool:
        return not self.read_only or self.commits


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """One statement with everything that was found out about it before anything ran.

    Attributes:
        node: the chosen node, or None when none was asked or none is fit.
        identity: the chosen instance, or None.
        evidence: readings and facts for the person, one line each.
        facts: the facts that the policy's rules were judged on, by the names of `facts.FACTS`.
        notes: what the person is told beside the result, such as that it may be stale.
        heavy: whether it takes one of its node's slots, where the policy bounds how many run at a time.
        account: what it is sent as where no elevation sends it.
        way_out: what helps where no node is fit, or "".
    """

    statement: Statement
    route: Route
    node: NodeName | None
    identity: Identity | None
    estimate: Estimate
    decision: Decision
    evidence: tuple[str, ...] = ()
    facts: Mapping[str, object] = msgspec.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    heavy: bool = False
    account: Account = Account.READ
    way_out: str = ""


STALE_READS = "a replica that you name is read although it is stale, and that is said"


def permit_from_decision(  # noqa: PLR0913 (what the permit depends on, each by name)
    considered: Assessment,
    *,
    grant: Grant | None,
    confirmed: bool,
    now_seconds: float,
    within: bool = False,
    idle_seconds: float = 0.0,
    exactly_rows: int = -1,
    keep: KeepOrder | None = None,
    isolation: Isolation | None = None,
    lapsed: str = "",
    lacks: str = "",
    by_a_person: bool = False,
) -> Permit:
    """Return the permit for a considered statement, or raise the reason why there is none.

    Args:
        grant: the elevation in force, if any.
        confirmed: whether the person confirmed exactly this statement; where the decision has brakes, under the
            elevation too.
        now_seconds: monotonic clock reading.
        within, idle_seconds, exactly_rows, keep, isolation: see `Permit`.
        lapsed: why a window that the person had is over, or "".
        lacks: why an elevation would not help, or "": then none is offered.
        by_a_person: whether somebody else has to approve an elevation.

    Raises:
        DeniedError: the verdict is deny.
        NoFitNodeError: no node was chosen.
        RefusedError: it needs an elevation or a confirmation that is missing.
    """
    decision, statement = considered.decision, considered.statement
    verdict = Verdict.ALLOW if decision.observed else decision.verdict
    node, identity = _destination(considered, verdict)
    elevated = grant is not None and covers(grant, statement.text, identity.server, now_seconds)
    if not elevated and (verdict is Verdict.ELEVATE or (verdict is Verdict.CONFIRM and not confirmed)):
        refusal = _unanswered(considered, verdict, grant=grant, by_a_person=by_a_person, lacks=lacks)
        raise refusal.replaced(evidence=(*refusal.evidence, lapsed)) if lapsed else refusal
    if elevated and decision.brakes and verdict is Verdict.ELEVATE and not confirmed:
        raise _braked(considered)
    # What the server calls no read would only fail inside a read-only transaction.
    reads = statement.changes_nothing and not considered.estimate.disagrees
    needs_elevated_account = elevated and verdict is Verdict.ELEVATE
    return Permit(
        statement=statement,
        node=node,
        identity=identity,
        route=considered.route,
        account=Account.ELEVATED if needs_elevated_account else considered.account,
        limits=decision.limits,
        sensors=decision.sensors,
        read_only=reads,
        rules=decision.rules,
        # Recorded even where the read account is used: without the grant the person would have been asked.
        elevation=grant.id if grant and elevated and verdict is not Verdict.ALLOW else "",
        within=within,
        idle_seconds=idle_seconds,
        transactional=_transactional(considered.estimate.behind),
        exactly_rows=exactly_rows,
        keep=keep if needs_elevated_account and not reads else None,
        isolation=isolation if isolation is not None and begins(statement) else None,
        masking=decision.masking,
    )


_TRANSACTIONAL = frozenset({"innodb", "rocksdb", "tokudb", "ndbcluster"})


def _transactional(behind: Behind) -> bool | None:
    engines = {engine.lower() for engine in behind.engines}
    unknown = not engines or "" in engines or Effect.UNKNOWN in behind.effects
    return None if unknown else engines <= _TRANSACTIONAL


def _unanswered(
    considered: Assessment, verdict: Verdict, *, grant: Grant | None, by_a_person: bool, lacks: str
) -> RefusedError:
    decision, cluster = considered.decision, str(considered.facts.get("cluster.name", ""))
    asks = Action.ELEVATE if verdict is Verdict.ELEVATE else Action.CONFIRM
    then = (Remedy(Action.GET_APPROVAL),) if by_a_person and asks is Action.ELEVATE else ()
    refusal = RefusedError(
        decision.message,
        code=f"needs-{'elevation' if asks is Action.ELEVATE else 'confirmation'}",
        evidence=considered.evidence,
        instead=decision.instead,
        # Who holds an elevation that does not cover this has been asked already.
        remedies=(Remedy(asks, of=cluster), *then) if grant is None else (),
    )
    if not lacks or asks is not Action.ELEVATE:
        return refusal
    way = "ask whoever administers the server; `safeconsole doctor --grants` prints what the accounts need"
    return refusal.replaced(evidence=(*refusal.evidence, lacks), instead=way, remedies=())


PREVIEWED = "as-previewed"
"""The brake of a change that is to find exactly the rows that were shown."""


def held_to_rows(considered: Assessment, exactly_rows: int) -> Assessment:
    """Return the assessment of a change held to an exact number of rows; it is confirmed as a brake is.

    Raises RefusedError: nothing would undo it where it finds others.
    """
    odd = [engine for engine in considered.estimate.behind.engines if engine.lower() not in _TRANSACTIONAL]
    if considered.statement.effects != {Effect.WRITE} or odd:
        why = f"{odd[0]} undoes nothing" if odd else "it does more than change rows"
        raise RefusedError(f"it cannot be held to {exactly_rows} rows: {why}", instead="run it without a preview")
    rows = f"{exactly_rows:,} row{'' if exactly_rows == 1 else 's'}"
    line = f"exactly the {rows} that were counted; another number is rolled back"
    decision = considered.decision
    decision = replace(decision, brakes=(*decision.brakes, PREVIEWED), asks_again=(*decision.asks_again, line))
    return replace(considered, decision=decision, evidence=(*considered.evidence, f"careful: {line}"))


def _braked(considered: Assessment) -> RefusedError:
    decision = considered.decision
    return RefusedError(
        f"elevated, and asked once more: {'; '.join(decision.asks_again)}",
        code="needs-confirmation",
        evidence=considered.evidence,
        instead=decision.instead,
        remedies=tuple(Remedy(Action.RELEASE_BRAKE, of=rule) for rule in decision.brakes),
    )


def _destination(considered: Assessment, verdict: Verdict) -> tuple[NodeName, Identity]:
    """Return where a statement may go. Raises DeniedError, NoFitNodeError: nowhere, with any elevation."""
    decision = considered.decision
    if verdict is Verdict.DENY:
        raise DeniedError(decision.message, evidence=considered.evidence, instead=decision.instead)
    if considered.node is None or considered.identity is None:
        reads = considered.statement.is_plain_read
        raise NoFitNodeError(
            "no healthy node available for this statement",
            evidence=considered.evidence,
            instead="" if considered.way_out == STALE_READS and not reads else considered.way_out,
            remedies=(Remedy(Action.NAME_NODE),) if considered.way_out == STALE_READS and reads else (),
        )
    return considered.node, considered.identity


def addressed(decision: Decision, cluster: str, hazards: Iterable[Hazard] = ()) -> Decision:
    """Return the decision with its command for safe sizes completed for its cluster, ready to be copied.

    Args:
        hazards: the statement's own; if all concern one schema, the command does too.
    """
    if not cluster or CAPACITY_COMMAND not in decision.instead:
        return decision
    schemas = {hazard.schema for hazard in hazards}
    schema = schemas.pop() if len(schemas) == 1 else ""
    # A name that does not show must not be copied.
    only = f" --schema {shlex.quote(schema)}" if schema.isprintable() and schema else ""
    command = f"{CAPACITY_COMMAND} {shlex.quote(cluster)}{only}"
    plain = decision.instead.replace(f"{CAPACITY_COMMAND} CLUSTER", CAPACITY_COMMAND)
    return replace(decision, instead=plain.replace(CAPACITY_COMMAND, command))


def judged_as_asked(
    statement: Statement, judge: Callable[[Statement], tuple[Facts, Decision]]
) -> tuple[Statement, Facts, Decision]:
    """Judge a statement whose own text may set ceilings: tighter ones are in force, looser ones are a hazard.

    Args:
        judge: by the policy, with the facts that it judges on.

    Returns:
        The statement, with that hazard if any; its facts; and the decision under its own ceilings.
    """
    facts, decision = judge(statement)
    excess = [ask for ask in statement.asks if ask.value > getattr(decision.limits, ask.limit)]
    if excess:
        known = {hazard.id for hazard in statement.hazards}
        lifting = {
            ask.lifts: replace(ACTIONS[ask.lifts], why=f"{ask.words}: {ACTIONS[ask.lifts].why}") for ask in excess
        }
        added = tuple(hazard for name, hazard in lifting.items() if name not in known)
        statement = replace(statement, hazards=(*statement.hazards, *added))
        return statement, *judge(statement)
    limits = decision.limits
    for ask in statement.asks:
        limits = tighten(limits, {ask.limit: ask.value})
    if limits == decision.limits:
        return statement, facts, decision
    named = {ask.limit: f"{ask.limit}: {ITS_OWN_TEXT}" for ask in statement.asks}
    others = tuple(source for source in decision.limit_sources if source.split(": ", 1)[0] not in named)
    return statement, facts, replace(decision, limits=limits, limit_sources=(*others, *named.values()))


def with_disagreement(decision: Decision, estimate: Estimate, route: Route) -> Decision:
    """Return the decision after the server's contradiction: a statement it calls no read needs an elevation.

    Args:
        route: where it would go; a change never runs on a replica, with any elevation.
    """
    verdict = Verdict.ELEVATE if route is Route.PRIMARY else Verdict.DENY
    if not estimate.disagrees or decision.verdict >= verdict:
        return decision
    look = "look at the views and functions it uses"
    return replace(
        decision,
        verdict=verdict,
        rules=(*decision.rules, "server-disagrees"),
        message=f"this was analysed as a read, but the server says: {estimate.objection}",
        instead=f"{look}; if it must run, elevate" if route is Route.PRIMARY else f"{look}; send it to the primary",
    )


MASKED_COLUMNS = "masked-columns"
"""What stands among the rules where a masked column decides."""


def with_masking(decision: Decision, masking: Masking) -> Decision:
    """Return the decision with what is masked, and a denial of what would give masked values away.

    That holds while a policy only observes, too. The facts it was made on MUST hold no estimate of what is denied: the
    rules that match would answer guesses.
    """
    if not masking.refusal:
        return replace(decision, masking=masking) if masking.rules else decision
    denied = replace(decision, rules=(*decision.rules, MASKED_COLUMNS), observed=False, masking=masking)
    if decision.verdict is Verdict.DENY:
        return denied
    return replace(denied, verdict=Verdict.DENY, message=masking.refusal, instead=masking.instead)


def not_maskable(masking: Masking, why: str) -> DeniedError:
    """Return the refusal of a result whose masked columns cannot be masked."""
    names = ", ".join(rule.name for rule in masking.masked or masking.rules)
    return DeniedError(f"{names} is masked, and this result cannot be: {why}", instead=NAME_THEM)


# A grant exists only in state GRANTED, is bound to one cluster, and for the scope STATEMENT also to one exact text
# and one server identity, for one attempt. Every way out of GRANTED is final.


class Scope(StrEnum):
    STATEMENT = "statement"
    BREAK_GLASS = "break-glass"


class ElevationState(StrEnum):
    ASKED = "asked"
    GRANTED = "granted"
    DECLINED = "declined"
    EXPIRED = "expired"
    STOOD_DOWN = "stood-down"
    REVOKED = "revoked"


def exact_of(text: str) -> str:
    """Return the hexadecimal SHA-256 of a statement exactly as written, which a grant of it is bound to.

    It MUST NOT be written down where the text holds something that is hidden there: who has it can try guesses.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class ElevationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A person's request for an elevation.

    Attributes:
        scope: one statement, or a window.
        reason: in the person's words, not blank.
        ticket: reference of the incident or change, or "".
        digest: the statement's digest for scope STATEMENT, else ""; statements that differ in literals share it.
        exact: `exact_of` its text for scope STATEMENT, else "".
        statement: its number in the session for scope STATEMENT, else -1.
        schema: the session's schema for scope STATEMENT, else "".
        server: the identity of the instance for scope STATEMENT, else "".
        window_seconds: duration, > 0.
        evidence: for a window, the nodes as they were measured for the question, one line each.

    Raises:
        ValueError: a blank reason, a window that is not positive, a statement scope bound to nothing.
    """

    cluster: str
    scope: Scope
    reason: str
    ticket: str = ""
    digest: str = ""
    exact: str = ""
    statement: int = -1
    schema: str = ""
    server: str = ""
    window_seconds: float = 900.0
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("an elevation needs a reason")
        if not self.window_seconds > 0:
            raise ValueError(f"an elevation needs a positive window: {self.window_seconds}")
        if self.scope is Scope.STATEMENT and not (self.digest and self.exact and self.server):
            raise ValueError("an elevation of one statement is bound to its text and a server")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """An elevation in force.

    Attributes:
        granted_seconds: monotonic reading at its begin.
        ends_seconds: monotonic reading at its end.
        state: GRANTED, or how it ended.
        tables: what a window is for, as far as it is known: see the fact `elevation.tables`.
    """

    id: str
    request: ElevationRequest
    granted_seconds: float
    ends_seconds: float
    state: ElevationState = ElevationState.GRANTED
    tables: tuple[str, ...] = ()


def covers(grant: Grant, text: str, server: str, now_seconds: float) -> bool:
    """Whether a grant is in force for a statement, exactly as written, on an instance.

    Time that runs backwards ends it: a reading before the grant began proves nothing.
    """
    if grant.state is not ElevationState.GRANTED or not grant.granted_seconds <= now_seconds < grant.ends_seconds:
        return False
    if grant.request.scope is Scope.BREAK_GLASS:
        return True
    return grant.request.server == server and grant.request.exact == exact_of(text)
