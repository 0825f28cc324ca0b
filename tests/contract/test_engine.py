"""What every engine keeps, whatever it talks to."""

import threading
import time

import pytest

from safeconsole.policy.decision import Permit
from safeconsole.errors import NotSentError, RefusedError, SafeConsoleError, ServerError, StoppedError
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Role, Route
from tests.harness.talking import SOON_SECONDS


@pytest.fixture
def opened(subject):
    """A function that opens a connection of the subject and closes it after the test."""
    connections = []

    def open_one(*, primary=False, account=Account.READ):
        node = subject.primary if primary else subject.replica
        connections.append(subject.engine.connect(node, account, schema=subject.schema))
        return connections[-1]

    yield open_one
    for connection in connections:
        connection.close()


def permit(connection, statement, *, primary=False, account=Account.READ, identity=None, within=False, **limits):
    return Permit(
        statement=statement,
        node=NodeName("any"),
        identity=identity or connection.identity,
        route=Route.PRIMARY if primary else Route.REPLICA,
        account=account,
        limits=Limits(**limits),
        read_only=statement.effects <= {Effect.READ, Effect.SESSION},
        rules=(),
        within=within,
        idle_seconds=30.0 if statement.kind == "begin" else 0.0,
    )


def rows_of(connection, permitted):
    answer = connection.send(permitted)
    rows = [row for batch in answer.batches() for row in batch]
    answer.finish()
    return rows


def test_every_node_is_measured_and_proves_its_role(subject):
    readings = {reading.node: reading for reading in subject.engine.topology()}
    assert readings[subject.primary].role is Role.PRIMARY
    replica = readings[subject.replica]
    assert (replica.role, replica.replicating, replica.unreachable) == (Role.REPLICA, True, "")
    assert replica.lag_seconds is not None
    assert all(reading.proof and reading.identity and reading.version for reading in readings.values())
    assert len({reading.identity.server for reading in readings.values()}) == len(readings)


def test_a_connection_is_the_instance_that_was_measured(subject, opened):
    readings = {reading.node: reading for reading in subject.engine.topology()}
    connection = opened()
    assert connection.identity.server == readings[subject.replica].identity.server
    assert connection.prove().role is Role.REPLICA
    assert connection.rules.dialect.flavour is subject.engine.flavour
    assert connection.guards
    assert not connection.broken


def test_rows_come_with_their_columns(subject, opened):
    connection = opened()
    answer = connection.send(permit(connection, subject.read))
    assert [column.name for column in answer.columns] == ["id"]
    assert [row for batch in answer.batches() for row in batch] == [(1,), (2,), (3,)]
    completion = answer.finish()
    assert (completion.changed_rows, completion.in_transaction) == (0, False)


def test_text_is_asked_for_and_is_what_it_would_be_as_text(subject, opened):
    connection = opened()
    answer = connection.send(permit(connection, subject.read), as_text=True)
    assert [tuple(map(str, row)) for batch in answer.batches() for row in batch] == [("1",), ("2",), ("3",)]
    answer.finish()


def test_a_connection_serves_many_statements(subject, opened):
    connection = opened()
    for _ in range(20):
        assert rows_of(connection, permit(connection, subject.read)) == [(1,), (2,), (3,)]


def test_rows_stream_in_batches_of_a_few_thousand(subject, opened):
    connection = opened()
    answer = connection.send(permit(connection, subject.long_read))
    sizes = [len(batch) for batch in answer.batches()]
    answer.finish()
    assert sum(sizes) >= 20_000
    assert 0 < max(sizes) <= 5_000


def test_an_error_of_the_servers_own_leaves_the_connection_whole(subject, opened):
    connection = opened()
    with pytest.raises(ServerError) as caught:
        rows_of(connection, permit(connection, subject.wrong))
    assert caught.value.server_message
    assert not connection.broken
    assert rows_of(connection, permit(connection, subject.read)) == [(1,), (2,), (3,)]


def test_a_read_that_passes_its_deadline_is_stopped(subject, opened):
    connection = opened()
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        rows_of(connection, permit(connection, subject.slow, run_seconds=0.5))
    assert 0.5 <= time.monotonic() - started < SOON_SECONDS
    assert caught.value.ceiling == "run_seconds"
    assert caught.value.verified in ("killed", "already over")
    assert connection.broken


def test_a_stop_ends_what_runs(subject, opened):
    connection = opened()
    said = []
    stopper = threading.Timer(0.3, lambda: said.append(connection.stop()))
    stopper.start()
    started = time.monotonic()
    with pytest.raises(SafeConsoleError):
        rows_of(connection, permit(connection, subject.slow))
    stopper.join()
    assert time.monotonic() - started < SOON_SECONDS
    assert said == ["killed"] or said == ["already over"]
    assert connection.broken


