"""BEGIN, COMMIT and ROLLBACK typed by a person do what they say, or say why not."""

import pytest

from safeconsole.core.errors import DeniedError, NoFitNodeError, RefusedError
from tests.gate.conftest import HELD, PLEA, READ, WRITE, policy_of


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


@pytest.mark.parametrize("how", ["window", "plea"])
def test_a_transaction_of_elevated_statements_is_refused_rather_than_played(walk, how):
    """Each elevated statement is committed when it is over: a ROLLBACK after it would undo nothing."""
    road = walk(plea=PLEA if how == "plea" else None)
    if how == "window":
        road.elevate()
    with pytest.raises(DeniedError, match="not held together") as caught:
        road.run("BEGIN")
    assert caught.value.instead == "leave BEGIN and COMMIT out"
    assert road.sent() == []


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
    road = walk(plea=PLEA)
    road.run("SELECT 1")
    road.gate._nodes.transaction = ("replica-1", road.engine.connections[0].account)
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
