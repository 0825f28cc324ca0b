"""PEP 249 over the real road."""

import datetime as dt
import threading

import pytest
from pymysql import err

from safeconsole.python.tracebacks import failure_text
from safeconsole.errors import DeniedError, RefusedError, ServerError, StoppedError
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.cluster.engine import Column

from safeconsole.dialects import DIALECTS
from safeconsole.python.dbapi import dbapi_error_of
from safeconsole.python import database
from safeconsole.python import dbapi

STATUS = "SELECT status FROM orders WHERE id = 7"
UPDATE = "UPDATE orders SET status = %s WHERE id = %s"


def test_the_module_says_what_pep_249_asks_for():
    assert (database.apilevel, database.threadsafety, database.paramstyle) == ("2.0", 1, "pyformat")
    assert issubclass(database.DbApiConnection.IntegrityError, database.DbApiConnection.Error)


def test_a_cursor_reads(console):
    with console.db.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, status FROM orders WHERE id <= %s ORDER BY id", (3,))
        assert [column[0] for column in cursor.description] == ["id", "status"]
        assert cursor.rowcount == 3
        assert cursor.fetchone() == (1, "shipped")
        assert cursor.fetchmany(1) == [(2, "cancelled")]
        assert list(cursor) == [(3, "delivered")]
        assert cursor.fetchone() is None
        assert cursor.fetchall() == []


def test_a_closed_cursor_and_connection_say_so(console):
    connection = console.db.connect()
    cursor = connection.cursor()
    cursor.close()
    with pytest.raises(dbapi.InterfaceError):
        cursor.execute("SELECT 1")
    connection.close()
    with pytest.raises(dbapi.InterfaceError):
        connection.cursor()
    with pytest.raises(dbapi.ProgrammingError):
        console.db.connect().cursor().fetchone()


def test_a_write_outside_an_elevation_is_refused_with_the_way_to_elevate(console):
    before = console.db.sql("SELECT status FROM orders WHERE id = 1").scalar()
    with pytest.raises(RefusedError) as caught:
        console.db.connect().cursor().execute(UPDATE, ["x", 1])
    assert "with elevate(reason=" in failure_text(caught.value)
    assert caught.value.evidence
    console.db.use("primary")
    assert console.db.sql("SELECT status FROM orders WHERE id = 1").scalar() == before


def test_a_declined_elevation_runs_nothing(declining):
    with pytest.raises(RefusedError, match="not granted"), declining.elevate():
        pytest.fail("the block must not run")
    with pytest.raises(RefusedError):
        declining.db.sql(UPDATE, ["x", 1])


def test_an_elevated_write_stays_when_it_is_committed_and_goes_when_it_is_rolled_back(console):
    with console.elevate(ticket="T-1"):
        connection = console.db.connect()
        cursor = connection.cursor()
        assert cursor.execute(UPDATE, ["it's \\ held", 7]) == 1
        connection.commit()
        # Nothing is open: nothing is undone.
        connection.rollback()
        cursor.execute(UPDATE, ["gone", 7])
        assert console.db.sql(STATUS).scalar() == "gone"
        connection.rollback()
        assert (cursor.execute(STATUS), cursor.fetchall()) == (1, [("it's \\ held",)])
    with pytest.raises(RefusedError):
        console.db.sql(UPDATE, ["x", 7])
    kinds = [record["kind"] for record in console.records() if record["type"] == "asked"]
    assert kinds == ["begin", "update", "commit", "begin", "update", "select", "rollback", "select", "update"]


def test_with_autocommit_a_write_stays_and_a_rollback_says_that_it_came_too_late(console):
    with console.elevate():
        connection = console.db.connect()
        connection.autocommit(True)
        connection.cursor().execute(UPDATE, ["at once", 7])
        with pytest.raises(dbapi.NotSupportedError, match="cannot be rolled back"):
            connection.rollback()
        # It is said once.
        connection.rollback()
        connection.autocommit(False)
        assert not connection.get_autocommit()
        assert console.db.sql(STATUS).scalar() == "at once"


def test_what_is_open_when_the_elevation_ends_is_undone_and_said(console):
    with console.elevate():
        connection = console.db.connect()
        connection.cursor().execute(UPDATE, ["forgotten", 7])
    assert "was rolled back: the elevation ended" in console.messages.getvalue()
    with pytest.raises(DeniedError, match="rolled back"):
        connection.commit()
    console.db.use("primary")
    assert console.db.sql(STATUS).scalar() != "forgotten"


def test_a_connection_that_is_closed_undoes_what_it_left_open(console):
    with console.elevate(), console.db.connect() as connection:
        connection.cursor().execute(UPDATE, ["left", 7])
        connection.close()
        assert console.db.sql(STATUS).scalar() != "left"


