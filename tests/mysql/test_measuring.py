"""Groups that keep their own roles, from recorded answers: no Aurora was ever met here."""

import pytest
from pymysql import err
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.mysql.measuring import Questions, measure, member_of
from safeconsole.mysql.recognising import Variant, dialect_of, version_of
from safeconsole.mysql.topology import prove_role
from safeconsole.mysql.wire import ServerReply
from safeconsole.sqltext.vocabulary import Role


class Recorded:
    """A connection that answers what was recorded: the first question whose words occur in the text."""

    address = "db-1:3306"

    def __init__(self, answers, version="8.0.28"):
        self.answers = answers
        self.server_version = version
        self.asked = []

    def flight(self, *texts):
        return [self._reply(text) for text in texts]

    def _reply(self, text):
        self.asked.append(text)
        for words, rows in self.answers.items():
            if words in text:
                return ServerReply(rows=[tuple(None if each is None else str(each) for each in row) for row in rows])
        if text.startswith("SHOW"):
            return ServerReply(error=err.OperationalError(1227, "Access denied"))
        return ServerReply(error=err.OperationalError(1193, f"Unknown: {text}"))


def aurora(server, *, innodb_read_only, status, regions=()):
    return Recorded(
        {
            "@@aurora_version": [("3.05.2",)],
            "SELECT @@aurora_server_id": [(server, 0, innodb_read_only, "slow.log", "8.0.28", "Source distribution")],
            "replica_host_status": [(*row, "400000") if len(row) == 3 else row for row in status],
            "aurora_global_db_instance_status": regions,
            "global_status": [("Threads_running", "4")],
        }
    )


@pytest.mark.parametrize(
    ("wire", "role", "lag_seconds"),
    [
        (aurora("db-1", innodb_read_only=0, status=[("db-1", "MASTER_SESSION_ID", 0.0)]), Role.PRIMARY, None),
        # The figure was true 0.4 s ago.
        (aurora("db-2", innodb_read_only=1, status=[("db-2", "b1-f3", 17.5)]), Role.REPLICA, 0.4175),
        (aurora("db-2", innodb_read_only=1, status=[("db-2", "b1-f3", None)]), Role.REPLICA, None),
        # The cluster and the instance disagree: a failover is under way.
        (aurora("db-1", innodb_read_only=1, status=[("db-1", "MASTER_SESSION_ID", 0.0)]), Role.UNKNOWN, None),
        (aurora("db-2", innodb_read_only=0, status=[("db-2", "b1-f3", 17.5)]), Role.UNKNOWN, None),
        (aurora("db-3", innodb_read_only=1, status=[]), Role.UNKNOWN, None),
    ],
)
def test_an_aurora_instance_is_what_the_cluster_and_its_storage_both_say(wire, role, lag_seconds):
    dialect = dialect_of(wire)
    assert dialect is AURORA_MYSQL
    measured = measure(wire, Questions(dialect=dialect))
    proof = prove_role(measured.facts)
    assert proof.role is role
    assert role is Role.PRIMARY or proof.lag_seconds == pytest.approx(lag_seconds)
    assert (measured.server, measured.threads_running) == (measured.server, 4)


OLD, NEW = "301000000", "400000"
WRITER = "MASTER_SESSION_ID"


@pytest.mark.parametrize(
    ("server", "innodb_read_only", "status", "role", "words", "members"),
    [
        ("db-2", 1, [("db-2", "s", 0.0, OLD), ("db-1", WRITER, 0.0, NEW)], Role.UNKNOWN, "is 301 s old", ()),
        ("db-2", 1, [("db-2", "s", 0.0, None)], Role.UNKNOWN, "s old", ()),
        # Others that are gone are neither asked nor believed to be there.
        ("db-1", 0, [("db-1", WRITER, 0.0, NEW), ("db-2", "s", 0.0, OLD)], Role.PRIMARY, "writer", ("db-1",)),
        # The writer's own row may be old, as AWS's drivers have it; its storage says the same.
        ("db-1", 0, [("db-1", WRITER, 0.0, OLD)], Role.PRIMARY, "writer", ("db-1",)),
        # After a failover.
        ("db-1", 0, [("db-1", WRITER, 0.0, OLD), ("db-2", WRITER, 0.0, NEW)], Role.UNKNOWN, "db-2 is the writer", ()),
        (
            "db-1",
            1,
            [("db-1", WRITER, 0.0, OLD), ("db-2", WRITER, 0.0, NEW), ("db-1", "s", 9.0, NEW)],
            Role.REPLICA,
            "reader",
            ("db-2", "db-1"),
        ),
    ],
)
def test_a_row_that_nobody_wrote_for_five_minutes_is_neither_believed_nor_followed(
    server, innodb_read_only, status, role, words, members
):
    wire = aurora(server, innodb_read_only=innodb_read_only, status=status)
    facts = measure(wire, Questions(dialect=dialect_of(wire))).facts
    assert prove_role(facts).role is role
    assert words in prove_role(facts).words
    assert tuple(name for _, name in facts.member.members) == members


