"""Rows as INSERT and UPDATE: what is run on a server from them is what was there, value for value."""

import os
import subprocess
import sys

import pymysql
import pytest
from pymysql.converters import encoders

from tests.harness.desk import demo_configuration
from tests.servers.test_values import NUMBERS, OTHERS, OWN

TEXTS = (
    "plain",
    "it's",
    "back\\slash",
    "\\",
    "tab\tline\nreturn\r",
    "nul\0end",
    "\xa0 \u200b",
    "é🎉",
    "-- x",
    "",
    "'",
    '"',
)
KEYS = (
    ("BIT(9)", "b'101'"),
    ("DECIMAL(20,8)", "-0.00000001"),
    ("VARCHAR(20)", "'it''s'"),
    ("VARBINARY(9)", "x'00ff'"),
    ("DATE", "'0000-00-00'"),
    ("TIME(1)", "'-838:59:58.5'"),
    ("ENUM('a','b')", "'b'"),
    ("BIGINT UNSIGNED", "18446744073709551615"),
    ("YEAR", "0"),
)


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def stocked(request, shared_clusters):
    """A cluster with a table of all types, one of texts and one with a key of many types."""
    cluster = shared_clusters(request.param)
    kinds = (*NUMBERS, *OTHERS, *OWN[request.param])
    columns = ", ".join(f"`c {at}` {kind}" for at, (kind, *_) in enumerate(kinds))
    keys = ", ".join(f"k{at} {kind}" for at, (kind, _) in enumerate(KEYS))
    names = ", ".join(f"k{at}" for at in range(len(KEYS)))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute("USE shop")
        for table in ("rows_of", "rows_texts", "rows_keyed"):
            cursor.execute(f"DROP TABLE IF EXISTS {table}, {table}_again")
        cursor.execute(f"CREATE TABLE rows_of (id INT PRIMARY KEY, {columns}) CHARACTER SET utf8mb4")
        for row, values in enumerate(([None] * len(kinds), *zip(*(each[1:] for each in kinds), strict=True))):
            texts = ", ".join("NULL" if value is None else value for value in values)
            cursor.execute(f"INSERT INTO rows_of VALUES ({row}, {texts})")
        cursor.execute(
            "CREATE TABLE rows_texts (id INT PRIMARY KEY, t TEXT, double_ INT GENERATED ALWAYS AS (id * 2) STORED)"
            " CHARACTER SET utf8mb4"
        )
        for row, text in enumerate(TEXTS):
            cursor.execute("INSERT INTO rows_texts (id, t) VALUES (%s, %s)", (row, text))
        cursor.execute(f"CREATE TABLE rows_keyed ({keys}, n INT, PRIMARY KEY ({names})) CHARACTER SET utf8mb4")
        cursor.execute(f"INSERT INTO rows_keyed VALUES ({', '.join(value for _, value in KEYS)}, 1)")
        # What a part of the key would find as well.
        cursor.execute(f"INSERT INTO rows_keyed SELECT k0 + 1, {names[4:]}, 2 FROM rows_keyed WHERE n = 1")
        for table in ("rows_of", "rows_texts", "rows_keyed"):
            cursor.execute(f"CREATE TABLE {table}_again LIKE {table}")
        dba.commit()
    cluster.wait_caught_up()
    yield cluster
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for table in ("rows_of", "rows_texts", "rows_keyed"):
            cursor.execute(f"DROP TABLE shop.{table}, shop.{table}_again")


@pytest.fixture(scope="module")
def written(stocked, tmp_path_factory):
    """A function that runs a one-shot and returns what it wrote."""
    config = demo_configuration(stocked, tmp_path_factory.mktemp("rows"))

    def run(*arguments):
        ended = subprocess.run(
            [sys.executable, "-m", "safeconsole", "--config", str(config), "sql", "shop", *arguments],
            capture_output=True, check=False, env={**os.environ, "HOME": str(config.parent)},
        )  # fmt: skip
        return ended.stdout.decode(), ended.stderr.decode(), ended.returncode

    return run


