"""The facts that policy rules are judged on.

Every fact has one type, one meaning, and a value for "unknown", so that a rule can always be judged. `docs/policy.md`
prints this table; a test compares the page with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from safeconsole.policy.readings import Reading
from safeconsole.sqltext.statement import Estimate, Hazard, Statement
from safeconsole.sqltext.vocabulary import CostClass, Effect, Flavour, Role, Route


class FactType(StrEnum):
    """The type of a fact, as the expression language spells it."""

    STRING = "string"
    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRINGS = "list(string)"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One fact that a rule may name.

    Attributes:
        meaning: with unit and the value for unknown; one line.
        words: its possible values, or empty when they are free.
        source: where it comes from, its greatest age, and in which direction it can be wrong; one line.
    """

    name: str
    type: FactType
    meaning: str
    words: tuple[str, ...] = ()
    source: str


def _words(words: type[StrEnum]) -> tuple[str, ...]:
    return tuple(word.value for word in words)


_STRING, _BOOL, _INT, _DOUBLE, _STRINGS = FactType

_DECLARED: tuple[tuple[str, FactType, str, tuple[str, ...], str], ...] = (
    (
        "stmt.kind",
        _STRING,
        'lower-case words of the statement ("select", "alter table"), "unknown" when unread',
        (),
        "the text",
    ),
    (
        "stmt.effects",
        _STRINGS,
        "everything running it does to the world; never empty",
        _words(Effect),
        (
            "the text, and definitions of views up to 5 s old; what is not seen or not read is `unknown`; triggers are "
            "not in it"
        ),
    ),
    ("stmt.plain_read", _BOOL, "reading is all it does", (), "`stmt.effects`"),
    (
        "stmt.diagnosis",
        _BOOL,
        "it asks what the server is doing: sessions, transactions, locks, replication; whole statements of others show",
        (),
        "the text; false where it could be read as anything else",
    ),
    ("stmt.known", _BOOL, "none of its effects is unknown", (), "`stmt.effects`"),
    (
        "stmt.tables",
        _STRINGS,
        'tables it names, "schema.table", or "table" without a schema',
        (),
        "the text; too few where `stmt.tables_known` is false, and none behind a view",
    ),
    ("stmt.schemas", _STRINGS, "schemas of those tables, each once", (), "`stmt.tables`"),
    ("stmt.tables_known", _BOOL, "its structure was read, so that stmt.tables is complete", (), "the text"),
    (
        "stmt.unfiltered",
        _BOOL,
        "it is an UPDATE or DELETE with no WHERE of its own, or with one that names no column; a LIMIT does not count",
        (),
        "the text; a condition that is always true, as `id = id`, passes for a filter",
    ),
    (
        "stmt.functions",
        _STRINGS,
        "lower-case names of the functions it calls",
        (),
        "the text, and definitions of views up to 5 s old",
    ),
    (
        "stmt.engines",
        _STRINGS,
        "storage engines of the tables it reads, behind views too, lower case; empty when no server was asked",
        (),
        "the server's dictionary, up to 5 s ago; too few where the account does not see a table, which is unknown then",
    ),
    (
        "stmt.hazards",
        _STRINGS,
        "ids of its dangers, those that only the server saw included",
        (),
        "the catalogue, for the text and for what stands behind it, and the plan; too few where no server was asked",
    ),
    ("stmt.hazard_costs", _STRINGS, "how those dangers hurt, each once", _words(CostClass), "`stmt.hazards`"),
    ("stmt.uninterruptible", _BOOL, "one of those dangers cannot be stopped", (), "`stmt.hazards`"),
    ("stmt.danger", _STRING, 'why its first danger is one, one sentence, or ""', (), "`stmt.hazards`"),
    ("stmt.instead", _STRING, 'the safer way that its first danger names, or ""', (), "`stmt.hazards`"),
    ("node.name", _STRING, 'the node it would go to, "" when none was asked', (), "chosen for this statement"),
    (
        "node.role",
        _STRING,
        "the role the node proved; without a node, the role it would be sent to",
        _words(Role),
        (
            "the node, up to 5 s ago; asked again on the connection for all but a read of a replica, where the "
            "server's identity is compared"
        ),
    ),
    ("node.flavour", _STRING, "the family member", _words(Flavour), "the node, when it was connected to"),
    (
        "node.lag_seconds",
        _DOUBLE,
        "replication lag in seconds, -1.0 unknown",
        (),
        (
            "the replica, up to 5 s ago, in whole seconds rounded down, or the age of its heartbeat row; too low "
            "without a heartbeat while what the primary wrote has not arrived"
        ),
    ),
    (
        "node.free_memory_bytes",
        _INT,
        "free memory of its host in bytes, -1 unknown",
        (),
        "the host, up to 7 s ago from a node exporter, up to 6 minutes from AWS; too high by what was taken since",
    ),
    (
        "node.threads_running",
        _INT,
        "statements at work on it, -1 unknown",
        (),
        "the server's counter, up to 5 s ago; unknown passes the policy's gate",
    ),
    (
        "node.tables",
        _INT,
        "the least number of tables it has, counted up to 5,001, -1 unknown",
        (),
        (
            "counted up to 5 s ago: rows of InnoDB's persistent statistics (a partition is one), or definitions "
            "held open where those are more; too low for closed tables of other engines and with "
            "STATS_PERSISTENT=0; unknown where the account may not count or those are the server's default; exact "
            "on SQLite"
        ),
    ),
    ("node.tags", _STRINGS, 'words from the configuration ("console", "failover-target")', (), "the configuration"),
    (
        "estimate.asked",
        _BOOL,
        "a server was asked; all other estimates hold their unknown value otherwise",
        (),
        "this statement, now; of a change, the query inside it; false without one, and for what needs no server",
    ),
    (
        "estimate.rows",
        _INT,
        "rows the server expects to examine, -1 unknown",
        (),
        (
            "the plan, made now by the server's own statistics; too low when those are old or a condition is "
            "misjudged; unknown for all but SELECT, WITH, TABLE, VALUES, the query that ANALYZE runs and the query "
            "inside a change"
        ),
    ),
    (
        "estimate.changed_rows",
        _INT,
        "rows that a change looks at and may change, 0 for what changes no rows, -1 unknown",
        (),
        (
            "the plan, made now, of the query inside an UPDATE or DELETE of one table or an INSERT of a query's rows, "
            "by the server's own statistics; too low when those are old, too high by rows that are looked at and do "
            "not match; unknown for all other changes, and where the account for reads may not read the table"
        ),
    ),
    (
        "estimate.full_scans",
        _INT,
        "tables it would scan fully, or the query inside a change would: it goes by no key",
        (),
        "the same plan; 0 also where there is none, so ask for `estimate.rows < 0` too",
    ),
    (
        "estimate.temporary_tables",
        _INT,
        "temporary tables it would build",
        (),
        "the same plan; 0 also where there is none",
    ),
    (
        "estimate.hazards",
        _STRINGS,
        "ids of dangers that only the server saw, behind views and aliases",
        (),
        "the same plan, and the server's dictionary; none also where there is no plan",
    ),
    ("estimate.objection", _STRING, 'why the server would not take it, or ""', (), "the server, preparing it now"),
    (
        "estimate.objection_code",
        _INT,
        "the server's error number behind the objection, 0 without one",
        (),
        "the server, preparing it now",
    ),
    (
        "estimate.disagrees",
        _BOOL,
        "the objection says that it is not the read we take it for",
        (),
        "`estimate.objection_code`",
    ),
    (
        "estimate.recalled",
        _BOOL,
        "it was asked moments ago, for a read by key that differs in its values only",
        (),
        "this session; what is recalled is up to 5 s old",
    ),
    ("session.face", _STRING, 'where it was typed: "sql", "one-shot", "python", "job", …', (), "the program"),
    ("session.interactive", _BOOL, "a person can be asked", (), "the program"),
    (
        "session.statements",
        _INT,
        "statements asked in this session before this one",
        (),
        "this session alone; another one of the same person counts for itself",
    ),
    (
        "session.statements_a_minute",
        _INT,
        "statements that it sent in the last 60 seconds",
        (),
        "this session alone; another one of the same person counts for itself",
    ),
    (
        "session.room_seconds",
        _DOUBLE,
        "seconds until the first of those is a minute old, 0.0 without any",
        (),
        "this session alone",
    ),
    (
        "person.name",
        _STRING,
        "who logged in, whatever sudo or su say since",
        (),
        'the computer: login uid, else SUDO_USER, which can be set, else the account; see "Who"',
    ),
    ("person.groups", _STRINGS, "groups of the person on this computer", (), "the computer, when the session began"),
    (
        "person.agent",
        _BOOL,
        "a program types, for a person",
        (),
        "marks in the environment and the streams, when the session began; false for who takes the marks away",
    ),
    ("cluster.name", _STRING, "the cluster's name in the configuration", (), "the configuration"),
    ("cluster.environment", _STRING, "its environment in the configuration", (), "the configuration"),
    (
        "cluster.engine",
        _STRING,
        "the family member its servers belong to",
        _words(Flavour),
        "the configuration, or the first node that answered",
    ),
    ("elevation.active", _BOOL, "an elevation is in force that covers this statement", (), "this session, now"),
    ("elevation.scope", _STRING, 'its scope, or ""', ("", "statement", "break-glass"), "this session, now"),
    ("elevation.ticket", _STRING, 'its ticket, or ""', (), "what the person typed"),
    (
        "elevation.tables",
        _STRINGS,
        "tables that a window is for; empty without one, and before anything was changed in one that names none",
        (),
        (
            "this session: those of the statement whose refusal it was opened on, or else of the first change in it, "
            "those that its reason names, and those that the person agreed to since; a table is known by the name "
            "that the text has for it"
        ),
    ),
)

