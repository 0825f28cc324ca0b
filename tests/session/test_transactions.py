"""BEGIN, COMMIT and ROLLBACK typed by a person do what they say, or say why not."""

from msgspec.structs import replace

import pytest

from safeconsole.errors import (
    AuditUnavailableError,
    DeniedError,
    NoFitNodeError,
    OutcomeUnknownError,
    RefusedError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.session.transactions import TransactionState
from tests.harness.fakes import FakeSecond, Planned, fail_over
from tests.session.conftest import ASKED, CLOSED, HELD, OTHER_WRITE, JUSTIFICATION, READ, WRITE, policy_of


def test_reads_of_a_transaction_stay_on_its_connection(walk):
    road = walk()
    for text in ("BEGIN", READ, READ, "SAVEPOINT a", "ROLLBACK TO a", "COMMIT"):
        road.run(text)
    assert {node for _, node, _ in road.sent()} == {"replica-1"}
    assert len(road.engine.connections) == 1


def test_a_transaction_keeps_its_node_when_another_becomes_fitter(walk):
    road = walk()
    road.run("BEGIN")
    road.engine.node("replica-2").tags = frozenset({"console"})
    road.clock.seconds += 6
    road.run(READ)
    assert road.sent()[-1][1] == "replica-1"
    road.run("COMMIT")
    road.run(READ)
    assert road.sent()[-1][1] == "replica-2"


def test_a_grant_of_one_statement_covers_no_transaction(walk):
    """Each such statement is committed when it is over: a ROLLBACK after it would undo nothing."""
    road = walk(justification=JUSTIFICATION)
    with pytest.raises(DeniedError, match="one statement does not cover a transaction") as caught:
        road.run("BEGIN")
    assert "break-glass window" in caught.value.instead
    assert road.sent() == []
    road.run("START TRANSACTION READ ONLY")
    assert road.sent() == [("START TRANSACTION READ ONLY", "replica-1", "read")]


@pytest.mark.parametrize("text", [WRITE, HELD])
def test_nothing_elevated_runs_beside_an_open_transaction(walk, text):
    road = walk()
    road.run("START TRANSACTION")
    road.elevate()
    with pytest.raises(DeniedError, match="a transaction is open on replica-1, and this would run outside it"):
        road.run(text)
    assert len(road.sent()) == 1
    road.run("COMMIT")
    assert road.run(text).outcome == "done"


def test_nobody_is_asked_about_what_would_be_refused_then(walk):
    road = walk(justification=JUSTIFICATION)
    road.run("SELECT 1")
    road.run("START TRANSACTION READ ONLY")
    with pytest.raises(DeniedError):
        road.run(WRITE)
    assert "elevate" not in [event[0] for event in road.events]


@pytest.mark.parametrize("text", ["ROLLBACK", "SAVEPOINT a", "RELEASE SAVEPOINT a"])
def test_what_needs_a_transaction_is_refused_without_one(walk, text):
    road = walk()
    road.elevate()
    road.run(WRITE)
    with pytest.raises(DeniedError, match="no transaction is open"):
        road.run(text)
    assert len(road.sent()) == 1


def test_a_commit_without_a_transaction_promises_nothing_untrue(walk):
    assert walk().run("COMMIT").outcome == "done"


def test_a_read_that_is_sent_elsewhere_is_not_part_of_it(walk):
    road = walk()
    road.run("BEGIN")
    road.gate.use("primary")
    with pytest.raises(DeniedError, match="on primary"):
        road.run(READ)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("change", ["role", "gone"])
def test_a_transaction_on_a_node_that_is_no_longer_fit_can_be_left(walk, end, change):
    road = walk()
    road.run("BEGIN")
    node = road.engine.node("replica-1")
    if change == "role":
        node.role = road.engine.node("primary").role
    else:
        node.unreachable = "no route"
    road.clock.seconds += 6
    with pytest.raises(DeniedError, match="outside it, on replica-2"):
        road.run(READ)
    with pytest.raises(DeniedError, match="its connection was closed"):
        road.run(end)
    road.run(READ)
    assert road.sent()[-1][1] == "replica-2"
    assert ("replica-1", "read") not in road.open_connections()


def test_a_denial_is_told_before_the_transaction(walk):
    road = walk()
    road.run("BEGIN")
    with pytest.raises(DeniedError, match="this is closed"):
        road.run("SELECT id FROM closed")


def test_without_a_fit_node_that_is_what_is_told(walk):
    road = walk()
    road.run("BEGIN")
    for node in ("replica-1", "replica-2"):
        road.engine.node(node).unreachable = "no route"
    road.clock.seconds += 6
    with pytest.raises(NoFitNodeError):
        road.run(READ)


def test_a_transaction_ends_with_its_connection(walk):
    road = walk()
    road.run("BEGIN")
    road.engine.connections[0].broken = True
    with pytest.raises(DeniedError, match="no transaction is open"):
        road.run("ROLLBACK")


def test_an_observing_policy_knows_transactions_too(walk):
    road = walk(policy=policy_of(mode="observe"))
    road.run("BEGIN")
    with pytest.raises(DeniedError, match="outside it, on primary"):
        road.run(WRITE)


def test_a_refused_transaction_is_recorded(walk):
    road = walk()
    with pytest.raises(RefusedError):
        road.run("ROLLBACK")
    assert road.records("outcome")[0].message.startswith("no transaction is open")


# Transactions of changes.


@pytest.fixture
def writing(walk):
    """A session with an elevated transaction open, in which two rows were changed; `done` holds what was kept."""

    def begun(begin="BEGIN", **how):
        road = walk(**how)
        road.done = []
        road.engine.answers[WRITE] = Planned(changed=2, columns=(), effect=lambda: road.done.append("write"))
        road.elevate()
        road.run(begin)
        road.run(WRITE)
        return road

    return begun


def elevated(*texts):
    return [(text, "primary", "elevated") for text in texts]


def state_of(road):
    return [record.what for record in road.records("notice") if record.what.startswith("transaction")]


@pytest.mark.parametrize("begin", ["BEGIN", "START TRANSACTION"])
def test_changes_and_reads_run_on_one_elevated_connection_and_the_end_is_the_persons(writing, begin):
    road = writing(begin)
    road.run(READ)
    assert road.done == []
    road.run("COMMIT")
    assert road.sent() == elevated(begin, WRITE, READ, "COMMIT")
    assert road.done == ["write"]
    assert len([each for each in road.engine.connections if each.account == "elevated"]) == 1
    assert state_of(road) == ["transaction committed"]
    assert road.gate.take_told() == (
        "the transaction on primary (elevated) is committed: 2 statements, 2 rows changed",
    )
    assert road.gate.take_told() == ()


def test_a_rollback_undoes_it_and_says_so(writing):
    road = writing()
    road.run("ROLLBACK")
    assert road.done == []
    assert "rolled back: by you; 1 statement, 2 rows changed" in road.gate.take_told()[0]
    # It was their word: what comes next stands by itself.
    assert road.run(WRITE).outcome == "done"
    assert road.done == ["write"]


def test_after_it_reads_go_to_a_replica_again(writing):
    road = writing()
    road.run("COMMIT")
    road.run(READ)
    assert road.sent()[-1] == (READ, "replica-1", "read")


def test_a_savepoint_keeps_it_open(writing):
    road = writing()
    for text in ("SAVEPOINT a", WRITE, "ROLLBACK TO a", "RELEASE SAVEPOINT a"):
        road.run(text)
    assert road.gate.status().transaction.statements == 5
    road.run("COMMIT")
    assert {where for _, *where in road.sent() for where in [tuple(where)]} == {("primary", "elevated")}


def test_a_chain_ends_one_and_begins_the_next(writing):
    road = writing()
    road.run("COMMIT AND CHAIN")
    assert road.done == ["write"]
    opened = road.gate.status().transaction
    assert (opened.statements, opened.changed_rows, opened.state) == (0, 0, TransactionState.WRITING)
    road.run(WRITE)
    road.run("ROLLBACK")
    assert road.done == ["write"]


def test_the_prompt_knows_what_is_open(writing):
    road = writing()
    road.clock.seconds += 7
    opened = road.gate.status().transaction
    assert (opened.node, opened.writes, opened.statements, opened.changed_rows) == ("primary", True, 1, 2)
    assert road.clock.seconds - opened.began_seconds == 7
    road.run("COMMIT")
    assert road.gate.status().transaction is None


def test_each_statement_is_judged_by_itself(writing):
    road = writing()
    with pytest.raises(DeniedError, match="this is closed"):
        road.run(CLOSED)
    assert road.gate.status().transaction.statements == 1
    # A window covers what is asked about otherwise, and so it does here.
    road.run(ASKED)
    assert road.sent()[-1] == (ASKED, "primary", "elevated")
    assert [record.verdict for record in road.records("decided")] == ["elevate", "elevate", "deny", "elevate"]
    assert [record.elevation for record in road.records("intent")] == ["s1.1"] * 3


@pytest.mark.parametrize("text", ["ALTER TABLE orders ADD x INT", "BEGIN", "LOCK TABLES orders WRITE", "CALL p()"])
def test_what_would_commit_it_unasked_is_refused(writing, text):
    road = writing()
    with pytest.raises(DeniedError, match="commit") as caught:
        road.run(text)
    assert caught.value.instead == "end the transaction first, with COMMIT or ROLLBACK"
    assert road.done == []
    road.run("ROLLBACK")
    assert road.done == []


def test_a_read_sent_to_a_replica_by_name_is_not_part_of_it(writing):
    road = writing()
    road.gate.use("replica")
    with pytest.raises(DeniedError, match="outside it, on replica-1"):
        road.run(READ)
    # But it can be ended from there.
    road.run("COMMIT")
    assert road.done == ["write"]


def test_the_schema_is_not_changed_under_it(writing):
    road = writing()
    with pytest.raises(RefusedError, match="stays in its schema"):
        road.gate.use_schema("other")
    road.run("COMMIT")
    road.gate.use_schema("other")
    assert road.done == ["write"]


def test_load_keeps_nobody_from_ending_it(writing):
    road = writing()
    primary = road.engine.node("primary")
    busy, primary.reading = primary.reading, lambda seconds: replace(busy(seconds), threads_running=10_000)
    road.clock.seconds += 6
    with pytest.raises(NoFitNodeError):
        road.run(WRITE)
    road.run("COMMIT")
    assert road.done == ["write"]


# What undoes it, and how that is told.

UNDONE = "was rolled back: {why}; 1 statement, 2 rows changed, all undone"


def assert_undone(road, why):
    assert UNDONE.format(why=why) in road.gate.take_told()[0]
    assert road.done == []
    assert state_of(road) == ["transaction rolled-back"]
    assert road.gate.status().transaction is None
    assert not [each for each in road.engine.connections if each.account == "elevated" and not each.broken]


def test_it_is_undone_when_it_stands_idle(writing):
    road = writing()
    road.clock.seconds += 60
    assert road.gate.status().transaction is not None
    road.clock.seconds += 0.1
    assert road.gate.status().transaction is None
    assert_undone(road, "it was idle for too long")
    # What allowed it is in force still.
    assert road.gate.status().elevated_seconds > 0


def test_each_statement_gives_it_time_again(writing):
    road = writing()
    for _ in range(4):
        road.clock.seconds += 50
        road.run(READ)
    road.run("COMMIT")
    assert road.done == ["write"]


def test_how_long_it_may_stand_idle_is_the_policys(writing):
    road = writing(policy=policy_of(transactions={"write_idle_seconds": 5}))
    road.clock.seconds += 5.1
    road.gate.status()
    assert_undone(road, "it was idle for too long")


def test_a_transaction_of_reads_ends_when_it_stands_idle(walk):
    road = walk(policy=policy_of(transactions={"read_idle_seconds": 20}))
    road.run("BEGIN")
    road.clock.seconds += 20.1
    with pytest.raises(DeniedError, match="no transaction is open"):
        road.run("SAVEPOINT a")
    assert road.gate.take_told() == ("the transaction of reads on replica-1 is over: it was idle for too long",)


def test_the_server_is_told_how_long_it_may_stand_idle(writing):
    road = writing()
    idle = [event[1].idle_seconds for event in road.events if event[0] == "sent"]
    within = [event[1].within for event in road.events if event[0] == "sent"]
    assert (idle, within) == ([60.0, 0.0], [False, True])


def test_it_is_undone_by_leaving(writing):
    road = writing()
    line, owed = road.gate.close()
    assert "used break-glass" in owed
    assert UNDONE.format(why="the session ended") in line
    assert road.done == []
    assert state_of(road) == ["transaction rolled-back"]


def test_leaving_with_reads_open_is_recorded_and_not_worth_a_word(walk):
    road = walk()
    road.run("BEGIN")
    assert road.gate.close() == ()
    assert state_of(road) == ["transaction over"]


def test_it_is_undone_with_its_elevation(writing):
    road = writing()
    road.gate.stand_down()
    assert_undone(road, "the elevation ended")


def test_it_is_undone_when_the_window_is_over(writing):
    road = writing(policy=policy_of(elevation={"window_seconds": 50}))
    road.clock.seconds += 50.1
    road.gate.status()
    assert_undone(road, "the elevation ended")


def test_it_is_undone_by_a_failover(writing):
    road = writing()
    fail_over(road.engine)
    road.clock.seconds += 6
    with pytest.raises(RefusedError):
        road.run(WRITE)
    assert_undone(road, "the cluster changed")
    assert road.elevation_events()[-1] == "failed-over"


def test_it_is_undone_with_its_connection_and_never_sent_again(writing):
    road = writing()
    next(each for each in road.engine.connections if each.account == "elevated").broken = True
    road.gate.status()
    assert_undone(road, "its connection was lost and COMMIT was never sent, so the server undoes it")
    assert road.gate.is_elevated
    assert len(road.sent()) == 2
    # What would have been committed by itself is not: they may think that it is open still.
    with pytest.raises(RefusedError, match="nothing was sent: the transaction"):
        road.run(WRITE)


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (StoppedError("too long", by="watchdog", ceiling="run_seconds", verified="killed"), "was stopped"),
        (StoppedError("lost", by="server", verified="unreachable"), "was stopped"),
        (UnreachableError("the connection is lost; nothing was sent"), "COMMIT was never sent"),
        (OutcomeUnknownError("lost"), "COMMIT was never sent"),
        (RefusedError("primary is not the primary any longer: nothing was sent"), "the cluster changed"),
    ],
)
def test_a_statement_that_does_not_end_well_takes_it_along(writing, failure, why):
    road = writing()
    road.engine.answers[OTHER_WRITE] = Planned(refusal=failure)
    with pytest.raises(type(failure)):
        road.run(OTHER_WRITE)
    assert why in road.gate.take_told()[0]
    assert (road.done, state_of(road)) == ([], ["transaction rolled-back"])


