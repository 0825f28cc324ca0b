"""Evidence about leftovers and witnesses of sizes: keyed lookups on the road, and what was not seen is said."""

import datetime as dt
from msgspec.structs import replace

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.errors import OutcomeUnknownError, ServerError
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.capacity.reports import latest_report, report_since
from safeconsole.capacity.survey import index_sizes
from safeconsole.capacity.investigating import investigate
from safeconsole.capacity.leftovers import KNOWN_PATTERNS
from safeconsole.capacity.leftovers import LeftoverState, suspects_among
from safeconsole.capacity.tablespaces import bytes_on_disk, filename_of
from safeconsole.capacity.tablespaces import verify
from safeconsole.errors import ConfigurationError
from tests.harness.fakes import Planned
from tests.capacity.conftest import many

OLD, NEW = dt.datetime(2025, 11, 1), dt.datetime(2026, 1, 31, 11, 59)
DENIED = ServerError(1142, "SELECT command denied")
ROWS = {
    ("shop", name): (10, 5, 1, "2025-11-01 00:00:00")
    for name in ("_orders_ghc", "_orders_gho", "_users_new", "orders", "users", "_gone_del")
}
LOOKUP = (
    "SELECT create_time, update_time FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = '{}'"
)
SIGHT = (
    "SELECT privilege_type FROM information_schema.user_privileges"
    " WHERE privilege_type IN ('PROCESS', 'TRIGGER') LIMIT 10"
)


MARIADB = LexicalRules(dialect=DIALECTS[Flavour.MARIADB], version=101_100)
MYSQL57 = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=50_744)


def rows(*found):
    return Planned(batches=(list(found),))


@pytest.fixture
def there(bench):
    made = bench(ROWS)
    made.report = made.survey()
    for name in ("_orders_ghc", "_orders_gho", "_users_new", "_gone_del"):
        made.statistics.others[LOOKUP.format(name)] = rows((OLD, None))
    return made


def found_in(there, **how):
    suspects = suspects_among(there.report.tables(), KNOWN_PATTERNS)
    found = investigate(there.asker, there.conduct, there.report, suspects, **how)
    return {each.suspect.size.name: each for each in found}


def test_lookups_of_single_tables_tell_the_abandoned_from_the_only_copy(there):
    found = found_in(there)
    assert {name: each.state for name, each in found.items()} == {
        "_orders_ghc": LeftoverState.ABANDONED, "_orders_gho": LeftoverState.ABANDONED, "_users_new": LeftoverState.ABANDONED, "_gone_del": LeftoverState.UNCLEAR,
    }  # fmt: skip
    assert "only copy" in found["_gone_del"].why


def test_every_lookup_is_a_plain_read_without_a_danger(there):
    found_in(there)
    assert all(permit.statement.is_plain_read and not permit.statement.hazards for permit in there.sent())


def test_a_beating_changelog_says_that_the_whole_migration_runs(there):
    log = "SELECT last_update FROM `shop`.`_orders_ghc` WHERE id <= 3 ORDER BY id LIMIT 3"
    there.statistics.others[log] = rows((OLD,), (NEW,))
    found = found_in(there)
    assert found["_orders_gho"].state is LeftoverState.RUNNING
    assert found["_orders_ghc"].state is LeftoverState.RUNNING
    assert found["_users_new"].state is LeftoverState.ABANDONED


def test_triggers_of_the_tool_say_that_it_runs_and_others_do_not(there):
    there.statistics.others[SIGHT] = rows(("TRIGGER",))
    shown = "SHOW TRIGGERS FROM `shop` LIKE 'users'"
    there.statistics.others[shown] = rows(("stamp_users", "UPDATE"), ("pt_osc_shop_users_ins", "INSERT"))
    found = found_in(there)["_users_new"]
    assert found.state is LeftoverState.RUNNING
    assert found.evidence.triggers == ("pt_osc_shop_users_ins",)


