"""The MySQL family's engine on real clusters: found, guarded, streaming, writing."""

import datetime
import decimal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from msgspec.structs import replace
from pathlib import Path

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from safeconsole.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    RefusedError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.config.settings import TlsSettings
from safeconsole.sqltext.statement import TableName
from safeconsole.sqltext.vocabulary import Account, Effect, Flavour, NodeName, Role, Route
from tests.harness.desk import seated
from tests.harness.talking import (
    SOON_SECONDS,
    GivenSecrets,
    RealClock,
    elevated,
    engine_of,
    permit_for,
    read,
    run,
    settings_for,
    statement,
    wait_for,
    write,
)
from safeconsole.mysql.engine import open_engine
from tests.harness.clusters import promote, stop_replication

ROOT = Path(__file__).parents[2]
REPLICA, PRIMARY = NodeName("replica-1"), NodeName("primary")


@pytest.fixture
def engine(cluster):
    """The engine over the run's cluster."""
    made = engine_of(cluster)
    yield made
    made.close()


@pytest.fixture
def connect(engine):
    """A function that opens connections and closes them after the test."""
    connections = []

    def open_one(node=REPLICA, account=Account.READ, schema="shop"):
        connections.append(engine.connect(node, account, schema=schema))
        return connections[-1]

    yield open_one
    for connection in connections:
        connection.close()


def test_roles_are_proven_and_said_why(cluster, engine):
    readings = {reading.node: reading for reading in engine.topology()}
    assert readings["primary"].role is Role.PRIMARY
    assert readings["primary"].proof == "read_only=0, no replication channel"
    for name in ("replica-1", "replica-2"):
        reading = readings[name]
        assert reading.role is Role.REPLICA
        assert reading.proof == f"read_only=1, replicates from 127.0.0.1:{cluster.primary.port}"
        assert (reading.read_only, reading.replicating) == (True, True)
        assert reading.lag_seconds is not None
        assert reading.threads_running >= 1
        assert reading.tables >= 10
    assert engine.flavour is Flavour(cluster.flavour)


def test_a_replica_alone_leads_to_its_primary(cluster):
    node = cluster.replicas[0]
    engine = open_engine(
        "shop", settings_for([f"{node.host}:{node.port}"]), GivenSecrets(cluster.accounts), RealClock()
    )
    readings = {reading.node: reading.role for reading in engine.topology()}
    engine.close()
    assert readings == {
        f"{node.host}:{node.port}": Role.REPLICA,
        f"127.0.0.1:{cluster.primary.port}": Role.PRIMARY,
    }


def test_two_names_of_one_instance_are_one_node(cluster):
    port = cluster.primary.port
    settings = settings_for([f"127.0.0.1:{port}", f"localhost:{port}"])
    engine = open_engine("shop", settings, GivenSecrets(cluster.accounts), RealClock())
    assert [reading.node for reading in engine.topology()] == [f"127.0.0.1:{port}"]
    engine.close()


def test_what_is_configured_wrong_is_one_line_without_the_password(cluster):
    node = cluster.primary
    address = f"{node.host}:{node.port}"
    engine = open_engine("shop", settings_for([address]), GivenSecrets({"console_read": "hunter2"}), RealClock())
    (reading,) = engine.topology()
    assert reading.unreachable.startswith(f"{address} refused the account or its password")
    with pytest.raises(UnreachableError) as caught:
        engine.connect(NodeName(address), Account.READ)
    engine.close()
    assert "hunter2" not in "".join([caught.value.message, reading.unreachable, repr(caught.value.__cause__)])
    assert "\n" not in caught.value.message


def test_a_closed_port_is_a_reading_that_says_so():
    engine = open_engine("shop", settings_for(["127.0.0.1:1"]), GivenSecrets({"console_read": "x"}), RealClock())
    (reading,) = engine.topology()
    assert (reading.role, reading.unreachable) == (Role.UNKNOWN, "127.0.0.1:1 cannot be reached: connection refused")


def test_tls_disabled_is_refused_where_somebody_could_stand_between():
    settings = settings_for(["192.0.2.1:3306"], tls=TlsSettings(mode="disabled"))
    engine = open_engine("shop", settings, GivenSecrets({"console_read": "x"}), RealClock())
    with pytest.raises(ConfigurationError, match="TLS is disabled"):
        engine.topology()


