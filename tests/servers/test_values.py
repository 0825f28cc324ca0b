"""Every type of both servers, edges included, through every format and face: what is shown is what is there."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys

import pymysql
import pytest
from pymysql.converters import encoders
import sqlalchemy as sa

from safeconsole.app import Program
from safeconsole.cli.application import Door
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.presenting import screen_of
from safeconsole.output.text import FORMATS
from safeconsole.python.namespace import names_for
from safeconsole.python.session import PythonSession
from tests.harness.desk import demo_configuration

NUMBERS = (
    ("TINYINT", "-128", "127"),
    ("TINYINT(1)", "0", "1"),
    ("SMALLINT UNSIGNED", "0", "65535"),
    ("MEDIUMINT", "-8388608", "8388607"),
    ("INT(8) ZEROFILL", "0", "42"),
    ("BIGINT", "-9223372036854775808", "9007199254740993"),
    ("BIGINT UNSIGNED", "0", "18446744073709551615"),
    ("DECIMAL(20,8)", "0", "-0.00000001"),
    ("DECIMAL(65,30)", "1e-30", "9" * 35 + "." + "9" * 30),
    ("DECIMAL(10,2) ZEROFILL", "0", "7.5"),
    ("FLOAT", "0.1", "1e20"),
    ("FLOAT", "-0e0", "3.4028235e38"),
    ("DOUBLE", "1e15", "-1.7976931348623157e308"),
    ("DOUBLE", "1e16", "1.7976931348623157e308"),
    ("DOUBLE", "-0e0", "5e-324"),
    ("DOUBLE(16,4)", "0", "1.5"),
    ("BIT(1)", "b'0'", "b'1'"),
    ("YEAR", "0", "2155"),
)
OTHERS = (
    ("BIT(8)", "b'101'", "b'11111111'"),
    ("BIT(33)", "1", "b'1" + "0" * 32 + "'"),
    ("BIT(64)", "0", "18446744073709551615"),
    ("DATE", "'0000-00-00'", "'9999-12-31'"),
    ("TIME", "'838:59:59'", "'-00:30:00'"),
    ("TIME(6)", "'-838:59:59'", "'10:00:00.5'"),
    ("DATETIME", "'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'"),
    ("DATETIME(6)", "'9999-12-31 23:59:59.999999'", "'2024-01-01 00:00:00'"),
    ("TIMESTAMP(3) NULL", "'2024-02-29 12:00:00.5'", "'2037-12-31 23:59:59'"),
    ("CHAR(9)", "''", "'a''b\"c\\\\d'"),
    ("VARCHAR(20)", "'NULL'", "'a,b|c'"),
    ("VARCHAR(20)", "'\\\\N'", "'007'"),
    ("TEXT", "'1e5'", '\'{"a": [1.0, "x"]}\''),
    ("BINARY(3)", "'ab'", "x'00ff0a'"),
    ("VARBINARY(3)", "''", "'abc'"),
    ("BLOB", "x'00'", "'abc'"),
    ("ENUM('','é')", "''", "'é'"),
    ("SET('a','b')", "''", "'a,b'"),
    ("JSON", '\'{"n": 12345678901234567890, "z": 1.0}\'', "'[null, true, \"é\"]'"),
    ("POINT", "ST_GeomFromText('POINT(1 2)', 0)", "ST_GeomFromText('POINT(50.5 -0.25)', 4326)"),
)
OWN = {
    "mysql": (),
    "mariadb": (
        ("UUID", "'123e4567-e89b-12d3-a456-426655440000'", "NULL"),
        ("UUID", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
        ("INET4", "'0.0.0.0'", "'255.255.255.255'"),
        ("INET6", "'2001:db8::ff00:42:8329'", "'::'"),
        ("INET6", "'::ffff:192.0.2.1'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'"),
    ),
}
SQL = "SELECT * FROM every_value ORDER BY id"


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def stocked(request, shared_clusters):
    """A cluster with a table of a column for each type, and that cluster's kinds."""
    cluster = shared_clusters(request.param)
    kinds = (*NUMBERS, *OTHERS, *OWN[request.param])
    names = ", ".join(f"c{at}" for at in range(len(kinds)))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
        cursor.execute("DROP TABLE IF EXISTS shop.every_value")
        columns = ", ".join(f"c{at} {kind}" for at, (kind, *_) in enumerate(kinds))
        cursor.execute(f"CREATE TABLE shop.every_value (id INT PRIMARY KEY, {columns}) CHARACTER SET utf8mb4")
        for row, values in enumerate(([None] * len(kinds), *zip(*(each[1:] for each in kinds), strict=True))):
            texts = ", ".join("NULL" if value is None else value for value in values)
            cursor.execute(f"INSERT INTO shop.every_value (id, {names}) VALUES ({row}, {texts})")
    cluster.wait_caught_up()
    yield cluster, [("INT", "", ""), *kinds]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP TABLE shop.every_value")


