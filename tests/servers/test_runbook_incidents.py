"""Every incident of docs/runbook.md is played on real servers: what the page prints is typed, and what it promises is seen."""

import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager

import pymysql
import pytest

from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from tests.console.test_runbook import ALL, steps_of, words
from tests.harness.incidents import APP, Blocked, applications, console_on
from tests.harness.talking import wait_for
from tests.servers.conftest import _require

SETTLE_SECONDS = 15
SCENE = re.compile(r"<!-- real servers: (.*?) -->")
INCIDENTS = {SCENE.search(body)[1]: body for _, body in ALL if SCENE.search(body)}


@pytest.fixture(scope="module", params=FLAVOURS)
def cluster(request, tmp_path_factory):
    """A cluster of the incidents' own: what is done to it is felt by all who use it."""
    _require(request.param)
    running = start_cluster(request.param, tmp_path_factory.mktemp(request.param) / "cluster", replicas=2)
    if request.param == "mariadb":
        with running.dba_connect(running.primary) as dba, dba.cursor() as cursor:
            cursor.execute(
                "UPDATE performance_schema.setup_instruments SET enabled = 'YES'"
                " WHERE name = 'wait/lock/metadata/sql/mdl'"
            )
    try:
        yield running
    finally:
        running.stop()


def play(cluster, directory, incident, *, id_=41, answers=()):
    """Type what the page prints, with the id that stands for 41, and look for what it promises."""
    with console_on(cluster, directory / "desk", justification=None) as console:
        console.answers = list(answers)
        shown = ""
        for _, typed, seen in (step for step in steps_of(INCIDENTS[incident]) if step[0] == "shop"):
            wanted = [words(excerpt).replace("41", str(id_)) for excerpt in seen]
            until = time.monotonic() + SETTLE_SECONDS
            while True:
                data, messages = console.type(typed.replace("41", str(id_)), decorated=True)
                now = words(data + messages)
                missing = [excerpt for excerpt in wanted if excerpt not in now]
                # What waited for a lock goes on a moment after its holder is gone: a look is repeated, as a person does.
                if not missing or typed.startswith("\\kill") or time.monotonic() > until:
                    break
                time.sleep(0.2)
            assert not missing, f"{typed}: {data}{messages}"
            shown += data + messages
        assert "this is a fault of safeconsole" not in shown
    return shown


def test_the_page_has_the_six_incidents():
    assert list(INCIDENTS) == [
        "a blocked row",
        "a runaway query",
        "a long transaction",
        "a storm of connections",
        "a full disk",
        "a broken replica",
    ]


def test_a_blocked_row(cluster, tmp_path):
    with applications(cluster, user=APP) as apps:
        scene = Blocked(apps, "orders")
        play(cluster, tmp_path, "a blocked row", id_=scene.holder)


def test_a_runaway_query(cluster, tmp_path):
    with applications(cluster, user=APP) as apps:
        runs = apps.begin("SELECT COUNT(*) FROM orders a, orders b, orders c WHERE a.total + b.total < c.total")
        play(cluster, tmp_path, "a runaway query", id_=runs)


def test_a_long_transaction(cluster, tmp_path):
    with applications(cluster, user=APP) as apps:
        opened = apps.run("BEGIN", "UPDATE orders SET status = 'forgotten' WHERE id = 7")
        apps.run("BEGIN", "UPDATE orders SET status = 'forgotten' WHERE id = 8")
        wait_for(
            lambda: (
                (
                    apps.ask(
                        "SELECT MIN(TIMESTAMPDIFF(SECOND, trx_started, NOW())) FROM information_schema.innodb_trx"
                    )[0]
                    or 0
                )
                >= 2
            )
        )
        shown = play(cluster, tmp_path, "a long transaction", id_=opened, answers=["2"])
        assert "2 sessions to end on primary" in shown


def test_a_storm_of_connections(cluster, tmp_path):
    with applications(cluster, user=APP) as apps, _most_connections(cluster, 80):
        idle = [apps.run("SELECT 1") for _ in range(30)]
        time.sleep(1.1)
        play(cluster, tmp_path, "a storm of connections", id_=idle[0], answers=["30"])
        assert not any(apps.is_there(id_) for id_ in idle)


@contextmanager
def _most_connections(cluster, most):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.max_connections")
        (before,) = cursor.fetchone()
        cursor.execute(f"SET GLOBAL max_connections = {most}")
    try:
        yield
    finally:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute(f"SET GLOBAL max_connections = {before}")


def test_a_broken_replica(cluster, tmp_path):
    first = cluster.replicas[0]
    with cluster.dba_connect(first) as dba, dba.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute("SET GLOBAL super_read_only = 0" if cluster.flavour == "mysql" else "SELECT 1")
        cursor.execute(_a_row("4711001", cursor))
        cursor.execute("SET GLOBAL super_read_only = 1" if cluster.flavour == "mysql" else "SELECT 1")
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(_a_row("4711001", cursor))
    with cluster.dba_connect(first) as dba, dba.cursor(pymysql.cursors.DictCursor) as cursor:

        def is_broken():
            cursor.execute("SHOW REPLICA STATUS")
            row = cursor.fetchone()
            return "No" in (row.get("Replica_SQL_Running"), row.get("Slave_SQL_Running"))

        wait_for(is_broken)
    play(cluster, tmp_path, "a broken replica")


def _a_row(id_, cursor):
    """An INSERT of a copy of the first customer under another id."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'shop'"
        " AND table_name = 'customers' ORDER BY ordinal_position"
    )
    names = [row[0] for row in cursor.fetchall()]
    rest = ", ".join(names[1:])
    return f"INSERT INTO shop.customers ({names[0]}, {rest}) SELECT {id_}, {rest} FROM shop.customers WHERE id = 1"


@pytest.fixture(params=FLAVOURS)
def crowded(request, tmp_path):
    """A server on a small disk of its own."""
    _require(request.param)
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no file system can be mounted here, so no disk can be filled")
    running = None
    try:
        running = start_cluster(request.param, place / "cluster", replicas=1)
        yield running, place
    finally:
        (place / "ballast").unlink(missing_ok=True)
        if running is not None:
            running.stop()
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(crowded, tmp_path):
    cluster, place = crowded
    with console_on(cluster, tmp_path / "before") as console:
        console.desk.session.topology()
    with applications(cluster, user=APP) as apps:
        writes = apps.connect()
        with writes.cursor() as cursor:
            cursor.execute("CREATE TABLE filler (id INT AUTO_INCREMENT PRIMARY KEY, what LONGBLOB)")
        cluster.wait_caught_up()

        def fill():
            # Each attempt fills the disk until the server refuses, and leaves the file as large as it was.
            while True:
                try:
                    with writes.cursor() as cursor:
                        cursor.execute("INSERT INTO filler (what) SELECT REPEAT('x', 100000) FROM orders a, orders b")
                except (pymysql.InterfaceError, OSError):
                    return
                except pymysql.MySQLError as error:
                    if error.args[0] in {0, 2006, 2013}:
                        return

        filling = threading.Thread(target=fill, daemon=True)
        free = shutil.disk_usage(place).free
        (place / "ballast").write_bytes(b"x" * max(free - 30_000_000, 0))
        filling.start()
        wait_for(lambda: shutil.disk_usage(place).free < 2_000_000)
        play(cluster, tmp_path, "a full disk", id_=writes.thread_id())
        assert not apps.is_there(writes.thread_id())