def test_one_connection_does_not_change_rows_in_anothers_transaction(console):
    with console.elevate():
        first, second = console.db.connect(), console.db.connect()
        first.cursor().execute(UPDATE, ["first", 7])
        with pytest.raises(dbapi.NotSupportedError, match="another connection"):
            second.cursor().execute(UPDATE, ["second", 8])
        # Whose commit it is not ends nothing.
        second.commit()
        second.rollback()
        first.rollback()
        second.cursor().execute(UPDATE, ["second", 8])
        second.rollback()


def test_a_transaction_can_be_begun_and_ended_in_so_many_words(console):
    with console.elevate():
        console.db.sql("BEGIN")
        console.db.sql(UPDATE, ["words", 7])
        with pytest.raises(dbapi.NotSupportedError, match=r"db\.sql"):
            console.db.connect().cursor().execute(UPDATE, ["other", 8])
        console.db.sql("ROLLBACK")
        assert console.db.sql(STATUS).scalar() != "words"


def test_reads_begin_no_transaction(console):
    connection = console.db.connect()
    connection.cursor().execute("SELECT 1")
    connection.rollback()
    connection.commit()
    assert [record["kind"] for record in console.records() if record["type"] == "asked"] == ["select"]


def test_what_fails_leaves_the_transaction_to_the_person(console):
    with console.elevate():
        connection = console.db.connect()
        cursor = connection.cursor()
        cursor.execute(UPDATE, ["kept", 7])
        with pytest.raises(dbapi.OperationalError):
            cursor.execute("UPDATE orders SET nowhere = 1 WHERE id = 7")
        connection.commit()
        assert console.db.sql(STATUS).scalar() == "kept"


def test_an_insert_tells_its_number_and_what_was_sent_stands_in_the_journal(console):
    with console.elevate():
        cursor = console.db.connect().cursor()
        cursor.execute(
            "INSERT INTO orders (customer_id, status, total, created_at) VALUES (%s, %s, %s, %s)",
            [1, "new", 2, dt.datetime(2020, 1, 2)],
        )
        made = cursor.lastrowid
        assert console.db.sql("DELETE FROM orders WHERE id = %s", [made]).changed_rows == 1
    outcomes = [record for record in console.records() if record["type"] == "outcome"]
    assert made > 5_000
    assert made in [outcome["inserted_id"] for outcome in outcomes]


def test_parameters_reach_the_journal_by_its_rules(console):
    console.db.sql("SELECT %s", ["in the clear"])
    console.db.sql("SELECT 1 WHERE %s = %s", ["password", "pass_word='hunter2'"])
    asked = [record["sql"] for record in console.records() if record["type"] == "asked"]
    assert asked[0] == "SELECT 'in the clear'"
    assert "hunter2" not in asked[1]


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "", "-- nothing\n", "SELECT 1; DELETE FROM orders"])
def test_a_text_that_is_not_one_statement_is_not_run(console, text):
    with pytest.raises(dbapi.ProgrammingError, match="one statement at a time"):
        console.db.sql(text)


@pytest.mark.parametrize("text", ["BEGIN", "COMMIT", "ROLLBACK"])
def test_a_cursor_leaves_the_ends_of_transactions_to_its_connection(console, text):
    with pytest.raises(dbapi.NotSupportedError, match="own methods"):
        console.db.connect().cursor().execute(text)


@pytest.mark.parametrize("text", ["ROLLBACK", "SAVEPOINT a", "RELEASE a"])
def test_no_transaction_is_pretended(console, text):
    with pytest.raises(DeniedError, match="no transaction is open"):
        console.db.sql(text)


def test_a_server_error_is_a_drivers_and_a_refusal_is_not(console):
    with pytest.raises(dbapi.OperationalError) as caught:
        console.db.sql("SELECT nope FROM orders")
    assert caught.value.args[0] == 1
    assert not issubclass(RefusedError, dbapi.Error)
    with pytest.raises(DeniedError):
        console.db.use("replica")
        console.db.sql(UPDATE, ["x", 1])


def test_a_result_over_the_limit_is_an_error_and_never_a_short_answer(console):
    console.session.session.tighten("fetched_rows", 10)
    with pytest.raises(StoppedError) as caught:
        console.db.sql("SELECT id FROM orders")
    assert caught.value.ceiling == "fetched_rows"


def test_threads_take_turns_and_each_gets_its_own_rows(console):
    found = {}

    def work(number):
        found[number] = [console.db.sql("SELECT %s", [number * 100 + at]).scalar() for at in range(3)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number * 100 + at for at in range(3)] for number in range(4)}


def test_nothing_is_sent_while_the_console_waits_for_input(console):
    console.line._at_work = 0
    with pytest.raises(RefusedError, match="waits for input"):
        console.db.sql("SELECT 1")


def test_errors_are_sorted_as_the_driver_sorts_them():
    """Code that catches a driver's classes catches ours; what that driver leaves operational may be told better."""
    for code, theirs in err.error_map.items():
        assert dbapi_error_of(ServerError(code, "no"), DIALECTS[Flavour.MYSQL]).__class__.__name__ == theirs.__name__
