"""Settings that teams give their servers: what runs under them, what is told, and what the doctor says helps."""

import json
import os
from contextlib import contextmanager

import pytest

from benchmarks.servers import PAGE, capabilities, column_of, version_of
from safeconsole.app import run
from safeconsole.config.settings import TlsSettings
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from safeconsole.sqltext.vocabulary import Role

from tests.harness.desk import demo_configuration, seated
from tests.harness.talking import engine_of, wait_for

# MySQL takes it when a data directory is made, and then for ever.
STARTED = {"mysql": (), "mariadb": ("--lower-case-table-names=1",)}
ISOLATION = {"mysql": "transaction_isolation", "mariadb": "tx_isolation"}


@pytest.fixture(scope="module", params=FLAVOURS)
def team(request, shared_clusters, tmp_path_factory):
    """A primary with one replica, whose settings the tests change and put back."""
    cluster = start_cluster(request.param, tmp_path_factory.mktemp("team"), replicas=1, options=STARTED[request.param])
    yield cluster
    cluster.stop()


@pytest.fixture
def changed(team):
    """A context in which statements were said on some nodes, and others put things back afterwards."""

    @contextmanager
    def change(said, put_back, *, nodes=None):
        def tell(statements):
            for node in nodes or team.nodes:
                with team.dba_connect(node) as dba, dba.cursor() as cursor:
                    for statement in statements:
                        cursor.execute(statement)

        tell(said)
        try:
            yield
        finally:
            tell(put_back)

    return change


@pytest.fixture
def examined(team, tmp_path, capfd):
    """A function that has the doctor examine the servers, and returns its checks."""
    (tmp_path / "doctor").mkdir()
    config = demo_configuration(team, tmp_path / "doctor")

    def examine():
        capfd.readouterr()
        words = ["--config", str(config), "doctor", "shop", "--format", "json"]
        run(words, {**os.environ, "HOME": str(tmp_path)})
        return json.loads(capfd.readouterr().out)

    return examine


def readings_of(team, **how):
    engine = engine_of(team, connect_seconds=5, **how)
    try:
        return {str(reading.node): reading for reading in engine.topology()}
    finally:
        engine.close()


def test_global_settings_that_change_sessions_change_none_of_the_consoles(team, changed, examined, tmp_path):
    settings = {
        "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
        "autocommit": "0",
        ISOLATION[team.flavour]: "'SERIALIZABLE'",
        "completion_type": "'RELEASE'",
        "sql_select_limit": "2",
        "character_set_server": "latin1",
        "init_connect": "'SET @own = 1, SESSION sql_select_limit = 3, NAMES latin1'",
        "event_scheduler": "ON",
        "innodb_stats_persistent": "OFF",
        **({"sql_require_primary_key": "ON"} if team.flavour == "mysql" else {}),
    }
    put_back = [f"SET GLOBAL {name} = DEFAULT" for name in settings if name not in ("init_connect", "sql_mode")]
    put_back += ["SET GLOBAL init_connect = ''", "SET GLOBAL sql_mode = DEFAULT"]
    with changed([f"SET GLOBAL {name} = {value}" for name, value in settings.items()], put_back):
        with seated(team, tmp_path / "desk") as desk:
            assert len(desk.run('SELECT "id" FROM "orders" WHERE "id" < 12').table) == 11
            assert desk.run("SELECT 'a\\' || 'é', @own IS NULL").table == [("a\\é", 0)]
            desk.run("UPDATE orders SET status = 'gemäß' WHERE id = 1")
            # Its own COMMIT neither chained another transaction nor ended the connection.
            desk.run("UPDATE orders SET status = 'gemäß' WHERE id = 2")
            desk.run("START TRANSACTION READ ONLY")
            desk.run("SELECT 1")
            desk.run("COMMIT")
        with team.dba_connect(team.primary) as dba, dba.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM shop.orders WHERE id < 3 AND status = 'gemäß'")
            assert cursor.fetchone() == (2,)
        told = {check["remedy"] for check in examined() if check["what"] == "innodb_stats_persistent"}
    assert told == {"SET GLOBAL innodb_stats_persistent = ON"}


def test_names_in_any_case_are_the_same_names_where_the_server_says_so(team, tmp_path):
    if team.flavour == "mysql":
        pytest.skip("a MySQL data directory is made for it")
    with seated(team, tmp_path / "desk", to="primary", justification=None) as desk:
        assert desk.run("SELECT COUNT(*) FROM SHOP.Orders").table[0][0] > 0
        assert "secrets" in desk.error_of("SELECT * FROM MYSQL.USER").message


def test_an_init_connect_that_fails_is_named_as_what_may_end_connections(team, changed, examined):
    with changed(["SET GLOBAL init_connect = 'SELECT a FROM nowhere.b'"], ["SET GLOBAL init_connect = ''"]):
        checks = examined()
    told = [check["remedy"] for check in checks if "unreachable" in check["detail"]]
    assert len(told) == 2
    assert all("whose init_connect fails" in remedy for remedy in told)


def test_a_server_that_insists_on_encryption_is_said_to_and_what_is_said_helps(team, changed):
    required = ["SET GLOBAL require_secure_transport = ON"], ["SET GLOBAL require_secure_transport = OFF"]
    with changed(*required, nodes=team.replicas):
        reading = readings_of(team)["replica-1"]
        assert ("TLS" in reading.unreachable or "TLS" in reading.mend, "clusters.*.tls" in reading.mend) == (True, True)
        if team.flavour == "mysql":
            # It makes certificates for itself.
            tls = TlsSettings(mode="verify-ca", ca=str(team.replicas[0].datadir / "ca.pem"))
            node = team.replicas[0].name
            engine = engine_of(team, connect_seconds=5, tls=tls)
            reading = {str(each.node): each for each in engine.topology()}[node]
            engine.close()
            assert reading.role is Role.REPLICA


