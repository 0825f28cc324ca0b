"""How many rows a change would look at, asked of real servers that must not change anything for it."""

import pytest

from tests.harness.desk import seated


@pytest.fixture
def desk(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk") as desk:
        yield desk


@pytest.mark.parametrize(
    ("change", "rows", "whole"),
    [
        ("UPDATE orders SET status = 'x'", (4_000, 6_000), 1),
        ("UPDATE orders SET status = 'x' WHERE id BETWEEN 10 AND 19", (5, 20), 0),
        ("DELETE FROM orders WHERE customer_id + 0 = 7", (4_000, 6_000), 1),
        ("DELETE FROM orders WHERE id = 7", (0, 2), 0),
        (
            "INSERT INTO orders SELECT id + 100000, customer_id, status, total, created_at FROM orders",
            (4_000, 6_000),
            1,
        ),
    ],
)
def test_a_change_is_shown_with_the_rows_it_would_look_at(desk, change, rows, whole):
    (statement,) = desk.session.split(change)
    estimate = desk.session.consider(statement).estimate
    assert estimate.asked
    assert rows[0] <= estimate.rows <= rows[1]
    assert len(estimate.full_scans) == whole


def test_asking_changes_nothing_and_runs_nothing(cluster, desk):
    """What a server would run while it plans: a function in a condition, a derived table."""
    before = desk.run("SELECT COUNT(*), SUM(total) FROM orders").table
    for change in (
        "UPDATE orders SET total = 0 WHERE SLEEP(5) = 0",
        "DELETE FROM orders WHERE id = (SELECT x FROM (SELECT SUM(a.id) x FROM orders a, orders b, orders c) y)",
    ):
        (statement,) = desk.session.split(change)
        considered = desk.session.consider(statement)
        assert considered.decision.verdict.word == "elevate"
    assert desk.run("SELECT COUNT(*), SUM(total) FROM orders").table == before
