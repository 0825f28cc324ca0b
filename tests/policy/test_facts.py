"""Every declared fact is built, of its type, and what is unknown says so."""

import json

import pytest

from safeconsole.policy.facts import FACTS, Circumstances, FactType, facts_of
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.statement import Estimate, Hazard, Statement, TableName
from safeconsole.sqltext.vocabulary import CostClass, Effect, Flavour, NodeName, Role, Route

PYTHON = {
    FactType.STRING: str,
    FactType.BOOL: bool,
    FactType.INT: int,
    FactType.DOUBLE: float,
    FactType.STRINGS: list,
}
HERE = Circumstances(flavour=Flavour.MARIADB, person="ann", groups=("dba", "staff"), agent=True, face="sql")


def hazard(name, cost=CostClass.OPENS_EVERY_TABLE, **rest):
    return Hazard(id=name, cost=cost, why=f"{name} is slow", **rest)


def statement(**rest):
    return Statement(text="x", kind="select", effects=rest.pop("effects", frozenset({Effect.READ})), **rest)


def facts(text=None, *, route=Route.REPLICA, reading=None, estimate=None):
    return facts_of(
        text or statement(), route=route, reading=reading, estimate=estimate or Estimate(), circumstances=HERE
    )


READING = Reading(
    node=NodeName("b"),
    role=Role.REPLICA,
    flavour=Flavour.MYSQL,
    lag_seconds=3,
    threads_running=7,
    tables=9,
    free_memory_bytes=11,
    tags=frozenset({"console", "a"}),
)


@pytest.mark.parametrize("reading", [None, READING, Reading(node=NodeName("c"))])
def test_exactly_the_declared_facts_are_built_and_of_their_type(reading):
    built = facts(reading=reading)
    assert list(built) == list(FACTS)
    for name, value in built.items():
        assert type(value) is PYTHON[FACTS[name].type], name
        for word in value if isinstance(value, list) else [value]:
            assert not FACTS[name].words or word in FACTS[name].words, name


def test_facts_survive_the_journal():
    built = facts(statement(hazards=(hazard("a"),)), reading=READING)
    assert json.loads(json.dumps(built)) == built


def test_a_measured_node_speaks_for_itself():
    built = facts(route=Route.PRIMARY, reading=READING)
    assert {name: value for name, value in built.items() if name.startswith("node.")} == {
        "node.name": "b",
        "node.role": "replica",
        "node.flavour": "mysql",
        "node.lag_seconds": 3.0,
        "node.free_memory_bytes": 11,
        "node.threads_running": 7,
        "node.tables": 9,
        "node.tags": ["a", "console"],
    }


def test_unknown_readings_are_minus_one_and_never_zero():
    built = facts(reading=Reading(node=NodeName("c")))
    unknown = ("lag_seconds", "free_memory_bytes", "threads_running", "tables")
    assert [built[f"node.{name}"] for name in unknown] == [-1, -1, -1, -1]
    assert built["node.role"] == "unknown"
    assert built["node.flavour"] == "mariadb"


@pytest.mark.parametrize(("route", "role"), [("replica", "replica"), ("primary", "primary"), ("none", "unknown")])
def test_without_a_node_the_role_is_where_the_statement_would_go(route, role):
    assert facts(route=Route(route))["node.role"] == role


def test_dangers_that_only_the_server_saw_count_as_the_statements_own():
    seen = statement(hazards=(hazard("first"), hazard("twice")))
    told = Estimate(
        asked=True,
        full_scans=("orders", "items"),
        hazards=(hazard("twice"), hazard("behind-a-view", CostClass.WRITES, uninterruptible=True, instead="do this")),
    )
    built = facts(seen, estimate=told)
    assert built["stmt.hazards"] == ["first", "twice", "behind-a-view"]
    assert built["stmt.hazard_costs"] == ["opens-every-table", "writes"]
    assert built["estimate.hazards"] == ["twice", "behind-a-view"]
    assert built["stmt.uninterruptible"] is True
    assert built["stmt.danger"] == "first is slow"
    assert built["stmt.instead"] == "do this"
    assert built["estimate.full_scans"] == 2


def test_a_cheap_lookup_is_no_danger_to_speak_of():
    built = facts(statement(hazards=(hazard("cheap", CostClass.LOOKUP, instead="nothing"),)))
    assert built["stmt.hazards"] == ["cheap"]
    assert (built["stmt.danger"], built["stmt.instead"], built["stmt.uninterruptible"]) == ("", "", False)


def test_what_is_not_understood_is_not_known_and_no_plain_read():
    built = facts(statement(effects=frozenset({Effect.READ, Effect.UNKNOWN}), tables_known=False))
    assert (built["stmt.known"], built["stmt.plain_read"], built["stmt.tables_known"]) == (False, False, False)
    assert built["stmt.effects"] == ["read", "unknown"]


def test_tables_keep_their_order_and_schemas_stand_once():
    names = [("shop", "orders"), (None, "loose"), ("shop", "items"), ("crm", "people")]
    built = facts(statement(tables=tuple(TableName(schema=schema, name=name) for schema, name in names)))
    assert built["stmt.tables"] == ["shop.orders", "loose", "shop.items", "crm.people"]
    assert built["stmt.schemas"] == ["shop", "crm"]


def test_every_fact_says_where_it_is_known_from():
    assert all(fact.source and "|" not in fact.source for fact in FACTS.values())
