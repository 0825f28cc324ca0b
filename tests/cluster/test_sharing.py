"""One cluster for all sessions of a process: made with the first, closed with the last."""

import threading
from contextlib import ExitStack

import pytest

from safeconsole.cluster.sharing import Shared
from tests.harness.fakes import FakeClock, FakeEngine


class Maker:
    """Makes engines, and knows which were closed."""

    def __init__(self):
        self.made, self.shared = [], Shared()

    def make(self):
        self.made.append(FakeEngine(FakeClock(), []))
        return self.made[-1]

    def used(self, name="shop", made_of="settings"):
        return self.shared.used(name, made_of, self.make)

    def closed(self):
        return [("engine closed",) in engine.events for engine in self.made]


@pytest.fixture
def maker():
    return Maker()


def test_all_who_come_use_the_first_ones_and_the_last_closes_it(maker):
    with maker.used() as first:
        with maker.used() as second:
            assert second is first
        assert maker.closed() == [False]
    assert maker.closed() == [True]
    with maker.used() as again:
        assert again is not first


def test_another_name_or_other_settings_are_another_cluster(maker):
    with maker.used() as shop, maker.used("other") as other, maker.used(made_of="changed") as changed:
        assert len({id(shop), id(other), id(changed)}) == 3
        with maker.used() as again:
            assert again is shop
    assert maker.closed() == [True, True, True]


def test_a_session_that_fails_leaves_the_cluster_to_the_others(maker):
    with maker.used():
        with pytest.raises(KeyboardInterrupt), maker.used():
            raise KeyboardInterrupt
        assert maker.closed() == [False]
    assert maker.closed() == [True]


def test_what_could_not_be_made_is_made_for_the_next(maker):
    with pytest.raises(OSError), maker.shared.used("shop", "settings", lambda: (_ for _ in ()).throw(OSError())):
        pass
    with maker.used() as made:
        assert made is maker.made[0]


def test_many_threads_at_once_make_one(maker):
    inside, leave = threading.Barrier(21, timeout=20), threading.Event()

    def sit_down():
        with ExitStack() as seat:
            seat.enter_context(maker.used())
            inside.wait()
            leave.wait(20)

    threads = [threading.Thread(target=sit_down, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    inside.wait()
    assert maker.closed() == [False]
    leave.set()
    for thread in threads:
        thread.join(20)
    assert maker.closed() == [True]
