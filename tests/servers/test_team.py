"""A small team under the limits that `init --people` prints; `python -m benchmarks.team` is the large one."""

import pytest

from benchmarks.team import made_for, report, worked

CONSOLES, ONE_SHOTS = 6, 10


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_team_is_answered_under_the_limits_that_init_prints(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=2)
    config = made_for(cluster, tmp_path, CONSOLES)
    work = worked(cluster, config, consoles=CONSOLES, one_shots=ONE_SHOTS, each=2)
    print("\n".join(report(work, people=CONSOLES, consoles=CONSOLES, one_shots=ONE_SHOTS)))
    assert work.unanswered == []
    # Fifty in the large one: all of them write to one journal directory at once.
    assert work.verified == ""
    assert len(work.one_shots) == ONE_SHOTS
    # One connection for each that is idle, on the node that it uses; nothing on the primary for reads.
    assert sum(work.idle.values()) <= CONSOLES
    assert work.idle["primary"] == 0
