"""The queue before a node: heavy statements take a slot, wait for it in sight, and never keep it."""

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.errors import (
    Action,
    AuditUnavailableError,
    NoFitNodeError,
    NotRecordedError,
    PolicyInvalidError,
    RefusedError,
    Remedy,
    UnreachableError,
)
from safeconsole.policy.policy import MOST_SLOTS
from tests.harness.fakes import FakeFace, Planned
from tests.session.conftest import HELD, JUSTIFICATION, READ, policy_of

SLOTS = {"heavy": "'orders' in stmt.tables || 'shop.orders' in stmt.tables", "at_once": 1, "wait_seconds": 5}
SLOT = "safeconsole.heavy.1"


@pytest.fixture
def road(walk):
    return walk(policy=policy_of(slots=SLOTS))


def taken_by_another(road, server="u-1"):
    """Another console holds the only slot of a server."""
    road.engine.held[server] = {SLOT: "another console"}


def details(road):
    return [record.detail for record in road.records("notice") if record.what.startswith("slot")]


def test_a_heavy_statement_holds_a_slot_while_it_runs_and_not_after(road):
    held_at_send = []
    road.engine.hooks["send"] = lambda: held_at_send.append(set(road.engine.held.get("u-1", ())))
    road.run(READ)
    assert held_at_send == [{SLOT}]
    assert road.engine.held["u-1"] == {}
    assert details(road) == [f"{SLOT} on replica-1, at once"]
    names = road.happened()
    assert names.index("take slot replica-1") < names.index("durable intent") < names.index(f"free slot {SLOT}")


def test_what_is_not_heavy_takes_none(walk):
    road = walk(policy=policy_of(slots={**SLOTS, "heavy": "estimate.rows > 1000000"}))
    road.run(READ)
    assert "take slot replica-1" not in road.happened()


@pytest.mark.parametrize("changes", [{"slots": {**SLOTS, "at_once": 0}}, {"slots": SLOTS, "mode": "observe"}, {}])
def test_nothing_is_counted_without_slots_or_where_the_policy_only_observes(walk, changes):
    road = walk(policy=policy_of(**changes))
    taken_by_another(road)
    road.run(READ)
    assert "take slot replica-1" not in road.happened()


def test_a_condition_that_cannot_be_judged_counts_as_heavy(walk):
    road = walk(policy=policy_of(slots={**SLOTS, "heavy": "1 / (estimate.rows + 1) > 0"}))
    road.run(READ)
    assert details(road) == [f"{SLOT} on replica-1, at once"]


def test_who_waits_is_told_and_goes_on_when_the_slot_comes_free(road):
    taken_by_another(road)
    waited = []

    def pass_time():
        waited.append(True)
        if len(waited) == 15:
            road.engine.held["u-1"].clear()

    road.engine.hooks["waiting"] = pass_time
    face = FakeFace(road.events)
    assert road.run(READ, face).outcome == "done"
    assert face.waited[0] == "waits for one of 1 slots on replica-1: 0 of 5 s; Ctrl-C leaves"
    assert len(face.waited) == 2
    assert details(road) == ["waits for one of 1 slots on replica-1", f"{SLOT} on replica-1, waited 1.5 s"]
    # Proven once more after the wait.
    assert road.sent() == [(READ, "replica-1", "read")]


def test_waiting_ends_and_says_who_holds_the_slots(road):
    taken_by_another(road)
    before = road.clock.seconds
    with pytest.raises(NoFitNodeError, match="replica-1 already runs 1 heavy statement") as caught:
        road.run(READ)
    assert 5 <= road.clock.seconds - before < 6
    assert exit_code_of(caught.value) == 8
    assert caught.value.evidence == (f"slot {SLOT}: somebody",)
    assert caught.value.remedies == (Remedy(Action.NAME_NODE),)
    assert road.sent() == []
    assert road.records("outcome")[-1].outcome == "refused"
    assert road.engine.held["u-1"] == {SLOT: "another console"}


