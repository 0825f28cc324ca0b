"""A whole cluster found from one node: real servers of both flavours, of which the configuration names one."""

import pymysql
import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.mysql.engine import open_engine
from safeconsole.errors import ConfigurationError, UnreachableError
from safeconsole.sqltext.vocabulary import Account, NodeName, Role

from safeconsole.mysql.node import REFUSED_SECONDS
from tests.harness.fakes import FakeClock
from tests.harness.desk import listen, seated, times_sent
from tests.harness.talking import GivenSecrets, RealClock, settings_for, wait_for
from safeconsole.demo import servers as replication
from tests.harness.clusters import kill, promote

FLAVOURS = ("mysql", "mariadb")
SEES = {
    "mysql": "GRANT REPLICATION SLAVE ON *.* TO console_read@'%'",
    "mariadb": "GRANT REPLICATION MASTER ADMIN ON *.* TO console_read@'%'",
}
SEES_HOSTS = {
    "mysql": "GRANT SELECT (PROCESSLIST_COMMAND, PROCESSLIST_HOST) ON performance_schema.threads TO console_read@'%'",
    "mariadb": "GRANT PROCESS ON *.* TO console_read@'%'",
}
UNSEEN = {
    "mysql": "whether others copy from it cannot be seen: grant SELECT (PROCESSLIST_COMMAND, PROCESSLIST_HOST)"
    " ON performance_schema.threads, or list every node",
    "mariadb": "1 more that copy from it are not found: list every node",
}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=FLAVOURS)
def cluster(request, private_cluster):
    return private_cluster(request.param)


def dba(cluster, node, *statements):
    with cluster.dba_connect(node) as connection, connection.cursor() as cursor:
        for each in statements:
            cursor.execute(each)


def grant(cluster, statement):
    dba(cluster, cluster.primary, statement)
    cluster.wait_caught_up()


def address(node):
    return f"{node.host}:{node.port}"


def engine_at(cluster, node, *, clock=None, **changes):
    names = {address(each): each.name for each in cluster.nodes}
    settings = settings_for([address(node)], names=names, **changes)
    return open_engine("shop", settings, GivenSecrets(cluster.accounts), clock or RealClock())


def seen_from(cluster, node, **changes):
    engine = engine_at(cluster, node, **changes)
    try:
        return {str(reading.node): reading for reading in engine.topology()}
    finally:
        engine.close()


def test_the_whole_cluster_is_found_from_any_one_node(cluster):
    grant(cluster, SEES[cluster.flavour])
    for start in cluster.nodes:
        readings = seen_from(cluster, start)
        assert {name: reading.role for name, reading in readings.items()} == {
            "primary": Role.PRIMARY,
            "replica-1": Role.REPLICA,
            "replica-2": Role.REPLICA,
        }
        assert {name for name, reading in readings.items() if not reading.found} == {start.name}
        assert readings["primary"].unseen == ""
        if start.name == "replica-1":
            assert readings["primary"].found == "the source of replica-1"
            assert readings["replica-2"].found == "copies from primary"


def test_what_the_account_may_not_see_is_said(cluster):
    readings = seen_from(cluster, cluster.replicas[0])
    assert set(readings) == {"primary", "replica-1"}
    assert readings["primary"].unseen == UNSEEN[cluster.flavour]
    everything = {address(node): node.name for node in cluster.nodes}
    settings = settings_for(everything, names=everything)
    engine = open_engine("shop", settings, GivenSecrets(cluster.accounts), RealClock())
    primary = next(reading for reading in engine.topology() if reading.node == "primary")
    engine.close()
    # MariaDB counts them for everybody, so that nobody is asked for what is not missing.
    assert (primary.unseen == "") is (cluster.flavour == "mariadb")


def test_what_is_granted_later_is_seen_without_a_new_console(cluster):
    clock = FakeClock()
    engine = engine_at(cluster, cluster.replicas[0], clock=clock)

    def unseen():
        return next(reading.unseen for reading in engine.topology() if reading.node == "primary")

    try:
        assert unseen() == UNSEEN[cluster.flavour]
        grant(cluster, SEES[cluster.flavour])
        clock.pass_by(REFUSED_SECONDS)
        assert unseen() == ""
    finally:
        engine.close()


