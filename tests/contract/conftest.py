"""
The engines under contract. Another engine joins with a fixture `NAME_subject` and its name in ENGINES.
"""

import os
import time
from dataclasses import dataclass

import pytest

from safeconsole.clock import SystemClock
from safeconsole.sqlite.engine import open_engine
from safeconsole.errors import ServerError
from safeconsole.config.settings import ClusterSettings
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import NodeName
from safeconsole.demo.binaries import ServersUnavailableError
from safeconsole.demo.embedded import Replicator, create_embedded
from tests.harness.keeper import shared_cluster
from safeconsole.cluster.engine import Engine
from tests.harness.fakes import FakeEngine, Planned, three_nodes
from tests.harness.talking import engine_of, statement, write

ENGINES = ("fake", "sqlite", "mysql", "mariadb")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """
    One engine, and what to say to it in its own words.

    Attributes:
        engine: over a cluster of one primary and at least one replica, holding the shop.
        replica, primary: names of nodes.
        schema: where the shop is.
        read: returns ids 1, 2, 3 in one column.
        long_read: returns at least 20,000 rows.
        slow: a read that runs for a minute unless it is stopped.
        wrong: names a table that is not there.
        write: sets the status of order 1 to "contract".
        written: returns the status of order 1.
        undo: sets it back.
    """

    engine: Engine
    replica: NodeName
    primary: NodeName
    schema: str
    read: Statement
    long_read: Statement
    slow: Statement
    wrong: Statement
    write: Statement
    written: Statement
    undo: Statement


@pytest.fixture(params=ENGINES)
def subject(request):
    """Each engine in turn."""
    return request.getfixturevalue(f"{request.param}_subject")


@pytest.fixture
def fake_subject():
    """The engine that tests of the gate talk to: it may promise no more than the real ones keep."""
    status = {"now": "paid"}

    def set_to(value):
        return Planned(changed=1, writes=True, columns=(), effect=lambda: status.update(now=value))

    def many():
        return [[(number, number, "paid")] * 1000 for number in range(30)]

    read = statement("SELECT id FROM orders WHERE id < 4 ORDER BY id")
    long_read = statement("SELECT o.id, p.id, o.status FROM orders o, orders p LIMIT 300000")
    slow = statement("SELECT SLEEP(60)")
    wrong = statement("SELECT id FROM no_such_table")
    change = write("UPDATE orders SET status = 'contract' WHERE id = 1")
    written = statement("SELECT status FROM orders WHERE id = 1")
    undo = write("UPDATE orders SET status = 'paid' WHERE id = 1")
    missing = ServerError(1146, "Table 'no_such_table' doesn't exist")
    return Subject(
        engine=FakeEngine(
            SystemClock(),
            [],
            nodes=three_nodes(),
            answers={
                read.text: Planned(batches=([(1,), (2,), (3,)],)),
                long_read.text: Planned(batches=many()),
                slow.text: Planned(batches=([(0,)],), slow_seconds=60.0),
                wrong.text: Planned(refusal=missing),
                change.text: set_to("contract"),
                written.text: lambda: Planned(batches=([(status["now"],)],)),
                undo.text: set_to("paid"),
            },
            estimates={wrong.text: Estimate(asked=True, objection=missing.server_message, objection_code=1146)},
        ),
        replica=NodeName("replica-1"),
        primary=NodeName("primary"),
        schema="shop",
        read=read,
        long_read=long_read,
        slow=slow,
        wrong=wrong,
        write=change,
        written=written,
        undo=undo,
    )


@pytest.fixture
def sqlite_subject(tmp_path):
    """The embedded engine on files that a replicator keeps."""
    cluster = create_embedded(tmp_path / "shop")
    nodes = tuple(str(node.path) for node in cluster.nodes)
    with Replicator(cluster) as replicator:
        assert replicator.wait_caught_up()
        wait_until(lambda: all(node.read_sidecar().running for node in cluster.replicas))
        yield Subject(
            engine=open_engine("shop", ClusterSettings(nodes=nodes, engine="sqlite"), SystemClock()),
            replica=NodeName("replica-1"),
            primary=NodeName("primary"),
            schema="shop",
            read=statement("SELECT id FROM orders WHERE id < 4 ORDER BY id"),
            long_read=statement("SELECT o.id, p.id, o.status FROM orders o, shop.orders p LIMIT 300000"),
            slow=statement(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000000000)"
                " SELECT count(*) FROM n"
            ),
            wrong=statement("SELECT id FROM no_such_table"),
            write=write("UPDATE orders SET status = 'contract' WHERE id = 1"),
            written=statement("SELECT status FROM orders WHERE id = 1"),
            undo=write("UPDATE orders SET status = 'paid' WHERE id = 1"),
        )


@pytest.fixture(scope="session")
def mysql_subject(tmp_path_factory):
    """The MySQL family's engine on MySQL."""
    yield from _server_subject("mysql", tmp_path_factory)


@pytest.fixture(scope="session")
def mariadb_subject(tmp_path_factory):
    """The MySQL family's engine on MariaDB."""
    yield from _server_subject("mariadb", tmp_path_factory)


def wait_until(fact, seconds=20.0):
    """Wait for something that another thread is about to do."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)


def _server_subject(flavour, tmp_path_factory):
    # The same cluster as in tests/servers: the directory is what they share.
    base = tmp_path_factory.getbasetemp()
    under_xdist = "PYTEST_XDIST_WORKER" in os.environ
    run = base.parent if under_xdist else base
    main_process = os.getppid() if under_xdist else os.getpid()
    try:
        cluster = shared_cluster(flavour, run / "clusters" / flavour, while_pid=main_process)
    except ServersUnavailableError as error:
        if os.environ.get("SAFECONSOLE_REQUIRE_SERVERS") == "1":
            pytest.fail(f"NO REAL SERVERS: {error}", pytrace=False)
        pytest.skip(f"NO REAL SERVERS: {error}")
    engine = engine_of(cluster)
    yield Subject(
        engine=engine,
        replica=NodeName("replica-1"),
        primary=NodeName("primary"),
        schema="shop",
        read=statement("SELECT id FROM orders WHERE id < 4 ORDER BY id"),
        long_read=statement("SELECT o.id, p.id, o.status FROM orders o, orders p LIMIT 300000"),
        slow=statement("SELECT SLEEP(60)"),
        wrong=statement("SELECT id FROM no_such_table"),
        write=write("UPDATE orders SET status = 'contract' WHERE id = 1"),
        written=statement("SELECT status FROM orders WHERE id = 1"),
        undo=write("UPDATE orders SET status = 'paid' WHERE id = 1"),
    )
    engine.close()
