"""Decides on a statement: policies in force, estimate, rules, and evidence for the person."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from safeconsole.cluster.engine import Connection
from safeconsole.cluster.routing import Choice
from safeconsole.dialects import DIALECTS
from safeconsole.errors import LOCK_WAIT, DeniedError, RefusedError, SafeConsoleError, StoppedError
from safeconsole.policy.decision import (
    Assessment,
    Decision,
    Facts,
    Permit,
    addressed,
    judged_as_asked,
    with_disagreement,
    with_masking,
)
from safeconsole.policy.facts import Circumstances, facts_of
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import Policy, is_heavy, judge, judge_together, session_limits
from safeconsole.policy.readings import Reading, route_of, tightest_gates
from safeconsole.sqltext.analysis import analyse, read_within
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import Handling
from safeconsole.sqltext.masking import NOTHING_MASKED, Masking, masking_of
from safeconsole.sqltext.redaction import redacted_message
from safeconsole.sqltext.rewriting import NotRewrittenError, keep_order_of
from safeconsole.sqltext.statement import Behind, Estimate, Statement, is_misspelt_perhaps, is_no_statement
from safeconsole.sqltext.undoing import KeepOrder
from safeconsole.sqltext.vocabulary import Account, Effect, Route, Verdict

Reread = Callable[[], Policy]
"""Returns the policy as its file is now; the same object while nothing changed. Raises PolicyInvalidError."""


class PoliciesInForce:
    """A session's policies; what changes while it lasts can only tighten it.

    Attributes:
        held: that one, and what the file holds now if it is another; the same object while nothing changes.
        gates: what a node must offer; the same object, too.
        news: what is to be said of a file that changed, as of the last look, or "".
        limits: what holds for a statement before its rules tighten it.

    Args:
        asked: the limits that the person asked for, by name.
        reread: looks at the file, None where there is none to look at.
    """

    def __init__(self, policy: Policy, asked: Mapping[str, float], reread: Reread | None = None) -> None:
        self.begun = policy
        self.limits, self._asked = session_limits(policy, asked), dict(asked)
        self._reread = reread
        self.held: tuple[Policy, ...] = (policy,)
        self.hashes: tuple[str, ...] = (policy.hash,)
        self.news = ""
        self.gates = policy.gates

    def look(self) -> str:
        """Check the policy file; return a warning if it changed since the session began, else "".

        Raises:
            PolicyInvalidError: what it holds now is no policy; nothing is allowed by it.
        """
        now = self._reread() if self._reread else self.begun
        if now.hash != self.held[-1].hash:
            changed = now.hash != self.begun.hash
            self.held = (self.begun, now) if changed else (self.begun,)
            self.news = (
                f"the policy's file has changed since this session began: it is {now.label} now" if changed else ""
            )
            self.hashes = tuple(policy.hash for policy in self.held)
            self.gates = tightest_gates(*(policy.gates for policy in self.held))
        return self.news

    def tighten(self, name: str, value: float) -> Limits:
        """Set one ceiling for the session: tighter always, looser up to the policy's ceilings.

        Raises:
            ConfigurationError: it is unknown, out of range, or looser than the policy allows.
        """
        asked = {**self._asked, name: value}
        self.limits, self._asked = session_limits(self.begun, asked), asked
        return self.limits

    def hold_asked(self, permit: Permit) -> None:
        """Adopt the limits of a SET statement that succeeded."""
        for ask in permit.statement.asks if permit.statement.kind == "set" else ():
            # A policy that only observes lets more pass; the read-back of the guards then ends that connection.
            if ask.value <= getattr(permit.limits, ask.limit):
                self.tighten(ask.limit, ask.value)

    def keep_order(self, statement: Statement, rules: LexicalRules, *, schema: str) -> KeepOrder | None:
        """Return which rows of a change to keep, None if the policy keeps none."""
        most = self.begun.kept_rows_of(statement) if statement.kind in {"update", "delete"} else 0
        if not most:
            return None
        days = self.begun.keep_rows_days
        try:
            return keep_order_of(statement, rules, schema=schema, most_rows=most, days=days)
        except NotRewrittenError as error:
            return KeepOrder(
                table="", source="", limited=False, changed=(), most_rows=most, days=days, lacks=str(error)
            )

    def undo_lines(self, statement: Statement) -> tuple[str, ...]:
        """Return what a person should know of the undo of a change before it runs; nothing where none is kept."""
        most = self.begun.kept_rows_of(statement) if statement.kind in {"update", "delete"} else 0
        if not most:
            return ()
        kept = f"undo: up to {most:,} of its rows are kept for {self.begun.keep_rows_days:g} days"
        more = (
            "what a foreign key or a trigger changes with it is not put back, and no row is kept where one is seen to"
        )
        return (f"{kept}; {more}",)

    def masking_of(self, statement: Statement, estimate: Estimate, rules: LexicalRules, *, agent: bool) -> Masking:
        """Return what is done about the columns that any of the policies masks; see `masking.masking_of`."""
        masks = tuple(dict.fromkeys(rule for policy in self.held for rule in policy.masks_for(agent=agent)))
        if not masks or is_no_statement(statement, estimate):
            return NOTHING_MASKED
        return masking_of(statement, estimate.behind, masks, rules, agent=agent)

    def judge(self, facts: Mapping[str, object], limits: Limits) -> Decision:
        return judge_together(self.held, facts, limits=limits)


_NOT_ASKED = Behind(
    effects=frozenset({Effect.UNKNOWN}), reasons=("the server could not be asked about the tables and views it names",)
)
_UNASKED = Estimate()


def is_estimated(statement: Statement) -> bool:
    """Whether a server gives an estimate: for what reads or changes tables, and for what may be misspelt."""
    if statement.changes_nothing and Effect.READ in statement.effects:
        return True
    return bool({Effect.READ, Effect.WRITE} & statement.effects and statement.tables) or is_misspelt_perhaps(statement)


def estimate_of_no_read(
    statement: Statement, connection: Connection | None, rules: LexicalRules, schema: str
) -> Estimate:
    """Return the estimate of a statement that is no plain read: rows a change examines, or the server's objection.

    It is evidence for the person, who is asked anyway: a server that does not answer refuses nothing.

    Args:
        connection: a reading one, None where there is none.
    """
    if not ({Effect.READ, Effect.WRITE} & statement.effects and statement.tables):
        opinion = _asked_quietly(statement, connection)
        return Estimate(asked=opinion.asked, objection=opinion.objection, objection_code=opinion.objection_code)
    changes_rows = statement.effects == {Effect.WRITE}
    read = read_within(statement, rules, schema=schema) if changes_rows else None
    sought = Estimate()
    if read is not None and connection is not None and _is_alike(statement, connection, rules, schema):
        sought = _asked_quietly(read, connection)
        # Ignore this objection: if the read account lacks access or a name is wrong, the change reports it.
        sought = Estimate() if sought.objection else sought
    behind = _asked_quietly(statement, connection, silent=Estimate(behind=_NOT_ASKED)).behind
    return replace(sought, behind=_NOT_ASKED if connection is None or connection.broken else behind)


def _asked_quietly(statement: Statement, connection: Connection | None, silent: Estimate = _UNASKED) -> Estimate:
    if connection is None:
        return silent
    try:
        return connection.estimate(statement)
    except SafeConsoleError:
        return silent


def _is_alike(statement: Statement, connection: Connection, rules: LexicalRules, schema: str) -> bool:
    try:
        require_alike(statement, connection, rules=rules, schema=schema)
    except DeniedError:
        return False
    return True


def quoting_no_secret(estimate: Estimate, statement: Statement, rules: LexicalRules) -> Estimate:
    """Return the estimate without secrets that the server quoted, fit to be shown and recorded."""
    if not estimate.objection:
        return estimate
    return replace(estimate, objection=redacted_message(estimate.objection, statement.text, Handling(rules=rules)))


class DecisionInput(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a decision, apart from the statement.

    Attributes:
        choice: the node, or why there is none.
        route: where a statement of its kind belongs.
        account: see `Assessment`.
    """

    choice: Choice
    estimate: Estimate
    route: Route
    limits: Limits
    account: Account = Account.READ


