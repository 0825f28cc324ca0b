"""
The facts that policy rules are judged on: declared once, built once.

Every fact has one type and one meaning, and a value of its own for "unknown", so that a rule can
always be judged. `docs/policy.md` prints this table; a test holds the page to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from safeconsole.core.routing import Reading
from safeconsole.core.statement import Estimate, Hazard, Statement
from safeconsole.core.vocabulary import CostClass, Effect, Flavour, Role, Route


class FactType(StrEnum):
    """The type of a fact, as the expression language spells it."""

    STRING = "string"
    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRINGS = "list(string)"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """
    One fact that a rule may name.

    Attributes:
        name: its dotted name.
        type: its type.
        meaning: what it says, with unit and the value for unknown; one line.
        words: the only values it takes, or empty when it is free.
    """

    name: str
    type: FactType
    meaning: str
    words: tuple[str, ...] = ()


def _words(words: type[StrEnum]) -> tuple[str, ...]:
    return tuple(word.value for word in words)


_STRING, _BOOL, _INT, _DOUBLE, _STRINGS = FactType

_DECLARED: tuple[tuple[str, FactType, str, tuple[str, ...]], ...] = (
    ("stmt.kind", _STRING, 'lower-case words of the statement ("select", "alter table"), "unknown" when unread', ()),
    ("stmt.effects", _STRINGS, "everything running it does to the world; never empty", _words(Effect)),
    ("stmt.plain_read", _BOOL, "reading is all it does", ()),
    ("stmt.known", _BOOL, "none of its effects is unknown", ()),
    ("stmt.tables", _STRINGS, 'tables it names, "schema.table", or "table" without a schema', ()),
    ("stmt.schemas", _STRINGS, "schemas of those tables, each once", ()),
    ("stmt.tables_known", _BOOL, "its structure was read, so that stmt.tables is complete", ()),
    ("stmt.functions", _STRINGS, "lower-case names of the functions it calls", ()),
    (
        "stmt.engines",
        _STRINGS,
        "storage engines of the tables it reads, behind views too, lower case; empty when no server was asked",
        (),
    ),
    ("stmt.hazards", _STRINGS, "ids of its dangers, those that only the server saw included", ()),
    ("stmt.hazard_costs", _STRINGS, "how those dangers hurt, each once", _words(CostClass)),
    ("stmt.uninterruptible", _BOOL, "one of those dangers runs on after it was told to stop", ()),
    ("stmt.danger", _STRING, 'why its first danger is one, one sentence, or ""', ()),
    ("stmt.instead", _STRING, 'the safer way that its first danger names, or ""', ()),
    ("node.name", _STRING, 'the node it would go to, "" when none was asked', ()),
    ("node.role", _STRING, "the role the node proved; without a node, the role it would be sent to", _words(Role)),
    ("node.flavour", _STRING, "the family member", _words(Flavour)),
    ("node.lag_seconds", _DOUBLE, "replication lag in seconds, -1.0 unknown", ()),
    ("node.free_memory_bytes", _INT, "free memory of its host in bytes, -1 unknown", ()),
    ("node.threads_running", _INT, "statements at work on it, -1 unknown", ()),
    ("node.tables", _INT, "the least number of tables it has, counted up to 5,001, -1 unknown", ()),
    ("node.tags", _STRINGS, 'words from the configuration ("console", "failover-target")', ()),
    ("estimate.asked", _BOOL, "a server was asked; all other estimates hold their unknown value otherwise", ()),
    ("estimate.rows", _INT, "rows the server expects to examine, -1 unknown", ()),
    ("estimate.full_scans", _INT, "tables it would read whole", ()),
    ("estimate.temporary_tables", _INT, "temporary tables it would build", ()),
    ("estimate.objects_opened", _INT, "tables whose definition it would open, -1 unknown", ()),
    ("estimate.hazards", _STRINGS, "ids of dangers that only the server saw, behind views and aliases", ()),
    ("estimate.objection", _STRING, 'why the server would not take it, or ""', ()),
    ("estimate.objection_code", _INT, "the server's error number behind the objection, 0 without one", ()),
    ("estimate.disagrees", _BOOL, "the objection says that it is not the read we take it for", ()),
    ("estimate.recalled", _BOOL, "it was asked moments ago, for a read by key that differs in its values only", ()),
    ("session.face", _STRING, 'where it was typed: "sql", "one-shot", "python", "job", …', ()),
    ("session.interactive", _BOOL, "a person can be asked", ()),
    ("session.statements", _INT, "statements asked in this session before this one", ()),
    ("session.statements_a_minute", _INT, "statements that it sent in the last 60 seconds", ()),
    ("session.room_seconds", _DOUBLE, "seconds until the first of those is a minute old, 0.0 without any", ()),
    ("person.name", _STRING, "who logged in, whatever sudo or su say since", ()),
    ("person.groups", _STRINGS, "groups of the person on this computer", ()),
    ("person.agent", _BOOL, "a program types, for a person", ()),
    ("cluster.name", _STRING, "the cluster's name in the configuration", ()),
    ("cluster.environment", _STRING, "its environment in the configuration", ()),
    ("cluster.engine", _STRING, "the family member its servers belong to", _words(Flavour)),
    ("elevation.active", _BOOL, "an elevation is in force that covers this statement", ()),
    ("elevation.scope", _STRING, 'its scope, or ""', ("", "statement", "break-glass")),
    ("elevation.ticket", _STRING, 'its ticket, or ""', ()),
)

FACTS: dict[str, Fact] = {
    name: Fact(name=name, type=type_, meaning=meaning, words=words) for name, type_, meaning, words in _DECLARED
}
"""Every fact that a rule may name, in the order of the documentation."""


COUNTED = ("session.statements", "session.statements_a_minute", "session.room_seconds")
"""Facts that are different for each statement of a session, whatever it says."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who asks, from where, about which cluster.

    Attributes:
        person, groups, agent: see `person.*` in `FACTS`.
        face, interactive, statements, statements_a_minute, room_seconds: see `session.*`.
        cluster, environment: see `cluster.*`.
        flavour: the cluster's family member.
        elevated, scope, ticket: see `elevation.*`.
    """

    flavour: Flavour
    person: str = ""
    groups: tuple[str, ...] = ()
    agent: bool = False
    face: str = ""
    interactive: bool = False
    statements: int = 0
    statements_a_minute: int = 0
    room_seconds: float = 0.0
    cluster: str = ""
    environment: str = ""
    elevated: bool = False
    scope: str = ""
    ticket: str = ""


def facts_of(
    statement: Statement, *, route: Route, reading: Reading | None, estimate: Estimate, circumstances: Circumstances
) -> dict[str, object]:
    """
    Return every fact of `FACTS` for one statement.

    Args:
        route: where the statement belongs; it stands for the role when there is no reading.
        reading: the chosen node, or None when no cluster is asked.
        estimate: the server's opinion; `Estimate()` when none was asked.
        circumstances: who asks, from where, about which cluster.

    Returns:
        One value a fact, of the fact's type; JSON can hold all of them.
    """
    return {
        **_statement_facts(statement, estimate),
        **_node_facts(route, reading, circumstances.flavour),
        **_estimate_facts(estimate),
        **_circumstance_facts(circumstances),
    }


def _statement_facts(statement: Statement, estimate: Estimate) -> dict[str, object]:
    hazards = (*statement.hazards, *estimate.hazards)
    dangers = tuple(hazard for hazard in hazards if hazard.cost is not CostClass.LOOKUP)
    return {
        "stmt.kind": statement.kind,
        "stmt.effects": sorted(statement.effects),
        "stmt.plain_read": statement.is_plain_read,
        "stmt.known": Effect.UNKNOWN not in statement.effects,
        "stmt.tables": [str(table) for table in statement.tables],
        "stmt.schemas": _once(table.schema for table in statement.tables if table.schema),
        "stmt.tables_known": statement.tables_known,
        "stmt.functions": list(statement.functions),
        "stmt.engines": _once(engine.lower() for engine in estimate.behind.engines),
        "stmt.hazards": _once(hazard.id for hazard in hazards),
        "stmt.hazard_costs": _once(hazard.cost.value for hazard in hazards),
        "stmt.uninterruptible": any(hazard.uninterruptible for hazard in hazards),
        "stmt.danger": _first(dangers, "why"),
        "stmt.instead": _first(dangers, "instead"),
    }


def _node_facts(route: Route, reading: Reading | None, flavour: Flavour) -> dict[str, object]:
    if reading is None:
        role = Role.UNKNOWN if route is Route.NONE else Role(route.value)
        return {
            "node.name": "",
            "node.role": role.value,
            "node.flavour": flavour.value,
            "node.lag_seconds": -1.0,
            "node.free_memory_bytes": -1,
            "node.threads_running": -1,
            "node.tables": -1,
            "node.tags": [],
        }
    return {
        "node.name": str(reading.node),
        "node.role": reading.role.value,
        "node.flavour": (reading.flavour or flavour).value,
        "node.lag_seconds": -1.0 if reading.lag_seconds is None else float(reading.lag_seconds),
        "node.free_memory_bytes": _known(reading.free_memory_bytes),
        "node.threads_running": _known(reading.threads_running),
        "node.tables": _known(reading.tables),
        "node.tags": sorted(reading.tags),
    }


def _estimate_facts(estimate: Estimate) -> dict[str, object]:
    return {
        "estimate.asked": estimate.asked,
        "estimate.rows": estimate.rows,
        "estimate.full_scans": len(estimate.full_scans),
        "estimate.temporary_tables": estimate.temporary_tables,
        "estimate.objects_opened": estimate.objects_opened,
        "estimate.hazards": _once(hazard.id for hazard in estimate.hazards),
        "estimate.objection": estimate.objection,
        "estimate.objection_code": estimate.objection_code,
        "estimate.disagrees": estimate.disagrees,
        "estimate.recalled": estimate.recalled,
    }


def _circumstance_facts(circumstances: Circumstances) -> dict[str, object]:
    return {
        "session.face": circumstances.face,
        "session.interactive": circumstances.interactive,
        "session.statements": circumstances.statements,
        "session.statements_a_minute": circumstances.statements_a_minute,
        "session.room_seconds": circumstances.room_seconds,
        "person.name": circumstances.person,
        "person.groups": list(circumstances.groups),
        "person.agent": circumstances.agent,
        "cluster.name": circumstances.cluster,
        "cluster.environment": circumstances.environment,
        "cluster.engine": circumstances.flavour.value,
        "elevation.active": circumstances.elevated,
        "elevation.scope": circumstances.scope,
        "elevation.ticket": circumstances.ticket,
    }


def _known(reading: int | None) -> int:
    return -1 if reading is None else reading


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _first(hazards: tuple[Hazard, ...], attribute: str) -> str:
    return next((text for hazard in hazards if (text := str(getattr(hazard, attribute)))), "")
