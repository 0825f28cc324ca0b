"""Adds the effects of the views and tables behind a statement's names, as the server describes them.

A view's definition is analysed like any text; its effects, functions and hazards become the statement's own.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from safeconsole.patterns import late
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Behind, Hazard, Statement, TableName
from safeconsole.sqltext.vocabulary import CostClass, Effect

_SERVERS_OWN = frozenset({"mysql", "sys"})
_SERVERS_ACCOUNTS = frozenset({"mysql.sys@localhost", "mariadb.sys@localhost", "mysql.infoschema@localhost"})
"""Definers of the views that come with a server; nobody can log in as them."""

_ROLLED_UP = late(r"\brollup_(?:group_item|sum_switcher)\(")
"""How MySQL writes columns of GROUP BY … WITH ROLLUP into a view; a stored function has its schema before it."""

_NEVER_PLANNED = frozenset({CostClass.CALLS_UNKNOWN_CODE, CostClass.HOLDS_LOCKS, CostClass.READS_FILES})


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """The object that a name refers to.

    Attributes:
        engine: a table's storage engine, or "".
        brought_along: a view that came with the server; the catalogue knows it by name.
        definition: a view's query, analysed; None for a table, and if invisible.
        unseen: why nothing is known of it, or "".
        grant: the privilege that the account lacks to see it, as GRANT writes it, or "".
    """

    engine: str = ""
    brought_along: bool = False
    definition: Statement | None = None
    unseen: str = ""
    grant: str = ""


def view_object(definition: str, definer: str, name: TableName, rules: LexicalRules) -> Object:
    """Return a view as an object; without the privilege the server hides its definition."""
    if (name.schema or "").lower() in _SERVERS_OWN and definer.lower() in _SERVERS_ACCOUNTS:
        return Object(brought_along=True)
    if not definition:
        return hidden_object(name, rules.dialect)
    if rules.dialect.rewrites_rollup:
        definition = _ROLLED_UP.sub("coalesce(", definition)
    found = analyse(definition, rules, schema=name.schema or "")
    if len(found) != 1:
        return Object(unseen=f"the definition of the view {name} is not one query")
    return Object(definition=found[0])


def hidden_object(name: TableName, dialect: Dialect) -> Object:
    """Return an object whose definition the account may not see."""
    place = dialect.quoted(name.schema or "", name.name)
    return Object(
        unseen=f"this account may not see what {name} is",
        grant=f"GRANT SELECT, SHOW VIEW ON {place} to the read account",
    )


def behind_all(found: Iterable[tuple[TableName, Object]], dialect: Dialect, *, unfinished: str = "") -> Behind:
    """Return the combined objects behind several names.

    Args:
        found: every name that is reached, through nested views, and its object.
        unfinished: why not every name was looked at, or "".
    """
    effects: set[Effect] = set()
    functions: dict[str, None] = {}
    hazards: dict[Hazard, None] = {}
    reasons: list[str] = []
    engines: dict[str, None] = {}
    views, known = False, dict(found)
    for name, each in known.items():
        inner = each.definition
        views = views or each.brought_along or inner is not None
        if inner is not None:
            effects |= inner.effects
            functions.update(dict.fromkeys(inner.functions))
            hazards.update(dict.fromkeys(inner.hazards))
            reasons += _reasons(name, inner)
        elif each.unseen:
            effects.add(Effect.UNKNOWN)
            hazards[_hidden(each)] = None
            reasons.append(each.unseen)
        elif not each.brought_along:
            engines[each.engine] = None
            hazard = dialect.engine_hazard(each.engine)
            if hazard is not None:
                hazards[hazard] = None
                reasons.append(f"{name} is a table of the engine {each.engine or 'that nobody names'}")
    if unfinished:
        effects.add(Effect.UNKNOWN)
        reasons.append(unfinished)
    return Behind(
        effects=frozenset(effects),
        functions=tuple(functions),
        hazards=tuple(hazards),
        reasons=tuple(dict.fromkeys(reasons)),
        engines=tuple(engines),
        views=views,
        definitions=tuple(each.definition for each in known.values() if each.definition is not None),
    )


def _reasons(view: TableName, inner: Statement) -> list[str]:
    if inner.is_plain_read and not inner.hazards:
        return []
    why = inner.reasons if not inner.is_plain_read else ()
    return [f"behind the view {view}: {each}" for each in (*why, *(hazard.id for hazard in inner.hazards))]


def _hidden(unseen: Object) -> Hazard:
    return Hazard(
        id="hidden-definition",
        cost=CostClass.CALLS_UNKNOWN_CODE,
        why=f"{unseen.unseen}: it may be a view that does anything",
        instead=f"{unseen.grant}, so that it can be examined" if unseen.grant else "ask the tables themselves",
    )


def may_be_planned(behind: Behind) -> bool:
    """Whether EXPLAIN is safe: planning may run functions behind a view."""
    return behind.effects <= {Effect.READ} and not any(hazard.cost in _NEVER_PLANNED for hazard in behind.hazards)
