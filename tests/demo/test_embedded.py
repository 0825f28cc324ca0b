"""The embedded cluster: real copies, readable while they change, with a lag that shows."""

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from safeconsole.demo import shop
from safeconsole.demo.embedded import Replicator, create_embedded


@pytest.fixture
def cluster(tmp_path):
    return create_embedded(tmp_path / "shop")


def reader(node):
    return closing(sqlite3.connect(f"{node.path.as_uri()}?mode=ro", uri=True, timeout=5))


def count(node, table="orders"):
    with reader(node) as connection:
        return connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]


def write(cluster, *statements):
    with closing(sqlite3.connect(cluster.primary.path, timeout=5)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def wait_until(fact, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)


def test_every_file_holds_the_whole_shop(cluster):
    for node in cluster.nodes:
        counted = {table.name: count(node, table.name) for table in shop.TABLES}
        assert counted == {table.name: sum(1 for _ in shop.rows(table.name)) for table in shop.TABLES}
        with reader(node) as connection:
            assert connection.execute("SELECT MIN(id), MAX(id) FROM orders").fetchone() == (1, 5_000)


def test_the_files_are_named_as_promised(cluster):
    assert sorted(path.name for path in cluster.directory.iterdir()) == [
        "demo.key",
        "primary.db",
        "primary.json",
        "replica-1.db",
        "replica-1.json",
        "replica-2.db",
        "replica-2.json",
    ]


def test_a_cluster_is_not_created_over_another(cluster):
    with pytest.raises(FileExistsError):
        create_embedded(cluster.directory)


def test_the_schema_resolves_when_the_file_is_attached_under_its_name(cluster):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"ATTACH '{cluster.replicas[0].path}' AS shop")
        assert connection.execute("SELECT COUNT(*) FROM shop.orders").fetchone() == (5_000,)
        assert connection.execute("SELECT COUNT(*) FROM orders").fetchone() == (5_000,)


def test_sidecars_prove_roles_and_where_a_replica_comes_from(cluster):
    primary = cluster.primary.read_sidecar()
    replicas = [node.read_sidecar() for node in cluster.replicas]
    assert primary.role == "primary"
    assert primary.source is None
    assert {replica.role for replica in replicas} == {"replica"}
    assert {replica.source for replica in replicas} == {primary.identity}
    assert len({primary.identity, *(replica.identity for replica in replicas)}) == 3


def test_a_write_arrives_on_every_replica_and_is_recorded(cluster):
    before = cluster.replicas[0].read_sidecar()
    with Replicator(cluster) as replicator:
        write(
            cluster, "INSERT INTO orders SELECT 5001, customer_id, status, total, created_at FROM orders WHERE id = 1"
        )
        assert replicator.wait_caught_up()
        assert [count(node) for node in cluster.replicas] == [5_001, 5_001]
        wait_until(lambda: cluster.replicas[0].read_sidecar().running)
    after = cluster.replicas[0].read_sidecar()
    assert after.copies > before.copies
    assert after.copied_at >= before.copied_at
    assert after.applied == cluster.primary.path.stat().st_mtime_ns
    assert after.identity == before.identity
    assert not after.running


def test_two_commits_within_one_tick_of_the_file_clock_both_arrive(cluster):
    with Replicator(cluster):
        for number in range(6_000, 6_030):
            write(cluster, f"INSERT INTO products VALUES ({number}, 'x', 1, 1)")
        wait_until(lambda: {count(node, "products") for node in cluster.replicas} == {230})


def test_a_paused_replica_falls_behind_and_the_other_does_not(cluster):
    first, second = cluster.replicas
    with Replicator(cluster) as replicator:
        replicator.pause(first.name)
        time.sleep(0.2)
        write(cluster, "DELETE FROM orders WHERE id > 4000")
        wait_until(lambda: count(second) == 4_000)
        assert count(first) == 5_000
        assert first.read_sidecar().applied < cluster.primary.path.stat().st_mtime_ns
        assert not first.read_sidecar().running
        lag = time.time() - first.read_sidecar().caught_up_at
        time.sleep(0.2)
        assert time.time() - first.read_sidecar().caught_up_at > lag
        replicator.resume(first.name)
        wait_until(lambda: count(first) == 4_000)
        wait_until(lambda: first.read_sidecar().running)


def test_an_idle_replica_keeps_saying_that_it_misses_nothing(cluster):
    with Replicator(cluster):
        node = cluster.replicas[0]
        wait_until(lambda: node.read_sidecar().running)
        seen = node.read_sidecar().caught_up_at
        wait_until(lambda: node.read_sidecar().caught_up_at > seen)
        assert node.read_sidecar().copies <= 2


def test_an_unknown_replica_cannot_be_paused(cluster):
    with pytest.raises(ValueError, match="primary"):
        Replicator(cluster).pause("primary")


def test_a_replicator_starts_once_and_again_after_a_stop(cluster):
    replicator = Replicator(cluster)
    with replicator, pytest.raises(RuntimeError):
        replicator.start()
    with replicator:
        write(cluster, "DELETE FROM orders WHERE id = 1")
        assert replicator.wait_caught_up()
        assert count(cluster.replicas[1]) == 4_999


READER = """
import sqlite3, sys, time
end = time.monotonic() + 2.5
reads, sums = 0, set()
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=5)
while time.monotonic() < end:
    total, rows = connection.execute("SELECT SUM(stock), COUNT(*) FROM products").fetchone()
    assert total == 200 * (total // 200), total
    sums.add(total)
    reads += 1
    time.sleep(0.002)
print(reads, len(sums))
"""


def test_another_process_reads_whole_states_while_the_replica_changes(cluster):
    """Every commit gives all products the same stock, so a torn read would show."""
    write(cluster, "UPDATE products SET stock = 0")
    with Replicator(cluster) as replicator:
        assert replicator.wait_caught_up()
        stopping = threading.Event()

        def keep_writing():
            number = 0
            while not stopping.is_set():
                number += 1
                write(cluster, f"UPDATE products SET stock = {number}")
                time.sleep(0.02)

        writer = threading.Thread(target=keep_writing)
        writer.start()
        done = subprocess.run(
            (sys.executable, "-c", READER, str(cluster.replicas[0].path)), capture_output=True, text=True
        )
        stopping.set()
        writer.join()
    assert done.returncode == 0, done.stderr
    reads, states = map(int, done.stdout.split())
    assert reads > 20
    assert states > 1


def test_a_reader_that_holds_a_replica_delays_it_and_loses_nothing(cluster):
    node, other = cluster.replicas
    with Replicator(cluster), reader(node) as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT COUNT(*) FROM orders").fetchone()
        write(cluster, "DELETE FROM orders WHERE id <= 10")
        time.sleep(0.3)
        assert holder.execute("SELECT COUNT(*) FROM orders").fetchone() == (5_000,)
        holder.execute("COMMIT")
        wait_until(lambda: count(node) == count(other) == 4_990)


def test_it_is_ready_within_a_second(tmp_path):
    started = time.monotonic()
    create_embedded(tmp_path / "quick")
    # The promise is one second on a quiet machine; test machines are busy.
    assert time.monotonic() - started < 15
