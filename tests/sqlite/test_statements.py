"""What reads and changes may do on a file, and what becomes of them."""

import _thread
import signal
import sqlite3
import threading
import time

import pytest

from safeconsole.sqlite.link import HEAP_BYTES
from safeconsole.errors import OutcomeUnknownError, RefusedError, ServerError, StoppedError
from safeconsole.sqltext.vocabulary import Account, Effect, Route
from tests.sqlite.conftest import permit, statement

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def upto(rows):
    return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"


# Names


@pytest.mark.parametrize("name", ["orders", "shop.orders", "main.orders", '"shop"."orders"', "ORDERS"])
def test_tables_are_found_with_and_without_their_schema(talk, name):
    assert talk.rows(talk.open(), f"SELECT count(*) FROM {name}") == [(5000,)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM pragma_table_info('orders')",
        "SELECT value FROM json_each('[1, 2]')",
        "PRAGMA table_info(orders)",
        "PRAGMA page_count",
        "SELECT name FROM sqlite_schema",
        "EXPLAIN QUERY PLAN SELECT * FROM orders",
        "SELECT sum(pgsize) FROM dbstat",
        "VALUES (1), (2)",
        f"{upto(3)} SELECT * FROM n",
    ],
)
def test_reads_of_every_kind_run(talk, text):
    assert talk.rows(talk.open(), text)


