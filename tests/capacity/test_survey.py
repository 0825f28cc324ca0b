"""The survey of sizes: small plain pages, each on the road, resumable, and off the server while it is not well."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError, NoFitNodeError, OutcomeUnknownError, ServerError, StoppedError
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.audit.record import Asked, Decided
from safeconsole.sqltext.vocabulary import Account, Flavour, Role, Route
from safeconsole.capacity.asking import Asker
from safeconsole.capacity.reports import latest_report
from safeconsole.capacity.sizes import PAGE_TABLES, indexes_sql, page_sql
from tests.capacity.conftest import PAGE_BYTES, many

TWO_PAGES = PAGE_TABLES * 3 // 2


def _sizes(report):
    return {size.key: (size.rows, size.data_bytes, size.index_bytes) for size in report.tables()}


def _expected(rows):
    return {key: (n, data * PAGE_BYTES, index * PAGE_BYTES) for key, (n, data, index, _) in rows.items()}


def test_every_table_is_read_once_in_pages_that_stay_small(bench):
    rows = many(3 * PAGE_TABLES + 17)
    there = bench(rows)
    report = there.survey()
    assert _sizes(report) == _expected(rows)
    assert len(there.statistics.pages) == 4
    assert all(text.endswith(f" LIMIT {PAGE_TABLES}") for text in there.statistics.pages)
    assert there.progress[-1].done == len(rows)


def test_a_full_last_page_is_followed_by_an_empty_one_and_no_more(bench):
    there = bench(many(2 * PAGE_TABLES))
    assert len(list(there.survey().tables())) == 2 * PAGE_TABLES
    assert len(there.statistics.pages) == 3


def test_a_server_without_tables_gives_an_empty_report(bench):
    assert list(bench({}).survey().tables()) == []


@pytest.mark.parametrize("policy", ["baseline", "strict"])
def test_every_page_is_a_plain_read_that_the_shipped_policies_allow_on_a_replica(bench, policy):
    there = bench(many(TWO_PAGES), policy=policy)
    there.survey()
    permits = there.sent()
    assert len(permits) == 3
    assert all(permit.statement.is_plain_read and not permit.statement.hazards for permit in permits)
    assert {(permit.route, permit.account) for permit in permits} == {(Route.REPLICA, Account.READ)}
    assert {record.verdict for record in there.journal.records if isinstance(record, Decided)} == {"allow"}


def test_every_statement_is_journaled_as_the_tools_own(bench):
    there = bench(many(TWO_PAGES))
    there.survey()
    asked = [record for record in there.journal.records if isinstance(record, Asked)]
    assert len(asked) == len(there.sent())
    assert all(record.by_console for record in asked)


def test_one_schema_is_read_alone(bench):
    there = bench(many(TWO_PAGES))
    report = there.survey(schema="shop0001")
    assert {size.schema for size in report.tables()} == {"shop0001"}
    assert all("database_name = 'shop0001' AND" in text for text in there.statistics.pages)
    assert report.head.schema == "shop0001"


def test_the_primary_is_asked_only_when_the_person_says_so(bench):
    there = bench(many(10), to="primary")
    there.survey()
    assert {permit.route for permit in there.sent()} == {Route.PRIMARY}


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), OutcomeUnknownError("lost"), ServerError(1053, "shutdown")])
def test_an_interrupted_survey_goes_on_where_it_stood(bench, ending):
    rows = many(3 * PAGE_TABLES)
    there = bench(rows)
    there.statistics.faults[3] = ending
    with pytest.raises((KeyboardInterrupt, StoppedError, OutcomeUnknownError, ServerError)):
        there.survey()
    there.statistics.pages.clear()
    again = bench(rows)
    report = again.survey()
    assert _sizes(report) == _expected(rows)
    assert len(again.statistics.pages) == 2
    assert again.progress[0].done == 3 * PAGE_TABLES


def _interrupted(bench, rows):
    there = bench(rows)
    there.statistics.faults[2] = OutcomeUnknownError("lost")
    with pytest.raises(OutcomeUnknownError):
        there.survey()
    return there


def test_a_survey_begins_afresh_when_told_to(bench):
    rows = many(TWO_PAGES)
    _interrupted(bench, rows)
    again = bench(rows)
    assert _sizes(again.survey(afresh=True)) == _expected(rows)
    assert len(again.statistics.pages) == 2


def test_the_draft_of_another_server_is_not_gone_on_from(bench):
    rows = many(TWO_PAGES)
    _interrupted(bench, rows)
    again = bench(rows)
    for node in again.engine.nodes:
        node.server = f"another-{node.server}"
    assert _sizes(again.survey()) == _expected(rows)
    assert len(again.statistics.pages) == 2


def test_a_draft_older_than_a_day_is_not_gone_on_from(bench):
    rows = many(TWO_PAGES)
    _interrupted(bench, rows)
    again = bench(rows)
    again.now += dt.timedelta(hours=25)
    again.survey()
    assert len(again.statistics.pages) == 2


def test_a_torn_draft_is_not_gone_on_from(bench):
    rows = many(TWO_PAGES)
    there = _interrupted(bench, rows)
    (draft,) = there.directory.rglob("*.draft")
    there.shelf.append("shop", draft.stem, '["page", [["shop')
    again = bench(rows)
    assert _sizes(again.survey()) == _expected(rows)
    assert len(again.statistics.pages) == 2


@pytest.mark.parametrize("renamed", [False, True], ids=["one cluster", "two of one name"])
def test_surveys_at_the_same_time_do_not_write_into_each_other(bench, renamed):
    rows, others = many(3 * PAGE_TABLES), many(2 * PAGE_TABLES, per_schema=7)
    there, another = bench(rows), bench(others)
    if renamed:
        for node in another.engine.nodes:
            node.server = f"another-{node.server}"
    within = []

    def rest(seconds):
        if not within:
            within.append(another.survey(nodes=("b:1",)))
        there.rest(seconds)

    there.conduct = type(there.conduct)(watcher=there, rest=rest, utc=lambda: there.now)
    report = there.survey(nodes=("a:1",))
    assert _sizes(report) == _expected(rows)
    assert _sizes(within[0]) == _expected(others)
    assert not list(there.directory.rglob("*.draft"))
    assert latest_report(there.shelf, "shop", schema="", nodes=("b:1", "c:1")).name == within[0].name
    assert latest_report(there.shelf, "shop", schema="", nodes=("a:1",)).name == report.name
    with pytest.raises(ConfigurationError, match="2 are from another cluster with this name"):
        latest_report(there.shelf, "shop", schema="", nodes=("c:1",))


def test_an_interrupted_survey_beside_another_is_gone_on_from_too(bench):
    rows = many(3 * PAGE_TABLES)
    there, another = bench(rows), bench(rows)
    another.statistics.faults[3] = OutcomeUnknownError("lost")

    def rest(seconds):
        if not another.statistics.pages:
            with pytest.raises(OutcomeUnknownError):
                another.survey()
        there.rest(seconds)

    there.conduct = type(there.conduct)(watcher=there, rest=rest, utc=lambda: there.now)
    there.survey()
    with there.shelf.claimed("shop", next(there.directory.rglob("*-1.draft")).stem.removesuffix("-1")):
        again = bench(rows)
        assert _sizes(again.survey()) == _expected(rows)
    assert len(again.statistics.pages) == 2


def test_a_survey_waits_while_no_node_is_fit_and_then_goes_on(bench):
    rows = many(3 * PAGE_TABLES)
    there = bench(rows)

    def rest(seconds):
        there.rests.append(seconds)
        there.clock.seconds += seconds + 6
        if len(there.statistics.pages) == 1:
            for node in there.engine.nodes:
                node.lag_seconds = 400.0
        if there.progress[-1].waiting and len(there.rests) > 4:
            for node in there.engine.nodes:
                node.lag_seconds = 0.0

    there.conduct = type(there.conduct)(watcher=there, rest=rest, utc=lambda: there.now)
    assert _sizes(there.survey()) == _expected(rows)
    waits = [progress.waiting for progress in there.progress if progress.waiting]
    assert waits
    assert all("lag 400 s over 30 s" in why for why in waits)
    assert len(there.statistics.pages) == 4


def test_a_survey_gives_up_when_no_node_becomes_fit_and_keeps_what_it_read(bench):
    rows = many(3 * PAGE_TABLES)
    there = bench(rows)

    def rest(seconds):
        there.clock.seconds += seconds + 6
        there.rests.append(seconds)
        for node in there.engine.nodes:
            node.replicating = False

    there.conduct = type(there.conduct)(watcher=there, rest=rest, utc=lambda: there.now, patience_seconds=60)
    with pytest.raises(NoFitNodeError):
        there.survey()
    assert sum(there.rests[1:]) >= 60
    again = bench(rows)
    assert _sizes(again.survey()) == _expected(rows)
    assert len(again.statistics.pages) == 3


def test_a_cluster_without_a_fit_node_to_begin_with_is_refused_at_once(bench):
    there = bench(many(10))
    for node in there.engine.nodes:
        node.replicating = False
    with pytest.raises(NoFitNodeError):
        there.survey()
    assert there.rests == []


def test_a_page_that_hits_a_limit_is_asked_for_again_smaller(bench):
    rows = many(TWO_PAGES)
    there = bench(rows)
    there.statistics.faults[1] = StoppedError("stopped", by="watchdog", ceiling="run_seconds")
    assert _sizes(there.survey()) == _expected(rows)
    assert there.statistics.pages[0].endswith(f"LIMIT {PAGE_TABLES}")
    assert {text.rsplit(" ", 1)[1] for text in there.statistics.pages[1:]} == {str(PAGE_TABLES // 2)}


def test_a_page_that_the_person_stopped_is_not_asked_for_again(bench):
    there = bench(many(TWO_PAGES))
    there.statistics.faults[1] = StoppedError("stopped by you", by="person")
    with pytest.raises(StoppedError):
        there.survey()
    assert len(there.statistics.pages) == 1


def test_it_rests_after_every_page_four_times_as_long_as_the_page_took(bench):
    there = bench(many(3 * PAGE_TABLES - 1))
    there.engine.hooks["send"] = lambda: setattr(there.clock, "seconds", there.clock.seconds + 0.05)
    there.survey()
    assert len(there.rests) == 2
    assert there.rests == [pytest.approx(0.2)] * 2


def test_a_report_says_when_several_nodes_were_asked(bench):
    there = bench(many(3 * PAGE_TABLES))
    first = {}

    def send():
        replicas = [node for node in there.engine.nodes if node.role is Role.REPLICA]
        if len(there.statistics.pages) == 2 and not first:
            first["down"] = there.session.status().node
            for node in replicas:
                if node.name == first["down"]:
                    node.lag_seconds = 999.0
            there.clock.seconds += 6

    there.engine.hooks["send"] = send
    report = there.survey()
    assert any("2 nodes were asked in turn" in caveat for caveat in report.end.caveats)


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(schema=names, name=names, plain=st.booleans())
def test_no_name_breaks_out_of_the_statement_that_pages_from_it(schema, name, plain):
    """Whatever a table is called, the next page stays one plain read of the statistics and nothing else."""
    from safeconsole.sqltext.analysis import analyse

    rules = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=80_400, no_backslash_escapes=plain)
    asker = Asker(session=None, rules=lambda: rules)
    texts = [page_sql(asker, schema=one, after=(schema, name)) for one in ("", schema)]
    for text, table in [
        *((each, "innodb_table_stats") for each in texts),
        (indexes_sql(asker, schema, name), "innodb_index_stats"),
    ]:
        (statement,) = analyse(text, rules, schema="")
        assert statement.is_plain_read
        assert [str(each) for each in statement.tables] == [f"mysql.{table}"]
        assert not statement.hazards
