"""Rests between pages: by what a page cost, and by what the node bears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.policy.decision import Assessment, Decision
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Gates
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Effect, Route, Verdict
from safeconsole.capacity.asking import LONGEST_SECONDS, REST, SHORTEST_SECONDS, Pace, pressure_of


def considered(**facts):
    return Assessment(
        statement=Statement(text="SELECT 1", kind="select", effects=frozenset({Effect.READ})), route=Route.REPLICA,
        node=None, identity=None, estimate=Estimate(), facts={f"node.{name}": value for name, value in facts.items()},
        decision=Decision(verdict=Verdict.ALLOW, rules=(), limits=Limits()),
    )  # fmt: skip


@given(st.floats(0, 60), st.floats(0, 10))
def test_a_rest_stays_within_its_bounds(page, pressure):
    assert SHORTEST_SECONDS <= Pace().rest_seconds(page, pressure) <= LONGEST_SECONDS


@given(st.floats(0.01, 0.1), st.floats(0, 1), st.floats(0, 1))
def test_more_pressure_never_means_less_rest(page, one, other):
    low, high = sorted((one, other))
    assert Pace().rest_seconds(page, low) <= Pace().rest_seconds(page, high)


def test_an_idle_node_gets_four_times_the_page():
    assert Pace().rest_seconds(0.1, 0.0) == pytest.approx(REST * 0.1)


def test_a_slow_page_is_rested_from_longer_and_does_not_become_the_usual():
    pace = Pace()
    for _ in range(20):
        pace.rest_seconds(0.01, 0.0)
    assert pace.rest_seconds(0.1, 0.0) == pytest.approx(2 * REST * 0.1)
    assert pace.usual_seconds == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("facts", "gates", "pressure"),
    [
        ({"lag_seconds": 15.0, "threads_running": 2, "free_memory_bytes": -1}, Gates(), 0.5),
        ({"lag_seconds": 0.0, "threads_running": 200, "free_memory_bytes": -1}, Gates(), 1.0),
        ({"lag_seconds": -1.0, "threads_running": -1, "free_memory_bytes": -1}, Gates(), 0.0),
        ({"lag_seconds": 0.0, "threads_running": 0, "free_memory_bytes": 2000}, Gates(free_memory_bytes=1000), 0.5),
        ({"lag_seconds": 0.0, "threads_running": 0, "free_memory_bytes": 2000}, Gates(), 0.0),
        ({"lag_seconds": 3.0, "threads_running": 0, "free_memory_bytes": -1}, Gates(lag_seconds=0), 0.0),
    ],
)
def test_pressure_is_how_near_the_nearest_gate_is(facts, gates, pressure):
    assert pressure_of(considered(**facts), gates) == pytest.approx(pressure)
