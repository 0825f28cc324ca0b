"""One gateway of several processes: shared doors, sums of what they count, and what becomes of one that dies."""

import os
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pymysql
import pytest

from tests.gateway.test_ends import SLOW, Asking, marked, page, running_anywhere
from tests.gateway.test_peers import rows_of
from tests.harness.gateway import serving
from tests.harness.talking import wait_for

WORDS = ("--workers", "2", "--health", "127.0.0.1:0")


@pytest.fixture(scope="module", params=("mysql", "mariadb"))
def divided(request, shared_clusters, tmp_path_factory):
    """A gateway of two processes, which share no configured database."""
    directory = tmp_path_factory.mktemp("divided")
    with serving(shared_clusters(request.param), directory, settings="[gateway]\nclients = 40\n", words=WORDS) as up:
        yield up


def workers_of(gateway):
    """The process ids of its workers, as the kernel tells."""
    text = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text()
    return [int(word) for word in text.split()]


def number_of(connection):
    return connection.thread_id() >> 20


@pytest.fixture
def two(divided):
    """Two connections of anna's, each at another worker, and a third one at that of the first."""
    token = divided.token("anna")
    with ExitStack() as leaving:
        held = {}
        for _ in range(30):
            connection = leaving.enter_context(suppressed(divided.connect("anna", token)))
            held.setdefault(number_of(connection), []).append(connection)
            if len(held) == 2 and max(map(len, held.values())) > 1:
                break
        (several, others) = sorted(held.values(), key=len, reverse=True)
        yield several[0], others[0], several[1]


class suppressed:
    """A connection that is closed at the end, whatever became of it."""

    def __init__(self, connection):
        self.connection = connection

    def __enter__(self):
        return self.connection

    def __exit__(self, *_):
        with suppress(Exception):
            self.connection.close()


def test_workers_share_the_doors_and_number_no_two_connections_alike(divided, two):
    assert len(workers_of(divided)) == 2
    ids = {connection.thread_id() for connection in two}
    assert len(ids) == 3
    assert len({number_of(connection) for connection in two}) == 2
    for connection in two:
        assert ids <= {row[0] for row in rows_of(connection, "SHOW PROCESSLIST")}
    with divided.connect_socket() as local:
        assert rows_of(local, "SELECT 1") == ((1,),)


def test_a_kill_reaches_the_other_worker_and_a_token_ends_at_both(divided, two):
    busy, control, _ = two
    mark = marked("worker")
    asking = Asking(busy, SLOW.format(mark=mark))
    wait_for(lambda: running_anywhere(divided, mark))
    rows_of(control, f"KILL QUERY {busy.thread_id()}")
    assert not running_anywhere(divided, mark)
    asking.join(10)
    assert asking.error.args[0] == 1317
    for line in divided.command("token", "list", "--format", "tsv").stdout.splitlines()[1:]:
        token_id, person, _, state = line.split("\t")[:4]
        if (person, state) == ("anna", "valid"):
            assert divided.command("token", "revoke", token_id).returncode == 0
    for connection in two:
        deadline = time.monotonic() + 20
        with pytest.raises(pymysql.err.MySQLError):
            while time.monotonic() < deadline:
                connection.ping(reconnect=False)
                time.sleep(0.05)


def test_the_page_has_the_sums(divided, two):
    _, before = page(divided, "/metrics")
    assert f"safeconsole_gateway_sessions {len(two)}" in before or "safeconsole_gateway_sessions " in before
    for connection in two:
        rows_of(connection, "SELECT 41")

    def allowed(text):
        (line,) = [each for each in text.splitlines() if 'statements_total{verdict="allow"}' in each]
        return float(line.split()[-1])

    at_first = allowed(before) if 'verdict="allow"' in before else 0
    # Whichever worker answers says the same, once it has counted what it answered a moment ago.
    wait_for(lambda: {allowed(page(divided, "/metrics")[1]) for _ in range(6)} == {at_first + len(two)})
    assert page(divided, "/readyz") == (200, "ready\n")


