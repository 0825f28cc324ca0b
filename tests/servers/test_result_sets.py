"""A procedure's result sets on real servers: all of them, in order, in every format and face, under one set of limits."""

import contextlib
import io
import json
import os
import struct
import subprocess
import sys

import pymysql
import pytest
from pymysql.constants import CLIENT, COMMAND

from safeconsole.app import Program
from safeconsole.cli.application import Door
from safeconsole.mcp.answers import answer_of
from safeconsole.errors import OutcomeUnknownError, ServerError
from safeconsole.output.presenting import screen_of
from safeconsole.python.namespace import names_for
from safeconsole.python.session import PythonSession
from tests.harness.desk import Answering, demo_configuration, seated
from tests.harness.gateway import gateways  # noqa: F401  (a fixture)
from tests.harness.gateway import serving

BODIES = {
    "sets_three": "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL; SELECT id AS none FROM orders WHERE id < 0;"
    " SELECT CAST(1.50 AS DECIMAL(9,2)) AS price; UPDATE result_sets_of SET n = n + 1",
    "sets_one": "SELECT 7 AS seven",
    "sets_none": "UPDATE result_sets_of SET n = n + 1",
    "sets_then_error": "SELECT 1 AS a; SELECT 2 AS b; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'at the end'",
    "sets_long": "UPDATE result_sets_of SET n = n + 1; SELECT id FROM orders LIMIT 30; SELECT id FROM orders LIMIT 30",
}
YES = ("--reason", "incident 7", "--ticket", "OPS-7", "--confirm", "shop")


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def stocked(request, shared_clusters):
    """A cluster with procedures that return sets."""
    cluster = shared_clusters(request.param)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS shop.result_sets_of (id INT PRIMARY KEY, n INT)")
        cursor.execute("REPLACE INTO shop.result_sets_of VALUES (1, 0), (2, 0)")
        cursor.execute("USE shop")
        for name, body in BODIES.items():
            cursor.execute(f"DROP PROCEDURE IF EXISTS {name}")
            cursor.execute(f"CREATE PROCEDURE {name}() MODIFIES SQL DATA BEGIN {body}; END")
            cursor.execute(f"GRANT EXECUTE ON PROCEDURE {name} TO console_elevated@'%'")
    cluster.wait_caught_up()
    yield cluster
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for name in BODIES:
            cursor.execute(f"REVOKE EXECUTE ON PROCEDURE shop.{name} FROM console_elevated@'%'")
            cursor.execute(f"DROP PROCEDURE shop.{name}")
        cursor.execute("DROP TABLE shop.result_sets_of")


@pytest.fixture(scope="module")
def one_shot(stocked, tmp_path_factory):
    config = demo_configuration(stocked, tmp_path_factory.mktemp("sets"))

    def run(sql, *words):
        ended = subprocess.run(
            [sys.executable, "-m", "safeconsole", "--config", str(config), "sql", "shop", "-e", sql, *YES, *words],
            capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(config.parent)},
        )  # fmt: skip
        return ended.stdout, ended.stderr, ended.returncode

    return run


@pytest.fixture
def desk(stocked, tmp_path):
    with seated(stocked, tmp_path / "desk") as desk:
        yield desk


SHOWN = {
    "table": "a  b\n-  ----\n1  x\n2  NULL\n\nnone\n----\n\nprice\n-----\n 1.50\n",
    "vertical": f"{'*' * 15} 1. row {'*' * 15}\na: 1\nb: x\n{'*' * 15} 2. row {'*' * 15}\na: 2\nb: NULL\n"
    f"\n\n{'*' * 15} 1. row {'*' * 15}\nprice: 1.50\n",
    "markdown": "| a | b |\n|---:|---|\n| 1 | x |\n| 2 | NULL |\n\n| none |\n|---:|\n\n| price |\n|---:|\n| 1.50 |\n",
    "csv": "a,b\n1,x\n2,\n\nnone\n\nprice\n1.50\n",
    "tsv": "a\tb\n1\tx\n2\t\\N\n\\.\nnone\n\\.\nprice\n1.50\n",
    "json": '[[\n{"a":1,"b":"x"},\n{"a":2,"b":null}\n]\n,[]\n,[\n{"price":1.50}\n]\n]\n',
    "jsonl": '[{"a":1,"b":"x"},{"a":2,"b":null}]\n[]\n[{"price":1.50}]\n',
}


@pytest.mark.parametrize("form", SHOWN)
def test_every_format_shows_all_sets_in_order(one_shot, form):
    data, said, code = one_shot("CALL sets_three()", "--format", form)
    assert code == 0, said
    assert data == SHOWN[form]
    assert "3 rows in 3 result sets, 2 rows changed" in said


