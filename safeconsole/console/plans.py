"""A server's plan as a tree, and EXPLAIN of a statement."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from safeconsole.console.running import HeldRows, held_result
from safeconsole.console.state import ConsoleState
from safeconsole.dialects.queries import explain_sql
from safeconsole.errors import ConfigurationError
from safeconsole.output.formats import render
from safeconsole.output.text import counted, safe
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.statement import Statement

# Reads the two JSON forms of MySQL, the one of MariaDB, and SQLite's list of steps. Source: MySQL 9.7 reference
# manual, "EXPLAIN Output Format"; MariaDB knowledge base, "EXPLAIN FORMAT=JSON".


DEAR_ROWS = 100_000
"""A step that expects more rows than this is marked."""


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan.

    Attributes:
        details: what is expected of it, each a few words.
        marks: why it may be dear, each a few words.
    """

    label: str
    details: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    steps: tuple[PlanStep, ...] = ()


def steps_from_json(text: str) -> tuple[PlanStep, ...]:
    """Return the steps of a plan in JSON. Raises ValueError: it is no JSON object."""
    plan = json.loads(text)
    if not isinstance(plan, dict):
        raise ValueError("a plan is a JSON object")  # noqa: TRY004 (what is wrong is the text's value)
    # MySQL's second form wraps the plan beside the query's text.
    plan = plan.get("query_plan", plan)
    return (_operation(plan),) if "operation" in plan else tuple(_structure(plan))


def steps_from_rows(rows: Sequence[Sequence[Any]]) -> tuple[PlanStep, ...]:
    """Return the steps of SQLite's `EXPLAIN QUERY PLAN`: id, parent, an unused value, the step."""

    def below(parent: int) -> tuple[PlanStep, ...]:
        return tuple(
            PlanStep(label=str(row[3]), marks=_sqlite_marks(str(row[3])), steps=below(row[0]))
            for row in rows
            if row[1] == parent and row[0] != parent
        )

    return below(0)


def plan_text(steps: Sequence[PlanStep], *, decorated: bool) -> str:
    return "".join(f"{line}\n" for line in _lines(steps, "", decorated=decorated))


def _lines(steps: Sequence[PlanStep], indent: str, *, decorated: bool) -> Iterator[str]:
    branch, corner, trunk = ("├─ ", "└─ ", "│  ") if decorated else ("|- ", "`- ", "|  ")
    for at, step in enumerate(steps, start=1):
        last = at == len(steps)
        text = safe(step.label)
        if step.details:
            text += f"  ({', '.join(step.details)})"
        if step.marks:
            marks = f"! {', '.join(step.marks)}"
            text += f"  \x1b[1;31m{marks}\x1b[0m" if decorated else f"  {marks}"
        yield f"{indent}{corner if last else branch}{text}"
        yield from _lines(step.steps, indent + ("   " if last else trunk), decorated=decorated)


def _operation(node: dict[str, Any]) -> PlanStep:
    label = str(node.get("operation", "step"))
    rows = _number(node.get("estimated_rows"))
    details = [counted(round(rows), "row")] if rows is not None else []
    cost = _number(node.get("estimated_total_cost"))
    if cost is not None:
        details.append(f"cost {cost:,.2f}")
    marks = []
    if label.lower().startswith(("table scan", "index scan")):
        marks.append("full scan")
    if label.lower().startswith("sort"):
        marks.append("sorts")
    if "temporary" in label.lower():
        marks.append("temporary table")
    inputs = [part for part in node.get("inputs", ()) if isinstance(part, dict)]
    return PlanStep(
        label=label,
        details=tuple(details),
        marks=(*marks, *_many(rows)),
        steps=tuple(_operation(part) for part in inputs),
    )


def _structure(node: dict[str, Any]) -> Iterator[PlanStep]:
    for key, value in node.items():
        if key == "table" and isinstance(value, dict):
            yield _table(value)
        elif isinstance(value, dict) and _has_steps(value):
            yield PlanStep(
                label=key.replace("_", " "),
                details=_costs(value),
                marks=_flags(key, value),
                steps=tuple(_structure(value)),
            )
        elif isinstance(value, list):
            parts = [part for part in value if isinstance(part, dict)]
            inner = tuple(step for part in parts for step in _structure(part))
            if inner:
                yield PlanStep(label=key.replace("_", " "), steps=inner)


def _table(table: dict[str, Any]) -> PlanStep:
    access = str(table.get("access_type", ""))
    label = f"{table.get('table_name', 'table')} by {access}" if access else str(table.get("table_name", "table"))
    if table.get("key"):
        label += f" on {table['key']}"
    rows = _number(table.get("rows_examined_per_scan", table.get("rows")))
    details = [counted(round(rows), "row")] if rows is not None else []
    filtered = _number(table.get("filtered"))
    if filtered is not None and filtered < 100:
        details.append(f"{filtered:g} % kept")
    marks = ["full scan"] if access.lower() in {"all", "index"} else []
    return PlanStep(
        label=label,
        details=(*details, *_costs(table)),
        marks=(*marks, *_flags("table", table), *_many(rows)),
        steps=tuple(_structure({key: value for key, value in table.items() if key != "table"})),
    )


def _has_steps(node: dict[str, Any]) -> bool:
    return any(
        key == "table"
        or (isinstance(value, dict) and _has_steps(value))
        or (isinstance(value, list) and any(isinstance(part, dict) and _has_steps(part) for part in value))
        for key, value in node.items()
    )


def _costs(node: dict[str, Any]) -> tuple[str, ...]:
    info = node.get("cost_info")
    info = info if isinstance(info, dict) else {}
    cost = _number(info.get("query_cost", info.get("prefix_cost", node.get("cost"))))
    return () if cost is None else (f"cost {cost:,.2f}",)


def _flags(name: str, node: dict[str, Any]) -> tuple[str, ...]:
    marks = ["sorts"] if name == "filesort" or node.get("using_filesort") else []
    if name == "temporary_table" or node.get("using_temporary_table"):
        marks.append("temporary table")
    return tuple(marks)


def _many(rows: float | None) -> tuple[str, ...]:
    return ("many rows",) if rows is not None and rows > DEAR_ROWS else ()


def _sqlite_marks(step: str) -> tuple[str, ...]:
    marks = ["full scan"] if step.startswith("SCAN") and "SEARCH" not in step else []
    return (*marks, "sorts") if "TEMP B-TREE" in step else tuple(marks)


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def explain_statement(state: ConsoleState, statement: Statement) -> None:
    """Request a plan through the gate and draw it. Raises ConfigurationError: the statement is an EXPLAIN already."""
    if statement.kind.startswith("explain"):
        raise ConfigurationError("that explains already: give the statement itself")
    dialect = state.services.rules().dialect
    (asked,) = state.session.split(explain_sql(dialect, statement.text))
    held = held_result(state, asked)
    if held is None:
        return
    state.answer(_drawn(state, held, dialect))
    for hazard in statement.hazards:
        state.say(safe(f"hazard: {hazard.id} ({hazard.cost}): {hazard.why}"))
        if hazard.instead:
            state.say(safe(f"  instead: {hazard.instead}"))


def _drawn(state: ConsoleState, held: HeldRows, dialect: Dialect) -> str:
    style = state.screen().data_style
    try:
        steps = steps_from_json(str(held.rows[0][0])) if dialect.plans_in_json else steps_from_rows(held.rows)
    except (ValueError, IndexError, TypeError):
        return render(held.columns, held.rows, "vertical", style)
    return plan_text(steps, decorated=style.decorated)