FACTS: dict[str, Fact] = {
    name: Fact(name=name, type=type_, meaning=meaning, words=words, source=source)
    for name, type_, meaning, words, source in _DECLARED
}
"""Every fact, in the order of the documentation."""


COUNTED = ("session.statements", "session.statements_a_minute", "session.room_seconds")
"""Facts that differ for each statement of a session, whatever it says."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """The session's part of the facts.

    Attributes:
        person, groups, agent: see `person.*` in `FACTS`.
        face, interactive, statements, statements_a_minute, room_seconds: see `session.*`.
        cluster, environment: see `cluster.*`.
        elevated, scope, ticket, reason, tables: see `elevation.*`; the reason is no fact, its words may name tables.
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
    reason: str = ""
    tables: tuple[str, ...] = ()


def facts_of(
    statement: Statement, *, route: Route, reading: Reading | None, estimate: Estimate, circumstances: Circumstances
) -> dict[str, object]:
    """Return every fact of `FACTS` for one statement, each of its type and representable in JSON.

    Args:
        route: where the statement belongs; it stands for the role when there is no reading.
        reading: the chosen node, or None when no cluster is asked.
        estimate: the server's opinion; `Estimate()` when none was asked.
    """
    return {
        **statement_facts(statement, estimate),
        **_node_facts(route, reading, circumstances.flavour),
        **_estimate_facts(statement, estimate),
        **_circumstance_facts(circumstances),
        "elevation.tables": _tables_of_window(statement, circumstances),
    }


