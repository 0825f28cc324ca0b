"""A console on Aurora MySQL 3 as its manual and its drivers describe it: imitated, since none was ever met."""

import json

import pymysql
import pytest

from safeconsole.app import run
from safeconsole.demo.servers import tell
from safeconsole.dialects.grants import judged, privileges_of
from safeconsole.dialects.mysql import AURORA_MYSQL
from safeconsole.errors import LostError, NoFitNodeError, NotSentError, RefusedError, StoppedError
from safeconsole.sqltext.vocabulary import Account, Role
from tests.harness.aurora import (
    COMMUNITY,
    CUSTOM_ENDPOINT,
    DOMAIN,
    READER_ENDPOINT,
    WRITER_ENDPOINT,
    aurora_cluster,
    multi_az_cluster,
)
from tests.harness.clusters import account_connect
from tests.harness.desk import seated
from tests.harness.talking import wait_for
from tests.servers.conftest import _require

CHANGE = "UPDATE orders SET total = total + 1 WHERE id = 1"
TOTAL = "SELECT total FROM orders WHERE id = 1"
WHO = "SELECT @@aurora_server_id"
SLOW_READ = "SELECT SUM(SLEEP(0.02)) FROM orders WHERE id <= 400"
SLOW_CHANGE = "UPDATE orders SET status = IF(SLEEP(0.02) = 0, 'slow', status) WHERE id <= 400"
INCIDENT = "SELECT table_schema, SUM(data_length + index_length) FROM information_schema.tables GROUP BY table_schema"

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def instances(tmp_path_factory):
    _require("mysql")
    with aurora_cluster(tmp_path_factory.mktemp("aurora") / "c") as started:
        yield started


@pytest.fixture
def aurora(instances):
    """Three instances, of which one writes, each of which reported itself a moment ago."""
    instances.at_rest()
    return instances


@pytest.fixture
def multi_az(instances):
    """The same servers as a Multi-AZ cluster of RDS for MySQL, which are what they say and list one another."""
    with multi_az_cluster(instances.cluster) as network:
        yield network


@pytest.fixture
def sit(aurora, tmp_path):
    """Sit down at a console that knows instances or endpoints by these names."""

    def at(*names, **how):
        how = {"connect_seconds": 5, **how}
        return seated(aurora.cluster, tmp_path / "desk", nodes={name: aurora.address(name) for name in names}, **how)

    return at


def roles(desk):
    return {str(reading.node): reading.role for reading in desk.session.topology()}


def command(tmp_path, capfd, *arguments):
    """Run a command as the person at the desk; its exit code, output and errors."""
    environment = {"HOME": str(tmp_path), "USER": "ada", "PATH": "/usr/bin:/bin"}
    capfd.readouterr()
    code = run(["--config", str(tmp_path / "desk" / "config.toml"), *arguments], environment)
    return code, *capfd.readouterr()


@pytest.mark.parametrize("endpoint", [WRITER_ENDPOINT, READER_ENDPOINT])
def test_every_instance_is_found_from_an_endpoint(aurora, sit, endpoint):
    own = aurora.writer if endpoint == WRITER_ENDPOINT else aurora.readers[0]
    aurora.lead(READER_ENDPOINT, aurora.readers[0])
    with sit(endpoint) as desk:
        readings = {reading.identity.server: reading for reading in desk.session.topology()}
        assert {name: str(reading.node) for name, reading in readings.items()} == {
            name: endpoint if name == own else aurora.address(name) for name in aurora.nodes
        }
        assert {name: reading.role for name, reading in readings.items()} == {
            name: Role.PRIMARY if name == aurora.writer else Role.REPLICA for name in aurora.nodes
        }
        assert {str(reading.flavour) for reading in readings.values()} == {"aurora-mysql"}
        # The lag that was reported, and how long ago.
        assert 0.4 < readings[aurora.readers[0]].lag_seconds < 10
        assert readings[aurora.writer].unseen == ""
        assert desk.run(WHO).table[0][0] in aurora.readers
        assert desk.run(CHANGE).where == str(readings[aurora.writer].node)
        assert desk.run(TOTAL).table


def test_names_of_one_instance_are_one_node(aurora, sit):
    first, second = aurora.readers
    with sit(WRITER_ENDPOINT, CUSTOM_ENDPOINT, aurora.writer, first) as desk:
        assert roles(desk) == {
            WRITER_ENDPOINT: Role.PRIMARY,
            first: Role.REPLICA,
            aurora.address(second): Role.REPLICA,
        }


def test_an_endpoint_that_leads_elsewhere_than_before_is_measured_again(aurora, sit):
    def move(to):
        aurora.lead(READER_ENDPOINT, to)
        aurora.endpoints[READER_ENDPOINT].cut()

    first, second = aurora.readers
    move(first)
    with sit(READER_ENDPOINT, discovery="off") as desk:
        assert desk.run(WHO).table == [(first,)]
        move(second)
        _, errors, shown = desk.seconds_until(WHO)
        assert shown.table == [(second,)]
        assert all(isinstance(error, (LostError, NotSentError)) for error in errors)
        # Whatever it is called, the writer takes no read that is for a replica.
        move(aurora.writer)
        wait_for(lambda: isinstance(desk.error_of(WHO), NoFitNodeError))


