"""Capacity on real servers: the same sizes as the tables', no table opened, and evidence that is really there."""

import json
import os
import re
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path

import pymysql
import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.demo import shop
from safeconsole.demo.servers import connect_root
from tests.harness.clusters import has_ended
from safeconsole.capacity.asking import Asker
from safeconsole.capacity.sizes import LEFT_ALONE
from safeconsole.capacity.sizes import page_sql
from safeconsole.app import run
from tests.harness.talking import wait_for
from safeconsole.capacity import survey
from safeconsole.capacity import survey as capacity

MIB = 1024 * 1024
ODD = ("it's", 'back\\slash"', "with space", "_ünïcode_gho", "-- x", "`tick`")


def tell(cluster, node, *statements):
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def quoted(name):
    return "`" + name.replace("`", "``") + "`"


@pytest.fixture
def typed(cluster, tmp_path, capfd):
    """A function that types a command on the run's cluster."""
    return typing_on(cluster, tmp_path, capfd)


def typing_on(cluster, tmp_path, capfd):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for account, password in cluster.accounts.items():
        (secrets / account).write_text(password)
    config = tmp_path / "config.toml"
    nodes = json.dumps([f"{node.host}:{node.port}" for node in cluster.nodes])
    config.write_text(
        f'[clusters.shop]\nnodes = {nodes}\nenvironment = "production"\n[clusters.shop.accounts]\nread = "console_read"\n'
        f'elevated = "console_elevated"\n[clusters.shop.secrets]\nsources = ["command"]\n'
        f'command = ["cat", "{secrets}/{{account}}"]\n[clusters.shop.tls]\nmode = "disabled"\n'
        f'[audit]\ndirectory = "{tmp_path / "audit"}"\n'
    )
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}

    def type_it(*arguments):
        capfd.readouterr()
        code = run(["--config", str(config), *arguments], environ)
        out, err = capfd.readouterr()
        return code, out, err

    return type_it


def rows_of(answer):
    code, out, err = answer
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def scratch(cluster):
    """A schema of its own on the primary and, copied, on the replicas."""
    tell(
        cluster,
        cluster.primary,
        "CREATE DATABASE capacity_test",
        "GRANT SELECT ON capacity_test.* TO 'console_read'@'%'",
    )

    def make(*statements):
        tell(cluster, cluster.primary, "USE capacity_test", *statements)
        cluster.wait_caught_up()

    make()
    yield make
    tell(
        cluster,
        cluster.primary,
        "REVOKE SELECT ON capacity_test.* FROM 'console_read'@'%'",
        "DROP DATABASE capacity_test",
    )
    cluster.wait_caught_up()


def test_it_finds_every_table_of_the_shop_and_opens_none(typed, cluster):
    def opened():
        found = [
            dict(tell(cluster, node, "SHOW GLOBAL STATUS LIKE 'Opened_table_definitions'")) for node in cluster.replicas
        ]
        return sum(int(each["Opened_table_definitions"]) for each in found)

    rows_of(typed("capacity", "shop", "--format", "json"))
    before = opened()
    found = rows_of(typed("capacity", "shop", "--schema", "shop", "--top", "0", "--format", "json"))
    # What a new connection of the console opens by itself, and not the shop's tables.
    assert opened() - before < len(shop.TABLES)
    assert {row["table"] for row in found} == {table.name for table in shop.TABLES}
    assert all(row["total_bytes"] > 0 for row in found)


def test_estimates_agree_with_the_tables_themselves(typed):
    found = rows_of(typed("capacity", "shop", "--schema", "shop", "--verify", "5", "--format", "json"))
    assert [row["witness"] for row in found] == ["table"] * 5
    assert all(abs(row["error"]) < 0.25 for row in found)


