"""Real clusters: they replicate, refuse, hold the shop, and end when they should."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pymysql
import pytest

from safeconsole.demo import shop
from safeconsole.demo.binaries import FLAVOURS
from tests.harness.clusters import account_connect, has_ended, kill, promote, start_replication, stop_replication
from safeconsole.demo.servers import NotCaughtUpError

ROOT = Path(__file__).parents[2]
READ_ONLY, DENIED = 1290, 1142
MEMORY = "CONTROLLED_MEMORY,MAX_CONTROLLED_MEMORY,MAX_TOTAL_MEMORY,PROCESSLIST_ID,THREAD_ID,TOTAL_MEMORY"
CHANGE = "SELECT,INSERT,UPDATE,DELETE,CREATE,DROP,INDEX,ALTER,SHOW VIEW"
SYS = tuple(f"SELECT ON sys.{name}" for name in ("innodb_lock_waits", "schema_table_lock_waits", "sys_config"))
SYS_FUNCTIONS = ("format_statement", "ps_thread_account", "quote_identifier", "sys_get_config")
GRANTS = {
    ("mysql", "console_read"): {
        "REPLICATION CLIENT ON *.*",
        "SELECT,SHOW VIEW ON shop.*",
        "SELECT ON mysql.innodb_table_stats",
        "SELECT ON mysql.innodb_index_stats",
        f"SELECT({MEMORY}) ON performance_schema.threads",
        "SELECT ON performance_schema.memory_summary_global_by_event_name",
    },
    ("mysql", "console_elevated"): {
        "PROCESS,REPLICATION CLIENT ON *.*",
        "CONNECTION_ADMIN ON *.*",
        f"{CHANGE} ON shop.*",
        "SELECT ON mysql.innodb_table_stats",
        "SELECT ON mysql.innodb_index_stats",
        f"SELECT({MEMORY}) ON performance_schema.threads",
        "SELECT ON performance_schema.memory_summary_global_by_event_name",
    },
    ("mysql", "console_diagnose"): {
        "PROCESS,REPLICATION CLIENT ON *.*",
        *SYS,
        *(f"EXECUTE ON FUNCTION sys.{name}" for name in SYS_FUNCTIONS),
        *(
            f"SELECT ON performance_schema.{table}"
            for table in (
                "data_lock_waits",
                "data_locks",
                "events_statements_current",
                "memory_summary_global_by_event_name",
                "metadata_locks",
                "replication_applier_status",
                "replication_applier_status_by_coordinator",
                "replication_applier_status_by_worker",
                "replication_connection_status",
                "threads",
            )
        ),
    },
    ("mysql", "replicator"): {"REPLICATION SLAVE ON *.*"},
    ("mariadb", "console_read"): {
        "SLAVE MONITOR ON *.*",
        "SELECT,SHOW VIEW ON shop.*",
        "SELECT ON mysql.innodb_table_stats",
        "SELECT ON mysql.innodb_index_stats",
    },
    ("mariadb", "console_elevated"): {
        "PROCESS,CONNECTION ADMIN,SLAVE MONITOR ON *.*",
        f"{CHANGE} ON shop.*",
        "SELECT ON mysql.innodb_table_stats",
        "SELECT ON mysql.innodb_index_stats",
    },
    ("mariadb", "console_diagnose"): {
        "PROCESS,BINLOG MONITOR,SLAVE MONITOR ON *.*",
        *SYS,
        *(f"EXECUTE ON FUNCTION sys.{name}" for name in SYS_FUNCTIONS),
        *(f"SELECT ON performance_schema.{t}" for t in ("events_statements_current", "metadata_locks", "threads")),
    },
    ("mariadb", "replicator"): {"REPLICATION SLAVE ON *.*"},
}


def ask(connection, question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()


def ask_as(cluster, node, account, question):
    with account_connect(cluster, node, account) as connection:
        return ask(connection, question)


def wait_until(fact, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)


def grant_words(text):
    words = text.replace("`", "").removeprefix("GRANT ").split(" TO ")[0]
    return re.sub(r"\s*\(", "(", re.sub(r",\s+", ",", words))


@pytest.fixture
def rows_put_back(cluster):
    """Undo what a test wrote to the products of the shared cluster."""
    yield
    with cluster.dba_connect(cluster.primary) as dba:
        ask(dba, f"DELETE FROM shop.products WHERE id > {shop.PRODUCT_COUNT}")
    cluster.wait_caught_up()


def test_every_node_holds_the_whole_shop_and_the_leftovers(cluster):
    expected = {table.name: sum(1 for _ in shop.rows(table.name)) for table in shop.TABLES}
    for node in cluster.nodes:
        counted = {
            name: ask_as(cluster, node, "console_read", f"SELECT COUNT(*) FROM shop.{name}")[0][0] for name in expected
        }
        assert counted == expected
    assert expected["orders"] == 5_000
    assert expected["_orders_gho"] > 0


def test_no_server_holds_asynchronous_requests_of_the_kernel(cluster):
    """The kernel has 65,536 of them for all programs, a MySQL server asks for thousands, and does not start without."""
    for node in cluster.nodes:
        with cluster.dba_connect(node) as connection:
            assert ask(connection, "SELECT @@innodb_use_native_aio") == ((0,),)


def test_orders_have_the_ids_one_to_five_thousand(cluster):
    bounds = ask_as(cluster, cluster.replicas[0], "console_read", "SELECT MIN(id), MAX(id), COUNT(*) FROM orders")
    assert bounds == ((1, 5_000, 5_000),)


def test_a_write_on_the_primary_arrives_on_every_replica(cluster, rows_put_back):
    written = "INSERT INTO products (id, name, price, stock) VALUES (900, 'new', 1.50, 3)"
    ask_as(cluster, cluster.primary, "console_elevated", written)
    cluster.wait_caught_up()
    for node in cluster.replicas:
        arrived = ask_as(cluster, node, "console_read", "SELECT name FROM products WHERE id = 900")
        assert arrived == (("new",),)


@pytest.mark.parametrize("account", ["console_read", "console_elevated"])
def test_a_replica_refuses_writes(cluster, account):
    for node in cluster.replicas:
        with pytest.raises(pymysql.MySQLError) as refused:
            ask_as(cluster, node, account, "UPDATE products SET stock = 0 WHERE id = 1")
        # Asked before any privilege is looked at.
        assert refused.value.args[0] == READ_ONLY


def test_the_primary_refuses_writes_of_the_read_account(cluster):
    with pytest.raises(pymysql.MySQLError) as refused:
        ask_as(cluster, cluster.primary, "console_read", "DELETE FROM products WHERE id = 1")
    assert refused.value.args[0] == DENIED


def test_the_elevated_account_may_change_the_shop_and_its_tables(cluster):
    with account_connect(cluster, cluster.primary, "console_elevated") as connection:
        ask(connection, "CREATE TABLE try_out (id INT PRIMARY KEY, word VARCHAR(9))")
        ask(connection, "ALTER TABLE try_out ADD INDEX by_word (word)")
        ask(connection, "INSERT INTO try_out VALUES (1, 'one')")
        cluster.wait_caught_up()
        for node in cluster.replicas:
            assert ask_as(cluster, node, "console_read", "SELECT word FROM try_out WHERE word = 'one'") == (("one",),)
        ask(connection, "DROP TABLE try_out")
    cluster.wait_caught_up()


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_accounts_have_exactly_their_grants_on_every_node(private_cluster, flavour):
    # A cluster of its own: on the shared one other tests lend these accounts more for a while.
    cluster = private_cluster(flavour, replicas=1)
    for node in cluster.nodes:
        for account in cluster.accounts:
            with cluster.dba_connect(node) as dba:
                shown = {grant_words(row[0]) for row in ask(dba, f"SHOW GRANTS FOR '{account}'@'%'")}
            assert shown - {"USAGE ON *.*"} == GRANTS[cluster.flavour, account]


def test_no_account_but_ours_can_log_in_over_the_network(cluster):
    for node in cluster.nodes:
        with pytest.raises(pymysql.MySQLError):
            pymysql.connect(host=node.host, port=node.port, user="root", password="")


def test_replicas_are_registered_with_the_primary(cluster):
    question = "SHOW REPLICAS" if cluster.flavour == "mysql" else "SHOW SLAVE HOSTS"
    with cluster.dba_connect(cluster.primary) as dba:
        ports = {row[2] for row in ask(dba, question)}
    assert ports == {node.port for node in cluster.replicas}


def test_every_node_has_an_identity_of_its_own(cluster):
    variable = "@@server_uuid" if cluster.flavour == "mysql" else "@@server_id"
    found = {ask_as(cluster, node, "console_read", f"SELECT {variable}") for node in cluster.nodes}
    assert len(found) == 3


def test_sizes_of_all_tables_are_in_the_stored_statistics_of_a_replica(cluster):
    question = "SELECT table_name FROM mysql.innodb_table_stats WHERE database_name = 'shop' AND n_rows > 0"
    found = {row[0] for row in ask_as(cluster, cluster.replicas[0], "console_read", question)}
    assert found >= {table.name for table in shop.TABLES}


def test_a_shared_cluster_cannot_be_stopped_by_who_borrows_it(cluster):
    with pytest.raises(RuntimeError):
        cluster.stop()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_cluster_survives_failures_and_a_promotion(flavour, private_cluster):
    """One story, since each cluster takes seconds to start."""
    cluster = private_cluster(flavour)
    first, second = cluster.replicas
    former = cluster.primary
    write = "INSERT INTO products (id, name, price, stock) VALUES ({}, 'x', 1, 1)"

    stop_replication(cluster, first)
    ask_as(cluster, former, "console_elevated", write.format(901))
    with pytest.raises(NotCaughtUpError):
        cluster.wait_caught_up(timeout_seconds=0.5)
    start_replication(cluster, first)
    cluster.wait_caught_up()

    promote(cluster, first)
    assert [node.role for node in cluster.nodes] == ["detached", "primary", "replica"]
    with pytest.raises(pymysql.MySQLError) as refused:
        ask_as(cluster, former, "console_elevated", write.format(902))
    assert refused.value.args[0] == READ_ONLY
    ask_as(cluster, first, "console_elevated", write.format(903))
    cluster.wait_caught_up()
    arrived = "SELECT id FROM products WHERE id > 900 ORDER BY id"
    assert ask_as(cluster, second, "console_read", arrived) == ((901,), (903,))

    kill(first)
    with pytest.raises(pymysql.OperationalError):
        account_connect(cluster, first, "console_read")
    promote(cluster, second)
    ask_as(cluster, second, "console_elevated", write.format(904))

    cluster.stop()
    assert all(has_ended(node.pid) for node in cluster.nodes)
    assert not any(node.datadir.exists() or node.socket.exists() for node in cluster.nodes)
    cluster.stop()


STARTER = """
import sys, time
from pathlib import Path
from safeconsole.demo.servers import start_cluster
cluster = start_cluster(sys.argv[1], Path(sys.argv[2]), replicas=1)
print(*(node.pid for node in cluster.nodes), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_server_outlives_a_killed_parent(flavour, tmp_path, private_cluster, shared_clusters):
    shared_clusters(flavour)
    command = (sys.executable, "-c", STARTER, flavour, str(tmp_path / "orphaned"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(has_ended(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
        wait_until(lambda: all(has_ended(pid) for pid in pids))


def test_a_keeper_ends_its_cluster_when_the_watched_process_is_killed(tmp_path, shared_clusters):
    shared_clusters("mariadb")
    starter = (
        "import sys, os, time; from pathlib import Path; from tests.harness.keeper import shared_cluster\n"
        "first = shared_cluster('mariadb', Path(sys.argv[1]), while_pid=os.getpid())\n"
        "again = shared_cluster('mariadb', Path(sys.argv[1]), while_pid=1)\n"
        "assert first.nodes == again.nodes\n"
        "print(*(node.pid for node in again.nodes), flush=True); time.sleep(600)"
    )
    command = (sys.executable, "-c", starter, str(tmp_path / "kept"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as watched:
        pids = [int(word) for word in watched.stdout.readline().split()]
        assert len(pids) == 3
        watched.send_signal(signal.SIGKILL)
        # The watched process stays unreaped here, and must count as ended all the same.
        wait_until(lambda: all(has_ended(pid) for pid in pids))
        wait_until(lambda: not (tmp_path / "kept" / "primary").exists())
