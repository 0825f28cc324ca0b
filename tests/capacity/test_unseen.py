"""Tables without statistics: found by name a schema at a time, looked up a few at a time, told honestly."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour

from safeconsole.capacity.investigating import unseen_tables
from tests.harness.fakes import Planned
from safeconsole.capacity import investigating as unseen

MARIADB = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101_100)
ROWS = {
    (schema, name): (10, 5, 1, "2025-11-01 00:00:00")
    for schema, name in (("shop", "orders"), ("shop", "parted#p#p0"), ("shop", "parted#p#p1"), ("web", "pages"))
}
SCHEMAS = "SELECT schema_name FROM information_schema.schemata LIMIT 10000"
NAMES = "SELECT table_name FROM information_schema.tables WHERE table_schema = '{}'{} LIMIT 10000"
ONLY_TABLES = " AND table_type = 'BASE TABLE'"
LOOKUP = (
    "SELECT table_type, engine, create_options, data_length, index_length FROM information_schema.tables"
    " WHERE table_schema = '{}' AND table_name = '{}'"
)


def rows(*found):
    return Planned(batches=(list(found),))


def anything(_table):
    return True


@pytest.fixture
def there(bench):
    made = bench(ROWS)
    made.report = made.survey()
    answers = made.statistics.others
    answers[SCHEMAS] = rows(("mysql",), ("shop",), ("INFORMATION_SCHEMA",), ("archive",))
    answers[NAMES.format("shop", ONLY_TABLES)] = rows(("orders",), ("parted",), ("logs",), ("fresh",), ("odd",))
    answers[NAMES.format("archive", ONLY_TABLES)] = rows(("old",))
    answers[LOOKUP.format("shop", "logs")] = rows(("BASE TABLE", "MyISAM", "", 5_000, 1_000))
    answers[LOOKUP.format("shop", "fresh")] = rows(("BASE TABLE", "InnoDB", "row_format=DYNAMIC", 16_384, 0))
    answers[LOOKUP.format("shop", "odd")] = rows(("BASE TABLE", "InnoDB", "STATS_PERSISTENT=0", 32_768, None))
    answers[LOOKUP.format("archive", "old")] = rows(("BASE TABLE", None, None, None, None))
    return made


def test_what_the_statistics_do_not_show_is_named_with_its_size_and_the_reason(there):
    found, notes = unseen_tables(there.asker, there.conduct, there.report, wanted=anything)
    assert [(each.label, each.engine, each.found_bytes) for each in found] == [
        ("shop.odd", "InnoDB", 32_768), ("shop.fresh", "InnoDB", 16_384), ("shop.logs", "MyISAM", 6_000), ("archive.old", "", None),
    ]  # fmt: skip
    assert [each.why.split(":")[0] for each in found] == [
        "STATS_PERSISTENT=0",
        "its statistics were not made yet, or innodb_stats_persistent is off",
        "MyISAM keeps no such statistics",
        "its engine is unknown, or the table is broken",
    ]
    assert notes == ["schemas that the account may not see, and the server's own, were not looked at"]


def test_no_statement_reads_more_than_the_names_of_one_schema(there):
    sent = len(there.sent())
    unseen_tables(there.asker, there.conduct, there.report, wanted=anything)
    texts = [permit.statement.text for permit in there.sent()[sent:]]
    assert texts[0] == SCHEMAS
    assert all("table_schema = '" in text for text in texts[1:])
    assert all("data_length" not in text or "AND table_name = '" in text for text in texts)
    assert all(permit.statement.hazards == () for permit in there.sent()[sent:])


def test_one_schema_and_a_pattern_ask_for_no_more(there):
    sent = len(there.sent())
    found, notes = unseen_tables(
        there.asker, there.conduct, there.report, schema="shop", wanted=lambda table: table.name == "logs"
    )
    assert [each.label for each in found] == ["shop.logs"]
    assert notes == []
    assert len(there.sent()) == sent + 2


def test_only_so_many_are_looked_up_and_the_others_are_named(there, monkeypatch):
    monkeypatch.setattr(unseen, "UNSEEN_LOOKED_AT", 1)
    found, notes = unseen_tables(there.asker, there.conduct, there.report, wanted=anything)
    assert len(found) == 4
    assert sum(each.found_bytes is not None for each in found) <= 1
    assert sum(each.why == "not looked at: it may be a view" for each in found) == 3
    assert "3 of them were not looked at, beyond the first 1" in notes


def test_a_schema_with_more_names_than_are_read_is_told(there, monkeypatch):
    monkeypatch.setattr(unseen, "MOST_NAMES", 1)
    names = NAMES.format("shop", ONLY_TABLES).replace("10000", "1")
    there.statistics.others[names] = rows(("orders",))
    _, notes = unseen_tables(there.asker, there.conduct, there.report, schema="shop", wanted=anything)
    assert notes == ["shop has 1 names or more: only the first were read"]


def test_where_names_alone_are_cheap_views_are_sorted_out_by_their_lookup(bench):
    there = bench(ROWS, engine_rules=MARIADB)
    report = there.survey()
    there.statistics.others[NAMES.format("shop", "")] = rows(("orders",), ("a_view",), ("versioned",), ("gone",))
    there.statistics.others[LOOKUP.format("shop", "a_view")] = rows(("VIEW", None, None, None, None))
    there.statistics.others[LOOKUP.format("shop", "versioned")] = rows(("SYSTEM VERSIONED", "Aria", "", 1, 1))
    found, _ = unseen_tables(there.asker, there.conduct, report, schema="shop", wanted=anything)
    assert [each.label for each in found] == ["shop.versioned"]


def test_it_rests_after_every_statement(there):
    rests, sent = len(there.rests), len(there.sent())
    unseen_tables(there.asker, there.conduct, there.report, wanted=anything)
    assert len(there.rests) - rests == len(there.sent()) - sent


def test_an_engine_without_statistics_has_nothing_to_compare_with(bench):
    there = bench(ROWS)
    report = there.survey()
    there.asker.rules = lambda: LexicalRules(dialect=DIALECTS[Flavour.SQLITE])
    with pytest.raises(ConfigurationError, match="every table is in the report"):
        unseen_tables(there.asker, there.conduct, report, wanted=anything)
