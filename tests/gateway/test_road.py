"""PyMySQL through a gateway, at the socket and over TCP with TLS: what people do, and what they are told."""

import uuid

import pymysql
import pytest

from tests.harness.talking import wait_for


@pytest.fixture(params=["socket", "tls"])
def connect(request, gateway):
    """Connect as the account that runs the tests, or as anna with a token."""
    return gateway.connect_socket if request.param == "socket" else gateway.connect


def rows(connection, text, *values):
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall()


def test_a_read_is_answered(connect, gateway):
    with connect() as connection:
        assert rows(connection, "SELECT id FROM orders WHERE id < %s ORDER BY id", 4) == ((1,), (2,), (3,))
        assert rows(connection, "SELECT CONNECTION_ID()") == ((connection.thread_id(),),)
        version = rows(connection, "SELECT VERSION()")[0][0]
        assert connection.get_server_info().removeprefix("5.5.5-") == version
        with pytest.raises(pymysql.err.ProgrammingError) as raised:
            rows(connection, "SELECT nothing FROM nowhere")
        assert raised.value.args[0] == 1146


def test_a_write_is_refused_elevated_and_done(connect):
    with connect() as connection:
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(connection, "UPDATE orders SET status = 'through' WHERE id = 5")
        number, told = raised.value.args
        assert number == 1290
        assert told.startswith("CALL safeconsole.elevate('reason', 'ticket', 'shop'), then send it again")
        assert not any(word in told for word in ("\\use", "--to", "\\elevate", "with elevate"))
        evidence = rows(connection, "SHOW WARNINGS")
        assert evidence[0][:2] == ("Error", 1290)
        assert any("rule" in line[2] for line in evidence[1:])
        rows(connection, "CALL safeconsole.elevate('incident 7', 'OPS-7', 'shop')")
        with connection.cursor() as cursor:
            assert cursor.execute("UPDATE orders SET status = 'through' WHERE id = 5") in {0, 1}
        rows(connection, "CALL safeconsole.stand_down()")
        with pytest.raises(pymysql.err.MySQLError, match="safeconsole.elevate"):
            rows(connection, "UPDATE orders SET status = 'paid' WHERE id = 5")
        assert rows(connection, "SELECT status FROM orders WHERE id = 5") == (("through",),)


def refused(connection, text):
    with pytest.raises(pymysql.err.MySQLError) as raised:
        rows(connection, text)
    assert raised.value.args[0] == 1290, raised.value.args
    return raised.value.args[1]


def elevate(connection):
    rows(connection, "CALL safeconsole.elevate('incident 7', 'OPS-7')")


def is_open(connection):
    return bool(connection.server_status & 1)


def test_a_refused_change_leaves_the_transaction_open_and_it_goes_on_after_the_elevation(connect):
    with connect() as connection:
        rows(connection, "BEGIN")
        assert is_open(connection)
        rows(connection, "SELECT COUNT(*) FROM orders")
        assert refused(connection, "UPDATE orders SET status = 'moved' WHERE id = 6").startswith(
            "CALL safeconsole.elevate("
        )
        assert is_open(connection) or rows(connection, "SELECT 1") and is_open(connection)
        elevate(connection)
        rows(connection, "UPDATE orders SET status = 'moved' WHERE id = 6")
        assert is_open(connection)
        assert any("goes on at the primary" in line[2] for line in rows(connection, "SHOW WARNINGS"))
        assert rows(connection, "SELECT status FROM orders WHERE id = 6") == (("moved",),)
        rows(connection, "ROLLBACK")
        assert not is_open(connection)
        assert rows(connection, "SELECT status FROM orders WHERE id = 6") != (("moved",),)


def test_autocommit_off_begins_with_the_first_change_and_on_commits(connect):
    with connect() as connection:
        rows(connection, "SET autocommit = 0")
        assert not connection.server_status & 2
        rows(connection, "SELECT 1")
        elevate(connection)
        rows(connection, "UPDATE orders SET status = 'held' WHERE id = 7")
        assert is_open(connection)
        rows(connection, "ROLLBACK")
        assert rows(connection, "SELECT status FROM orders WHERE id = 7") != (("held",),)
        rows(connection, "UPDATE orders SET status = 'kept' WHERE id = 7")
        rows(connection, "SET autocommit = 1")
        assert (is_open(connection), connection.server_status & 2) == (False, 2)
        assert rows(connection, "SELECT status FROM orders WHERE id = 7") == (("kept",),)