def judged(
    statement: Statement,
    found: DecisionInput,
    circumstances: Circumstances,
    policies: PoliciesInForce,
    rules: LexicalRules,
) -> tuple[Statement, Facts, Decision]:
    """Return a statement with what it asks of its limits, the facts that it was judged on, and the decision.

    Args:
        rules: how the servers read it.
    """
    masking = policies.masking_of(statement, found.estimate, rules, agent=circumstances.agent)
    # The server's opinion of what is refused would answer guesses about values.
    reading, estimate = found.choice.reading, Estimate() if masking.refusal else found.estimate

    def judge_it(statement: Statement) -> tuple[Facts, Decision]:
        facts = facts_of(statement, route=found.route, reading=reading, estimate=estimate, circumstances=circumstances)
        return facts, policies.judge(facts, found.limits)

    statement, facts, decision = judged_as_asked(statement, judge_it)
    return statement, facts, with_masking(with_disagreement(decision, estimate, found.choice.route), masking)


def assessment_of(
    statement: Statement,
    found: DecisionInput,
    facts: Facts,
    decision: Decision,
    *,
    cluster: str,
    policies: PoliciesInForce,
) -> Assessment:
    """Return a decision with its inputs and its evidence."""
    choice, masking = found.choice, decision.masking
    decision = addressed(decision, cluster, statement.hazards)
    estimate = Estimate() if masking.refusal else found.estimate
    told = (f"{policies.news}; the stricter of both holds here",) if policies.news else ()
    return Assessment(
        statement=statement,
        route=choice.route if choice.reading else found.route,
        node=choice.reading.node if choice.reading else None,
        identity=choice.reading.identity if choice.reading else None,
        estimate=estimate,
        decision=decision,
        evidence=(*evidence_of(statement, choice, estimate, decision), *policies.undo_lines(statement)),
        facts=facts,
        notes=(*choice.notes, *statement.notes, *filter(None, (masking.note,)), *told),
        heavy=is_heavy(policies.begun.slots, facts),
        account=found.account,
        way_out=choice.way_out,
    )