FAR = ("db-9", WRITER, "us-east-1", "0", "0")


@pytest.mark.parametrize(
    ("session", "regions", "role", "lag_seconds", "words"),
    [
        ("s", [("db-2", "s", "eu-west-1", "40", "1500"), FAR], Role.REPLICA, 1.54, "the writer is db-9 in us-east-1"),
        # Whichever way a secondary region names the one that would write.
        (WRITER, [("db-2", "s", "eu-west-1", "40", "1500"), FAR], Role.REPLICA, 1.54, "reader in eu-west-1"),
        ("s", [("db-2", "s", "eu-west-1", "40", None), FAR], Role.REPLICA, None, "reader in eu-west-1"),
        ("s", [("db-2", "s", "eu-west-1", "40", "1500")], Role.REPLICA, None, "no writer is named"),
        # In the region of the writer, without a global database, before 3.04.
        ("s", [("db-2", "s", "us-east-1", "40", "0"), FAR], Role.REPLICA, 0.4175, "reader"),
        ("s", [], Role.REPLICA, 0.4175, "reader"),
        (WRITER, [], Role.UNKNOWN, None, "a writer that refuses writes"),
    ],
)
def test_a_reader_of_another_region_is_as_late_as_its_region_and_itself(session, regions, role, lag_seconds, words):
    wire = aurora("db-2", innodb_read_only=1, status=[("db-2", session, 17.5)], regions=regions)
    proof = prove_role(measure(wire, Questions(dialect=dialect_of(wire))).facts)
    assert (proof.role, proof.lag_seconds) == (role, pytest.approx(lag_seconds))
    assert words in proof.words


@pytest.mark.parametrize(
    ("state", "part", "queue", "read_only", "role", "lag_seconds"),
    [
        ("Synced", "Primary", "0", 0, Role.PRIMARY, 0.0),
        ("Synced", "Primary", "0", 1, Role.REPLICA, 0.0),
        ("Synced", "Primary", "12", 1, Role.REPLICA, None),
        ("Donor/Desynced", "Primary", "0", 1, Role.REPLICA, None),
        ("Donor/Desynced", "Primary", "0", 0, Role.PRIMARY, None),
        ("Joining", "Primary", "0", 0, Role.UNKNOWN, None),
        ("Initialized", "non-Primary", "0", 0, Role.UNKNOWN, None),
    ],
)
def test_a_galera_node_is_what_its_state_and_its_mode_say(state, part, queue, read_only, role, lag_seconds):
    wire = Recorded(
        {
            "@@wsrep_on": [(1, read_only)],
            "@@hostname": [("h:3306/1", read_only, 0, "slow.log", "10.11.6-MariaDB", "Debian")],
            "wsrep_local_state_comment": [
                ("wsrep_local_state_comment", state),
                ("wsrep_local_recv_queue", queue),
                ("wsrep_cluster_status", part),
                ("wsrep_ready", "ON" if part == "Primary" else "OFF"),
                ("wsrep_cluster_state_uuid", "c-1"),
                ("wsrep_incoming_addresses", "10.0.0.5:3306,AUTO"),
            ],
        },
        version="5.5.5-10.11.6-MariaDB",
    )
    assert dialect_of(wire) is MARIADB
    facts = measure(wire, Questions(dialect=MARIADB)).facts
    proof = prove_role(facts)
    assert proof.role is role
    assert (facts.member.group, facts.member.members) == ("c-1", (("10.0.0.5:3306", ""),))
    assert proof.lag_seconds == lag_seconds
    assert ("no quorum" in proof.words) == (part != "Primary")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("RECOVERING", "SECONDARY", "u-1", "10.0.0.5", 3306)], "recovering secondary"),
        (None, "not readable"),
    ],
)
def test_a_group_member_that_is_not_online_proves_nothing(members, words):
    answers = {
        "group_replication_group_name": [("g", 1)],
        "@@server_uuid": [("u-1", 1, 0, "slow.log", "8.0.28", "MySQL")],
    }
    if members is not None:
        answers["replication_group_members"] = members
    proof = prove_role(measure(Recorded(answers), Questions(dialect=MYSQL)).facts)
    assert proof.role is Role.UNKNOWN
    assert words in proof.words


