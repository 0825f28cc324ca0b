"""A change on real servers that is looked at before it is made, and is held to the rows that were shown."""

import pytest

from safeconsole.errors import RefusedError, StoppedError
from safeconsole.sqltext.rewriting import preview_of
from tests.harness.desk import JUSTIFICATION, Shown, seated

CHANGE = "UPDATE orders SET status = CONCAT('seen-', id), total = total + 1 WHERE id BETWEEN 61 AND 64"


@pytest.fixture
def desk(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk", justification=None, to="primary") as desk:
        yield desk


def run(desk, text, **how):
    (statement,) = desk.session.split(text)
    return Shown().run(desk.session, statement, **how)


def of(desk, text, most_rows=20):
    (statement,) = desk.session.split(text)
    return preview_of(statement, desk.session._gate._engine.rules, schema="shop", most_rows=most_rows)


def test_the_rows_before_and_after_are_those_that_the_change_makes(desk):
    found = of(desk, CHANGE)
    before = run(desk, found.rows)
    assert run(desk, found.count).table == [(4,)]
    after = {row[0]: (row[-2], row[-1]) for row in before.table}
    assert sorted(after) == [61, 62, 63, 64]
    done = run(desk, CHANGE, justification=JUSTIFICATION, exactly_rows=4)
    assert done.ended.changed_rows == 4
    now = run(desk, "SELECT id, status, total FROM orders WHERE id BETWEEN 61 AND 64").table
    assert {row[0]: (row[1], row[2]) for row in now} == after


def test_rows_that_are_as_they_would_become_count_as_found(desk):
    same = "UPDATE orders SET status = status WHERE id BETWEEN 71 AND 74"
    done = run(desk, same, justification=JUSTIFICATION, exactly_rows=4)
    assert done.ended.outcome == "done"
    assert done.ended.changed_rows == 0


@pytest.mark.parametrize(
    "change",
    ["UPDATE orders SET status = 'never' WHERE id BETWEEN 81 AND 84", "DELETE FROM orders WHERE id BETWEEN 91 AND 94"],
)
def test_another_number_than_was_shown_is_rolled_back_and_said(desk, change):
    rows = f"SELECT * FROM orders WHERE {change.split(' WHERE ')[1]}"
    before = run(desk, rows).table
    with pytest.raises(StoppedError, match="rolled back on .*: it found 4 rows, and 3 were shown") as stopped:
        run(desk, change, justification=JUSTIFICATION, exactly_rows=3)
    assert stopped.value.ceiling == "exactly_rows"
    assert run(desk, rows).table == before
    assert not [record for record in desk.records("outcome") if record["outcome"] == "unknown"]


def test_inside_a_window_it_is_asked_about_with_the_number(desk):
    desk.session.elevate(reason="orders stand still")
    asked = []

    def answer_no(considered):
        asked.append(considered)
        return False

    desk.answering.confirm = answer_no
    with pytest.raises(RefusedError, match="exactly the 4 rows that were counted"):
        run(desk, CHANGE, exactly_rows=4)
    assert asked[0].decision.asks_again[-1].startswith("exactly the 4 rows")
    assert desk.session.is_elevated


def test_what_no_server_undoes_is_not_held_to_a_number(cluster, desk):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS shop.previewed_kept")
        cursor.execute("CREATE TABLE shop.previewed_kept (id INT PRIMARY KEY, n INT) ENGINE=MyISAM")
        cursor.execute("INSERT INTO shop.previewed_kept VALUES (1, 1), (2, 2)")
        try:
            with pytest.raises(RefusedError, match="cannot be held to 1 rows: MyISAM undoes nothing"):
                run(desk, "UPDATE previewed_kept SET n = 9", justification=JUSTIFICATION, exactly_rows=1)
            cursor.execute("SELECT SUM(n) FROM shop.previewed_kept")
            assert cursor.fetchone()[0] == 3
        finally:
            cursor.execute("DROP TABLE shop.previewed_kept")
