"""Servers started, or set, in ways that the demo's own are not: what runs there, and what the doctor says."""

import json
import os

import pytest

from safeconsole.core.grants import grant_statements
from safeconsole.core.vocabulary import Account, Flavour
from safeconsole.wiring import run
from tests.servers.desk import seated

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
    """The exit code and the checks of `doctor`."""
    config, shown = directory / "config.toml", directory / "shown"
    password = password or cluster.accounts[account]
    config.write_text(
        f'[clusters.shop]\nnodes = ["127.0.0.1:{cluster.primary.port}"]\nschema = "shop"\n'
        f'[clusters.shop.accounts]\nread = "{account}"\n'
        f'[clusters.shop.secrets]\nsources = ["command"]\ncommand = ["echo", "{password}"]\n'
        f'[clusters.shop.tls]\nmode = "disabled"\n[audit]\ndirectory = "{directory / "audit"}"\n'
    )
    command = ["--config", str(config), "doctor", "shop", "--format", "json"]
    return run(command, {**os.environ, "HOME": str(directory)}), shown


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "ORACLE"])
def test_reads_run_under_a_global_sql_mode_that_quotes_names_doubly(set_globally, tmp_path, mode):
    cluster = set_globally("mariadb", f"SET GLOBAL sql_mode = '{mode}'")
    with seated(cluster, tmp_path / "desk", to="primary", plea=None) as desk:
        for literal in LITERALS:
            assert desk.run(f'SELECT COUNT(*) FROM "orders" WHERE "status" <> {literal}').table[0][0] > 0


def test_a_literal_does_not_change_what_the_plan_says(mariadb_cluster, tmp_path):
    with seated(mariadb_cluster, tmp_path / "desk", plea=None) as desk:
        for literal in LITERALS:
            (statement,) = desk.gate.split(f"SELECT * FROM orders WHERE status <> {literal}")
            considered = desk.gate.consider(statement)
            assert (considered.estimate.full_scans, considered.estimate.keyed) == (("orders",), False)
            assert considered.estimate.rows > 1000


def test_help_runs_where_there_is_none_on_the_word(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk", plea=None) as desk:
        desk.run("HELP 'no such word'")
        desk.run("HELP 'SELECT'")
        assert desk.run("SELECT 1").table == [(1,)]


@pytest.mark.parametrize("setting", ["sql_mode = 'ANSI_QUOTES'", "sql_quote_show_create = OFF"])
def test_the_doctor_reads_grants_however_names_are_quoted(set_globally, tmp_path, capfd, setting):
    made = grant_statements(Flavour.MYSQL, Account.READ, user="examined", schema="shop")
    cluster = set_globally("mysql", *(line.replace("…", "of-the-examined") for line in made), f"SET GLOBAL {setting}")
    examined(cluster, tmp_path, account="examined", password="of-the-examined")
    checks = json.loads(capfd.readouterr().out)
    assert [check["finding"] for check in checks if check["what"].startswith("grants of")] == ["good"]
