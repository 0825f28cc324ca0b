"""Leftovers: names are a suspicion, evidence is what decides, and the plan holds only what is abandoned."""

import datetime as dt
import functools

import pytest

from safeconsole.errors import ConfigurationError
from safeconsole.config.settings import LeftoverSettings
from safeconsole.capacity.leftovers import KNOWN_PATTERNS, LeftoverPart, patterns_of
from safeconsole.capacity.leftovers import Evidence as Known
from safeconsole.capacity.leftovers import LeftoverState, judged, stamped, suspect_of, suspects_among, with_bases
from safeconsole.capacity.leftovers import DRAINED_FROM_BYTES, plan_of
from safeconsole.capacity.sizes import TableSize

Evidence = functools.partial(Known, looked_at=True)
NOW = dt.datetime(2026, 1, 31, 12)
LONG_AGO, JUST_NOW = NOW - dt.timedelta(days=40), NOW - dt.timedelta(minutes=2)


def table(name, *, schema="shop", data=1000, updated="2025-11-01 00:00:00"):
    return TableSize(schema=schema, name=name, rows=10, data_bytes=data, index_bytes=0, updated=updated)


def suspect(name, **how):
    return suspect_of(table(name, **how), KNOWN_PATTERNS)


@pytest.mark.parametrize(
    ("name", "tool", "part", "base"),
    [
        ("_orders_gho", "gh-ost", LeftoverPart.COPY, "orders"),
        ("_orders_ghc", "gh-ost", LeftoverPart.LOG, "orders"),
        ("_orders_del", "gh-ost", LeftoverPart.OLD, "orders"),
        ("_orders_20231107114900_del", "gh-ost", LeftoverPart.OLD, "orders"),
        ("__orders_gho", "gh-ost", LeftoverPart.COPY, "_orders"),
        ("lhmn_orders", "LHM", LeftoverPart.COPY, "orders"),
        ("lhma_2023_11_07_11_49_00_000_orders", "LHM", LeftoverPart.OLD, "orders"),
        ("_orders_new", "pt-online-schema-change or Spirit", LeftoverPart.COPY, "orders"),
        ("__________orders_new", "pt-online-schema-change or Spirit", LeftoverPart.COPY, "orders"),
        ("_orders_old", "pt-online-schema-change or Spirit", LeftoverPart.OLD, "orders"),
        ("__osc_new_orders", "Facebook OSC", LeftoverPart.COPY, "orders"),
        ("__osc_chg_orders", "Facebook OSC", LeftoverPart.LOG, "orders"),
        ("__osc_old_orders", "Facebook OSC", LeftoverPart.OLD, "orders"),
        ("lhma_2014_02_01_00_12_34_orders", "LHM", LeftoverPart.OLD, "orders"),
        ("_orders_chkpnt", "Spirit", LeftoverPart.LOG, "orders"),
        ("_orders_sentinel", "Spirit", LeftoverPart.LOG, "orders"),
        ("_orders_old_20260131_154500", "Spirit", LeftoverPart.OLD, "orders"),
        ("_spirit_checkpoint", "Spirit", LeftoverPart.LOG, ""),
        ("_a2994c92_f1d4_11ea_afa3_f875a4d24e90_20201201103213_vrepl", "Vitess", LeftoverPart.COPY, ""),
        ("_a2994c92_f1d4_11ea_afa3_f875a4d24e90_20201201103213_gho", "Vitess", LeftoverPart.COPY, ""),
        ("_a2994c92_f1d4_11ea_afa3_f875a4d24e90_20201201103213_del", "Vitess", LeftoverPart.OLD, ""),
        ("zz_drop__orders_gho", "our own removal plan", LeftoverPart.OTHER, ""),
        ("_spirit_sentinel", "Spirit", LeftoverPart.LOG, ""),
        ("_vt_HOLD_6ace8bcef73211ea87e9f875a4d24e90_20200915120410", "Vitess", LeftoverPart.BIN, ""),
        ("_vt_prg_6ace8bcef73211ea87e9f875a4d24e90_20200915120410_", "Vitess", LeftoverPart.BIN, ""),
        ("_vt_vrp_6ace8bcef73211ea87e9f875a4d24e90_20200915120410_", "Vitess", LeftoverPart.COPY, ""),
        ("#sql-ib1234", "the server", LeftoverPart.BIN, ""),
        ("#sql2-1a2b-3c", "the server", LeftoverPart.BIN, ""),
        ("#mysql50##sql-alter-13b2-d", "the server", LeftoverPart.BIN, ""),
        ("orders_backup_20240131", "by hand, or a Rails migration", LeftoverPart.OLD, "orders"),
        ("old_orders", "by hand, or a Rails migration", LeftoverPart.OLD, "orders"),
    ],
)
def test_a_name_says_who_made_it_what_it_was_and_of_which_table(name, tool, part, base):
    found = suspect(name)
    assert (found.pattern.tool, found.pattern.part, found.base) == (tool, part, base)