def test_json_of_a_procedure_is_a_list_of_sets_however_many(one_shot):
    both = ("CALL sets_one()", "-e", "CALL sets_none()")
    assert one_shot(*both, "--format", "json")[0] == '[[\n{"seven":7}\n]\n]\n[]\n'
    assert one_shot(*both, "--format", "jsonl")[0] == '[{"seven":7}]\n'


def test_one_set_is_shown_as_ever(one_shot):
    data, said, _ = one_shot("CALL sets_one()", "--format", "csv")
    assert data == "seven\n7\n"
    assert "result set" not in said and "1 row" in said
    assert one_shot("CALL sets_none()")[0] == ""


def test_an_error_behind_the_sets_is_an_error(one_shot):
    data, said, code = one_shot("CALL sets_then_error()", "--format", "json")
    assert code == 1 and "at the end" in said
    with pytest.raises(json.JSONDecodeError):
        json.loads(data)


def test_the_journal_counts_sets_and_rows(desk):
    result = desk.session.execute(desk.session.split("CALL sets_three()")[0])
    sets = []
    with result:
        more = True
        while more:
            sets.append(([column.name for column in result.columns], result.take_set()))
            more = result.next_set()
    assert [names for names, _ in sets] == [["a", "b"], ["none"], ["price"]]
    assert [len(rows) for _, rows in sets] == [2, 0, 1]
    outcome = desk.records("outcome")[-1]
    assert (outcome["outcome"], outcome["rows"], outcome["sets"], outcome["changed_rows"]) == ("done", 3, 3, 2)


def test_a_reader_of_one_set_leaves_none_on_the_wire(desk):
    assert desk.session.execute(desk.session.split("CALL sets_three()")[0]).take() == [(1, "x"), (2, None)]
    assert desk.records("outcome")[-1]["outcome"] == "done"
    assert desk.run("SELECT 5").table == [(5,)]


def test_the_row_limit_counts_over_all_sets(desk, stocked):
    desk.session.tighten("fetched_rows", 40)
    result = desk.session.execute(desk.session.split("CALL sets_long()")[0])
    taken = []
    with pytest.raises(OutcomeUnknownError, match=r"fetched_rows is 40; it was sent, and may have been done"), result:
        taken.append(result.take_set())
        assert result.next_set()
        for batch in result:
            taken.append(list(batch))
    assert sum(map(len, taken)) == 40
    assert desk.records("outcome")[-1]["outcome"] == "unknown"


def test_an_error_between_sets_comes_after_the_sets_before_it(desk):
    result = desk.session.execute(desk.session.split("CALL sets_then_error()")[0])
    with pytest.raises(ServerError, match="at the end"), result:
        assert result.take_set() == [(1,)]
        assert result.next_set()
        assert result.take_set() == [(2,)]
        result.next_set()


def test_an_agent_is_given_all_sets_and_what_changes_runs_to_its_end(desk):
    (statement,) = desk.session.split("CALL sets_three()")
    answer = answer_of(desk.session.execute(statement), 200)
    assert (answer["columns"], answer["rows"], answer["row_count"]) == (["a", "b"], [[1, "x"], [2, None]], 3)
    assert answer["further_sets"] == [{"columns": ["none"], "rows": []}, {"columns": ["price"], "rows": [["1.50"]]}]
    answer = answer_of(desk.session.execute(statement), 1)
    assert answer["truncated"] and answer["row_count"] == 1
    assert desk.records("outcome")[-1]["outcome"] == "done"


def test_python_holds_all_sets(stocked, tmp_path):
    config = demo_configuration(stocked, tmp_path)
    program = Program({**os.environ, "HOME": str(tmp_path)})
    program.configure(str(config))
    told = io.StringIO()
    door = Door(person=program.person, cluster="shop", face="python", confirmer=Answering())
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(program.open(door))
        line = PythonSession(session.session, session.rules, screen_of(io.StringIO(), told, {}))
        stack.enter_context(line.at_work())
        names = names_for(line)
        stack.enter_context(names["elevate"](reason="incident 7", ticket="OPS-7"))
        rows = names["db"].sql("CALL sets_three()")
        assert [each.names for each in rows.sets] == [("a", "b"), ("none",), ("price",)]
        assert [len(each) for each in rows.sets] == [2, 0, 1]
        assert "3 result sets: `.sets` holds them all" in told.getvalue()
        assert "price" in repr(rows) and "none" in repr(rows)
        cursor = names["db"].connect().cursor()
        cursor.execute("CALL sets_three()")
        assert (cursor.fetchall(), cursor.rowcount) == ([(1, "x"), (2, None)], 2)
        assert cursor.nextset() and cursor.fetchall() == [] and cursor.description[0][0] == "none"
        assert cursor.nextset() and str(cursor.fetchone()[0]) == "1.50"
        assert cursor.nextset() is None