def test_an_elevation_that_ends_undoes_what_is_open_and_says_so(connect):
    with connect() as connection:
        elevate(connection)
        rows(connection, "BEGIN")
        rows(connection, "UPDATE orders SET status = 'lost' WHERE id = 8")
        rows(connection, "CALL safeconsole.stand_down()")
        assert "was rolled back: the elevation ended" in rows(connection, "SHOW WARNINGS")[0][2]
        with pytest.raises(pymysql.err.MySQLError, match="rolled back"):
            rows(connection, "COMMIT")
        rows(connection, "ROLLBACK")
        assert rows(connection, "SELECT status FROM orders WHERE id = 8") != (("lost",),)


def test_what_whoever_is_elevated_is_asked_once_more_is_confirmed_by_a_call(connect):
    with connect() as connection:
        elevate(connection)
        rows(connection, "BEGIN")
        text = "UPDATE orders SET total = total"
        assert refused(connection, text).startswith("CALL safeconsole.confirm(), then send it again.")
        assert is_open(connection)
        rows(connection, "CALL safeconsole.confirm()")
        rows(connection, text)
        refused(connection, text)
        rows(connection, "ROLLBACK")


def test_several_statements_are_judged_before_the_first_runs(gateway):
    from pymysql.constants import CLIENT

    with gateway.connect_socket(client_flag=CLIENT.MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT id FROM orders WHERE id < 3 ORDER BY id; SET @x = 2; SELECT 'last'")
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        assert [each for each in found if each] == [((1,),), ((1,), (2,)), (("last",),)]
        sent = len(gateway.records("intent"))
        with pytest.raises(pymysql.err.MySQLError) as raised:
            cursor.execute("SELECT 'first'; DELETE FROM orders WHERE id = 9; SELECT 3")
        assert raised.value.args[0] == 1290
        assert "nothing of it was run: statement 2 of 3" in raised.value.args[1]
        # What was planned on a server is on record, run or not.
        assert {"SELECT 'first'", "DELETE FROM orders WHERE id = 9"} <= {
            each["sql"] for each in gateway.records("asked")
        }
        assert len(gateway.records("intent")) == sent
    with gateway.connect_socket() as connection, pytest.raises(pymysql.err.ProgrammingError) as raised:
        rows(connection, "SELECT 1; SELECT 2")
    assert raised.value.args[0] == 1064


def test_what_clients_set_is_absorbed_or_refused(connect):
    with connect() as connection:
        for text in (
            "SET NAMES utf8mb4 COLLATE 'utf8mb4_general_ci'",
            "SET  @@SESSION.sql_mode = CONCAT(CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), ',NO_AUTO_VALUE_ON_ZERO'),"
            "  @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483",
            "set autocommit=1, sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET character_set_results = NULL",
            "SET @@session.autocommit = OFF",
            "SET time_zone = '+00:00'",
        ):
            rows(connection, text)
        assert rows(connection, "SELECT @@session.autocommit") == ((0,),)
        for text, number in (
            ("SET NAMES latin1", 1115),
            ("SET sql_mode = 'ANSI_QUOTES'", 1231),
            ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", 1231),
            ("SET GLOBAL max_connections = 1", 1290),
        ):
            with pytest.raises(pymysql.err.MySQLError) as raised:
                rows(connection, text)
            assert raised.value.args[0] == number, text


def test_limits_are_told_by_the_number_that_they_have_in_clients(connect, gateway):
    with connect() as connection:
        rows(connection, "CALL safeconsole.tighten('fetched_rows', '10')")
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(connection, "SELECT id FROM orders")
        assert raised.value.args[0] == 1226
        assert any("fetched_rows" in line[2] for line in rows(connection, "SHOW WARNINGS"))
        rows(
            connection,
            "SET SESSION "
            + ("max_execution_time = 500" if gateway.cluster.flavour == "mysql" else "max_statement_time = 0.5"),
        )
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(
                connection,
                "SELECT COUNT(*) FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < 0",
            )
        assert raised.value.args[0] == (3024 if gateway.cluster.flavour == "mysql" else 1969)
        rows(connection, "SET sql_select_limit = 3")
        assert len(rows(connection, "SELECT id FROM orders LIMIT 5")) <= 5


def test_rows_that_were_matched_are_counted_where_the_client_counts_so(gateway):
    from pymysql.constants import CLIENT

    for flag, counted in ((0, 0), (CLIENT.FOUND_ROWS, 1)):
        with gateway.connect_socket(client_flag=flag) as connection, connection.cursor() as cursor:
            elevate(connection)
            cursor.execute("UPDATE orders SET status = 'matched' WHERE id = 10")
            assert cursor.execute("UPDATE orders SET status = 'matched' WHERE id = 10") == counted


def test_one_persons_connections_are_theirs_to_see_and_to_kill(gateway):
    anna, other, bob = gateway.connect("anna"), gateway.connect("anna"), gateway.connect("bob")
    with anna, other, bob:
        mine = {anna.thread_id(), other.thread_id()}
        assert mine <= {row[0] for row in rows(anna, "SHOW PROCESSLIST")}
        assert bob.thread_id() not in {row[0] for row in rows(anna, "SHOW FULL PROCESSLIST")}
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(bob, f"KILL QUERY {anna.thread_id()}")
        assert raised.value.args[0] == 1094
        rows(anna, f"KILL {other.thread_id()}")
        with pytest.raises(pymysql.err.OperationalError):
            rows(other, "SELECT 1")
        other._force_close()
        rows(anna, "SELECT 1")


def test_what_the_journal_says_is_the_persons_own(gateway):
    with gateway.connect("erna", program_name="a console") as connection:
        rows(connection, "SELECT 'ernas' AS own")
    gateway.wait_until_left("erna")
    (opened,) = gateway.records("session-opened", "erna")
    assert (opened["face"], opened["login"], opened["agent"]) == ("gateway", "erna", "")
    assert opened["origin"].startswith("127.0.0.1")
    (said,) = [each["detail"] for each in gateway.records("notice", "erna") if each["what"] == "client connected"]
    assert "program_name=a console" in said
    assert "TLS" in said
    assert any("'ernas'" in each["sql"] for each in gateway.records("intent", "erna"))


@pytest.mark.parametrize(
    ("asked", "sees"),
    [
        ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", True),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", True),
        ("SET transaction_isolation = 'READ-COMMITTED'", True),
        ("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", False),
    ],
)
@pytest.mark.parametrize("elevated", [False, True])
def test_a_transaction_has_the_isolation_that_was_asked_for(gateway, asked, sees, elevated):
    cluster, mark = gateway.cluster, f"i{uuid.uuid4().hex[:8]}"
    with gateway.connect("isa") as connection:
        rows(connection, asked)
        if elevated:
            elevate(connection)
        else:
            rows(connection, "CALL safeconsole.use('replica-1')")
        rows(connection, "BEGIN")
        if elevated:
            # The transaction is one of the primary's from its first change on.
            rows(connection, "UPDATE orders SET total = total WHERE id = 19")
        question = "SELECT COUNT(*) FROM orders WHERE status = %s AND id = 18"
        assert rows(connection, question, mark) == ((0,),)
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("UPDATE shop.orders SET status = %s WHERE id = 18", (mark,))
            dba.commit()
        if not elevated:
            (replica,) = [node for node in cluster.nodes if node.name == "replica-1"]
            with cluster.dba_connect(replica) as dba, dba.cursor() as cursor:
                wait_for(lambda: cursor.execute("SELECT 1 FROM shop.orders WHERE id = 18 AND status = %s", (mark,)))
        assert rows(connection, question, mark) == ((int(sees),),)
        rows(connection, "ROLLBACK")
        assert rows(connection, question, mark) == ((1,),)


def test_the_isolation_that_is_shown_is_the_one_in_force(gateway):
    variable = "transaction_isolation" if gateway.cluster.flavour == "mysql" else "tx_isolation"
    with gateway.connect("isa") as connection:
        assert rows(connection, f"SELECT @@{variable}") == (("REPEATABLE-READ",),)
        rows(connection, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        assert rows(connection, f"SELECT @@session.{variable}") == (("READ-COMMITTED",),)
        assert rows(connection, f"SHOW VARIABLES LIKE '{variable}'") == ((variable, "READ-COMMITTED"),)
        rows(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert rows(connection, f"SELECT @@{variable}") == (("READ-COMMITTED",),)
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(connection, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        assert raised.value.args[0] == 1231
