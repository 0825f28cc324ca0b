import pytest

from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import CostClass, Flavour
from safeconsole.dialects import queries


SERVERS = (Flavour.MYSQL, Flavour.MARIADB, Flavour.AURORA_MYSQL)


def statements(flavour):
    yield queries.tables_sql(flavour)
    yield queries.columns_sql(flavour, "or`ders")
    yield queries.indexes_sql(flavour, "shop.orders")
    yield queries.size_sql(flavour, "shop.orders")
    yield queries.size_sql(flavour, "orders")
    yield queries.names_sql(flavour, after="a", most=10)
    if flavour is not Flavour.SQLITE:
        yield queries.processlist_sql(flavour)
        yield queries.locks_sql(flavour)


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
    assert queries.columns_sql(Flavour.MYSQL, "my`db.t; DROP TABLE x") == "DESCRIBE `my``db`.`t; DROP TABLE x`"
