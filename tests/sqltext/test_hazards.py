"""Dangerous objects: when they are found, what they cost, and that the catalogue is whole."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse

from safeconsole.sqltext.findings import ACTIONS
from safeconsole.dialects.catalogue import in_order
from safeconsole.sqltext.dialect import DangerousObject
from safeconsole.dialects.catalogue import SYSTEM_SCHEMAS
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import CostClass, Effect, Flavour

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
MYSQL57 = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=50744)
UNVERSIONED = LexicalRules(dialect=DIALECTS[Flavour.MYSQL])
MARIADB = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101119)
AURORA2 = LexicalRules(dialect=DIALECTS[Flavour.AURORA_MYSQL], version=50744)
SQLITE = LexicalRules(dialect=DIALECTS[Flavour.SQLITE])

INCIDENT = "SELECT table_schema, table_name, data_length+index_length FROM information_schema.tables"


def hazards(text, rules=MYSQL, schema="shop"):
    (statement,) = analyse(text, rules, schema=schema)
    return statement.hazards


def costs(text, rules=MYSQL, schema="shop"):
    return [(hazard.id, hazard.cost.value) for hazard in hazards(text, rules, schema)]


@pytest.mark.parametrize(
    "rules, cost",
    [
        (MYSQL, "writes"),
        (MARIADB, "opens-every-table"),
        (MYSQL57, "opens-every-table"),
        (AURORA2, "opens-every-table"),
        (UNVERSIONED, "writes"),
    ],
)
def test_the_incident_is_found_and_has_a_safer_way(rules, cost):
    (hazard,) = hazards(INCIDENT, rules)
    assert (hazard.id, hazard.cost.value) == ("information-schema-sizes", cost)
    assert hazard.instead == "safeconsole capacity CLUSTER (sizes from persistent statistics, page by page)"


@pytest.mark.parametrize(
    "text",
    [
        "select data_length from tables",
        "select `Data_Length` from `Tables`",
        "select * from tables",
        "select t.* from tables t",
        "select sql_no_cache * from tables",
        "select /*+ bka(t) */ * from tables t",
        "select distinct * from tables",
        "select 1, tables.* from tables",
        "table tables",
        "select 1 from tables natural join engines",
        "select count(*) from tables where data_free > 0",
        "select 1 from tables order by update_time",
        "select x from (select * from tables) d",
        "select data_lengtħ from tables",
    ],
)
def test_size_columns_are_found_however_they_are_asked_for(text):
    assert "information-schema-sizes" in [identifier for identifier, _ in costs(text, MYSQL, "information_schema")]


@pytest.mark.parametrize(
    "text",
    [
        "select count(*) from tables",
        "select 2 * 3, table_name from tables",
        "select table_rows_ from tables",
        "select count( * ) * 2 from tables",
    ],
)
def test_names_alone_are_the_milder_danger(text):
    assert costs(text, MYSQL, "information_schema") == [("information-schema-names", "linear-in-objects")]


@pytest.mark.parametrize(
    "where, mysql_cost, mariadb_cost",
    [
        ("", "writes", "opens-every-table"),
        ("where table_schema = 'a' and table_name = 'b'", None, None),
        ("where t.table_name = 'b' and t.table_schema = database() limit 1", None, None),
        ("where information_schema.t.table_name = 'b' and table_schema = @x", "linear-in-objects", "linear-in-objects"),
        ("where table_schema = 'a' and table_name in ('b', 'c') order by 1", None, None),
        ("where table_schema = 'a' and table_name like 'lhma\\_%'", None, None),
        ("where table_schema = 'a'", "linear-in-objects", "linear-in-objects"),
        ("where table_name = 'b'", "linear-in-objects", "linear-in-objects"),
        ("where table_name like 'abc%'", "linear-in-objects", "linear-in-objects"),
        ("where table_name like '%abc'", "writes", "opens-every-table"),
        ("where table_name like 'ab%'", "writes", "opens-every-table"),
        ("where table_schema = 'a' or table_name = 'b'", "writes", "opens-every-table"),
        ("where table_schema = 'a' and table_name = 'b' or 1", "writes", "opens-every-table"),
        ("where table_schema = 'a' and table_name = 'b' and t.group = 1 or 1", "writes", "opens-every-table"),
        ("where table_schema = 'a' || table_name = 'b'", "writes", "opens-every-table"),
        ("where table_schema = 'a' xor table_name = 'b'", "writes", "opens-every-table"),
        ("where 1 between 0 and table_schema = 'a' and table_name = 'b'", "writes", "opens-every-table"),
        ("where not table_schema = 'a' and not table_name = 'b'", "writes", "opens-every-table"),
        ("where table_schema <> 'a' and table_name <> 'b'", "writes", "opens-every-table"),
        ("where table_schema = table_name and table_name = table_schema", "writes", "opens-every-table"),
        ("where table_schema = 'a' = 0 and table_name = 'b' = 0", "writes", "opens-every-table"),
        ("where table_schema = 'a' is false and table_name = 'b' is false", "writes", "opens-every-table"),
        ("where (table_schema = 'a' and table_name = 'b')", None, None),
        ("where (table_schema = 'a') and ((t.table_name = 'b') and (engine = 'x' or 1))", None, None),
        ("where (table_schema = 'a' and table_name = 'b' or 1)", "writes", "opens-every-table"),
        ("where not (table_schema = 'a' and table_name = 'b')", "writes", "opens-every-table"),
        ("where (table_schema = 'a' and table_name = 'b') = 0", "writes", "opens-every-table"),
        ("where table_schema = 'a' and table_name = 'b' or (1)", "writes", "opens-every-table"),
        ("where o.table_schema = 'a' and o.table_name = 'b'", "writes", "opens-every-table"),
        ("where if(table_schema = 'a' and table_name = 'b', 1, 1)", "writes", "opens-every-table"),
        ("having table_schema = 'a' and table_name = 'b'", "writes", "opens-every-table"),
        (
            "where table_schema = 'a' and table_name = 'b' union select data_length from information_schema.tables",
            "writes",
            "opens-every-table",
        ),
        ("join x on 1 where table_schema = 'a' and table_name = 'b'", "writes", "opens-every-table"),
        (
            "where table_schema = 'a' and exists (select 1 from information_schema.tables) and table_name = 'b'",
            "writes",
            "opens-every-table",
        ),
    ],
)
def test_a_filter_counts_only_where_nothing_weakens_it(where, mysql_cost, mariadb_cost):
    text = f"select data_length from information_schema.tables t {where}"
    for rules, cost in ((MYSQL, mysql_cost), (MARIADB, mariadb_cost)):
        found = [hazard.cost.value for hazard in hazards(text, rules) if hazard.id == "information-schema-sizes"]
        assert found == ([cost] if cost else [])


LOOKED_UP = "information_schema.tables t where t.table_schema = 'a' and t.table_name = 'b'"


@pytest.mark.parametrize("rules", [MYSQL, MARIADB])
@pytest.mark.parametrize(
    "text",
    [
        f"select data_length from {LOOKED_UP}",
        f"select d.n from (select data_length as n from {LOOKED_UP}) d where d.n > 1 or 1",
        f"select d.n from (select data_length as n from {LOOKED_UP}) d join orders o on o.id = d.n where o.id = 1",
        f"select exists(select data_length from {LOOKED_UP})",
        f"with c as (select data_length from {LOOKED_UP}) select * from c where 1 or 1",
        f"(select data_length from {LOOKED_UP}) union all (select data_length from {LOOKED_UP})",
        f"select data_length from {LOOKED_UP} union select data_length from {LOOKED_UP} order by 1",
        "select t.data_length from orders o, information_schema.tables as t where t.table_schema = 'a' and t.table_name = 'b'",
        "select t.data_length from orders left join information_schema.tables t on 1 where t.table_schema = 'a' and t.table_name in ('b')",
        "select t.data_length from (information_schema.tables t, orders) where t.table_schema = 'a' and t.table_name = 'b'",
        "select data_length as tables from information_schema.tables where table_schema = schema() and table_name = 'b'",
        "select tables.data_length from information_schema.tables where tables.table_schema = 'a' and tables.table_name = 'b'",
        # The same object inside itself, looked up once more for the one row.
        f"select data_length from {LOOKED_UP} and t.table_name in (select table_name from {LOOKED_UP})",
        # What clients ask: ActiveRecord, Connector/J.
        "select rc.update_rule from information_schema.referential_constraints rc join information_schema.key_column_usage fk"
        " using (constraint_schema, constraint_name) where fk.referenced_column_name is not null and fk.table_schema ="
        " database() and fk.table_name = 'o' and rc.constraint_schema = database() and rc.table_name = 'o'",
        "select table_schema as table_cat, null as table_schem, seq_in_index as key_seq from information_schema.statistics"
        " where table_schema = 'a' and table_name = 'b' and index_name='PRIMARY' order by table_schema, seq_in_index",
        # Objects whose columns of schema and name are called otherwise.
        "select routine_name from information_schema.routines where routine_type=\"FUNCTION\" and routine_schema = 'a'",
        "select data_type from information_schema.parameters where specific_schema = 'a' and specific_name = 'b'",
        "select event_name from information_schema.events where event_schema = 'a'",
        "select trigger_name from information_schema.triggers where event_object_schema = 'a' and event_object_table = 'b'",
        "select check_clause from information_schema.check_constraints where constraint_schema = 'a' and table_name = 'b'",
    ],
)
def test_a_lookup_is_found_where_it_stands(text, rules):
    assert costs(text, rules) == []


@pytest.mark.parametrize("rules", [MYSQL, MARIADB])
@pytest.mark.parametrize(
    "text",
    [
        # Once for each row of something else.
        f"select (select data_length from {LOOKED_UP} and o.id > 0) from orders o",
        f"select 1 union select (select data_length from {LOOKED_UP} and o.id > 0) from orders o",
        f"select 1 from orders o, lateral (select data_length from {LOOKED_UP} and o.id > 0) x",
        f"select 1 from orders o where o.id in (select n from (select data_length as n from {LOOKED_UP}) d)",
        f"with c as (select data_length from {LOOKED_UP}) select (select data_length from c) from orders",
        f"with recursive r as (select 1 as n union all select n + 1 from r, {LOOKED_UP} and data_length > n) select * from r",
        f"show tables where (select data_length from {LOOKED_UP}) > 1",
        f"update orders o set total = (select data_length from {LOOKED_UP} and o.id > 0)",
        # Said of another table, of another mention, or of none.
        "select data_length from information_schema.tables t, orders where table_schema = 'a' and table_name = 'b'",
        "select data_length from information_schema.tables t, orders o where o.table_schema = 'a' and o.table_name = 'b'",
        f"select data_length from {LOOKED_UP} and exists (select 1 from information_schema.tables)",
        f"select data_length from {LOOKED_UP} union select data_length from information_schema.tables",
        "select data_length from (select * from information_schema.tables) d where table_schema = 'a' and table_name = 'b'",
        "select t.data_length from orders o join information_schema.tables t on t.table_schema = 'a' and t.table_name = 'b'",
        # More mentions than are looked at.
        " union all ".join([f"select data_length from {LOOKED_UP}"] * 21),
        # A column by the name of a clause hides nothing.
        f"select data_length from (select 1 as window) d, {LOOKED_UP} and window = 1 or 1",
        f"select data_length from (select 1 as minus) d, {LOOKED_UP} and minus = 1 or 1",
        f"select data_length from (select 1 as qualify) d, {LOOKED_UP} and qualify = 1 or 1",
        f"select data_length from (select 1 as `group`) d, {LOOKED_UP} and `group` = 1 or 1",
    ],
)
def test_a_filter_that_may_not_hold_for_every_run_is_none(text, rules):
    assert ("information-schema-sizes", "writes" if rules is MYSQL else "opens-every-table") in costs(text, rules)


@pytest.mark.parametrize("rules, cost", [(MYSQL, "writes"), (MARIADB, "opens-every-table")])
def test_a_part_of_a_union_that_names_no_columns_is_not_filtered_by_the_other(rules, cost):
    text = f"select data_length from {LOOKED_UP} union table information_schema.tables"
    assert costs(text, rules) == [("information-schema-sizes", cost)]


@pytest.mark.parametrize(
    "text, schema",
    [
        ("select data_length from information_schema.tables where table_schema = 'a'", "a"),
        (
            "select d.n from (select data_length as n from information_schema.tables where table_schema = 'a') d where 1",
            "a",
        ),
        (
            "select data_length from information_schema.tables where table_schema = 'a' union"
            " select data_length from information_schema.tables where table_schema = 'b'",
            "",
        ),
    ],
)
def test_the_schema_is_told_when_there_is_one(text, schema):
    (hazard,) = hazards(text)
    assert (hazard.cost, hazard.schema) == (CostClass.LINEAR_IN_OBJECTS, schema)


@pytest.mark.parametrize("name", ["innodb_tables", "INNODB_TABLESTATS", "innodb_indexes", "innodb_columns"])
def test_what_loads_every_definition_cannot_be_stopped_and_no_filter_helps(name):
    (hazard,) = hazards(f"select name from information_schema.{name} where name = 'a/b' limit 1")
    assert hazard.cost is CostClass.LOADS_EVERY_TABLE_DEFINITION
    assert hazard.uninterruptible


def test_a_filtered_lookup_of_an_uninterruptible_object_can_be_stopped():
    (hazard,) = hazards("select column_name from information_schema.columns where table_schema = 'a'", MARIADB)
    assert not hazard.uninterruptible


@pytest.mark.parametrize(
    "text, rules, expected",
    [
        ("select * from information_schema.innodb_trx", MYSQL, []),
        ("select * from information_schema.innodb_buffer_page", MARIADB, [("innodb-buffer-pages", "walks-buffer-pool")]),
        ("select * from information_schema.innodb_cmp_reset", MYSQL, [("innodb-counters-reset", "resets-counters")]),
        ("select * from information_schema.geometry_columns", MARIADB, [("information-schema-geometry", "opens-every-table")]),
        ("select * from information_schema.periods", MARIADB, [("information-schema-periods", "opens-every-table")]),
        ("select * from information_schema.key_period_usage where table_schema = 'a'", MARIADB, [("information-schema-periods", "linear-in-objects")]),
        ("select * from information_schema.sequences", MARIADB, [("information-schema-sequences", "opens-every-table")]),
        ("select * from information_schema.sequences where sequence_schema = 'a' and sequence_name = 'b'", MARIADB, []),
        ("select create_time from information_schema.tables", MARIADB, [("information-schema-sizes", "opens-every-table")]),
        ("select engine from information_schema.tables", MARIADB, [("information-schema-definitions", "loads-every-table-definition")]),
        ("select engine from information_schema.tables where table_schema = 'a'", MARIADB, [("information-schema-definitions", "linear-in-objects")]),
        ("select * from information_schema.never_heard_of", MYSQL, [("information-schema-unlisted", "opens-every-table")]),
        ("select * from sys.`x$innodb_buffer_stats_by_table`", MYSQL, [("sys-buffer-pages", "walks-buffer-pool")]),
        ("select * from SYS.schema_unused_indexes", MYSQL, [("sys-index-reports", "opens-every-table")]),
        ("select * from sys.processlist", MYSQL, []),
        ("select * from performance_schema.data_locks", MYSQL, [("every-row-lock", "linear-in-objects")]),
        ("select user from mysql.user", MYSQL, []),
        ("select password from mysql.user", MARIADB, [("password-hashes", "reads-secrets")]),
        ("select * from mysql.innodb_table_stats", MYSQL, []),
        ("select * from tables", MYSQL, []),
        ("select * from shop.innodb_tables", MYSQL, []),
        ("select * from dbstat", SQLITE, [("dbstat-size-scan", "reads-every-page")]),
        ("select * from temp.dbstat", SQLITE, [("dbstat-size-scan", "reads-every-page")]),
        ("select * from sqlite_schema", SQLITE, []),
        ("explain select * from information_schema.innodb_tables", MYSQL, []),
        ("explain select * from t where a = (select max(table_id) from information_schema.innodb_tables)", MYSQL,
         [("innodb-dictionary", "loads-every-table-definition")]),
        ("explain analyze select * from information_schema.innodb_tables", MYSQL, [("innodb-dictionary", "loads-every-table-definition")]),
        ("create table t as select * from information_schema.innodb_tables", MYSQL, [("innodb-dictionary", "loads-every-table-definition")]),
        ("show columns from information_schema.innodb_tables", MYSQL, []),
        ("show table status", MYSQL, [("show-table-status", "linear-in-objects")]),
        ("show table status", MARIADB, [("show-table-status", "opens-every-table")]),
        ("show table status from a like 'b\\_c'", MYSQL, []),
        ("show table status where name = 'b'", MYSQL, []),
        ("show table status like 'b_c'", MYSQL, [("show-table-status", "linear-in-objects")]),
        ("show table status where name > 'b'", MYSQL, [("show-table-status", "linear-in-objects")]),
        ("show full tables", MARIADB, [("show-definitions", "linear-in-objects")]),
        ("show full tables", MYSQL, []),
        ("show triggers", MARIADB, [("show-definitions", "linear-in-objects")]),
        ("show grants", MYSQL, []),
        ("show grants", MARIADB, [("account-secrets", "reads-secrets")]),
        ("show create user u", MYSQL, [("account-secrets", "reads-secrets")]),
    ],
)  # fmt: skip
def test_objects_have_the_danger_of_their_flavour(text, rules, expected):
    assert costs(text, rules) == expected


@pytest.mark.parametrize(
    "name",
    [
        "information_schema.tableſ",
        "information_schema.`innodb_tableſpaces`",
        "information_ſchema.tables",
        "`ınformation_schema`.tables",
        "ſys.processlist",
    ],
)
def test_a_name_that_is_not_ascii_in_a_system_schema_is_refused(name):
    (statement,) = analyse(f"select 1 from {name}", MYSQL)
    assert Effect.UNKNOWN in statement.effects
    assert "unreadable" in [hazard.id for hazard in statement.hazards]


def test_a_name_that_is_not_ascii_in_a_schema_of_ones_own_is_a_name():
    (statement,) = analyse("select größe from straße.maß", MYSQL)
    assert statement.is_plain_read


@pytest.mark.parametrize("flavour", Flavour)
def test_every_row_of_the_catalogue_is_whole(flavour):
    for row in DIALECTS[flavour].catalogue.objects:
        assert row.id == row.id.lower()
        assert row.why == row.why.strip(". ")
        assert row.instead
        assert row.source
        assert row.measured
        assert row.since <= row.until
        assert all(name == name.lower() for name in row.names)
        assert all(column == column.upper() for column in row.columns)
        assert row.schema in SYSTEM_SCHEMAS | {""}


def row(identifier, *names, columns=(), **more):
    return DangerousObject(
        id=identifier,
        schema="information_schema",
        names=frozenset(names),
        columns=frozenset(columns),
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="of a test",
        **more,
    )


@pytest.mark.parametrize(
    "earlier, later",
    [
        (row("first", "a", "b"), row("second", "b", "c")),
        (row("first", "a"), row("second", "a", columns=["X"])),
        (row("first", "a", columns=["X", "Y"]), row("second", "a", columns=["X"])),
        (row("first"), row("second", "a")),
        (row("first"), row("second")),
        (row("first", "a"), row("second", "a", since=80000)),
    ],
)
def test_a_row_that_is_never_reached_fails_when_the_catalogue_is_loaded(earlier, later):
    with pytest.raises(ValueError, match="second is never reached for .*: first stands before it"):
        in_order((earlier,), (later,))


@pytest.mark.parametrize(
    "earlier, later",
    [
        (row("first", "a"), row("second")),
        (row("first", "a", columns=["X"]), row("second", "a")),
        (row("first", "a", columns=["X"]), row("second", "a", columns=["X", "Y"])),
        (row("first", "a", until=79999), row("second", "a", since=80000)),
        (row("first", "a", until=79999), row("second", "a")),
    ],
)
def test_a_row_that_is_reached_for_something_is_taken(earlier, later):
    assert in_order((earlier,), (later,)) == (earlier, later)


def test_nothing_is_both_cheap_and_dangerous():
    with pytest.raises(ValueError, match="first: a is called cheap, too"):
        in_order((row("first", "a"),), cheap=frozenset({"a"}))


def test_the_embedded_engine_has_its_twin_of_the_incident():
    assert {row.id for row in SQLITE.dialect.catalogue.objects} >= {"dbstat-size-scan"}


def test_every_action_has_a_reason_and_a_way_out():
    for identifier, hazard in ACTIONS.items():
        assert hazard.id == identifier
        assert hazard.why
        assert hazard.instead