def told_by_another_client(cluster, sql, **options):
    """The rows as the server sent them (`conv=encoders`, which reads nothing), or as the driver of others reads them."""
    with (
        pymysql.connect(
            unix_socket=str(cluster.primary.socket), user="root", database="shop", charset="utf8mb4", **options
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(sql)
        return cursor.fetchall()


def as_shown(kind, value):
    """A value as every text format has it: the server's text, bytes in hexadecimal, one bit as a number."""
    if isinstance(value, bytes):
        return str(value[0]) if kind == "BIT(1)" else "0x" + value.hex()
    return value


@pytest.fixture(scope="module")
def expected(stocked):
    """The rows as they must be shown, None for NULL."""
    cluster, kinds = stocked
    rows = told_by_another_client(cluster, SQL, conv=encoders)
    return [[as_shown(kind[0], value) for kind, value in zip(kinds, row, strict=True)] for row in rows]


@pytest.fixture(scope="module")
def shown(stocked, tmp_path_factory):
    """A function that runs a one-shot and returns what it wrote to standard output."""
    config = demo_configuration(stocked[0], tmp_path_factory.mktemp("values"))

    def run(*arguments):
        ended = subprocess.run(
            [sys.executable, "-m", "safeconsole", "--config", str(config), "sql", "shop", *arguments],
            capture_output=True, check=False, env={**os.environ, "HOME": str(config.parent)},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode()

    return run


@pytest.fixture
def db(stocked, tmp_path):
    config = demo_configuration(stocked[0], tmp_path)
    program = Program({**os.environ, "HOME": str(tmp_path)})
    program.configure(str(config))
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(
            program.open(Door(person=program.person, cluster="shop", face="python", confirmer=NoTerminal()))
        )
        line = PythonSession(session.session, session.rules, screen_of(io.StringIO(), io.StringIO(), {}))
        stack.enter_context(line.at_work())
        yield names_for(line)["db"]


def read_csv(text):
    """Rows by the rule of PostgreSQL: nothing without quotes is NULL."""
    cell = re.compile(r'("(?:[^"]|"")*"|[^,]*)(,|$)')
    for line in text.splitlines()[1:]:
        found, at = [], 0
        while True:
            match = cell.match(line, at)
            raw, at = match[1], match.end()
            found.append(raw[1:-1].replace('""', '"') if raw[:1] == '"' else raw or None)
            if not match[2]:
                break
        yield found


def test_csv_and_tsv_are_the_servers_own_texts(shown, expected):
    assert list(read_csv(shown("-e", SQL, "--format", "csv"))) == expected
    escape = str.maketrans({"\\": "\\\\"})
    tsv = [line.split("\t") for line in shown("-e", SQL, "--format", "tsv").splitlines()[1:]]
    assert tsv == [["\\N" if value is None else value.translate(escape) for value in row] for row in expected]


def test_a_table_and_its_kin_show_the_servers_own_texts(stocked, shown, expected):
    geometry = [kind[0] for kind in stocked[1]].index("POINT")

    def cells(row):
        return ["NULL" if value is None else value for at, value in enumerate(row) if at != geometry]

    head, rule, *lines = shown("-e", SQL).splitlines()
    assert head.split() == [f"c{at}" if at >= 0 else "id" for at in range(-1, len(expected[0]) - 1)]
    spans = [match.span() for match in re.finditer("-+", rule)]
    table = [[line[start:end].strip() for start, end in spans] for line in lines]
    assert [[cell for at, cell in enumerate(row) if at != geometry] for row in table] == list(map(cells, expected))
    vertical = [
        line.partition(": ")[2] for line in shown("-e", SQL, "--format", "vertical").splitlines() if ": " in line
    ]
    for value in {value for row in expected for at, value in enumerate(row) if at != geometry and value}:
        assert value in vertical or value[:1] in "{["
    marked = [line[2:-2].split(" | ") for line in shown("-e", SQL, "--format", "markdown").splitlines()[2:]]
    escaped = str.maketrans({"\\": "\\\\", "|": "\\|"})
    assert marked == [["NULL" if value is None else value.translate(escaped) for value in row] for row in expected]


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_json_numbers_are_exact_and_documents_are_nested(stocked, shown, expected, name):
    text = shown("-e", SQL, "--format", name)
    read = {"parse_int": str, "parse_float": str}
    rows = json.loads(text, **read) if name == "json" else [json.loads(line, **read) for line in text.splitlines()]
    for kind, found, right in zip(
        [kind[0] for kind in stocked[1]] * 3,
        [value for row in rows for value in row.values()],
        [value for row in expected for value in row],
        strict=True,
    ):
        if right is not None and kind in {each[0] for each in NUMBERS}:
            right = re.sub(r"^(-?)0+(?=\d)", r"\1", right)
        elif kind == "JSON" and right is not None:
            right = json.loads(right, **read)
        assert found == right, kind


def test_what_computes_json_is_nested_and_other_texts_are_not(stocked, shown):
    """MariaDB keeps a document as it was written, over several lines, twice the same key, and takes what is none."""
    sql = (
        "SELECT JSON_OBJECT('a', 1.10) AS made, (SELECT JSON_ARRAYAGG(x) FROM (SELECT 1 AS x) AS d) AS held,"
        " '{\"a\": 1}' AS text, CAST(NULL AS CHAR) AS nothing, d.document, c.c0 FROM"
        f" (SELECT c{[kind[0] for kind in stocked[1]].index('JSON') - 1} AS document, id FROM every_value) AS d"
        " JOIN every_value c ON c.id = d.id WHERE d.id = 2"
    )
    right = '"made":{"a": 1.10},"held":[1],"text":"{\\"a\\": 1}","nothing":null,"document":[null, true, "é"],"c0":'
    assert shown("-e", sql, "--format", "jsonl").startswith("{" + right)
    if stocked[0].flavour == "mysql":
        return
    cluster = stocked[0]
    written = ['{"a":\n 1.10,\r\n"b": [1, {"c": "\\\\n"}]}', '{"a": 1, "a": 2}', "no document", " 7 ", ""]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE TABLE shop.documents (id INT PRIMARY KEY, d JSON)")
        cursor.execute("SET SESSION check_constraint_checks = 0")
        cursor.executemany("INSERT INTO shop.documents VALUES (%s, %s)", list(enumerate(written)))
    try:
        cluster.wait_caught_up()
        lines = shown("-e", "SELECT d FROM documents ORDER BY id", "--format", "jsonl").splitlines()
    finally:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("DROP TABLE shop.documents")
    assert [re.sub(r"\s", "", line) for line in lines] == [
        '{"d":{"a":1.10,"b":[1,{"c":"\\\\n"}]}}', '{"d":{"a":1,"a":2}}', '{"d":"nodocument"}', '{"d":7}', '{"d":""}',
    ]  # fmt: skip


def test_values_in_python_are_what_another_driver_reads(stocked, db):
    kinds = [kind[0] for kind in stocked[1]]
    theirs = [list(row) for row in told_by_another_client(stocked[0], SQL)]
    for row in theirs:
        at = kinds.index("BIT(1)")
        row[at] = None if row[at] is None else row[at][0]
    assert [list(row) for row in db.sql(SQL)] == theirs
    cursor = db.connect().cursor()
    cursor.execute(SQL)
    assert [list(row) for row in cursor.fetchall()] == theirs


def test_a_result_in_python_prints_what_a_one_shot_prints(shown, db):
    for name in FORMATS:
        assert db.sql(SQL).text(name) == shown("-e", SQL, "--format", name), name


# Of a geometry SQLAlchemy knows nothing.
@pytest.mark.filterwarnings("ignore:Did not recognize type")
def test_a_reflected_table_reads_spans_and_bits(stocked, db):
    kinds = [kind[0] for kind in stocked[1]]
    table = sa.Table("every_value", sa.MetaData(), autoload_with=db.engine)
    theirs = told_by_another_client(stocked[0], SQL)
    with db.engine.connect() as connection:
        for kind in ("TIME", "TIME(6)", "BIT(1)", "BIT(8)", "BIT(33)", "BIT(64)", "DECIMAL(65,30)", "YEAR"):
            at = kinds.index(kind)
            column = list(table.columns)[at]
            found = [row[0] for row in connection.execute(sa.select(column).order_by(table.c.id))]
            right = [row[at] for row in theirs]
            assert found == [int.from_bytes(value) if isinstance(value, bytes) else value for value in right], kind
        typed = sa.table("every_value", sa.column("id"), sa.column(f"c{kinds.index('TIME') - 1}", sa.Time()))
        found = connection.execute(sa.select(list(typed.columns)[1]).order_by(typed.c.id))
        assert [row[0] for row in found] == [row[kinds.index("TIME")] for row in theirs]


def test_a_frame_keeps_every_digit(stocked, db):
    kinds = [kind[0] for kind in stocked[1]]
    big, unsigned = (f"c{kinds.index(kind) - 1}" for kind in ("BIGINT", "BIGINT UNSIGNED"))
    sql = f"SELECT {big} AS a, {unsigned} AS b FROM every_value ORDER BY id"
    frame = db.sql(sql).pandas()
    assert list(map(str, frame.dtypes)) == ["Int64", "UInt64"]
    assert [None if value is None else int(value) for value in frame["a"].astype(object).where(frame["a"].notna(), None)] == [
        None, -(2**63), 9007199254740993,
    ]  # fmt: skip
    assert int(frame["b"][2]) == 2**64 - 1
    polars = db.sql(sql).polars()
    assert polars["a"].to_list() == [None, -(2**63), 9007199254740993]
    assert polars["b"].to_list() == [None, 0, 2**64 - 1]


SYSTEMS = (0, 4326, 4267, 7035, 2193, 3857)
SHAPES = (
    "POINT(50.5 -0.25)",
    "LINESTRING(1 2,3.5 1e-7)",
    "POLYGON((0 0,10 0,10 10,0 10,0 0),(1 1,2 1,2 2,1 2,1 1))",
    "MULTIPOLYGON(((0 0,10 0,10 10,0 10,0 0)),((20 20,30 20,30 30,20 30,20 20)))",
    "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(1 2,3 4))",
)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_geometry_is_shown_as_st_as_text_writes_it(stocked, shown, system):
    picked = " UNION ALL ".join(f"SELECT ST_GeomFromText('{shape}', {system}) AS g" for shape in SHAPES)
    right = [row[0] for row in told_by_another_client(stocked[0], f"SELECT ST_AsText(g) FROM ({picked}) AS d")]
    lines = shown("-e", picked).splitlines()[2:]
    assert lines == [f"SRID={system};{text}" if system else text for text in right]


def test_a_vector_is_its_bytes(stocked, shown):
    if stocked[0].flavour != "mysql":
        pytest.skip("MySQL alone has VECTOR")
    assert shown("-e", "SELECT TO_VECTOR('[1,2]') AS v", "--format", "csv") == "v\n0x0000803f00000040\n"


def test_a_name_with_a_quote_in_it_is_reflected_as_it_is(stocked, db):
    cluster = stocked[0]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS shop.`odd``name`")
        cursor.execute(
            "CREATE TABLE shop.`odd``name` (`a``b` INT, `c````d` INT, PRIMARY KEY (`a``b`), KEY `k``1` (`c````d`))"
        )
        cursor.execute("INSERT INTO shop.`odd``name` VALUES (1, 1)")
    try:
        cluster.wait_caught_up()
        table = db.tables["odd`name"]
        assert (list(table.columns.keys()), list(table.primary_key.columns.keys())) == (["a`b", "c``d"], ["a`b"])
        assert {index.name: index.columns.keys() for index in table.indexes} == {"k`1": ["c``d"]}
        with db.engine.connect() as connection:
            assert connection.execute(sa.select(table)).one() == (1, 1)
    finally:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("DROP TABLE shop.`odd``name`")