def test_a_replica_is_looked_for_at_the_host_that_reads_the_binary_log(cluster, private_cluster):
    grant(cluster, SEES_HOSTS[cluster.flavour])
    readings = seen_from(cluster, cluster.primary)
    # Here every server has a port of its own, so that the host leads back to the primary, which is no second node.
    assert set(readings) == {"primary"}
    assert readings["primary"].unseen.startswith("2 more that copy from it are not found: ")


def test_a_found_node_is_read_changed_and_followed_through_a_failover(cluster, tmp_path):
    grant(cluster, SEES[cluster.flavour])
    listen(cluster)
    only = {"primary": address(cluster.primary)}
    with seated(cluster, tmp_path / "desk", nodes=only, connect_seconds=1.5) as desk:
        assert desk.port() in {node.port for node in cluster.replicas}
        kill(cluster.primary)
        promote(cluster, cluster.replicas[0])
        # The one node that is configured is dead; those that it named are remembered.
        change = "UPDATE orders SET total = total + 1 WHERE id = 1 AND 'mark found' = 'mark found'"
        seconds, errors, shown = desk.seconds_until(change)
        assert shown.where == address(cluster.primary)
        assert times_sent(cluster, "mark found") == 1
        seconds, errors, shown = desk.seconds_until("SELECT @@port")
        assert shown.table == [(cluster.replicas[0].port,)]


def test_found_nodes_are_only_shown_or_not_looked_for_where_the_configuration_says_so(cluster, tmp_path):
    grant(cluster, SEES[cluster.flavour])
    shown = seen_from(cluster, cluster.replicas[0], discovery="show")
    assert {name: reading.role for name, reading in shown.items()} == {
        "primary": Role.UNKNOWN,
        "replica-1": Role.REPLICA,
        "replica-2": Role.UNKNOWN,
    }
    assert 'discovery = "show" only shows what is found; it says primary: read_only=0' in shown["primary"].proof
    assert set(seen_from(cluster, cluster.replicas[0], discovery="off")) == {"replica-1"}
    only = {"replica-1": address(cluster.replicas[0])}
    with seated(cluster, tmp_path / "desk", nodes=only, discovery="show") as desk:
        desk.run("SELECT COUNT(*) FROM orders")
        refused = desk.error_of("UPDATE orders SET total = total + 1 WHERE id = 1")
        assert exit_code_of(refused) == 8 and any("only shows" in line for line in refused.evidence)


def test_one_that_follows_another_cluster_now_is_not_used_any_more(cluster, private_cluster):
    grant(cluster, SEES[cluster.flavour])
    other, leaves = private_cluster(cluster.flavour, replicas=0, name="other"), cluster.replicas[1]
    engine = engine_at(cluster, cluster.primary)
    before = {str(reading.node): reading.role for reading in engine.topology()}
    assert before == {"primary": Role.PRIMARY, "replica-1": Role.REPLICA, "replica-2": Role.REPLICA}
    with cluster.dba_connect(leaves) as connection:
        replication.tell(connection, "STOP REPLICA", "RESET REPLICA ALL")
        password = other.accounts["replicator"]
        port = other.primary.port
        replication.follow(connection, cluster.flavour, port=port, account="replicator", password=password)
        wait_for(lambda: _source_id(connection))
    readings = {str(reading.node): reading for reading in engine.topology()}
    assert readings["replica-1"].role is Role.REPLICA
    assert readings["replica-2"].role is Role.UNKNOWN
    assert "nothing shows that it copies from a node of this cluster" in readings["replica-2"].proof
    with pytest.raises(ConfigurationError):
        engine.connect(NodeName("nowhere"), Account.READ)
    with pytest.raises(UnreachableError, match="not used"):
        engine.connect(NodeName("replica-2"), Account.READ)
    engine.close()


def _source_id(connection):
    """Whom a server copies from, once it knows."""
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW REPLICA STATUS")
        row = cursor.fetchone()
    return row.get("Source_UUID") or row.get("Master_Server_Id")
