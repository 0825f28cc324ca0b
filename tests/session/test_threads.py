"""A session is confined to one thread at a time: a second one is told at once, and does not wait; `stop` is for any."""

import threading

import pytest

from safeconsole.errors import DeniedError, StoppedError
from tests.harness.fakes import Planned
from tests.session.conftest import READ, WRITE

DOORS = {
    "execute": lambda gate, statement: gate.execute(statement),
    "consider": lambda gate, statement: gate.consider(statement),
    "check": lambda gate, statement: gate.check(statement),
    "elevate": lambda gate, _: gate.elevate(reason="incident 7"),
    "stand down": lambda gate, _: gate.stand_down(),
    "use": lambda gate, _: gate.use("replica"),
    "use schema": lambda gate, _: gate.use_schema("archive"),
    "topology": lambda gate, _: gate.topology(),
}


def in_another_thread(act):
    """Return what came of an act in another thread, which must not be kept waiting."""
    found = []

    def work():
        try:
            found.append(act())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits"
    return found[0]


@pytest.mark.parametrize("door", DOORS)
def test_a_second_thread_is_refused_at_once_while_a_statement_is_on_its_way(walk, door):
    road, refused = walk(), []
    (statement,) = road.gate.split(READ)
    road.engine.hooks["send"] = lambda: refused.append(in_another_thread(lambda: DOORS[door](road.gate, statement)))
    assert road.run(READ).outcome == "done"
    assert [type(error) for error in refused] == [DeniedError]
    assert "another thread uses this session" in refused[0].message
    assert len(road.sent()) == len(road.records("asked")) == 1


@pytest.mark.parametrize("door", DOORS)
def test_a_second_thread_is_refused_at_once_while_a_result_is_open(walk, door):
    road = walk()
    road.engine.answers[READ] = Planned(batches=([(1,)], [(2,)]))
    (statement,) = road.gate.split(READ)
    with road.gate.execute(statement) as result:
        assert isinstance(in_another_thread(lambda: DOORS[door](road.gate, statement)), DeniedError)
        assert list(result) == [[(1,)], [(2,)]]
    assert result.ended.outcome == "done"


def test_a_thread_after_the_other_may_use_it(walk):
    road = walk()
    road.run(READ)
    assert in_another_thread(lambda: road.run(READ)).outcome == "done"
    assert road.run(READ).outcome == "done"


def test_another_thread_may_stop_what_runs(walk):
    road = walk()
    road.engine.answers[READ] = Planned(batches=([(1,)], [(2,)]))
    (statement,) = road.gate.split(READ)
    result = road.gate.execute(statement)
    assert in_another_thread(road.gate.stop) == "killed"
    with pytest.raises(StoppedError):
        list(result)


def test_another_thread_may_look_at_the_status_and_lets_go_of_nothing(walk):
    road = walk()
    road.elevate()
    road.engine.answers[WRITE] = Planned(batches=([(1,)], [(2,)]))
    (statement,) = road.gate.split(WRITE)
    with road.gate.execute(statement) as result:
        road.engine.connections[0].broken = True
        assert in_another_thread(road.gate.status).elevated_seconds > 0
        assert in_another_thread(road.gate.take_told) == ()
        list(result)
