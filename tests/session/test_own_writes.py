"""Who wrote and then reads is shown their own write, or told that it may be missing."""

import pytest

from safeconsole.errors import OutcomeUnknownError, ServerError
from safeconsole.session.state import WAIT_SECONDS
from safeconsole.sqltext.statement import Estimate
from tests.harness.fakes import Planned
from tests.session.conftest import JUSTIFICATION, READ, WRITE

UNKNOWN = Estimate(asked=True, objection="Table 'shop.made' doesn't exist", objection_code=1146)
TOLD = "replica-1 may not have your change of shop.orders yet: its data may be older"


@pytest.fixture
def road(walk):
    return walk(justification=JUSTIFICATION, schema="shop")


def write(road, text=WRITE):
    road.answers(True)
    return road.run(text)


def told(road):
    """The notes of the last result, as the person saw them and as the journal has them."""
    shown = [event[1] for event in road.events if event[0] == "begin"][-1].notes
    recorded = tuple(record.detail for record in road.journal.records if type(record).__name__ == "Noticed")
    assert recorded[len(recorded) - len(shown) :] == shown
    return shown


def test_before_a_write_nothing_is_waited_for(road):
    road.run(READ)
    assert road.engine.waited == [] and told(road) == ()


def test_a_read_after_a_write_waits_for_its_replica_once(road):
    write(road)
    for _ in range(3):
        road.run(READ)
    assert road.engine.waited == [("replica-1", "p-1")] and told(road) == ()


def test_a_replica_that_is_behind_is_read_and_that_is_said(road):
    write(road)
    road.engine.behind = {"replica-1"}
    road.run(READ)
    assert told(road) == (TOLD,)
    road.engine.behind = set()
    road.run(READ)
    assert told(road) == ()


def test_another_write_is_waited_for_again(road):
    write(road)
    road.run(READ)
    road.engine.written = "p-2"
    write(road, "DELETE FROM customers WHERE id = 1")
    road.engine.behind = {"replica-1"}
    road.run(READ)
    assert road.engine.waited == [("replica-1", "p-1"), ("replica-1", "p-2")]
    assert told(road) == (TOLD.replace("shop.orders", "shop.orders, shop.customers"),)


def test_what_names_no_table_waits_for_nothing(road):
    write(road)
    road.run("SELECT 1")
    assert road.engine.waited == []


def test_what_is_read_on_the_primary_waits_for_nothing(road):
    write(road)
    road.gate.use("primary")
    road.run(READ)
    assert road.engine.waited == [] and told(road) == ()


def test_a_write_that_was_refused_is_not_waited_for(road):
    road.answers(False)
    with pytest.raises(Exception):
        road.run(WRITE)
    road.run(READ)
    assert road.engine.waited == []


def test_a_write_of_which_nobody_knows_whether_it_happened_is_waited_for(road):
    road.engine.answers[WRITE] = Planned(refusal=OutcomeUnknownError("lost"))
    with pytest.raises(OutcomeUnknownError):
        write(road)
    road.engine.behind = {"replica-1"}
    road.run(READ)
    assert told(road) == (TOLD,)


def test_where_servers_keep_no_account_their_lag_counts(road):
    road.engine.written = ""
    write(road)
    road.run(READ)
    assert told(road) == (TOLD,)
    # Measured at once again, then beyond what a lag in whole seconds may hide.
    road.clock.seconds += 6.1
    road.run(READ)
    assert told(road) == () and road.engine.waited == []


def test_a_lag_that_is_not_known_proves_nothing(road):
    road.engine.written = ""
    write(road)
    road.engine.node("replica-1").lag_seconds = None
    road.gate.use("replica-1")
    road.clock.seconds += 60
    road.run(READ)
    assert told(road) == ("replica-1 may be stale: lag unknown", TOLD)


def test_the_wait_is_bounded():
    assert 0 < WAIT_SECONDS <= 1


def test_what_a_replica_does_not_know_yet_is_asked_again_once_it_has_the_sessions_changes(road):
    write(road, "CREATE TABLE made (id INT)")
    text, asked = "SELECT id FROM made", []

    def estimate():
        asked.append(road.engine.waited[:])
        road.engine.estimates[text] = UNKNOWN if len(asked) == 1 else Estimate(asked=True)

    road.engine.hooks["estimate"] = estimate
    road.run(text)
    assert asked == [[], [("replica-1", "p-1")]]


def test_what_a_replica_does_not_know_is_asked_once_where_it_has_all_changes(road):
    write(road)
    road.run(READ)
    text, asked = "SELECT id FROM nowhere", []
    road.engine.estimates[text] = UNKNOWN
    road.engine.hooks["estimate"] = lambda: asked.append(text)
    with pytest.raises(ServerError):
        road.run(text)
    assert asked == [text]