def test_a_read_that_is_left_in_the_middle_breaks_its_connection(subject, opened):
    connection = opened()
    batches = connection.send(permit(connection, subject.long_read)).batches()
    assert next(iter(batches))
    assert connection.stop() in ("killed", "already over")
    assert connection.broken
    with pytest.raises(NotSentError):
        connection.send(permit(connection, subject.read))


def test_a_stop_with_nothing_running_says_so(opened):
    connection = opened()
    assert connection.stop() == "already over"


def test_a_write_needs_the_elevated_account_on_the_primary(subject, opened):
    connection = opened(primary=True, account=Account.ELEVATED)
    for wanted, what in (("contract", subject.write), (None, subject.undo)):
        answer = connection.send(permit(connection, what, primary=True, account=Account.ELEVATED))
        assert list(answer.batches()) == []
        assert answer.finish().changed_rows == 1
        found = rows_of(opened(primary=True), permit(opened(primary=True), subject.written, primary=True))
        assert wanted is None or found == [(wanted,)]


def test_a_replica_is_waited_for_until_it_has_what_was_written(subject, opened):
    writing = opened(primary=True, account=Account.ELEVATED)

    def write(what):
        answer = writing.send(permit(writing, what, primary=True, account=Account.ELEVATED))
        list(answer.batches())
        answer.finish()

    write(subject.write)
    try:
        position = subject.engine.position(subject.primary)
        assert position
        until = time.monotonic() + 20
        while not subject.engine.has_reached(subject.replica, position, within_seconds=1.0):
            assert time.monotonic() < until
        reading = opened()
        assert rows_of(reading, permit(reading, subject.written)) == [("contract",)]
    finally:
        write(subject.undo)


def test_a_node_that_is_not_there_has_no_position_and_reaches_none(subject):
    position = subject.engine.position(subject.primary)
    assert subject.engine.position(NodeName("nowhere")) == ""
    assert not subject.engine.has_reached(NodeName("nowhere"), position, within_seconds=0.01)


def test_a_write_that_is_called_a_read_changes_nothing(subject, opened):
    before = rows_of(opened(primary=True), permit(opened(primary=True), subject.written, primary=True))
    disguised = type(subject.write)(
        text=subject.write.text, kind="select", effects=frozenset({Effect.READ}), digest="digest"
    )
    connection = opened(primary=True)
    with pytest.raises(SafeConsoleError):
        rows_of(connection, permit(connection, disguised, primary=True))
    assert rows_of(opened(primary=True), permit(opened(primary=True), subject.written, primary=True)) == before


def test_an_elevated_permit_for_a_role_that_is_not_held_sends_nothing(subject, opened):
    connection = opened(account=Account.ELEVATED)
    with pytest.raises(RefusedError):
        connection.send(permit(connection, subject.write, primary=True, account=Account.ELEVATED))


def test_a_permit_for_another_server_sends_nothing(subject, opened):
    connection = opened()
    other = Identity(server="another", address=connection.identity.address)
    with pytest.raises(RefusedError):
        connection.send(permit(connection, subject.read, identity=other))


def test_a_permit_for_another_account_sends_nothing(subject, opened):
    connection = opened(primary=True)
    with pytest.raises(RefusedError):
        connection.send(permit(connection, subject.write, primary=True, account=Account.ELEVATED))


def test_an_estimate_runs_nothing_and_raises_nothing(subject, opened):
    connection = opened()
    assert connection.estimate(subject.read).objection == ""
    assert connection.estimate(subject.wrong).objection
    started = time.monotonic()
    connection.estimate(subject.slow)
    assert time.monotonic() - started < SOON_SECONDS
    assert rows_of(connection, permit(connection, subject.read)) == [(1,), (2,), (3,)]


# Transactions over several statements.

BEGIN = Statement(text="BEGIN", kind="begin", effects=frozenset({Effect.SESSION}), digest="b")
COMMIT = Statement(text="COMMIT", kind="commit", effects=frozenset({Effect.SESSION}), digest="c")
ROLLBACK = Statement(text="ROLLBACK", kind="rollback", effects=frozenset({Effect.SESSION}), digest="r")


@pytest.fixture
def writing(opened):
    """A function that runs a statement on one elevated connection of the primary."""
    connection = opened(primary=True, account=Account.ELEVATED)

    def run(statement, *, within=True, **limits):
        answer = connection.send(
            permit(connection, statement, primary=True, account=Account.ELEVATED, within=within, **limits)
        )
        list(answer.batches())
        return answer.finish()

    run.connection = connection
    return run


@pytest.fixture
def status_now(subject, opened):
    """A function that reads the status of order 1 on the primary, over a connection of its own."""

    def read():
        connection = opened(primary=True)
        return rows_of(connection, permit(connection, subject.written, primary=True))[0][0]

    return read