def test_too_many_rows_in_one_statement_take_it_along(writing):
    road = writing(policy=policy_of(limits={"changed_rows": 10}))
    road.engine.answers[OTHER_WRITE] = Planned(changed=11, columns=())
    with pytest.raises(StoppedError):
        road.run(OTHER_WRITE)
    assert "a statement of it was stopped" in road.gate.take_told()[0]


def test_an_interrupt_takes_it_along_and_leaves_no_doubt(writing):
    road = writing()
    road.engine.answers[OTHER_WRITE] = Planned(fault=KeyboardInterrupt())
    with pytest.raises(StoppedError):
        road.run(OTHER_WRITE)
    assert [record.outcome for record in road.records("outcome")][-1] == "stopped"
    assert "a statement of it was stopped" in road.gate.take_told()[0]


def test_an_error_of_the_servers_own_leaves_it_open(writing):
    road = writing()
    road.engine.answers[OTHER_WRITE] = Planned(refusal=ServerError(1062, "Duplicate entry"))
    with pytest.raises(ServerError):
        road.run(OTHER_WRITE)
    assert road.gate.status().transaction.statements == 2
    road.run("COMMIT")
    assert road.done == ["write"]


def test_a_deadlock_undoes_all_of_it(writing):
    road = writing()
    road.engine.answers[OTHER_WRITE] = Planned(refusal=ServerError(1213, "Deadlock found"), undoes=True)
    with pytest.raises(ServerError):
        road.run(OTHER_WRITE)
    assert "the server ended it, as after a deadlock" in road.gate.take_told()[0]
    # The connection is whole, and so is what allowed it.
    assert road.gate.status().elevated_seconds > 0


