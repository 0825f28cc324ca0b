"""What a node is, from what it says of itself; silence and contradiction prove nothing."""

from msgspec.structs import replace

import pytest

from safeconsole.mysql.topology import Channel, Member, NodeFacts, channel_of, is_on, prove_role
from safeconsole.sqltext.vocabulary import Role

RUNNING = Channel(name="", receiving=True, applying=True, lag_seconds=0.0, source="db-1:3306", source_id="1")


def member(**changes):
    given = {"kind": "group replication", "writes": False, "online": True, "lag_seconds": 0.0, "words": "said so"}
    return Member(**{**given, **changes})


@pytest.mark.parametrize(
    ("facts", "role", "words"),
    [
        (NodeFacts(read_only=False), Role.PRIMARY, "read_only=0, no replication channel"),
        (NodeFacts(read_only=True), Role.UNKNOWN, "read_only=1, but no replication channel"),
        (NodeFacts(read_only=True, channels=(RUNNING,)), Role.REPLICA, "read_only=1, replicates from db-1:3306"),
        (
            NodeFacts(read_only=False, channels=(RUNNING,)),
            Role.UNKNOWN,
            "read_only=0, but a replication channel from db-1:3306: an errant replica",
        ),
        (NodeFacts(read_only=False, innodb_read_only=True, channels=(RUNNING,)), Role.REPLICA, "replicates from"),
        (NodeFacts(read_only=False, channels=None), Role.UNKNOWN, "replica status is not readable"),
        (NodeFacts(read_only=True, channels=None), Role.UNKNOWN, "replica status is not readable"),
        (NodeFacts(read_only=False, member=member(writes=True)), Role.PRIMARY, "group replication"),
        (NodeFacts(read_only=True, member=member()), Role.REPLICA, "group replication"),
        (NodeFacts(read_only=True, member=member(writes=True)), Role.UNKNOWN, "a writer that refuses writes"),
        (NodeFacts(read_only=False, member=member()), Role.UNKNOWN, "a reader that takes writes"),
        (NodeFacts(read_only=False, member=member(writes=True, online=False)), Role.UNKNOWN, "said so"),
        (NodeFacts(read_only=True, member=member(online=False)), Role.UNKNOWN, "said so"),
    ],
)
def test_a_role_follows_from_facts_that_agree(facts, role, words):
    proof = prove_role(facts)
    assert proof.role is role
    assert words in proof.words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"receiving": False}, "receiver not running"),
        ({"applying": False, "error": "duplicate key"}, "applier not running: duplicate key"),
        ({"receiving": False, "applying": False, "name": "eu"}, "receiver and applier of channel eu not running"),
    ],
)
def test_a_replica_that_stands_still_is_one_with_unknown_lag(changes, words):
    # Zero is what some servers go on saying; it proves nothing while a thread stands.
    proof = prove_role(NodeFacts(read_only=True, channels=(replace(RUNNING, lag_seconds=0.0, **changes),)))
    assert (proof.role, proof.replicating, proof.lag_seconds) == (Role.REPLICA, False, None)
    assert words in proof.words


def test_no_figure_is_not_zero():
    assert prove_role(NodeFacts(read_only=True, channels=(replace(RUNNING, lag_seconds=None),))).lag_seconds is None


def test_of_several_channels_the_slowest_counts_and_one_unknown_makes_all_unknown():
    slow, silent = replace(RUNNING, name="b", lag_seconds=7.0), replace(RUNNING, name="c", lag_seconds=None)
    assert prove_role(NodeFacts(read_only=True, channels=(RUNNING, slow))).lag_seconds == 7.0
    assert prove_role(NodeFacts(read_only=True, channels=(RUNNING, slow, silent))).lag_seconds is None


def test_what_is_applied_late_on_purpose_is_as_late_as_that_also_while_nothing_waits():
    late = replace(RUNNING, delay_seconds=3600.0)
    proof = prove_role(NodeFacts(read_only=True, channels=(late,)))
    assert (proof.lag_seconds, proof.replicating) == (3600.0, True)
    assert "3600 s late on purpose" in proof.words
    assert prove_role(NodeFacts(read_only=True, channels=(replace(late, lag_seconds=4000.0),))).lag_seconds == 4000.0
    assert prove_role(NodeFacts(read_only=True, channels=(replace(late, lag_seconds=None),))).lag_seconds is None


def test_a_heartbeat_takes_the_place_of_the_servers_figure():
    facts = NodeFacts(read_only=True, channels=(RUNNING,), heartbeat_asked=True, heartbeat_lag_seconds=12.0)
    assert prove_role(facts).lag_seconds == 12.0
    assert prove_role(replace(facts, heartbeat_lag_seconds=None)).lag_seconds is None
    aurora = member(kind="aurora", lag_seconds=0.02)
    assert prove_role(replace(facts, channels=(), member=aurora)).lag_seconds == 12.0


def test_either_flavours_words_for_a_channel_are_understood():
    mysql = {
        "Replica_IO_Running": "Yes",
        "Replica_SQL_Running": "Yes",
        "Seconds_Behind_Source": 3,
        "Source_Host": "a",
        "Source_Port": 3306,
        "Source_UUID": "u-1",
        "Channel_Name": "",
        "Last_SQL_Error": "",
    }
    mariadb = {
        "Connection_name": "",
        "Slave_IO_Running": "Connecting",
        "Slave_SQL_Running": "Yes",
        "Seconds_Behind_Master": None,
        "Master_Host": "a",
        "Master_Port": 3306,
        "Master_Server_Id": 7,
        "Last_SQL_Error": "",
        "Last_IO_Error": "cannot connect\nat all",
    }
    assert channel_of(mysql) == replace(RUNNING, lag_seconds=3.0, source="a:3306", source_id="u-1")
    assert channel_of(mariadb) == Channel(
        name="",
        receiving=False,
        applying=True,
        lag_seconds=None,
        source="a:3306",
        source_id="7",
        error="cannot connect",
    )


@pytest.mark.parametrize(
    ("reading", "on"),
    [(0, False), ("0", False), ("OFF", False), (1, True), ("1", True), ("ON", True), ("NO_LOCK", True),
     ("NO_LOCK_NO_ADMIN", True), ("no_lock", True)],
)  # fmt: skip
def test_a_switch_is_read_as_a_number_or_as_a_word(reading, on):
    assert is_on(reading) is on


@pytest.mark.parametrize("reading", [None, "", "MAYBE", 2, "-1"])
def test_a_switch_that_says_nothing_clear_is_not_believed(reading):
    with pytest.raises(ValueError, match="whether it refuses writes"):
        is_on(reading)
