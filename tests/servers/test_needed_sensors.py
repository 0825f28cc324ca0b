"""A grant that is taken away blinds one sensor: what needs that one is ended, or not sent; nothing else falls silent."""

import threading

import pytest

from safeconsole.errors import NoFitNodeError, StoppedError
from safeconsole.sqltext.vocabulary import Account, NodeName, Route
from safeconsole.policy.watchdog import SensorName
from tests.harness.talking import engine_of, permit_for, run, statement

SLOW = "SELECT SLEEP(20)"
GRANT = "SELECT (PROCESSLIST_ID, TOTAL_MEMORY) ON performance_schema.threads"


@pytest.fixture
def mysql(private_cluster):
    """A MySQL cluster that this test may take grants away on."""
    return private_cluster("mysql", replicas=1)


@pytest.fixture
def connection(mysql):
    engine = engine_of(mysql)
    opened = engine.connect(NodeName("primary"), Account.READ, schema="shop")
    yield opened
    opened.close()
    engine.close()


def dba(cluster, text):
    """Have the DBA say something on the primary, which no console's account could."""
    with cluster.dba_connect(cluster.primary) as connection, connection.cursor() as cursor:
        cursor.execute(text)


def permit(connection, text, sensor, **limits):
    return permit_for(connection, statement(text), route=Route.PRIMARY, sensors=(sensor,), **limits)


def revoke(cluster):
    dba(cluster, "REVOKE SELECT (PROCESSLIST_ID, TOTAL_MEMORY) ON performance_schema.threads FROM 'console_read'@'%'")


def test_a_grant_that_is_taken_away_ends_what_needs_it(mysql, connection):
    threading.Timer(1.0, revoke, (mysql,)).start()
    samples = []
    with pytest.raises(StoppedError) as caught:
        run(connection, permit(connection, SLOW, SensorName.SESSION_MEMORY, run_seconds=15), watch=samples.append)
    assert (caught.value.ceiling, caught.value.verified) == ("sensors", "killed")
    assert "session_memory_bytes cannot be read, 3 times running" in caught.value.message
    assert samples[0].session_memory_bytes
    assert [sample.session_memory_bytes for sample in samples[-3:]] == [None, None, None]


def test_the_other_sensors_go_on_without_it(mysql, connection):
    threading.Timer(0.7, revoke, (mysql,)).start()
    samples = []
    with pytest.raises(StoppedError) as caught:
        run(connection, permit(connection, SLOW, SensorName.OPENED_TABLES, run_seconds=3), watch=samples.append)
    assert caught.value.ceiling == "run_seconds"
    assert samples[-1].session_memory_bytes is None
    assert None not in (samples[-1].opened_tables, samples[-1].threads_running, samples[-1].instance_memory_bytes)


def test_what_needs_a_sensor_that_is_refused_is_not_sent_until_it_is_granted(mysql):
    # Before the first look: what was seen is believed for some seconds.
    revoke(mysql)
    before = engine_of(mysql)
    connection = before.connect(NodeName("primary"), Account.READ, schema="shop")
    with pytest.raises(NoFitNodeError, match="session_memory_bytes cannot be read here") as caught:
        run(connection, permit(connection, "SELECT 1", SensorName.SESSION_MEMORY))
    assert caught.value.evidence == (f"refused to this account: {GRANT}",)
    dba(mysql, f"GRANT {GRANT} TO 'console_read'@'%'")
    engine = engine_of(mysql)
    again = engine.connect(NodeName("primary"), Account.READ, schema="shop")
    try:
        assert run(again, permit(again, "SELECT 1", SensorName.SESSION_MEMORY))[0] == [(1,)]
    finally:
        again.close()
        engine.close()
        connection.close()
        before.close()
