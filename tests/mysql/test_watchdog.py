"""A thread that sleeps, and those who wake it: nothing that is brought is slept over."""

import threading
import time

from safeconsole.mysql.watched import Alarm


def test_it_sleeps_until_its_moment():
    alarm, started = Alarm(), time.monotonic()
    alarm.sleep_until(started + 0.05, unless=lambda: False)
    assert time.monotonic() - started >= 0.045


def test_it_does_not_sleep_where_there_is_work():
    until = time.monotonic() + 60
    thread = threading.Thread(target=Alarm().sleep_until, args=(until,), kwargs={"unless": lambda: True}, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_it_is_woken_by_a_ring_and_sleeps_again():
    alarm, woken = Alarm(), []

    def sleeper():
        for _ in range(2):
            alarm.sleep_until(time.monotonic() + 60, unless=lambda: False)
            woken.append(True)

    thread = threading.Thread(target=sleeper)
    thread.start()
    for expected in (1, 2):
        while len(woken) < expected:
            alarm.ring()
            time.sleep(0.001)
    thread.join(5)
    assert not thread.is_alive()


def test_a_ring_is_spared_where_it_wakes_in_time():
    alarm, asked = Alarm(), threading.Event()
    moment = time.monotonic() + 0.2
    thread = threading.Thread(target=alarm.sleep_until, args=(moment,), kwargs={"unless": asked.is_set})
    thread.start()
    while alarm._wakes_seconds != moment:
        time.sleep(0.001)
    alarm.ring_before(moment + 1)
    assert not alarm._called.is_set()
    alarm.ring_before(moment - 0.1)
    thread.join(5)
    assert time.monotonic() < moment + 1


def test_work_that_is_brought_while_it_falls_asleep_is_never_slept_over():
    """A thousand hand-overs against long sleeps: one that is missed hangs the test."""
    alarm, work, done = Alarm(), [], []

    def worker():
        while len(done) < 1000:
            if work:
                done.append(work.pop())
            else:
                alarm.sleep_until(time.monotonic() + 60, unless=lambda: bool(work))

    thread = threading.Thread(target=worker, daemon=True)
    thread.start()
    for number in range(1000):
        work.append(number)
        alarm.ring_before(time.monotonic())
        until = time.monotonic() + 10
        while len(done) <= number:
            assert time.monotonic() < until, f"{number} was slept over"
            time.sleep(0)
    thread.join(5)
