"""How often a person waits for a server: round trips, counted on the line, never timed."""

import json
import os
import subprocess
import sys
import time

import pytest

from safeconsole.capacity.asking import Asker
from safeconsole.config.kept_grants import KeptGrants
from safeconsole.config.settings import ClusterSettings
from safeconsole.dialects import DIALECTS
from safeconsole.doctor import examine
from safeconsole.mysql.engine import REST_SECONDS
from safeconsole.mysql.guards import rules_of
from safeconsole.sqltext.vocabulary import Flavour
from tests.harness.clusters import account_connect
from tests.harness.delaying import DelayingProxy, one_after_the_other
from tests.harness.desk import seated


@pytest.fixture
def lines(cluster):
    """A line to each node."""
    proxies = {node.name: DelayingProxy(node.host, node.port) for node in cluster.nodes}
    yield proxies
    for proxy in proxies.values():
        proxy.close()


def trips(lines):
    return {id(line): line.trips for proxy in lines.values() for line in proxy.lines}


def in_a_row(lines, before):
    """All round trips since then but those of the control connections, which measure and watch beside the statement."""
    statements = [line for proxy in lines.values() for line in proxy.lines if not is_control(line)]
    return sum(line.trips - before.get(id(line), 0) for line in statements)


def is_control(line):
    asked = [text for flight in line.flights for text in flight]
    return any(b"SESSION_MEMORY" in text or b"innodb_stats_persistent" in text for text in asked)


MOST_ELEVATED = {
    "the elevation": 0,
    "the first change": 15,
    "the next change": 6,
    "BEGIN": 5,
    "a change within": 4,
    "a read within": 4,
    "COMMIT": 4,
    "a change after \\u": 9,
}


def connections(lines):
    return sum(len(proxy.lines) for proxy in lines.values())


def waited(lines, before):
    """The most round trips on one connection since then."""
    return max(count - before.get(line, 0) for line, count in trips(lines).items())


@pytest.fixture
def long_lines(cluster):
    """A line to each node on which what follows each other can be told from what is side by side."""
    proxies = {node.name: DelayingProxy(node.host, node.port, round_trip_seconds=0.1) for node in cluster.nodes}
    yield proxies
    for proxy in proxies.values():
        proxy.close()


def one_shot(lines, directory, text, *given):
    """Run a command; returns what it printed, its round trips in a row, and the lines of its connections by node."""
    made = {name: len(proxy.lines) for name, proxy in lines.items()}
    command = [sys.executable, "-m", "safeconsole", "--config", str(directory / "config.toml"), "sql", "shop"]
    environ = {**os.environ, "HOME": str(directory), "USER": "ada"}
    command += ["-e", text, "--format", "csv", *given]
    told = subprocess.run(command, env=environ, capture_output=True, text=True)
    ended = time.monotonic()
    assert told.returncode == 0, told.stderr
    own = {name: proxy.lines[made[name] :] for name, proxy in lines.items()}
    spans = [span for of_node in own.values() for line in of_node for span in line.spans]
    return told.stdout, one_after_the_other(spans, until=ended), own


def kept(directory):
    """The file of what was met on the cluster."""
    (file,) = (directory / ".local/state/safeconsole/clusters").iterdir()
    return file


def test_the_first_answer_of_one_command_waits_seven_times(cluster, long_lines, tmp_path):
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in long_lines.items()}) as desk:
        desk.session.topology()
    told, in_a_row, lines = one_shot(long_lines, tmp_path, "SELECT id FROM orders WHERE id = 7")
    assert told == "id\n7\n"
    # Every node is measured at the same time, and one of the replicas is connected to beside that.
    assert sorted(len(of_node) for of_node in lines.values()) == [1, 1, 2]
    assert len(lines["primary"]) == 1
    (both,) = [of_node for of_node in lines.values() if len(of_node) == 2]
    measuring, statement = sorted(both, key=is_control, reverse=True)
    print(in_a_row, measuring.trips, statement.trips)
    assert statement.trips <= 7
    # A computer that is busy may open them so far apart that one more question finds the other.
    assert measuring.trips <= 5
    assert statement.spans[0][0] < measuring.spans[3][1]


