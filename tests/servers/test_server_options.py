"""Servers started, or set, in ways that the demo's own are not: what runs there, and what the doctor says."""

import json
import os
import threading
from contextlib import ExitStack

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from safeconsole.mysql.dialling import dial, login_for, resolve
from safeconsole.errors import StoppedError, UnreachableError
from safeconsole.dialects.mysql import MYSQL
from safeconsole.dialects.grants import grant_statements
from safeconsole.config.secrets import Secret
from safeconsole.config.settings import TlsSettings
from safeconsole.sqltext.vocabulary import Account, Flavour
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.app import run
from tests.harness.desk import joined, seated
from tests.harness.talking import elevated, engine_of, write
from tests.harness.talking import run as run_permit

LITERALS = ["'zz'", "'x\"y'", "'O''Brien'", """'z", "rows": 1, "access_type": "const", "x": "'"""]


@pytest.fixture
def set_globally(private_cluster):
    """A function that starts a server of a flavour and says statements there, which hold for whoever comes."""

    def start(flavour, *statements, options=()):
        cluster = private_cluster(flavour, replicas=0, options=options)
        tell(cluster, *statements)
        return cluster

    return start


def tell(cluster, *statements):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def examined(cluster, directory, *, account="console_read", password=None):
    """Have the doctor examine a cluster, and return the exit code."""
    config = directory / "config.toml"
    password = password or cluster.accounts[account]
    config.write_text(
        f'[clusters.shop]\nnodes = ["127.0.0.1:{cluster.primary.port}"]\nschema = "shop"\n'
        f'[clusters.shop.accounts]\nread = "{account}"\n'
        f'[clusters.shop.secrets]\nsources = ["command"]\ncommand = ["echo", "{password}"]\n'
        f'[clusters.shop.tls]\nmode = "disabled"\n[audit]\ndirectory = "{directory / "audit"}"\n'
    )
    command = ["--config", str(config), "doctor", "shop", "--format", "json"]
    return run(command, {**os.environ, "HOME": str(directory)})


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "ORACLE"])
def test_reads_run_under_a_global_sql_mode_that_quotes_names_doubly(set_globally, tmp_path, mode):
    cluster = set_globally("mariadb", f"SET GLOBAL sql_mode = '{mode}'")
    with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
        for literal in LITERALS:
            assert desk.run(f'SELECT COUNT(*) FROM "orders" WHERE "status" <> {literal}').table[0][0] > 0


def test_a_literal_does_not_change_what_the_plan_says(mariadb_cluster, tmp_path):
    with seated(mariadb_cluster, tmp_path / "desk", justification=None) as desk:
        for literal in LITERALS:
            (statement,) = desk.session.split(f"SELECT * FROM orders WHERE status <> {literal}")
            considered = desk.session.consider(statement)
            assert (considered.estimate.full_scans, considered.estimate.keyed) == (("orders",), False)
            assert considered.estimate.rows > 1000


