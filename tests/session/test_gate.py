"""The road: what comes before what, what is sent and what never is."""

import itertools
from msgspec.structs import replace

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.errors import (
    AuditUnavailableError,
    NotRecordedError,
    ConfigurationError,
    DeniedError,
    NoFitNodeError,
    OutcomeUnknownError,
    RefusedError,
    SafeConsoleError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.audit.record import Intent
from safeconsole.sqltext.statement import Estimate
from safeconsole.sqltext.vocabulary import Account
from safeconsole.session.context import People
from tests.harness.fakes import RULES, FakeFace, Planned, fail_over
from tests.session.conftest import ASKED, CLOSED, HELD, JUSTIFICATION, READ, WRITE, policy_of

ROWS = Planned(batches=([(1,), (2,)], [(3,)]))


# The order.


def test_a_read_is_recorded_before_it_is_sent_and_after_it_ended(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    face = FakeFace(road.events)
    ended = road.run(READ, face)
    assert [each for each in road.happened() if not each.startswith(("topology", "connect", "estimate"))] == [
        "append asked", "append decided", "durable intent", "sent", "begin", "append outcome", "shown outcome",
    ]  # fmt: skip
    assert (ended.outcome, ended.rows, ended.bytes) == ("done", 3, 200)
    assert face.shown == [(1,), (2,), (3,)]
    assert road.sent() == [(READ, "replica-1", "read")]
    intent = road.records("intent")[0]
    assert (intent.sql, intent.node, intent.server, intent.account) == (READ, "replica-1", "u-1", "read")
    assert (intent.read_only, intent.guards) == (True, {"transaction_read_only": "1"})


def test_statements_are_numbered(walk):
    road = walk()
    road.run(READ)
    road.run(READ)
    assert [record.statement for record in road.records("outcome")] == [1, 2]


def test_a_refusal_is_durable_before_it_is_raised(walk):
    road = walk()
    with pytest.raises(DeniedError, match="this is closed"):
        road.run(CLOSED)
    assert road.sent() == []
    assert road.happened()[-1] == "durable outcome"
    (ended,) = road.records("outcome")
    assert (ended.outcome, ended.message) == ("refused", "this is closed")
    assert road.gate.last().decision.message == "this is closed"


@pytest.mark.parametrize("fails_at", range(1, 12))
@pytest.mark.parametrize(
    ("text", "justification", "answers"),
    [(READ, None, []), (ASKED, None, [True]), (ASKED, None, [False]), (HELD, JUSTIFICATION, [True]), (WRITE, JUSTIFICATION, [True]),
     (WRITE, JUSTIFICATION, [False]), (CLOSED, None, [])],
)  # fmt: skip
def test_nothing_is_sent_after_a_record_that_failed(walk, text, justification, answers, fails_at):
    """Whichever append fails: nothing is sent on its strength, and the person is told."""
    road = walk(justification=justification)
    road.answers(*answers)
    road.journal.fails_at = fails_at
    failed = False
    for _ in range(2):
        try:
            road.run(text)
        except (AuditUnavailableError, NotRecordedError):
            failed = True
            break
        except RefusedError:
            pass
    assert failed == (road.journal.appended >= fails_at)
    happened = [event[0] for event in road.events]
    if failed:
        assert "sent" not in happened[happened.index("append failed") :]


def test_a_journal_that_failed_for_a_moment_is_tried_again(walk):
    """What is missing is the journal's affair: it keeps and writes what happened."""
    road = walk()
    road.journal.fails_at = 4
    with pytest.raises(NotRecordedError):
        road.run(READ)
    road.run(READ)
    assert len(road.sent()) == 2
    assert [record.outcome for record in road.records("outcome")] == ["done", "done"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("odd")])
@pytest.mark.parametrize("where", ["topology", "connect", "estimate"])
def test_whatever_breaks_before_the_send_is_recorded_as_not_sent(walk, where, fault):
    road = walk()

    def breaks():
        raise fault

    road.engine.hooks[where] = breaks
    with pytest.raises(type(fault)):
        road.run(READ)
    assert road.happened()[-1] == "durable outcome"
    (ended,) = road.records("outcome")
    assert (ended.outcome, road.sent()) == ("refused", [])
    assert ended.message.startswith("nothing was sent: ")


def test_an_interrupt_while_the_intent_goes_to_disk_is_recorded_as_not_sent(walk):
    road = walk()
    append = road.journal.append

    def interrupted(record, *, durable=False):
        append(record, durable=durable)
        if isinstance(record, Intent):
            raise KeyboardInterrupt

    road.journal.append = interrupted
    with pytest.raises(KeyboardInterrupt):
        road.run(READ)
    assert (road.happened()[-1], road.sent()) == ("durable outcome", [])
    (ended,) = road.records("outcome")
    assert (ended.outcome, ended.message) == ("refused", "nothing was sent: interrupted")


def test_a_statement_whose_outcome_is_not_recorded_is_not_called_unsent(walk):
    road = walk()
    road.journal.fails_at = 4
    with pytest.raises(NotRecordedError, match=r"was sent, and how it ended \(done\) is not on record"):
        road.run(READ)


# What is demanded, and what meets it.


@pytest.mark.parametrize(
    ("text", "answers", "error"),
    [
        (ASKED, [False], RefusedError), (HELD, [True], RefusedError), (WRITE, [True], RefusedError),
        (CLOSED, [True], DeniedError), ("not sql at all", [True], RefusedError),
    ],
)  # fmt: skip
def test_a_demand_that_is_not_met_sends_nothing(walk, text, answers, error):
    road = walk()
    road.answers(*answers)
    with pytest.raises(error) as caught:
        road.run(text)
    assert type(caught.value) is error
    assert road.sent() == []
    assert [record.outcome for record in road.records("outcome")] == ["refused"]


def test_a_confirmation_is_recorded_before_it_counts(walk):
    road = walk()
    road.answers(True)
    road.run(ASKED)
    assert road.sent() == [(ASKED, "replica-1", "read")]
    happened = road.happened()
    assert happened.index("confirm") < happened.index("durable confirmed") < happened.index("durable intent")
    assert road.records("confirmed")[0].answer == "yes"


def test_an_answer_of_no_is_recorded_too(walk):
    road = walk()
    road.answers(False)
    with pytest.raises(RefusedError):
        road.run(ASKED)
    assert road.records("confirmed")[0].answer == "no"


def test_who_interrupts_the_question_has_not_agreed(walk):
    road = walk()
    road.answers(KeyboardInterrupt())
    with pytest.raises(RefusedError):
        road.run(ASKED)
    assert road.records("confirmed")[0].answer == "interrupted"
    assert road.sent() == []


def test_a_question_that_breaks_is_no_yes(walk):
    road = walk()
    road.answers(BrokenPipeError())
    with pytest.raises(BrokenPipeError):
        road.run(ASKED)
    assert road.records("confirmed")[0].answer == "interrupted"
    assert road.records("outcome")[0].outcome == "refused"


def test_each_statement_is_confirmed_for_itself(walk):
    road = walk()
    road.answers(True, False)
    road.run(ASKED)
    with pytest.raises(RefusedError):
        road.run(ASKED)
    assert len(road.sent()) == 1


@pytest.mark.parametrize("text", [HELD, WRITE])
def test_a_justification_is_put_to_the_person_and_then_elevates(walk, text):
    road = walk(justification=JUSTIFICATION)
    road.answers(True)
    road.run(text)
    ((sent, _, account),) = road.sent()
    assert (sent, account) == (text, "elevated")
    happened = road.happened()
    assert happened.index("elevate") < happened.index("durable intent") < happened.index("sent")
    assert road.elevation_events() == ["asked", "self-approved", "used"]
    assert road.records("intent")[0].elevation == "s1.1"
    assert (road.records("elevation")[0].reason, road.records("elevation")[0].ticket) == ("incident 7", "OPS-7")


def test_a_justification_that_is_not_granted_sends_nothing(walk):
    road = walk(justification=JUSTIFICATION)
    road.answers(False)
    with pytest.raises(RefusedError, match="not granted"):
        road.run(WRITE)
    assert road.sent() == []
    assert ("primary", "elevated") not in road.open_connections()


def test_a_justification_is_not_used_where_nothing_demands_it(walk):
    road = walk(justification=JUSTIFICATION)
    road.run(READ)
    assert road.records("elevation") == []
    assert road.sent() == [(READ, "replica-1", "read")]


def test_a_window_covers_what_needs_it_and_the_question(walk):
    road = walk()
    road.elevate()
    road.run(WRITE)
    road.run(ASKED)
    assert road.sent() == [(WRITE, "primary", "elevated"), (ASKED, "replica-1", "read")]
    assert [event[0] for event in road.events].count("confirm") == 0
    assert road.gate.last().facts["elevation.active"] is True


def test_a_window_does_not_lift_a_denial(walk):
    road = walk()
    road.elevate()
    with pytest.raises(DeniedError):
        road.run(CLOSED)


def test_a_policy_that_only_observes_stops_nothing_and_records_what_it_would_have_said(walk):
    road = walk(policy=policy_of(mode="observe"))
    for text in (ASKED, CLOSED, WRITE):
        road.run(text)
    assert [(record.verdict, record.observed) for record in road.records("decided")] == [
        ("confirm", True), ("deny", True), ("elevate", True),
    ]  # fmt: skip
    assert [account for _, _, account in road.sent()] == ["read"] * 3
    assert [record.outcome for record in road.records("outcome")] == ["done"] * 3


# What the console asks for itself.


def test_what_the_console_asks_is_recorded_as_that_and_is_not_the_last(walk):
    road = walk()
    road.run(READ)
    road.run("SELECT name FROM tables", by_console=True)
    assert [record.by_console for record in road.records("asked")] == [False, True]
    assert road.gate.last().statement.text == READ


@pytest.mark.parametrize("text", [ASKED, HELD, CLOSED])
def test_the_console_is_refused_where_a_person_would_be_asked(walk, text):
    road = walk()
    road.answers(True)
    with pytest.raises(RefusedError, match="by itself"):
        road.run(text, by_console=True)
    assert road.sent() == []


# Where it goes.


def test_a_replica_that_refuses_is_passed_over(walk):
    road = walk()
    road.engine.node("replica-1").refuses = {Account.READ}
    road.run(READ)
    assert road.sent() == [(READ, "replica-2", "read")]


def test_without_a_fit_node_nothing_is_sent_and_the_readings_are_told(walk):
    road = walk()
    road.engine.node("replica-1").lag_seconds = 300.0
    road.engine.node("replica-2").unreachable = "connection refused"
    with pytest.raises(NoFitNodeError) as caught:
        road.run(READ)
    assert exit_code_of(caught.value) == 8
    assert any("lag 300 s" in line for line in caught.value.evidence)
    assert any("connection refused" in line for line in caught.value.evidence)
    assert road.sent() == []


def test_two_proven_primaries_get_no_write(walk):
    road = walk()
    road.engine.node("replica-1").role = road.engine.node("primary").role
    road.elevate()
    with pytest.raises(NoFitNodeError):
        road.run(WRITE)


def test_a_person_may_name_the_node(walk):
    road = walk(to="replica-2")
    road.run(READ)
    assert road.sent() == [(READ, "replica-2", "read")]


def test_a_read_on_a_named_primary_is_judged_as_one_on_the_primary(walk):
    road = walk(to="primary")
    road.run(READ)
    assert road.gate.last().facts["node.role"] == "primary"
    assert road.sent() == [(READ, "primary", "read")]


def test_an_unknown_node_is_named_with_the_known_ones(walk):
    road = walk(to="replica-9")
    with pytest.raises(ConfigurationError) as caught:
        road.run(READ)
    assert "replica-1" in caught.value.instead
    with pytest.raises(RefusedError, match="no node replica-8"):
        road.gate.use("replica-8")


def test_use_sends_what_follows_elsewhere(walk):
    road = walk()
    for to in ("primary", "replica", "replica-2", ""):
        road.gate.use(to)
        assert road.gate.status().to == to
        road.run(READ)
    assert [node for _, node, _ in road.sent()] == ["primary", "replica-1", "replica-2", "replica-2"]


def test_reads_come_back_to_their_node_after_a_write(walk):
    """What a person set on it, such as a variable, is there and nowhere else."""
    road = walk()
    road.engine.node("replica-1").lag_seconds = 5.0
    road.run(READ)
    road.engine.node("replica-1").lag_seconds = 0.0
    road.clock.seconds += 6
    road.elevate()
    road.run(WRITE)
    road.run(READ)
    assert [node for _, node, _ in road.sent()] == ["replica-2", "primary", "replica-2"]


# What the server says before anything runs.


def test_an_opinion_that_was_lost_is_asked_for_again_and_is_no_yes(walk):
    road, broken = walk(), []

    def breaks():
        if len(broken) < road.breaks:
            broken.append(True)
            road.engine.connections[-1].broken = True
            road.engine.estimates[READ] = Estimate()
        else:
            road.engine.estimates.pop(READ, None)

    road.engine.hooks["estimate"] = breaks
    road.breaks = 1
    assert road.run(READ).outcome == "done"
    assert road.records("decided")[-1].facts["estimate.asked"] is True
    # Nothing of it is remembered then. Asked twice on each of two replicas, as a lost read is; then it is given up.
    road.clock.seconds += 60
    road.breaks, sent = 1 + 2 * 2, len(road.sent())
    with pytest.raises(UnreachableError, match="lost the connection over it; nothing was sent"):
        road.run(READ)
    assert len(road.sent()) == sent
    assert len(broken) == road.breaks
    assert road.run(READ).outcome == "done"


def test_the_servers_own_error_is_told_without_sending(walk):
    road = walk()
    road.engine.estimates[READ] = Estimate(asked=True, objection="no such table", objection_code=1146)
    with pytest.raises(ServerError) as caught:
        road.run(READ)
    assert (caught.value.number, exit_code_of(caught.value)) == (1146, 1)
    assert road.sent() == []
    assert road.records("outcome")[0].server_error == 1146


def test_a_denial_is_told_rather_than_the_servers_error(walk):
    road = walk()
    road.engine.estimates[CLOSED] = Estimate(asked=True, objection="no such table", objection_code=1146)
    with pytest.raises(DeniedError):
        road.run(CLOSED)


NO_READ = Estimate(asked=True, objection="it writes", objection_code=1792, disagrees=True)
ASSIGNS = "SELECT @a := id FROM orders"


@pytest.mark.parametrize("text", [READ, ASSIGNS])
def test_a_server_that_disagrees_is_recorded_and_nothing_is_sent(walk, text):
    road = walk()
    road.engine.estimates[text] = NO_READ
    with pytest.raises(RefusedError, match="it writes"):
        road.run(text)
    disagreed = road.records("disagreed")[0]
    assert (disagreed.ours, disagreed.servers, disagreed.code) == ("read", "it writes", 1792)
    assert road.sent() == []


def test_what_a_server_calls_no_read_runs_elevated_on_the_primary_and_not_as_a_read(walk):
    road = walk(justification=JUSTIFICATION)
    road.engine.estimates[READ] = NO_READ
    road.engine.answers[READ] = Planned(writes=True, changed=1)
    road.answers(True)
    road.run(READ)
    assert road.sent() == [(READ, "primary", "elevated")]
    assert road.records("intent")[0].read_only is False


def test_a_failover_while_the_server_was_asked_ends_the_elevation_before_it_is_used(walk):
    road = walk()
    road.elevate()
    road.run(f"{READ} LIMIT 1")

    def slow():
        fail_over(road.engine)
        road.clock.pass_by(6)

    road.engine.estimates[READ] = NO_READ
    road.engine.hooks["estimate"] = slow
    with pytest.raises(RefusedError, match="says: "):
        road.run(READ)
    assert road.elevation_events()[-1] == "failed-over"
    assert len(road.sent()) == 1


@pytest.mark.parametrize("to", ["replica", "replica-1"])
def test_what_a_server_calls_no_read_is_denied_on_a_replica(walk, to):
    road = walk(to=to, justification=JUSTIFICATION)
    road.engine.estimates[READ] = NO_READ
    with pytest.raises(DeniedError, match="it writes"):
        road.run(READ)


def test_a_read_that_also_sets_a_variable_is_asked_about_too(walk):
    road = walk()
    road.engine.estimates[ASSIGNS] = Estimate(asked=True, objection="no such table", objection_code=1146)
    with pytest.raises(ServerError):
        road.run(ASSIGNS)
    road.engine.node("replica-1").refuses = {Account.READ}
    road.gate.use_schema("shop")
    road.run("SET @a = 1")
    assert road.sent() == [("SET @a = 1", "replica-2", "read")]


@pytest.mark.parametrize("disagrees", [True, False])
def test_what_the_server_quotes_of_a_statement_is_not_in_the_journal(walk, disagrees):
    road = walk(policy=policy_of(literals="drop"))
    text = "SELECT id FROM orders WHERE mail = 'ada@example.org' LIMTI 1"
    (statement,) = road.gate.split("SELECT id FROM orders WHERE mail = 'ada@example.org'")
    road.engine.estimates[statement.text] = Estimate(
        asked=True, objection=f"syntax error near '{text[31:]}'", objection_code=1064, disagrees=disagrees
    )
    with pytest.raises(SafeConsoleError, match=r"ada@example\.org"):
        FakeFace().run(road.gate, statement)
    journal = "\n".join(map(str, road.records()))
    assert "'?' LIMTI 1" in journal.replace("\\", "")
    assert "ada@example" not in journal


def test_what_is_no_statement_anywhere_is_the_servers_error(walk):
    road = walk()
    road.engine.estimates["SELEC 1"] = Estimate(asked=True, objection="syntax error", objection_code=1064)
    with pytest.raises(ServerError, match="syntax error") as caught:
        road.run("SELEC 1")
    assert (exit_code_of(caught.value), road.sent()) == (1, [])


def test_what_nobody_understands_is_told_in_the_servers_words_too(walk):
    road = walk()
    road.engine.estimates["SELEC 1"] = Estimate(asked=True, objection="cannot be prepared", objection_code=1295)
    with pytest.raises(RefusedError, match="this is no read"):
        road.run("SELEC 1")
    assert road.gate.last().estimate.objection == "cannot be prepared"
    road.engine.node("primary").refuses = {Account.READ}
    road.gate.use_schema("shop")
    with pytest.raises(RefusedError, match="this is no read"):
        road.run("SELEC 1")
    assert road.gate.last().estimate == Estimate()
    assert road.sent() == []


def test_a_statement_that_lasts_leaves_a_sample_a_second(walk):
    road = walk()

    class Lasting(Planned):
        @property
        def slow_seconds(self):
            road.clock.seconds += 0.4
            return 2.5

        @slow_seconds.setter
        def slow_seconds(self, _):
            pass

    road.engine.answers[READ] = Lasting(batches=([(1,)],))
    face = FakeFace(road.events)
    road.run(READ, face)
    recorded = [record.elapsed_seconds for record in road.records("sample")]
    assert len(face.samples) > len(recorded) == 2
    assert recorded[1] - recorded[0] >= 1.0


def test_consider_sends_nothing(walk):
    road = walk()
    (statement,) = road.gate.split(WRITE)
    considered = road.gate.consider(statement)
    assert considered.decision.verdict.word == "elevate"
    assert road.sent() == []
    assert road.gate.last() is considered


# What stops it.


@pytest.mark.parametrize(
    ("limit", "value", "rows"), [("fetched_rows", 4, 4), ("fetched_rows", 0, 0), ("fetched_bytes", 150, 4)]
)
def test_a_limit_stops_it_on_the_server(walk, limit, value, rows):
    road = walk(limits={limit: value})
    road.engine.answers[READ] = Planned(batches=([(1,), (2,)], [(3,), (4,)], [(5,), (6,)]))
    face = FakeFace(road.events)
    with pytest.raises(StoppedError, match=limit) as caught:
        road.run(READ, face)
    assert (caught.value.ceiling, caught.value.verified, caught.value.by) == (limit, "killed", "console")
    assert len(face.shown) == rows
    assert "stop replica-1" in road.happened()
    ended = road.records("outcome")[0]
    assert (ended.outcome, ended.rows, ended.ceiling, ended.kill) == ("stopped", rows, limit, "killed")
    assert road.open_connections() == []


def test_an_interrupt_of_the_stop_does_not_lose_the_record(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    road.run("SELECT 1")

    connection = road.engine.connections[0]

    def pressed_again():
        connection.broken = True
        raise KeyboardInterrupt

    connection.stop = pressed_again
    with pytest.raises(StoppedError) as caught:
        road.run(READ, FakeFace(road.events, faults={"rows": KeyboardInterrupt()}))
    ended = road.records("outcome")[-1]
    assert (ended.outcome, ended.stopped_by, ended.kill) == ("unseen", "person", "missed")
    assert caught.value.leaving


def test_who_presses_again_while_it_is_stopped_leaves_after_the_kill(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    road.run("SELECT 1")
    connection, stop, asked = road.engine.connections[0], road.engine.connections[0].stop, []

    def pressed_again():
        asked.append(True)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return stop()

    connection.stop = pressed_again
    with pytest.raises(StoppedError) as caught:
        road.run(READ, FakeFace(road.events, faults={"rows": KeyboardInterrupt()}))
    assert caught.value.leaving
    assert road.records("outcome")[-1].kill == "killed"


def test_who_pressed_once_stays(walk):
    road = walk()
    road.engine.answers[READ] = ROWS
    with pytest.raises(StoppedError) as caught:
        road.run(READ, FakeFace(road.events, faults={"rows": KeyboardInterrupt()}))
    assert not caught.value.leaving


def test_exactly_as_many_rows_as_allowed_is_a_whole_answer(walk):
    road = walk(limits={"fetched_rows": 3})
    road.engine.answers[READ] = ROWS
    assert road.run(READ).outcome == "done"


@pytest.mark.parametrize("where", ["begin", "rows"])
@pytest.mark.parametrize(
    ("fault", "by"), [(KeyboardInterrupt(), "person"), (BrokenPipeError(), "console"), (ValueError("odd"), "console")]
)
def test_a_face_that_breaks_stops_the_statement_on_the_server(walk, where, fault, by):
    road = walk()
    road.engine.answers[READ] = ROWS
    with pytest.raises(StoppedError) as caught:
        road.run(READ, FakeFace(road.events, faults={where: fault}))
    assert (caught.value.by, caught.value.verified) == (by, "killed")
    assert road.happened().index("stop replica-1") < road.happened().index("append outcome")
    assert road.open_connections() == []
    assert road.run(READ).outcome == "done"


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (ServerError(1317, "interrupted"), "failed"),
        (StoppedError("stopped", by="watchdog", ceiling="run_seconds", verified="killed"), "stopped"),
        (OutcomeUnknownError("lost"), "unknown"),
    ],
)
@pytest.mark.parametrize("where", ["refusal", "fault", "at_end"])
def test_what_went_wrong_on_the_server_is_recorded_and_told(walk, fault, outcome, where):
    road = walk()
    road.engine.answers[READ] = Planned(batches=([(1,)],), **{where: fault})
    with pytest.raises(type(fault)):
        road.run(READ)
    assert road.records("outcome")[0].outcome == outcome
    assert len(road.sent()) == 1


def test_a_broken_connection_is_dropped_and_never_sent_on_again(walk):
    road = walk()
    road.engine.answers[READ] = Planned(fault=OutcomeUnknownError("lost"))
    with pytest.raises(OutcomeUnknownError):
        road.run(READ)
    road.engine.answers[READ] = ROWS
    road.run(READ)
    assert road.happened().count("topology") == 2
    assert [each.node.name for each in road.engine.connections] == ["replica-1", "replica-1"]


STOPS = [
    OutcomeUnknownError("lost"),
    StoppedError("stopped by you", by="person", verified="killed"),
    StoppedError("too long", by="watchdog", ceiling="run_seconds", verified="killed"),
    StoppedError("rolled back", by="console", ceiling="changed_rows", verified="already over"),
    ServerError(1205, "Lock wait timeout exceeded"),
    UnreachableError("the connection was lost before anything was sent"),
]


@pytest.mark.parametrize("fault", STOPS, ids=lambda fault: f"{type(fault).__name__} {fault.message[:20]}")
def test_a_window_outlives_a_statement_that_was_stopped_and_what_is_next_is_proven_anew(walk, fault):
    road = walk()
    road.elevate()
    road.engine.answers[WRITE] = Planned(fault=fault)
    with pytest.raises(type(fault)):
        road.run(WRITE)
    assert road.gate.is_elevated
    road.engine.answers[WRITE] = ROWS
    asked = len(road.events)
    road.run(WRITE)
    assert len(road.sent()) == 2
    assert [event[0] for event in road.events[asked:]].count("prove") == 1
    assert road.elevation_events() == ["asked", "self-approved"]
    assert road.gate.take_told() == ()


@pytest.mark.parametrize("fault", STOPS[:1])
def test_a_window_is_for_the_server_that_was_the_primary_and_its_end_is_told(walk, fault):
    road = walk()
    road.elevate()
    road.engine.answers[WRITE] = Planned(fault=fault)
    with pytest.raises(type(fault)):
        road.run(WRITE)
    road.engine.nodes[0].server += "-rebuilt"
    why = "the elevation window ended: another server is the primary now"
    with pytest.raises(RefusedError, match="this writes") as refused:
        road.run(WRITE)
    assert why in refused.value.evidence
    assert road.gate.take_told() == (why,)
    assert road.gate.take_told() == ()
    assert road.gate.status().elevation_ended == why
    assert road.elevation_events()[-1] == "failed-over"
    assert len(road.sent()) == 1
    # With the next window that is over; one that the person ends is no news.
    road.elevate()
    assert road.gate.status().elevation_ended == ""
    road.gate.stand_down()
    assert (road.gate.status().elevation_ended, road.gate.take_told()) == ("", ())


def test_a_window_whose_time_is_over_says_so_at_once(walk):
    road = walk()
    road.elevate(window_seconds=60)
    road.clock.seconds += 61
    road.gate.status()
    why = "the elevation window ended: its time is over"
    assert (road.gate.told, road.gate.status().elevation_ended) == ((why,), why)


@pytest.mark.parametrize("seconds", [901.0, -1.0])
def test_what_an_elevation_opened_is_closed_with_its_time(walk, seconds):
    """Also at a prompt where nobody types: the status is all that is asked for there."""
    road = walk()
    road.elevate()
    road.run(WRITE)
    assert ("primary", "elevated") in road.open_connections()
    road.clock.seconds += seconds
    assert road.gate.status().elevated_seconds == 0
    assert ("primary", "elevated") not in road.open_connections()
    assert road.elevation_events()[-1] == "time-passed"


def test_the_status_is_told_when_the_end_of_an_elevation_cannot_be_recorded(walk):
    road = walk()
    road.elevate()
    road.run(WRITE)
    road.clock.seconds += 901
    road.journal.fails_at = road.journal.appended + 1
    assert road.gate.status().elevated_seconds == 0
    assert ("primary", "elevated") not in road.open_connections()
    road.run(READ)
    assert road.records("elevation")[-1].state == "expired"


def test_an_elevation_of_one_statement_leaves_no_connection_behind(walk):
    road = walk(justification=JUSTIFICATION)
    road.answers(True)
    road.run(WRITE)
    road.run(READ)
    assert road.open_connections() == [("primary", "read"), ("replica-1", "read")]


# What a change would look at.

SOUGHT = "SELECT 1 FROM orders WHERE id = 1"


def test_a_change_is_shown_with_the_rows_it_would_look_at(walk):
    road = walk()
    road.engine.estimates[SOUGHT] = Estimate(asked=True, rows=4_000_000, full_scans=("orders",))
    with pytest.raises(RefusedError) as caught:
        road.run(WRITE)
    assert "estimate: the server expects to examine 4,000,000 rows" in caught.value.evidence
    assert "full scan: orders" in caught.value.evidence
    assert road.records("decided")[-1].facts["estimate.rows"] == 4_000_000
    # Asked on the primary, as the account that cannot write.
    assert ("estimate", "primary", SOUGHT) in road.events
    assert road.open_connections() == [("primary", "read")]


@pytest.mark.parametrize("trouble", ["objection", "refused"])
def test_a_change_whose_rows_nobody_tells_is_judged_without_them(walk, trouble):
    road = walk()
    if trouble == "objection":
        road.engine.estimates[SOUGHT] = Estimate(asked=True, objection="no such column", objection_code=1054)
    else:
        road.engine.node("primary").refuses = frozenset({Account.READ})
    with pytest.raises(RefusedError, match="this writes"):
        road.run(WRITE)
    facts = road.records("decided")[-1].facts
    assert (facts["estimate.asked"], facts["estimate.rows"], facts["estimate.objection"]) == (False, -1, "")


def test_the_status_closes_nothing_under_a_statement_that_runs(walk):
    road = walk(justification=JUSTIFICATION)
    road.answers(True)

    class Looking(FakeFace):
        def begin(self, considered, columns):
            road.gate.status()

    assert road.run(WRITE, Looking()).outcome == "done"


def test_a_window_outlives_a_connection_that_broke_while_idle(walk):
    """As after wait_timeout; a transaction that was open on it is told of by itself, and nothing joins it."""
    road = walk()
    road.elevate()
    road.run(WRITE)
    first = road.engine.connections[-1]
    first.broken = True
    road.run(WRITE)
    assert road.engine.connections[-1] is not first
    assert len(road.sent()) == 2
    assert road.elevation_events() == ["asked", "self-approved"]


def test_an_elevation_does_not_survive_another_primary(walk):
    """Noticed by measuring alone: nothing had to break for it."""
    road = walk()
    road.elevate()
    road.run(WRITE)
    fail_over(road.engine)
    road.clock.seconds += 6
    with pytest.raises(RefusedError, match="this writes"):
        road.run(WRITE)
    assert road.elevation_events()[-1] == "failed-over"
    assert ("primary", "elevated") not in road.open_connections()
    assert road.gate.last().facts["elevation.active"] is False
    road.elevate()
    road.run(WRITE)
    assert road.sent()[-1] == (WRITE, "replica-1", "elevated")


def test_a_failover_before_the_elevation_does_not_end_it(walk):
    road = walk()
    road.run(READ)
    fail_over(road.engine)
    road.elevate()
    assert road.run(WRITE).outcome == "done"


def test_a_failover_ends_what_is_held_also_when_another_elevation_is_declined(walk):
    road = walk()
    road.elevate()
    road.run(WRITE)
    fail_over(road.engine)
    with pytest.raises(RefusedError, match="was not granted"):
        road.gate.elevate(reason="incident 8")
    assert not road.gate.is_elevated
    with pytest.raises(RefusedError, match="this writes"):
        road.run(WRITE)
    assert [event for event in road.elevation_events() if event != "asked"] == [
        "self-approved",
        "failed-over",
        "answered-no",
    ]
    assert len(road.sent()) == 1


@pytest.mark.parametrize("text", [WRITE, "DELETE FROM orders WHERE id = 1 RETURNING id"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt(), BrokenPipeError()])
def test_a_change_that_is_cut_off_while_it_is_shown_is_not_called_stopped(walk, fault, text):
    road = walk()
    road.elevate()
    with pytest.raises(OutcomeUnknownError, match="may have been done on primary"):
        road.run(text, FakeFace(road.events, faults={"begin": fault}))
    assert road.records("outcome")[0].outcome == "unknown"


def test_a_face_that_breaks_at_the_end_does_not_hide_what_the_server_did(walk):
    road = walk()
    with pytest.raises(BrokenPipeError):
        road.run("USE archive", FakeFace(road.events, faults={"end": BrokenPipeError()}))
    assert road.gate.status().schema == "archive"
    assert road.records("outcome")[0].outcome == "done"


def test_a_connection_that_refuses_a_permit_ends_the_elevation(walk):
    road = walk()
    road.elevate()
    road.engine.answers[READ] = Planned(refusal=RefusedError("no longer a replica: nothing was sent"))
    with pytest.raises(RefusedError):
        road.run(READ)
    assert road.elevation_events()[-1] == "failed-over"
    assert road.records("outcome")[0].outcome == "refused"


def test_the_servers_own_error_ends_no_elevation(walk):
    road = walk()
    road.elevate()
    road.engine.answers[WRITE] = Planned(refusal=ServerError(1062, "duplicate"))
    with pytest.raises(ServerError):
        road.run(WRITE)
    road.engine.answers[WRITE] = Planned(changed=1)
    assert road.run(WRITE).changed_rows == 1


# What happens between the question and the send.


def _is_another_server(engine):
    engine.node("primary").server = "u-9"


def _is_a_replica_now(engine):
    engine.node("primary").role = engine.node("replica-1").role


@pytest.mark.parametrize("change", [_is_another_server, _is_a_replica_now])
def test_a_failover_between_the_question_and_the_send_sends_nothing_and_voids(walk, change):
    road = walk(justification=JUSTIFICATION)

    def yes_after_a_failover():
        change(road.engine)
        return True

    road.answers(yes_after_a_failover)
    with pytest.raises(RefusedError, match="nothing was sent"):
        road.run(WRITE)
    assert road.sent() == []
    assert road.elevation_events() == ["asked", "self-approved", "failed-over"]
    assert ("primary", "elevated") not in road.open_connections()


@pytest.mark.parametrize("to", ["replica", "primary"])
def test_a_connection_to_a_server_that_moved_is_replaced(walk, to):
    """The node's address leads elsewhere now, and the old connection still to the old server."""
    road = walk(to=to)
    road.run(READ)
    node = road.gate.last().node
    (old,) = road.engine.connections
    road.engine.node(node).server = "u-9"
    road.clock.seconds += 6
    assert road.run(READ).outcome == "done"
    assert old.broken
    assert road.records("intent")[-1].server == "u-9"


def test_a_connection_that_answers_as_another_server_gets_nothing_and_is_replaced(walk):
    road = walk()
    road.run(READ)
    first = road.engine.connections[0]
    first.server = "u-9"
    sent = len(road.sent())
    assert road.run(READ).outcome == "done"
    assert first.broken and len(road.sent()) == sent + 1
    (noticed,) = [record for record in road.records("notice") if record.what == "read retried"]
    assert "another server: u-9; nothing was sent" in noticed.detail


@pytest.mark.parametrize("seen", ["by measuring", "by proving"])
def test_every_connection_to_a_demoted_node_is_closed(walk, seen):
    """Both the one that wrote and the one that reads: what it was opened to is not there any more."""
    road = walk()
    road.elevate()
    road.gate.use("primary")
    road.run(READ)
    road.run(WRITE)
    assert {("primary", "read"), ("primary", "elevated")} <= set(road.open_connections())
    fail_over(road.engine)
    if seen == "by measuring":
        road.gate.topology()
    else:
        with pytest.raises(RefusedError, match="nothing was sent"):
            road.run(WRITE)
    assert not [each for each in road.open_connections() if each[0] == "primary"]


def test_a_read_that_was_sent_to_the_primary_reaches_no_replica(walk):
    road = walk(to="primary")
    road.run(READ)
    _is_a_replica_now(road.engine)
    with pytest.raises(RefusedError, match="nothing was sent: primary is now a replica"):
        road.run(READ)
    assert len(road.sent()) == 1


def test_a_connection_that_cannot_be_opened_after_the_question_sends_nothing(walk):
    road = walk(justification=JUSTIFICATION)
    road.engine.node("primary").refuses = {Account.ELEVATED}
    road.answers(True)
    with pytest.raises(UnreachableError):
        road.run(WRITE)
    assert road.sent() == []
    assert road.records("outcome")[0].outcome == "refused"


# The doors beside it.


def test_a_window_is_refused_without_a_reason_and_with_a_window_that_is_none(walk):
    road = walk()
    for how in ({"reason": " "}, {"reason": "why", "window_seconds": 0.0}, {"reason": "why", "window_seconds": 1e9}):
        with pytest.raises(RefusedError):
            road.gate.elevate(**how)
    assert road.gate.status().elevated_seconds == 0


def test_the_status_says_where_one_is_and_what_holds(walk):
    road = walk(limits={"run_seconds": 7})
    before = road.gate.status()
    assert (before.node, before.role, before.schema, before.elevated_seconds) == ("", "", "shop", 0.0)
    road.run(READ)
    road.elevate(window_seconds=60.0)
    road.clock.seconds += 10
    after = road.gate.status()
    assert (after.node, after.role, after.elevated_seconds, after.limits.run_seconds) == (
        "replica-1",
        "replica",
        50.0,
        7,
    )


def test_standing_down_closes_what_the_elevation_opened(walk):
    road = walk()
    road.elevate()
    road.run(WRITE)
    road.gate.stand_down()
    assert road.elevation_events()[-1] == "stood-down"
    assert ("primary", "elevated") not in road.open_connections()
    with pytest.raises(RefusedError, match="this writes"):
        road.run(WRITE)


def test_limits_are_tightened_freely_and_loosened_up_to_the_policy(walk):
    road = walk(policy=policy_of(ceilings={"run_seconds": 60, "fetched_rows": 20_000}))
    assert road.gate.tighten("run_seconds", 5).run_seconds == 5
    assert road.gate.tighten("fetched_rows", 20_000).fetched_rows == 20_000
    assert road.gate.status().limits.run_seconds == 5
    for name, value in (("run_seconds", 61), ("nothing", 1), ("run_seconds", -1)):
        with pytest.raises(ConfigurationError):
            road.gate.tighten(name, value)
    assert road.gate.status().limits.run_seconds == 5
    assert road.context.limits == {}


def test_notes_commands_and_code_are_recorded(walk):
    road = walk()
    road.gate.note("command", "\\use primary")
    road.gate.note("moved", "to replica-2")
    road.gate.enter_code("1 + 1")
    command, notice, code = road.records()
    assert (command.command, notice.what, notice.detail, code.source) == (
        "\\use primary", "moved", "to replica-2", "1 + 1",
    )  # fmt: skip
    assert road.happened()[-1] == "durable code"


def test_the_topology_is_measured_when_it_is_asked_for(walk):
    road = walk()
    assert [reading.node for reading in road.gate.topology()] == ["primary", "replica-1", "replica-2"]


def test_closing_ends_everything_and_says_why(walk):
    road = walk()
    road.elevate()
    road.run(WRITE)
    road.gate.close("left")
    assert road.open_connections() == []
    assert road.elevation_events()[-1] == "session-ended"
    closed = road.records("session-closed")[0]
    assert (closed.statements, closed.reason) == (1, "left")
    assert road.journal.closed


def test_closing_says_which_notices_were_not_delivered(walk):
    road = walk()

    class Spool:
        def notify(self, notice):
            pass

        def settle(self):
            return ("granted: no route",)

    road.gate._elevations._agreements._people = People(confirmer=road.confirmer, notifier=Spool())
    assert road.gate.close() == ("granted: no route",)
    assert [record.detail for record in road.records("notice")] == ["granted: no route"]


def test_closing_is_quiet_when_the_journal_is_gone(walk):
    road = walk()
    road.journal.fails_at = 1
    road.gate.close()
    assert road.records() == []


# Schemas.


def test_use_changes_the_schema_everywhere(walk):
    road = walk()
    road.run(READ)
    road.gate.use("primary")
    road.run("USE archive")
    assert road.gate.status().schema == "archive"
    assert road.open_connections() == [("primary", "read")]
    road.gate.use("")
    road.run(READ)
    assert road.gate.last().facts["stmt.tables"] == ["archive.orders"]
    assert road.engine.connections[-1].schema == "archive"
    road.gate.use_schema("shop")
    assert road.open_connections() == []


SECRETS = [
    {"id": "reads", "when": "stmt.effects.all(each, each in ['read', 'session'])", "then": "allow"},
    {"id": "secrets", "when": "'mysql.user' in stmt.tables", "then": "deny", "message": "this reads secrets"},
]


@pytest.mark.parametrize("change", ["typed", "command"])
def test_a_statement_is_read_in_the_schema_that_it_runs_in(walk, change):
    """It was split while another schema was current: what it names is something else now."""
    road = walk(policy=policy_of(rules=SECRETS))
    (statement,) = road.gate.split("SELECT user FROM user\\G")
    if change == "typed":
        road.run("USE mysql")
    else:
        road.gate.use_schema("mysql")
    with pytest.raises(DeniedError, match="this reads secrets"):
        FakeFace().run(road.gate, statement)
    assert road.gate.last().statement.vertical is True


def test_a_statement_is_read_by_the_rules_that_hold_when_it_runs(walk):
    """It was split before the servers were set to ANSI_QUOTES: what looked like a text is a table now."""
    road = walk(policy=policy_of(rules=SECRETS))
    (statement,) = road.gate.split('SELECT 1 FROM orders WHERE EXISTS (SELECT "\\" FROM mysql.user -- ")')
    assert [str(table) for table in statement.tables] == ["shop.orders"]
    road.engine.rules = ANSI
    for node in road.engine.nodes:
        node.rules = ANSI
    with pytest.raises(DeniedError, match="this reads secrets"):
        FakeFace().run(road.gate, statement)
    assert road.sent() == []


def test_an_interrupt_just_before_the_send_keeps_nothing_open(walk):
    """What is over must be let go of afterwards, and the intent has its outcome."""
    road = walk()
    road.elevate()
    (statement,) = road.gate.split(WRITE)
    calls = iter([road.clock.seconds, KeyboardInterrupt()])
    still = road.clock.monotonic

    def interrupted():
        if not road.records("intent"):
            return still()
        answer = next(calls, road.clock.seconds)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    road.clock.monotonic = interrupted
    with pytest.raises(SafeConsoleError):
        FakeFace().run(road.gate, statement)
    road.clock.monotonic = still
    assert [record.statement for record in road.records("outcome")] == [1]
    assert road.sent() == []
    road.clock.pass_by(10_000)
    road.gate.status()
    assert not road.gate.is_elevated


def test_texts_are_split_one_after_the_other(walk):
    road = walk()
    used, read = road.gate.split("USE mysql", "SELECT user FROM user")
    assert (used.kind, [str(table) for table in read.tables]) == ("use", ["mysql.user"])
    assert road.gate.split() == ()
    assert [str(table) for table in road.gate.split("SELECT id FROM t")[0].tables] == ["shop.t"]


def test_a_body_with_a_delimiter_of_its_own_is_not_cut_by_reading_it_again(walk):
    road = walk()
    body = "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END"
    (statement,) = road.gate.split(f"DELIMITER //\n{body} //\n")
    road.gate.use_schema("archive")
    road.elevate()
    FakeFace().run(road.gate, statement)
    assert road.sent()[-1][0] == body


ANSI = replace(RULES, ansi_quotes=True)
NEWER = replace(RULES, version=90_700)


@pytest.mark.parametrize(
    ("text", "rules"),
    [('SELECT "status" FROM orders', ANSI), ("SELECT 1 /*!80500 , (SELECT 2) */ FROM orders", NEWER)],
)
def test_a_text_that_one_node_reads_otherwise_is_not_sent_to_it(walk, text, rules):
    road = walk(to="replica-1")
    road.engine.node("replica-1").rules = rules
    with pytest.raises(DeniedError, match="does not mean the same") as caught:
        road.run(text)
    assert road.sent() == []
    assert "estimate" not in [event[0] for event in road.events]
    assert any(str(rules.version) in line for line in caught.value.evidence)
    assert road.run(READ).outcome == "done"


def test_a_write_that_the_primary_reads_otherwise_is_not_sent_to_it(walk):
    road = walk()
    road.engine.node("primary").rules = ANSI
    road.elevate()
    with pytest.raises(DeniedError, match="does not mean the same"):
        road.run('UPDATE orders SET status = "paid" WHERE id = 1')
    assert road.sent() == []


# Everything at once.


@pytest.mark.parametrize("seed", range(20))
def test_no_statement_is_sent_without_its_own_durable_intent_before_it(walk, seed):
    """Whatever is typed, answered and broken: every send has one intent of its own, right before it."""
    road = walk()
    answers = itertools.cycle([seed & 1 == 0, seed & 2 == 0, KeyboardInterrupt()])
    texts = [READ, ASKED, WRITE, "USE archive", CLOSED, "SELECT 1", HELD]
    for step, text in enumerate(texts[seed % 7 :] + texts[: seed % 7]):
        road.answers(next(answers))
        if step == seed % 5:
            road.engine.answers[text] = Planned(fault=OutcomeUnknownError("lost"))
        if step == seed % 4:
            try:
                road.gate.elevate(reason="why")
            except SafeConsoleError:
                pass
        try:
            road.run(text)
        except (SafeConsoleError, KeyboardInterrupt):
            pass
    happened = [each for each in road.happened() if each in {"durable intent", "sent"}]
    assert happened == ["durable intent", "sent"] * (len(happened) // 2)


def test_a_window_is_asked_for_with_every_node_as_it_is_now(walk):
    road = walk()
    road.run(READ)
    road.elevate()
    (request,) = [event[1] for event in road.events if event[0] == "elevate"]
    assert [line.split(",")[0] for line in request.evidence] == ["node: primary", "node: replica-1", "node: replica-2"]


def test_the_question_of_a_window_shows_the_cluster_and_not_what_ran_last(walk):
    road = walk()
    road.run(READ)
    road.elevate()
    ((_, request, considered),) = [event for event in road.events if event[0] == "elevate"]
    assert considered is None
    assert len(request.evidence) == 3
    assert all(line.startswith("node: ") for line in request.evidence)


def test_an_elevation_that_its_account_cannot_use_is_not_offered_again(walk):
    road = walk()
    road.elevate()
    road.engine.answers[WRITE] = Planned(fault=ServerError(1142, "UPDATE command denied"))
    with pytest.raises(ServerError):
        road.run(WRITE)
    road.gate.stand_down()
    with pytest.raises(RefusedError) as refused:
        road.run(WRITE.replace("1", "2"))
    assert not refused.value.remedies
    assert "the elevated account may not do this: the server answered 1142 to its like" in refused.value.evidence
    assert "safeconsole doctor --grants" in refused.value.instead
    # Of another table nothing is known.
    with pytest.raises(RefusedError) as refused:
        road.run("UPDATE customers SET name = 'x' WHERE id = 1")
    assert refused.value.remedies