def test_what_the_account_may_not_see_is_said(there):
    evidence = found_in(there)["_users_new"].evidence
    assert "triggers: the account lacks TRIGGER on the schema" in evidence.unseen
    assert "running statements: the account lacks PROCESS" in evidence.unseen


def test_a_table_that_cannot_be_looked_up_is_unclear_where_its_base_is_not_known_from_elsewhere(there):
    there.statistics.others[LOOKUP.format("_gone_del")] = Planned(refusal=DENIED)
    found = found_in(there)["_gone_del"]
    assert found.state is LeftoverState.UNCLEAR
    assert "could not be seen" in found.why
    assert "the table itself: not granted" in found.evidence.unseen


def test_a_lost_connection_is_no_evidence(there):
    there.statistics.others[LOOKUP.format("_users_new")] = Planned(refusal=OutcomeUnknownError("lost"))
    with pytest.raises(OutcomeUnknownError):
        found_in(there)


def test_only_the_largest_are_looked_at_and_the_others_say_so(there):
    sent = len(there.sent())
    found = found_in(there, most=1)
    assert sum(each.why == "the table itself was not looked at" for each in found.values()) >= 2
    assert len(there.sent()) - sent <= 4
    assert sum("not among the 1 largest" in str(each.evidence.unseen) for each in found.values()) == 3


TABLE = "SELECT engine, data_length, index_length, data_free FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = '{}'"


def test_estimates_are_held_to_the_table_itself(there):
    size = next(each for each in there.report.tables() if each.name == "orders")
    there.statistics.others[TABLE.format("orders")] = rows(("InnoDB", 100_000, 10_000, 13_000))
    (found,), _ = verify(there.asker, there.conduct, [size])
    assert (found.found_bytes, found.witness) == (123_000, "table")
    assert found.error == pytest.approx((size.total_bytes - 123_000) / 123_000)


FILE = "SELECT total_extents * extent_size FROM information_schema.files WHERE tablespace_name = '{}'"
MIB = 1024 * 1024


def test_estimates_are_held_to_their_tablespaces_where_the_account_may_see_them(there):
    sizes = [each for each in there.report.tables() if each.name in {"orders", "users"}]
    there.statistics.others[FILE.format("shop/users")] = rows((9 * MIB,))
    # Smaller than an extent, so that its file has no size in extents.
    there.statistics.others[FILE.format("shop/orders")] = rows((0,))
    there.statistics.others[TABLE.format("orders")] = rows(("InnoDB", 1, 0, 0))
    found, refused = verify(there.asker, there.conduct, sizes)
    assert refused == ""
    assert [(each.witness, each.found_bytes) for each in found] == [("table", 1), ("tablespace", 9 * MIB)]


def _in_turn(*answers):
    """What is answered to one text, each time another one, and the last for good."""
    left = list(answers)
    return lambda: rows(left.pop(0) if len(left) > 1 else left[0])


OPENING = "SELECT 1 FROM `shop`.`orders` LIMIT 1"


def test_a_large_table_that_the_server_has_not_opened_is_opened_alone_and_looked_up_again(there):
    size = replace(next(each for each in there.report.tables() if each.name == "orders"), data_bytes=90 * MIB)
    there.statistics.others[FILE.format("shop/orders")] = _in_turn((0,), (97 * MIB,))
    assert bytes_on_disk(there.asker, there.conduct, [size]) == ({size.key: 97 * MIB}, "")
    assert [permit.statement.text for permit in there.sent()].count(OPENING) == 1


