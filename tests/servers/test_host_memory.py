"""The host's free memory on the road: chosen by before, killed by during, and missed when it falls silent."""

import threading
import time

import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.errors import NoFitNodeError, StoppedError
from safeconsole.sqltext.vocabulary import Account, NodeName
from safeconsole.policy.watchdog import SensorName
from tests.cluster.exporter import Exporter, page_of
from tests.harness.desk import seated
from tests.harness.talking import engine_of, permit_for, run, statement

SLOW = "SELECT SLEEP(20)"
GIB = 1024**3


@pytest.fixture
def exporters(cluster):
    """A node exporter beside every node, by node name, each with 8 GiB free."""
    made = {node.name: Exporter(page_of(8 * GIB)) for node in cluster.nodes}
    yield made
    for exporter in made.values():
        exporter.close()


@pytest.fixture
def sit_down(cluster, exporters, tmp_path):
    """A function that opens a console whose policy asks for 1 GiB before, and that reads the exporters."""
    contexts = []

    def sit(*, sensors=(), **gates):
        sources = {
            f"{node.host}:{node.port}": {"source": "node-exporter", "url": exporters[node.name].url}
            for node in cluster.nodes
        }
        contexts.append(seated(cluster, tmp_path / "desk", gates=gates, sensors=sensors, free_memory=sources))
        return contexts[-1].__enter__()

    yield sit
    for context in contexts:
        context.__exit__(None, None, None)


def test_the_next_replica_takes_what_a_host_without_memory_cannot(exporters, sit_down):
    exporters["replica-1"].answer = page_of(GIB // 2)
    desk = sit_down(free_memory_bytes=GIB)
    assert desk.run("SELECT 1").where == "replica-2"
    reading = {reading.node: reading.free_memory_bytes for reading in desk.session.topology()}
    assert reading == {"primary": 8 * GIB, "replica-1": GIB // 2, "replica-2": 8 * GIB}


def test_where_no_host_has_memory_nothing_is_sent_and_the_readings_are_shown(exporters, sit_down):
    for name in ("replica-1", "replica-2"):
        exporters[name].answer = page_of(GIB // 2)
    desk = sit_down(free_memory_bytes=GIB)
    error = desk.error_of("SELECT 1")
    assert isinstance(error, NoFitNodeError)
    assert exit_code_of(error) == 8
    assert any(f"free memory {GIB // 2} under {GIB} bytes" in line for line in error.evidence)


def test_a_host_that_does_not_tell_is_under_the_floor(exporters, sit_down):
    for name in ("replica-1", "replica-2"):
        exporters[name].answer = b"HTTP/1.0 500 no\r\n\r\n"
    error = sit_down(free_memory_bytes=GIB).error_of("SELECT 1")
    assert exit_code_of(error) == 8
    assert any("free memory unknown" in line for line in error.evidence)


class Given:
    """A sensor that gives planned numbers, the last one for ever."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def read(self):
        return self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]


def stopped(cluster, sensor, *, sensors=(), **limits):
    node = NodeName("replica-1")
    engine = engine_of(cluster, sensors={"running_memory": {node: sensor}})
    connection = engine.connect(node, Account.READ, schema="shop")
    try:
        with pytest.raises(StoppedError) as caught:
            run(connection, permit_for(connection, statement(SLOW), sensors=sensors, **{"run_seconds": 8, **limits}))
    finally:
        connection.close()
        engine.close()
    return caught.value


def test_a_statement_under_which_the_hosts_memory_falls_is_killed(cluster):
    error = stopped(cluster, Given(3 * GIB, 2 * GIB, GIB // 2), free_memory_bytes=GIB)
    assert (error.by, error.ceiling, error.verified) == ("watchdog", "free_memory_bytes", "killed")
    assert "free_memory_bytes 536,870,912 under 1,073,741,824" in error.message


NEEDED = (SensorName.FREE_MEMORY,)


def test_a_source_that_falls_silent_three_times_running_ends_the_statement(cluster):
    error = stopped(cluster, Given(3 * GIB, 3 * GIB, None, None, None), sensors=NEEDED)
    assert (error.by, error.ceiling, error.verified) == ("watchdog", "sensors", "killed")
    assert "free_memory_bytes cannot be read, 3 times running, and the policy needs it" in error.message


def test_a_source_that_answers_in_between_ends_nothing(cluster):
    flaky = Given(*[3 * GIB, None, None] * 40, 3 * GIB)
    error = stopped(cluster, flaky, sensors=NEEDED, run_seconds=3)
    assert error.ceiling == "run_seconds"


def test_a_silent_source_is_nothing_to_a_statement_that_needs_none(cluster):
    assert stopped(cluster, Given(None), run_seconds=1.5).ceiling == "run_seconds"


def test_what_needs_a_source_that_is_silent_is_not_sent(cluster):
    node = NodeName("replica-1")
    engine = engine_of(cluster, sensors={"running_memory": {node: Given(None)}})
    connection = engine.connect(node, Account.READ, schema="shop")
    try:
        with pytest.raises(NoFitNodeError, match="free_memory_bytes cannot be read here") as caught:
            run(connection, permit_for(connection, statement("SELECT 1 AS unsent"), sensors=NEEDED))
    finally:
        connection.close()
        engine.close()
    assert exit_code_of(caught.value) == 8


def test_an_exporter_that_dies_while_a_statement_runs_ends_it(cluster, exporters, sit_down):
    exporter = exporters["replica-1"]
    desk = sit_down(sensors=["free_memory_bytes"])
    desk.session.use("replica-1")
    assert desk.run("SELECT 1").where == "replica-1"
    threading.Timer(1.0, lambda: setattr(exporter, "answer", b"")).start()
    error = desk.error_of("SELECT /* dying */ COUNT(*) FROM shop.orders a, shop.orders b, shop.orders c WHERE SLEEP(1)")
    assert isinstance(error, StoppedError)
    assert (error.by, error.ceiling, error.verified) == ("watchdog", "sensors", "killed")
    assert desk.records("outcome")[-1]["ceiling"] == "sensors"


def test_a_console_sends_nothing_that_needs_a_source_which_is_silent(cluster, exporters, sit_down):
    for exporter in exporters.values():
        exporter.answer = b""
    desk = sit_down(sensors=["free_memory_bytes"])
    error = desk.error_of("SELECT 1 AS unsent")
    assert isinstance(error, NoFitNodeError) and exit_code_of(error) == 8
    assert "free_memory_bytes cannot be read here" in error.message
    assert error.instead.startswith("try another node")
    assert {record["outcome"] for record in desk.records("outcome")} == {"refused"}
    # It comes back by itself once the source answers.
    for exporter in exporters.values():
        exporter.answer = page_of(8 * GIB)
    assert desk.run("SELECT 1").table == [(1,)]


def test_a_silent_source_ends_no_elevation_of_a_read(exporters, sit_down):
    desk = sit_down(sensors=["free_memory_bytes"])
    desk.session.elevate(reason="incident 7")
    desk.run("SELECT 1")
    for exporter in exporters.values():
        exporter.answer = b""
    time.sleep(6)
    assert exit_code_of(desk.error_of("SELECT 1")) == 8
    assert desk.session.status().elevated_seconds > 0
