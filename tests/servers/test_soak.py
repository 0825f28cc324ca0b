"""Nothing is left over after many statements: no connection, thread, file, lock or process."""

import pytest

from tests.harness.desk import seated
from tests.harness.soaking import held, settled, soak


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_many_statements_leave_nothing_behind(private_cluster, tmp_path, flavour):
    # Alone: other tests' consoles would be counted too.
    cluster = private_cluster(flavour, replicas=1)
    before = held(cluster)
    with seated(cluster, tmp_path / "desk", gates={"at_once": 1}) as desk:
        soak(desk, 260)
        warm = settled(cluster, held(cluster))
        ended = soak(desk, 500, start=261)
        after = settled(cluster, warm)
        assert ended["done"] >= 460
        assert ended["StoppedError"] >= 4
        assert ended["ServerError"] >= 4
        assert ended["DeniedError"] >= 3
        for name in ("threads", "files", "connections", "locks", "processes"):
            assert getattr(after, name) <= getattr(warm, name), (name, warm, after)
        assert after.locks == 0
        # A journal, rows and plans come and go; what grows with each statement would show here.
        assert after.resident_bytes - warm.resident_bytes < 20_000_000
    closed = settled(cluster, before)
    for name in ("threads", "connections", "locks", "processes"):
        assert getattr(closed, name) <= getattr(before, name), (name, before, closed)
