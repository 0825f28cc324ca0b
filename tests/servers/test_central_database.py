"""The central audit database on real servers: every line once, whole, and again after the server was away."""

import os
import random
import re
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
from tests.harness.journals import HandClock, write_session
from tests.harness.postgres import own_postgres, postgres_binaries
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


@pytest.fixture
def postgres():
    """A PostgreSQL of this test's own, and functions that start and stop it."""
    binaries = postgres_binaries()
    if binaries is None:
        why = "THE POSTGRESQL TEST DID NOT RUN: apt-get install postgresql"
        pytest.fail(why) if os.environ.get("SAFECONSOLE_REQUIRE_SERVERS") else pytest.skip(why)
    with own_postgres(binaries) as server:
        yield server


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


def test_a_table_in_parts_by_month_keeps_each_line_once_and_gives_a_month_away_at_once(postgres, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    (made,) = re.findall(r"```sql\n([\s\S]*?)```", page)
    engine = sqlalchemy.create_engine(postgres[0])
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(made))
    directory = tmp_path / "audit"
    for month, session in ((11, "old"), (12, "new")):
        clock = HandClock()
        clock.utc = lambda month=month: f"2026-{month}-30T11:30:03.000001Z"
        write_session(directory, clock, session=session)
    check_once_and_whole(directory, postgres[0])
    with engine.begin() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM safeconsole_entries_2026_11")).scalar() > 3
        connection.execute(sqlalchemy.text("DROP TABLE safeconsole_entries_2026_11"))
    assert not held(postgres[0], "old")
    assert held(postgres[0], "new")
    engine.dispose()
