"""A statement goes to a proven, fit node of its kind, or nowhere, and each node's reason is said."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.policy.readings import tightest_gates, Gates, Identity, Reading, route_of, unfit_reasons
from safeconsole.cluster.routing import appointed, choose
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, NodeName, Role, Route


def statement(*effects):
    return Statement(text="x", kind="x", effects=frozenset(effects))


def reading(name, role=Role.REPLICA, **rest):
    facts = {
        "lag_seconds": 0.0,
        "replicating": True,
        "proof": "by test",
        "identity": Identity(server=name, address=name),
    }
    return Reading(node=NodeName(name), role=role, **{**facts, **rest})


PRIMARY = reading("p", Role.PRIMARY)
GATES_OPEN = Gates(lag_seconds=10, threads_running=100)
GATES = Gates(lag_seconds=10, threads_running=100, free_memory_bytes=1000, history_length=50)


@pytest.mark.parametrize(
    ("effects", "to", "route"),
    [
        ([Effect.READ], "", Route.REPLICA),
        ([Effect.READ, Effect.SESSION], "", Route.REPLICA),
        ([Effect.SESSION], "", Route.REPLICA),
        ([Effect.WRITE], "", Route.PRIMARY),
        ([Effect.READ, Effect.LOCK], "", Route.PRIMARY),
        ([Effect.UNKNOWN], "", Route.PRIMARY),
        ([Effect.READ], "primary", Route.PRIMARY),
        ([Effect.WRITE], "replica", Route.REPLICA),
        ([Effect.READ], "some-node", Route.REPLICA),
        ([Effect.DDL], "some-node", Route.PRIMARY),
    ],
)
def test_a_statement_belongs_where_its_effects_or_the_person_say(effects, to, route):
    assert route_of(statement(*effects), to=to) is route


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"unreachable": "refused"}, "unreachable: refused"),
        ({"replicating": False}, "replication is not running"),
        ({"lag_seconds": None}, "lag unknown"),
        ({"lag_seconds": 10.1}, "lag 10 s over 10 s"),
        ({"threads_running": 101}, "101 threads running, over 100"),
        ({"free_memory_bytes": None}, "free memory unknown, and the policy asks for a floor"),
        ({"free_memory_bytes": 999}, "free memory 999 under 1000 bytes"),
        ({"history_length": 51}, "history length 51 over 50"),
        ({"history_length": None}, "history length unknown, and the policy asks for a ceiling"),
    ],
)
def test_each_closed_gate_is_a_reason(wrong, reason):
    node = reading("r", **{"free_memory_bytes": 1000, "history_length": 50, **wrong})
    assert unfit_reasons(node, GATES) == (reason,)
    assert choose((node,), GATES, Route.REPLICA).reading is None


def test_at_its_gates_a_node_is_fit():
    node = reading("r", lag_seconds=10, threads_running=100, free_memory_bytes=1000, history_length=50)
    assert unfit_reasons(node, GATES) == ()


def test_gates_that_ask_nothing_ask_nothing():
    node = reading("r", free_memory_bytes=None, threads_running=None, history_length=10**9)
    assert unfit_reasons(node, Gates()) == ()


def test_a_primary_needs_no_replication():
    assert unfit_reasons(reading("p", Role.PRIMARY, replicating=False, lag_seconds=None), Gates()) == ()


def test_an_unreachable_node_has_one_reason_only():
    assert len(unfit_reasons(reading("r", unreachable="x", lag_seconds=None, replicating=False), GATES)) == 1


def test_reads_never_fall_back_to_the_primary():
    choice = choose((PRIMARY, reading("r", lag_seconds=99)), Gates(), Route.REPLICA)
    assert (choice.route, choice.reading) == (Route.NONE, None)
    assert choice.reasons == ("p: is a primary: by test", "r: lag 99 s over 30 s")


def test_a_node_of_unknown_role_is_never_chosen_even_when_named():
    node = reading("u", Role.UNKNOWN, proof="no proof")
    for route, name in itertools.product((Route.REPLICA, Route.PRIMARY), ("", "u")):
        assert choose((node,), Gates(), route, node=name).reading is None


def test_two_primaries_are_a_split_brain_and_take_no_write():
    both = (PRIMARY, reading("q", Role.PRIMARY))
    choice = choose(both, Gates(), Route.PRIMARY)
    assert (choice.route, choice.reasons[0]) == (Route.NONE, "two servers take writes: p, q")
    assert choose(both, Gates(), Route.PRIMARY, node="q").reading.node == "q"


def test_a_named_node_is_taken_for_what_it_proves_to_be():
    choice = choose((PRIMARY, reading("r")), Gates(), Route.REPLICA, node="p")
    assert (choice.route, choice.reading) == (Route.PRIMARY, PRIMARY)
    choice = choose((PRIMARY, reading("r")), Gates(), Route.PRIMARY, node="r")
    assert choice.route is Route.REPLICA
    assert choose((PRIMARY,), Gates(), Route.PRIMARY, node="gone").reading is None


@pytest.mark.parametrize(
    ("wrong", "note"),
    [
        ({"replicating": False}, "r may be stale: replication is not running"),
        ({"lag_seconds": None}, "r may be stale: lag unknown"),
        ({"lag_seconds": 99.0}, "r may be stale: lag 99 s over 10 s"),
    ],
)
def test_a_stale_replica_is_read_when_it_is_named_and_that_is_said(wrong, note):
    stale = reading("r", threads_running=1, free_memory_bytes=2000, history_length=1, **wrong)
    assert choose((stale,), GATES, Route.REPLICA).reading is None
    named = choose((stale,), GATES, Route.REPLICA, node="r")
    assert (named.reading, named.notes) == (stale, (note,))


def test_naming_a_strained_node_opens_no_gate():
    strained = reading("r", lag_seconds=99.0, threads_running=101, free_memory_bytes=2000, history_length=1)
    choice = choose((strained,), GATES, Route.REPLICA, node="r")
    assert choice.reading is None and choice.reasons == ("r: 101 threads running, over 100",)


def test_what_is_fresh_needs_no_note():
    assert choose((reading("r"),), Gates(), Route.REPLICA).notes == ()
    assert choose((PRIMARY,), Gates(), Route.PRIMARY).notes == ()


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"tags": frozenset({"console"}), "lag_seconds": 9.0}, {}),
        ({"lag_seconds": 9.0}, {"tags": frozenset({"failover-target"})}),
        ({"lag_seconds": 1.0}, {"lag_seconds": 2.0}),
        ({"threads_running": 3}, {"threads_running": 4}),
    ],
)
def test_the_fittest_is_chosen_wherever_it_stands(better, worse):
    one, two = reading("z", **better), reading("a", **worse)
    for order in ((one, two), (two, one)):
        assert choose(order, Gates(), Route.REPLICA).reading is one


def test_equally_fit_replicas_are_chosen_by_lot_whatever_their_names_order_and_noise():
    one, two = reading("a", lag_seconds=0.9, threads_running=2), reading("z", lag_seconds=0.1, threads_running=1)
    for first, second in ((one, two), (two, one)):
        lots = {first.node: 0.2, second.node: 0.7}
        for order in ((one, two), (two, one)):
            assert choose(order, Gates(), Route.REPLICA, lots=lots).reading is first
            assert choose(order, Gates(), Route.REPLICA, lots=lots, sticky=second.node).reading is second


def test_a_session_stays_with_its_node_while_that_is_fit():
    near, used = reading("a"), reading("b", lag_seconds=5.0)
    assert choose((near, used), Gates(), Route.REPLICA, sticky=NodeName("b")).reading is used
    assert choose((near, reading("b", lag_seconds=99)), Gates(), Route.REPLICA, sticky=NodeName("b")).reading is near


NODES = st.lists(
    st.builds(
        reading,
        st.sampled_from("abcd"),
        st.sampled_from(Role),
        lag_seconds=st.none() | st.floats(0, 100),
        replicating=st.booleans(),
        unreachable=st.sampled_from(["", "x"]),
        threads_running=st.none() | st.integers(0, 400),
    ),
    max_size=4,
    unique_by=lambda node: node.node,
)


@given(NODES, st.sampled_from([Route.REPLICA, Route.PRIMARY]))
def test_what_is_chosen_is_always_proven_and_fit(nodes, route):
    choice = choose(tuple(nodes), Gates(), route)
    # A line a node, and where several take writes one that says so.
    assert len([line for line in choice.reasons if " servers take writes: " not in line]) == len(nodes)
    if choice.reading is None:
        assert choice.route is Route.NONE
    else:
        assert choice.reading.role == Role(choice.route) == Role(route)
        assert not unfit_reasons(choice.reading, Gates())


def test_the_tightest_gates_of_several_let_nothing_pass_that_one_would_not():
    one = Gates(lag_seconds=5, threads_running=300, free_memory_bytes=0, history_length=0)
    other = Gates(lag_seconds=60, threads_running=100, free_memory_bytes=7, history_length=9)
    tightest = Gates(lag_seconds=5, threads_running=100, free_memory_bytes=7, history_length=9)
    assert tightest_gates(one, other) == tightest_gates(other, one) == tightest
    assert tightest_gates(one) == one
    assert tightest_gates(other, Gates(history_length=3)).history_length == 3


SHARING = tuple(reading(name, Role.PRIMARY, shares_writes=True) for name in ("a", "b", "c"))


@pytest.mark.parametrize(
    ("writers", "gone", "primaries"),
    [
        ((), (), ["a", "b", "c"]),
        (("b",), (), ["b"]),
        (("b", "a"), ("b",), ["a"]),
        (("b",), ("b",), []),
        (("d", "c"), (), ["c"]),
    ],
)
def test_of_several_that_take_writes_the_first_chosen_one_is_the_primary(writers, gone, primaries):
    readings = tuple(
        reading(each.node, Role.UNKNOWN, shares_writes=True) if each.node in gone else each for each in SHARING
    )
    roles = {str(each.node): each.role for each in appointed(readings, writers)}
    assert [name for name, role in roles.items() if role is Role.PRIMARY] == primaries
    assert all(roles[name] is Role.UNKNOWN for name in gone)
    if writers:
        assert choose(appointed(readings, writers), GATES_OPEN, Route.REPLICA).reading.node not in primaries


def test_a_primary_that_shares_with_nobody_is_not_moved():
    assert appointed((PRIMARY, reading("r")), ("r",)) == (PRIMARY, reading("r"))


def test_without_a_choice_the_setting_is_what_helps():
    choice = choose(SHARING, GATES_OPEN, Route.PRIMARY)
    assert choice.reading is None
    assert 'writer = ["a", "b", "c"]' in choice.way_out
    assert 'writer = ["a", "b", "c"]' in choose(SHARING, GATES_OPEN, Route.REPLICA).way_out


@pytest.mark.parametrize(
    ("changes", "way_out"),
    [
        ({"replicating": False}, "a replica that you name is read although it is stale, and that is said"),
        ({"unreachable": "it is locked", "mend": "unlock it"}, "unlock it"),
        ({"threads_running": 1000}, ""),
    ],
)
def test_what_helps_is_said_only_where_it_does(changes, way_out):
    assert choose((reading("r", **changes),), GATES_OPEN, Route.REPLICA).way_out == way_out
