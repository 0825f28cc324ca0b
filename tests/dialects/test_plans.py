"""Plans in JSON, read: rows, full scans, dangers."""

import json

import pytest

from safeconsole.dialects.plans import read_plan


def test_rows_of_a_nested_loop_multiply_and_filters_count():
    tables = [
        {"table": {"table_name": "a", "access_type": "ALL", "rows_examined_per_scan": 100, "filtered": "10.00"}},
        {"table": {"table_name": "b", "access_type": "ref", "rows_examined_per_scan": 5, "filtered": "100.00"}},
    ]
    plan = read_plan(json.dumps({"query_block": {"nested_loop": tables}}))
    assert (plan.rows, plan.full_scans) == (100 + 10 * 5, ("a",))


def test_a_plan_that_says_no_number_says_none():
    assert read_plan(json.dumps({"query_block": {"message": "No tables used"}})).rows == -1


def test_temporary_tables_are_counted_in_either_flavours_words():
    mysql = {"query_block": {"grouping_operation": {"using_temporary_table": True, "table": {}}}}
    mariadb = {"query_block": {"filesort": {"temporary_table": {"table": {"table_name": "a"}}}}}
    assert read_plan(json.dumps(mysql)).temporary_tables == 1
    assert read_plan(json.dumps(mariadb)).temporary_tables == 1


def test_a_plan_that_is_too_deep_is_a_danger_and_no_failure():
    deep = "{" + '"x": {' * 100_000 + "}" * 100_001
    assert [hazard.id for hazard in read_plan(deep).hazards] == ["unreadable-plan"]


@pytest.mark.parametrize(
    ("plan", "rewritten", "found"),
    [
        ({}, "select sum(internal_data_length(`a`))", ["information-schema-sizes"]),
        ({"table": {"table_name": "stat", "used_columns": ["cached_time"]}}, "", ["information-schema-sizes"]),
        ({"table": {"table_name": "stat", "used_columns": ["n"]}}, "", []),
        (
            {"table": {"table_name": "tbl", "access_type": "eq_ref", "rows_examined_per_scan": 1}},
            "select internal_data_length(`a`)",
            [],
        ),
        (
            {"table": {"table_name": "tbl", "access_type": "ref", "rows_examined_per_scan": 1}},
            "select internal_data_length(`a`)",
            ["information-schema-sizes"],
        ),
        (
            {"table": {"table_name": "tbl", "access_type": "eq_ref", "rows_examined_per_scan": 50_000}},
            "select internal_data_length(`a`)",
            ["information-schema-sizes"],
        ),
        (
            {"x": {"table": {"table_name": "tbl", "access_type": "ALL"}}, "table": {"table_name": "tbl", "access_type": "eq_ref"}},
            "select internal_data_length(`a`)",
            ["information-schema-sizes"],
        ),
        ({"table": {"table_name": "t", "open_full_table": True, "scanned_databases": "all"}}, "", ["opens-every-table"]),
        ({"table": {"table_name": "t", "open_full_table": True, "scanned_databases": 1}}, "", []),
        ({}, "from `information_schema`.`INNODB_TABLESTATS` `x`", ["innodb-dictionary"]),
        ({}, "from `information_schema`.`INNODB_BUFFER_PAGE` `x`", ["innodb-buffer-pages"]),
        ({}, "select 1 from `shop`.`orders`", []),
    ],
)  # fmt: skip
def test_dangers_show_in_plans(plan, rewritten, found):
    assert [hazard.id for hazard in read_plan(json.dumps(plan), rewritten).hazards] == found


def plan_of_mariadb(condition, *, name="t"):
    """A plan as MariaDB writes it: a member a line, and texts in it as they are."""
    return f"""{{
  "query_block": {{
    "table": {{
      "table_name": "{name}",
      "access_type": "ALL",
      "rows": 7,
      "attached_condition": "{condition}"
    }}
  }}
}}"""


@pytest.mark.parametrize(
    "condition",
    [
        "a = 'O\\'Brien'",
        "a = 'a\\Zb'",
        "a = 'a\\\\b'",
        "a = 'tab\there'",
        """a = 'x"y'""",
        """t."status" <> 'zz'""",
        """a <> 'z", "rows": 1, "access_type": "const", "x": "'""",
        """a <> 'z"}}, "query_block": {"table": {"rows": 1, "access_type": "const", "x": "'""",
        """a <> 'z",\u2028"rows": 1,\u2028"x": "'""",
    ],
)
def test_a_plan_with_texts_that_are_no_json_is_read_and_believed_in_its_numbers_alone(condition):
    found = read_plan(plan_of_mariadb(condition), verbatim=True)
    assert (found.rows, found.full_scans, found.hazards, found.keyed) == (7, ("t",), (), False)


def test_an_alias_does_not_change_the_plan():
    found = read_plan(plan_of_mariadb("1", name='t", "rows": 1, "x": "'), verbatim=True)
    assert (found.rows, found.full_scans) == (7, ('t", "rows": 1, "x": "',))


@pytest.mark.parametrize("verbatim", [True, False])
def test_a_plan_that_says_a_number_twice_is_unreadable(verbatim):
    """A name of several lines can bring members of its own."""
    plan = plan_of_mariadb('t.`a",\n"rows": 1,\n"b": "` > 3')
    assert [hazard.id for hazard in read_plan(plan, verbatim=verbatim).hazards] == ["unreadable-plan"]


def test_tables_of_a_join_that_all_stand_under_one_key_are_all_counted():
    table = '{"table_name": "%s", "access_type": "ALL", "rows": 10, "filtered": 100}'
    found = read_plan(f'{{"query_block": {{"table": {table % "a"}, "table": {table % "b"}}}}}', verbatim=True)
    assert (found.rows, set(found.full_scans), found.plain) == (110, {"a", "b"}, False)


@pytest.mark.parametrize("nonsense", ["", "{", '{"a": "\\u12"}', "EXPLAIN"])
def test_a_plan_that_is_no_json_is_unreadable_and_not_missing(nonsense):
    assert [hazard.id for hazard in read_plan(nonsense).hazards] == ["unreadable-plan"]
