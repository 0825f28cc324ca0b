"""What the catalogue says of reading the servers' own objects, held against what they open when they are read."""

import pytest

from benchmarks.catalogue import Crowded, compare, fill, measured
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
        with cluster.dba_connect(cluster.primary) as dba:
            fill(dba, TABLES)
            yield Crowded(dba, TABLES)


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


# The whole of it takes a minute a server: `python -m benchmarks.catalogue`.
AGAIN = {"information-schema-sizes", "information-schema-names", "information-schema-partitions", "sys-index-reports"}


def test_what_was_measured_on_many_tables_is_so_on_fewer(crowded, capsys):
    told = dict(measured(crowded, AGAIN))
    assert len(told) >= len(AGAIN)
    assert compare(crowded, told) == 0, capsys.readouterr().out


def test_each_duality_view_is_opened_where_they_are_listed(crowded):
    if crowded.flavour is not Flavour.MYSQL:
        pytest.skip("MySQL has them")
    for number in range(MANY):
        view = f"many.v{number} AS SELECT JSON_DUALITY_OBJECT('_id': id) FROM many.t{number}"
        crowded.cursor.execute(f"CREATE JSON DUALITY VIEW {view}")
    text = "SELECT table_name FROM information_schema.json_duality_views"
    assert crowded.opened_by(text) > MANY
    assert crowded.costs(text) == {CostClass.OPENS_EVERY_TABLE}
    of_one = f"{text} WHERE table_schema = 'many' AND table_name = 'v1'"
    assert crowded.opened_by(of_one) < MANY
    assert crowded.costs(of_one) == set()