# Only a COMMIT that was sent leaves a doubt.


@pytest.mark.parametrize("failure", [OutcomeUnknownError("lost"), StoppedError("stopped", by="person")])
def test_a_commit_that_was_lost_is_unknown(writing, failure):
    road = writing()
    road.engine.answers["COMMIT"] = Planned(fault=failure)
    with pytest.raises(type(failure)):
        road.run("COMMIT")
    assert "is not known" in road.gate.take_told()[0]
    assert state_of(road) == ["transaction unknown"]


def test_a_commit_that_was_interrupted_is_unknown(writing):
    road = writing()
    road.engine.answers["COMMIT"] = Planned(fault=KeyboardInterrupt())
    with pytest.raises(OutcomeUnknownError, match="may have been done"):
        road.run("COMMIT")
    assert state_of(road) == ["transaction unknown"]


def test_a_commit_that_was_never_sent_is_not(writing):
    road = writing()
    road.engine.answers["COMMIT"] = Planned(refusal=UnreachableError("lost; nothing was sent"))
    with pytest.raises(UnreachableError):
        road.run("COMMIT")
    assert state_of(road) == ["transaction rolled-back"]


def test_a_commit_that_the_server_refuses_leaves_what_it_says(writing):
    road = writing()
    road.engine.answers["COMMIT"] = Planned(refusal=ServerError(3101, "certification"), undoes=True)
    with pytest.raises(ServerError):
        road.run("COMMIT")
    assert state_of(road) == ["transaction rolled-back"]
    road = writing()
    road.engine.answers["COMMIT"] = Planned(refusal=ServerError(1180, "out of space"))
    with pytest.raises(ServerError):
        road.run("COMMIT")
    assert road.gate.status().transaction is not None