def test_an_account_with_process_is_told_the_size_of_the_files(typed, scratch, cluster):
    """Partitions and names that are no plain words included; no other table is opened for it."""
    scratch(
        "CREATE TABLE `a b-c` (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)",
        "CREATE TABLE parted (id INT PRIMARY KEY, b LONGBLOB) PARTITION BY HASH (id) PARTITIONS 2",
        *["INSERT INTO `a b-c` (b) VALUES (REPEAT('x', 1000000))"] * 6,
        *(f"INSERT INTO parted VALUES ({n}, REPEAT('x', 1000000))" for n in range(8)),
        "ANALYZE TABLE `a b-c`, parted",
    )
    tell(cluster, cluster.primary, "GRANT PROCESS ON *.* TO 'console_read'@'%'")
    cluster.wait_caught_up()
    try:
        answer = typed("capacity", "shop", "--schema", "capacity_test", "--verify", "2", "--format", "json")
    finally:
        tell(cluster, cluster.primary, "REVOKE PROCESS ON *.* FROM 'console_read'@'%'")
        cluster.wait_caught_up()
    found = {row["table"]: row for row in rows_of(answer)}
    assert found["parted"]["error"] == pytest.approx(
        (found["parted"]["file_bytes_estimated"] - found["parted"]["found_bytes"]) / found["parted"]["found_bytes"],
        abs=1e-3,
    )
    for name, pattern in (("a b-c", "a@0020b@002dc.ibd"), ("parted", "parted#*.ibd")):
        files = [list(node.datadir.glob(f"capacity_test/{pattern}")) for node in cluster.replicas]
        sizes = [sum(path.stat().st_size for path in each) for each in files]
        assert found[name]["witness"] == "tablespace"
        # Extents of 1 MiB: the last one of a file may not be whole.
        assert min(abs(found[name]["found_bytes"] - size) for size in sizes) <= 2 * 1024 * 1024


def test_tables_that_the_statistics_do_not_show_are_named(typed, scratch):
    scratch(
        "CREATE TABLE plain (id INT PRIMARY KEY)",
        "CREATE TABLE parted (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2",
        "CREATE TABLE without_statistics (id INT PRIMARY KEY) STATS_PERSISTENT=0",
        "CREATE TABLE `other engine` (id INT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE VIEW seen AS SELECT id FROM plain",
    )
    found = rows_of(typed("capacity", "shop", "--schema", "capacity_test", "--unseen", "--format", "json"))
    assert {(row["table"], row["engine"]) for row in found} == {
        ("without_statistics", "InnoDB"), ("other engine", "MyISAM"),
    }  # fmt: skip
    assert all(row["found_bytes"] > 0 for row in found)
    everywhere = typed("capacity", "shop", "--unseen", "--format", "json")
    assert {row["table"] for row in rows_of(everywhere)} >= {"without_statistics", "other engine"}


def test_indexes_add_up_to_their_table(typed):
    sizes = {row["table"]: row for row in rows_of(typed("capacity", "shop", "--schema", "shop", "--format", "json"))}
    indexes = rows_of(typed("capacity", "shop", "--schema", "shop", "--indexes", "2", "--format", "json"))
    found = {}
    for row in indexes:
        found[row["table"]] = found.get(row["table"], 0) + row["bytes"]
    assert set(found) == {"order_items", "orders"}
    assert all(count == sizes[name]["total_bytes"] for name, count in found.items())


def test_names_of_every_kind_are_paged_past_and_partitions_are_one_table(typed, scratch):
    scratch(
        *(f"CREATE TABLE {quoted(name)} (id INT PRIMARY KEY)" for name in ODD),
        "CREATE TABLE parted (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3",
    )
    found = {
        row["table"]: row
        for row in rows_of(typed("capacity", "shop", "--schema", "capacity_test", "--top", "0", "--format", "json"))
    }
    assert set(found) == {*ODD, "parted"}
    assert found["parted"]["partitions"] == 3


def test_large_values_off_their_pages_are_counted(typed, scratch):
    scratch(
        "CREATE TABLE blobs (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)",
        *["INSERT INTO blobs (b) VALUES (REPEAT('x', 1000000))"] * 8,
        "ANALYZE TABLE blobs",
    )
    (found,) = rows_of(typed("capacity", "shop", "--schema", "capacity_test", "--format", "json"))
    assert 8_000_000 < found["data_bytes"] < 16_000_000


def test_the_size_of_a_file_is_reckoned_from_its_pages(typed, scratch, cluster):
    rows = "SELECT NULL, REPEAT('x', 950) FROM shop.orders LIMIT 4000"
    scratch(
        "CREATE TABLE whole (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(2000), KEY (b(20)))",
        "CREATE TABLE parted (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(2000)) PARTITION BY HASH (id) PARTITIONS 2",
        *(f"INSERT INTO {name} {rows}" for name in ("whole", "parted") for _ in range(6)),
        "ANALYZE TABLE whole, parted",
    )
    # Replicas apply the rows in several threads, so that their files differ from each other by more than the estimate.
    node = cluster.replicas[0]
    asked = ("--to", f"{node.host}:{node.port}")
    answer = typed("capacity", "shop", *asked, "--schema", "capacity_test", "--format", "json")
    found = {row["table"]: row["file_bytes_estimated"] for row in rows_of(answer)}
    for name, pattern in (("whole", "whole.ibd"), ("parted", "parted#*.ibd")):
        size = sum(path.stat().st_size for path in node.datadir.glob(f"capacity_test/{pattern}"))
        assert found[name] == pytest.approx(size, rel=0.1)