@pytest.mark.parametrize(
    ("single", "others", "role", "shares"),
    [
        ("1", [("ONLINE", "SECONDARY")] * 2, Role.PRIMARY, False),
        ("0", [("ONLINE", "PRIMARY")] * 2, Role.PRIMARY, True),
        ("0", [("ONLINE", "PRIMARY"), ("UNREACHABLE", "PRIMARY")], Role.PRIMARY, True),
        ("0", [("UNREACHABLE", "PRIMARY")] * 2, Role.UNKNOWN, True),
        ("1", [("UNREACHABLE", "SECONDARY")], Role.UNKNOWN, False),
    ],
)
def test_a_group_writes_on_one_or_on_all_and_nowhere_without_a_majority(single, others, role, shares):
    rows = [("ONLINE", "PRIMARY", "u-1", "10.0.0.5", 3306)]
    rows += [(*each, f"u-{number}", "10.0.0.6", 3306) for number, each in enumerate(others, start=2)]
    answers = {
        "group_replication_group_name": [("g", single)],
        "@@server_uuid": [("u-1", 0, 0, "slow.log", "8.0.28", "MySQL")],
        "COUNT_TRANSACTIONS": [("0",)],
        "replication_group_members": rows,
    }
    facts = measure(Recorded(answers), Questions(dialect=MYSQL)).facts
    proof = prove_role(facts)
    assert (proof.role, facts.shares_writes) == (role, shares)
    assert ("no quorum" in proof.words) == (role is Role.UNKNOWN)


def test_an_identity_cannot_break_out_of_its_quotes():
    server = "u'; DROP"
    rows = [("ONLINE", "PRIMARY", server, "db-1", 3306)]
    wire = Recorded({"group_replication_group_name": [("g", 1)], "replication_group_members": rows})
    member_of(wire, MYSQL, server, [("g", "1")])
    assert "'uDROP'" in wire.asked[-1]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("9.7.4-2", 90704),
        ("8.0.36", 80036),
        ("10.11.18-MariaDB-0+deb12u1-log", 101118),
        ("5.5.5-10.6.12-MariaDB", 100612),
        ("8.0.mysql_aurora.3.01.0", 80023),
        ("8.0.mysql_aurora.3.02.2", 80023),
        ("8.0.mysql_aurora.3.05.2", 80032),
        ("8.0.mysql_aurora.3.10.1", 80042),
        ("8.0.mysql_aurora.3.99.0", 80044),
        ("5.7.mysql_aurora.2.11.3", 50700),
        ("8.0", 80000),
        ("nonsense", 0),
    ],
)
def test_versions_are_read(text, version):
    assert version_of(text) == version


def test_a_server_of_the_same_version_is_not_asked_again_which_it_is():
    wire = aurora("db-1", innodb_read_only=0, status=[])
    known = Variant(version=wire.server_version, dialect=dialect_of(wire))
    asked = len(wire.asked)
    assert dialect_of(wire, known) is AURORA_MYSQL
    assert len(wire.asked) == asked
    assert dialect_of(Recorded({}, version="9.7.4"), known) is MYSQL


def test_what_was_refused_and_changes_no_role_or_rule_is_not_asked_again():
    wire = Recorded({"@@server_uuid": [("u-1", 1, 0, "slow.log", "8.0.28", "MySQL")]})
    questions = Questions(dialect=MYSQL)
    measure(wire, questions)
    wire.asked.clear()
    measure(wire, questions)
    assert "SHOW REPLICAS" not in wire.asked
    # Its role hangs on this one, rules on the next; a grant that was given since counts at once.
    assert "SHOW REPLICA STATUS" in wire.asked
    assert any("innodb_table_stats" in text for text in wire.asked)