@pytest.mark.parametrize(
    "name",
    [
        "orders",
        "new_orders",
        "orders_new",
        "gho",
        "_gho",
        "lhmn",
        "osc_new_orders",
        "_vt_foo",
        "golden",
        "threshold",
        "_orders",
    ],
)
def test_an_ordinary_name_is_no_suspect(name):
    assert suspect(name) is None


@pytest.mark.parametrize(
    ("digits", "time"),
    [("20231107114900", dt.datetime(2023, 11, 7, 11, 49)), ("2023_11_07_11_49_00_000", dt.datetime(2023, 11, 7, 11, 49)),
     ("20240131", dt.datetime(2024, 1, 31)), ("20241331", None), ("", None), ("123", None)],
)  # fmt: skip
def test_the_time_in_a_name_is_read_and_what_is_none_is_not_guessed(digits, time):
    assert stamped(digits) == time


QUIET = Evidence(base_exists=True, created=LONG_AGO)


@pytest.mark.parametrize(
    ("name", "evidence", "state", "why"),
    [
        ("_orders_gho", QUIET, LeftoverState.ABANDONED, "orders is there, and nothing has touched this for 40 days"),
        ("_orders_gho", Evidence(base_exists=True, created=LONG_AGO, written=JUST_NOW), LeftoverState.RUNNING, "last written 2 min ago"),
        ("_orders_ghc", Evidence(base_exists=True, changelog=JUST_NOW), LeftoverState.RUNNING, "changelog was written 2 min ago"),
        ("_orders_new", Evidence(base_exists=True, created=LONG_AGO, triggers=("pt_osc_shop_orders_ins",)), LeftoverState.RUNNING, "triggers"),
        ("_orders_gho", Evidence(base_exists=True, created=LONG_AGO, statements=2), LeftoverState.RUNNING, "2 running statements name it"),
        ("_orders_gho", Evidence(base_exists=True, created=LONG_AGO, statements=1), LeftoverState.RUNNING, "1 running statement names it"),
        ("_orders_gho", Evidence(base_exists=False, created=LONG_AGO), LeftoverState.UNCLEAR, "only copy"),
        ("_orders_gho", Evidence(base_exists=None, created=LONG_AGO), LeftoverState.UNCLEAR, "could not be seen"),
        ("_orders_gho", Evidence(base_exists=True, created=NOW - dt.timedelta(hours=3)), LeftoverState.UNCLEAR, "quiet for only 3 hours: "),
        ("_orders_gho", Evidence(base_exists=True, created=JUST_NOW, changelog=LONG_AGO), LeftoverState.ABANDONED, "40 days"),
        ("_orders_gho", Evidence(base_exists=True, written=NOW - dt.timedelta(hours=1), changelog=LONG_AGO), LeftoverState.UNCLEAR, "only 60 min"),
        ("lhma_2023_11_07_11_49_00_000_orders", Evidence(base_exists=True, created=dt.datetime(2020, 1, 1)), LeftoverState.ABANDONED, "816 days"),
        ("lhma_2023_11_07_11_49_00_000_orders", Evidence(base_exists=True, created=dt.datetime(2023, 11, 8)), LeftoverState.ABANDONED, "816 days"),
        ("lhma_2023_11_07_11_49_00_000_orders", Evidence(base_exists=True, created=JUST_NOW), LeftoverState.UNCLEAR, "created 816 days after"),
        ("orders_backup", QUIET, LeftoverState.UNCLEAR, "ask its owners"),
        ("#sql-ib1234", QUIET, LeftoverState.UNCLEAR, "removes it by itself"),
        ("_spirit_sentinel", Evidence(created=LONG_AGO), LeftoverState.ABANDONED, "nothing has touched this for 40 days"),
    ],
)  # fmt: skip
def test_evidence_decides_and_what_is_not_known_is_unclear(name, evidence, state, why):
    found = judged(suspect(name), evidence, NOW)
    assert found.state is state
    assert why in found.why


