"""Statements a minute, counted by whole seconds."""

from hypothesis import given
from hypothesis import strategies as st

from safeconsole.session.admission import Rate
from tests.harness.fakes import FakeClock


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 4)), max_size=40))
def test_it_counts_what_was_sent_in_the_last_minute(steps):
    clock = FakeClock()
    rate, sent = Rate(clock), []
    for seconds, count in steps:
        clock.seconds += seconds
        for _ in range(count):
            rate.sent()
            sent.append(clock.seconds)
        number, room = rate.read()
        assert number == sum(1 for each in sent if int(clock.seconds) - int(each) < 60)
        assert 0 <= room <= 60
        assert (room == 0) <= (number == 0 or room < 0.1)
        assert len(rate._counts) <= 61


def test_who_waits_that_long_finds_room():
    clock = FakeClock(1000.9)
    rate = Rate(clock)
    rate.sent()
    assert rate.read() == (1, 59.1)
    clock.seconds += 59.1
    assert rate.read() == (0, 0.0)
