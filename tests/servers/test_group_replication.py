"""A replication group of three real servers, of which the configuration names one: found, proven, followed."""

import time

import pymysql
import pytest

from safeconsole.mysql.engine import open_engine
from safeconsole.sqltext.vocabulary import Role

from tests.harness.clusters import kill
from tests.harness.desk import listen, seated, times_sent
from tests.harness.talking import GivenSecrets, RealClock, settings_for, wait_for
from safeconsole.demo import servers as replication
from safeconsole.demo import daemon

GROUP = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
MEMBERS = "SELECT member_state FROM performance_schema.replication_group_members"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def group(private_cluster):
    """Three servers in one group, writing on the first."""
    cluster = private_cluster("mysql")
    ports = daemon.free_ports(len(cluster.nodes))
    seeds = ",".join(f"127.0.0.1:{port}" for port in ports)
    for node, port in zip(cluster.nodes, ports, strict=True):
        if node.role == "replica":
            tell(cluster, node, "STOP REPLICA", "RESET REPLICA ALL")
            tell(cluster, node, "SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
        try:
            tell(cluster, node, "INSTALL PLUGIN group_replication SONAME 'group_replication.so'")
        except pymysql.MySQLError as error:
            pytest.skip(f"this server has no group replication: {error}")
        settings = {
            "group_name": GROUP,
            "local_address": f"127.0.0.1:{port}",
            "group_seeds": seeds,
        }
        tell(cluster, node, *(f"SET GLOBAL group_replication_{name} = '{value}'" for name, value in settings.items()))
        tell(
            cluster,
            node,
            "SET GLOBAL group_replication_recovery_use_ssl = 1",
            "SET GLOBAL group_replication_member_expel_timeout = 0",
        )
    first, *others = cluster.nodes
    tables = ("replication_group_members", "replication_group_member_stats")
    tell(
        cluster,
        first,
        "GRANT GROUP_REPLICATION_STREAM ON *.* TO replicator@'%'",
        *(f"GRANT SELECT ON performance_schema.{table} TO console_read@'%', console_elevated@'%'" for table in tables),
        "SET GLOBAL group_replication_bootstrap_group = ON",
        "START GROUP_REPLICATION",
        "SET GLOBAL group_replication_bootstrap_group = OFF",
    )
    for node in others:
        tell(cluster, node, f"START GROUP_REPLICATION USER='replicator', PASSWORD='{cluster.accounts['replicator']}'")
    wait_for(lambda: states(cluster, first) == ["ONLINE"] * 3, at_most=60)
    return cluster


def tell(cluster, node, *statements):
    with cluster.dba_connect(node) as dba:
        replication.tell(dba, *statements)


def states(cluster, node):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute(MEMBERS)
        return [state for (state,) in cursor.fetchall()]


def readings_of(group, *writer):
    address = {f"{node.host}:{node.port}": node.name for node in group.nodes}
    settings = settings_for(address, names=address, writer=writer)
    engine = open_engine("shop", settings, GivenSecrets(group.accounts), RealClock())
    try:
        return {str(reading.node): reading for reading in engine.topology()}
    finally:
        engine.close()


def write_on_several(group, directory):
    """What a group does that takes writes on every member, and what the console makes of it."""
    tell(group, group.nodes[0], "DO group_replication_switch_to_multi_primary_mode()")
    wait_for(lambda: all(each.shares_writes for each in readings_of(group).values()), at_most=60)
    nodes = {node.name: f"{node.host}:{node.port}" for node in group.nodes}
    with seated(group, directory / "none", nodes=nodes) as desk:
        assert 'writer = ["primary", "replica-1", "replica-2"]' in desk.error_of("SELECT 1").instead
    with seated(group, directory / "chosen", nodes=nodes, writer=["replica-1"]) as desk:
        for _ in range(3):
            before = desk.run("SELECT total FROM orders WHERE id = 1").table[0][0]
            assert desk.run("UPDATE orders SET total = total + 1 WHERE id = 1").where == "replica-1"
            shown = desk.run("SELECT total FROM orders WHERE id = 1")
            assert (shown.where != "replica-1", shown.table[0][0], shown.notes) == (True, before + 1, ())
    tell(group, group.nodes[0], "DO group_replication_switch_to_single_primary_mode()")
    wait_for(lambda: sum(each.role is Role.PRIMARY for each in readings_of(group).values()) == 1, at_most=60)


def test_a_group_is_found_from_one_member_and_followed_when_its_primary_dies(group, tmp_path):
    write_on_several(group, tmp_path)
    address = {node.name: f"{node.host}:{node.port}" for node in group.nodes}
    names = {at: name for name, at in address.items()}
    settings = settings_for([address["replica-1"]], names=names)
    engine = open_engine("shop", settings, GivenSecrets(group.accounts), RealClock())
    readings = {str(reading.node): reading for reading in engine.topology()}
    engine.close()
    # The group chose who writes.
    assert sorted(reading.role for reading in readings.values()) == [Role.PRIMARY, Role.REPLICA, Role.REPLICA]
    assert readings["replica-2"].found == readings["primary"].found == "in the group of replica-1"
    assert readings["replica-1"].proof.startswith("group replication: online ")
    primary = next(node for node in group.nodes if readings[node.name].role is Role.PRIMARY)
    listen(group)
    with seated(group, tmp_path / "desk", nodes={"replica-1": address["replica-1"]}, connect_seconds=1.5) as desk:
        assert desk.port() != primary.port
        change = "UPDATE orders SET total = total + 1 WHERE id = 1 AND 'mark {0}' = 'mark {0}'"
        assert desk.run(change.format("before")).where in (primary.name, address[primary.name])
        kill(primary)
        started = time.monotonic()
        seconds, errors, shown = desk.seconds_until(change.format("after"), at_most=60)
        assert shown.where not in (primary.name, address[primary.name])
        assert times_sent(group, "mark after") == 1
        told = errors[0].message if errors else "nothing"
        print(f"\n| group replication: kill -9 of the primary while nothing runs | {told} | 1 | {seconds:.1f} s |")
        assert time.monotonic() - started < 60
        assert desk.port() != primary.port
    left = [node for node in group.nodes if node.name != primary.name]
    kill(left[0])
    # Two of three are gone: the last one still calls itself online.
    wait_for(lambda: "no quorum" in readings_of(group)[left[1].name].proof, at_most=60)
    assert readings_of(group)[left[1].name].role is Role.UNKNOWN
