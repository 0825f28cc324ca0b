"""Bytes of a text that are no UTF-8: values in quotes arrive as they are, anything else is refused with its place."""

import uuid

import pymysql
import pytest
from msgspec.structs import replace

from safeconsole.demo.servers import tell
from safeconsole.dialects import DIALECTS
from safeconsole.gateway.refusals import ToldError
from safeconsole.gateway.texts import Charset, charset_of, text_of
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
EVERY = bytes(range(256))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"SELECT 'caf\xc3\xa9'", "SELECT 'café'"),
        (b"SELECT '\xff'", "SELECT  _binary x'ff'"),
        (b"SELECT'\xff'", "SELECT _binary x'ff'"),
        (b"VALUES(_binary'\xff', 'a')", "VALUES( _binary x'ff', 'a')"),
        (b"VALUES(_latin1 '\xe9')", "VALUES( _latin1 x'e9')"),
        (rb"VALUES('" + b"\xff" + rb"\0\n\\\'\%\_\q''" + b'"' + rb"')", "VALUES( _binary x'ff000a5c275c255c5f712722')"),
        (b'VALUES("\xff""\'")', "VALUES( _binary x'ff2227')"),
        (b"/* ' */ SELECT '\xff'", "/* ' */ SELECT  _binary x'ff'"),
        (b"/*! SELECT '\xff' */", "/*! SELECT  _binary x'ff' */"),
        (b"-- '\nSELECT '\xff'", "-- '\nSELECT  _binary x'ff'"),
        (b"SELECT `'`, '\xff', `'`", "SELECT `'`,  _binary x'ff', `'`"),
    ],
)
def test_values_in_quotes_become_their_bytes(raw, text):
    assert text_of(raw, Charset.UTF8, RULES) == text


@pytest.mark.parametrize(
    ("raw", "byte", "behind"),
    [
        (b"SELECT 1 /* \xff */", 13, "SELECT 1 /* "),
        (b"SELECT '\xfe', `\xff`", 14, "`"),
        (b"SELECT N'\xff'", 10, "SELECT N'"),
        (b"SELECT '\xff", 9, "SELECT '"),
        (b"SELECT '\xff\\'", 9, "SELECT '"),
    ],
)
def test_other_bytes_are_refused_with_their_place(raw, byte, behind):
    with pytest.raises(ToldError) as raised:
        text_of(raw, Charset.UTF8, RULES)
    told = raised.value.told
    assert (told.number, told.state) == (1300, "HY000")
    assert told.message.startswith("SET NAMES utf8mb4")
    assert f"byte {byte} (X'F" in told.message and behind in told.message


def test_where_quotes_or_backslashes_mean_something_else_no_value_is_read():
    quotes, escapes = replace(RULES, ansi_quotes=True), replace(RULES, no_backslash_escapes=True)
    assert text_of(b"SELECT '\xff'", Charset.UTF8, quotes) == "SELECT  _binary x'ff'"
    for raw, rules in ((b'SELECT "\xff"', quotes), (b"SELECT '\xff'", escapes)):
        with pytest.raises(ToldError):
            text_of(raw, Charset.UTF8, rules)


def test_a_client_of_latin1_is_read_in_that():
    assert (charset_of(8), charset_of(45), charset_of(28)) == (Charset.LATIN1, Charset.UTF8, Charset.ANOTHER)
    # Bytes that are UTF-8 by chance, too.
    for raw, text in (
        (b"SELECT '\xc3\xa9', 'a' /* \x80 */", "SELECT  _latin1 x'c3a9', 'a' /* € */"),
        (b"CREATE TABLE t (a INT COMMENT 'caf\xe9\x81')", "CREATE TABLE t (a INT COMMENT 'café\x81')"),
        (b"SELECT `caf\xe9`", "SELECT `café`"),
    ):
        assert text_of(raw, Charset.LATIN1, RULES) == text
    with pytest.raises(ToldError, match="character set is not read"):
        text_of("SELECT 'é'".encode(), Charset.ANOTHER, RULES)


def rows(connection, text, *values):
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall()


@pytest.fixture
def table(gateway):
    """A table for bytes and texts; dropped in the end."""
    name, cluster = f"texts_{uuid.uuid4().hex[:10]}", gateway.cluster
    with cluster.dba_connect(cluster.primary) as dba:
        tell(
            dba,
            f"CREATE TABLE shop.{name} (id INT PRIMARY KEY, raw BLOB, word VARCHAR(9) CHARACTER SET utf8mb4, n INT)",
        )
    cluster.wait_caught_up()
    yield name
    with cluster.dba_connect(cluster.primary) as dba:
        tell(dba, f"DROP TABLE shop.{name}")


def quoted(raw):
    return raw.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\0", b"\\0")


class _Silent(pymysql.connections.Connection):
    """A client that says nothing of its character set but at its login."""

    def set_character_set(self, charset, collation=None):
        pass


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_every_byte_arrives_in_a_text(gateway, table, charset):
    with _Silent(unix_socket=gateway.socket, user="x", database="shop", charset=charset, autocommit=True) as connection:
        rows(connection, "CALL safeconsole.elevate('bytes')")
        for number, introducer in enumerate((b"", b"_binary"), start=1):
            text = (
                f"INSERT INTO {table} (id, raw) VALUES ({number}, ".encode() + introducer + b"'" + quoted(EVERY) + b"')"
            )
            connection.query(text)
        if charset == "latin1":
            connection.query(f"INSERT INTO {table} (id, word) VALUES (3, 'caf\xe9\x80')".encode("latin-1"))
        with pytest.raises(pymysql.err.MySQLError) as raised:
            connection.query(b"SELECT 1 /* \xff */" if charset == "utf8mb4" else b"SELECT '\xff' AS word")
        assert raised.value.args[0] == (1300 if charset == "utf8mb4" else 1317)
    with gateway.cluster.dba_connect(gateway.cluster.primary) as dba:
        assert rows(dba, f"SELECT raw FROM shop.{table} WHERE id < 3") == ((EVERY,), (EVERY,))
        if charset == "latin1":
            assert rows(dba, f"SELECT word FROM shop.{table} WHERE id = 3") == (("café€",),)


def test_bytes_for_a_place_of_a_number_are_read_as_text(gateway, table):
    mysql = pytest.importorskip("mysql.connector")
    connection = mysql.connect(
        host=gateway.host, port=gateway.port, user="anna", password=gateway.token("anna"), database="shop",
        ssl_ca=str(gateway.ca), use_pure=True,
    )  # fmt: skip
    cursor = connection.cursor()
    cursor.execute("CALL safeconsole.elevate('bytes')")
    cursor = connection.cursor(prepared=True)
    cursor.execute(f"INSERT INTO {table} (id, raw, n) VALUES (?, ?, ?)", (4, EVERY, b"5"))
    connection.commit()
    connection.close()
    with gateway.cluster.dba_connect(gateway.cluster.primary) as dba:
        assert rows(dba, f"SELECT raw, n FROM shop.{table} WHERE id = 4") == ((EVERY, 5),)