def evidence_of(statement: Statement, choice: Choice, estimate: Estimate, decision: Decision) -> tuple[str, ...]:
    """Return the lines behind a decision.

    Args:
        choice: where it would go; without a node every node's reason is a line.
    """
    node = _node_line(choice.reading) if choice.reading else ()
    nowhere = choice.reasons if choice.reading is None else ()
    lines = (
        *node,
        *nowhere,
        *_statement_lines(statement),
        *(_cap_line(statement, choice.reading) if choice.reading else ()),
        *_estimate_lines(estimate),
        *(f"careful: {line}" for line in decision.asks_again),
        *_rule_line(decision),
    )
    return tuple(dict.fromkeys(lines))


def evidence_of_nodes(readings: tuple[Reading, ...]) -> tuple[str, ...]:
    """Return one line for each node: its proven role and its readings."""
    return tuple(
        f"node: {reading.node}: unreachable: {reading.unreachable}" if reading.unreachable else _node_line(reading)[0]
        for reading in readings
    )


def _node_line(reading: Reading) -> tuple[str, ...]:
    parts = [f"node: {reading.node}, a {reading.role} ({reading.proof})"]
    if reading.lag_seconds is not None:
        parts.append(f"lag {reading.lag_seconds:.1f} s")
    parts.append(
        "free memory unknown" if reading.free_memory_bytes is None else f"free memory {_mib(reading.free_memory_bytes)}"
    )
    if reading.used_memory_bytes is not None:
        parts.append(f"server memory {_mib(reading.used_memory_bytes)}")
    if reading.threads_running is not None:
        parts.append(f"{reading.threads_running} threads running")
    parts.append("number of tables unknown" if reading.tables is None else f"at least {reading.tables:,} tables")
    return (", ".join(parts),)


def _statement_lines(statement: Statement) -> tuple[str, ...]:
    lines = [f"statement: {statement.kind}, effects {', '.join(sorted(statement.effects))}"]
    if statement.tables:
        lines.append(f"tables: {', '.join(dict.fromkeys(str(table) for table in statement.tables))}")
    if not statement.tables_known:
        lines.append("tables: not all could be read from the text")
    lines += [f"hazard: {hazard.id} ({hazard.cost}): {hazard.why}" for hazard in statement.hazards]
    lines += [f"because: {reason}" for reason in statement.reasons]
    return tuple(lines)


def _cap_line(statement: Statement, reading: Reading) -> tuple[str, ...]:
    dialect = None if reading.flavour is None else DIALECTS[reading.flavour]
    if dialect is None or not dialect.has_time_limit or dialect.ends_by_itself(statement):
        return ()
    return (f"time limit: {dialect.flavour} has none for this statement; only the console's watchdog ends it",)


