"""The central audit database on real servers: every line once, whole, and again after the server was away."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import sqlalchemy

from safeconsole.audit.central import ENTRIES, DatabaseSink
from safeconsole.clock import SystemClock
from safeconsole.audit.journal import open_journal
from safeconsole.capacity.shared_shelf import open_shared_shelf
from safeconsole.capacity.reports import KEPT_REPORTS
from safeconsole.capacity.shelf import FileShelf
from safeconsole.audit.shipping import Shipper, Shipping
from safeconsole.audit.record import Noticed
from safeconsole.config.settings import CapacitySettings
from tests.gateway.test_peers import check_peers
from tests.gateway.test_token_database import check_tokens
from tests.harness.proxy import Proxy

LONG = "x" * 1_000_000 + "ü\U0001f600"


def write(directory, session, records=50):
    journal = open_journal(directory, clock=SystemClock(), session=session)
    for number in range(records):
        journal.append(Noticed(what=f"{session} {number}"))
    journal.append(Noticed(what=LONG))
    journal.close()
    return journal.path.read_bytes().splitlines()


def held(url, stream):
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            rows = connection.execute(
                sqlalchemy.select(ENTRIES.c.line).where(ENTRIES.c.stream == stream).order_by(ENTRIES.c.number)
            )
            return [row.line.encode() for row in rows]
    finally:
        engine.dispose()


def ship(directory, url, name):
    sink = DatabaseSink(url)
    try:
        return Shipper(directory, {name: sink}).ship()[0]
    finally:
        sink.close()


def check_once_and_whole(directory, url):
    lines = write(directory, "one")
    assert ship(directory, url, "db").trouble == ""
    assert ship(directory, url, "sent-again").trouble == ""
    assert held(url, "one") == lines


def test_a_real_server_of_the_family_keeps_every_line_once_and_whole(cluster, tmp_path):
    node = cluster.primary
    with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE central_audit CHARACTER SET utf8mb4")
    try:
        url = f"mysql+pymysql://root@localhost/central_audit?charset=utf8mb4&unix_socket={node.socket}"
        check_once_and_whole(tmp_path / "audit", url)
    finally:
        with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE central_audit")


def test_a_real_server_of_the_family_keeps_the_teams_capacity_reports(cluster, tmp_path):
    node = cluster.primary
    with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE central_capacity CHARACTER SET utf8mb4")
        cursor.execute("CREATE USER reports@'%' IDENTIFIED BY 'a password: of/the test'")
        cursor.execute("GRANT CREATE, SELECT, INSERT, DELETE ON central_capacity.* TO reports@'%'")
    settings = CapacitySettings(
        reports=f"mysql+pymysql://reports:{{secret}}@127.0.0.1:{node.port}/central_capacity", secret_variable="REPORTS"
    )
    try:
        check_reports(settings, tmp_path)
    finally:
        with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE central_capacity")
            cursor.execute("DROP USER reports@'%'")


def check_reports(settings, directory):
    environ = {"REPORTS": "a password: of/the test"}
    mine, hers = (open_shared_shelf(settings, FileShelf(directory / name), environ) for name in ("mine", "hers"))
    # A page that is larger than a BLOB may be on MySQL even when it is compressed.
    noise = random.Random(1).randbytes(200_000).hex()
    for number in range(KEPT_REPORTS + 1):
        for line in (f"head {number}", noise if number == KEPT_REPORTS else "ü"):
            mine.append("shop", "all", line)
        mine.keep("shop", "all", f"{number:04d}")
    kept = hers.kept("shop")
    assert (len(kept), kept[0], kept[-1]) == (KEPT_REPORTS, "0001", f"{KEPT_REPORTS:04d}")
    assert list(hers.lines("shop", kept[-1])) == [f"head {KEPT_REPORTS}\n", f"{noise}\n"]
    # A report that is left after its first line leaves nothing behind.
    assert next(hers.lines("shop", kept[0])) == "head 1\n"


def test_a_real_server_of_the_family_that_is_away_for_a_while_gets_everything_once(cluster, tmp_path):
    node = cluster.primary
    proxy = Proxy("127.0.0.1", node.port)

    def away():
        proxy.refuse()
        proxy.cut()

    with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE central_audit CHARACTER SET utf8mb4")
        cursor.execute("CREATE USER audit_sink@'%' IDENTIFIED BY 'a password of the test'")
        cursor.execute("GRANT CREATE, INDEX, SELECT, INSERT, UPDATE ON central_audit.* TO audit_sink@'%'")
    try:
        url = f"mysql+pymysql://audit_sink:a%20password%20of%20the%20test@127.0.0.1:{proxy.port}/central_audit?charset=utf8mb4"
        check_away_for_a_while(tmp_path / "audit", url, proxy.accept_again, away)
    finally:
        with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE central_audit")
            cursor.execute("DROP USER audit_sink@'%'")


def postgres_binaries():
    """The directory of PostgreSQL's programs, the newest where there are several, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture
def postgres():
    """A PostgreSQL of this test's own, and functions that start and stop it."""
    binaries = postgres_binaries()
    if binaries is None:
        why = "THE POSTGRESQL TEST DID NOT RUN: apt-get install postgresql"
        pytest.fail(why) if os.environ.get("SAFECONSOLE_REQUIRE_SERVERS") else pytest.skip(why)
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    data = Path("/tmp") / f"safeconsole-pg-{os.getpid()}"
    data.mkdir(mode=0o700)
    os.chown(data, account.pw_uid, account.pw_gid)
    # It refuses to run as root.
    become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()} if os.geteuid() == 0 else {}
    subprocess.run(
        [binaries / "initdb", "-D", data / "d", "-A", "trust", "-U", "audit", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        **become,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"postgresql+psycopg://audit@127.0.0.1:{port}/postgres"
    running = []

    def start():
        command = [binaries / "postgres", "-D", data / "d", "-p", str(port), "-k", str(data), "-h", "127.0.0.1"]
        running.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=data, **become)
        )
        deadline = time.monotonic() + 30
        while subprocess.run(
            [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
        ).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop():
        # Not after its clients have left, but at once: SIGINT is its fast shutdown.
        running[-1].send_signal(signal.SIGINT)
        running[-1].wait(30)

    start()
    yield url, start, stop
    if running[-1].poll() is None:
        stop()
    shutil.rmtree(data)


def check_away_for_a_while(directory, url, start, stop):
    """What is written while the database is away comes when it is back, each line once, in order."""
    check_once_and_whole(directory, url)
    stop()
    lines = write(directory, "meanwhile")
    sink = DatabaseSink(url)
    shipper = Shipper(directory, {"db": sink})
    assert [shipper.ship()[0].trouble.partition(":")[0] for _ in range(2)] == [f"database {sink._engine.url.host}"] * 2
    start()
    assert shipper.ship()[0].trouble == ""
    # The same sink, whose connections the server has cut meanwhile.
    stop()
    start()
    more = write(directory, "after")
    assert shipper.ship()[0].trouble == ""
    sink.close()
    for stream, expected in (("meanwhile", lines), ("after", more)):
        assert held(url, stream) == expected


def test_postgresql_keeps_every_line_once_and_gets_the_rest_when_it_is_back(postgres, tmp_path):
    url, start, stop = postgres
    check_away_for_a_while(tmp_path / "audit", url, start, stop)


def test_postgresql_keeps_the_tokens_of_gateways(postgres):
    check_tokens(postgres[0])
    check_peers(postgres[0])


def test_a_server_of_the_family_keeps_the_tokens_of_gateways(cluster):
    node = cluster.primary
    with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE gateway_tokens CHARACTER SET utf8mb4")
        cursor.execute("CREATE USER tokens@'%' IDENTIFIED BY 'p@ss/word'")
        cursor.execute("GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON gateway_tokens.* TO tokens@'%'")
    try:
        url = f"mysql+pymysql://tokens:{{secret}}@127.0.0.1:{node.port}/gateway_tokens"
        check_tokens(url, TOKENS="p@ss/word")
        check_peers(url, TOKENS="p@ss/word")
    finally:
        with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE gateway_tokens")
            cursor.execute("DROP USER tokens@'%'")


def test_postgresql_keeps_the_teams_capacity_reports(postgres, tmp_path):
    check_reports(CapacitySettings(reports=postgres[0]), tmp_path)


def test_a_database_that_dies_again_and_again_while_it_is_fed_misses_nothing_and_holds_nothing_twice(
    postgres, tmp_path
):
    url, start, stop = postgres
    directory = tmp_path / "audit"
    lines = {f"s{number}": write(directory, f"s{number}", records=400) for number in range(4)}
    sink = DatabaseSink(url)
    shipping = Shipping(Shipper(directory, {"db": sink}), pause_seconds=0.02)
    shipping.start()
    for number in range(4):
        stop()
        lines[f"more{number}"] = write(directory, f"more{number}", records=400)
        start()
        time.sleep(0.2)
    assert shipping.stop(60) == ()
    sink.close()
    for stream, expected in lines.items():
        assert held(url, stream) == expected