def test_a_server_without_a_trusted_certificate_is_not_talked_to(mysql_cluster, tmp_path):
    node = mysql_cluster.primary
    # An authority is asked for on loopback too, once one is named; this one signed nothing here.
    tls = TlsSettings(mode="verify-ca", ca=str(another_authority(tmp_path / "ca.pem")))
    settings = settings_for([f"{node.host}:{node.port}"], tls=tls)
    engine = open_engine("shop", settings, GivenSecrets(mysql_cluster.accounts), RealClock())
    (reading,) = engine.topology()
    assert "did not prove its identity" in reading.unreachable


def another_authority(path):
    """Write the certificate of an authority that nobody knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1)
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_server_that_proves_itself_is_talked_to_over_tls(mysql_cluster):
    node = mysql_cluster.primary
    tls = TlsSettings(mode="verify-ca", ca=str(node.datadir / "ca.pem"))
    settings = settings_for([f"{node.host}:{node.port}"], tls=tls)
    engine = open_engine("shop", settings, GivenSecrets(mysql_cluster.accounts), RealClock())
    assert [reading.role for reading in engine.topology()] == [Role.PRIMARY]
    connection = engine.connect(NodeName(f"{node.host}:{node.port}"), Account.READ)
    rows, _ = run(
        connection,
        permit_for(connection, statement("SHOW SESSION STATUS LIKE 'Ssl_cipher'", "show status"), route=Route.PRIMARY),
    )
    assert rows[0][1]
    with pytest.raises(StoppedError):
        run(
            connection,
            permit_for(connection, statement("SELECT SLEEP(9)"), route=Route.PRIMARY, run_seconds=0.3),
        )
    connection.close()
    engine.close()


def test_an_unknown_schema_is_said_so(connect):
    with pytest.raises(UnreachableError, match="schema"):
        connect(schema="no_such_schema")


def test_guards_are_read_back_as_they_were_set(cluster, connect):
    guards = connect().guards
    expected = {
        "mysql": {
            "transaction_read_only": "1",
            "max_execution_time": "30000",
            "information_schema_stats_expiry": "0",
        },
        "mariadb": {
            "tx_read_only": "1",
            "max_statement_time": "30.000000",
            "max_session_mem_used": str(256 * 1024 * 1024),
        },
    }[cluster.flavour]
    expected |= {"lock_wait_timeout": "2", "innodb_lock_wait_timeout": "2", "autocommit": "1"}
    assert expected.items() <= guards.items()
    assert int(guards["tmp_table_size"]) <= 16 * 1024 * 1024


def test_the_permits_limits_are_in_force_while_it_runs(cluster, connect):
    connection = connect()
    name, as_set = {"mysql": ("max_execution_time", 5500), "mariadb": ("max_statement_time", decimal.Decimal("5.5"))}[
        cluster.flavour
    ]
    assert float(read(connection, f"SELECT @@SESSION.{name}", run_seconds=5.5)[0][0]) == float(as_set)
    assert read(connection, "SELECT @@lock_wait_timeout", lock_wait_seconds=1) == [(1,)]
    # And loosened again, up to the permit.
    assert read(connection, "SELECT @@lock_wait_timeout", lock_wait_seconds=7) == [(7,)]


@pytest.mark.parametrize(
    "setting",
    [
        "lock_wait_timeout = 1000",
        "{cap} = 0",
        "{read_only} = 0",
        "tmp_table_size = 1073741824",
        "character_set_results = latin1",
        "autocommit = 0",
    ],
)
def test_a_guard_that_was_undone_is_noticed_before_anything_is_sent(cluster, connect, setting):
    words = {
        "mysql": {"cap": "max_execution_time", "read_only": "transaction_read_only"},
        "mariadb": {"cap": "max_statement_time", "read_only": "tx_read_only"},
    }[cluster.flavour]
    connection = connect()
    run(connection, permit_for(connection, statement(f"SET SESSION {setting.format(**words)}", "set", Effect.SESSION)))
    with pytest.raises(UnreachableError, match="nothing was sent"):
        read(connection, "SELECT 1")
    assert connection.broken


def test_another_sql_mode_is_noticed_before_anything_is_sent(connect):
    connection = connect()
    run(connection, permit_for(connection, statement("SET SESSION sql_mode = 'ANSI_QUOTES'", "set", Effect.SESSION)))
    with pytest.raises(RefusedError, match="sql_mode"):
        read(connection, "SELECT 1")
    assert connection.broken


def test_what_is_called_a_read_runs_in_a_read_only_transaction(cluster, connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    for text in (
        "UPDATE orders SET status = 'x' WHERE id = 2",
        "DELETE FROM orders WHERE id = 2",
        "SELECT * FROM orders WHERE id = 2 FOR UPDATE",
        "TRUNCATE TABLE orders",
        "CREATE TABLE made (id INT)",
        "DROP TABLE orders",
        "ALTER TABLE orders ADD COLUMN extra INT",
    ):
        with pytest.raises(RefusedError):
            run(connection, elevated(connection, statement(text)))
        connection = connect(PRIMARY, Account.ELEVATED)
    assert run(connection, elevated(connection, statement("SELECT COUNT(*) FROM orders")))[0] == [(5000,)]


def test_the_sessions_variables_and_schema_last(connect):
    connection = connect(schema="")
    assert connection.schema == ""
    run(connection, permit_for(connection, statement("USE shop", "use", Effect.SESSION)))
    assert connection.schema == "shop"
    run(connection, permit_for(connection, statement("SET @seen = 7", "set", Effect.SESSION)))
    assert read(connection, "SELECT @seen + COUNT(*) FROM orders WHERE id = 1") == [(8,)]


def test_values_come_as_what_they_are(connect):
    connection = connect()
    text = """SELECT 1, -2, 18446744073709551615, 1.50, 1e3, 'ünï', NULL, DATE'2024-02-29',
        TIMESTAMP'2024-02-29 12:30:00', CAST('23:59:59' AS TIME), CAST('838:59:59' AS TIME), x'00FF', TRUE"""
    answer = connection.send(permit_for(connection, statement(text)))
    (row,) = [row for batch in answer.batches() for row in batch]
    answer.finish()
    assert row == (
        1,
        -2,
        18446744073709551615,
        decimal.Decimal("1.50"),
        1000.0,
        "ünï",
        None,
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 12, 30),
        datetime.timedelta(seconds=86_399),
        datetime.timedelta(hours=838, minutes=59, seconds=59),
        b"\x00\xff",
        1,
    )
    columns = answer.columns
    assert [column.numeric for column in columns[:6]] == [True] * 5 + [False]
    assert columns[11].binary
    assert columns[7].type_name == "date"


def test_text_is_left_as_the_server_sent_it(connect):
    connection = connect()
    text = "SELECT 1.50, DATE'2024-02-29', NULL, 'ünï', x'00FF', CAST('838:59:59' AS TIME)"
    rows, _ = run(connection, permit_for(connection, statement(text)), as_text=True)
    assert rows == [("1.50", "2024-02-29", None, "ünï", b"\x00\xff", "838:59:59")]


@pytest.mark.parametrize("size", [250, 251, 65_535, 65_536, 16_777_214, 17_000_000])
def test_long_values_are_whole(cluster, connect, size):
    connection = connect()
    # Two columns, so that a length that is read wrong shows in the second.
    text = f"SELECT CONCAT(REPEAT('a', {size} - 1), 'z'), 'next'"
    ((first, second),) = read(connection, text)
    if cluster.flavour == "mariadb" and size > 16 * 1024 * 1024:
        # Larger than its max_allowed_packet.
        first = first or "a" * (size - 1) + "z"
    assert (len(first), first[-1], second) == (size, "z", "next")


def test_a_value_over_the_ceiling_is_not_taken_in(connect):
    connection = connect()
    with pytest.raises(StoppedError) as caught:
        read(connection, "SELECT REPEAT('a', 3000000)", fetched_bytes=2_000_000)
    assert caught.value.ceiling == "fetched_bytes"
    assert connection.broken


def test_a_million_rows_pass_in_constant_memory(cluster):
    node = cluster.replicas[0]
    program = textwrap.dedent(
        f"""
        import re
        from pathlib import Path
        from safeconsole.sqltext.vocabulary import Account, NodeName
        from tests.harness.talking import *
        engine = open_engine("shop", settings_for(["{node.host}:{node.port}"]),
                             GivenSecrets({dict(cluster.accounts)!r}), RealClock())
        connection = engine.connect(NodeName("{node.host}:{node.port}"), Account.READ, schema="shop")
        text = "SELECT o.id, p.id, o.status, o.total, o.created_at FROM orders o, orders p LIMIT 1000000"
        answer = connection.send(permit_for(connection, statement(text), run_seconds=120), as_text=True)
        rows = sum(len(batch) for batch in answer.batches())
        answer.finish()
        # Not getrusage: its high-water mark includes the process this one was forked from.
        status = Path("/proc/self/status").read_text()
        print(rows, int(re.search("VmHWM:\\s*([0-9]+) kB", status)[1]) // 1024)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=200
    )
    rows, megabytes = map(int, done.stdout.split())
    assert rows == 1_000_000
    assert megabytes < 80


