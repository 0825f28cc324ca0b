"""Real servers that greet as others do: which are used, and what is said of those that are not."""

import json

import pytest

from safeconsole.app import run
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.dialects.mysql import MYSQL
from safeconsole.mysql.recognising import Variant
from safeconsole.mysql.remembered import Remembered
from safeconsole.sqltext.vocabulary import Role

from tests.harness.desk import seated
from tests.harness.imitating import Imitation

OLD = {"mysql": "8.0.36", "mariadb": "5.5.5-10.6.12-MariaDB-log"}


def before(cluster, node, **how):
    return Imitation(node.host, node.port, **how)


@pytest.fixture
def at(cluster, tmp_path):
    """A desk at a cluster's first replica, by an address."""

    def sit(place):
        return seated(cluster, tmp_path / "desk", nodes={"replica-1": place}, discovery="off", connect_seconds=5)

    return sit


def claims(cluster, version):
    """What has a server say in a text what it says in its greeting."""
    return [(r"@@version\b(?!_)", f"'{version.removeprefix('5.5.5-')}'")]


def test_a_server_behind_a_proxy_that_changes_nothing_is_used(cluster, at):
    with before(cluster, cluster.replicas[0]) as there, at(there.address) as desk:
        assert desk.run("SELECT COUNT(*) FROM orders").table[0][0] > 0


def test_an_older_release_that_is_supported_is_used_as_what_it_is(cluster, at):
    version = OLD[cluster.flavour]
    imitation = before(cluster, cluster.replicas[0], greeting=version, swaps=claims(cluster, version))
    with imitation as there, at(there.address) as desk:
        assert desk.run("SELECT COUNT(*) FROM orders").table[0][0] > 0
        (reading,) = desk.session.topology()
        assert reading.version == version.removeprefix("5.5.5-")


@pytest.mark.parametrize(
    "greeting", ["5.6.51", "5.7.44-log", "5.5.5-10.4.32-MariaDB", "8.0.11-TiDB-v8.5.3", "8.0.30-Vitess"]
)
def test_a_server_that_is_not_supported_says_so_in_one_line(mysql_cluster, tmp_path, greeting, capfd):
    node = mysql_cluster.replicas[0]
    with before(mysql_cluster, node, greeting=greeting) as there:
        with seated(mysql_cluster, tmp_path / "desk", nodes={"replica-1": there.address}, discovery="off") as desk:
            error = desk.error_of("SELECT 1")
        told = [line for line in (error.message, *error.evidence) if "which is not supported" in line]
        assert len(told) == 1
        config = str(tmp_path / "desk" / "config.toml")
        environment = {"HOME": str(tmp_path), "USER": "ada", "PATH": "/usr/bin:/bin"}
        capfd.readouterr()
        assert run(["--config", config, "sql", "shop", "-e", "SELECT 1"], environment) == 8
        lines = capfd.readouterr().err.splitlines()
        assert sum("which is not supported" in line for line in lines) == 1
        assert run(["--config", config, "doctor", "shop", "--format", "json"], environment) == 2
        checks = json.loads(capfd.readouterr().out)
        assert sum("which is not supported" in check["detail"] for check in checks) == 1


def test_a_proxy_that_greets_by_itself_is_told_from_the_server_behind_it(cluster, at):
    greeting = {"mysql": "8.0.11", "mariadb": "10.6.1-MariaDB"}[cluster.flavour]
    with before(cluster, cluster.replicas[0], greeting=greeting) as there, at(there.address) as desk:
        error = desk.error_of("SELECT 1")
    assert "a proxy stands before it, such as ProxySQL or MaxScale" in "".join((error.message, *error.evidence))


def test_a_connection_that_has_another_number_there_is_never_used(cluster, at):
    with before(cluster, cluster.replicas[0], thread=4_000_000_000) as there, at(there.address) as desk:
        error = desk.error_of("SELECT 1")
    said = "".join((error.message, *error.evidence))
    assert "the watchdog does not see the connection" in said
    assert "name the servers behind it in nodes" in said


def test_a_connection_that_ends_while_its_guards_are_set_is_not_told_as_a_refused_guard(cluster, at):
    swaps = [(r"^SET NAMES utf8mb4, .*", "KILL CONNECTION CONNECTION_ID()")]
    with before(cluster, cluster.replicas[0], swaps=swaps) as there, at(there.address) as desk:
        error = desk.error_of("SELECT 1")
    said = " ".join((error.message, *error.evidence))
    assert "refused the guard" not in said
    assert "(0)" not in said
    assert "was lost while its guards were set" in said


def test_an_answer_that_is_empty_makes_no_aurora(mysql_cluster, tmp_path):
    node = mysql_cluster.replicas[0]
    swaps = [("SELECT @@aurora_version", "SELECT ''")]
    with before(mysql_cluster, node, swaps=swaps) as there:
        with seated(mysql_cluster, tmp_path / "desk", nodes={"replica-1": there.address}, discovery="off") as desk:
            assert desk.run("SELECT COUNT(*) FROM orders").table[0][0] > 0
            assert [str(reading.flavour) for reading in desk.session.topology()] == ["mysql"]


def test_a_server_that_is_aurora_now_is_found_out_though_it_was_remembered_as_another(mysql_cluster, tmp_path):
    node = mysql_cluster.replicas[0]
    with mysql_cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        variant = Variant(version=cursor.fetchone()[0], dialect=MYSQL)
    swaps = [("SELECT @@aurora_version", "SELECT '3.05.2'"), ("@@aurora_server_id", "@@server_uuid")]
    with before(mysql_cluster, node, swaps=swaps) as there:
        kept = tmp_path / "desk" / ".local/state/safeconsole/clusters"
        Remembered(kept, (there.address,)).keep([(there.address, Role.REPLICA, variant)])
        with seated(mysql_cluster, tmp_path / "desk", nodes={"replica-1": there.address}, discovery="off") as desk:
            assert [str(reading.flavour) for reading in desk.session.topology()] == ["aurora-mysql"]
        assert Remembered(kept, (there.address,)).variant_of(there.address) is None


def test_both_flavours_are_imitated():
    assert set(OLD) == set(FLAVOURS)