def test_what_was_not_looked_at_is_not_called_abandoned():
    found = judged(suspect("_orders_gho"), Known(base_exists=True, created=LONG_AGO, changelog=LONG_AGO), NOW)
    assert (found.state, found.why) == (LeftoverState.UNCLEAR, "the table itself was not looked at")


def test_without_any_time_nothing_is_called_abandoned():
    found = judged(suspect("_orders_gho", updated=""), Evidence(base_exists=True), NOW)
    assert (found.state, found.why) == (LeftoverState.UNCLEAR, "nothing says when it was last used")


@pytest.mark.parametrize(
    ("name", "age_days", "age_from"),
    [("_orders_20260121120000_del", 10, "name"), ("_orders_gho", 40, "created"), ("_orders_del", None, "")],
)
def test_the_age_is_the_names_or_of_its_creation_where_that_is_the_migrations(name, age_days, age_from):
    found = judged(suspect(name), QUIET, NOW)
    assert (found.age_seconds, found.age_from) == (None if age_days is None else age_days * 86_400, age_from)


def test_the_base_table_is_looked_for_in_the_same_schema():
    sizes = [table("_orders_gho"), table("orders", schema="web"), table("_users_gho"), table("users")]
    known = with_bases(suspects_among(sizes, KNOWN_PATTERNS), sizes)
    assert {key[1]: found.base_exists for key, found in known.items()} == {"_orders_gho": None, "_users_gho": True}


def test_a_team_adds_patterns_of_its_own_and_they_come_first():
    own = {"our tool": LeftoverSettings(pattern=r"_(?P<base>.+)_gho", what="a shadow", certain=True)}
    found = suspect_of(table("_orders_gho"), patterns_of(own))
    assert (found.pattern.tool, found.pattern.what, found.base) == ("our tool", "a shadow", "orders")
    with pytest.raises(ConfigurationError, match="leftovers.ours.pattern"):
        patterns_of({"ours": LeftoverSettings(pattern="(")})


def _statements(plan):
    return [line for line in plan.splitlines() if line and not line.startswith("--")]


def test_the_plan_holds_statements_for_what_is_abandoned_only():
    found = [
        judged(suspect("_orders_gho"), QUIET, NOW),
        judged(suspect("_users_gho"), Evidence(base_exists=True, written=JUST_NOW), NOW),
    ]
    plan = plan_of(found)
    assert not any("_users_gho" in line for line in _statements(plan))
    assert "RENAME TABLE `shop`.`_orders_gho` TO `shop`.`zz_drop__orders_gho`;" in plan
    assert plan.index("processlist") < plan.index("RENAME TABLE") < plan.index("DROP TABLE")
    assert "DELETE" not in plan


def test_a_large_table_is_emptied_in_pieces_before_it_is_dropped():
    plan = plan_of([judged(suspect("_orders_gho", data=DRAINED_FROM_BYTES), QUIET, NOW)])
    assert "LIMIT 5000;" in plan
    assert plan.index("RENAME TABLE") < plan.index("DELETE FROM") < plan.index("DROP TABLE")


def test_a_tool_that_works_by_triggers_has_them_looked_for_before_the_drop():
    plan = plan_of([judged(suspect("lhmn_orders"), QUIET, NOW)])
    assert plan.index("SHOW TRIGGERS FROM `shop` WHERE `Table` = 'orders';") < plan.index("RENAME TABLE")


def test_a_name_that_does_not_show_as_it_is_gets_no_statements():
    plan = plan_of([judged(suspect("_x\nDROP TABLE users; --_gho"), QUIET, NOW)])
    assert _statements(plan) == []
    assert "do not show" in plan


def test_no_name_of_a_table_leaves_its_quotes():
    plan = plan_of([judged(suspect("_a`'\\; DROP TABLE users_gho"), QUIET, NOW)])
    assert "RENAME TABLE `shop`.`_a``'\\; DROP TABLE users_gho` TO" in plan
    assert "INSTR(info, '_a`''\\\\; DROP TABLE users_gho')" in plan


def test_a_table_that_an_earlier_plan_put_aside_is_found_again_and_not_renamed_again():
    found = judged(suspect("zz_drop__orders_gho"), Evidence(created=LONG_AGO), NOW)
    assert found.state is LeftoverState.ABANDONED
    plan = plan_of([found])
    assert "RENAME" not in plan
    assert "DROP TABLE `shop`.`zz_drop__orders_gho`;" in plan
    assert "lock_wait_timeout" in plan
