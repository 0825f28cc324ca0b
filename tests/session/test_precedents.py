"""A decision is reused while every input is equal, and made anew when one of them changed."""

import pytest


from safeconsole.errors import DeniedError
from safeconsole.policy.policy import judge_together
from safeconsole.sqltext.statement import Estimate
from tests.session.conftest import CLOSED, RULES, WRITE, Walk, policy_of
from safeconsole.session import deciding

KEYED = Estimate(asked=True, rows=1, keyed=True)


def by_key(number):
    return f"SELECT id FROM orders WHERE id = {number}"


@pytest.fixture
def judged(monkeypatch):
    """The facts of each judgement that was really made."""
    seen = []
    monkeypatch.setattr(
        deciding,
        "judge_together",
        lambda *given, **named: seen.append(given[1]) or judge_together(*given, **named),
    )
    return seen


def road_of(**how):
    walk = Walk(**how)
    walk.engine.estimates.update({by_key(number): KEYED for number in range(50)})
    return walk


def test_a_loop_is_judged_once(judged):
    road = road_of()
    for number in range(10):
        road.run(by_key(number))
    assert len(judged) == 1
    assert [record.facts["estimate.recalled"] for record in road.records("decided")] == [False] + [True] * 9
    assert [record.facts["session.statements"] for record in road.records("decided")] == list(range(1, 11))
    assert [record.sql for record in road.records("intent")] == [by_key(number) for number in range(10)]
    assert [permit for permit, _, _ in road.sent()] == [by_key(number) for number in range(10)]
    decided = road.records("decided")
    counts = {"session.statements": 6, "session.statements_a_minute": 5}
    assert decided[5].facts == {**decided[9].facts, **counts}


def test_a_rule_that_counts_is_judged_for_each_statement(judged):
    counting = {"id": "enough", "when": "session.statements > 5", "then": "deny", "message": "enough"}
    road = road_of(policy=policy_of(rules=[*RULES, counting]))
    for number in range(5):
        road.run(by_key(number))
    assert len(judged) == 1
    with pytest.raises(DeniedError, match="enough"):
        road.run(by_key(6))
    assert len(judged) == 2


def test_a_rule_about_what_is_recalled_is_judged_for_each_statement(judged):
    fresh = {"id": "fresh", "when": "estimate.recalled", "then": "confirm", "message": "asked moments ago"}
    road = road_of(policy=policy_of(rules=[*RULES, fresh]))
    road.run(by_key(1))
    road.answers(True)
    road.run(by_key(2))
    assert len(judged) == 2
    assert [record.verdict for record in road.records("decided")] == ["allow", "confirm"]


def test_a_message_that_counts_is_written_for_each_statement(judged):
    telling = {"id": "told", "when": "stmt.plain_read", "then": "allow", "message": "number {session.statements}"}
    road = road_of(policy=policy_of(rules=[*RULES, telling]))
    for number in range(3):
        road.run(by_key(number))
    assert len(judged) == 3
    assert road.records("decided")[-1].message == "number 3"


PACE = {
    "id": "pace",
    "when": "session.statements_a_minute >= 5",
    "then": "deny",
    "message": "{session.statements_a_minute} statements a minute are enough",
    "instead": "go on in {session.room_seconds} s, or ask for all of it in one statement",
}


def test_statements_a_minute_are_bounded_and_the_refusal_says_when_to_go_on():
    road = road_of(policy=policy_of(rules=[*RULES, PACE]))
    for number in range(5):
        road.run(by_key(number))
        road.clock.seconds += 2
    for _ in range(3):
        # What is refused was not sent, and does not keep the minute full.
        with pytest.raises(DeniedError, match="5 statements a minute are enough") as caught:
            road.run(by_key(9))
    assert caught.value.instead == "go on in 50.0 s, or ask for all of it in one statement"
    road.clock.seconds += 50
    road.run(by_key(9))
    assert len(road.sent()) == 6
    with pytest.raises(DeniedError):
        road.run(by_key(10))


@pytest.mark.parametrize(
    "change",
    [
        lambda road: road.gate.tighten("run_seconds", 1),
        lambda road: road.elevate(),
        lambda road: road.gate.use("primary"),
        lambda road: road.gate.use_schema("other"),
        lambda road: (setattr(road.engine.node("replica-1"), "lag_seconds", 1.0), road.gate.topology()),
        lambda road: setattr(road.clock, "seconds", road.clock.seconds + 60),
    ],
    ids=["limits", "elevation", "route", "schema", "measured", "time"],
)
def test_what_a_decision_is_made_of_makes_another(judged, change):
    road = road_of()
    for number in range(4):
        road.run(by_key(number))
    assert len(judged) == 1
    change(road)
    road.run(by_key(5))
    assert len(judged) > 1


def test_limits_that_were_tightened_hold_for_the_next_statement():
    road = road_of()
    for number in range(3):
        road.run(by_key(number))
    road.gate.tighten("run_seconds", 0.5)
    road.run(by_key(4))
    assert road.records("intent")[-1].limits["run_seconds"] == 0.5


def test_nothing_but_reads_of_one_shape_is_ever_a_precedent(judged):
    road = road_of()
    road.elevate()
    for _ in range(2):
        road.run(WRITE)
        with pytest.raises(DeniedError):
            road.run(CLOSED)
    assert len(judged) == 4