@pytest.fixture
def again(stocked):
    """A connection that runs statements for the copies, and reads both tables as the server sends them."""
    connection = pymysql.connect(
        unix_socket=str(stocked.primary.socket), user="root", database="shop", charset="utf8mb4", conv=encoders,
        autocommit=True, init_command="SET sql_mode = ''",
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        yield cursor


def put(cursor, text, table):
    """Run the statements of a text on the copy, and return how many rows each changed."""
    changed = []
    for line in text.splitlines():
        if not line.startswith("--"):
            assert line.endswith(";")
            changed.append(cursor.execute(line[:-1].replace(f"`{table}`", f"`{table}_again`", 1)))
    return changed


def rows(cursor, table):
    cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
    return cursor.fetchall()


@pytest.mark.parametrize("table", ["rows_of", "rows_texts", "rows_keyed"])
def test_inserts_make_the_same_rows_and_updates_put_them_back(written, again, table):
    inserts, said, code = written("-e", f"SELECT * FROM {table}", "--format", "insert")
    assert code == 0, said
    assert set(put(again, inserts, table)) == {1}
    right = rows(again, table)
    assert rows(again, f"{table}_again") == right
    updates, said, code = written("-e", f"SELECT * FROM {table}", "--format", "update")
    assert code == 0, said
    keys = {"rows_keyed": [f"k{at}" for at in range(len(KEYS))]}.get(table, ["id"])
    again.execute(f"SHOW COLUMNS FROM {table}")
    others = [row[0] for row in again.fetchall() if row[0] not in {*keys, "double_"}]
    again.execute(f"UPDATE {table}_again SET {', '.join(f'`{name}` = NULL' for name in others)}")
    put(again, updates, table)
    assert rows(again, f"{table}_again") == right


def test_text_is_on_one_line_and_what_is_not_seen_is_in_digits(written):
    lines = written("-e", "SELECT id, t FROM rows_texts", "--format", "insert")[0].splitlines()
    assert len(lines) == len(TEXTS)
    assert lines[4].endswith("'tab\\tline\\nreturn\\r');")
    assert lines[5].endswith("'nul\\0end');")
    assert lines[6].endswith("_utf8mb4 x'c2a020e2808b');")


def test_a_new_value_is_written_under_the_columns_name(written):
    text, _, _ = written("-e", "SELECT id, CONCAT(t, '!') AS t FROM rows_texts WHERE id = 0", "--format", "update")
    assert text.endswith("`rows_texts` SET `t` = 'plain!' WHERE `id` = 0;\n")


@pytest.mark.parametrize(
    ("sql", "form", "why"),
    [
        ("SELECT t FROM rows_texts", "update", "an UPDATE needs the whole primary key: add id"),
        ("SELECT k0, n FROM rows_keyed", "update", "an UPDATE needs the whole primary key: add k1, k2"),
        ("SELECT id FROM rows_texts", "update", "an UPDATE needs a column beside the primary key"),
        ("SELECT COUNT(*) FROM rows_texts", "insert", "COUNT(*) is no column of"),
        (
            "SELECT a.id, b.t FROM rows_texts a JOIN orders b ON a.id = b.id",
            "insert",
            "for one table, and this names 2",
        ),
        ("SHOW TABLES", "insert", "only the rows of a SELECT are written as INSERT statements"),
        ("SELECT 1", "insert", "for one table, and this names none"),
        ("SELECT id, id FROM rows_texts", "insert", "two columns have one name"),
    ],
)
def test_what_cannot_be_written_exactly_is_refused(written, sql, form, why):
    text, said, code = written("-e", sql, "--format", form)
    assert (text, code) == ("", 2)
    assert why in said and "the server ended it" not in said


def test_what_is_exact_only_in_its_session_is_said(written):
    text, _, _ = written("-e", "SELECT * FROM rows_of", "--format", "insert")
    notes = [line for line in text.splitlines() if line.startswith("--")]
    assert {note.split(" is ")[1].split(":")[0] for note in notes} == {"a FLOAT", "a TIMESTAMP"}
