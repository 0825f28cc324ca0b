"""What stands behind names, from what a dictionary says of them."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.behind import (
    Object,
    behind_all,
    hidden_object,
    may_be_planned,
    view_object,
)
from safeconsole.dialects.catalogue import engine_hazard
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Behind, TableName, names_run, with_behind
from safeconsole.sqltext.vocabulary import Effect, Flavour

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
MARIADB = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101119)
VIEW = TableName(schema="shop", name="v")


def read(text, rules=MYSQL):
    (statement,) = analyse(text, rules, schema="shop")
    return statement


def through(definition, *, rules=MYSQL, name=VIEW, definer="dba@%"):
    return behind_all([(name, view_object(definition, definer, name, rules))], rules.dialect)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("select * from v", ["shop.v"]),
        ("explain select * from v", ["shop.v"]),
        ("explain analyze select * from v", ["shop.v"]),
        ("show tables where (select x from v)", ["shop.v"]),
        ("show status where ( ( table v ) )", ["shop.v"]),
        ("set @q = (select x from v)", ["shop.v"]),
        ("show columns from t where (select x from v)", ["shop.t", "shop.v"]),
        ("show columns from t in s where field in (select x from v)", ["s.t", "shop.v"]),
        ("show create view v", []),
        ("show columns from v", []),
        ("show index from v", []),
        ("describe v", []),
        ("explain v", []),
        ("explain v x", []),
    ],
)
def test_only_what_runs_a_name_reads_through_it(text, names):
    assert [str(name) for name in names_run(read(text))] == names


def test_a_definition_adds_what_it_does_calls_and_could_hurt():
    found = with_behind(read("select x from v"), through("select get_lock('a',0) AS `x`"))
    assert found.effects == {Effect.READ, Effect.LOCK}
    assert found.functions == ("get_lock",)
    assert [hazard.id for hazard in found.hazards] == ["user-lock"]
    assert all("behind the view shop.v" in reason for reason in found.reasons)


def test_a_plain_definition_adds_no_more_than_its_functions():
    statement = read("select id from v")
    assert with_behind(statement, through("select `shop`.`t`.`id` AS `id` from `shop`.`t`")) is statement
    counted = with_behind(statement, through("select count(0) AS `id` from `shop`.`t`"))
    assert counted.is_plain_read
    assert counted.functions == ("count",)


def test_a_roll_up_in_a_definition_is_a_read():
    text = (
        "select rollup_group_item(`s`.`t`.`a`,0) AS `a`,rollup_sum_switcher(count(0)) AS `c` from `s`.`t`"
        " group by `s`.`t`.`a` with rollup"
    )
    assert through(text).effects == {Effect.READ}


@pytest.mark.parametrize("definition", ["", "select 1; select 2", "select `s`.`f`() AS `x`", "select 'open"])
def test_what_cannot_be_seen_or_read_is_unknown(definition):
    found = through(definition)
    assert Effect.UNKNOWN in found.effects
    assert not may_be_planned(found)


def test_the_servers_own_views_are_left_to_the_catalogue():
    own = TableName(schema="sys", name="processlist")
    assert through("", name=own, definer="mysql.sys@localhost") == Behind(views=True)
    assert Effect.UNKNOWN in through("", name=own, definer="root@localhost").effects
    assert Effect.UNKNOWN in through("", definer="mysql.sys@localhost").effects


def test_a_hidden_name_says_what_to_grant():
    (hazard,) = behind_all([(VIEW, hidden_object(VIEW, MYSQL.dialect))], MYSQL.dialect).hazards
    assert "GRANT SELECT, SHOW VIEW ON `shop`.`v`" in hazard.instead


@pytest.mark.parametrize("engine", ["InnoDB", "MyISAM", "MRG_MyISAM", "MEMORY", "Aria", "CSV", "ARCHIVE", "SEQUENCE"])
def test_ordinary_engines_are_no_danger(engine):
    assert engine_hazard(engine) is None
    assert may_be_planned(behind_all([(VIEW, Object(engine=engine))], MYSQL.dialect))


@pytest.mark.parametrize(
    ("engine", "id_"),
    [
        ("CONNECT", "engine-reaches-elsewhere"),
        ("FEDERATED", "engine-reaches-elsewhere"),
        ("FEDERATEDX", "engine-reaches-elsewhere"),
        ("SPIDER", "engine-reaches-elsewhere"),
        ("S3", "engine-reaches-elsewhere"),
        ("OQGRAPH", "engine-reaches-elsewhere"),
        ("BLACKHOLE", "engine-keeps-nothing"),
        ("NOVELTY", "unknown-engine"),
        ("", "unknown-engine"),
    ],
)
def test_other_engines_are_a_danger_and_not_planned(engine, id_):
    found = behind_all([(VIEW, Object(engine=engine))], MYSQL.dialect)
    assert [hazard.id for hazard in found.hazards] == [id_]
    assert found.engines == (engine,)
    assert not may_be_planned(found)
