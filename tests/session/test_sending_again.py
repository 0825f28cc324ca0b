"""A read that was lost with its replica is sent once more, and only where nobody could tell the difference."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeconsole.errors import LostError, OutcomeUnknownError, SafeConsoleError, StoppedError, UnreachableError
from tests.harness.fakes import FakeFace, Planned
from tests.session.conftest import ASKED, READ, WRITE, Walk, policy_of

ALONE = (READ, "SELECT COUNT(*) FROM orders", "SELECT NOW()", "SHOW TABLES")
NOT_ALONE = (
    "SELECT FOUND_ROWS()",
    "SELECT LAST_INSERT_ID()",
    "SELECT CONNECTION_ID()",
    "SELECT id FROM orders WHERE id = @mine",
    "SELECT IS_USED_LOCK('mine')",
)


def lost():
    return LostError(
        "the connection to replica-1:3306 was lost while the statement ran", by="server", verified="unreachable"
    )


def dies(walk, text, *, batches=(), fault=None, dead="replica-1", then=None):
    """Have the replica that is asked first die under a text; a second answers it."""
    tries = iter(
        [
            lambda: _falls(walk, dead, Planned(batches=batches, fault=fault or lost())),
            lambda: then or Planned(batches=([(1,)],)),
        ]
    )
    walk.engine.answers[text] = lambda: next(tries)()


def _falls(walk, dead, planned):
    if dead:
        walk.engine.node(dead).unreachable = "connection refused"
    return planned


@pytest.fixture
def screen(walk):
    return FakeFace([])


def test_a_read_that_was_lost_with_its_replica_is_sent_to_another(screen):
    walk = Walk()
    dies(walk, READ)
    ended = walk.run(READ, screen)
    assert [(node, account) for _, node, account in walk.sent()] == [("replica-1", "read"), ("replica-2", "read")]
    assert (ended.outcome, ended.rows) == ("done", 1)
    # Two statements on record, each with its own intent and outcome, and the reason between them.
    assert [intent.node for intent in walk.records("intent")] == ["replica-1", "replica-2"]
    assert [intent.statement for intent in walk.records("intent")] == [1, 2]
    assert [(each.statement, each.outcome) for each in walk.records("outcome")] == [(1, "unseen"), (2, "done")]
    told = "retried on replica-2: the connection to replica-1:3306 was lost while the statement ran; no row"
    assert [each.what for each in walk.records("notice")][0] == "read retried"
    assert any(
        each.detail.startswith(told) and each.what == "said beside statement 2" for each in walk.records("notice")
    )


def test_the_person_is_told_and_sees_one_answer(screen):
    walk = Walk()
    dies(walk, READ)
    walk.run(READ, screen)
    (begun,) = [event for event in screen.events if event[0] == "begin"]
    assert [event[0] for event in screen.events] == ["begin", "shown"]
    assert any(note.startswith("retried on replica-2") for note in begun[1].notes)


def test_it_is_sent_again_once(screen):
    walk = Walk()
    dies(walk, READ, then=Planned(fault=lost()))
    with pytest.raises(LostError):
        walk.run(READ, screen)
    assert len(walk.sent()) == 2


def test_not_after_a_row_was_shown(screen):
    walk = Walk()
    dies(walk, READ, batches=([(1,)],))
    with pytest.raises(LostError):
        walk.run(READ, screen)
    assert len(walk.sent()) == 1
    assert [event[0] for event in screen.events] == ["begin", "shown"]


def test_not_when_only_the_connection_was_ended():
    """The server lives: somebody meant to end it."""
    walk = Walk()
    dies(walk, READ, dead="")
    with pytest.raises(LostError):
        walk.run(READ)
    assert len(walk.sent()) == 1


def test_not_when_no_other_replica_is_fit():
    walk = Walk()
    walk.engine.node("replica-2").replicating = False
    dies(walk, READ)
    with pytest.raises(LostError, match="was lost"):
        walk.run(READ)
    assert len(walk.sent()) == 1


@pytest.mark.parametrize("text", NOT_ALONE)
def test_not_what_hangs_on_its_connection(text):
    walk = Walk()
    dies(walk, text)
    with pytest.raises(LostError):
        walk.run(text)
    assert len(walk.sent()) == 1


def test_not_once_a_variable_was_set():
    walk = Walk()
    walk.run("SET @mine = 1")
    dies(walk, READ)
    with pytest.raises(LostError):
        walk.run(READ)
    assert [text for text, _, _ in walk.sent()].count(READ) == 1


def test_not_in_a_transaction():
    walk = Walk()
    walk.run("BEGIN")
    dies(walk, READ)
    with pytest.raises(LostError):
        walk.run(READ)
    assert [text for text, _, _ in walk.sent()].count(READ) == 1


def test_not_where_the_person_named_the_node():
    walk = Walk()
    walk.gate.use("replica-1")
    dies(walk, READ)
    with pytest.raises(LostError):
        walk.run(READ)
    assert len(walk.sent()) == 1


def test_not_what_somebody_was_asked_about():
    walk = Walk()
    walk.answers(True)
    dies(walk, ASKED)
    with pytest.raises(LostError):
        walk.run(ASKED)
    assert len(walk.sent()) == 1


def test_not_what_the_replica_may_have_died_of():
    heavy = {"at_once": 1, "heavy": "'shop.orders' in stmt.tables"}
    walk = Walk(policy=policy_of(slots=heavy))
    dies(walk, READ)
    with pytest.raises(LostError):
        walk.run(READ)
    assert len(walk.sent()) == 1


def test_not_what_the_console_asks_for_itself():
    walk = Walk()
    dies(walk, READ)
    with pytest.raises(LostError):
        walk.run(READ, by_console=True)
    assert len(walk.sent()) == 1


def test_a_read_that_was_stopped_is_not_sent_again():
    walk = Walk()
    dies(walk, READ, fault=StoppedError("killed", by="server", verified="already over"))
    with pytest.raises(StoppedError):
        walk.run(READ)
    assert len(walk.sent()) == 1


def test_a_change_is_never_sent_again():
    walk = Walk()
    walk.elevate()
    dies(walk, WRITE, fault=OutcomeUnknownError("lost"), dead="primary")
    with pytest.raises(OutcomeUnknownError):
        walk.run(WRITE)
    assert len(walk.sent()) == 1


# Before anything was sent.


def test_a_replica_that_does_not_answer_before_the_send_is_left_for_one_that_does(screen):
    walk = Walk()

    def deaf():
        walk.engine.node("replica-1").unreachable = "it does not answer"
        walk.engine.hooks.clear()
        raise UnreachableError("replica-1:3306 does not answer: nothing was sent")

    walk.engine.hooks["estimate"] = deaf
    walk.run(READ, screen)
    assert [node for _, node, _ in walk.sent()] == ["replica-2"]
    assert [(each.statement, each.outcome) for each in walk.records("outcome")] == [(1, "refused"), (2, "done")]
    (begun,) = [event for event in screen.events if event[0] == "begin"]
    assert any("nothing had been sent" in note for note in begun[1].notes)


# Whatever happens.

WORLD = st.fixed_dictionaries(
    {
        "text": st.sampled_from((*ALONE, *NOT_ALONE, ASKED, WRITE)),
        "before": st.sampled_from(((), ("SET @mine = 1",), ("BEGIN",), ("BEGIN", "SELECT 2"))),
        "shown": st.booleans(),
        "dead": st.sampled_from(("replica-1", "replica-2", "primary", "")),
        "to": st.sampled_from(("", "replica", "primary", "replica-1")),
        "second": st.sampled_from(("answers", "lost", "stopped")),
        "other": st.sampled_from(("fit", "stopped", "dead")),
    }
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=WORLD)
def test_whatever_happens_a_text_is_sent_twice_only_where_that_is_safe(world):
    walk = Walk()
    walk.elevate()
    for text in world["before"]:
        walk.run(text)
    walk.gate.use(world["to"])
    other = walk.engine.node("replica-2")
    other.replicating, other.unreachable = world["other"] != "stopped", "gone" if world["other"] == "dead" else ""
    then = {
        "answers": None,
        "lost": Planned(fault=lost()),
        "stopped": Planned(fault=StoppedError("killed", by="server")),
    }
    walk.answers(True, True)
    batches = ([(1,)],) if world["shown"] else ()
    dies(walk, world["text"], batches=batches, dead=world["dead"], then=then[world["second"]])
    screen = FakeFace([])
    try:
        walk.run(world["text"], screen)
    except SafeConsoleError:
        pass
    sent = [node for text, node, _ in walk.sent() if text == world["text"]]
    safe = (
        world["text"] in ALONE
        and not world["before"]
        and not world["shown"]
        and world["to"] in ("", "replica")
        and world["other"] == "fit"
        and world["dead"] == "replica-1"
    )
    assert len(sent) == 2 if safe else len(sent) <= 1, world
    assert len(set(sent)) == len(sent)
    # What was sent was on record first, each time.
    assert len([1 for intent in walk.records("intent") if intent.digest]) == len(walk.sent())
    assert [event[0] for event in screen.events] in ([], ["begin", "shown"])
