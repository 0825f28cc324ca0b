"""Ctrl-C on a real fleet, as a process of its own: what runs is killed on every server, and what was found is kept."""

import json
import os
import signal
import subprocess
import sys
import uuid
from contextlib import suppress

import pytest

from tests.harness.desk import home_of
from tests.harness.proxy import Proxy
from tests.harness.talking import threads_running, wait_for

HEAVY = "SELECT COUNT(*) AS found FROM orders a JOIN orders b JOIN orders {0} WHERE a.total + b.total + {0}.total < 0"
STATISTICS = "mysql.innodb_table_stats"
MADE_UP = 8_000


def tell(cluster, *statements):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    cluster.wait_caught_up()


class Fleet:
    """A configuration of many clusters, and the processes that ask them."""

    def __init__(self, directory):
        self._directory = directory
        # What another fleet left running may still be on its way to its end.
        self.marker = f"heavy_{uuid.uuid4().hex[:12]}"
        self.heavy = HEAVY.format(self.marker)
        self._text = f'[audit]\ndirectory = "{directory / "audit"}"\n'
        self.processes = []

    def add(self, name, cluster, *, schema="shop", nodes=None):
        secrets = self._directory / f"secrets-{name}"
        secrets.mkdir()
        for account, password in cluster.accounts.items():
            (secrets / account).write_text(password)
        addresses = nodes or [f"{node.host}:{node.port}" for node in cluster.nodes]
        self._text += (
            f'[clusters.{name}]\nnodes = {json.dumps(addresses)}\nenvironment = "demo"\nschema = "{schema}"\n'
            f'demo = "{home_of(cluster)}"\n'
            f'[clusters.{name}.accounts]\nread = "console_read"\nelevated = "console_elevated"\n'
            f'[clusters.{name}.secrets]\nsources = ["command"]\ncommand = ["cat", "{secrets}/{{account}}"]\n'
            f'[clusters.{name}.tls]\nmode = "disabled"\n'
        )

    def begin(self, *arguments):
        config = self._directory / "config.toml"
        config.write_text(self._text)
        config.chmod(0o600)
        environ = {**os.environ, "HOME": str(self._directory), "XDG_STATE_HOME": str(self._directory / "state")}
        process = subprocess.Popen(
            (sys.executable, "-m", "safeconsole", "--config", str(config), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        self.processes.append(process)
        return process

    def records(self, kind):
        """The journals' records of one kind, of all clusters."""
        lines = [
            line
            for path in sorted((self._directory / "audit" / "sessions").glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        return [each for line in lines if (each := json.loads(line)["record"])["type"] == kind]

    def draft_lines(self):
        """How many lines each draft of a capacity report has, in no order."""
        drafts = (self._directory / "state").rglob("*.draft")
        return [len(path.read_text().splitlines()) for path in drafts]


@pytest.fixture
def fleet(tmp_path):
    """A fleet without a cluster."""
    made = Fleet(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


@pytest.fixture
def small(mysql_cluster):
    """A schema whose orders are few, so that the heavy statement is light there."""
    tell(
        mysql_cluster,
        "CREATE DATABASE fleet_small",
        "CREATE TABLE fleet_small.orders (id INT PRIMARY KEY, total INT)",
        "INSERT INTO fleet_small.orders VALUES (1, 1)",
        "GRANT SELECT ON fleet_small.* TO 'console_read'@'%'",
    )
    yield "fleet_small"
    tell(mysql_cluster, "REVOKE SELECT ON fleet_small.* FROM 'console_read'@'%'", "DROP DATABASE fleet_small")


def runs_on(fleet, cluster):
    return any(threads_running(cluster, node, fleet.marker) for node in cluster.nodes)


def test_ctrl_c_kills_what_runs_on_every_server_and_keeps_what_was_found(fleet, small, mysql_cluster, mariadb_cluster):
    fleet.add("orders-a", mysql_cluster, schema=small)
    fleet.add("orders-b", mysql_cluster)
    fleet.add("orders-c", mariadb_cluster)
    fleet.add("orders-d", mariadb_cluster)
    process = fleet.begin(
        "fleet", "orders-*", "-e", fleet.heavy, "--at-once", "2", "--timeout", "60", "--format", "csv"
    )
    wait_for(lambda: runs_on(fleet, mysql_cluster) and runs_on(fleet, mariadb_cluster), at_most=60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert not runs_on(fleet, mysql_cluster)
    assert not runs_on(fleet, mariadb_cluster)
    assert process.returncode == 5, err
    assert out.splitlines() == ["cluster,found", "orders-a,0"]
    said = [line for line in err.splitlines() if line.startswith("orders-")]
    assert [line.split(":")[0] for line in sorted(said)] == ["orders-b", "orders-c", "orders-d"]
    assert sum("by you" in line for line in said) == 2
    assert "orders-d: not started: you stopped it" in said
    assert "1 of 4 clusters answered" in err
    ended = [(each["outcome"], each["stopped_by"], each["kill"]) for each in fleet.records("outcome")]
    assert sorted(ended) == [("done", "", ""), ("stopped", "person", "killed"), ("stopped", "person", "killed")]


def test_a_second_ctrl_c_leaves_a_server_that_does_not_answer(fleet, small, mysql_cluster):
    proxies = [Proxy(node.host, node.port) for node in mysql_cluster.nodes]
    fleet.add("orders-a", mysql_cluster, schema=small)
    fleet.add("orders-b", mysql_cluster, nodes=[proxy.address for proxy in proxies])
    process = fleet.begin("fleet", "orders-*", "-e", fleet.heavy, "--timeout", "20", "--format", "csv")
    try:
        wait_for(lambda: runs_on(fleet, mysql_cluster), at_most=60)
        for proxy in proxies:
            proxy.go_deaf()
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        for proxy in proxies:
            proxy.close()
    assert process.returncode == 5, err
    assert out.splitlines() == ["cluster,found", "orders-a,0"]
    assert "orders-b: left by you before its server said that it is over" in err
    assert "1 of 2 clusters answered" in err
    # The server's own cap ends it, which the console set before it was sent.
    wait_for(lambda: not runs_on(fleet, mysql_cluster), at_most=60)


def test_a_second_ctrl_c_leaves_although_nobody_reads_the_output(fleet, mysql_cluster):
    fleet.add("orders-a", mysql_cluster)
    wide = "SELECT o.*, REPEAT('x', 400) AS wide FROM orders o"
    process = fleet.begin("fleet", "orders-*", "-e", wide, "--timeout", "20", "--format", "csv")
    # More than a pipe holds: what writes it waits for a reader who never comes.
    assert process.stdout.readline() != ""
    wait_for(lambda: fleet.records("intent"), at_most=30)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
    assert process.wait(timeout=20) == 5
    assert "orders-a: left by you" in process.stderr.read()


def test_after_a_limit_stopped_one_no_further_cluster_is_asked(fleet, mysql_cluster, mariadb_cluster):
    fleet.add("orders-a", mysql_cluster)
    fleet.add("orders-b", mariadb_cluster)
    process = fleet.begin("fleet", "orders-*", "-e", fleet.heavy, "--at-once", "1", "--timeout", "1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    assert "orders-b" not in out
    assert "time limit" in next(line for line in err.splitlines() if line.startswith("orders-a: "))
    assert "orders-b: not started: another cluster ran into a limit" in err
    assert [each["stopped_by"] for each in fleet.records("outcome")] == ["watchdog"]
    assert not runs_on(fleet, mysql_cluster)


@pytest.fixture
def made_up(mysql_cluster, mariadb_cluster):
    """Statistics of many tables that are not there, on both clusters."""
    values = [f"('made_up', 't{n:06d}', NOW(), 1, 1, 0)" for n in range(MADE_UP)]
    inserts = [f"INSERT INTO {STATISTICS} VALUES {','.join(values[n : n + 1000])}" for n in range(0, MADE_UP, 1000)]
    for cluster in (mysql_cluster, mariadb_cluster):
        tell(cluster, *inserts)
    yield
    for cluster in (mysql_cluster, mariadb_cluster):
        tell(cluster, f"DELETE FROM {STATISTICS} WHERE database_name = 'made_up'")


def test_surveys_that_were_stopped_go_on_from_where_they_stood(fleet, made_up, mysql_cluster, mariadb_cluster):
    fleet.add("orders-a", mysql_cluster)
    fleet.add("orders-b", mariadb_cluster)

    def pages():
        return sum("table_name >" in each["sql"] for each in fleet.records("asked"))

    asked = ("capacity", "orders-*", "--schema", "made_up", "--by", "schema", "--format", "json")
    process = fleet.begin(*asked)
    wait_for(lambda: len(fleet.draft_lines()) == 2 and min(fleet.draft_lines()) > 2, at_most=60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 5, err
    assert "0 of 2 clusters answered" in err
    assert "the same command resumes from there" in err
    before = pages()
    again = fleet.begin(*asked)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert [(row["cluster"], row["tables"]) for row in sorted(json.loads(out), key=lambda row: row["cluster"])] == [
        ("orders-a", MADE_UP), ("orders-b", MADE_UP),
    ]  # fmt: skip
    # Each cluster's pages once, and again at most the one under way and the one that was not in the draft yet.
    assert 2 * (MADE_UP // 500 + 1) <= pages() <= 2 * (MADE_UP // 500 + 3)
    assert pages() > before >= 4
