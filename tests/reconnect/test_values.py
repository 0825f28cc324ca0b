"""The parts of reconnect that need no server: choice, roles, error numbers, options, addresses."""

import time

import pytest

from safeconsole.reconnect.board import ProbeResult, PooledConnection, board_for, unfit_reason
from safeconsole.reconnect.drivers import code_of, is_lost, is_refused_for_role, text_of
from safeconsole.reconnect.pool import _address
from safeconsole.reconnect.pool import Options

REPLICA, PRIMARY, GONE = ProbeResult(server="r"), ProbeResult(writes=True, server="p"), ProbeResult(trouble="refused")
DENIED = ProbeResult(trouble="access denied", denied=True)


def board(role, *findings):
    made = board_for(role, [("10.0.0.1", port) for port in range(1, len(findings) + 1)])
    made.to_look_at()
    for node, finding in zip(made.nodes, findings, strict=True):
        made.report(node, finding)
    return made


def fit(made):
    return [node.address[1] for node in made.nodes if not node.unfit]


@pytest.mark.parametrize(
    ("role", "findings", "expected"),
    [
        ("primary", (REPLICA, PRIMARY, REPLICA), [2]),
        ("primary", (REPLICA, PRIMARY, GONE), [2]),
        ("primary", (REPLICA, REPLICA), []),
        ("primary", (PRIMARY, PRIMARY, REPLICA), []),
        ("primary", (PRIMARY, DENIED), [1]),
        ("replica", (REPLICA, PRIMARY, REPLICA), [1, 3]),
        ("replica", (PRIMARY, PRIMARY), []),
        ("any", (REPLICA, PRIMARY, GONE), [1, 2]),
    ],
)
def test_a_node_is_fit_by_what_was_found(role, findings, expected):
    assert fit(board(role, *findings)) == expected


def test_a_primary_is_known_only_when_every_node_was_looked_at():
    made = board_for("primary", [("a", 1), ("b", 2)])
    made.to_look_at()
    made.report(made.nodes[0], PRIMARY)
    assert not made.has_fit()
    made.report(made.nodes[1], REPLICA)
    assert made.has_fit()


def test_connections_go_where_the_fewest_are():
    made = board("replica", REPLICA, REPLICA, PRIMARY)
    for _ in range(10):
        made.reserve(until_seconds=0)
    assert [node.open for node in made.nodes] == [5, 5, 0]


def test_nobody_waits_when_nobody_would_be_let_in():
    made = board("primary", DENIED, DENIED)
    started = time.monotonic()
    assert made.reserve(until_seconds=started + 60) is not None
    assert time.monotonic() - started < 20


def test_without_a_fit_node_a_request_waits_no_longer_than_its_patience():
    made = board("primary", GONE)
    started = time.monotonic()
    assert made.reserve(until_seconds=started + 0.1) is None
    assert 0.09 < time.monotonic() - started < 20
    assert made.counts["waits"] == 1


def test_connections_move_one_at_a_time_and_only_from_more_than_the_share():
    made = board("replica", REPLICA, REPLICA)
    full, empty = made.nodes
    full.open, empty.open = 4, 0
    assert made.may_move(full, 10.0, every_seconds=1.0)
    assert not made.may_move(full, 10.1, every_seconds=1.0)
    assert not made.may_move(empty, 20.0, every_seconds=1.0)
    full.open, empty.open = 3, 2
    assert not made.may_move(full, 30.0, every_seconds=1.0)


def test_a_primary_moves_nothing():
    made = board("primary", PRIMARY, REPLICA)
    made.nodes[0].open = 9
    assert not made.may_move(made.nodes[0], 10.0, every_seconds=1.0)


def test_a_server_is_asked_once_for_all_its_connections():
    made = board("replica", REPLICA)
    assert made.needs_proof("r", 10.0, every_seconds=1.0)
    assert not made.needs_proof("r", 10.9, every_seconds=1.0)
    made.suspect(made.nodes[0], "why")
    assert made.needs_proof("r", 10.9, every_seconds=1.0)


def test_a_connection_is_let_go_once():
    made = board("replica", REPLICA)
    link = PooledConnection(node=made.reserve(until_seconds=0), server="r", ends_seconds=1.0)
    made.release(link)
    made.release(link)
    assert made.nodes[0].open == 0


class DriverError(Exception):
    pass


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (1290, "The MySQL server is running with the --super-read-only option so it cannot", True),
        (1290, "The MariaDB server is running with the --read-only option so it cannot", True),
        (1290, "The MySQL server is running with the --secure-file-priv option so it cannot", False),
        (1290, "The MariaDB server is running with the --max-session-mem-used option so it cannot", False),
        (1836, "Running in read-only mode", True),
        (1036, "Table 't' is read only", True),
        (1792, "Cannot execute statement in a READ ONLY transaction.", False),
        (1062, "Duplicate entry '--read-only' for key", False),
        (1205, "Lock wait timeout exceeded", False),
    ],
)
def test_a_refusal_for_the_role_is_told_from_others(code, message, expected):
    assert is_refused_for_role(DriverError(code, message)) is expected


def test_errors_of_a_lost_connection_are_known():
    assert is_lost(DriverError(2013, "Lost connection"))
    assert not is_lost(DriverError(1064, "syntax"))
    assert code_of(DriverError("words")) == 0
    assert text_of(DriverError()) == "DriverError"


@pytest.mark.parametrize("name", Options.__dataclass_fields__)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_times_are_above_zero(name, value):
    with pytest.raises(ValueError, match=name):
        Options(**{name: value})


@pytest.mark.parametrize(
    ("node", "expected"),
    [("db", ("db", 3306)), ("db:3307", ("db", 3307)), ("[::1]:3308", ("::1", 3308)), ("[::1]", ("::1", 3306))],
)
def test_an_address_is_read(node, expected):
    assert _address(node) == expected


@pytest.mark.parametrize("node", ["", ":1", "db:0", "db:66000", "db:x"])
def test_what_is_no_address_is_refused(node):
    with pytest.raises(ValueError, match="not a node's address"):
        _address(node)


def test_a_role_has_a_reason_for_every_refusal():
    assert unfit_reason("replica", PRIMARY, writers=1) == "it takes writes: not a replica"
    assert unfit_reason("any", PRIMARY, writers=2) == ""
