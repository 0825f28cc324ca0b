import pytest

from safeconsole.core.analysis import analyse
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.vocabulary import CostClass, Flavour
from safeconsole.shells.sql import catalogue

SERVERS = (Flavour.MYSQL, Flavour.MARIADB, Flavour.AURORA_MYSQL)


def statements(flavour):
    yield catalogue.tables_sql(flavour)
    yield catalogue.columns_sql(flavour, "or`ders")
    yield catalogue.indexes_sql(flavour, "shop.orders")
    yield catalogue.size_sql(flavour, "shop.orders")
    yield catalogue.size_sql(flavour, "orders")
    yield catalogue.names_sql(flavour, after="a", most=10)
    if flavour is not Flavour.SQLITE:
        yield catalogue.processlist_sql(flavour)
        yield catalogue.locks_sql(flavour)


@pytest.mark.parametrize("flavour", list(Flavour))
def test_what_the_console_asks_is_one_plain_read(flavour):
    for sql in statements(flavour):
        (statement,) = analyse(sql, LexicalRules(flavour=flavour), schema="shop")
        assert statement.is_plain_read, (sql, statement.reasons)


@pytest.mark.parametrize("flavour", SERVERS)
def test_what_the_console_asks_of_a_server_is_cheap(flavour):
    for sql in statements(flavour):
        (statement,) = analyse(sql, LexicalRules(flavour=flavour), schema="shop")
        assert {hazard.cost for hazard in statement.hazards} <= {CostClass.LOOKUP}, sql


def test_a_name_is_quoted_whole():
    assert catalogue.columns_sql(Flavour.MYSQL, "my`db.t; DROP TABLE x") == "DESCRIBE `my``db`.`t; DROP TABLE x`"
