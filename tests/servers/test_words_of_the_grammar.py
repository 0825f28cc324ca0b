"""
Real servers agree with the analysis on what a word before a parenthesis is, and on what a comment is.

Stored functions by the names of these words leave a mark when they are called. What is called a plain read here
MUST leave none; what leaves one MUST NOT be called a plain read.
"""

import contextlib

import pymysql
import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour

SCHEMA = "words_of_the_grammar"
NAMES = (
    "any bernoulli columns cube datetime escape except grouping intersect lateral member nchar nulls oj over qualify"
    " rollup sets some sql_buffer_result sql_cache sql_no_cache system"
).split()
TEXTS = (
    "SELECT * FROM JSON_TABLE('[1,2]', '$[*]' COLUMNS (a INT PATH '$')) jt",
    "SELECT jt.a FROM (SELECT '[1]' AS doc) t, JSON_TABLE(t.doc, '$[*]' COLUMNS (a DATETIME(6) PATH '$')) jt",
    "SELECT 'a' COLUMNS(1)",
    "SELECT COLUMNS(1)",
    "SELECT i FROM t GROUP BY GROUPING SETS ((i))",
    "SELECT SETS(1)",
    "SELECT i FROM t GROUP BY ROLLUP(i)",
    "SELECT ROLLUP(1)",
    "SELECT i FROM t GROUP BY CUBE(i)",
    "SELECT CUBE(1)",
    "SELECT GROUPING(1)",
    "SELECT JSON_ARRAYAGG(i) OVER w FROM t WINDOW w AS ()",
    "SELECT FIRST_VALUE(i) RESPECT NULLS OVER (ORDER BY i) FROM t",
    "SELECT NTH_VALUE(i, 1) FROM FIRST RESPECT NULLS OVER () FROM t",
    "SELECT NTH_VALUE(i, 1) FROM FIRST OVER () FROM t",
    "SELECT NULLS OVER(1)",
    "SELECT NULLS(1)",
    "SELECT SQL_NO_CACHE (1)",
    "SELECT DISTINCT SQL_NO_CACHE (1)",
    "SELECT SQL_BUFFER_RESULT (1)",
    "SELECT SQL_CACHE (1)",
    "SELECT 1, SQL_NO_CACHE(1)",
    "SELECT CONVERT('a', DATETIME(6)), CONVERT('a', NCHAR(4))",
    "SELECT CONCAT(1, DATETIME(6))",
    "SELECT NCHAR(4)",
    "SELECT * FROM {OJ (t AS a LEFT JOIN t AS b ON a.i = b.i)}",
    "SELECT OJ(1)",
    "SELECT 1 = ANY ((SELECT 1) UNION SELECT 2)",
    "SELECT 1 < SOME (VALUES ROW(1))",
    "SELECT ANY(1)",
    "SELECT * FROM t, LATERAL (VALUES ROW(t.i)) v",
    "SELECT LATERAL(1)",
    "SELECT 'a' LIKE 'a' ESCAPE ('|'), 2 LIKE 2 ESCAPE (3)",
    "SELECT 2 ESCAPE(3)",
    "SELECT ESCAPE(1)",
    "SELECT 1 EXCEPT (TABLE t)",
    "SELECT EXCEPT(1)",
    "SELECT INTERSECT(1)",
    "SELECT * FROM t TABLESAMPLE SYSTEM (10)",
    "SELECT SYSTEM(1)",
    "SELECT BERNOULLI(1)",
    "SELECT i FROM t QUALIFY (RANK() OVER ()) > 1",
    "SELECT QUALIFY(1)",
    "SELECT MEMBER(1)",
    "SELECT $1 FROM (SELECT 1 AS `$1`) d",
    r"SELECT \N, \Nfrom t",
    # A hint anywhere but behind SELECT and its like is a comment.
    "SELECT EXCEPT/*+ x */(1)",
    "SELECT ESCAPE /*+ x */ (1)",
    "SELECT GET_LOCK/*+ x */('words', 0)",
    "SELECT GET_LOCK/*! */ /*+ x */('words', 0)",
    f"SELECT {SCHEMA}.mark/*+ x */(1)",
    "SELECT mark /*+ x */ (1)",
    "/*+ x */ SELECT 1",
)
# An option on MariaDB, a function's name on MySQL: one rule for both, the stricter.
STRICTER = "SELECT SQL_CACHE (1)"
REFUSED_BY_GRAMMAR = {1064, 1149}


@pytest.fixture(scope="module")
def connected(shared_clusters):
    """A function from a flavour to a connection in a schema with the functions, and the rules of its server."""
    opened = []

    def connect(flavour):
        cluster = shared_clusters(flavour)
        connection = cluster.dba_connect(cluster.primary)
        opened.append(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            major, minor, patch = (int(part) for part in cursor.fetchone()[0].split("-")[0].split("."))
            cursor.execute(f"DROP DATABASE IF EXISTS {SCHEMA}")
            cursor.execute(f"CREATE DATABASE {SCHEMA}")
            cursor.execute(f"USE {SCHEMA}")
            cursor.execute("CREATE TABLE t (i INT)")
            cursor.execute("INSERT INTO t VALUES (1), (2)")
            for name in (*NAMES, "mark"):
                # Quoted, since some of the names are reserved on one server or the other.
                cursor.execute(
                    f"CREATE FUNCTION `{name}` (a INT) RETURNS INT DETERMINISTIC NO SQL"
                    " BEGIN SET @mark = 1; RETURN 42; END"
                )
        version = major * 10000 + minor * 100 + patch
        return connection, LexicalRules(dialect=DIALECTS[Flavour(flavour)], version=version)

    yield connect
    for connection in opened:
        with contextlib.suppress(pymysql.MySQLError), connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {SCHEMA}")
        connection.close()


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_what_is_called_a_read_calls_nothing(flavour, connected):
    connection, rules = connected(flavour)
    wrong, reads = [], 0
    for text in TEXTS:
        (statement,) = analyse(text, rules, schema=SCHEMA)
        marked, refused = effect_of(connection, text)
        reads += statement.is_plain_read and not refused
        if marked and statement.is_plain_read:
            wrong.append(text)
    assert wrong == []
    assert reads >= 10


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_what_the_server_reads_without_a_call_is_called_a_read(flavour, connected):
    connection, rules = connected(flavour)
    wrong = []
    for text in TEXTS:
        (statement,) = analyse(text, rules, schema=SCHEMA)
        marked, refused = effect_of(connection, text)
        if not marked and not refused and not statement.is_plain_read and text != STRICTER:
            wrong.append(text)
    assert wrong == []


def effect_of(connection, text):
    """Run a text; return whether it called a function or took a lock, and whether the grammar refused it."""
    with connection.cursor() as cursor:
        cursor.execute("SET @mark = NULL")
        try:
            cursor.execute(text)
            cursor.fetchall()
        except pymysql.MySQLError as error:
            return False, error.args[0] in REFUSED_BY_GRAMMAR
        cursor.execute("SELECT @mark IS NOT NULL OR IS_USED_LOCK('words') <=> CONNECTION_ID()")
        (marked,) = cursor.fetchone()
        cursor.execute("DO RELEASE_LOCK('words')")
        return bool(marked), False