def test_a_change_is_committed_and_counted(cluster, connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    _, completion = run(connection, elevated(connection, write("UPDATE orders SET status = 'new' WHERE id IN (5, 6)")))
    assert (completion.changed_rows, completion.in_transaction) == (2, False)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM shop.orders WHERE id IN (5, 6) AND status = 'new'")
        assert cursor.fetchone() == (2,)
    _, completion = run(connection, elevated(connection, write("UPDATE orders SET status = 'paid' WHERE id IN (5, 6)")))
    assert completion.changed_rows == 2


def test_a_change_that_is_not_finished_is_not_kept(connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    connection.send(elevated(connection, write("UPDATE orders SET status = 'lost' WHERE id = 7")))
    connection.close()
    other = connect(PRIMARY)
    found, _ = run(other, permit_for(other, statement("SELECT status FROM orders WHERE id = 7"), route=Route.PRIMARY))
    assert found != [("lost",)]


def test_more_changed_rows_than_allowed_are_rolled_back(connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    with pytest.raises(StoppedError) as caught:
        run(connection, elevated(connection, write("UPDATE orders SET status = 'many'"), changed_rows=100))
    assert caught.value.ceiling == "changed_rows"
    other = connect(PRIMARY)
    found, _ = run(
        other, permit_for(other, statement("SELECT COUNT(*) FROM orders WHERE status = 'many'"), route=Route.PRIMARY)
    )
    assert found == [(0,)]


def test_ddl_runs_with_the_mode_lifted_and_put_back(connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    for text, kind in (("CREATE TABLE made_here (id INT)", "create table"), ("DROP TABLE made_here", "drop table")):
        run(connection, elevated(connection, statement(text, kind, Effect.DDL)))
        rows, _ = run(connection, elevated(connection, statement("SELECT 1")))
        assert rows == [(1,)]


def test_a_failed_change_leaves_nothing_and_the_connection_whole(connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    with pytest.raises(ServerError) as caught:
        run(connection, elevated(connection, write("INSERT INTO orders (id) VALUES (1)", "insert")))
    assert caught.value.number
    assert not connection.broken
    rows, completion = run(connection, elevated(connection, statement("SELECT COUNT(*) FROM orders")))
    assert (rows, completion.in_transaction) == ([(5000,)], False)


def within(permit):
    return replace(permit, within=True)


def test_a_persons_own_transaction_stays_open_and_can_be_left(connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    begin = statement("BEGIN", "begin", Effect.SESSION)
    _, completion = run(connection, replace(elevated(connection, begin), idle_seconds=7))
    assert completion.in_transaction
    change = elevated(connection, write("UPDATE orders SET status = 'mine' WHERE id = 9"))
    _, completion = run(connection, within(change))
    assert (completion.in_transaction, completion.changed_rows) == (True, 1)
    look = elevated(connection, statement("SELECT status FROM orders WHERE id = 9"))
    assert run(connection, within(look))[0] == [("mine",)]
    _, completion = run(connection, within(elevated(connection, statement("ROLLBACK", "rollback", Effect.SESSION))))
    assert not completion.in_transaction
    rows, _ = run(connection, elevated(connection, statement("SELECT status FROM orders WHERE id = 9")))
    assert rows != [("mine",)]


def test_the_server_itself_ends_a_transaction_that_stands_idle(cluster, connect):
    """The console is stopped, or cut off without a word: what it holds is let go all the same."""
    connection = connect(PRIMARY, Account.ELEVATED)
    begin = elevated(connection, statement("BEGIN", "begin", Effect.SESSION))
    run(connection, replace(begin, idle_seconds=1))
    run(connection, within(elevated(connection, write("UPDATE orders SET status = 'mine' WHERE id = 9"))))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 30")
        # It waits for the row, and gets it when the server has ended the transaction.
        cursor.execute("UPDATE shop.orders SET total = total WHERE id = 9")
        cursor.execute("SELECT status FROM shop.orders WHERE id = 9")
        assert cursor.fetchone()[0] != "mine"
    wait_for(lambda: connection.broken)


def test_a_connection_stands_idle_as_long_as_any_other_once_its_transaction_is_over(connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    begin = elevated(connection, statement("BEGIN", "begin", Effect.SESSION))
    run(connection, replace(begin, idle_seconds=1))
    run(connection, within(elevated(connection, statement("COMMIT", "commit", Effect.SESSION))))
    time.sleep(8)
    assert not connection.broken
    assert run(connection, elevated(connection, statement("SELECT 1")))[0] == [(1,)]


def test_a_deadlock_is_told_from_a_duplicate_key(cluster, connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    run(connection, elevated(connection, statement("BEGIN", "begin", Effect.SESSION)))
    with pytest.raises(ServerError):
        run(connection, within(elevated(connection, write("INSERT INTO orders SELECT * FROM orders WHERE id = 1"))))
    assert connection.in_transaction
    run(connection, within(elevated(connection, write("UPDATE orders SET status = status WHERE id = 21"))))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        # Whoever changed more is spared.
        cursor.execute("UPDATE shop.orders SET total = total + 1 WHERE id BETWEEN 22 AND 60")
        waits = threading.Thread(target=cursor.execute, args=("UPDATE shop.orders SET total = 0 WHERE id = 21",))
        waits.start()
        time.sleep(0.3)
        with pytest.raises(ServerError) as caught:
            run(connection, within(elevated(connection, write("UPDATE orders SET status = 'x' WHERE id = 22"))))
        waits.join()
        cursor.execute("ROLLBACK")
    assert caught.value.number == 1213
    assert not connection.in_transaction
    assert not connection.broken


def test_a_connection_lost_in_a_transaction_leaves_no_doubt(connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    run(connection, elevated(connection, statement("BEGIN", "begin", Effect.SESSION)))
    threading.Timer(0.5, lambda: connection._link.wire.cut()).start()
    slow = write("UPDATE orders SET status = IF(SLEEP(5) = 0, 'x', 'x') WHERE id = 9")
    with pytest.raises(StoppedError) as caught:
        run(connection, within(elevated(connection, slow)))
    assert "the server undoes the whole transaction" in caught.value.instead
    assert not connection.in_transaction


def test_a_connection_lost_in_a_commit_does(cluster, connect):
    connection = connect(PRIMARY, Account.ELEVATED)
    run(connection, elevated(connection, statement("BEGIN", "begin", Effect.SESSION)))
    run(connection, within(elevated(connection, write("UPDATE orders SET status = 'lost' WHERE id = 12"))))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        # A commit waits for this lock, so that it is surely under way.
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        threading.Timer(0.5, lambda: connection._link.wire.cut()).start()
        with pytest.raises(OutcomeUnknownError, match="may or may not have run"):
            run(connection, within(elevated(connection, statement("COMMIT", "commit", Effect.SESSION))))
        cursor.execute("UNLOCK TABLES")


def test_a_read_transaction_sees_one_state(connect):
    connection = connect()
    _, completion = run(connection, permit_for(connection, statement("BEGIN", "begin", Effect.SESSION)))
    assert completion.in_transaction
    count = permit_for(connection, statement("SELECT COUNT(*) FROM orders"))
    assert run(connection, within(count))[0] == [(5000,)]
    _, completion = run(connection, within(permit_for(connection, statement("COMMIT", "commit", Effect.SESSION))))
    assert not completion.in_transaction


def test_warnings_are_passed_on(connect):
    connection = connect()
    _, completion = run(connection, permit_for(connection, statement("SELECT CAST('12x' AS SIGNED)")))
    assert completion.warnings[0].startswith("Warning 1292: ")


def test_a_lock_wait_ends_at_its_limit(cluster, connect):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("UPDATE shop.orders SET status = 'held' WHERE id = 11")
        connection = connect(PRIMARY, Account.ELEVATED)
        with pytest.raises(StoppedError) as caught:
            run(
                connection,
                elevated(connection, write("UPDATE orders SET status = 'x' WHERE id = 11"), lock_wait_seconds=1),
            )
        cursor.execute("ROLLBACK")
    assert caught.value.ceiling == "lock_wait_seconds"


@pytest.mark.parametrize(
    ("text", "code", "disagrees"),
    [
        ("SELECT nope FROM orders", 1054, False),
        ("SELECT 1 FROM", 1064, False),
        ("SELECT 1 FROM not_here", 1146, False),
        ("UPDATE orders SET status = 'x'", None, True),
        ("DELETE FROM orders", None, True),
        ("SELECT 1 FROM orders FOR UPDATE", None, True),
    ],
)
def test_the_servers_objection_is_passed_on(connect, text, code, disagrees):
    estimate = connect(PRIMARY).estimate(statement(text))
    assert estimate.asked
    assert estimate.objection
    assert code in (None, estimate.objection_code)
    assert estimate.disagrees is disagrees


def test_an_estimate_counts_rows_and_full_scans(connect):
    estimate = connect().estimate(statement("SELECT COUNT(*) FROM orders o JOIN orders p ON o.status = p.status"))
    assert estimate.rows > 1_000_000
    assert set(estimate.full_scans) == {"o", "p"}
    keyed = connect().estimate(statement("SELECT * FROM orders WHERE id = 1"))
    assert (keyed.rows, keyed.full_scans) == (1, ())


def test_an_estimate_sees_what_hides_behind_aliases(cluster, connect):
    text = "SELECT x.a FROM (SELECT SUM(DATA_LENGTH) AS a FROM information_schema.tables) x"
    hazards = [hazard.id for hazard in connect().estimate(statement(text)).hazards]
    assert hazards == {"mysql": ["information-schema-sizes"], "mariadb": ["opens-every-table"]}[cluster.flavour]
    assert connect().estimate(statement("SELECT table_name FROM information_schema.tables")).hazards == ()


def test_a_plan_through_a_view_is_never_told_of_other_values(mysql_cluster):
    """It is asked anew for each value: the view may be another by then."""
    with mysql_cluster.dba_connect(mysql_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE VIEW shop.one_order AS SELECT id, status FROM shop.orders")
    connection = engine_of(mysql_cluster).connect(PRIMARY, Account.READ, schema="shop")
    assert connection.estimate(statement("SELECT status FROM orders WHERE id = 1")).keyed
    named = statement("SELECT status FROM one_order WHERE id = 1")
    through = connection.estimate(replace(named, tables=(TableName(schema=None, name="one_order"),)))
    assert (through.asked, through.rows, through.keyed) == (True, 1, False)
    with mysql_cluster.dba_connect(mysql_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP VIEW shop.one_order")


def test_an_estimate_sees_what_hides_behind_views_and_runs_none_of_it(mysql_cluster):
    with mysql_cluster.dba_connect(mysql_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE VIEW shop.sizes AS SELECT SUM(DATA_LENGTH) AS n FROM information_schema.TABLES")
        cursor.execute("CREATE VIEW shop.stats AS SELECT COUNT(*) AS n FROM information_schema.INNODB_TABLESTATS")
        cursor.execute("CREATE VIEW shop.over_stats AS SELECT * FROM shop.stats")
    engine = engine_of(mysql_cluster)
    connection = engine.connect(PRIMARY, Account.READ, schema="shop")
    found = {}
    for name in ("sizes", "stats", "over_stats", "orders"):
        estimate = connection.estimate(
            replace(statement(f"SELECT * FROM {name}"), tables=(TableName(schema="shop", name=name),))
        )
        found[name] = [hazard.id for hazard in estimate.hazards]
    connection.close()
    engine.close()
    with mysql_cluster.dba_connect(mysql_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP VIEW shop.sizes, shop.stats, shop.over_stats")
    assert found == {
        "sizes": ["information-schema-sizes"],
        "stats": ["innodb-dictionary"],
        "over_stats": ["innodb-dictionary"],
        "orders": [],
    }


def test_a_view_whose_plan_the_account_may_not_see_is_not_taken_for_harmless(cluster):
    """A plan that is refused says nothing of what stands behind the view: here the sizes of all tables."""
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE DATABASE locked_away")
        cursor.execute("CREATE TABLE locked_away.t (id INT)")
        cursor.execute(
            "CREATE SQL SECURITY DEFINER VIEW shop.hidden AS"
            " SELECT (SELECT SUM(DATA_LENGTH) FROM information_schema.TABLES) AS n, COUNT(*) AS c FROM locked_away.t"
        )
    engine = engine_of(cluster)
    connection = engine.connect(PRIMARY, Account.READ, schema="shop")
    try:
        estimate = connection.estimate(
            replace(statement("SELECT * FROM hidden"), tables=(TableName(schema="shop", name="hidden"),))
        )
    finally:
        connection.close()
        engine.close()
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("DROP VIEW shop.hidden")
            cursor.execute("DROP DATABASE locked_away")
    assert estimate.objection == ""
    assert [hazard.id for hazard in estimate.hazards] == ["information-schema-sizes", "hidden-definition"]
    assert "GRANT SELECT, SHOW VIEW ON `locked_away`.`t`" in estimate.hazards[1].instead
    assert Effect.UNKNOWN in estimate.behind.effects


def test_a_function_behind_a_view_is_not_run_to_be_planned_and_not_taken_for_harmless(mariadb_cluster):
    cluster = mariadb_cluster
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute(
            "CREATE FUNCTION shop.adds_up() RETURNS BIGINT READS SQL DATA"
            " RETURN (SELECT SUM(DATA_LENGTH) FROM information_schema.TABLES)"
        )
        cursor.execute("CREATE VIEW shop.summed AS SELECT shop.adds_up() AS n")
        cursor.execute("CREATE VIEW shop.`over it's` AS SELECT n FROM shop.summed")
        cursor.execute("CREATE VIEW shop.plain AS SELECT COUNT(*) AS n, UPPER(MAX(status)) AS s FROM shop.orders")
    engine = engine_of(cluster)
    connection = engine.connect(PRIMARY, Account.READ, schema="shop")
    found = {}
    try:
        for name in ("summed", "over it's", "plain", "orders"):
            asked = replace(statement(f"SELECT * FROM `{name}`"), tables=(TableName(schema=None, name=name),))
            found[name] = [hazard.id for hazard in connection.estimate(asked).hazards]
    finally:
        connection.close()
        engine.close()
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute("DROP VIEW shop.summed, shop.`over it's`, shop.plain")
            cursor.execute("DROP FUNCTION shop.adds_up")
    behind = ["unknown-function"]
    assert found == {"summed": behind, "over it's": behind, "plain": [], "orders": []}


@pytest.mark.parametrize("literal", ["'it''s'", "'a\\\\b'", "'\\n'", "'\\0'", '"q"', "'\u20ac'"])
def test_no_literal_hides_the_plan(connect, literal):
    connection = connect()
    estimate = connection.estimate(statement(f"SELECT * FROM orders WHERE status = {literal}"))
    assert (estimate.asked, estimate.full_scans, estimate.hazards) == (True, ("orders",), ())
    assert estimate.rows > 1000
    assert not connection.broken


def test_an_estimate_that_would_run_long_is_ended(connect):
    connection = connect()
    started = time.monotonic()
    estimate = connection.estimate(statement("SELECT * FROM (SELECT SLEEP(60)) x"))
    assert time.monotonic() - started < SOON_SECONDS
    assert [hazard.id for hazard in estimate.hazards] == ["runs-while-planned"]
    assert connection.broken or read(connection, "SELECT 1") == [(1,)]


def test_an_estimate_executes_nothing_that_writes(cluster, connect):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        # Not for the replicas: they do not trust such functions, and would stop replicating.
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        cursor.execute("CREATE DATABASE IF NOT EXISTS traps")
        cursor.execute("CREATE TABLE IF NOT EXISTS traps.sprung (n INT)")
        cursor.execute("DROP FUNCTION IF EXISTS traps.spring")
        cursor.execute(
            "CREATE FUNCTION traps.spring() RETURNS INT NOT DETERMINISTIC MODIFIES SQL DATA"
            " BEGIN INSERT INTO traps.sprung VALUES (1); RETURN 1; END"
        )
        cursor.execute("GRANT EXECUTE, SELECT, INSERT ON traps.* TO console_elevated@'%'")
    connection = connect(PRIMARY, Account.ELEVATED)
    for text in (
        "SELECT * FROM orders WHERE id = traps.spring()",
        "SELECT * FROM orders WHERE id = (SELECT MAX(traps.spring()) FROM products)",
        "SELECT * FROM (SELECT traps.spring()) x",
    ):
        connection.estimate(statement(text))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM traps.sprung")
        assert cursor.fetchone() == (0,)
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("DROP DATABASE traps")


def test_a_read_through_a_function_that_writes_changes_nothing(cluster, connect):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        # Not for the replicas: they do not trust such functions, and would stop replicating.
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        cursor.execute("CREATE DATABASE IF NOT EXISTS snares")
        cursor.execute("CREATE TABLE snares.sprung (n INT)")
        cursor.execute(
            "CREATE FUNCTION snares.spring() RETURNS INT NOT DETERMINISTIC MODIFIES SQL DATA"
            " BEGIN INSERT INTO snares.sprung VALUES (1); RETURN 1; END"
        )
        cursor.execute("CREATE SQL SECURITY DEFINER VIEW snares.bait AS SELECT snares.spring() AS n")
        cursor.execute("GRANT SELECT ON snares.* TO console_read@'%'")
    connection = connect(PRIMARY)
    with pytest.raises(RefusedError):
        run(connection, permit_for(connection, statement("SELECT * FROM snares.bait"), route=Route.PRIMARY))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM snares.sprung")
        assert cursor.fetchone() == (0,)
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("DROP DATABASE snares")


def test_a_replica_that_takes_writes_now_is_sent_nothing(private_cluster):
    cluster = private_cluster("mariadb", replicas=1)
    engine = engine_of(cluster)
    connection = engine.connect(REPLICA, Account.READ, schema="shop")
    assert read(connection, "SELECT 1") == [(1,)]
    promote(cluster, cluster.replicas[0])
    with pytest.raises(RefusedError, match="no longer a replica"):
        read(connection, "SELECT 1")
    roles = {reading.node: reading.role for reading in engine.topology()}
    engine.close()
    assert roles == {"primary": Role.UNKNOWN, "replica-1": Role.PRIMARY}


def test_an_elevated_statement_is_not_sent_after_a_failover(private_cluster):
    cluster = private_cluster("mysql", replicas=1)
    engine = engine_of(cluster)
    connection = engine.connect(PRIMARY, Account.ELEVATED, schema="shop")
    permit = elevated(connection, write("UPDATE orders SET status = 'late' WHERE id = 1"))
    promote(cluster, cluster.replicas[0])
    with pytest.raises(RefusedError, match="is not the primary any longer"):
        run(connection, permit)
    assert connection.broken
    engine.close()


def test_a_replica_that_stopped_is_one_with_unknown_lag(private_cluster):
    cluster = private_cluster("mysql", replicas=1)
    engine = engine_of(cluster)
    stop_replication(cluster, cluster.replicas[0])
    reading = next(reading for reading in engine.topology() if reading.node == "replica-1")
    engine.close()
    assert (reading.role, reading.replicating, reading.lag_seconds) == (Role.REPLICA, False, None)
    assert "not running" in reading.proof


def test_a_heartbeat_says_the_lag(private_cluster):
    cluster = private_cluster("mariadb", replicas=1)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE TABLE shop.heartbeat (ts VARCHAR(26), server_id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO shop.heartbeat VALUES (UTC_TIMESTAMP(6) - INTERVAL 100 SECOND, 1)")
    cluster.wait_caught_up()
    for table, expected in (("shop.heartbeat", 100), ("shop.no_heartbeat", None)):
        engine = engine_of(cluster, heartbeat=table)
        reading = next(reading for reading in engine.topology() if reading.node == "replica-1")
        engine.close()
        assert (reading.lag_seconds is None) is (expected is None)
        assert expected is None or 99 < reading.lag_seconds < 300


def test_a_group_says_who_writes(private_cluster):
    cluster = private_cluster("mysql", replicas=0)
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        try:
            cursor.execute("INSTALL PLUGIN group_replication SONAME 'group_replication.so'")
        except pymysql.MySQLError as error:
            pytest.skip(f"this server has no group replication: {error}")
        cursor.execute("SET GLOBAL group_replication_group_name = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'")
        cursor.execute(f"SET GLOBAL group_replication_local_address = '127.0.0.1:{port}'")
        cursor.execute("SET GLOBAL group_replication_bootstrap_group = ON")
        cursor.execute("START GROUP_REPLICATION")
    engine = engine_of(cluster)
    (reading,) = engine.topology()
    assert reading.role is Role.UNKNOWN
    assert "grant SELECT ON performance_schema.replication_group_members" in reading.proof
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("GRANT SELECT ON performance_schema.replication_group_members TO console_read@'%'")
    (reading,) = engine.topology()
    assert (reading.role, reading.proof) == (Role.PRIMARY, "group replication: online primary, read_only=0")
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("STOP GROUP_REPLICATION")
    (reading,) = engine.topology()
    # What leaves its group refuses writes, and copies from nobody.
    assert (reading.role, reading.proof) == (Role.UNKNOWN, "read_only=1, but no replication channel")
    engine.close()


def test_what_was_measured_ahead_is_handed_out_once(engine):
    engine.measure_ahead()
    assert engine.rules.dialect.flavour in {Flavour.MYSQL, Flavour.MARIADB}
    first, again = engine.topology(), engine.topology()
    assert {reading.node for reading in first} == {reading.node for reading in again}
    assert max(reading.measured_seconds for reading in first) < min(reading.measured_seconds for reading in again)


def test_what_is_wrong_ahead_is_said_to_whoever_asks(cluster):
    engine = open_engine("shop", settings_for(["127.0.0.1:1"]), GivenSecrets(cluster.accounts), RealClock())
    engine.measure_ahead()
    with pytest.raises(UnreachableError, match="no node of cluster shop answers"):
        engine.rules  # noqa: B018 (asking is the act)
    engine.close()


def test_leaving_does_not_wait_for_a_node_that_hangs(cluster):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        engine = open_engine(
            "shop", settings_for([address], connect_seconds=60), GivenSecrets(cluster.accounts), RealClock()
        )
        engine.measure_ahead()
        began = time.monotonic()
        engine.close()
        assert time.monotonic() - began < SOON_SECONDS


def test_warnings_reach_the_person_and_say_how_many_there_are(cluster, tmp_path):
    with seated(cluster, tmp_path) as desk:
        shown = desk.run("SELECT CAST('a' AS SIGNED) FROM orders LIMIT 30")
    assert len(shown.warnings) == 21
    assert shown.warnings[0].startswith("Warning 1292: ")
    assert shown.warnings[-1] == "and 10 more"
