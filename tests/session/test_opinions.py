"""A server's opinion of a read by key is believed for a moment, for other values; everything else is asked again."""

import pytest

from safeconsole.sqltext.statement import Estimate
from safeconsole.session.cache import HOLD_SECONDS, CacheKind
from tests.session.conftest import WRITE, Walk

KEYED = Estimate(asked=True, rows=1, keyed=True)


@pytest.fixture
def road():
    walk = Walk()
    for number in range(20):
        walk.engine.estimates[by_key(number)] = KEYED
        walk.engine.estimates[f"SELECT id FROM orders WHERE id > {number}"] = KEYED
    return walk


def by_key(number):
    return f"SELECT id FROM orders WHERE id = {number}"


def asked(road):
    return [event for event in road.events if event[0] == "estimate"]


def test_the_server_is_asked_once_for_a_loop(road):
    for number in range(10):
        road.run(by_key(number))
    assert len(asked(road)) == 1
    assert road.gate.last().estimate.recalled
    assert road.gate.last().facts["estimate.recalled"] is True
    assert road.gate.last().facts["estimate.rows"] == 1


def test_it_is_asked_again_when_a_moment_has_passed(road):
    road.run(by_key(1))
    road.clock.seconds += HOLD_SECONDS[CacheKind.ESTIMATE]
    road.run(by_key(2))
    assert len(asked(road)) == 2


def test_it_is_asked_again_after_anything_that_is_no_plain_read(road):
    road.run(by_key(1))
    road.run("SET @a = 1")
    road.run(by_key(2))
    road.elevate()
    road.run(WRITE)
    road.run(by_key(3))
    assert len([event for event in asked(road) if "SELECT id" in str(event) and "WHERE id" in str(event)]) == 3


def test_it_is_asked_again_on_another_connection(road):
    road.run(by_key(1))
    road.gate.use("primary")
    road.run(by_key(2))
    assert len(asked(road)) == 2


def test_what_hangs_on_its_values_is_asked_each_time(road):
    for number in range(3):
        road.run(f"SELECT id FROM orders WHERE id > {number}")
    assert len(asked(road)) == 3


def test_what_the_server_did_not_find_by_a_key_is_asked_each_time(road):
    road.engine.estimates.clear()
    for number in range(3):
        road.run(by_key(number))
    assert len(asked(road)) == 3
