"""Three real servers in one Galera cluster, all of which take writes: found, read, written on one, followed."""

import json
import os
import time

import pytest

from safeconsole.app import run
from safeconsole.demo.binaries import ServersUnavailableError
from safeconsole.sqltext.vocabulary import Role

from tests.harness.desk import demo_configuration, seated
from tests.harness.galera import GaleraCluster
from tests.harness.talking import engine_of, wait_for

pytestmark = pytest.mark.timeout(300)
CHANGE = "UPDATE orders SET total = total + 1 WHERE id = 1"
TOTAL = "SELECT total FROM orders WHERE id = 1"


@pytest.fixture(scope="module")
def galera(shared_clusters, tmp_path_factory):
    """The servers; the tests come in the order in which they break them."""
    try:
        cluster = GaleraCluster(tmp_path_factory.mktemp("galera") / "nodes")
    except ServersUnavailableError as error:
        pytest.skip(f"NO REAL SERVERS: {error}")
    yield cluster
    cluster.stop()


@pytest.fixture
def sit(galera, tmp_path):
    """A function that sits down at the servers, of which the configuration names some, with a choice of writers."""

    def at(*writer, named=3, **settings):
        nodes = {node.name: f"{node.host}:{node.port}" for node in galera.nodes[:named]}
        return seated(galera, tmp_path / "desk", nodes=nodes, writer=list(writer), connect_seconds=3, **settings)

    return at


def readings_of(galera, *writer):
    engine = engine_of(galera, writer=writer, connect_seconds=3)
    try:
        return {str(reading.node): reading for reading in engine.topology()}
    finally:
        engine.close()


def test_without_a_chosen_writer_nothing_goes_anywhere_and_the_setting_is_named(galera, sit, tmp_path, capfd):
    with sit() as desk:
        for text in (CHANGE, TOTAL):
            error = desk.error_of(text)
            assert 'writer = ["node-1", "node-2", "node-3"]' in error.instead
    (tmp_path / "doctor").mkdir()
    config = demo_configuration(galera, tmp_path / "doctor")
    capfd.readouterr()
    run(["--config", str(config), "doctor", "shop", "--format", "json"], {**os.environ, "HOME": str(tmp_path)})
    (primary,) = [check for check in json.loads(capfd.readouterr().out) if check["what"] == "primary"]
    assert (primary["finding"], 'writer = ["node-1", "node-2", "node-3"]' in primary["remedy"]) == ("wrong", True)


def test_one_node_leads_to_the_others_and_the_chosen_one_is_the_primary(galera, sit):
    with sit("node-2", "node-1", named=1, names={}) as desk:
        readings = {reading.identity.address: reading for reading in desk.session.topology()}
    assert len(readings) == 3
    assert {reading.found for reading in readings.values()} == {"", "in the group of node-1"}
    readings = readings_of(galera, "node-2", "node-1")
    assert {name: reading.role for name, reading in readings.items()} == {
        "node-1": Role.REPLICA,
        "node-2": Role.PRIMARY,
        "node-3": Role.REPLICA,
    }
    assert "takes writes too, which go to node-2" in readings["node-3"].proof


def test_changes_go_to_the_writer_and_are_read_on_the_others_at_once(galera, sit):
    with sit("node-2") as desk:
        for _ in range(5):
            before = desk.run(TOTAL).table[0][0]
            assert desk.run(CHANGE).where == "node-2"
            shown = desk.run(TOTAL)
            assert (shown.where != "node-2", shown.table[0][0], shown.notes) == (True, before + 1, ())
        desk.session.use("node-3")
        assert desk.error_of(CHANGE).instead == "send it to the primary"


def test_a_node_that_takes_writes_is_read_and_given_nothing_that_is_elevated(galera, sit):
    with sit("node-1") as desk:
        desk.session.use("node-3")
        error = desk.error_of("SELECT total FROM orders WHERE id = 1 FOR UPDATE")
        assert "takes writes too, and what is elevated goes to the writer alone" in error.message
        assert desk.run(TOTAL).where == "node-3"


def test_a_node_that_applies_nothing_is_read_by_nobody_and_still_written_on(galera, sit):
    node = galera.nodes[2]
    with galera.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        reading = readings_of(galera, "node-1")["node-3"]
        assert (reading.role, reading.lag_seconds, "donor/desynced" in reading.proof) == (Role.REPLICA, None, True)
        # From now on: what was measured a moment before is believed.
        with sit("node-1") as desk:
            assert desk.run(CHANGE).where == "node-1"
            assert desk.run(TOTAL).where == "node-2"
            # Its queue is empty, and it has not the change.
            desk.session.use("node-3")
            told = desk.run(TOTAL).notes
        assert any("may not have your change" in note or "may be stale" in note for note in told)
        cursor.execute("UNLOCK TABLES")
    galera.tell(galera.nodes[0], "SET GLOBAL wsrep_desync = ON")
    # It gives another node its data, say, and is the writer still.
    assert readings_of(galera, "node-1", "node-2")["node-1"].role is Role.PRIMARY
    galera.tell(galera.nodes[0], "SET GLOBAL wsrep_desync = OFF")


def test_the_writer_dies_and_the_next_in_line_takes_its_place_until_too_few_are_left(galera, sit):
    first, second, third = galera.nodes
    with sit("node-1", "node-2") as desk:
        assert desk.run(CHANGE).where == "node-1"
        galera.kill(first)
        started = time.monotonic()
        seconds, errors, shown = desk.seconds_until(CHANGE, at_most=60)
        assert shown.where == "node-2"
        assert desk.run(TOTAL).where == "node-3"
        told = errors[0].message if errors else "nothing"
        print(f"\n| Galera: kill -9 of the writer while nothing runs | {told} | 1 | {seconds:.1f} s |")
        assert time.monotonic() - started < 60
        galera.kill(second)
        wait_for(lambda: galera.status(third)["wsrep_cluster_status"] == "non-Primary", at_most=60)
        reading = readings_of(galera, "node-1", "node-2")["node-3"]
        assert (reading.role, "non-Primary: no quorum" in reading.proof) == (Role.UNKNOWN, True)
        # While what was measured before is believed, the node itself says it.
        told = [desk.error_of(TOTAL) for _ in range(2)]
        assert all("takes part in no cluster now" in each.message or each.evidence for each in told)
        assert "non-Primary: no quorum" in str(told[-1].evidence)
