"""A decision explained: which rules, on which facts, under which limits, and who set each of them."""

from safeconsole.policy.policy import explanation_of, facts_behind, limit_origins
from safeconsole.policy.limits import LIMIT_NAMES
from safeconsole.policy.policy import capped, judge, session_limits
from safeconsole.policy.document import policy_from_document
from tests.policy.test_decision import considered as assessment_of

RULES = [
    {
        "id": "reads",
        "when": "stmt.plain_read && node.role == 'replica'",
        "then": "allow",
        "limits": {"fetched_rows": 7},
    },
    {"id": "brief", "when": "person.agent || session.statements > 100", "limits": {"run_seconds": 3}},
    {"id": "other", "when": "'write' in stmt.effects", "then": "deny"},
]
POLICY = policy_from_document(
    "mine", {"rules": RULES, "limits": {"lock_wait_seconds": 2, "shown_rows": 50}}, source="mine.yaml",
    text_hash="ab" * 32, lines={"rules[0]": 4, "rules[1]": 9},
)  # fmt: skip
FACTS = {
    "stmt.plain_read": True, "stmt.effects": ["read"], "node.role": "replica", "person.agent": True,
    "session.statements": 2,
}  # fmt: skip


def explained(**asked):
    decision = judge(POLICY, FACTS, limits=session_limits(POLICY, asked))
    return assessment_of(decision=decision, facts=FACTS, node=None)


def test_every_limit_says_who_set_it():
    origins = limit_origins(explained(changed_rows=5).decision, POLICY)
    assert set(origins) == set(LIMIT_NAMES)
    said = {name: origin for name, origin in origins.items() if origin != "built in"}
    assert said == {
        "fetched_rows": "rule reads", "run_seconds": "rule brief", "changed_rows": "this session",
        "shown_rows": "policy mine", "lock_wait_seconds": "policy mine",
    }  # fmt: skip


def test_the_configuration_is_named_where_it_is_tighter_than_the_policy():
    policy = capped(POLICY, {"shown_rows": 20, "opened_tables": 9_999_999})
    decision = judge(policy, FACTS)
    origins = limit_origins(decision, policy)
    assert (origins["shown_rows"], origins["opened_tables"]) == ("the configuration", "built in")


def test_the_tightest_asker_is_the_one_that_is_named():
    assert limit_origins(explained(run_seconds=1).decision, POLICY)["run_seconds"] == "this session"
    assert limit_origins(explained(run_seconds=9).decision, POLICY)["run_seconds"] == "rule brief"


def test_facts_are_those_that_the_matched_rules_name():
    assert facts_behind(explained(), POLICY) == {
        "stmt.plain_read": True, "node.role": "replica", "person.agent": True, "session.statements": 2,
    }  # fmt: skip


def test_the_explanation_is_lines_of_evidence():
    matched, brief, facts, *limits = explanation_of(explained(), POLICY)
    assert matched == "matched: reads (line 4, allow): stmt.plain_read && node.role == 'replica'"
    assert brief == "matched: brief (line 9, limits only): person.agent || session.statements > 100"
    assert facts == "facts: stmt.plain_read = true, node.role = 'replica', person.agent = true, session.statements = 2"
    assert limits[:3] == [
        "limits: rule brief: run_seconds 3", "limits: policy mine: lock_wait_seconds 2, shown_rows 50",
        "limits: rule reads: fetched_rows 7",
    ]  # fmt: skip
    assert limits[3].startswith("limits: built in: fetched_bytes 67,108,864, ")


def test_without_a_rule_that_matched_the_limits_remain():
    decision = judge(POLICY, {**FACTS, "stmt.plain_read": False, "person.agent": False})
    limits, _ = explanation_of(assessment_of(decision=decision, facts=FACTS), POLICY)
    assert limits.startswith("limits: ")
