"""A person changes a row on the primary and reads it on a replica that is late."""

import time

import pytest

from tests.harness.desk import seated
from tests.harness.talking import SOON_SECONDS, engine_of, wait_for
from tests.harness.clusters import kill

CHANGE = "UPDATE orders SET status = 'mine' WHERE id = 7"
READ = "SELECT status FROM orders WHERE id = 7"


def delay(cluster, node, seconds):
    """Let a replica apply everything late."""
    words = (
        f"CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}"
        if cluster.flavour == "mysql"
        else f"CHANGE MASTER TO MASTER_DELAY = {seconds}"
    )
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        for statement in ("STOP REPLICA", words, "START REPLICA"):
            cursor.execute(statement)


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_read_waits_for_its_own_write_or_says_that_it_is_old(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=1)
    with seated(cluster, tmp_path / "desk") as desk:
        desk.run(CHANGE)
        # A replica that is milliseconds behind is waited for, and nothing needs to be said.
        shown = desk.run(READ)
        assert (shown.where, shown.table, shown.notes) == ("replica-1", [("mine",)], ())
        delay(cluster, cluster.replicas[0], 60)
        desk.run(CHANGE.replace("mine", "later"))
        started = time.monotonic()
        shown = desk.run(READ)
        assert shown.table == [("mine",)] and time.monotonic() - started < SOON_SECONDS
        assert shown.notes == ("replica-1 may not have your change of shop.orders yet: its data may be older",)
        delay(cluster, cluster.replicas[0], 0)
        cluster.wait_caught_up()
        shown = desk.run(READ)
        assert (shown.table, shown.notes) == ([("later",)], ())


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_server_that_tells_nonsense_has_no_position(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=1)
    engine = engine_of(cluster)
    engine.topology()
    position = engine.position("primary")
    wait_for(lambda: engine.has_reached("replica-1", position, within_seconds=0.5))
    for wrong in ("', 0) OR SLEEP(9) #", "", "nonsense"):
        assert not engine.has_reached("replica-1", wrong, within_seconds=0.1)
    # What was refused left the connection whole.
    assert engine.has_reached("replica-1", position, within_seconds=0.5)
    kill(cluster.replicas[0])
    assert engine.position("replica-1") == ""
    assert not engine.has_reached("replica-1", position, within_seconds=0.1)
    engine.close()