def test_a_wrong_guess_sends_nothing_and_keeps_nothing(cluster, lines, tmp_path):
    nodes = {name: proxy.address for name, proxy in lines.items()}
    with seated(cluster, tmp_path, nodes=nodes) as desk:
        desk.session.topology()
    file = kept(tmp_path)
    met = json.loads(file.read_text())
    assert {address: each["role"] for address, each in met.items()} == {
        address: "primary" if name == "primary" else "replica" for name, address in nodes.items()
    }
    # As after a failover that this computer knows nothing of.
    for address, each in met.items():
        each["role"] = "replica" if address == nodes["primary"] else "primary"
    file.write_text(json.dumps(met))
    told, _, of_nodes = one_shot(lines, tmp_path, "SELECT id AS guessed FROM orders WHERE id = 7")
    assert told == "guessed\n7\n"
    sent = {name: b"guessed" in b"".join(_texts(of_node)) for name, of_node in of_nodes.items()}
    assert sent.pop("primary") is False
    assert sum(sent.values()) == 1
    # What was found out is what is remembered.
    found = json.loads(file.read_text())
    assert found[nodes["primary"]]["role"] == "primary"


@pytest.mark.parametrize("text", ["", "[]", '{"127.0.0.1:1": {"role": "emperor"}}', "{" * 70_000])
def test_what_is_remembered_wrongly_stops_nothing(cluster, lines, tmp_path, text):
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in lines.items()}) as desk:
        desk.session.topology()
    kept(tmp_path).write_text(text)
    assert one_shot(lines, tmp_path, "SELECT 7")[0] == "7\n7\n"
    assert '"primary"' in kept(tmp_path).read_text()


def _texts(lines):
    return [text for line in lines for flight in line.flights for text in flight]


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("SELECT id, status FROM orders WHERE id = 7", "SELECT id, status FROM orders WHERE id = 8"),
        (
            "SELECT o.id, c.country FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 7",
            "SELECT o.id, c.country FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 9",
        ),
    ],
)
def test_a_new_statement_waits_three_times_and_one_that_was_seen_twice(cluster, lines, tmp_path, text, again):
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in lines.items()}) as desk:
        desk.run("SELECT 1")
        before = trips(lines)
        desk.run(text)
        assert waited(lines, before) <= 3
        before = trips(lines)
        assert desk.run(again).table
        assert waited(lines, before) <= 2


def test_what_a_rest_closed_is_opened_while_the_next_statement_is_typed(cluster, lines, tmp_path):
    text = "SELECT id FROM orders WHERE id = {}"
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in lines.items()}) as desk:
        desk.run(text.format(7))
        waits = []
        for is_typed in (False, True):
            time.sleep(REST_SECONDS + 1)
            before, began, seen = connections(lines), time.monotonic(), desk.session._engine._measurements
            if is_typed:
                desk.session.expect_statement()
                desk.session.expect_statement()
                while min(reading.measured_seconds for reading in seen.readings) < began:
                    assert time.monotonic() < began + 20
                    time.sleep(0.01)
                # One for each node, however often that is said.
                assert connections(lines) - before <= len(lines)
            counted = trips(lines)
            assert desk.run(text.format(8)).table
            waits.append(waited(lines, counted))
        assert waits[1] <= 4 < waits[0]


def test_a_statement_of_a_transaction_waits_no_longer(cluster, lines, tmp_path):
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in lines.items()}) as desk:
        desk.run("SELECT 1")
        for text, most in (
            ("START TRANSACTION READ ONLY", 3),
            ("SELECT id FROM orders WHERE id = 7", 4),
            ("SELECT id FROM orders WHERE id = 8", 2),
        ):
            before = trips(lines)
            desk.run(text)
            assert waited(lines, before) <= most, text


def test_another_schema_costs_one_round_trip_beside_the_statement(cluster, lines, tmp_path):
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in lines.items()}) as desk:
        desk.run("SELECT 1")
        counted = {}
        for schema in ("information_schema", "shop"):
            before, made = trips(lines), connections(lines)
            desk.session.use_schema(schema)
            assert desk.run("SELECT LOWER(DATABASE())").table == [(schema,)]
            counted[f"to {schema}, and a statement there"] = waited(lines, before)
            assert connections(lines) == made
        desk.run("SET @mine = 7")
        before, made = trips(lines), connections(lines)
        desk.session.use_schema("information_schema")
        # What was on the connection went along.
        assert desk.run("SELECT @mine, LOWER(DATABASE())").table == [(7, "information_schema")]
        counted["with a variable"] = waited(lines, before)
        assert connections(lines) == made
        print(counted)
        assert max(counted.values()) <= 4


