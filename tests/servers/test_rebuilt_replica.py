"""A replica is rebuilt under its address while consoles are open: another server answers there, and each one notices."""

from contextlib import ExitStack

import pytest

from safeconsole.errors import LostError, NotSentError
from tests.harness.desk import joined, seated
from tests.harness.proxy import Proxy

HERE = "SELECT @@port"


@pytest.fixture
def rebuilt(cluster, tmp_path):
    """Consoles on a replica that can be rebuilt, and what does that: its address leads to another server from then on."""
    old, new = cluster.replicas
    proxy = Proxy(old.host, old.port)
    nodes = {"primary": f"{cluster.primary.host}:{cluster.primary.port}", "replica": proxy.address}

    def rebuild():
        proxy.lead_to(new.host, new.port)
        proxy.cut()

    with ExitStack() as seats:
        first = seats.enter_context(seated(cluster, tmp_path, nodes=nodes, discovery="off"))
        desks = [first, *(seats.enter_context(joined(first)) for _ in range(4))]
        for desk in desks:
            assert desk.run(HERE).table == [(old.port,)]
        yield desks, rebuild, new.port
    proxy.close()


def identities(desk):
    return {reading.node: reading.identity.server for reading in desk.session.topology()}


def test_consoles_that_are_open_read_from_the_new_server_and_know_it(rebuilt):
    desks, rebuild, new_port = rebuilt
    before = identities(desks[0])
    rebuild()
    for desk in desks:
        # Nothing had been sent over what was lost, so that nobody has to ask again.
        assert desk.run(HERE).table == [(new_port,)]
    after = identities(desks[0])
    assert after["primary"] == before["primary"]
    assert after["replica"] != before["replica"]
    # What was known of the old server's plans is not believed of the new one.
    assert desks[1].run("SELECT id FROM orders WHERE id = 7").table == [(7,)]
    assert desks[1].run("SELECT id FROM orders WHERE id = 8").table == [(8,)]


def test_what_was_open_on_the_old_server_is_told_to_be_gone(rebuilt):
    desks, rebuild, new_port = rebuilt
    variable, transaction, change = desks[:3]
    variable.run("SET @mine = 41")
    transaction.run("START TRANSACTION READ ONLY")
    transaction.run(HERE)
    rebuild()
    transaction.run(HERE)
    # It only read, so nothing is lost with it; its end is on record.
    assert any("transaction" in record["what"] for record in transaction.records("notice"))
    # A value that is gone is not read as if it had never been set, without a word.
    shown = _shown_or_told(variable, "SELECT @mine")
    assert shown != [(41,)]
    # The next statement goes on, on the new server.
    for desk in (variable, transaction):
        desk.seconds_until(HERE)
        assert desk.run(HERE).table == [(new_port,)]
    assert change.run("UPDATE orders SET status = status WHERE id = 7").ended.changed_rows == 0


def _shown_or_told(desk, text):
    try:
        return desk.run(text).table
    except (NotSentError, LostError) as error:
        return error.message


def test_a_server_that_changes_between_plan_and_send_gets_nothing(rebuilt):
    desks, rebuild, new_port = rebuilt
    desk = desks[0]
    (statement,) = desk.session.split("SELECT id FROM orders WHERE id = 7")
    considered = desk.session.check(statement)
    assert considered.node == "replica"
    rebuild()
    assert desk.run("SELECT id FROM orders WHERE id = 7").table == [(7,)]
    assert desk.run(HERE).table == [(new_port,)]
