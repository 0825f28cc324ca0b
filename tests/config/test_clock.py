"""The computer's clocks."""

import sys
import time
from datetime import UTC, datetime

import pytest

from safeconsole.clock import SystemClock


def test_seconds_run_forward():
    clock = SystemClock()
    before = clock.monotonic()
    time.sleep(0.01)
    assert 0.01 <= clock.monotonic() - before < 5


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name it otherwise")
def test_seconds_count_while_the_computer_is_suspended():
    """An elevation of fifteen minutes must not go on in the morning."""
    assert abs(SystemClock().monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_utc_has_microseconds_and_a_z():
    said = SystemClock().utc()
    assert len(said) == len("2026-01-01T00:00:00.000000Z")
    assert said.endswith("Z")
    assert abs((datetime.fromisoformat(said) - datetime.now(UTC)).total_seconds()) < 5
