"""A small team under the limits that `init --people` prints; `python -m benchmarks.team` is the large one."""

import pytest

from benchmarks.latency import logged, statements_sent
from benchmarks.team import made_for, report, worked

CONSOLES, ONE_SHOTS = 6, 10
MOST_SENT = {"seen": 8, "new": 12, "an elevated change": 30}


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


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_statement_costs_few_statements_of_the_console(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=2)
    sent = logged(cluster, tmp_path / "logged", 2)
    print("\n".join(statements_sent(sent)))
    assert {step: own for step, (own, _) in sent.items() if own > MOST_SENT[step]} == {}
