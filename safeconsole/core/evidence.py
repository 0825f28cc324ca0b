"""What a person is shown before they are asked: facts measured, one line each, the telling ones first."""

from __future__ import annotations

from safeconsole.core.decision import Decision
from safeconsole.core.routing import Choice, Reading
from safeconsole.core.server_caps import is_capped
from safeconsole.core.statement import Estimate, Statement
from safeconsole.core.vocabulary import Flavour


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
    flavour = reading.flavour
    if flavour in {None, Flavour.SQLITE} or is_capped(statement, flavour):
        return ()
    return (f"time limit: {flavour} has none of its own for this; the console's watchdog alone ends it",)


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
