"""A result is pulled: who stops reading stops the statement, and the journal knows how it ended before the reader does."""

import pytest

from safeconsole.errors import LostError, OutcomeUnknownError, ServerError, StoppedError
from tests.harness.fakes import Planned
from tests.session.conftest import READ, WRITE

ROWS = Planned(batches=([(1,), (2,)], [(3,)]), columns=("id",))
RETURNING = "DELETE FROM orders WHERE id = 1 RETURNING id"


def executed(road, text, **how):
    (statement,) = road.gate.split(text)
    return road.gate.execute(statement, **how)


def outcomes(road):
    return [(each.statement, each.outcome, each.rows, each.message) for each in road.records("outcome")]


def test_batches_are_pulled_one_by_one(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    with executed(road, READ) as result:
        assert [column.name for column in result.columns] == ["id"]
        assert result.considered.node == "replica-1"
        assert next(result) == [(1,), (2,)]
        assert (result.ended, road.records("outcome")) == (None, [])
        assert list(result) == [[(3,)]]
    assert (result.ended.outcome, result.ended.rows) == ("done", 3)
    assert road.records("outcome") == [result.ended]


def test_a_statement_without_rows_is_over_at_once(walk):
    road = walk()
    road.elevate()
    road.engine.answers[WRITE] = Planned(changed=1)
    result = executed(road, WRITE)
    assert (result.columns, result.ended.outcome, result.ended.changed_rows) == ((), "done", 1)
    assert list(result) == []


def test_rows_are_taken_to_the_end_and_the_first_ones_held(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    result = executed(road, READ)
    assert (result.take(1), result.ended.rows) == ([(1,)], 3)


def test_who_leaves_early_stops_the_statement_and_that_is_recorded(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    with executed(road, READ) as result:
        next(result)
    assert result.ended.stopped_by == "console"
    assert outcomes(road) == [(1, "stopped", 0, "stopped on replica-1: the rest of the result was not read")]
    assert road.happened().index("stop replica-1") < road.happened().index("append outcome")
    assert road.run("SELECT 1").outcome == "done"


def test_a_change_whose_rows_are_not_read_is_called_unknown(walk):
    road = walk()
    road.elevate()
    road.engine.answers[RETURNING] = ROWS
    with pytest.raises(OutcomeUnknownError), executed(road, RETURNING) as result:
        next(result)
    assert [each[1] for each in outcomes(road)] == ["unknown"]


def test_a_result_left_open_is_stopped_by_the_next_statement(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    left = executed(road, READ)
    assert road.run("SELECT 1").outcome == "done"
    assert [each[:2] for each in outcomes(road)] == [(1, "stopped"), (2, "done")]
    assert (list(left), left.ended.outcome) == ([[(1,), (2,)]], "stopped")


def test_a_result_left_open_is_stopped_with_the_session(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    executed(road, READ)
    road.gate.close()
    assert [each[1] for each in outcomes(road)] == ["stopped"]
    assert type(road.journal.records[-1]).__name__ == "SessionClosed"


@pytest.mark.parametrize(
    "fault", [ServerError(1, "no"), LostError("gone", by="server"), StoppedError("cut", by="watchdog")]
)
def test_what_fails_after_the_send_is_on_record_before_it_is_raised(walk, fault):
    road = walk()
    road.engine.answers[READ] = Planned(fault=fault)
    result = executed(road, READ)
    assert road.records("outcome") == [result.ended]
    assert result.considered.node == "replica-1"
    with pytest.raises(type(fault)):
        next(result)
    with pytest.raises(StopIteration):
        next(result)


def test_a_retry_is_over_before_the_first_batch_is_handed_out(walk):
    road = walk()

    def falls():
        road.engine.node("replica-1").unreachable = "gone"
        road.engine.answers[READ] = ROWS
        return Planned(fault=LostError("lost", by="server"))

    road.engine.answers[READ] = falls
    with executed(road, READ) as result:
        assert result.considered.node == "replica-2"
        assert [each[:2] for each in outcomes(road)] == [(1, "stopped")]
        assert [len(batch) for batch in result] == [2, 1]
