"""A text that a server would not take is refused before it is sent, and the session goes on; a table of its own too."""

import socket

import pymysql
import pytest

from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import tell
from safeconsole.gateway.packets import ClientChannel, TooLargeError
from tests.harness.gateway import serving

LARGEST = 1024 * 1024


def rows(connection, text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def read_of(size):
    begin, end = "SELECT LENGTH('", "')"
    return f"{begin}{'x' * (size - len(begin) - len(end))}{end}"


def change_of(size):
    begin, end = "INSERT INTO orders (customer_id, total, created_at, status) VALUES (1, 3, NOW(), LEFT('", "', 5))"
    return f"{begin}{'x' * (size - len(begin) - len(end))}{end}"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_is_larger_than_a_servers_packet_is_refused_and_the_session_goes_on(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=1, options=(f"--max-allowed-packet={LARGEST}",))
    with cluster.dba_connect(cluster.primary) as dba:
        tell(dba, "GRANT CREATE TEMPORARY TABLES ON shop.* TO 'console_elevated'@'%'")
    cluster.wait_caught_up()
    with serving(cluster, tmp_path / "own") as own, own.connect_socket() as connection:
        assert rows(connection, read_of(LARGEST - 200)) == ((LARGEST - 217,),)
        number = rows(connection, "SELECT CONNECTION_ID()")
        rows(connection, "CALL safeconsole.elevate('an incident')")
        for text in (read_of(LARGEST - 50), read_of(LARGEST), read_of(LARGEST + 100), change_of(LARGEST + 100)):
            with pytest.raises(pymysql.err.MySQLError) as raised:
                rows(connection, text)
            assert raised.value.args[0] == 1153, raised.value.args
            assert "max_allowed_packet" in raised.value.args[1]
            assert "1,048,576" in raised.value.args[1]
            assert rows(connection, "SELECT CONNECTION_ID()") == number
        rows(connection, "BEGIN")
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(connection, change_of(LARGEST))
        assert raised.value.args[0] == 1153
        rows(connection, "UPDATE orders SET status = 'after' WHERE id = 1")
        rows(connection, "ROLLBACK")
        a_table_of_the_session_is_never_another(connection)


def a_table_of_the_session_is_never_another(connection):
    """A temporary table hides one of its name where it is; elsewhere the other would be read instead."""
    rows(connection, "CREATE TEMPORARY TABLE orders (id INT PRIMARY KEY)")
    rows(connection, "INSERT INTO orders VALUES (77)")
    with pytest.raises(pymysql.err.MySQLError, match=r"shop.orders is a temporary table on primary \(elevated\)"):
        rows(connection, "SELECT COUNT(*) FROM orders")
    rows(connection, "BEGIN")
    assert rows(connection, "SELECT id FROM orders") == ((77,),)
    rows(connection, "COMMIT")
    rows(connection, "CALL safeconsole.stand_down()")
    with pytest.raises(pymysql.err.MySQLError, match="was lost with its connection"):
        rows(connection, "SELECT COUNT(*) FROM orders")
    assert rows(connection, "SELECT COUNT(*) > 1 FROM orders") == ((1,),)


def test_a_command_that_is_too_large_is_read_to_its_end():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = ClientChannel(ours, login_seconds=10)
        theirs.sendall(b"\x15\0\0\0" + b"\x03" * 21 + b"\x02\0\0\0\x03x")
        with pytest.raises(TooLargeError):
            channel.read_command(20)
        assert (channel.sequence, channel.read_command(20)) == (1, b"\x03x")
