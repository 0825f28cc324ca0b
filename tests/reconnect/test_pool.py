"""What an application's pool does while servers are told to leave, move, die, and come back."""

import statistics
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from safeconsole import reconnect
from tests.harness.talking import wait_for

DRIVERS = ("pymysql", "mysqldb", "mysqlconnector")


@pytest.fixture(params=["mysql", "mariadb"])
def cluster(request, shared_clusters):
    return shared_clusters(request.param)


def port_of(connection):
    return connection.execute(text("SELECT @@port")).scalar()


def thread_of(connection):
    return connection.execute(text("SELECT CONNECTION_ID()")).scalar()


def fill(engine, number, asked=port_of):
    """Have a pool open so many connections at once; returns what each was asked, the ports they lead to."""
    held = [engine.connect() for _ in range(number)]
    answers = [asked(connection) for connection in held]
    for connection in held:
        connection.close()
    return answers


def kill(cluster, threads):
    """End connections to the primary, as its DBA; nobody else's, since other tests use the same account there."""
    listed = ", ".join(map(str, threads))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for thread in threads:
            cursor.execute(f"KILL {thread}")
        gone = f"SELECT id FROM information_schema.processlist WHERE id IN ({listed})"
        wait_for(lambda: not cursor.execute(gone))


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_engine_that_writes_finds_the_primary_among_the_nodes(cluster, application, driver):
    nodes = [f"{node.host}:{node.port}" for node in (*cluster.replicas, cluster.primary)]
    engine, installed = application(cluster, driver=driver, nodes=nodes)
    assert set(fill(engine, 3)) == {cluster.primary.port}
    unfit = installed.counters().unfit
    assert set(unfit.values()) == {"it refuses writes: not the primary"} and len(unfit) == len(cluster.replicas)


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_engine_that_reads_is_spread_evenly_over_the_replicas(cluster, application, driver):
    engine, installed = application(cluster, driver=driver, role="replica", pool=6)
    ports = fill(engine, 6)
    counted = {node.port: ports.count(node.port) for node in cluster.replicas}
    # One that was slow to answer for a moment may have one less.
    assert sum(counted.values()) == 6 and min(counted.values()) >= 2
    primary = f"127.0.0.1:{cluster.primary.port}"
    assert installed.counters().unfit == {primary: "it takes writes: not a replica"}
    assert installed.counters().spread == {**{f"127.0.0.1:{port}": n for port, n in counted.items()}, primary: 0}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_connection_that_the_server_closed_reaches_no_request(shared_clusters, application, driver):
    cluster = shared_clusters("mysql")
    engine, installed = application(cluster, driver=driver, prove_seconds=0.2)
    kill(cluster, fill(engine, 3, asked=thread_of))
    time.sleep(0.3)
    assert set(fill(engine, 3)) == {cluster.primary.port}
    counters = installed.counters()
    assert (counters.closed, counters.invalidations) == (3, 0)


def test_a_replica_alone_is_not_taken_for_a_primary(cluster, application):
    replica = cluster.replicas[0]
    engine, _ = application(cluster, nodes=[f"{replica.host}:{replica.port}"], patience_seconds=2)
    with pytest.raises(OperationalError, match="no fit node as primary in 2 s: .*it refuses writes"):
        engine.connect()


def test_a_wrong_password_is_said_at_once(cluster, application):
    engine, _ = application(cluster, patience_seconds=30, password="no")
    started = time.monotonic()
    with pytest.raises(OperationalError, match="1045"):
        engine.connect()
    assert time.monotonic() - started < 10


def test_a_connection_is_replaced_for_its_age_before_anybody_gets_it(cluster, application):
    engine, installed = application(cluster, max_age_seconds=0.3)
    fill(engine, 2)
    time.sleep(0.31)
    fill(engine, 2)
    assert installed.counters().too_old == 2 and installed.counters().connects == 4


def test_looking_at_a_connection_costs_under_a_tenth_of_a_millisecond(cluster, application):
    engine, installed = application(cluster, prove_seconds=60)
    fill(engine, 1)
    seconds = []
    for _ in range(500):
        with engine.connect() as connection:
            record = connection.connection._connection_record
            started = time.thread_time()
            installed._check(connection.connection.dbapi_connection, record, None)
            seconds.append(time.thread_time() - started)
    assert statistics.median(seconds) < 0.002


def test_the_look_leaves_the_connection_as_it_was(cluster, application):
    engine, installed = application(cluster, prove_seconds=0.001)
    fill(engine, 1)
    time.sleep(0.01)
    with engine.connect() as connection:
        # Refused inside a transaction: so none was begun by the look.
        connection.execute(text("SET TRANSACTION READ ONLY"))
    assert installed.counters().proofs >= 1


def test_what_the_application_broke_itself_empties_no_pool(cluster, application):
    engine, installed = application(cluster)
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("SELECT nothing FROM nowhere"))
    assert installed.counters().invalidations == 0


def test_a_lost_connection_empties_the_whole_pool(cluster, application):
    engine, installed = application(cluster, jitter_seconds=0.01)
    fill(engine, 4)
    with engine.connect() as connection:
        kill(cluster, [thread_of(connection)])
        with pytest.raises(OperationalError):
            connection.execute(text("SELECT 1"))
    fill(engine, 4)
    counters = installed.counters()
    assert (counters.invalidations, counters.connects) == (1, 8)


def test_connections_spread_again_when_a_node_is_back(cluster, application, proxied):
    proxies = proxied(cluster)
    engine, installed = application(
        cluster,
        role="replica",
        nodes=[proxies[node.name].address for node in cluster.replicas],
        pool=6,
        probe_seconds=0.2,
        move_seconds=0.01,
    )
    fill(engine, 6)
    gone, stays = (proxies[node.name] for node in cluster.replicas)
    gone.refuse()
    gone.cut()
    for _ in range(20):
        # Not one request fails: the dead are seen before they are handed out.
        assert fill(engine, 6) == [cluster.replicas[1].port] * 6
    assert installed.counters().spread == {gone.address: 0, stays.address: 6}
    assert gone.address in installed.counters().unfit
    gone.accept_again()

    def is_even():
        fill(engine, 6)
        return set(installed.counters().spread.values()) == {3}

    wait_for(is_even)
    assert installed.counters().moved >= 3 and installed.counters().invalidations == 0


@pytest.mark.parametrize("driver", ["pymysql", "mysqlconnector"])
def test_a_node_that_goes_deaf_holds_up_no_request_for_long(shared_clusters, application, proxied, driver):
    cluster = shared_clusters("mariadb")
    proxies = proxied(cluster)
    engine, _ = application(
        cluster,
        driver=driver,
        role="replica",
        nodes=[proxies[node.name].address for node in cluster.replicas],
        pool=4,
        prove_seconds=0.1,
    )
    fill(engine, 4)
    proxies[cluster.replicas[0].name].go_deaf()
    time.sleep(0.2)
    for _ in range(4):
        started = time.monotonic()
        with engine.connect() as connection:
            assert port_of(connection) == cluster.replicas[1].port
        assert time.monotonic() - started < 5


def test_uninstalled_it_leaves_the_engine_to_itself(cluster, application):
    engine, installed = application(cluster)
    fill(engine, 1)
    before = installed.counters()
    installed.uninstall()
    fill(engine, 2)
    assert installed.counters().checkouts == before.checkouts


def test_another_driver_is_refused_by_name(shared_clusters):
    from sqlalchemy import create_engine

    with pytest.raises(ValueError, match="no reconnect for the driver pysqlite"):
        reconnect.install(create_engine("sqlite://"))