# What a read may not do


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("UPDATE orders SET status = 'x'", "update orders"),
        ("INSERT INTO orders (id) VALUES (9)", "insert into orders"),
        ("DELETE FROM shop.orders", "delete from orders"),
        ("WITH x AS (SELECT 1) DELETE FROM orders RETURNING id", "delete from orders"),
        ("REPLACE INTO orders (id) VALUES (1)", "insert into orders"),
        ("CREATE TABLE x (y)", ""),
        ("CREATE TEMP TABLE x (y)", ""),
        ("CREATE TEMP VIEW x AS SELECT 1", ""),
        ("DROP TABLE orders", ""),
        ("ALTER TABLE orders RENAME TO o", ""),
        ("ATTACH ':memory:' AS other", "attaches another file"),
        ("DETACH shop", "detaches a schema"),
        ("ANALYZE", ""),
        ("REINDEX", ""),
        ("PRAGMA query_only = 0", "the console owns pragma query_only"),
        ("PRAGMA user_version = 5", "the console owns pragma user_version"),
        ("PRAGMA writable_schema = 1", "the console owns pragma writable_schema"),
        ("PRAGMA hard_heap_limit = 1", "the console owns pragma hard_heap_limit"),
        ("PRAGMA journal_mode = wal", "the console owns pragma journal_mode"),
        ("PRAGMA wal_checkpoint", "pragma wal_checkpoint is not one that only reads"),
        ("SELECT load_extension('x')", "calls load_extension"),
        ("UPDATE sqlite_schema SET sql = ''", ""),
    ],
)
@pytest.mark.parametrize("account", [Account.READ, Account.ELEVATED])
def test_a_read_cannot_change_anything_whatever_it_is_called(talk, text, why, account):
    connection = talk.open("primary", account)
    before = talk.paths["primary"].read_bytes()
    with pytest.raises(ServerError) as caught:
        talk.rows(connection, text)
    assert why in caught.value.server_message
    assert talk.paths["primary"].read_bytes() == before
    assert not connection.broken
    assert talk.rows(connection, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("account", [Account.READ, Account.ELEVATED])
def test_vacuum_into_writes_no_copy(talk, tmp_path, account):
    copy = tmp_path / "copy.db"
    with pytest.raises(ServerError):
        talk.rows(talk.open("primary", account), f"VACUUM INTO '{copy}'")
    assert not copy.exists()
    with pytest.raises(ServerError):
        talk.change(f"VACUUM INTO '{copy}'", Effect.ADMIN)
    assert not copy.exists()


def test_one_statement_at_a_time(talk):
    with pytest.raises(ServerError):
        talk.rows(talk.open(), "SELECT 1; SELECT 2")


@pytest.mark.parametrize("text", ["SELECT '\x00'", "SELECT '\ud800'", "SELECT \xa0", "", "   "])
def test_a_text_that_cannot_be_sent_is_an_error_and_no_more(talk, text):
    connection = talk.open()
    odd = statement("SELECT 1")
    odd = type(odd)(text=text, kind="select", effects=odd.effects, digest="d")
    try:
        assert talk.rows(connection, odd) in ([], [("\x00",)])
    except ServerError:
        pass
    assert talk.rows(connection, "SELECT 1") == [(1,)]


def test_the_elevated_account_reads_without_writing_and_then_writes(talk):
    connection = talk.elevated()
    assert talk.rows(connection, "SELECT count(*) FROM orders") == [(5000,)]
    assert talk.change("UPDATE orders SET status = 'x' WHERE id <= 3", connection=connection).changed_rows == 3
    with pytest.raises(ServerError):
        talk.rows(connection, "UPDATE orders SET status = 'y'")
    assert talk.rows(connection, "SELECT DISTINCT status FROM shop.orders WHERE id <= 3") == [("x",)]


def test_the_elevated_account_opens_a_replica_for_reading_only(talk):
    connection = talk.open("replica-1", Account.ELEVATED)
    assert connection.guards["mode"] == "read-only"
    with pytest.raises(ServerError):
        talk.change("UPDATE orders SET status = 'x'", connection=connection, route=Route.REPLICA)


# Changes


def test_changes_are_counted_and_kept(talk):
    assert talk.change("DELETE FROM orders WHERE id <= 10").changed_rows == 10
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM orders") == [(4990,)]


def test_schema_changes_are_kept(talk):
    talk.change("CREATE TABLE extra (id INTEGER PRIMARY KEY)", Effect.DDL)
    talk.change("ALTER TABLE extra ADD COLUMN note TEXT", Effect.DDL)
    talk.change("VACUUM", Effect.ADMIN)
    talk.change("PRAGMA user_version = 7", Effect.ADMIN)
    primary = talk.open("primary")
    assert talk.rows(primary, "SELECT count(*) FROM shop.extra") == [(0,)]
    assert talk.rows(primary, "PRAGMA user_version") == [(7,)]


def test_rows_may_be_returned_by_a_change(talk):
    connection = talk.elevated()
    answer = talk.send(connection, statement("DELETE FROM orders WHERE id < 3 RETURNING id", Effect.WRITE))
    assert [row for batch in answer.batches() for row in batch] == [(1,), (2,)]
    assert answer.finish().changed_rows == 2


def test_too_many_changed_rows_are_rolled_back(talk):
    with pytest.raises(StoppedError) as caught:
        talk.change("UPDATE orders SET status = 'x'", changed_rows=100)
    assert caught.value.ceiling == "changed_rows"
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM orders WHERE status = 'x'") == [(0,)]


def test_a_change_that_passes_its_deadline_leaves_nothing(talk):
    slow = f"INSERT INTO products (name, price, stock) {upto(50_000_000)} SELECT 'x', 1, 1 FROM n"
    connection = talk.elevated()
    with pytest.raises(StoppedError) as caught:
        talk.change(slow, connection=connection, run_seconds=0.3)
    assert caught.value.ceiling == "run_seconds"
    assert connection.broken
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM products") == [(200,)]


def test_a_failing_change_leaves_nothing(talk):
    connection = talk.elevated()
    with pytest.raises(ServerError):
        talk.change(
            "INSERT INTO products (id, name, price, stock) VALUES (900, 'x', 1, 1), (1, 'y', 1, 1)",
            connection=connection,
        )
    assert talk.rows(connection, "SELECT count(*) FROM products") == [(200,)]
    assert not connection.broken


def test_a_file_that_another_holds_is_waited_for_no_longer_than_allowed(talk):
    connection = talk.elevated()
    other = sqlite3.connect(talk.paths["primary"], isolation_level=None, timeout=5)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(ServerError, match="locked"):
        talk.change("UPDATE orders SET status = 'x'", connection=connection, lock_wait_seconds=1)
    assert 0.9 < time.monotonic() - started < 15
    other.execute("ROLLBACK")
    other.close()
    assert talk.change("UPDATE orders SET status = 'x' WHERE id = 1", connection=connection).changed_rows == 1


def test_a_change_in_the_persons_own_transaction_is_theirs_to_end(talk):
    connection = talk.elevated()
    begun = talk.change("BEGIN", Effect.SESSION, connection=connection)
    assert begun.in_transaction
    assert talk.change("UPDATE orders SET status = 'x'", connection=connection, within=True).in_transaction
    with pytest.raises(ServerError):
        talk.change("UPDATE nothing SET status = 'x'", connection=connection, within=True)
    assert not talk.change("ROLLBACK", Effect.SESSION, connection=connection, within=True).in_transaction
    assert talk.rows(connection, "SELECT count(*) FROM orders WHERE status = 'x'") == [(0,)]


# Limits


@pytest.mark.parametrize("seconds", [0.05, 0.4])
def test_the_deadline_holds_and_names_itself(talk, seconds):
    connection, started = talk.open(), time.monotonic()
    with pytest.raises(StoppedError) as caught:
        talk.rows(connection, ENDLESS, run_seconds=seconds)
    assert seconds <= time.monotonic() - started < seconds + 10
    assert (caught.value.by, caught.value.ceiling, caught.value.verified) == ("watchdog", "run_seconds", "killed")
    assert "replica-1" in caught.value.message


def test_the_deadline_holds_between_batches_too(talk):
    connection = talk.open()
    answer = talk.send(connection, "SELECT a.id FROM orders a, orders b LIMIT 100000", run_seconds=0.3)
    with pytest.raises(StoppedError) as caught:
        for _ in answer.batches():
            time.sleep(0.05)
    assert caught.value.ceiling == "run_seconds"


def test_memory_that_a_statement_gathers_is_seen_and_stops_it(talk):
    samples = []
    with pytest.raises(StoppedError) as caught:
        talk.rows(
            talk.open(),
            f"{upto(400_000_000)} SELECT length(group_concat(i)) FROM n",
            session_memory_bytes=4 * 1024 * 1024,
            watch=samples.append,
        )
    assert caught.value.ceiling == "session_memory_bytes"
    assert samples[-1].session_memory_bytes > 4 * 1024 * 1024
    assert samples[-1].instance_memory_bytes >= samples[-1].session_memory_bytes


def test_the_hard_limit_holds_where_no_sample_is_quick_enough(talk):
    connection = talk.open()
    text = "SELECT length(replace(hex(zeroblob(90000000)), '0', '00'))"
    with pytest.raises(StoppedError) as caught:
        talk.rows(connection, text, fetched_bytes=2**30, session_memory_bytes=2**40, grown_memory_bytes=2**40)
    assert (caught.value.ceiling, caught.value.by) == ("session_memory_bytes", "server")
    assert connection.broken
    assert int(talk.open().guards["hard_heap_limit"]) <= HEAP_BYTES


def test_one_value_is_no_larger_than_all_that_may_be_fetched(talk):
    with pytest.raises(StoppedError) as caught:
        talk.rows(talk.open(), "SELECT zeroblob(3000000)", fetched_bytes=2_000_000)
    assert caught.value.ceiling == "fetched_bytes"


def test_a_fault_of_the_watcher_ends_the_statement_and_comes_out(talk):
    class Fault(Exception):
        pass

    def watch(_sample):
        raise Fault

    connection = talk.open()
    with pytest.raises(Fault):
        talk.rows(connection, ENDLESS, run_seconds=5, watch=watch)
    assert connection.broken


def test_an_interrupt_stops_it_where_it_runs(talk):
    connection, started = talk.open(), time.monotonic()
    timer = threading.Timer(0.3, _thread.interrupt_main, [signal.SIGINT])
    timer.start()
    with pytest.raises(StoppedError) as caught:
        talk.rows(connection, ENDLESS, run_seconds=20)
    timer.join()
    assert (caught.value.by, caught.value.verified) == ("person", "killed")
    assert time.monotonic() - started < 15
    assert connection.broken


def test_an_interrupted_change_leaves_nothing(talk):
    connection = talk.elevated()
    timer = threading.Timer(0.3, _thread.interrupt_main, [signal.SIGINT])
    timer.start()
    with pytest.raises(StoppedError):
        talk.change(
            f"INSERT INTO products (name, price, stock) {upto(90_000_000)} SELECT 'x', 1, 1 FROM n",
            connection=connection,
        )
    timer.join()
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM products") == [(200,)]


# Rows


def test_values_keep_their_types_and_columns_are_described_by_them(talk):
    answer = talk.send(talk.open(), "SELECT 1 AS i, 1.5 AS r, 'x' AS t, x'00ff' AS b, NULL AS n")
    assert list(answer.batches()) == [[(1, 1.5, "x", b"\x00\xff", None)]]
    described = [(column.name, column.type_name, column.numeric, column.binary) for column in answer.columns]
    assert described == [
        ("i", "integer", True, False),
        ("r", "real", True, False),
        ("t", "text", False, False),
        ("b", "blob", False, True),
        ("n", "", False, False),
    ]


def test_bytes_that_are_no_text_are_shown_and_not_lost(talk):
    assert talk.rows(talk.open(), "SELECT CAST(x'41ff' AS TEXT)") == [("A\\xff",)]


def test_batches_stay_small_in_bytes_whatever_a_row_holds(talk):
    answer = talk.send(talk.open(), f"{upto(60)} SELECT zeroblob(400000) FROM n")
    sizes = [len(batch) for batch in answer.batches()]
    assert sum(sizes) == 60
    assert max(sizes[1:]) <= 3


def test_rows_that_were_not_all_read_end_the_connection(talk):
    connection = talk.open()
    answer = talk.send(connection, "SELECT id FROM orders")
    next(answer.batches())
    with pytest.raises(StoppedError) as caught:
        answer.finish()
    assert caught.value.by == "console"
    assert connection.broken


def test_a_statement_whose_rows_were_never_asked_for_is_not_done(talk):
    connection = talk.elevated()
    answer = talk.send(connection, statement("DELETE FROM orders RETURNING id", Effect.WRITE))
    with pytest.raises(StoppedError):
        answer.finish()
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM orders") == [(5000,)]


def test_a_stop_between_two_batches_is_certain(talk):
    connection = talk.open()
    batches = talk.send(connection, "SELECT id FROM orders").batches()
    next(batches)
    assert connection.stop() == "killed"
    assert connection.stop() == "already over"
    with pytest.raises(StoppedError) as caught:
        next(batches)
    assert caught.value.by == "person"


def test_nothing_is_sent_while_another_statement_runs(talk):
    connection = talk.open()
    batches = talk.send(connection, "SELECT id FROM orders").batches()
    next(batches)
    with pytest.raises(RefusedError):
        connection.send(permit(connection, "SELECT 1"))
    assert not connection.estimate(statement("SELECT 1")).asked


def test_an_unknown_end_is_said_to_be_unknown(talk):
    """A commit that fails for a reason other than a lock may have happened."""
    connection = talk.elevated()
    answer = talk.send(connection, statement("UPDATE orders SET status = 'x' WHERE id = 1", Effect.WRITE))
    list(answer.batches())
    connection._link.raw.close()
    with pytest.raises(OutcomeUnknownError):
        answer.finish()


def test_a_change_that_reads_its_own_file_by_its_other_name_changes_nothing(talk):
    """The file is open under two names, and SQLite locks each against the other."""
    connection = talk.elevated()
    with pytest.raises(ServerError, match="locked"):
        talk.change(
            "UPDATE shop.orders SET status = 'x' WHERE id IN (SELECT id FROM orders)",
            connection=connection,
            lock_wait_seconds=1,
        )
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM orders WHERE status = 'x'") == [(0,)]
    assert (
        talk.change(
            "UPDATE shop.orders SET status = 'x' WHERE id IN (SELECT id FROM shop.orders WHERE id < 4)"
        ).changed_rows
        == 3
    )


def test_a_commit_that_breaks_a_constraint_changes_nothing(talk):
    talk.change(
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES products (id) DEFERRABLE INITIALLY DEFERRED)",
        Effect.DDL,
    )
    connection = talk.elevated()
    connection._link.own("PRAGMA foreign_keys = 1")
    with pytest.raises(ServerError, match="FOREIGN KEY") as caught:
        talk.change("INSERT INTO child (parent) VALUES (999)", connection=connection)
    assert "nothing was changed" in caught.value.instead
    assert connection.broken
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM child") == [(0,)]


def test_a_stop_before_the_end_of_a_change_undoes_it(talk):
    connection = talk.elevated()
    answer = talk.send(connection, statement("UPDATE orders SET status = 'x'", Effect.WRITE))
    assert connection.stop() == "killed"
    with pytest.raises(StoppedError):
        list(answer.batches())
        answer.finish()
    assert talk.rows(talk.open("primary"), "SELECT count(*) FROM orders WHERE status = 'x'") == [(0,)]
