"""What a person is shown before they are asked, and what a statement would be decided as."""

from __future__ import annotations

from safeconsole.cluster.engine import Connection
from safeconsole.cluster.routing import Choice
from safeconsole.dialects import DIALECTS
from safeconsole.errors import DeniedError
from safeconsole.policy.decision import Considered, Decision, Facts, addressed, judged_as_asked
from safeconsole.policy.facts import Circumstances, facts_of
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import Policy, judge
from safeconsole.policy.readings import Reading, route_of
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement

# --------------------------------------------------------------------------------------------------------------------
# What a person is shown before they are asked: facts measured, one line each, the telling ones first.


def evidence_of(statement: Statement, choice: Choice, estimate: Estimate, decision: Decision) -> tuple[str, ...]:
    """
    Return the lines behind a decision.

    Args:
        statement: what was asked.
        choice: where it would go; without a node every node's reason is a line.
        estimate: the server's own opinion.
        decision: what the policy said.
    """
    node = _node_line(choice.reading) if choice.reading else ()
    nowhere = choice.reasons if choice.reading is None else ()
    lines = (
        *node,
        *nowhere,
        *_statement_lines(statement),
        *(_cap_line(statement, choice.reading) if choice.reading else ()),
        *_estimate_lines(estimate),
        *_rule_line(decision),
    )
    return tuple(dict.fromkeys(lines))


def evidence_of_nodes(readings: tuple[Reading, ...]) -> tuple[str, ...]:
    """Return one line a node: what it proved to be, and how it is."""
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
    return (f"time limit: {dialect.flavour} has none of its own for this; the console's watchdog alone ends it",)


def _estimate_lines(estimate: Estimate) -> tuple[str, ...]:
    if not estimate.asked:
        return ()
    lines = []
    if estimate.rows >= 0:
        lines.append(
            f"estimate: the server expects to examine {estimate.rows:,} row{'' if estimate.rows == 1 else 's'}"
        )
    if estimate.full_scans:
        lines.append(f"read whole: {', '.join(estimate.full_scans)}")
    lines += [f"hazard: {hazard.id} ({hazard.cost}): {hazard.why}" for hazard in estimate.hazards]
    if estimate.objection:
        lines.append(f"the server objects: {estimate.objection}")
    return tuple(lines)


def _rule_line(decision: Decision) -> tuple[str, ...]:
    return (f"rule: {', '.join(decision.rules) or 'none allows it'} ({decision.policy})",)


def _mib(count: int) -> str:
    return f"{count / 1024 / 1024:.0f} MiB"


# --------------------------------------------------------------------------------------------------------------------
# What would be decided, from the text and the policy alone: no server is asked.


def preview(
    statement: Statement, *, policy: Policy, circumstances: Circumstances, to: str = "", limits: Limits | None = None
) -> Considered:
    """
    Consider a statement as if its route led to a fit node of that role.

    Args:
        statement: the analysed text.
        policy: the rules.
        circumstances: who asks, from where, about which cluster.
        to: "replica" or "primary" when the person asked for one.
        limits: the session's own; the policy's when None.
    """
    route, estimate = route_of(statement, to=to), Estimate()

    def judged(statement: Statement) -> tuple[Facts, Decision]:
        facts = facts_of(statement, route=route, reading=None, estimate=estimate, circumstances=circumstances)
        return facts, judge(policy, facts, limits=limits)

    statement, facts, decision = judged_as_asked(statement, judged)
    decision = addressed(decision, circumstances.cluster, statement.hazards)
    return Considered(
        statement=statement,
        route=route,
        node=None,
        identity=None,
        estimate=estimate,
        decision=decision,
        evidence=evidence_of(statement, Choice(route=route, reading=None, reasons=()), estimate, decision),
        facts=facts,
        notes=statement.notes,
    )


def require_alike(statement: Statement, connection: Connection, *, rules: LexicalRules, schema: str) -> None:
    """
    Refuse a statement that a server reads otherwise than it was analysed: nodes differ in version and sql_mode.

    Args:
        statement: as it was analysed.
        connection: where it would be sent.
        rules: what it was analysed by.
        schema: the session's.

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
    """Say what matters of how a server reads text."""
    modes = [
        name for name in ("ansi_quotes", "no_backslash_escapes", "pipes_as_concat", "oracle") if getattr(rules, name)
    ]
    return f"{rules.dialect.flavour} {rules.version}, {', '.join(modes) or 'default sql_mode'}"