def test_pages_follow_each_other_by_the_primary_key(typed, monkeypatch):
    pass

    def names():
        found = rows_of(typed("capacity", "shop", "--top", "0", "--format", "json", "--afresh"))
        # Their figures are the replica's own, which may count again between two runs.
        return sorted((row["schema"], row["table"]) for row in found)

    whole = names()
    original = survey.statistics.page_sql
    pages = []

    def small_page(asker, *, schema, after, most):
        pages.append(after)
        return original(asker, schema=schema, after=after, most=most)

    monkeypatch.setattr(survey.statistics, "page_sql", small_page)
    monkeypatch.setattr(capacity, "_Run", partial(survey._Run, page_tables=3))
    assert names() == whole
    assert len(pages) == len(whole) // 3 + 1


def test_a_page_is_a_range_of_the_primary_key_wherever_it_begins(cluster):
    """A page that read from the beginning each time would cost the square of the tables."""
    asker = Asker(session=None, rules=lambda: LexicalRules(dialect=DIALECTS[Flavour(cluster.flavour)]))
    sql = page_sql(asker, schema="", after=("shop", "a"), most=200)
    counters = (
        "SHOW SESSION STATUS WHERE variable_name IN ('Handler_read_first', 'Handler_read_key', 'Handler_read_next')"
    )
    with cluster.dba_connect(cluster.replicas[0]) as dba, dba.cursor() as cursor:
        cursor.execute(counters)
        before = {name: int(value) for name, value in cursor.fetchall()}
        cursor.execute(sql)
        read = len(cursor.fetchall())
        cursor.execute(counters)
        handlers = {name: int(value) - before[name] for name, value in cursor.fetchall()}
    assert handlers["Handler_read_first"] == 0
    assert handlers["Handler_read_key"] >= 1
    assert handlers["Handler_read_next"] <= read + 2


def test_a_migration_that_runs_is_told_from_one_that_is_over(typed, scratch, cluster):
    scratch(
        "CREATE TABLE orders (id INT PRIMARY KEY)",
        "CREATE TABLE _orders_new (id INT PRIMARY KEY)",
        "CREATE TABLE users (id INT PRIMARY KEY)",
        "CREATE TABLE _users_ghc (id BIGINT PRIMARY KEY, last_update TIMESTAMP NOT NULL, hint VARCHAR(64), value VARCHAR(255))",
        "CREATE TABLE _users_gho (id INT PRIMARY KEY)",
        "CREATE TABLE _gone_gho (id INT PRIMARY KEY)",
        "CREATE TABLE _orders_20190101000000_del (id INT PRIMARY KEY)",
        "INSERT INTO _users_ghc VALUES (1, NOW(), 'heartbeat', '')",
        "CREATE TRIGGER pt_osc_capacity_test_orders_ins AFTER INSERT ON orders FOR EACH ROW REPLACE INTO _orders_new VALUES (NEW.id)",
    )
    tell(cluster, cluster.primary, "GRANT TRIGGER ON capacity_test.* TO 'console_read'@'%'")
    cluster.wait_caught_up()
    try:
        asked = ("capacity", "shop", "--schema", "capacity_test", "--leftovers")
        answer = rows_of(typed(*asked, "--format", "json"))
        people = " ".join(typed(*asked)[1].split())
    finally:
        tell(cluster, cluster.primary, "REVOKE TRIGGER ON capacity_test.* FROM 'console_read'@'%'")
    found = {row["table"]: row for row in answer}
    assert {name: row["state"] for name, row in found.items()} == {
        "_orders_new": "running", "_users_ghc": "running", "_users_gho": "running", "_gone_gho": "unclear",
        "_orders_20190101000000_del": "unclear",
    }  # fmt: skip
    assert "pt_osc_capacity_test_orders_ins" in found["_orders_new"]["why"]
    assert "changelog" in found["_users_gho"]["why"]
    assert "only copy" in found["_gone_gho"]["why"]
    late = found["_orders_20190101000000_del"]
    assert re.fullmatch(
        r"created [\d,]{5,} days after the time in its name, which is not when it was put aside", late["why"]
    )
    assert (late["age_from"], late["age_seconds"] < 3600) == ("created", True)
    # For a person: when it was made, and nothing twice.
    assert re.search(
        r"unclear: gh-ost, the table as it was, created 20\d\d-\d\d-\d\d \d\d:\d\d; created [\d,]+ days after", people
    )
    assert re.search(
        r"RUNNING: gh-ost, log of the migration, created [^;]+; its changelog was written \d+ (s|min) ago", people
    )
    assert " old by " not in people