def test_an_interrupt_leaves_the_queue_and_sends_nothing(road):
    taken_by_another(road)

    def interrupt():
        raise KeyboardInterrupt

    road.engine.hooks["waiting"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        road.run(READ)
    assert road.sent() == []
    assert road.records("outcome")[-1].message == "nothing was sent: interrupted"
    road.engine.hooks.clear()
    road.engine.held.clear()
    assert road.run(READ).outcome == "done"


def test_an_elevation_that_ends_in_the_queue_sends_nothing(walk):
    road = walk(policy=policy_of(slots={**SLOTS, "heavy": "true", "wait_seconds": 5000}))
    road.elevate(window_seconds=60)
    taken_by_another(road)
    waits = []

    def pass_time():
        waits.append(True)
        road.clock.pass_by(30)
        if len(waits) == 4:
            road.engine.held["u-1"].clear()

    road.engine.hooks["waiting"] = pass_time
    with pytest.raises(RefusedError, match="the elevation window ended: its time is over"):
        road.run(HELD)
    assert road.sent() == []
    assert road.engine.held["u-1"] == {}


def test_a_connection_that_was_lost_in_the_queue_is_not_used(road):
    taken_by_another(road)

    def lose():
        road.engine.held["u-1"].clear()
        road.engine.hooks.pop("waiting")
        road.engine.hooks["take slot"] = lambda: None
        road.engine.connections[-1].broken = True

    road.engine.hooks["waiting"] = lose
    lost = road.engine.connections
    assert road.run(READ).outcome == "done"
    # It was asked again, nothing of it having been sent: over another connection, and in the queue once more.
    assert [(each.statement, each.outcome) for each in road.records("outcome")] == [(1, "refused"), (2, "done")]
    assert len(road.sent()) == 1 and sum(each.broken for each in lost) < len(lost)
    assert road.engine.held["u-1"] == {}


def test_a_slot_is_freed_after_a_statement_that_failed(road):
    road.engine.answers[READ] = Planned(batches=(), fault=RuntimeError("a bug"))
    with pytest.raises(Exception, match="stopped"):
        road.run(READ)
    assert road.engine.held["u-1"] == {}


@pytest.mark.parametrize("fails_at", range(1, 7))
def test_a_slot_is_freed_when_the_journal_fails(road, fails_at):
    road.journal.fails_at = fails_at
    try:
        road.run(READ)
    except (AuditUnavailableError, NotRecordedError):
        pass
    assert not any(road.engine.held.values())


def test_an_engine_without_slots_is_not_counted_and_that_is_recorded(road):
    road.engine.has_slots = False
    assert road.run(READ).outcome == "done"
    assert details(road) == ["replica-1 has no slots, so that it is not counted"]


def test_a_statement_that_is_elevated_takes_a_slot_on_its_node(walk):
    road = walk(policy=policy_of(slots={**SLOTS, "heavy": "true"}), justification=JUSTIFICATION)
    road.answers(True)
    road.run(HELD)
    assert len(details(road)) == 1
    assert not any(road.engine.held.values())


@pytest.mark.parametrize(
    ("slots", "what"),
    [
        ({"heavy": "estimate.lines > 1"}, "slots.heavy|unknown fact"),
        ({"heavy": "estimate.rows"}, "true or false"),
        ({"heavy": "true", "at_once": -1}, "at_once is 0 to"),
        ({"heavy": "true", "at_once": MOST_SLOTS + 1}, "at_once is 0 to"),
        ({"heavy": "true", "wait_seconds": -1}, "wait_seconds cannot be"),
        ({"heavy": "true", "wait_seconds": float("nan")}, "wait_seconds cannot be"),
        ({"heavy": "true", "most": 1}, "most"),
        ({"at_once": 2}, "heavy"),
    ],
)
def test_slots_that_say_nonsense_are_refused(slots, what):
    with pytest.raises(PolicyInvalidError, match=what):
        policy_of(slots=slots)