def test_a_failover_ends_the_window_and_the_new_writer_takes_the_next_change(aurora, sit):
    former, (first, _) = aurora.writer, aurora.readers
    with sit(WRITER_ENDPOINT, connect_seconds=1.5) as desk:
        before = desk.run(TOTAL).table[0][0]
        desk.session.elevate(reason="incident 7")
        assert desk.run(CHANGE).where == WRITER_ENDPOINT
        aurora.fail_over(first)
        _, errors, shown = desk.seconds_until(CHANGE)
        assert all(isinstance(error, NotSentError) for error in errors)
        server = {str(each.node): each.identity.server for each in desk.session.topology() if each.identity}
        assert server[shown.where] == first
        _, _, shown = desk.seconds_until(TOTAL)
        assert shown.table[0][0] == before + 2
        assert server[shown.where] != first
        assert roles(desk)[next(node for node, name in server.items() if name == former)] is Role.REPLICA
        ended = [(record["state"], record["event"]) for record in desk.records("elevation")]
        assert ("revoked", "failed-over") in ended


def test_a_row_that_is_old_is_neither_believed_nor_followed(aurora, sit):
    first, second = aurora.readers
    aurora.report(ages={second: 301})
    with sit(WRITER_ENDPOINT) as desk:
        assert set(roles(desk)) == {WRITER_ENDPOINT, aurora.address(first)}
    with sit(WRITER_ENDPOINT, second) as desk:
        assert desk.run(WHO).table == [(first,)]
        assert roles(desk)[second] is Role.UNKNOWN
    aurora.report(ages={second: 301, first: 31})
    with sit(WRITER_ENDPOINT, second) as desk:
        error = desk.error_of(WHO)
        said = " ".join((error.message, *error.evidence))
        assert "lag 31 s over 30 s" in said
        assert "its row in replica_host_status is 30" in said


def test_a_change_of_ones_own_is_waited_for_by_what_a_reader_says_of_its_lag(aurora, sit):
    with sit(WRITER_ENDPOINT) as desk:
        before = desk.run(TOTAL).table[0][0]
        desk.run(CHANGE)
        shown = desk.run(TOTAL)
        assert (shown.table[0][0], shown.notes) == (before + 1, ())
        # As it was five seconds ago, no reader had it.
        aurora.report(ages=dict.fromkeys(aurora.readers, 5))
        desk.run(CHANGE)
        (note,) = desk.run(TOTAL).notes
        assert "may not have your change of shop.orders yet" in note


def test_a_time_that_is_told_in_utc_is_read_in_whatever_zone_the_server_has(aurora, sit):
    with aurora.cluster.dba_connect(aurora.cluster.primary) as dba:
        tell(dba, "SET GLOBAL time_zone = '+09:00'")
        try:
            aurora.clock = "UTC_TIMESTAMP(6)"
            with sit(aurora.writer) as desk:
                assert len(roles(desk)) == len(aurora.nodes)
        finally:
            tell(dba, "SET GLOBAL time_zone = DEFAULT")


def test_what_runs_too_long_is_ended_by_the_procedures_of_rds(aurora, sit):
    with sit(WRITER_ENDPOINT) as desk:
        desk.session.tighten("run_seconds", 1)
        assert isinstance(desk.error_of(SLOW_READ), StoppedError)
        for instance in aurora.instances.values():
            instance.asked.clear()
        error = desk.error_of(SLOW_CHANGE)
        assert (type(error), error.verified) == (StoppedError, "killed")
        asked = [text for instance in aurora.instances.values() for text in instance.asked]
        assert [text for text in asked if text.startswith("CALL mysql.rds_kill_query(")]
        assert not [text for text in asked if text.startswith("KILL")]
        assert desk.run("SELECT COUNT(*) FROM orders WHERE status = 'slow'").table == [(0,)]


def test_the_session_of_another_account_is_ended_by_a_procedure_of_rds(aurora, sit):
    with sit(WRITER_ENDPOINT) as desk, account_connect(aurora.cluster, aurora.cluster.primary, "console_read") as other:
        desk.run(f"CALL mysql.rds_kill({other.thread_id()})")
        with pytest.raises(pymysql.MySQLError):
            tell(other, "SELECT 1")


@pytest.mark.parametrize("greeting", ["", COMMUNITY, "8.0.mysql_aurora.3.04.2"])
def test_its_version_is_that_of_the_mysql_it_is_made_of(aurora, sit, greeting):
    aurora.greeting = greeting or aurora.greeting
    with sit(aurora.readers[0], discovery="off") as desk:
        shown = desk.run("SELECT JSON_VALUE('{\"a\": 1}', '$.a'), FORMAT_BYTES(1024), aurora_version()")
        assert shown.table == [("1", "1.00 KiB", "3.08.0")]


