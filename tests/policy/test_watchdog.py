"""A statement that passes a ceiling is ended, and only what is known to be over is called over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.policy.limits import Limits
from safeconsole.policy.watchdog import (
    TRANSITIONS,
    Breach,
    WatchEvent,
    Sample,
    SensorName,
    WatchState,
    breach_of,
    breach_of_misses,
    breach_words,
    counted_misses,
    next_state,
    unseen,
)

FINAL = {WatchState.OVER, WatchState.MISSED}


@given(st.sampled_from(WatchState), st.sampled_from(WatchEvent))
def test_a_step_that_is_not_in_the_table_is_refused(state, event):
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match=f"that is {state} cannot meet {event}"):
            next_state(state, event)


def test_ends_are_final_and_all_else_can_end():
    assert not [pair for pair in TRANSITIONS if pair[0] in FINAL]
    for state in set(WatchState) - FINAL:
        assert next_state(state, WatchEvent.GONE) is WatchState.OVER
        assert next_state(state, WatchEvent.FINISHED) is WatchState.OVER


@given(st.lists(st.sampled_from(WatchEvent), max_size=12))
def test_a_limit_that_passed_is_never_forgotten(events):
    """After a limit, nothing but an end, or a harder kill, can follow."""
    state = next_state(WatchState.RUNNING, WatchEvent.LIMIT_PASSED)
    for event in events:
        if (state, event) in TRANSITIONS:
            state = next_state(state, event)
        assert state is not WatchState.RUNNING


def test_over_is_said_only_of_what_was_seen_to_end():
    assert {event for (_, event), after in TRANSITIONS.items() if after is WatchState.OVER} == {
        WatchEvent.FINISHED,
        WatchEvent.GONE,
    }


def test_a_statement_that_cannot_be_seen_is_killed_and_then_called_missed():
    state = next_state(WatchState.RUNNING, WatchEvent.UNREACHABLE)
    assert state is WatchState.KILLING_QUERY
    assert next_state(state, WatchEvent.UNREACHABLE) is WatchState.MISSED


def test_a_kill_that_does_not_help_becomes_a_harder_one():
    state = WatchState.RUNNING
    for event in (WatchEvent.INTERRUPTED, WatchEvent.GRACE_PASSED, WatchEvent.INTERRUPTED, WatchEvent.GRACE_PASSED):
        state = next_state(state, event)
    assert state is WatchState.MISSED


def test_who_asks_again_gets_the_harder_kill_at_once():
    state = next_state(next_state(WatchState.RUNNING, WatchEvent.INTERRUPTED), WatchEvent.INTERRUPTED)
    assert state is WatchState.KILLING_CONNECTION
    assert next_state(state, WatchEvent.INTERRUPTED) is WatchState.KILLING_CONNECTION


LIMITS = Limits(
    run_seconds=10, session_memory_bytes=100, grown_memory_bytes=50, opened_tables=5, free_memory_bytes=1000
)
FIRST = Sample(elapsed_seconds=0, instance_memory_bytes=500, opened_tables=20)


def sample(**rest):
    return Sample(**{"elapsed_seconds": 1.0, **rest})


@pytest.mark.parametrize(
    ("now", "ceiling", "read"),
    [
        (sample(elapsed_seconds=10.1), "run_seconds", 10.1),
        (sample(session_memory_bytes=101), "session_memory_bytes", 101),
        (sample(instance_memory_bytes=551), "grown_memory_bytes", 51),
        (sample(opened_tables=26), "opened_tables", 6),
        (sample(free_memory_bytes=999), "free_memory_bytes", 999),
        (sample(free_memory_bytes=0), "free_memory_bytes", 0),
        (sample(elapsed_seconds=11, session_memory_bytes=101), "run_seconds", 11),
    ],
)
def test_a_ceiling_that_is_passed_is_named_with_its_reading(now, ceiling, read):
    assert breach_of(LIMITS, FIRST, now) == Breach(ceiling=ceiling, read=read, allowed=getattr(LIMITS, ceiling))


@pytest.mark.parametrize(
    "now",
    [
        sample(elapsed_seconds=10.0),
        sample(session_memory_bytes=100),
        sample(instance_memory_bytes=550),
        sample(opened_tables=25),
        sample(free_memory_bytes=1000),
        sample(),
        sample(instance_memory_bytes=0, opened_tables=0),
    ],
)
def test_what_is_at_its_ceiling_or_unknown_has_not_passed_it(now):
    assert breach_of(LIMITS, FIRST, now) is None


def test_growth_needs_both_readings():
    unknown = Sample(elapsed_seconds=0)
    assert breach_of(LIMITS, unknown, sample(instance_memory_bytes=10**9, opened_tables=10**9)) is None


def test_a_floor_of_nothing_asks_nothing():
    assert breach_of(Limits(), FIRST, sample(free_memory_bytes=0)) is None


def test_every_sensor_is_a_field_of_a_sample():
    assert set(SensorName) < set(Sample.__struct_fields__)


NEEDED = (SensorName.OPENED_TABLES, SensorName.FREE_MEMORY)
SEEN = {"opened_tables": 0, "free_memory_bytes": 0}


def after(*looks, needed=NEEDED):
    misses = {}
    for look in looks:
        misses = counted_misses(misses, needed, sample(**look))
    return misses


def test_a_reading_of_nothing_is_a_reading():
    assert unseen(NEEDED, sample(**SEEN)) == ()
    assert unseen(NEEDED, sample(opened_tables=0)) == (SensorName.FREE_MEMORY,)


def test_a_needed_sensor_may_miss_twice_and_not_three_times_running():
    assert breach_of_misses(after({}, {})) is None
    assert breach_of_misses(after({}, {}, SEEN, {}, {})) is None
    assert breach_of_misses(after({}, {}, {})).sensor == "opened_tables"
    assert breach_of_misses(after(SEEN, *[{"opened_tables": 4}] * 3)).sensor == "free_memory_bytes"


@given(st.lists(st.sampled_from([{}, SEEN, {"opened_tables": 1}, {"free_memory_bytes": 1}])))
def test_what_is_not_needed_is_never_missed(looks):
    assert breach_of_misses(after(*looks, needed=())) is None


def test_the_words_tell_a_sensor_from_a_ceiling_and_a_floor():
    assert breach_words(Breach(ceiling="opened_tables", read=6, allowed=5), floors=()) == "opened_tables 6 over 5"
    low = Breach(ceiling="free_memory_bytes", read=6, allowed=50)
    assert breach_words(low, floors={"free_memory_bytes"}) == "free_memory_bytes 6 under 50"
    unread = "opened_tables cannot be read, 3 times running, and the policy needs it"
    assert breach_words(breach_of_misses(after({}, {}, {})), floors=()) == unread