def test_what_is_gone_without_a_word_is_unknown(writing):
    road = writing()
    road.engine.answers[OTHER_WRITE] = Planned(changed=1, vanishes=True)
    road.run(OTHER_WRITE)
    assert state_of(road) == ["transaction unknown"]


# Nobody goes on in what they only think is open.


@pytest.mark.parametrize("text", [WRITE, "COMMIT", "SAVEPOINT a"])
def test_after_it_was_undone_a_change_or_a_commit_waits_for_the_persons_word(writing, text):
    road = writing()
    road.clock.seconds += 61
    for _ in range(2):
        with pytest.raises(DeniedError, match="nothing was sent: the transaction on primary .* was rolled back"):
            road.run(text)
    assert road.done == []
    road.run(READ)
    road.run("ROLLBACK")
    road.run(WRITE)
    assert road.done == ["write"]


def test_beginning_again_is_such_a_word(writing):
    road = writing()
    road.clock.seconds += 61
    road.run("BEGIN")
    road.run(WRITE)
    road.run("COMMIT")
    assert road.done == ["write"]


def test_what_ends_between_the_answer_and_the_send_takes_its_statement_along(writing):
    """The elevation is asked about; the transaction stood idle while the person read."""
    road = writing()
    sent = len(road.sent())
    road.engine.hooks["estimate"] = lambda: setattr(road.clock, "seconds", road.clock.seconds + 61)
    with pytest.raises(RefusedError, match="the transaction that it belongs to is over"):
        road.run(READ)
    assert (len(road.sent()), road.done) == (sent, [])