def test_a_replica_is_as_late_as_its_delay_and_stands_with_any_channel(team, changed, examined):
    is_mysql = team.flavour == "mysql"
    delay = "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {}" if is_mysql else "CHANGE MASTER TO MASTER_DELAY = {}"
    late = ["STOP REPLICA", delay.format(3600), "START REPLICA"]
    with changed(late, ["STOP REPLICA", delay.format(0), "START REPLICA"], nodes=team.replicas):
        wait_for(lambda: readings_of(team)["replica-1"].replicating)
        reading = readings_of(team)["replica-1"]
        assert (reading.role, reading.lag_seconds) == (Role.REPLICA, 3600.0)
        assert "3600 s late on purpose" in reading.proof
        if is_mysql:
            broken = [
                "SET GLOBAL super_read_only = OFF",
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1, SOURCE_USER='x' FOR CHANNEL 'eu'",
                "START REPLICA FOR CHANNEL 'eu'",
            ]
            mended = [
                "STOP REPLICA FOR CHANNEL 'eu'",
                "RESET REPLICA ALL FOR CHANNEL 'eu'",
                "SET GLOBAL super_read_only = ON",
            ]
        else:
            broken = [
                "CHANGE MASTER 'eu' TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='x'",
                "START SLAVE 'eu'",
            ]
            mended = ["STOP SLAVE 'eu'", "RESET SLAVE 'eu' ALL"]
        with changed(broken, mended, nodes=team.replicas):
            reading = readings_of(team)["replica-1"]
            assert (reading.role, reading.replicating, reading.lag_seconds) == (Role.REPLICA, False, None)
            assert "receiver of channel eu not running" in reading.proof
            checks = examined()
    (stands,) = [check for check in checks if check["what"].startswith("replica ")]
    assert ("of channel eu" in stands["detail"], "START REPLICA" in stands["remedy"]) == (True, True)
    if is_mysql:
        (open_to_all,) = [check for check in checks if check["what"] == "super_read_only"]
        assert (open_to_all["finding"], open_to_all["remedy"]) == ("advice", "SET PERSIST super_read_only = ON")


def test_a_server_in_offline_mode_says_so_and_no_stale_read_is_offered(team, changed, tmp_path):
    if team.flavour == "mariadb":
        pytest.skip("MariaDB has no such mode")
    with changed(["SET GLOBAL offline_mode = ON"], ["SET GLOBAL offline_mode = OFF"], nodes=team.replicas):
        with seated(team, tmp_path / "desk", justification=None) as desk:
            error = desk.error_of("SELECT COUNT(*) FROM orders")
    assert "is in offline mode" in str(error.evidence)
    assert (error.instead, error.remedies) == ("try another node", ())


@pytest.mark.parametrize(
    ("clause", "words", "way_out"),
    [
        ("ACCOUNT LOCK", "is locked", "ask the DBA to unlock it"),
        ("PASSWORD EXPIRE", "has expired", "ask the DBA for a new one"),
    ],
)
def test_an_account_that_may_not_work_is_told_with_who_can_help(
    team, changed, examined, tmp_path, clause, words, way_out
):
    def put_back(account):
        return [
            f"ALTER USER {account}@'%' ACCOUNT UNLOCK",
            f"ALTER USER {account}@'%' IDENTIFIED BY '{team.accounts[account]}'",
        ]

    for account in ("console_read", "console_elevated"):
        with changed([f"ALTER USER {account}@'%' {clause}"], put_back(account), nodes=[team.primary]):
            team.wait_caught_up()
            if account == "console_read":
                checks = [check for check in examined() if "unreachable" in check["detail"]]
                assert [(words in check["detail"], check["remedy"]) for check in checks] == [(True, way_out)] * 2
            else:
                with seated(team, tmp_path / "desk") as desk:
                    error = desk.error_of("UPDATE orders SET total = total WHERE id = 1")
                assert (words in error.message, error.instead) == (True, way_out)
        team.wait_caught_up()


def test_changes_that_wait_for_a_word_that_nobody_gives_are_told(team, changed, examined):
    if team.flavour == "mysql":
        load = "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'"
        said = [load, "SET GLOBAL rpl_semi_sync_source_timeout = 60000", "SET GLOBAL rpl_semi_sync_source_enabled = ON"]
        put_back = ["SET GLOBAL rpl_semi_sync_source_enabled = OFF", "UNINSTALL PLUGIN rpl_semi_sync_source"]
    else:
        said = ["SET GLOBAL rpl_semi_sync_master_timeout = 60000", "SET GLOBAL rpl_semi_sync_master_enabled = ON"]
        put_back = ["SET GLOBAL rpl_semi_sync_master_enabled = OFF"]
    with changed(said, put_back, nodes=[team.primary]):
        (waits,) = [check for check in examined() if check["what"] == "semi-synchronous replication"]
    assert (waits["finding"], "each waits 60 s in its COMMIT" in waits["detail"]) == ("wrong", True)
    assert not [check for check in examined() if check["what"] == "semi-synchronous replication"]


def test_the_page_says_of_this_server_what_it_does(team):
    assert capabilities(team) == column_of(PAGE.read_text(), version_of(team))
