import json

import pytest

from safeconsole.console.plans import plan_text, steps_from_json, steps_from_rows

MYSQL = {
    "query_block": {
        "select_id": 1,
        "cost_info": {"query_cost": "612.45"},
        "ordering_operation": {
            "using_filesort": True,
            "nested_loop": [
                {
                    "table": {
                        "table_name": "o", "access_type": "ALL", "rows_examined_per_scan": 250000, "filtered": "10.00",
                        "cost_info": {"prefix_cost": "500.25"},
                    }
                },
                {"table": {"table_name": "c", "access_type": "eq_ref", "key": "PRIMARY", "rows_examined_per_scan": 1, "filtered": "100.00"}},
            ],
        },
    }
}  # fmt: skip
MYSQL_SECOND = {
    "query": "/* select#1 */ select …",
    "query_plan": {
        "operation": "Sort: o.total DESC",
        "estimated_rows": 5000.0,
        "estimated_total_cost": 512.5,
        "inputs": [
            {"operation": "Table scan on o", "estimated_rows": 5000.0, "estimated_total_cost": 12.25, "table_name": "o"}
        ],
    },
    "json_schema_version": "2.0",
}
MARIADB = {
    "query_block": {
        "select_id": 1,
        "cost": 0.9,
        "filesort": {
            "sort_key": "o.total",
            "temporary_table": {
                "nested_loop": [
                    {"table": {"table_name": "o", "access_type": "index", "key": "a", "rows": 5000, "filtered": 100, "cost": 0.8}},
                    {"table": {"table_name": "<subquery2>", "access_type": "ref", "rows": 1, "materialized": {"query_block": {"nested_loop": [{"table": {"table_name": "i\x1b[2J", "access_type": "ALL", "rows": 3}}]}}}},
                ]
            },
        },
    }
}  # fmt: skip


@pytest.mark.parametrize(("name", "plan"), [("mysql", MYSQL), ("mysql-second", MYSQL_SECOND), ("mariadb", MARIADB)])
def test_a_plan_reads_as_its_golden_text(name, plan, golden):
    golden(f"plan.{name}.txt", plan_text(steps_from_json(json.dumps(plan)), decorated=False))


def test_sqlite_steps_are_nested_by_their_parents(golden):
    rows = [
        (4, 0, 0, "SCAN o"),
        (9, 0, 0, "SEARCH c USING INTEGER PRIMARY KEY (rowid=?)"),
        (12, 0, 0, "CORRELATED SCALAR SUBQUERY 1"),
        (15, 12, 0, "SEARCH i USING INDEX x (a=?)"),
        (20, 0, 0, "USE TEMP B-TREE FOR ORDER BY"),
    ]
    golden("plan.sqlite.txt", plan_text(steps_from_rows(rows), decorated=False))


def test_a_name_in_a_plan_cannot_drive_the_terminal():
    text = plan_text(steps_from_json(json.dumps(MARIADB)), decorated=True)
    assert "\x1b[2J" not in text
    assert "i\\x1b[2J" in text


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "3"])
def test_what_is_no_plan_is_an_error(text):
    with pytest.raises(ValueError, match=r".*"):
        steps_from_json(text)


def test_a_step_that_is_its_own_parent_does_not_loop():
    assert steps_from_rows([(0, 0, 0, "SCAN t")]) == ()