@pytest.mark.parametrize(
    ("data", "refusal", "opened"), [(MIB // 2, None, 0), (MIB, ServerError(1146, "gone"), 1), (MIB, None, 1)]
)
def test_a_size_that_stays_unknown_is_not_guessed(there, data, refusal, opened):
    size = replace(
        next(each for each in there.report.tables() if each.name == "orders"), data_bytes=data, index_bytes=0
    )
    there.statistics.others[FILE.format("shop/orders")] = _in_turn((0,))
    there.statistics.others[OPENING] = Planned(refusal=refusal) if refusal else rows()
    assert bytes_on_disk(there.asker, there.conduct, [size]) == ({}, "")
    assert [permit.statement.text for permit in there.sent()].count(OPENING) == opened


def test_partitions_of_a_table_are_added_up_and_too_many_are_not_asked_for(there):
    part = next(each for each in there.report.tables() if each.name == "orders")
    names = "SELECT table_name FROM mysql.innodb_table_stats WHERE database_name = 'shop' AND table_name >= '{0}#' AND table_name < '{0}$' LIMIT 65"
    there.statistics.others[names.format("orders")] = rows(("orders#p#a",), ("orders#p#b",), ("orders#x",))
    for name, extents in (("a", 3), ("b", 4)):
        there.statistics.others[FILE.format(f"shop/orders#p#{name}")] = rows((extents * MIB,))
    sent = len(there.sent())
    assert bytes_on_disk(there.asker, there.conduct, [replace(part, partitions=2)]) == ({part.key: 7 * MIB}, "")
    assert bytes_on_disk(there.asker, there.conduct, [replace(part, partitions=65)]) == ({}, "")
    assert len(there.sent()) == sent + 3


@pytest.mark.parametrize(("schema", "name"), [("a/b", "t"), ("a", "b/t")])
def test_a_name_that_could_be_another_tables_is_not_looked_up(there, schema, name):
    size = replace(next(there.report.tables()), schema=schema, name=name)
    sent = len(there.sent())
    assert bytes_on_disk(there.asker, there.conduct, [size]) == ({}, "")
    assert len(there.sent()) == sent


def test_older_servers_call_a_tablespace_as_its_file_is_called(there):
    size = replace(next(there.report.tables()), schema="a-b", name="t x")
    there.statistics.others[FILE.format("a@002db/t@0020x")] = rows((MIB,))
    assert bytes_on_disk(there.asker, there.conduct, [size]) == ({size.key: MIB}, "")


def test_an_account_that_may_not_see_tablespaces_is_asked_about_one_only(there):
    for name in ("orders", "users"):
        there.statistics.others[FILE.format(f"shop/{name}")] = Planned(refusal=ServerError(1227, "PROCESS"))
    sent = len(there.sent())
    _, refused = bytes_on_disk(
        there.asker, there.conduct, [each for each in there.report.tables() if each.name in {"orders", "users"}]
    )
    assert refused == "not granted"
    assert len(there.sent()) == sent + 1


@pytest.mark.parametrize("rules", [MARIADB, MYSQL57])
def test_a_view_that_reads_every_tablespace_is_left_to_the_policy(bench, rules):
    there = bench(ROWS, engine_rules=rules)
    report = there.survey()
    _, refused = bytes_on_disk(there.asker, there.conduct, list(report.tables())[:1])
    assert "slow or hungry on a large server" in refused
    assert not any("tablespaces" in permit.statement.text for permit in there.sent())


def test_on_a_server_with_few_tables_the_view_is_asked_once_for_all(bench):
    there = bench(ROWS, engine_rules=MARIADB)
    report = there.survey()
    reading = type(there.engine.nodes[0]).reading
    there.engine.topology = lambda **_: tuple(
        replace(reading(node, there.clock.seconds), tables=10) for node in there.engine.nodes
    )
    there.session._nodes.forget()
    query = (
        "SELECT name, file_size FROM information_schema.innodb_sys_tablespaces"
        " WHERE name = 'shop/orders' OR name = 'shop/users' LIMIT 10000"
    )
    there.statistics.others[query] = rows(("shop/users", 131_072), ("shop/orders", 65_536))
    sizes = [each for each in report.tables() if each.name in {"orders", "users"}]
    assert bytes_on_disk(there.asker, there.conduct, sizes) == (
        {("shop", "users"): 131_072, ("shop", "orders"): 65_536},
        "",
    )


def test_statistics_that_outlived_their_table_are_told(there):
    (found,), _ = verify(there.asker, there.conduct, list(there.report.tables())[:1])
    assert found.found_bytes is None
    assert "can outlive a table" in found.note


@pytest.mark.parametrize(
    ("name", "path"), [("orders_1", "orders_1"), ("a-b", "a@002db"), ("x y", "x@0020y"), ("a#b", "a@0023b")]
)
def test_names_are_written_as_in_file_names(name, path):
    assert filename_of(name) == path


def test_indexes_of_a_table_and_its_partitions_are_added_up_and_no_others(bench):
    there = bench({("shop", "t#p#p0"): (1, 1, 1, ""), ("shop", "t#p#p1"): (1, 1, 1, "")})
    sizes = list(there.survey().tables())
    query = (
        "SELECT index_name, table_name, stat_value FROM mysql.innodb_index_stats WHERE database_name = 'shop'"
        " AND table_name >= 't' AND table_name < 't$' AND stat_name = 'size' LIMIT 10000"
    )
    there.statistics.others[query] = rows(
        ("PRIMARY", "t#p#p0", 2), ("PRIMARY", "t#p#p1", 3), ("by_a", "t#p#p0", 1), ("PRIMARY", "t#x", 99)
    )
    assert index_sizes(there.asker, there.conduct, sizes) == [{"PRIMARY": 5 * 16_384, "by_a": 16_384}]


def test_without_the_grant_the_missing_one_is_named(bench):
    there = bench(many(1))
    sizes = list(there.survey().tables())
    original = there.statistics.get
    there.engine.answers = type("Denying", (), {"get": staticmethod(
        lambda text, default: Planned(refusal=DENIED) if "index_stats" in text else original(text, default))})()  # fmt: skip
    with pytest.raises(ConfigurationError, match="sizes of indexes cannot be read") as told:
        index_sizes(there.asker, there.conduct, sizes)
    assert told.value.instead == "grant the read account SELECT ON mysql.innodb_index_stats"


def _report_at(there, day, **how):
    there.now = dt.datetime(2026, 1, day, tzinfo=dt.UTC)
    return there.survey(afresh=True, **how)


SERVERS = {"u-0", "u-1", "u-2"}


def test_growth_is_counted_from_the_newest_report_that_is_old_enough(bench):
    there = bench(many(3))
    first, second, third = (_report_at(there, day) for day in (1, 10, 20))
    at = lambda day: dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC)  # noqa: E731
    assert report_since(there.shelf, third, at(15), servers=SERVERS, schema="").name == second.name
    assert report_since(there.shelf, third, at(5), servers=SERVERS, schema="").name == first.name
    assert latest_report(there.shelf, "shop", schema="").name == third.name


def test_reports_that_are_older_than_the_one_that_is_sought_are_not_opened(bench):
    there = bench(many(3))
    first, second, third = (_report_at(there, day) for day in (1, 10, 20))
    opened, lines = [], there.shelf.lines

    def watched(cluster, name):
        opened.append(name)
        return lines(cluster, name)

    there.shelf.lines = watched
    report_since(there.shelf, third, dt.datetime(2026, 1, 15, tzinfo=dt.UTC), servers=SERVERS, schema="")
    assert second.name in opened
    assert first.name not in opened


def test_a_report_of_one_schema_is_no_report_of_all_but_one_of_all_is_of_each(bench):
    there = bench(many(300))
    whole, part = _report_at(there, 1), _report_at(there, 10, schema="shop0001")
    now = dt.datetime(2026, 1, 20, tzinfo=dt.UTC)
    assert latest_report(there.shelf, "shop", schema="").name == whole.name
    assert report_since(there.shelf, part, now, servers=SERVERS, schema="shop0001").name == whole.name


def test_reports_of_another_cluster_by_the_same_name_are_not_compared_with(bench):
    there = bench(many(3))
    _report_at(there, 1)
    last = _report_at(there, 10)
    with pytest.raises(ConfigurationError, match="1 are from servers that are no longer in it"):
        report_since(there.shelf, last, last_day(), servers={"u-9"}, schema="")


def last_day():
    return dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
