"""Recorded decisions are judged again from their facts alone."""

import msgspec
import pytest

from safeconsole.policy.facts import FACTS, Circumstances, facts_of
from safeconsole.policy.policy import judge
from safeconsole.policy.document import policy_from_document
from safeconsole.audit.record import Decided
from safeconsole.audit.rejudging import facts_from_record, rejudge
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour, NodeName, Role, Route, Verdict


def policy(*rules):
    return policy_from_document("p", {"rules": list(rules)}, source="p.yaml", text_hash="0" * 64)


READS = {"id": "reads", "when": "stmt.plain_read", "then": "allow"}
LAGGING = {"id": "lagging", "when": "node.lag_seconds > 5.0", "then": "deny"}
WRITES = {"id": "writes", "when": "'write' in stmt.effects", "then": "elevate"}


def facts(*effects, lag=0.0):
    statement = Statement(text="x", kind="x", effects=frozenset(effects or {Effect.READ}))
    reading = Reading(node=NodeName("n"), role=Role.REPLICA, lag_seconds=lag)
    return facts_of(
        statement,
        route=Route.REPLICA,
        reading=reading,
        estimate=Estimate(),
        circumstances=Circumstances(flavour=Flavour.MYSQL),
    )


def decided(found, verdict="allow", number=1):
    """A decision that went through the journal."""
    record = Decided(
        statement=number,
        verdict=verdict,
        rules=(),
        policy="old",
        route="replica",
        node="n",
        server="s",
        facts=found,
        limits={},
        message="",
    )
    return msgspec.json.decode(msgspec.json.encode(record), type=Decided)


@pytest.mark.parametrize("found", [facts(), facts(Effect.WRITE), facts(lag=9)])
def test_the_same_policy_says_the_same_again(found):
    same = policy(READS, WRITES, LAGGING)
    before = judge(same, found)
    (again,) = rejudge(same, [decided(found, before.verdict.word)])
    assert again.now == before
    assert not (again.is_stricter or again.is_looser or again.missing)


def test_a_stricter_and_a_looser_policy_are_told_apart():
    stricter, looser = rejudge(policy(READS, WRITES, LAGGING), [decided(facts(lag=9)), decided(facts(), "deny", 2)])
    assert (stricter.is_stricter, stricter.is_looser, stricter.now.rules) == (True, False, ("reads", "lagging"))
    assert (looser.is_stricter, looser.is_looser, looser.statement) == (False, True, 2)


def test_a_fact_that_was_not_recorded_proves_nothing():
    found = {name: value for name, value in facts().items() if name != "node.lag_seconds"}
    (again,) = rejudge(policy(READS, LAGGING), [decided(found)])
    assert again.missing == ("node.lag_seconds",)
    assert again.now.verdict is Verdict.DENY
    assert not (again.is_stricter or again.is_looser)


def test_what_the_server_contradicts_is_elevated_by_every_policy():
    found = facts() | {"estimate.disagrees": True, "estimate.objection": "it writes"}
    (again,) = rejudge(policy(READS), [decided(found | {"node.role": "primary"}, "elevate")])
    assert again.now.verdict is Verdict.ELEVATE
    (again,) = rejudge(policy(READS), [decided(found | {"node.role": "replica"}, "deny")])
    assert again.now.verdict is Verdict.DENY
    assert not (again.is_stricter or again.is_looser)


def test_a_verdict_of_another_program_counts_as_a_refusal():
    (again,) = rejudge(policy(READS), [decided(facts(), "quarantine")])
    assert again.was is Verdict.DENY


def test_facts_come_back_with_their_types_and_without_strangers():
    found = facts_from_record({**facts(), "node.lag_seconds": 7, "stmt.gone": 1, "node.tables": 5})
    assert set(found) == set(FACTS)
    assert type(found["node.lag_seconds"]) is float
    assert type(found["node.tables"]) is int
    assert facts_from_record({"node.lag_seconds": True}) == {"node.lag_seconds": True}