@pytest.mark.parametrize("end", ["idle", "leave", "stand down"])
def test_it_is_undone_also_when_that_cannot_be_recorded(writing, end):
    road = writing()
    road.journal.fails_at = road.journal.appended + 1
    try:
        if end == "idle":
            road.clock.seconds += 61
            road.gate.status()
        elif end == "leave":
            road.gate.close()
        else:
            road.gate.stand_down()
    except AuditUnavailableError:
        pass
    assert not [each for each in road.engine.connections if each.account == "elevated" and not each.broken]
    assert road.gate.status().transaction is None
    assert road.done == []


def test_the_second_persons_yes_for_the_window_is_asked_once(walk):
    """A window is approved for every effect: what runs in its transaction is judged, not approved again."""
    second = FakeSecond([])
    road = walk(policy=policy_of(elevation={"two_persons": ["write"]}), second=second)
    road.elevate()
    for text in ("BEGIN", WRITE, "COMMIT"):
        road.run(text)
    assert len(second.events) == 1


def test_a_rollback_needs_no_server_where_all_is_undone(writing):
    road = writing()
    road.clock.seconds += 61
    for name in ("primary", "replica-1", "replica-2"):
        road.engine.node(name).unreachable = "refused"
    with pytest.raises(DeniedError, match="there is nothing left to roll back: .*all undone"):
        road.run("ROLLBACK")
    # It is acknowledged with that.
    with pytest.raises(NoFitNodeError):
        road.run(WRITE)
