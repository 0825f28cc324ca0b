"""What a file proves about itself, and what is refused when the proof does not hold."""

import json
import os
import shutil
import time

import pytest

from safeconsole.clock import SystemClock
from safeconsole.sqlite.engine import open_engine
from safeconsole.sqlite.sidecar import SILENT_SECONDS, FileNode, prove
from safeconsole.errors import ConfigurationError, RefusedError, UnreachableError
from safeconsole.config.settings import ClusterSettings
from safeconsole.sqltext.vocabulary import Account, Flavour, NodeName, Role, Route
from tests.sqlite.conftest import permit


def engine(*paths, **settings):
    nodes = tuple(str(path) for path in paths)
    return open_engine("shop", ClusterSettings(nodes=nodes, engine="sqlite", **settings), SystemClock())


def write_sidecar(path, **fields):
    path.with_suffix(".json").write_text(json.dumps(fields), encoding="utf-8")


def place(directory, name, **fields):
    path = directory / f"{name}.db"
    path.touch()
    if fields:
        write_sidecar(path, **fields)
    return FileNode(node=NodeName(name), path=path)


NOW = 1_700_000_000.0


def proofs(directory, **nodes):
    places = tuple(place(directory, name, **fields) for name, fields in nodes.items())
    return {node.node: prove(node, places, now_seconds=NOW) for node in places}


def replica(directory, *, missing=False, **fields):
    os.utime(directory / "p.db", ns=(1, 2000 if missing else 1000))
    write_sidecar(directory / "r.db", identity="R", role="replica", source="P", applied=1000, **fields)
    places = tuple(FileNode(node=NodeName(name), path=directory / f"{name}.db") for name in "pr")
    return prove(places[1], places, now_seconds=NOW)


@pytest.fixture
def pair(tmp_path):
    place(tmp_path, "p", identity="P", role="primary")
    place(tmp_path, "r", identity="R", role="replica", source="P")
    return tmp_path


def test_a_primary_is_copied_from_nothing(tmp_path):
    proof = proofs(tmp_path, p={"identity": "P", "role": "primary"})["p"]
    assert (proof.role, proof.identity, proof.lag_seconds) == (Role.PRIMARY, "P", None)


def test_a_replica_that_misses_nothing_has_no_lag(pair):
    proof = replica(pair, running=True, caught_up_at=NOW - 1)
    assert (proof.role, proof.lag_seconds, proof.replicating) == (Role.REPLICA, 0.0, True)
    assert proof.text == "copied from p, nothing missing"


def test_a_replica_that_misses_something_lags_since_it_last_did_not(pair):
    proof = replica(pair, missing=True, running=True, caught_up_at=NOW - 3)
    assert (proof.lag_seconds, proof.replicating) == (3.0, True)


def test_a_replica_whose_replicator_crashed_or_stopped_is_not_replicating(pair):
    crashed = replica(pair, running=True, caught_up_at=NOW - SILENT_SECONDS - 1)
    stopped = replica(pair, running=False, caught_up_at=NOW)
    assert not crashed.replicating
    assert not stopped.replicating
    assert "no replicator follows" in stopped.text


def test_a_clock_that_runs_behind_gives_no_negative_lag(pair):
    assert replica(pair, missing=True, running=True, caught_up_at=NOW + 100).lag_seconds == 0.0


def test_a_source_that_is_gone_leaves_the_lag_unknown(pair):
    (pair / "p.db").unlink()
    places = tuple(FileNode(node=NodeName(name), path=pair / f"{name}.db") for name in "pr")
    proof = prove(places[1], places, now_seconds=NOW)
    assert (proof.role, proof.lag_seconds, proof.replicating) == (Role.REPLICA, None, False)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ({"n": {}}, "its sidecar n.json cannot be read"),
        ({"n": {"identity": "N"}}, "says nothing that can be understood"),
        ({"n": {"identity": "N", "role": "chief"}}, "says nothing that can be understood"),
        ({"n": {"identity": "N", "role": "primary", "source": "X"}}, "a primary that is copied from another file"),
        ({"n": {"identity": "N", "role": "replica", "source": "X"}}, "its source is not a primary of this cluster"),
        (
            {"n": {"identity": "N", "role": "replica", "source": "M"}, "m": {"identity": "M", "role": "replica"}},
            "its source is not a primary of this cluster",
        ),
        (
            {"n": {"identity": "N", "role": "primary"}, "m": {"identity": "N", "role": "primary"}},
            "m claims the same identity",
        ),
    ],
)
def test_what_contradicts_itself_proves_nothing(tmp_path, nodes, text):
    proof = proofs(tmp_path, **nodes)["n"]
    assert proof.role is Role.UNKNOWN
    assert text in proof.text


def test_every_node_is_measured(talk):
    readings = {reading.node: reading for reading in talk.engine.topology()}
    assert set(readings) == {"primary", "replica-1", "replica-2"}
    for name, reading in readings.items():
        assert reading.role is (Role.PRIMARY if name == "primary" else Role.REPLICA)
        assert (reading.flavour, reading.tables, reading.identity.address) == (
            Flavour.SQLITE,
            11,
            str(talk.paths[name]),
        )
        assert reading.free_memory_bytes > 0
        assert reading.used_memory_bytes > 0