@pytest.fixture(scope="module")
def elevated(stocked, tmp_path_factory):
    """A gateway, and a function that opens an elevated client's connection."""
    with serving(stocked, tmp_path_factory.mktemp("gate")) as gateway:

        def connect(**how):
            opened = gateway.connect_socket(**how)
            with opened.cursor() as cursor:
                cursor.execute("CALL safeconsole.elevate('incident 7', 'OPS-7', 'shop')")
            return opened

        yield gateway, connect


def sets_of(cursor):
    found = []
    while True:
        found.append(([each[0] for each in cursor.description or ()], list(cursor.fetchall()), cursor.rowcount))
        if not cursor.nextset():
            return found


def test_a_client_of_the_gateway_reads_what_it_reads_from_the_server(stocked, elevated):
    direct = pymysql.connect(unix_socket=str(stocked.primary.socket), user="root", database="shop", autocommit=True)
    for connection in (direct, through := elevated[1]()):
        with connection.cursor() as cursor:
            cursor.execute("CALL sets_three()")
            found = sets_of(cursor)
            assert [each[0] for each in found] == [["a", "b"], ["none"], ["price"], []]
            assert found[-1][2] == 2
            cursor.execute("CALL sets_none()")
            assert sets_of(cursor) == [([], [], 2)]
            cursor.execute("SELECT 5")
            assert cursor.fetchall() == ((5,),)
    with through.cursor() as cursor:
        cursor.execute("CALL sets_then_error()")
        assert cursor.nextset()
        with pytest.raises(pymysql.err.OperationalError, match="at the end"):
            cursor.nextset()
        cursor.execute("SELECT 6")
        assert cursor.fetchall() == ((6,),)
    direct.close()
    through.close()


def test_several_statements_and_several_sets_stand_behind_each_other(elevated):
    connection = elevated[1](client_flag=CLIENT.MULTI_STATEMENTS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 0; CALL sets_three(); SELECT 9")
        assert [len(each[1]) for each in sets_of(cursor)] == [1, 2, 0, 1, 0, 1]
    connection.close()


class OneSet(pymysql.connections.Connection):
    """A client that did not ask for several result sets."""

    def _request_authentication(self):
        self.client_flag &= ~(CLIENT.MULTI_RESULTS | CLIENT.PS_MULTI_RESULTS)
        # Of a newer server it asks for them by itself.
        self.server_version = "4.1"
        super()._request_authentication()


def test_a_client_that_takes_one_set_is_told_of_more(elevated):
    gateway, _ = elevated
    connection = OneSet(unix_socket=gateway.socket, user="x", database="shop", autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("CALL safeconsole.elevate('incident 7', 'OPS-7', 'shop')")
        cursor.execute("CALL sets_one()")
        assert cursor.fetchall() == ((7,),) and not cursor.nextset()
        with pytest.raises(pymysql.err.MySQLError, match="it is done, and returned several result sets"):
            cursor.execute("CALL sets_three()")
        cursor.execute("SELECT 5")
        assert cursor.fetchall() == ((5,),)
    connection.close()


def prepared_answer(connection, text):
    """The packets that a prepared statement is answered with, as they came, status bits and all."""
    connection._execute_command(COMMAND.COM_STMT_PREPARE, text)

    def packet():
        header = connection._read_bytes(4)
        return connection._read_bytes(int.from_bytes(header[:3], "little"))

    first = packet()
    assert first[0] == 0, first
    columns, places = struct.unpack_from("<HH", first, 5)
    for count in (places, columns):
        for _ in range(count + 1 if count else 0):
            packet()
    connection._execute_command(COMMAND.COM_STMT_EXECUTE, first[1:5] + struct.pack("<BI", 0, 1))
    found, more = [], True
    while more:
        head = packet()
        if head[0] == 0:
            found.append(("ok", head[1]))
            return found
        definitions = [packet() for _ in range(head[0])]
        packet()
        rows = []
        while (row := packet())[0] != 0xFE:
            rows.append(row)
        found.append((len(definitions), rows))
        more = bool(row[3] & 8)
    return found


def test_prepared_calls_answer_in_the_binary_protocol(stocked, elevated):
    direct = pymysql.connect(unix_socket=str(stocked.primary.socket), user="root", database="shop", autocommit=True)
    through = elevated[1]()
    for procedure in ("sets_three", "sets_one", "sets_none"):
        assert prepared_answer(through, f"CALL {procedure}()") == prepared_answer(direct, f"CALL {procedure}()")
    direct.close()
    through.close()