def test_the_copy_of_an_alter_table_that_runs_is_named_and_never_called_abandoned(typed, scratch, cluster):
    scratch("CREATE TABLE big (id INT PRIMARY KEY)", "INSERT INTO big VALUES (1), (2)")
    node = cluster.primary

    def alter():
        tell(cluster, node, "SET SESSION sql_log_bin = 0", "ALTER TABLE capacity_test.big ADD c INT, ALGORITHM=COPY")

    def copies():
        sql = "SELECT table_name FROM mysql.innodb_table_stats WHERE database_name = 'capacity_test'"
        return [name for (name,) in tell(cluster, node, sql) if "#sql" in name]

    with cluster.dba_connect(node) as reader, reader.cursor() as cursor:
        # Its copy is made, and waits for who still reads the table.
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT id FROM capacity_test.big")
        altering = threading.Thread(target=alter)
        altering.start()
        try:
            wait_for(copies, at_most=30)
            asked = ("capacity", "shop", "--to", "primary", "--schema", "capacity_test", "--format", "json")
            answer = typed(*asked, "--leftovers")
            held = rows_of(typed(*asked, "--verify", "5"))
        finally:
            reader.rollback()
            altering.join()
    (found,) = rows_of(answer)
    assert (found["tool"], found["state"]) == ("the server", "unclear")
    assert "removes it by itself" in found["why"]
    assert [row["note"] for row in held if "#sql" in row["table"]] == [LEFT_ALONE]
    # A look at it would leave MariaDB unable to drop the table that was altered.
    tell(cluster, node, "DROP TABLE capacity_test.big")


def test_without_the_grant_the_account_is_told_which_one_is_missing(typed, cluster):
    def changed(word, preposition):
        tell(cluster, cluster.primary, f"{word} SELECT ON mysql.innodb_table_stats {preposition} 'console_read'@'%'")
        cluster.wait_caught_up()

    changed("REVOKE", "FROM")
    try:
        code, _, err = typed("capacity", "shop")
    finally:
        changed("GRANT", "TO")
    assert code == 1
    assert "grant the read account SELECT ON mysql.innodb_table_stats" in err


def test_a_size_scan_that_is_refused_names_the_command_that_answers_it(typed):
    sql = "SELECT table_schema, SUM(data_length) FROM information_schema.tables GROUP BY table_schema"
    code, out, err = typed("sql", "shop", "--to", "primary", "-e", sql)
    assert code == 3
    assert out == ""
    assert "instead: safeconsole capacity shop (" in err


def started_again(node):
    """Stop a server and start it by its own command, so that it has opened nothing; its process."""
    command = Path(f"/proc/{node.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    os.kill(node.pid, signal.SIGTERM)
    wait_for(lambda: has_ended(node.pid), at_most=60)
    process = subprocess.Popen(command, cwd=node.datadir.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        try:
            connect_root(node.socket).close()
        except (OSError, pymysql.MySQLError):
            return False
        return True

    wait_for(answers, at_most=120)
    return process


def test_a_server_that_has_just_started_is_asked_for_the_size_of_files_too(private_cluster, tmp_path, capfd):
    cluster = private_cluster("mysql", replicas=1)
    (node,) = cluster.replicas
    tell(
        cluster,
        cluster.primary,
        "GRANT SELECT, PROCESS ON *.* TO 'console_read'@'%'",
        "CREATE DATABASE cold",
        "CREATE TABLE cold.big (id INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(2000))",
        "INSERT INTO cold.big (b) SELECT REPEAT('x', 950) FROM shop.orders",
        "ANALYZE TABLE cold.big",
    )
    cluster.wait_caught_up()
    typed = typing_on(cluster, tmp_path, capfd)
    process = started_again(node)
    try:
        # It is fit for reads when it follows again.
        wait_for(lambda: typed("sql", "shop", "-e", "SELECT 1")[0] == 0, at_most=60)
        (found,) = rows_of(typed("capacity", "shop", "--schema", "cold", "--verify", "1", "--format", "json"))
    finally:
        process.terminate()
        process.wait(60)
    file = (node.datadir / "cold" / "big.ibd").stat().st_size
    assert (found["witness"], found["found_bytes"]) == ("tablespace", pytest.approx(file, abs=MIB))
    assert found["file_bytes_estimated"] == pytest.approx(file, rel=0.1)
