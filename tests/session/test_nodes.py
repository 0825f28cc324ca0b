"""What a session holds of its cluster: readings for a moment, one connection for each node and account."""

import pytest

from safeconsole.errors import ConfigurationError, UnreachableError
from safeconsole.policy.readings import Gates
from safeconsole.sqltext.vocabulary import Account, NodeName, Role, Route
from safeconsole.session.cache import HOLD_SECONDS, CacheKind
from safeconsole.session.connections import Nodes
from tests.harness.fakes import FakeClock, FakeEngine, three_nodes

PRIMARY, FIRST, SECOND = NodeName("primary"), NodeName("replica-1"), NodeName("replica-2")


class Cluster:
    """Nodes with everything beside them."""

    def __init__(self):
        self.events = []
        self.clock = FakeClock()
        self.engine = FakeEngine(self.clock, self.events, nodes=three_nodes())
        self.nodes = Nodes(self.engine, self.clock, "shop")

    def choose(self, route=Route.REPLICA, node="", connected=True):
        return self.nodes.choose(route, Gates(), node=node, connected=connected)

    def chosen(self, **how):
        return self.choose(**how).reading.node

    def measured(self):
        return [event[0] for event in self.events].count("topology")


@pytest.fixture
def cluster():
    return Cluster()


def test_readings_are_believed_for_a_moment(cluster):
    cluster.choose()
    cluster.clock.seconds += HOLD_SECONDS[CacheKind.READINGS]
    cluster.choose()
    assert cluster.measured() == 1
    cluster.clock.seconds += 0.1
    cluster.choose()
    assert cluster.measured() == 2


def test_nothing_is_refused_on_an_old_reading(cluster):
    for node in (FIRST, SECOND):
        cluster.engine.node(node).replicating = False
    assert cluster.choose().reading is None
    cluster.engine.node(SECOND).replicating = True
    cluster.clock.seconds += 0.1
    assert cluster.chosen() == SECOND
    assert cluster.measured() == 2


def test_what_is_forgotten_is_measured_again(cluster):
    cluster.choose()
    cluster.nodes.forget()
    cluster.choose()
    assert cluster.measured() == 2


def test_roles_are_what_was_measured(cluster):
    assert cluster.nodes.role_of(PRIMARY) is Role.UNKNOWN
    cluster.nodes.measure()
    assert [cluster.nodes.role_of(node) for node in (PRIMARY, FIRST, None)] == [
        Role.PRIMARY, Role.REPLICA, Role.UNKNOWN,
    ]  # fmt: skip


def test_a_node_that_refuses_is_out_and_the_next_is_tried(cluster):
    cluster.engine.node(FIRST).refuses = {Account.READ}
    assert cluster.chosen() == SECOND
    cluster.engine.node(SECOND).refuses = {Account.READ}
    cluster.nodes.close()
    choice = cluster.choose()
    assert choice.reading is None
    assert all("access denied" in reason for reason in choice.reasons if reason.startswith("replica"))


def test_nothing_is_connected_where_that_was_not_asked_for(cluster):
    assert cluster.chosen(route=Route.PRIMARY, connected=False) == PRIMARY
    assert cluster.engine.connections == []


def test_a_node_that_is_not_there_is_a_mistake_of_the_person(cluster):
    with pytest.raises(ConfigurationError, match="no node replica-9"):
        cluster.choose(node="replica-9")


def test_one_connection_serves_one_node_and_account(cluster):
    first = cluster.nodes.connect(FIRST, Account.READ)
    assert cluster.nodes.connect(FIRST, Account.READ) is first
    assert cluster.nodes.connect(FIRST, Account.ELEVATED) is not first
    assert first.schema == "shop"


def test_a_broken_connection_is_closed_and_replaced(cluster):
    first = cluster.nodes.connect(FIRST, Account.READ)
    first.broken = True
    assert cluster.nodes.connect(FIRST, Account.READ) is not first
    assert ("close", "replica-1", Account.READ) in cluster.events