def test_a_worker_that_is_killed_is_replaced_and_what_it_ran_is_killed_on_the_servers(divided, two):
    lost, other, also_lost = two
    read, write = marked("orphan"), marked("change")
    rows_of(also_lost, "CALL safeconsole.elevate('it dies', 'OPS-1')")
    rows_of(also_lost, "BEGIN")
    change = f"UPDATE orders SET status = '{write}' WHERE id = 1 AND SLEEP(60) = 0"
    with pytest.raises(pymysql.err.MySQLError):
        rows_of(also_lost, change)
    rows_of(also_lost, "CALL safeconsole.confirm()")
    asking = [Asking(lost, SLOW.format(mark=read)), Asking(also_lost, change)]
    for mark in (read, write):
        wait_for(lambda mark=mark: running_anywhere(divided, mark) or asking[1].error)
    assert asking[1].error is None, asking[1].error
    before = workers_of(divided)
    (dying,) = [pid for pid in before if serves(divided, pid, lost)]
    os.kill(dying, signal.SIGKILL)
    began = time.monotonic()
    for mark in (read, write):
        wait_for(lambda mark=mark: not running_anywhere(divided, mark))
    print(f"gone {time.monotonic() - began:.2f} s after the worker was killed")
    for each in asking:
        each.join(10)
        assert each.error is not None
    wait_for(lambda: "which died: killed" in divided.said)
    assert f"worker {dying} was killed by SIGKILL; another takes its place" in divided.said
    assert "not seen to stop" not in divided.said
    wait_for(lambda: any(record["what"] == "worker died" for record in divided.records("notice")))
    after = workers_of(divided)
    assert len(after) == 2
    assert len(set(before) & set(after)) == 1
    # Who was at the other worker noticed nothing, and there is room for new ones.
    assert rows_of(other, "SELECT 5") == ((5,),)
    with divided.connect_socket() as local:
        assert rows_of(local, f"SELECT COUNT(*) FROM orders WHERE status = '{write}'") == ((0,),)


def serves(gateway, pid, connection):
    """Whether a worker has the other end of a connection: by the kernel's table of its sockets."""
    _, port = connection._sock.getsockname()
    inodes = {
        line.split()[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{gateway.port:04X}") and line.split()[2].endswith(f":{port:04X}")
    }
    links = (os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink())
    return any(link == f"socket:[{inode}]" for link in links for inode in inodes)


def test_a_signal_to_the_parent_drains_all(shared_clusters, tmp_path):
    with serving(
        shared_clusters("mariadb"), tmp_path / "own", settings="[gateway]\ndrain_seconds = 1\n", words=WORDS
    ) as up:
        idle = [up.connect_socket() for _ in range(4)]
        workers = workers_of(up)
        up.process.send_signal(signal.SIGTERM)
        for connection in idle:
            with pytest.raises(pymysql.err.MySQLError) as raised:
                for _ in range(100):
                    connection.ping(reconnect=False)
                    time.sleep(0.05)
            assert raised.value.args[0] in {1053, 2006, 2013}
            connection._force_close()
        assert up.process.wait(timeout=60) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert not Path(up.socket).exists()
        assert len(up.records("session-closed")) == len(up.records("session-opened"))


def test_workers_end_when_their_parent_is_killed(shared_clusters, tmp_path):
    with serving(shared_clusters("mariadb"), tmp_path / "own", words=("--workers", "2")) as up:
        workers = workers_of(up)
        up.process.kill()
        up.process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        Path(up.socket).unlink()


def test_workers_that_die_again_and_again_are_given_up(shared_clusters, tmp_path):
    with serving(shared_clusters("mariadb"), tmp_path / "own", words=("--workers", "2")) as up:
        until = time.monotonic() + 60
        while up.process.poll() is None and time.monotonic() < until:
            for pid in workers_of(up)[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        assert up.process.wait(timeout=60) == 1
        assert "workers died within a minute: gives up" in up.said


def test_what_is_wrong_at_the_start_is_said_once(gateway, tmp_path):
    said = gateway.command("gateway", "nowhere", "--socket", str(tmp_path / "g.sock"), "--workers", "2")
    assert said.returncode == 2
    assert said.stderr.count("nowhere") == 1
    assert not (tmp_path / "g.sock").exists()
