"""An elevation window on real servers: what it outlives, and what is asked about once more inside it."""

from contextlib import contextmanager
from uuid import uuid4

import pytest

from safeconsole.errors import RefusedError, SafeConsoleError, StoppedError
from tests.harness.desk import seated

MARK = "UPDATE orders SET status = 'window' WHERE id = 31"


@pytest.fixture
def desk(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk", justification=None) as desk:
        desk.session.elevate(reason="orders stand still")
        yield desk


def dba_on(cluster):
    return cluster.dba_connect(cluster.primary)


@contextmanager
def row_locked(cluster):
    with dba_on(cluster) as dba, dba.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE shop.orders SET status = status WHERE id = 31")
        yield
        cursor.execute("ROLLBACK")


def still_elevated(desk, cluster):
    """The window is there, nothing was said of its end, and a change runs in it."""
    assert desk.session.is_elevated
    desk.run(MARK)
    assert desk.session.take_told() == ()
    states = [record["event"] for record in desk.records("elevation")]
    assert states == ["asked", "self-approved"]


def test_a_lock_wait_leaves_the_window(cluster, desk):
    desk.session.tighten("lock_wait_seconds", 1)
    with row_locked(cluster):
        desk.error_of(MARK)
    still_elevated(desk, cluster)


def test_a_time_limit_leaves_the_window(cluster, desk):
    desk.session.tighten("run_seconds", 1)
    error = desk.error_of("UPDATE orders SET status = 'late' WHERE id = 31 AND SLEEP(20) = 0")
    assert isinstance(error, SafeConsoleError)
    desk.session.tighten("run_seconds", 20)
    still_elevated(desk, cluster)


def test_too_many_changed_rows_leave_the_window(cluster, desk):
    desk.session.tighten("changed_rows", 2)
    error = desk.error_of("UPDATE orders SET status = 'many' WHERE id BETWEEN 40 AND 49")
    assert isinstance(error, StoppedError)
    assert error.ceiling == "changed_rows"
    still_elevated(desk, cluster)


def test_a_connection_that_the_server_ended_leaves_the_window(cluster, desk):
    """As wait_timeout does; the next change goes over a new connection, proven like the first."""
    lock = f"window-{uuid4().hex}"
    desk.run(f"SELECT GET_LOCK('{lock}', 0)")
    with dba_on(cluster) as dba, dba.cursor() as cursor:
        cursor.execute(f"SELECT IS_USED_LOCK('{lock}')")
        (number,) = cursor.fetchone()
        cursor.execute(f"KILL {number}")
    desk.seconds_until(MARK)
    still_elevated(desk, cluster)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DELETE FROM order_items", "it looks at every row of shop.order_items"),
        ("UPDATE orders SET status = 'all' WHERE id > 0", "this changes about"),
        ("UPDATE orders SET status = 'all' WHERE customer_id + 0 = 7", "it looks at every row of shop.orders"),
        ("DROP TABLE order_items", "drop table of shop.order_items cannot be undone"),
        ("TRUNCATE TABLE order_items", "truncate table of shop.order_items cannot be undone"),
        ("ALTER TABLE orders ADD COLUMN x INT", "alter table of shop.orders cannot be undone"),
        ("GRANT SELECT ON shop.* TO console_read", "this changes what accounts may do"),
        ("UPDATE orders a JOIN order_items b ON b.order_id = a.id SET a.status = 'x' WHERE a.id = 3", "nobody knows how many"),
        ("UPDATE customers SET name = 'x' WHERE id = 1", "the window is for shop.orders, and this"),
    ],
)  # fmt: skip
def test_inside_a_window_what_hurts_is_asked_about_and_a_no_changes_nothing(cluster, desk, text, said):
    desk.run(MARK)
    with dba_on(cluster) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*), (SELECT COUNT(*) FROM shop.orders WHERE status = 'all') FROM shop.order_items")
        before = cursor.fetchone()
        asked = []

        def answer_no(considered):
            asked.append(considered)
            return False

        desk.answering.confirm = answer_no
        with pytest.raises(RefusedError, match="elevated, and asked once more") as refused:
            desk.run(text)
        assert said in "\n".join(refused.value.evidence)
        (considered,) = asked
        assert f"careful: {'; '.join(considered.decision.asks_again)}".split("; ")[0] in considered.evidence
        cursor.execute("SELECT COUNT(*), (SELECT COUNT(*) FROM shop.orders WHERE status = 'all') FROM shop.order_items")
        assert cursor.fetchone() == before
    # The next change of one row by its key is not asked about.
    desk.run(MARK)
    assert len(asked) == 1
