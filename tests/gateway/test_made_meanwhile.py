"""Tables that are made, altered and dropped while clients are connected, and what a session alone has."""

import uuid

import pymysql
import pytest

from safeconsole.demo.servers import tell
from tests.harness.talking import wait_for


def rows(connection, text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def agreed(connection, text):
    """Run a statement that is asked about once more."""
    try:
        rows(connection, text)
    except pymysql.err.MySQLError as error:
        assert "CALL safeconsole.confirm()" in error.args[1], error.args
        rows(connection, "CALL safeconsole.confirm()")
        rows(connection, text)


def on_a_replica(connection, text):
    """The rows of a table that another session has made, none while the replica that is asked does not know it."""
    try:
        return rows(connection, text)
    except pymysql.err.ProgrammingError as error:
        assert error.args[0] == 1146, error.args
        return ()


def fields(connection, table):
    """The columns that a client is told to complete names with."""
    connection._execute_command(4, table.encode() + b"\0")  # noqa: SLF001 (COM_FIELD_LIST)
    found = []
    while not (packet := connection._read_packet()).is_eof_packet():  # noqa: SLF001
        found.append([packet.read_length_coded_string() for _ in range(5)][4].decode())
    return found


@pytest.fixture
def tables(gateway):
    """Two names that no table has; whatever has them in the end is dropped."""
    names = [f"made_{uuid.uuid4().hex[:10]}" for _ in range(2)]
    yield names
    cluster = gateway.cluster
    with cluster.dba_connect(cluster.primary) as dba:
        for name in names:
            tell(dba, f"DROP TABLE IF EXISTS shop.{name}")


def test_a_table_is_known_as_soon_as_it_is_made_altered_renamed_and_dropped(gateway, tables):
    first, second = tables
    with gateway.connect_socket() as connection, gateway.connect_socket() as other:
        rows(connection, "CALL safeconsole.elevate('making tables')")
        for each in (connection, other):
            for _ in range(2):
                with pytest.raises(pymysql.err.ProgrammingError):
                    rows(each, f"SELECT * FROM {first} WHERE id = 1")
        with pytest.raises(pymysql.err.ProgrammingError) as raised:
            fields(connection, first)
        assert raised.value.args == (1146, f"Table 'shop.{first}' doesn't exist")
        agreed(connection, f"CREATE TABLE {first} (id INT PRIMARY KEY)")
        assert rows(connection, f"SELECT * FROM {first} WHERE id = 1") == ()
        assert fields(connection, first) == ["id"]
        agreed(connection, f"INSERT INTO {first} VALUES (1)")
        assert rows(connection, f"SELECT * FROM {first} WHERE id = 1") == ((1,),)
        # Who was told a moment ago that there is none reads it as soon as their replica has it.
        wait_for(lambda: on_a_replica(other, f"SELECT * FROM {first} WHERE id = 1") == ((1,),))
        agreed(connection, f"ALTER TABLE {first} ADD COLUMN more INT")
        assert rows(connection, f"SELECT more FROM {first} WHERE id = 1") == ((None,),)
        assert fields(connection, first) == ["id", "more"]
        agreed(connection, f"RENAME TABLE {first} TO {second}")
        assert rows(connection, f"SELECT id FROM {second} WHERE id = 1") == ((1,),)
        assert fields(connection, second) == ["id", "more"]
        with pytest.raises(pymysql.err.ProgrammingError):
            rows(connection, f"SELECT * FROM {first} WHERE id = 1")
        agreed(connection, f"DROP TABLE {second}")
        with pytest.raises(pymysql.err.ProgrammingError):
            rows(connection, f"SELECT id FROM {second} WHERE id = 1")
        with pytest.raises(pymysql.err.ProgrammingError):
            fields(connection, second)


def test_a_variable_is_never_null_without_a_word(gateway):
    with gateway.connect_socket() as connection:
        rows(connection, "SET @mine = 'kept'")
        assert rows(connection, "SELECT @mine") == (("kept",),)
        rows(connection, "CALL safeconsole.elevate('an incident')")
        for text in (
            "UPDATE orders SET status = @mine WHERE id = 22",
            "INSERT INTO orders (customer_id, status, total, created_at) VALUES (1, @mine, 3, NOW())",
        ):
            with pytest.raises(pymysql.err.MySQLError) as raised:
                rows(connection, text)
            assert raised.value.args[0] == 1290
            assert "@mine was set on replica" in raised.value.args[1]
        rows(connection, "BEGIN")
        # It is set on this connection from now on, and the other one is not.
        rows(connection, "SET @other = 'within'")
        with pytest.raises(pymysql.err.MySQLError, match="@mine was set on replica"):
            rows(connection, "SELECT @mine, @other")
        rows(connection, "UPDATE orders SET status = @other WHERE id = 22")
        assert rows(connection, "SELECT status FROM orders WHERE id = 22") == (("within",),)
        rows(connection, "ROLLBACK")
        assert rows(connection, "SELECT @mine") == (("kept",),)
        with pytest.raises(pymysql.err.MySQLError, match="@other was set on primary"):
            rows(connection, "SELECT @other")


def test_after_a_reset_a_variable_is_null_as_on_a_server(gateway):
    with gateway.connect_socket() as connection:
        rows(connection, "SET @mine = 1")
        connection._execute_command(0x1F, b"")  # noqa: SLF001 (COM_RESET_CONNECTION)
        connection._read_ok_packet()  # noqa: SLF001
        assert rows(connection, "SELECT @mine") == ((None,),)
