import pytest

from safeconsole.policy.limits import Limits
from safeconsole.policy.watchdog import Sample
from safeconsole.output.text import clock_text, counted, size_text, span_text
from safeconsole.output.progress import status_text

FIRST = Sample(elapsed_seconds=0.2, instance_memory_bytes=1 << 30)
NOW = Sample(
    elapsed_seconds=3.2,
    session_memory_bytes=12 << 20,
    instance_memory_bytes=(1 << 30) + (64 << 20),
    free_memory_bytes=2 << 30,
    rows=1_200,
)


def test_it_says_all_it_knows_when_there_is_room():
    assert status_text(NOW, FIRST, node="replica-1", limits=Limits(), columns=200) == (
        "0:04 of 0:30, replica-1, session 12.0 MiB, server 1.1 GiB (+64.0 MiB), free 2.0 GiB, 1,200 rows, "
        "Ctrl-C stops it on the server"
    )


@pytest.mark.parametrize("columns", range(1, 140))
def test_it_never_wraps(columns):
    assert len(status_text(NOW, FIRST, node="replica-1", limits=Limits(), columns=columns)) <= columns


def test_on_a_narrow_terminal_time_and_the_way_to_stop_it_stay():
    assert (
        status_text(NOW, FIRST, node="replica-1", limits=Limits(), columns=50)
        == "0:04 of 0:30, Ctrl-C stops it on the server"
    )


def test_the_rows_that_came_stay_longer_than_the_node_and_memory():
    line = status_text(NOW, FIRST, node="replica-1", limits=Limits(), columns=60)
    assert line == "0:04 of 0:30, 1,200 rows, Ctrl-C stops it on the server"


def test_memory_that_shrinks_says_so():
    now = Sample(elapsed_seconds=2, instance_memory_bytes=(1 << 30) - (1 << 20))
    assert "(-1.0 MiB)" in status_text(now, FIRST, node="", limits=Limits(), columns=200)


def test_measures_read_well():
    assert [span_text(seconds) for seconds in (0.0004, 0.003, 1.25, 59.994, 75, 3723)] == [
        "0 ms", "3 ms", "1.25 s", "59.99 s", "1:15", "1:02:03",
    ]  # fmt: skip
    assert [clock_text(seconds) for seconds in (-1, 0, 0.1, 59.5, 899.2)] == ["0:00", "0:00", "0:01", "1:00", "15:00"]
    assert [size_text(size) for size in (0, 1023, 1024, 1 << 30, -(3 << 20), 5 << 50)] == [
        "0 B", "1023 B", "1.0 KiB", "1.0 GiB", "-3.0 MiB", "5120 TiB",
    ]  # fmt: skip
    assert (counted(1, "row"), counted(2000, "row")) == ("1 row", "2,000 rows")