def test_a_node_that_is_not_there_is_a_reading_that_says_so(cluster):
    cluster.replicas[0].path.unlink()
    cluster.replicas[1].path.write_bytes(b"this is no database" * 1000)
    one, two, three = engine(*(node.path for node in cluster.nodes)).topology()
    assert one.unreachable == ""
    assert "replica-1 is not a file" in two.unreachable
    assert "not a database" in three.unreachable


@pytest.mark.parametrize("broken", ["missing", "no sidecar", "no database"])
def test_such_a_node_cannot_be_connected_to(cluster, broken):
    node = cluster.replicas[0]
    if broken == "missing":
        node.path.unlink()
    elif broken == "no sidecar":
        node.sidecar.unlink()
    else:
        node.path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(UnreachableError, match="replica-1"):
        engine(*(each.path for each in cluster.nodes)).connect(NodeName("replica-1"), Account.READ)


def test_names_and_schemas_come_from_the_configuration(cluster):
    path = str(cluster.primary.path)
    named = engine(path, names={path: "main-file"}, tags={path: ("console",)}, schema="crm")
    (reading,) = named.topology()
    assert (reading.node, reading.tags) == ("main-file", frozenset({"console"}))
    connection = named.connect(NodeName("main-file"), Account.READ, schema="CRM")
    answer = connection.send(permit(connection, "SELECT count(*) FROM crm.orders", route=Route.PRIMARY))
    assert (list(answer.batches()), connection.schema) == ([[(5000,)]], "crm")
    connection.close()
    with pytest.raises(UnreachableError, match="has no schema shop"):
        named.connect(NodeName("main-file"), Account.READ, schema="shop")
    with pytest.raises(ConfigurationError) as refusal:
        named.connect(NodeName("primary"), Account.READ)
    assert "main-file" in refusal.value.instead


@pytest.mark.parametrize("text", ["a?mode=rw", "a#b", "a%20b", "a b'\"", "é"])
def test_no_character_of_a_path_opens_it_otherwise(tmp_path, cluster, text):
    odd = tmp_path / text
    shutil.copytree(cluster.directory, odd)
    connection = engine(odd / "primary.db").connect(NodeName("primary"), Account.READ)
    assert connection.guards["mode"] == "read-only"
    answer = connection.send(permit(connection, "SELECT count(*) FROM shop.orders", route=Route.PRIMARY))
    assert list(answer.batches()) == [[(5000,)]]
    connection.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"nodes": ()},
        {"nodes": ("a/x.db", "b/x.db")},
        {"nodes": ("a/x.db", "a/../a/x.db")},
        {"nodes": ("x.db",), "schema": "temp"},
        {"nodes": ("x.db",), "schema": "Main"},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(settings):
    with pytest.raises(ConfigurationError):
        open_engine("shop", ClusterSettings(engine="sqlite", **settings), SystemClock())


def test_a_role_that_changed_after_the_permit_sends_nothing(talk):
    connection = talk.elevated()
    made = permit(connection, "SELECT 1", account=Account.ELEVATED, route=Route.PRIMARY)
    node = talk.cluster.primary
    node.sidecar.write_text(json.dumps({"identity": node.read_sidecar().identity, "role": "replica", "source": "x"}))
    with pytest.raises(RefusedError, match="not the primary any longer"):
        connection.send(made)
    assert connection.prove().role is Role.UNKNOWN


def test_a_file_that_was_replaced_sends_nothing(talk):
    connection = talk.open("primary")
    made = permit(connection, "SELECT 1", route=Route.PRIMARY)
    copy = talk.paths["primary"].with_suffix(".copy")
    shutil.copy(talk.paths["primary"], copy)
    copy.replace(talk.paths["primary"])
    with pytest.raises(UnreachableError, match="another file now"):
        connection.send(made)
    assert connection.broken


def test_another_identity_in_the_sidecar_sends_nothing(talk):
    connection = talk.open("primary")
    made = permit(connection, "SELECT 1", route=Route.PRIMARY)
    write_sidecar(talk.paths["primary"], identity="another", role="primary")
    with pytest.raises(RefusedError, match="another file than the permit was made for"):
        connection.send(made)


def test_a_closed_connection_is_broken_and_says_so(talk):
    connection = talk.open()
    connection.close()
    assert connection.broken
    assert list(connection.guards) == ["unreadable"]
    with pytest.raises(UnreachableError):
        connection.prove()
    with pytest.raises(RefusedError):
        connection.send(permit(connection, "SELECT 1"))


def test_closing_in_the_middle_of_rows_ends_them(talk):
    connection = talk.open()
    batches = connection.send(permit(connection, "SELECT id FROM orders")).batches()
    next(batches)
    connection.close()
    with pytest.raises(Exception, match="stopped on replica-1"):
        next(batches)


def test_reads_see_what_the_primary_wrote_once_it_was_copied(talk):
    talk.change("UPDATE orders SET status = 'copied' WHERE id = 1")
    connection, deadline = talk.open("replica-2"), time.monotonic() + 5
    while talk.rows(connection, "SELECT status FROM orders WHERE id = 1") != [("copied",)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert connection.prove().lag_seconds == 0.0


def test_a_schema_change_reaches_open_connections(talk):
    connection, deadline = talk.open("replica-1"), time.monotonic() + 5
    talk.change("ALTER TABLE orders ADD COLUMN note TEXT DEFAULT 'n'")
    while "note" not in [name for (name,) in talk.rows(connection, "SELECT name FROM pragma_table_info('orders')")]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
