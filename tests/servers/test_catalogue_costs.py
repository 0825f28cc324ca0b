"""What the catalogue says of reading the servers' own objects, held against what they open when they are read."""

import contextlib

import pymysql
import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.mysql.recognising import version_of
from safeconsole.sqltext.analysis import analyse
from safeconsole.dialects.catalogue import SYSTEM_SCHEMAS
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import CostClass, Flavour
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from tests.servers.conftest import _require

TABLES = 500
MANY = 100
"""More opened than this is more than the server's own views are made of, and grows with the tables."""

MILD = {CostClass.LOOKUP, CostClass.LINEAR_IN_OBJECTS}


@pytest.fixture(scope="module", params=FLAVOURS)
def crowded(request, tmp_path_factory):
    """A server of each flavour with many tables, as an object that tells what reading a text opens there."""
    _require(request.param)
    with start_cluster(request.param, tmp_path_factory.mktemp("crowded") / "c", replicas=0) as cluster:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute("CREATE DATABASE many")
            for number in range(TABLES):
                cursor.execute(f"CREATE TABLE many.t{number} (id INT PRIMARY KEY)")
            yield Crowded(cursor, Flavour(request.param), version_of(dba.get_server_info()))


class Crowded:
    def __init__(self, cursor, flavour, version):
        self.cursor = cursor
        self.rules = LexicalRules(dialect=DIALECTS[flavour], version=version)

    def objects(self):
        for schema in sorted(SYSTEM_SCHEMAS):
            self.cursor.execute(f"SHOW TABLES FROM {schema}")
            for (name,) in self.cursor.fetchall():
                yield schema, name

    def columns(self, schema, name):
        self.cursor.execute(f"SHOW COLUMNS FROM `{schema}`.`{name}`")
        return [row[0] for row in self.cursor.fetchall()]

    def opened_by(self, text):
        """Return how many tables, or definitions of tables, reading it opens from nothing."""
        self.cursor.execute("FLUSH TABLES")
        before = self._opened()
        # Some cannot be read here at all: a plugin directory, a table that a variable has to name first.
        with contextlib.suppress(pymysql.MySQLError):
            self.cursor.execute(text)
            self.cursor.fetchall()
        return max(now - then for now, then in zip(self._opened(), before, strict=True))

    def costs(self, text):
        (statement,) = analyse(text, self.rules, schema="shop")
        return {hazard.cost for hazard in statement.hazards}

    def _opened(self):
        self.cursor.execute("SHOW GLOBAL STATUS WHERE Variable_name IN ('Opened_tables', 'Opened_table_definitions')")
        return [int(value) for _, value in sorted(self.cursor.fetchall())]


def test_nothing_that_opens_every_table_is_called_cheap_or_merely_long(crowded):
    texts = [f"SELECT * FROM `{schema}`.`{name}`" for schema, name in crowded.objects()]
    texts += [
        f"SELECT `{column}` FROM `{row.schema}`.`{name}`"
        for row in crowded.rules.dialect.catalogue.objects
        if row.columns and row.schema == "information_schema"
        for name in sorted(row.names)
        for column in crowded.columns(row.schema, name)
    ]
    lies = {
        text: opened for text in texts if crowded.costs(text) <= MILD and (opened := crowded.opened_by(text)) > MANY
    }
    assert lies == {}


def test_what_a_schema_makes_a_lookup_opens_nothing_of_it(crowded):
    rows = [row for row in crowded.rules.dialect.catalogue.objects if row.keys and row.schema == "information_schema"]
    there = {name.lower() for schema, name in crowded.objects() if schema == "information_schema"}
    texts = [
        f"SELECT {what} FROM information_schema.`{name}` WHERE {row.keys[0]} = 'many'{also}"
        for row in rows
        for name in sorted(row.names & there)
        for what in ("*", *crowded.columns(row.schema, name))
        for also in ("", f" AND {row.keys[1]} = 't1'")
    ]
    lies = {text: opened for text in texts if not crowded.costs(text) and (opened := crowded.opened_by(text)) > MANY}
    assert lies == {}
