"""The schema `safeconsole`, as clients read it: what is asked of it is applied as a whole, or refused."""

import decimal
import subprocess

import pymysql
import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.gateway.packets import ColumnKind
from safeconsole.gateway.refusals import ToldError
from safeconsole.gateway.selecting import answered_columns, selected, selection_of
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from tests.gateway.test_road import rows

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL])
COLUMNS = {"name": ColumnKind.VARCHAR, "size": ColumnKind.BIGINT, "lag": ColumnKind.DOUBLE}
HELD = [("b", 2, 0.5), ("A", 10, None), ("c_1", 2, 1.5), ("cx1", None, 0.0)]


def answered(text):
    selection = selection_of(f"SELECT {text}", RULES)
    return list(selected(selection, COLUMNS, HELD)), tuple(answered_columns(selection, COLUMNS))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name FROM safeconsole.t", "b A c_1 cx1"),
        ("name FROM `safeconsole`.`t` WHERE name = 'a'", "A"),
        ("name FROM safeconsole.t WHERE size > 2", "A"),
        ("name FROM safeconsole.t WHERE size >= '2' AND name != 'B' ORDER BY name DESC", "c_1 A"),
        ("name FROM safeconsole . t AS x WHERE x.size IS NULL", "cx1"),
        ("name FROM safeconsole.t x WHERE lag IS NOT NULL ORDER BY lag DESC, name", "c_1 b cx1"),
        ("name FROM safeconsole.t ORDER BY size, name DESC", "cx1 c_1 b A"),
        (r"name FROM safeconsole.t WHERE name LIKE 'c\\_%'", "c_1"),
        ("name FROM safeconsole.t WHERE name NOT LIKE '_'", "c_1 cx1"),
        ("name FROM safeconsole.t WHERE size IN (2, 3) AND lag < 1.5", "b"),
        ("name FROM safeconsole.t WHERE size NOT IN (2)", "A"),
        ("name FROM safeconsole.t WHERE lag > -1 LIMIT 1, 2", "c_1 cx1"),
        ("name FROM safeconsole.t LIMIT 2 OFFSET 1", "A c_1"),
        ("/* a tool */ name FROM safeconsole.t LIMIT 0;", ""),
    ],
)
def test_what_is_asked_is_applied(text, names):
    assert [row[0] for row in answered(text)[0]] == names.split()


def test_columns_are_those_that_were_asked_for():
    assert answered("* FROM safeconsole.t LIMIT 1") == ([("b", 2, 0.5)], ("name", "size", "lag"))
    assert answered("lag AS l, safeconsole.t.name FROM safeconsole.t LIMIT 1") == ([(0.5, "b")], ("l", "name"))
    assert answered("COUNT(*) FROM safeconsole.t WHERE size = 2") == ([(2,)], ("COUNT(*)",))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM safeconsole.t JOIN orders",
        "SELECT * FROM orders, safeconsole.t",
        "SELECT * FROM safeconsole.t, orders",
        "SELECT a.* FROM safeconsole.t a",
        "SELECT name FROM safeconsole.t WHERE size = 2 OR 1",
        "SELECT name FROM safeconsole.t WHERE size = size",
        "SELECT name FROM safeconsole.t WHERE size",
        "SELECT name FROM safeconsole.t GROUP BY name",
        "SELECT name FROM safeconsole.t LIMIT 1 FOR UPDATE",
        "SELECT MAX(size) FROM safeconsole.t",
        "SELECT name FROM safeconsole.t WHERE name = ",
        "SELECT name FROM safeconsole.t WHERE",
        "SELECT name FROM safeconsole.t INTO OUTFILE '/tmp/x'",
        "SELECT * FROM orders WHERE id IN (SELECT 1 FROM safeconsole.t)",
        "INSERT INTO safeconsole.t VALUES (1)",
        "UPDATE safeconsole.t SET a = 1",
        "DROP TABLE safeconsole.t",
        "SHOW CREATE TABLE safeconsole.t",
        "SHOW INDEX FROM safeconsole.t",
        "EXPLAIN SELECT * FROM safeconsole.t",
    ],
)
def test_what_is_not_read_is_refused(text):
    with pytest.raises(ToldError) as raised:
        selection_of(text, RULES)
    assert raised.value.told.number == 1235


@pytest.mark.parametrize(
    ("text", "number"), [("nothing FROM safeconsole.t", 1054), ("* FROM safeconsole.t WHERE size = 'x'", 1366)]
)
def test_what_cannot_be_is_told(text, number):
    with pytest.raises(ToldError) as raised:
        answered(text)
    assert raised.value.told.number == number


