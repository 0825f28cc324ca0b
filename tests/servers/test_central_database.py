"""The central audit database on real servers: every line once, whole, and again after the server was away."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import sqlalchemy

from safeconsole.adapters.local.central import ENTRIES, DatabaseSink
from safeconsole.adapters.local.clock import SystemClock
from safeconsole.adapters.local.journal import open_journal
from safeconsole.adapters.local.shipping import Shipper
from safeconsole.core.record import Noticed

POSTGRES_DRIVERS = {"psycopg": "psycopg", "psycopg2": "psycopg2", "pg8000": "pg8000"}
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


@pytest.fixture
def postgres(tmp_path):
    """A PostgreSQL of this test's own, and a function that stops and starts it."""
    driver = next((name for name, module in POSTGRES_DRIVERS.items() if importlib.util.find_spec(module)), None)
    initdb, postgres = shutil.which("initdb"), shutil.which("postgres")
    if not (driver and initdb and postgres):
        pytest.skip(
            "THE POSTGRESQL TEST DID NOT RUN: it needs initdb, postgres and one of the drivers psycopg, psycopg2, pg8000"
        )
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    data = Path("/tmp") / f"safeconsole-pg-{os.getpid()}"
    data.mkdir(mode=0o700)
    os.chown(data, account.pw_uid, account.pw_gid)
    # It refuses to run as root.
    become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()} if os.geteuid() == 0 else {}
    subprocess.run(
        [initdb, "-D", data / "d", "-A", "trust", "-U", "audit", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        **become,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"postgresql+{driver}://audit@127.0.0.1:{port}/postgres"
    running = []

    def start():
        command = [postgres, "-D", data / "d", "-p", str(port), "-k", str(data), "-h", "127.0.0.1"]
        running.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=data, **become)
        )
        deadline = time.monotonic() + 30
        while subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop():
        running[-1].terminate()
        running[-1].wait(30)

    start()
    yield url, start, stop
    if running[-1].poll() is None:
        stop()
    shutil.rmtree(data)


def test_postgresql_keeps_every_line_once_and_gets_the_rest_when_it_is_back(postgres, tmp_path):
    url, start, stop = postgres
    directory = tmp_path / "audit"
    check_once_and_whole(directory, url)
    stop()
    lines = write(directory, "meanwhile")
    assert "database 127.0.0.1" in ship(directory, url, "db").trouble
    start()
    assert ship(directory, url, "db").trouble == ""
    assert held(url, "meanwhile") == lines