def _estimate_lines(estimate: Estimate) -> tuple[str, ...]:
    if not estimate.asked:
        return ()
    lines = []
    if estimate.rows >= 0:
        lines.append(
            f"estimate: the server expects to examine {estimate.rows:,} row{'' if estimate.rows == 1 else 's'}"
        )
    if estimate.full_scans:
        lines.append(f"full scan: {', '.join(estimate.full_scans)}")
    lines += [f"hazard: {hazard.id} ({hazard.cost}): {hazard.why}" for hazard in estimate.hazards]
    if estimate.waits:
        lines.append(f"lock: the server told no plan, since it waited for a {estimate.waits}")
    if estimate.objection:
        lines.append(f"the server objects: {estimate.objection}")
    return tuple(lines)


def _rule_line(decision: Decision) -> tuple[str, ...]:
    return (f"rule: {', '.join(decision.rules) or 'none allows it'} ({decision.policy})",)


def _mib(count: int) -> str:
    return f"{count / 1024 / 1024:.0f} MiB"


def preview(
    statement: Statement,
    *,
    policy: Policy,
    circumstances: Circumstances,
    rules: Callable[[], LexicalRules],
    to: str = "",
    limits: Limits | None = None,
) -> Assessment:
    """Decide on a statement as if a fit node of its route's role existed; asks no server.

    Args:
        rules: how a server reads it; called where columns are masked.
        circumstances: who asks, from where, about which cluster.
        to: "replica" or "primary" when the person asked for one.
        limits: the session's own; the policy's when None.
    """
    route, estimate = route_of(statement, to=to), Estimate()

    def judged(statement: Statement) -> tuple[Facts, Decision]:
        facts = facts_of(statement, route=route, reading=None, estimate=estimate, circumstances=circumstances)
        return facts, judge(policy, facts, limits=limits)

    statement, facts, decision = judged_as_asked(statement, judged)
    masks = policy.masks_for(agent=circumstances.agent)
    if masks:
        masking = masking_of(statement, Behind(), masks, rules(), agent=circumstances.agent)
        decision = with_masking(decision, masking)
    decision = addressed(decision, circumstances.cluster, statement.hazards)
    return Assessment(
        statement=statement,
        route=route,
        node=None,
        identity=None,
        estimate=estimate,
        decision=decision,
        evidence=evidence_of(statement, Choice(route=route, reading=None, reasons=()), estimate, decision),
        facts=facts,
        notes=(*statement.notes, *filter(None, (decision.masking.note,))),
    )


def require_alike(statement: Statement, connection: Connection, *, rules: LexicalRules, schema: str) -> None:
    """Refuse a statement that the chosen server parses differently: nodes may differ in version and sql_mode.

    Args:
        connection: where it would be sent.

    Raises:
        DeniedError: it does not mean the same there.
    """
    theirs = connection.rules
    if theirs == rules:
        return
    if analyse(statement.text, theirs, schema=schema) != analyse(statement.text, rules, schema=schema):
        raise DeniedError(
            "this text does not mean the same on every node of the cluster: their version or sql_mode differ",
            evidence=(f"analysed for: {_words(rules)}", f"{connection.identity.address}: {_words(theirs)}"),
            instead="write it without executable comments, double quotes, backslashes and ||",
        )


def _words(rules: LexicalRules) -> str:
    modes = [
        name for name in ("ansi_quotes", "no_backslash_escapes", "pipes_as_concat", "oracle") if getattr(rules, name)
    ]
    return f"{rules.dialect.flavour} {rules.version}, {', '.join(modes) or 'default sql_mode'}"


def require_no_lock(considered: Assessment, *, goes_on: bool) -> None:
    """Stop a statement whose plan waited for a lock, before the person is asked about it.

    A change that nobody asked an elevation for is refused for that, with the lock as evidence.

    Args:
        goes_on: whether the person is elevated, or asks for it.

    Raises:
        StoppedError: nothing was sent.
    """
    verdict, waits = considered.decision.verdict, considered.estimate.waits
    goes_on = goes_on or considered.statement.changes_nothing or verdict is not Verdict.ELEVATE
    if waits and goes_on and verdict is not Verdict.DENY:
        raise StoppedError(
            f"{considered.node} did not come to plan it: it waits for a {waits}; nothing was sent",
            by="server",
            code=LOCK_WAIT,
            ceiling="lock_wait_seconds",
            verified="already over",
            instead="another session holds the lock: try again later",
        )


def require_allowed(considered: Assessment) -> None:
    """Refuse a query of the console's own unless its verdict is `allow`: the person is not asked for it."""
    if considered.decision.verdict is not Verdict.ALLOW:
        raise RefusedError(f"the console does not ask for this by itself: {considered.decision.message}")
