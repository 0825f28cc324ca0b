"""PyMySQL through a gateway, at the socket and over TCP with TLS: what people do, and what they are told."""

import pymysql
import pytest


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