def test_a_connection_that_cannot_be_opened_leaves_nothing_behind(cluster):
    cluster.engine.node(FIRST).unreachable = "no route"
    with pytest.raises(UnreachableError):
        cluster.nodes.connect(FIRST, Account.READ)
    cluster.nodes.close()
    assert [event for event in cluster.events if event[0] == "close"] == []


def test_discarding_says_whose_connections_were_broken(cluster):
    reading, elevated = cluster.nodes.connect(FIRST, Account.READ), cluster.nodes.connect(PRIMARY, Account.ELEVATED)
    assert cluster.nodes.discard_broken() == set()
    reading.broken = True
    assert cluster.nodes.discard_broken() == {Account.READ}
    elevated.broken = True
    assert cluster.nodes.discard_broken() == {Account.ELEVATED}
    assert cluster.nodes.discard_broken() == set()


def test_another_schema_closes_everything_but_the_connection_that_is_in_it(cluster):
    kept, other = cluster.nodes.connect(FIRST, Account.READ), cluster.nodes.connect(SECOND, Account.READ)
    cluster.nodes.change_schema("archive", keep=kept)
    assert (kept.broken, other.broken, cluster.nodes.schema) == (False, True, "archive")
    assert cluster.nodes.connect(SECOND, Account.READ).schema == "archive"
    cluster.nodes.change_schema("shop")
    assert kept.broken


def test_another_schema_takes_along_what_can_go_there(cluster):
    elevated, other = cluster.nodes.connect(PRIMARY, Account.ELEVATED), cluster.nodes.connect(SECOND, Account.READ)
    cluster.engine.node(PRIMARY).enters = True
    cluster.nodes.change_schema("archive")
    assert (elevated.schema, elevated.broken, other.broken) == ("archive", False, True)
    assert cluster.nodes.connect(PRIMARY, Account.ELEVATED) is elevated


def test_only_elevated_connections_are_dropped_with_the_elevation(cluster):
    reading, elevated = cluster.nodes.connect(PRIMARY, Account.READ), cluster.nodes.connect(PRIMARY, Account.ELEVATED)
    cluster.nodes.drop_elevated()
    assert (reading.broken, elevated.broken) == (False, True)


def test_closing_closes_everything_once(cluster):
    cluster.nodes.connect(PRIMARY, Account.READ)
    cluster.nodes.close()
    cluster.nodes.close()
    assert [event[0] for event in cluster.events].count("close") == 1


def test_another_primary_is_noticed_once_and_none_is_no_other(cluster):
    primary = cluster.engine.node(PRIMARY)
    cluster.nodes.measure()
    primary.unreachable = "no route"
    cluster.nodes.measure()
    assert cluster.nodes.take_failover() is False
    primary.unreachable = ""
    cluster.nodes.measure()
    assert cluster.nodes.take_failover() is False
    primary.server = "u-9"
    cluster.nodes.measure()
    assert [cluster.nodes.take_failover(), cluster.nodes.take_failover()] == [True, False]


def test_a_move_to_another_node_is_said_until_it_was_used(cluster):
    assert cluster.choose().notes == ()
    cluster.nodes.was_used(FIRST, Route.REPLICA)
    cluster.engine.node(FIRST).unreachable = "no route"
    cluster.nodes.forget()
    for _ in range(2):
        assert cluster.choose().notes == ("replica-2 takes the place of replica-1: unreachable: no route",)
    cluster.nodes.was_used(SECOND, Route.REPLICA)
    assert cluster.choose().notes == ()


def test_who_names_a_node_is_not_told_that_it_is_another(cluster):
    cluster.choose()
    cluster.nodes.was_used(FIRST, Route.REPLICA)
    assert cluster.choose(node=SECOND).notes == ()


def test_a_move_from_a_node_that_left_the_cluster_is_said(cluster):
    cluster.choose()
    cluster.nodes.was_used(FIRST, Route.REPLICA)
    cluster.engine.nodes.remove(cluster.engine.node(FIRST))
    cluster.nodes.forget()
    assert cluster.choose().notes == ("replica-2 takes the place of replica-1: not there any more",)
