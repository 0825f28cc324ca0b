"""The tightest ceiling wins, in whatever order, and nothing outside its range exists."""

import math
from msgspec.structs import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.policy.limits import FLOORS, LIMIT_NAMES, Limits, tighten

CEILINGS = st.dictionaries(st.sampled_from(LIMIT_NAMES), st.integers(1, 10**12), max_size=6)


def test_every_ceiling_has_a_name():
    assert set(LIMIT_NAMES) == {field.name for field in fields(Limits)}
    assert set(LIMIT_NAMES) >= FLOORS


@pytest.mark.parametrize(
    "wrong",
    [
        {"run_seconds": 0},
        {"run_seconds": -1},
        {"run_seconds": math.nan},
        {"lock_wait_seconds": 0.99},
        {"lock_wait_seconds": math.nan},
        {"shown_rows": -1},
        {"fetched_rows": -1},
        {"fetched_bytes": -1},
        {"changed_rows": -1},
        {"free_memory_bytes": -1},
        {"session_memory_bytes": 0},
        {"grown_memory_bytes": 0},
        {"opened_tables": 0},
        {"opened_tables": -5},
    ],
)
def test_a_ceiling_outside_its_range_cannot_exist(wrong):
    with pytest.raises(ValueError, match="limits out of range"):
        Limits(**wrong)


@pytest.mark.parametrize(
    "least", [{"fetched_rows": 0}, {"changed_rows": 0}, {"fetched_bytes": 0}, {"free_memory_bytes": 0}]
)
def test_nothing_at_all_is_a_ceiling_too(least):
    assert Limits(**least)


@pytest.mark.parametrize("name", LIMIT_NAMES)
def test_a_tighter_value_holds_and_a_looser_one_changes_nothing(name):
    start = Limits(free_memory_bytes=1000)
    current = getattr(start, name)
    tighter, looser = (current * 2, current / 2) if name in FLOORS else (current / 2, current * 2)
    assert getattr(tighten(start, {name: tighter}), name) == tighter
    assert tighten(start, {name: looser}) == start


def test_a_ceiling_keeps_its_type():
    tightened = tighten(Limits(), {"fetched_rows": 10.0, "run_seconds": 3})
    assert type(tightened.fetched_rows) is int
    assert type(tightened.run_seconds) is float


@given(CEILINGS, CEILINGS)
def test_order_means_nothing_and_twice_is_once(first, second):
    one = tighten(tighten(Limits(), first), second)
    other = tighten(tighten(Limits(), second), first)
    assert one == other == tighten(one, first)


@given(CEILINGS)
def test_nothing_becomes_looser(ceilings):
    start = Limits()
    after = tighten(start, ceilings)
    for name in LIMIT_NAMES:
        before, now = getattr(start, name), getattr(after, name)
        assert now >= before if name in FLOORS else now <= before


def test_an_unknown_name_is_refused_and_named():
    with pytest.raises(ValueError, match="unknown limit: pace, speed"):
        tighten(Limits(), {"speed": 1, "run_seconds": 1, "pace": 2})


@pytest.mark.parametrize(
    "wrong", [{"run_seconds": 0}, {"lock_wait_seconds": 0.5}, {"fetched_rows": -1}, {"opened_tables": 0}]
)
def test_tightening_beyond_the_range_is_refused(wrong):
    with pytest.raises(ValueError, match="limits out of range"):
        tighten(Limits(), wrong)


def test_a_value_that_is_no_number_tightens_nothing():
    assert tighten(Limits(), {"run_seconds": math.nan}) == Limits()