@pytest.mark.parametrize(
    "text", ["SELECT 'safeconsole.t'", "SELECT safeconsole FROM orders", "CALL safeconsole.why()", "SELECT 1"]
)
def test_other_texts_go_on(text):
    assert selection_of(text, RULES) is None


def test_the_tables_name_themselves(gateway):
    with gateway.connect("olga") as connection:
        names = [name for (name,) in rows(connection, "SHOW TABLES FROM safeconsole")]
        assert names == ["capacity", "journal", "leftovers", "limits", "status", "topology", "why"]
        for name in names:
            described = rows(connection, f"DESCRIBE safeconsole.{name}")
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM safeconsole.{name} LIMIT 3")
                assert [field[0] for field in described] == [field[0] for field in cursor.description]
        assert rows(connection, "SHOW COLUMNS FROM topology IN safeconsole LIKE 'lag%'")[0][:2] == (
            "lag_seconds",
            "double",
        )


def test_nodes_limits_sizes_and_leftovers_are_rows(gateway):
    with gateway.connect("olga") as connection:
        (primary,) = rows(connection, "SELECT node, lag_seconds FROM safeconsole.topology WHERE role = 'primary'")
        assert primary[1] is None
        assert rows(connection, "SELECT value FROM safeconsole.limits WHERE `limit` = 'run_seconds'")[0][0] > 0
        (orders,) = rows(
            connection,
            "SELECT rows_estimated, total_bytes FROM safeconsole.capacity WHERE `schema` = 'shop' AND `table` = 'orders'",
        )
        assert all(isinstance(value, int) and value > 0 for value in orders)
        by_size = rows(connection, "SELECT `table`, total_bytes FROM safeconsole.capacity ORDER BY total_bytes DESC")
        assert [size for _, size in by_size] == sorted((size for _, size in by_size), reverse=True)
        found = rows(connection, "SELECT `table`, state, why FROM safeconsole.leftovers WHERE `schema` = 'shop'")
        assert found, "the demo holds leftovers"
        assert {state for _, state, _ in found} <= {"running", "abandoned", "unclear"}
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(connection, "SELECT c.`table` FROM safeconsole.capacity c JOIN orders o ON o.id = 1")
        assert raised.value.args[0] == 1235
        rows(connection, "CALL safeconsole.tighten('fetched_rows', '1')")
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows(connection, "SELECT * FROM safeconsole.limits")
        assert raised.value.args[0] == 1226


def test_a_journal_is_ones_own(gateway):
    with gateway.connect("otto") as otto, gateway.connect("pia") as pia:
        rows(pia, "SELECT 'pias secret'")
        with pytest.raises(pymysql.err.MySQLError):
            rows(otto, "DELETE FROM orders WHERE id = 3")
        told = rows(otto, "SELECT sql, verdict, outcome, elapsed_seconds FROM safeconsole.journal")
        assert ("DELETE FROM orders WHERE id = 3", "elevate") in {row[:2] for row in told}
        assert "pia" not in repr(told)
        assert all(row[3] is None or isinstance(row[3], float | decimal.Decimal) for row in told)
    with gateway.connect("otto") as again:
        assert rows(again, "SELECT COUNT(*) FROM safeconsole.journal WHERE verdict = 'elevate'") == ((1,),)


def test_a_binary_client_reads_the_same(gateway):
    connector = pytest.importorskip("mysql.connector")
    with connector.connect(
        host=gateway.host,
        port=gateway.port,
        user="olga",
        password=gateway.token("olga"),
        database="shop",
        use_pure=True,
    ) as connection:
        read = []
        for prepared in (False, True):
            cursor = connection.cursor(prepared=prepared)
            cursor.execute("SELECT node, role, lag_seconds FROM safeconsole.topology WHERE role = %s", ("primary",))
            read.append(cursor.fetchall())
            cursor.execute("SELECT `limit`, value FROM safeconsole.limits")
            read[-1] += cursor.fetchall()
            cursor.close()
        assert read[0] == read[1]


def test_the_client_on_the_command_line_reads_it_too(gateway):
    from tests.gateway.test_mariadb_client import CLIENT, run

    if CLIENT is None:
        pytest.skip("no mariadb client here")
    done = run(gateway, "SELECT node, role FROM safeconsole.topology; DESC safeconsole.journal")
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 0, done.stderr
    assert "primary" in done.stdout
    assert "varchar" in done.stdout
