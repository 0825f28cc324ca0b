"""Whoever is elevated is asked once more where the policy says so, and nothing is sent without that answer."""

import pytest

from safeconsole.errors import Action, RefusedError
from safeconsole.session.context import Justification
from safeconsole.sqltext.statement import Estimate
from safeconsole.sqltext.vocabulary import Verdict
from tests.session.conftest import OTHER_WRITE, PERSON, JUSTIFICATION, RULES, WRITE, policy_of

EVERYTHING = "DELETE FROM orders"
BRAKES = [
    {"id": "no-key", "when": "stmt.unfiltered", "brake": True, "message": "every row of {stmt.tables}"},
    {
        "id": "other-table",
        "when": "size(elevation.tables) > 0 && stmt.tables.exists(each, !(each in elevation.tables))",
        "brake": True,
        "message": "the window is for {elevation.tables}",
    },
]


@pytest.fixture
def braked(walk):
    return walk(policy=policy_of(rules=[*RULES, *BRAKES]))


def texts_sent(road):
    return [text for text, _, account in road.sent() if account == "elevated"]


@pytest.mark.parametrize("answer", [False, KeyboardInterrupt()])
def test_in_a_window_a_change_of_everything_is_asked_about_and_a_no_sends_nothing(braked, answer):
    braked.elevate()
    braked.run(WRITE)
    braked.answers(answer)
    with pytest.raises(RefusedError, match=r"asked once more: every row of shop\.orders") as refused:
        braked.run(EVERYTHING)
    assert texts_sent(braked) == [WRITE]
    assert [(remedy.action, remedy.of) for remedy in refused.value.remedies] == [(Action.RELEASE_BRAKE, "no-key")]
    assert "careful: every row of shop.orders" in refused.value.evidence
    # The window is not at stake.
    assert braked.gate.is_elevated
    assert [record.answer for record in braked.records("confirmed")] == ["no" if answer is False else "interrupted"]


def test_a_yes_is_for_one_attempt_of_that_text(braked):
    braked.elevate()
    braked.answers(True)
    braked.run(EVERYTHING)
    braked.answers(False)
    with pytest.raises(RefusedError):
        braked.run(EVERYTHING)
    assert texts_sent(braked) == [EVERYTHING]
    asked = [event[1] for event in braked.events if event[0] == "confirm"]
    assert [considered.decision.verdict for considered in asked] == [Verdict.ELEVATE, Verdict.ELEVATE]
    assert asked[0].decision.brakes == ("no-key",)


def test_what_no_brake_names_is_not_asked_about(braked):
    braked.elevate()
    braked.run(WRITE)
    braked.run(OTHER_WRITE)
    assert texts_sent(braked) == [WRITE, OTHER_WRITE]
    assert not braked.records("confirmed")


def test_who_is_asked_for_one_statement_sees_what_the_brake_says_and_is_asked_once(braked):
    braked.answers(True)
    braked.run(EVERYTHING, justification=JUSTIFICATION)
    ((_, _, considered),) = [event for event in braked.events if event[0] == "elevate"]
    assert "careful: every row of shop.orders" in considered.evidence
    assert texts_sent(braked) == [EVERYTHING]
    assert not braked.records("confirmed")


def test_where_nobody_saw_it_the_brake_is_asked_after_the_grant(walk):
    alone = PERSON.__class__(name="ada", login="ada", groups=(), host="laptop", terminal=False)
    road = walk(policy=policy_of(rules=[*RULES, *BRAKES]), person=alone)
    road.answers(True, False)
    with pytest.raises(RefusedError, match="asked once more"):
        road.run(EVERYTHING, justification=JUSTIFICATION)
    assert not texts_sent(road)
    assert not road.gate.is_elevated


def test_a_policy_that_only_observes_asks_nothing(walk):
    road = walk(policy=policy_of(rules=[*RULES, *BRAKES], mode="observe"))
    road.run(EVERYTHING)
    assert not road.records("confirmed")


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_window_is_for_the_table_that_it_was_opened_on_until_the_person_agrees_to_another(braked, refused_first):
    other = "UPDATE customers SET name = 'x' WHERE id = 1"
    if refused_first:
        with pytest.raises(RefusedError):
            braked.run(WRITE)
    braked.elevate()
    if not refused_first:
        braked.run(WRITE)
    braked.answers(False)
    with pytest.raises(RefusedError, match=r"the window is for shop\.orders"):
        braked.run(other)
    braked.answers(True)
    braked.run(other)
    braked.run(other)
    assert texts_sent(braked)[-2:] == [other, other]
    braked.run(WRITE)


def test_a_table_that_the_reason_names_is_what_the_window_is_for(braked):
    braked.answers(True)
    braked.gate.elevate(reason="orders and customers are out of step")
    braked.run(WRITE)
    braked.run("UPDATE customers SET name = 'x' WHERE id = 1")
    assert not braked.records("confirmed")


def test_the_count_is_in_the_question(walk):
    many = {
        "id": "many",
        "when": "estimate.changed_rows > 100",
        "brake": True,
        "message": "{estimate.changed_rows} rows",
    }
    road = walk(policy=policy_of(rules=[*RULES, many]))
    road.engine.estimates["SELECT 1 FROM orders WHERE id = 1"] = Estimate(asked=True, rows=60_000)
    road.elevate()
    road.answers(False)
    with pytest.raises(RefusedError, match="asked once more: 60,000 rows"):
        road.run(WRITE)


def test_a_program_answers_a_brake_by_its_name_and_that_is_on_record(walk):
    alone = PERSON.__class__(name="ada", login="ada", groups=(), host="laptop", terminal=False)
    road = walk(policy=policy_of(rules=[*RULES, *BRAKES]), person=alone)
    road.answers(True, False)
    with pytest.raises(RefusedError, match="asked once more"):
        road.run(EVERYTHING, justification=Justification(reason="cleaning", despite=("other-table",)))
    road.answers(True)
    road.run(EVERYTHING, justification=Justification(reason="cleaning", despite=("no-key", "other-table")))
    assert texts_sent(road) == [EVERYTHING]
    assert [record.answer for record in road.records("confirmed")] == ["no", "given beforehand: no-key"]


def test_a_window_that_is_over_by_the_time_of_the_answer_covers_nothing_and_says_so(braked):
    braked.elevate(window_seconds=60)

    def late():
        braked.clock.seconds += 61
        return True

    braked.answers(late)
    with pytest.raises(RefusedError, match="this writes") as refused:
        braked.run(EVERYTHING)
    assert "the elevation window ended: its time is over" in refused.value.evidence
    assert Action.ELEVATE in {remedy.action for remedy in refused.value.remedies}
    assert not texts_sent(braked)
