"""A session that is stopped from another thread: what runs is killed, nothing further is sent, and both are on record."""

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.errors import StoppedError
from safeconsole.audit.record import Intent
from tests.harness.fakes import FakeFace, Planned
from tests.session.conftest import READ

ROWS = Planned(batches=([(1,), (2,)], [(3,)]))


def outcomes(road):
    return [(each.outcome, each.stopped_by, each.kill, each.rows) for each in road.records("outcome")]


def test_nothing_runs_and_nothing_is_stopped(walk):
    road = walk()
    road.run("SELECT 1")
    assert road.gate.stop() == "already over"
    assert "stop replica-1" not in road.happened()


def test_what_runs_is_killed_and_its_rows_so_far_are_kept(walk):
    road = walk()
    road.engine.answers[READ] = ROWS

    class Reader(FakeFace):
        def rows(self, batch):
            super().rows(batch)
            assert road.gate.stop() == "killed"

    face = Reader(road.events)
    with pytest.raises(StoppedError) as caught:
        road.run(READ, face)
    assert (caught.value.by, exit_code_of(caught.value)) == ("person", 5)
    assert face.shown == [(1,), (2,)]
    assert outcomes(road) == [("stopped", "person", "killed", 2)]


def test_after_the_word_nothing_is_sent_and_no_intent_is_recorded(walk):
    road = walk()
    road.gate.stop()
    with pytest.raises(StoppedError, match="nothing was sent") as caught:
        road.run(READ)
    assert caught.value.by == "person"
    assert road.sent() == []
    assert road.records("intent") == []
    assert len(road.records("outcome")) == 1


def test_a_word_that_comes_with_the_intent_is_still_heard(walk):
    road = walk()
    append = road.journal.append

    def heard_with_the_intent(record, **how):
        append(record, **how)
        if isinstance(record, Intent):
            road.gate.stop()

    road.journal.append = heard_with_the_intent
    with pytest.raises(StoppedError, match="nothing was sent"):
        road.run(READ)
    assert road.sent() == []
    assert outcomes(road) == [("stopped", "person", "already over", 0)]


def test_a_word_that_comes_with_the_send_is_met_when_it_is_repeated(walk):
    """The one that tells calls until the session is through, since the first call may find nothing to stop yet."""
    road, said = walk(), []
    road.engine.answers[READ] = ROWS
    road.engine.hooks["send"] = lambda: said.append(road.gate.stop())

    class Reader(FakeFace):
        def rows(self, batch):
            said.append(road.gate.stop())

    with pytest.raises(StoppedError):
        road.run(READ, Reader(road.events))
    assert said == ["already over", "killed"]


def test_what_was_read_last_and_most_of_a_stopped_statement_is_on_record(walk):
    road = walk()

    class Growing(Planned):
        @property
        def slow_seconds(self):
            road.clock.seconds += 0.4
            return 1e9

        @slow_seconds.setter
        def slow_seconds(self, _):
            pass

    road.engine.answers[READ] = Growing(bytes_a_second=1_000_000)
    face = FakeFace(road.events)
    with pytest.raises(StoppedError):
        road.run(READ, face)
    samples, (ended,) = road.records("sample"), road.records("outcome")
    last = face.samples[-1]
    assert samples[-1].elapsed_seconds == last.elapsed_seconds
    assert ended.peak_memory_bytes == last.session_memory_bytes == samples[-1].session_memory_bytes > 0
    assert len({sample.elapsed_seconds for sample in samples}) == len(samples)
    # What the next one held is its own.
    road.run("SELECT 1")
    assert road.records("outcome")[-1].peak_memory_bytes == 0