@pytest.mark.parametrize(("end", "stays"), [(COMMIT, True), (ROLLBACK, False), (None, False)])
def test_a_change_in_a_transaction_stays_when_it_is_committed_and_only_then(subject, writing, status_now, end, stays):
    before = status_now()
    assert writing(BEGIN, within=False).in_transaction
    assert writing.connection.in_transaction
    completion = writing(subject.write)
    assert (completion.in_transaction, completion.changed_rows) == (True, 1)
    assert status_now() == before
    if end is None:
        writing.connection.close()
    else:
        assert not writing(end).in_transaction
    assert not writing.connection.in_transaction
    assert status_now() == ("contract" if stays else before)
    if stays:
        writing(subject.undo, within=False)


def test_an_error_of_the_servers_own_leaves_a_transaction_open(subject, writing, status_now):
    before = status_now()
    writing(BEGIN, within=False)
    writing(subject.write)
    with pytest.raises(ServerError):
        writing(subject.wrong)
    assert writing.connection.in_transaction
    writing(ROLLBACK)
    assert status_now() == before


def test_what_belongs_to_a_transaction_is_not_sent_without_it(subject, writing, status_now):
    """It would be committed by itself."""
    before = status_now()
    with pytest.raises(NotSentError):
        writing(subject.write)
    assert status_now() == before


def test_what_belongs_to_none_is_not_sent_into_one(subject, writing):
    """It would wait for somebody's COMMIT."""
    writing(BEGIN, within=False)
    with pytest.raises(NotSentError):
        writing(subject.write, within=False)


def test_too_many_rows_take_the_whole_transaction_along(subject, writing, status_now):
    before = status_now()
    writing(BEGIN, within=False)
    with pytest.raises(StoppedError) as caught:
        writing(subject.write, changed_rows=0)
    assert caught.value.ceiling == "changed_rows"
    assert writing.connection.broken
    writing.connection.close()
    assert status_now() == before


def test_a_connection_serves_after_its_transaction(subject, writing):
    for _ in range(2):
        writing(BEGIN, within=False)
        writing(ROLLBACK)
    assert not writing.connection.broken
    writing(subject.write, within=False)
    writing(subject.undo, within=False)


def test_closing_twice_is_quiet(subject):
    connection = subject.engine.connect(subject.replica, Account.READ)
    connection.close()
    connection.close()
    assert connection.broken


def test_watching_reports_samples_of_a_statement_that_lasts(subject, opened):
    connection = opened()
    samples = []
    with pytest.raises(StoppedError):
        answer = connection.send(permit(connection, subject.slow, run_seconds=1.0), watch=samples.append)
        list(answer.batches())
    assert samples
    assert all(0 < sample.elapsed_seconds < SOON_SECONDS for sample in samples)


SLOTS = ("safeconsole.contract.1", "safeconsole.contract.2")


def test_a_slot_is_held_by_one_connection_at_a_time(opened):
    first, second, third = opened(), opened(), opened()
    if not first.has_slots:
        with pytest.raises(RefusedError):
            first.take_slot(SLOTS, within_seconds=0)
        first.free_slot()
        return
    taken = {connection.take_slot(SLOTS, within_seconds=0) for connection in (first, second)}
    assert taken == set(SLOTS)
    started = time.monotonic()
    assert third.take_slot(SLOTS, within_seconds=0.5) == ""
    assert 0.4 <= time.monotonic() - started < SOON_SECONDS
    assert not any("nobody" in line for line in third.slot_holders(SLOTS))
    first.free_slot()
    assert third.take_slot(SLOTS, within_seconds=0) == SLOTS[0]


def test_the_end_of_a_connection_frees_its_slot(opened):
    first, second = opened(), opened()
    if not first.has_slots:
        pytest.skip("it has none")
    # A connection of the test before may still be ending.
    assert first.take_slot(SLOTS[:1], within_seconds=3) == SLOTS[0]
    assert second.take_slot(SLOTS[:1], within_seconds=0) == ""
    first.close()
    assert second.take_slot(SLOTS[:1], within_seconds=3) == SLOTS[0]


def test_a_statement_runs_under_its_slot_and_leaves_it(subject, opened):
    connection = opened()
    if not connection.has_slots:
        pytest.skip("it has none")
    connection.take_slot(SLOTS, within_seconds=0)
    assert rows_of(connection, permit(connection, subject.read)) == [(1,), (2,), (3,)]
    assert "nobody" not in connection.slot_holders(SLOTS)[0]
    connection.free_slot()
    connection.free_slot()
    assert all("nobody" in line or "has none" in line for line in connection.slot_holders(SLOTS))
