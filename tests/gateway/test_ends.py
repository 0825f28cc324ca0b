"""How statements and connections end: killed, vanished, drained; and what health and metrics say meanwhile."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pymysql
import pytest

from tests.harness.gateway import serving
from tests.harness.proxy import Proxy
from tests.harness.talking import threads_running, wait_for

SLOW = "SELECT COUNT(*), '{mark}' FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < 0"


def marked(name):
    return f"{name}{time.monotonic_ns()}"


def running_anywhere(gateway, mark):
    return any(threads_running(gateway.cluster, node, mark) for node in gateway.cluster.nodes)


class Asking(threading.Thread):
    """Asks on a thread of its own, and keeps the error."""

    def __init__(self, connection, text):
        super().__init__(daemon=True)
        self.connection, self.text, self.error = connection, text, None
        self.start()

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(self.text)
        except Exception as error:
            self.error = error


def test_a_kill_by_the_greetings_id_ends_the_statement_and_not_the_session(gateway):
    """As the mysql and mariadb clients, and mycli, do on Ctrl-C."""
    mark = marked("kill")
    with gateway.connect("ida") as busy, gateway.connect("ida") as control:
        asking = Asking(busy, SLOW.format(mark=mark))
        wait_for(lambda: running_anywhere(gateway, mark))
        with control.cursor() as cursor:
            cursor.execute(f"KILL QUERY {busy.thread_id()}")
        asking.join(10)
        assert asking.error.args[0] == 1317
        wait_for(lambda: not running_anywhere(gateway, mark))
        with busy.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchall() == ((1,),)


def test_a_client_that_is_killed_is_gone_from_the_server(gateway):
    mark = marked("gone")
    code = (
        "import pymysql, sys\n"
        f"c = pymysql.connect(unix_socket={gateway.socket!r}, user='x', database='shop')\n"
        f"c.cursor().execute({SLOW.format(mark=mark)!r})\n"
    )
    client = subprocess.Popen([sys.executable, "-c", code])
    try:
        wait_for(lambda: running_anywhere(gateway, mark))
        client.kill()
        killed = time.monotonic()
        wait_for(lambda: not running_anywhere(gateway, mark))
        print(f"gone after {time.monotonic() - killed:.2f} s")
    finally:
        client.kill()
        client.wait()


def test_a_client_whose_cable_is_cut_is_gone_from_the_server(gateway):
    mark = marked("cable")
    proxy = Proxy(gateway.host, gateway.port)
    host, port = proxy.address.rsplit(":", 1)
    try:
        connection = pymysql.connect(
            host=host, port=int(port), user="ida", password=gateway.token("ida"), database="shop", ssl_disabled=True
        )
        asking = Asking(connection, SLOW.format(mark=mark))
        wait_for(lambda: running_anywhere(gateway, mark))
        proxy.cut()
        wait_for(lambda: not running_anywhere(gateway, mark))
        asking.join(10)
        assert asking.error is not None
    finally:
        proxy.close()


def test_an_idle_client_holds_no_connection_to_a_node(gateway):
    mark = marked("rests")
    with gateway.connect("rita") as connection, gateway.connect("rita") as keeping:
        for each in (connection, keeping):
            with each.cursor() as cursor:
                cursor.execute(f"SELECT '{mark}' AS resting")
        with keeping.cursor() as cursor:
            cursor.execute("SET @kept = 5")
        before = len(gateway.records("intent", "rita"))
        time.sleep(4)
        for each, kept in ((connection, None), (keeping, 5)):
            with each.cursor() as cursor:
                cursor.execute("SELECT @kept")
                assert cursor.fetchall() == ((kept,),)
        assert len(gateway.records("intent", "rita")) == before + 2


def test_a_client_that_reads_nothing_holds_no_memory_here(gateway):
    with gateway.connect_socket(cursorclass=pymysql.cursors.SSCursor) as connection:
        with connection.cursor() as cursor:
            cursor.execute("CALL safeconsole.tighten('fetched_rows', '1000000')")
        before = resident_bytes(gateway)
        connection._execute_command(3, "SELECT REPEAT('x', 1000) FROM orders a JOIN orders b LIMIT 60000")
        time.sleep(1.5)
        assert resident_bytes(gateway) - before < 40_000_000
        connection._force_close()


def resident_bytes(gateway):
    with open(f"/proc/{gateway.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def own(shared_clusters, tmp_path):
    with serving(
        shared_clusters("mariadb"), tmp_path / "own",
        settings="[gateway]\ndrain_seconds = 1.5\n", words=("--health", "127.0.0.1:0"),
    ) as up:  # fmt: skip
        yield up


def page(gateway, path):
    try:
        with urllib.request.urlopen(f"http://{gateway.health}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_and_metrics(own):
    assert page(own, "/healthz") == (200, "ok\n")
    assert page(own, "/readyz") == (200, "ready\n")
    assert page(own, "/secrets")[0] == 404
    with own.connect_socket() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        with pytest.raises(pymysql.err.MySQLError):
            cursor.execute("DELETE FROM orders WHERE id = 4")
        _, metrics = page(own, "/metrics")
        assert "safeconsole_gateway_sessions 1.0" in metrics
    with pytest.raises(pymysql.err.MySQLError):
        own.connect("anna", "wrong")
    _, metrics = page(own, "/metrics")
    for line in (
        'safeconsole_gateway_statements_total{verdict="allow"} ',
        'safeconsole_gateway_statements_total{verdict="elevate"} 1.0',
        'safeconsole_gateway_logins_total{how="socket"} 1.0',
        'safeconsole_gateway_logins_total{how="refused"} 1.0',
        "safeconsole_gateway_statement_seconds_count ",
    ):
        assert line in metrics, metrics


def test_a_signal_drains(own):
    """The idle are told, the busy have their grace, what runs is killed, and every journal has its end."""
    mark = marked("drain")
    idle, busy, quick = own.connect_socket(), own.connect("anna"), own.connect_socket()
    with busy.cursor() as cursor:
        cursor.execute("CALL safeconsole.tighten('run_seconds', '30')")
    with quick.cursor() as cursor:
        cursor.execute("CALL safeconsole.elevate('it waits')")
    asking = Asking(busy, SLOW.format(mark=mark))
    short = Asking(quick, "SELECT SLEEP(0.8)")
    wait_for(lambda: running_anywhere(own, mark))
    own.process.send_signal(signal.SIGTERM)
    with pytest.raises(pymysql.err.MySQLError) as raised:
        for _ in range(100):
            idle.ping(reconnect=False)
            time.sleep(0.05)
    assert raised.value.args[0] in {1053, 2006, 2013}
    short.join(20)
    assert short.error is None
    asking.join(20)
    assert asking.error is not None
    assert own.process.wait(timeout=60) == 0
    assert not running_anywhere(own, mark)
    assert len(own.records("session-closed")) == len(own.records("session-opened"))
    for connection in (idle, busy, quick):
        connection._force_close()
    with pytest.raises(OSError):
        socket.create_connection((own.host, own.port), timeout=5).close()