def test_an_elevation_waits_for_little_more_than_its_connection(cluster, lines, tmp_path):
    nodes = {name: proxy.address for name, proxy in lines.items()}
    # MySQL asks for more of an account that it has not seen since it started.
    account_connect(cluster, cluster.primary, "console_elevated").close()
    with seated(cluster, tmp_path, nodes=nodes, justification=None) as desk:
        desk.run("SELECT 1")
        counted = {}
        before = trips(lines)
        desk.session.elevate(reason="incident 7")
        counted["the elevation"] = in_a_row(lines, before)
        for name, text in (
            ("the first change", "UPDATE orders SET status = status WHERE id = 7"),
            ("the next change", "UPDATE orders SET status = status WHERE id = 8"),
            ("BEGIN", "BEGIN"),
            ("a change within", "UPDATE orders SET status = status WHERE id = 9"),
            ("a read within", "SELECT status FROM orders WHERE id = 9"),
            ("COMMIT", "COMMIT"),
        ):
            before = trips(lines)
            desk.run(text)
            counted[name] = in_a_row(lines, before)
        made, before = connections(lines), trips(lines)
        desk.session.use_schema("shop")
        desk.run("UPDATE orders SET status = status WHERE id = 8")
        counted["a change after \\u"] = in_a_row(lines, before)
        # The elevated connection is taken along.
        assert connections(lines) == made
        print(counted)
        assert {name: count for name, count in counted.items() if count > MOST_ELEVATED[name]} == {}


def test_a_node_is_measured_again_in_one_round_trip(cluster, lines, tmp_path):
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in lines.items()}) as desk:
        desk.session.topology()
        before = trips(lines)
        desk.session.topology()
        assert waited(lines, before) == 1


def test_a_middleman_that_takes_one_question_at_a_time_is_found_out_and_told(cluster, tmp_path):
    """As ProxySQL does: it ends a connection on which a question comes before its turn."""
    proxies = {node.name: DelayingProxy(node.host, node.port, one_at_a_time=True) for node in cluster.nodes}
    try:
        with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in proxies.items()}) as desk:
            assert all(reading.one_at_a_time for reading in desk.session.topology())
            for _ in range(2):
                assert desk.run("SELECT id FROM orders WHERE id = 7").table == [(7,)]
                assert desk.run("SELECT COUNT(*) FROM orders WHERE id < 4").table == [(3,)]
            desk.run("START TRANSACTION READ ONLY")
            assert desk.run("SELECT id FROM orders WHERE id = 8").table == [(8,)]
            desk.run("COMMIT")
            assert desk.run("UPDATE orders SET status = status WHERE id = 7").ended.changed_rows == 0
            # Once it is known, no further connection is lost over it.
            made = {name: len(proxy.lines) for name, proxy in proxies.items()}
            desk.session.use_schema("shop")
            assert desk.run("SELECT id FROM orders WHERE id = 9").table == [(9,)]
            assert sum(len(proxy.lines) - made[name] for name, proxy in proxies.items()) <= 1
            rules = rules_of(DIALECTS[Flavour(cluster.flavour)], 0, "")
            told = examine(
                Asker(session=desk.session, rules=lambda: rules),
                ClusterSettings(nodes=()),
                KeptGrants(tmp_path, "shop"),
            )
            assert "asked alone" in next(check.detail for check in told if check.what == "round trips")
    finally:
        for proxy in proxies.values():
            proxy.close()


def test_equal_pieces_of_a_script_are_explained_once(cluster, lines, tmp_path):
    with seated(cluster, tmp_path, nodes={name: proxy.address for name, proxy in lines.items()}) as desk:
        desk.run("SELECT 1")
        text = "SELECT status FROM orders WHERE id < 8"
        before = len(explained(lines))
        desk.run(";\n".join([text] * 6))
        assert len(explained(lines)) - before == 1
        # What is another text is asked for anew: nothing says that its plan is the same.
        desk.run("SELECT status FROM orders WHERE id < 9")
        assert len(explained(lines)) - before == 2


def explained(lines):
    flights = [flight for proxy in lines.values() for line in proxy.lines for flight in line.flights]
    return [text for flight in flights for text in flight if b"EXPLAIN" in text]
