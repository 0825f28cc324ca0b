"""Tables and columns are completed from names learnt on a replica; completion asks no server."""

import pytest
from prompt_toolkit.completion import CompleteEvent, DummyCompleter
from prompt_toolkit.document import Document

from safeconsole.errors import UnreachableError
from safeconsole.cli.python_names import LearntNames
from safeconsole.python.console import NamesCompleter


@pytest.fixture
def names(console, tmp_path):
    return LearntNames(console.session.session, console.session.rules, str(tmp_path / "names"))


def completed(names, before, after=""):
    found = NamesCompleter(DummyCompleter(), names).get_completions(
        Document(before + after, len(before)), CompleteEvent(text_inserted=True)
    )
    return [each.text for each in found]


def by_console(records):
    return [record for record in records if record["type"] == "asked" and record.get("by_console")]


def test_tables_and_columns_are_known_after_a_read_on_a_replica(names, console):
    console.db.sql("SELECT id FROM orders WHERE id = 1")
    names.learn()
    names.learn()
    assert completed(names, "db.tables.cust") == ["customers"]
    assert {"customer_id", "status"} <= set(completed(names, "x = db.tables.orders.c."))
    assert completed(names, "db.sql('SELECT * FROM cust")[0] == "customers"
    assert completed(names, 'rows = db.sql("SELECT sta', ' FROM orders")')[0] == "status"
    assert completed(names, 'connection.execute("""SELECT 1\nFROM cust')[0] == "customers"
    assert len(by_console(console.records())) == 3


def test_stored_names_are_known_before_anything_was_asked(names, console, tmp_path):
    console.db.sql("SELECT id FROM orders WHERE id = 1")
    names.learn()
    later = LearntNames(console.session.session, console.session.rules, str(tmp_path / "names"))
    assert completed(later, "db.tables.cust") == ["customers"]


def test_nothing_is_asked_before_the_person_asked_something(names, console):
    names.learn()
    assert completed(names, "db.tables.ord") == []
    assert [record["type"] for record in console.records()].count("asked") == 0


def test_nothing_is_learnt_on_a_primary(names, console):
    console.db.use("primary")
    console.db.sql("SELECT id FROM orders WHERE id = 1")
    names.learn()
    assert completed(names, "db.tables.ord") == []
    assert [record["type"] for record in console.records()].count("asked") == 1


def test_nothing_is_learnt_while_elevated(names, console):
    with console.elevate():
        console.db.sql("SELECT id FROM orders WHERE id = 1")
        names.learn()
    assert completed(names, "db.tables.ord") == []


def test_a_cluster_that_cannot_be_asked_keeps_nobody_from_the_next_entry(console, tmp_path):
    def unreachable():
        raise UnreachableError("nobody answers")

    console.db.sql("SELECT id FROM orders WHERE id = 1")
    names = LearntNames(console.session.session, unreachable, str(tmp_path / "names"))
    names.learn()
    assert completed(names, "db.tables.cust") == []


@pytest.mark.parametrize("before", ["db.table", "x = 'SELECT * FROM ord", "# db.sql(", "db.sql('SELECT 1').dic"])
def test_everything_else_is_pythons(names, console, before):
    console.db.sql("SELECT id FROM orders WHERE id = 1")
    names.learn()
    assert completed(names, before) == []