def statement_facts(statement: Statement, estimate: Estimate) -> dict[str, object]:
    """Return the facts that depend on the statement alone; see `facts_of`."""
    hazards = (*statement.hazards, *estimate.hazards)
    dangers = tuple(hazard for hazard in hazards if hazard.cost is not CostClass.LOOKUP)
    return {
        "stmt.kind": statement.kind,
        "stmt.effects": sorted(statement.effects),
        "stmt.plain_read": statement.is_plain_read,
        "stmt.diagnosis": statement.diagnosis,
        "stmt.known": Effect.UNKNOWN not in statement.effects,
        "stmt.tables": [str(table) for table in statement.tables],
        "stmt.schemas": _once(table.schema for table in statement.tables if table.schema),
        "stmt.tables_known": statement.tables_known,
        "stmt.unfiltered": statement.unfiltered,
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


def _estimate_facts(statement: Statement, estimate: Estimate) -> dict[str, object]:
    changes_rows = not statement.effects.isdisjoint({Effect.WRITE, Effect.UNKNOWN})
    return {
        "estimate.asked": estimate.asked,
        "estimate.rows": estimate.rows,
        "estimate.changed_rows": estimate.rows if changes_rows else 0,
        "estimate.full_scans": len(estimate.full_scans),
        "estimate.temporary_tables": estimate.temporary_tables,
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


def _tables_of_window(statement: Statement, circumstances: Circumstances) -> list[str]:
    said = frozenset(re.split(r"[^\w$.]+", circumstances.reason.lower()))
    told = (str(table) for table in statement.tables if not said.isdisjoint({str(table).lower(), table.name.lower()}))
    return _once((*circumstances.tables, *told)) if circumstances.tables or circumstances.reason else []


def _known(reading: int | None) -> int:
    return -1 if reading is None else reading


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _first(hazards: tuple[Hazard, ...], attribute: str) -> str:
    return next((text for hazard in hazards if (text := str(getattr(hazard, attribute)))), "")
