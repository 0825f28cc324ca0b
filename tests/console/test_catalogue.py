import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import CostClass, Flavour
from safeconsole.dialects import queries


SERVERS = (Flavour.MYSQL, Flavour.MARIADB, Flavour.AURORA_MYSQL)


def statements(flavour):
    yield DIALECTS[flavour].queries.tables
    yield queries.columns_sql(DIALECTS[flavour], "or`ders")
    yield queries.indexes_sql(DIALECTS[flavour], "shop.orders")
    yield queries.size_sql(DIALECTS[flavour], "shop.orders")
    yield queries.size_sql(DIALECTS[flavour], "orders")
    yield queries.names_sql(DIALECTS[flavour], after="a", most=10)
    yield from DIALECTS[flavour].diagnosis.own


@pytest.mark.parametrize("flavour", list(Flavour))
def test_what_the_console_asks_is_one_plain_read(flavour):
    for sql in statements(flavour):
        (statement,) = analyse(sql, LexicalRules(dialect=DIALECTS[flavour]), schema="shop")
        assert statement.is_plain_read, (sql, statement.reasons)


@pytest.mark.parametrize("flavour", SERVERS)
def test_what_the_console_asks_of_a_server_is_cheap(flavour):
    for sql in statements(flavour):
        (statement,) = analyse(sql, LexicalRules(dialect=DIALECTS[flavour]), schema="shop")
        assert {hazard.cost for hazard in statement.hazards} <= {CostClass.LOOKUP}, sql


def test_a_name_is_quoted_whole():
    assert (
        queries.columns_sql(DIALECTS[Flavour.MYSQL], "my`db.t; DROP TABLE x") == "DESCRIBE `my``db`.`t; DROP TABLE x`"
    )
