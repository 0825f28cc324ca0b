"""A slow source keeps nobody waiting, and an old number is not passed off as a new one."""

import threading
import time

from safeconsole.cluster.host_memory import LatestReading


class HandClock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


class Source:
    """Gives planned numbers; waits where it is told to."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def fetch(self):
        self.asked += 1
        number = self.numbers.pop(0) if self.numbers else None
        self.may_answer.wait(10)
        return number


def reading(source, clock, *, wait=2.0, keep=0.5, fresh=3.0):
    return LatestReading(source.fetch, wait_seconds=wait, keep_seconds=keep, fresh_seconds=fresh, monotonic=clock)


def test_a_number_is_given_again_while_it_is_new():
    source, clock = Source(1, 2), HandClock()
    latest = reading(source, clock)
    assert [latest.read(), latest.read(), source.asked] == [1, 1, 1]
    clock.seconds += 0.6
    assert [latest.read(), source.asked] == [2, 2]


def test_a_source_that_falls_silent_is_believed_for_a_while_and_then_no_more():
    source, clock = Source(1), HandClock()
    latest = reading(source, clock)
    assert latest.read() == 1
    clock.seconds += 2.9
    assert latest.read() == 1
    clock.seconds += 0.2
    assert latest.read() is None


def test_a_source_that_never_answered_tells_nothing():
    assert reading(Source(), HandClock()).read() is None


def test_who_asks_waits_no_longer_than_they_can_and_a_hanging_source_is_asked_once():
    source, clock = Source(1, 2), HandClock()
    latest = reading(source, clock, wait=0.05)
    source.may_answer.clear()
    started = time.monotonic()
    assert [latest.read() for _ in range(5)] == [None] * 5
    assert time.monotonic() - started < 10
    assert source.asked == 1
    source.may_answer.set()
    until = time.monotonic() + 20
    while latest.read() is None:
        assert time.monotonic() < until
    assert latest.read() == 1


def test_the_age_of_a_number_counts_from_before_it_was_asked():
    source, clock = Source(1), HandClock()
    latest = reading(source, clock, wait=0.05, fresh=1.0)
    source.may_answer.clear()
    assert latest.read() is None
    clock.seconds += 1.5
    source.may_answer.set()
    latest._worker.join(5)
    source.numbers.clear()
    assert latest.read() is None