def test_the_incident_is_refused_on_the_writer_and_sizes_are_had_another_way(aurora, sit, tmp_path, capfd):
    with sit(WRITER_ENDPOINT, to="primary", justification=None) as desk:
        error = desk.error_of(INCIDENT)
        assert isinstance(error, RefusedError)
        assert "sizes of every table" in " ".join((error.message, *error.evidence))
    code, out, err = command(tmp_path, capfd, "capacity", "shop", "--format", "json")
    assert code == 0, err
    assert "orders" in out


def test_the_doctor_knows_its_own_grants_and_what_an_instance_does_without_memory(aurora, sit, tmp_path, capfd):
    aurora.variables |= {"aurora_oom_response": "", "aurora_replica_read_consistency": "session"}
    with sit(WRITER_ENDPOINT):
        _, out, _ = command(tmp_path, capfd, "doctor", "shop", "--format", "json")
    checks = json.loads(out)
    assert [check for check in checks if check["finding"] == "wrong"] == []
    assert not [check for check in checks if "rds_kill" in json.dumps(check)]
    told = {check["what"]: check["detail"] for check in checks}
    assert told["aurora_oom_response"].startswith("empty: where memory runs out")
    assert told["aurora_replica_read_consistency"].startswith("session: a reader sends on")
    assert not {"super_read_only", "gtid_mode"} & set(told)


def test_an_elevated_account_that_ends_sessions_by_procedures_has_nothing_wrong(instances):
    with instances.cluster.dba_connect(instances.cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SHOW GRANTS FOR console_elevated@'%'")
        held = [each for (line,) in cursor.fetchall() for each in privileges_of(line)]
    assert {"rds_kill", "rds_kill_query"} <= {each.table for each in held}
    assert [*judged(AURORA_MYSQL, Account.ELEVATED, held, grantee="x", schema="shop")] == []


def test_a_secondary_region_is_read_and_takes_no_change(aurora, sit):
    aurora.be_secondary(lag_ms=900)
    with sit(WRITER_ENDPOINT) as desk:
        readings = desk.session.topology()
        assert {reading.role for reading in readings} == {Role.REPLICA}
        assert {reading.lag_seconds for reading in readings} == {0.93}
        assert desk.run(TOTAL).table
        error = desk.error_of(CHANGE)
        assert isinstance(error, NoFitNodeError)
        assert "the writer is far-1 in us-east-1" in " ".join((error.message, *error.evidence))
    aurora.be_secondary(lag_ms=45_000)
    with sit(WRITER_ENDPOINT) as desk:
        error = desk.error_of(TOTAL)
        assert "lag 45 s over 30 s" in " ".join((error.message, *error.evidence))


@pytest.mark.parametrize(
    "text",
    [
        "SET aurora_replica_read_consistency = 'session'",
        "SET SESSION aurora_read_replica_read_committed = ON",
    ],
)
def test_nobody_has_a_reader_send_on_changes_or_read_less_strictly(aurora, sit, text):
    with sit(aurora.readers[0], discovery="off") as desk:
        assert isinstance(desk.error_of(text), RefusedError)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("SELECT FORMAT_BYTES(JSON_VALUE(attrs, '$.size')) FROM orders WHERE id = 1", "allow"), (INCIDENT, "confirm")],
)
def test_a_text_is_checked_for_aurora_where_none_is_reached(tmp_path, capfd, text, verdict):
    environment = {"HOME": str(tmp_path), "USER": "ada", "PATH": "/usr/bin:/bin"}
    capfd.readouterr()
    run(["check", "--engine", "aurora-mysql", "--format", "json", text], environment)
    assert json.loads(capfd.readouterr().out)[0]["verdict"] == verdict


def test_the_instances_of_a_multi_az_cluster_are_found_by_its_list(instances, multi_az, tmp_path, capfd):
    cluster = instances.cluster
    with seated(cluster, tmp_path / "desk", nodes={"writer": multi_az.address(WRITER_ENDPOINT)}) as desk:
        readings = {str(reading.node): reading for reading in desk.session.topology()}
        others = [multi_az.address(f"az-{node.name}.{DOMAIN}") for node in cluster.replicas]
        assert {node: reading.role for node, reading in readings.items()} == {
            "writer": Role.PRIMARY,
            **dict.fromkeys(others, Role.REPLICA),
        }
        assert {readings[node].found for node in others} == {"in the group of writer"}
        assert readings["writer"].unseen == ""
        assert desk.run(TOTAL).where in others
        assert desk.run(CHANGE).where == "writer"
        assert desk.run(TOTAL).notes == ()
    _, out, _ = command(tmp_path, capfd, "doctor", "shop", "--format", "json")
    assert not [check for check in json.loads(out) if check["finding"] == "wrong"]