def test_help_runs_where_there_is_none_on_the_word(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk", justification=None) as desk:
        desk.run("HELP 'no such word'")
        desk.run("HELP 'SELECT'")
        assert desk.run("SELECT 1").table == [(1,)]


@pytest.mark.parametrize("setting", ["sql_mode = 'ANSI_QUOTES'", "sql_quote_show_create = OFF"])
def test_the_doctor_reads_grants_however_names_are_quoted(set_globally, tmp_path, capfd, setting):
    made = grant_statements(MYSQL, Account.READ, user="examined", schema="shop")
    cluster = set_globally("mysql", *(line.replace("…", "of-the-examined") for line in made), f"SET GLOBAL {setting}")
    examined(cluster, tmp_path, account="examined", password="of-the-examined")
    checks = json.loads(capfd.readouterr().out)
    assert [check["finding"] for check in checks if check["what"].startswith("grants of")] == ["good"]


def test_without_a_performance_schema_statements_run_and_are_watched(set_globally, tmp_path, capfd):
    cluster = set_globally("mysql", options=("--performance-schema=OFF", "--skip-log-bin", "--gtid-mode=OFF"))
    with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
        assert desk.run("SELECT COUNT(*) FROM orders").table[0][0] > 0
    for most, finding, words in (
        (3, "good", "room for 1 console at once"),
        (8, "good", "room for 4 consoles at once"),
        (0, "advice", "no limit of the account"),
    ):
        tell(cluster, f"ALTER USER 'console_read'@'%' WITH MAX_USER_CONNECTIONS {most}")
        examined(cluster, tmp_path)
        (room,) = [check for check in json.loads(capfd.readouterr().out) if check["what"] == "connections"]
        assert (room["finding"], words in room["detail"]) == (finding, True)
    engine = engine_of(cluster)
    try:
        connection = engine.connect("primary", Account.ELEVATED, schema="shop")
        # No time limit of the server's own ends a write: the watchdog has to see it, and to kill it.
        slow = elevated(connection, write("UPDATE orders SET status = status WHERE SLEEP(0.2) = 0"), run_seconds=1)
        with pytest.raises(StoppedError) as caught:
            run_permit(connection, slow)
        assert caught.value.by == "watchdog"
        connection.close()
    finally:
        engine.close()
    examined(cluster, tmp_path)
    checks = {check["what"]: check for check in json.loads(capfd.readouterr().out)}
    assert checks["a read"]["finding"] == "good"
    assert [checks[name]["finding"] for name in ("performance_schema", "log_bin", "gtid_mode")] == ["advice"] * 3


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_too_few_connections_of_an_account_are_told_with_how_many_it_needs(set_globally, tmp_path, capfd, flavour):
    cluster = set_globally(flavour, "ALTER USER 'console_read'@'%' WITH MAX_USER_CONNECTIONS 1")
    with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
        error = desk.error_of("SELECT 1")
        assert "a console needs 2 at once" in "".join((error.message, *error.evidence))
        # Another node is asked over the same account: nothing is advised that would meet the same limit.
        assert error.remedies == ()
        assert "try again in a moment" in error.instead
    assert examined(cluster, tmp_path) == 2
    (ran,) = [check for check in json.loads(capfd.readouterr().out) if check["what"] == "a read"]
    assert ran["finding"] == "wrong"
    assert "a console needs 2 at once" in ran["detail"]
    tell(cluster, "ALTER USER 'console_read'@'%' WITH MAX_USER_CONNECTIONS 2")
    with seated(cluster, tmp_path / "desk", to="primary", justification=None) as desk:
        assert desk.run("SELECT COUNT(*) FROM orders").table[0][0] > 0


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_who_finds_no_connection_left_waits_for_their_turn(set_globally, tmp_path, flavour):
    cluster = set_globally(flavour, "ALTER USER 'console_read'@'%' WITH MAX_USER_CONNECTIONS 4")
    with ExitStack() as seats:
        first = seats.enter_context(seated(cluster, tmp_path / "desk", to="primary", heavy_at_once=0))
        desks = [first, *(seats.enter_context(joined(first, to="primary")) for _ in range(8))]
        answers = []
        threads = [
            threading.Thread(target=lambda desk=desk: answers.append(desk.run("SELECT SLEEP(0.2)").table))
            for desk in desks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [[(0,)]] * len(desks)


def test_a_password_is_encrypted_with_the_pinned_key_alone(set_globally, tmp_path):
    cluster = set_globally("mysql")
    own, other = (rsa_key(tmp_path / name) for name in ("own.pem", "other.pem"))
    own.write_bytes((cluster.primary.datadir / "public_key.pem").read_bytes())
    # What the server has seen since it started is not asked for in full.
    for key, found in ((other, "refused the account or its password"), (own, "")):
        tell(cluster, "FLUSH PRIVILEGES")
        place = resolve(f"127.0.0.1:{cluster.primary.port}")
        tls = TlsSettings(mode="disabled", server_key=str(key))
        account = "console_elevated"
        secret = Secret(account=account, password=cluster.accounts[account])
        login = login_for(place, tls, secret=secret, connect_seconds=5)
        if found:
            with pytest.raises(UnreachableError, match=found):
                dial(login)
        else:
            dial(login).quit()


def rsa_key(path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path
