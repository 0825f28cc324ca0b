"""Many clients of one gateway under the limits that `init --people` prints; `python -m benchmarks.gateway` is large."""

import pytest

from benchmarks.gateway import crowded, limited
from tests.harness.gateway import serving

PEOPLE, IDLE, BUSY = 3, 20, 12


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_many_clients_are_answered_over_few_connections(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=2)
    limited(cluster, PEOPLE)
    settings = "[gateway]\nclients = 50\nclients_a_person = 50\n"
    with serving(cluster, tmp_path / "gateway", settings=settings) as gateway:
        crowd = crowded(cluster, gateway, idle=IDLE, busy=BUSY, each=3)
    print(crowd.peak, crowd.idle)
    assert crowd.unanswered == []
    assert len(crowd.seconds) == BUSY * 3
    assert all(count <= 3 for count in crowd.idle.values()), crowd.idle
