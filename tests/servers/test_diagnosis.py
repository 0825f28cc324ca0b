"""What an account for diagnosis shows of real servers, without an elevation, on the record, and what it never runs."""

import csv
import re

import pytest

from safeconsole.demo.binaries import ServersUnavailableError, provide_server
from safeconsole.errors import SafeConsoleError
from tests.harness.incidents import Blocked, Chain, applications, console_on, own_table
from tests.harness.plugins import metadata_lock_info
from tests.harness.talking import wait_for
from tests.harness.terminal import Terminal

ASKED = {
    "mysql": ("SHOW BINARY LOG STATUS",),
    "mariadb": ("SHOW MASTER STATUS", "SHOW ALL SLAVES STATUS"),
}
OF_BOTH = (
    "SHOW FULL PROCESSLIST",
    "SHOW ENGINE INNODB STATUS",
    "SHOW REPLICA STATUS",
    "SHOW BINARY LOGS",
    "SELECT * FROM sys.innodb_lock_waits",
    "SELECT * FROM sys.schema_table_lock_waits",
    "SELECT * FROM information_schema.innodb_trx",
    "SELECT user, COUNT(*) FROM information_schema.processlist GROUP BY user",
    "SELECT COUNT(*) FROM performance_schema.metadata_locks",
)


@pytest.fixture
def console(cluster, tmp_path):
    with console_on(cluster, tmp_path / "desk") as console:
        yield console


def accounts_of(console, text):
    """The accounts that the journal says a text was sent as."""
    return [record["account"] for record in console.desk.records("intent") if text in record["sql"]]


def test_locks_name_who_blocks_whom_the_oldest_first(cluster, console):
    with own_table(cluster, "held_rows") as table, applications(cluster) as apps:
        scene = Blocked(apps, table)
        data, messages = console.type("\\format csv", "\\locks")
    rows = [line.split(",") for line in data.splitlines()]
    listed = {int(row[0]): row for row in rows[1:] if int(row[0]) in vars(scene).values()}
    assert list(listed)[0] == scene.holder
    assert set(listed) == set(vars(scene).values())
    assert f"row of shop.{table}" in data
    assert f"metadata lock of table shop.{table}" in data
    assert listed[scene.holder][4:6] == ["3", ""]
    assert listed[scene.writer][5] == str(scene.holder)
    assert listed[scene.reader][5] == str(scene.alter)
    behind = f"{scene.alter}, {scene.reader} still wait, until those before have ended"
    assert f"\\kill {scene.holder} frees {scene.writer}; {behind}" in messages
    if cluster.flavour == "mysql":
        assert "idle; last: UPDATE held_rows SET status = 'held' WHERE id = 42" in data
    assert "not known" not in data
    assert {*accounts_of(console, "information_schema")} == {"diagnose"}
    assert not console.desk.records("elevation-granted")


def test_whoever_a_kill_frees_is_shown_as_the_next_holder(cluster, console):
    with own_table(cluster, "chained_rows") as table, applications(cluster) as apps:
        chain = Chain(apps, table)
        _, messages = console.type("\\locks")
        later = f"{chain.third} still waits, until those before have ended"
        assert f"\\kill {chain.first} frees {chain.second}; {later}" in messages
        _, messages = console.type("\\elevate --ticket INC-1 a chain of waiters")
        for holder, freed in ((chain.first, chain.second), (chain.second, chain.third)):
            console.answers = [str(holder)]
            console.type(f"\\kill {holder}")
            wait_for(lambda: not apps.waits_for_a_row(freed))
        data, messages = console.type("\\format csv", "\\locks")
    # The one that waited last has what it waited for, and keeps it: it is the next that others wait for.
    rows = {line.split(",")[0]: line.split(",") for line in data.splitlines()}
    assert rows[str(chain.third)][1] == apps.user
    assert rows[str(chain.third)][5] == "1"
    assert rows[str(chain.third)][6].startswith("idle ")
    assert f"shop.{table}" in data
    assert re.search(r"nobody waits for a lock on primary.*locks that the next one may wait for", messages, re.DOTALL)


def test_who_holds_locks_without_a_transaction_is_shown_too(cluster, console):
    with own_table(cluster, "locked_whole") as table, applications(cluster) as apps:
        idle = apps.run(f"LOCK TABLES {table} WRITE")
        data, _ = console.type("\\format csv", "\\locks")
    (row,) = [row for row in csv.reader(data.splitlines()) if row[0] == str(idle)]
    assert (row[3], row[7]) == ("no transaction", f"shop.{table}")


def _a_lock_on_the_whole_server_is_named(cluster, console):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        data, _ = console.type("\\locks")
        assert "the whole server (FLUSH TABLES WITH READ LOCK)" in data
        cursor.execute("UNLOCK TABLES")


def test_the_last_statement_of_who_is_idle_is_shown_where_the_server_keeps_it(private_cluster, tmp_path):
    cluster = private_cluster("mariadb", replicas=0)
    with console_on(cluster, tmp_path / "desk") as console, own_table(cluster, "told_rows") as table:
        with applications(cluster) as apps:
            change = f"UPDATE {table} SET status = 'held' WHERE id = 42"
            apps.run("BEGIN", change)
            data, _ = console.type("\\locks")
            assert change not in data and "last" not in data and "statement" not in data
            # What the server does not have is not asked for.
            assert "failed" not in {record["outcome"] for record in console.desk.records("outcome")}
            with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
                cursor.execute(
                    "UPDATE performance_schema.setup_consumers SET enabled = 'YES'"
                    " WHERE name IN ('global_instrumentation', 'thread_instrumentation', 'events_statements_current')"
                )
                cursor.execute(
                    "UPDATE performance_schema.setup_instruments SET enabled = 'YES' WHERE name LIKE 'statement/%'"
                )
            apps.run("BEGIN", change.replace("42", "43"))
            data, _ = console.type("\\locks")
            assert f"last: {change.replace('42', '43')}" in data
        _a_lock_on_the_whole_server_is_named(cluster, console)


def test_holders_are_named_by_the_plugin_of_mariadb_where_performance_schema_is_off(private_cluster, tmp_path):
    try:
        plugins = metadata_lock_info(provide_server("mariadb").version)
    except ServersUnavailableError as error:
        pytest.skip(str(error))
    options = (f"--plugin-dir={plugins}", "--plugin-load-add=metadata_lock_info", "--performance-schema=OFF")
    cluster = private_cluster("mariadb", replicas=0, options=options)
    with console_on(cluster, tmp_path / "desk") as console, own_table(cluster, "seen_rows") as table:
        with applications(cluster) as apps:
            scene = Blocked(apps, table)
            data, messages = console.type("\\format csv", "\\locks")
        rows = {row[0]: row for row in csv.reader(data.splitlines())}
        for waiting in (scene.alter, scene.reader):
            assert str(scene.holder) in rows[str(waiting)][5].split(", ")
            assert rows[str(waiting)][6] == f"metadata lock of table shop.{table}"
        assert "is not known" not in messages
        with applications(cluster) as apps:
            idle = apps.run(f"LOCK TABLES {table} WRITE")
            data, _ = console.type("\\format csv", "\\locks")
        (row,) = [row for row in csv.reader(data.splitlines()) if row[0] == str(idle)]
        assert (row[3], row[7]) == ("no transaction", f"shop.{table}")


def test_a_look_at_another_node_moves_nobody_there(cluster, tmp_path):
    with console_on(cluster, tmp_path / "desk", diagnoses=False) as console:
        desk = console.desk
        stays = desk.run("SELECT COUNT(*) FROM orders").where
        other = next(node for node in ("replica-1", "replica-2") if node != stays)
        console.type("\\processlist primary", f"\\processlist {other}")
        assert (desk.session.status().reads_at, desk.run("SELECT COUNT(*) FROM orders").where) == (stays, stays)
        # What is opened or named moves them.
        desk.session.use("primary")
        desk.run("SELECT COUNT(*) FROM orders")
        assert desk.session.status().reads_at == "primary"
        desk.session.use("")
        assert desk.session.status().reads_at == stays
        desk.session.use(other)
        assert desk.session.status().reads_at == other


def test_everything_that_an_incident_asks_works_on_the_primary_without_an_elevation(cluster, console):
    for text in (*OF_BOTH, *ASKED[cluster.flavour]):
        console.desk.session.use("primary")
        shown = console.desk.run(text)
        assert shown.where == "primary", text
        assert accounts_of(console, text) == ["diagnose"], text


def test_no_other_text_runs_as_that_account(cluster, console):
    console.desk.session.use("primary")
    for text in (
        "SELECT COUNT(*) FROM orders",
        "SELECT p.id FROM information_schema.processlist p JOIN orders o ON o.id = p.id LIMIT 1",
        "SELECT CURRENT_USER()",
        "SHOW GRANTS" if cluster.flavour == "mysql" else "SHOW TABLES",
    ):
        console.desk.run(text)
        assert accounts_of(console, text) == ["read"], text
    assert console.desk.run("SELECT CURRENT_USER()").table[0][0].startswith("console_read@")


def test_a_transaction_stays_open_beside_it(cluster, tmp_path):
    with console_on(cluster, tmp_path / "desk", justification=None) as console:
        _look_within_a_transaction(console)


def _look_within_a_transaction(console):
    run = console.desk.run
    console.desk.session.elevate(reason="a test")
    run("BEGIN")
    run("UPDATE orders SET status = 'open' WHERE id = 77")
    before = console.desk.session.status().transaction
    data, _ = console.type("\\transactions primary")
    assert "console_elevated" in data
    run("SHOW FULL PROCESSLIST")
    after = console.desk.session.status().transaction
    assert (after.node, after.changed_rows) == (before.node, before.changed_rows)
    run("ROLLBACK")


def test_a_session_is_ended_with_an_elevation_and_seen_to_be_gone(cluster, console):
    with own_table(cluster, "ended_rows") as table, applications(cluster) as apps:
        scene = Blocked(apps, table)
        data, messages = console.type(f"\\kill {scene.holder} --ticket INC-1 holds a row")
        assert f"{scene.holder} is gone" in messages
        assert not apps.is_there(scene.holder)
        assert accounts_of(console, f"KILL {scene.holder}") == ["elevated"]
        # Reads do not follow it to the primary.
        assert console.desk.session.status().reads_at == ""
    assert "rows changed" in data


def test_a_statement_alone_is_ended_too(cluster, console):
    with applications(cluster) as apps:
        runs = apps.begin("SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, orders c")
        _, messages = console.type(f"\\kill --query {runs} --ticket INC-1 burns the server")
        assert f"the statement of {runs} is over; the session stays" in messages
        assert apps.is_there(runs)


def test_the_old_sessions_of_one_account_are_ended_in_a_window(cluster, console):
    with applications(cluster) as apps:
        old = [apps.run("BEGIN", f"SELECT 1 FROM customers WHERE id = {id_} FOR UPDATE") for id_ in (1, 2)]
        wait_for(
            lambda: (
                apps.ask(
                    "SELECT MIN(TIMESTAMPDIFF(SECOND, trx_started, NOW())) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id IN (%s, %s)",
                    *old,
                )[0]
                >= 1
            )
        )
        _, refused = console.type(f"\\kill --older-than 1 --user {apps.user}")
        assert "\\elevate REASON" in refused
        console.desk.session.elevate(reason="they hold everything up")
        console.answers = ["2"]
        _, messages = console.type(f"\\kill --older-than 1 --user {apps.user}")
        assert all(f"{id_} is gone" in messages for id_ in old), messages
        assert not any(apps.is_there(id_) for id_ in old)


def test_a_session_that_is_not_there_is_not_ended(console):
    _, messages = console.type("\\kill 999999999 nobody")
    assert "there is no session 999999999 on primary" in messages
    assert not accounts_of(console, "KILL")


def test_a_live_view_shows_numbers_and_what_runs(cluster, console):
    with applications(cluster) as apps:
        runs = apps.begin("SELECT SLEEP(600)")
        data, messages = console.type("\\top")
        assert re.search(r"\d+ running · \d+ of \d+ connected", data)
        assert re.search(r"history length [\d,]+ · ", data)
        assert re.search(r"memory \d+", data)
        assert any(line.split()[:2] == [str(runs), apps.user] for line in data.splitlines())
    assert "left \\top" in messages


def test_one_session_is_shown_whole(cluster, console):
    text = "SELECT SLEEP(600), '" + "long " * 200 + "'"
    with applications(cluster) as apps:
        runs = apps.begin(text)
        data, _ = console.type(f"\\processlist {runs}")
        assert text in data
        listed, _ = console.type("\\processlist")
        assert "SELECT SLEEP(600), 'long long long long long long long long" in listed


def test_connections_are_counted_by_account_and_host(cluster, console):
    with applications(cluster) as apps:
        for _ in range(3):
            apps.run("SELECT 1")
        data, messages = console.type("\\format csv", "\\connections")
    assert re.search(rf"^{apps.user},127\.0\.0\.1,[3-9]\d*,", data, re.MULTILINE)
    assert re.search(r"[\d,]+ of [\d,]+ connections on primary", messages)


def test_without_the_account_one_sees_ones_own_and_is_told(cluster, tmp_path):
    with console_on(cluster, tmp_path / "desk", diagnoses=False) as console:
        _, messages = console.type("\\processlist", "\\locks")
    assert "these are this account's own sessions" in messages
    assert "name one in clusters.shop.accounts.diagnose" in messages


def test_a_server_whose_role_is_not_proven_is_asked_all_the_same(private_cluster, tmp_path):
    cluster = private_cluster("mysql", replicas=1)
    (replica,) = cluster.replicas
    with console_on(cluster, tmp_path / "desk") as console:
        with cluster.dba_connect(replica) as dba, dba.cursor() as cursor:
            cursor.execute("STOP REPLICA")
            cursor.execute("RESET REPLICA ALL")
        console.desk.session.topology()
        with pytest.raises(SafeConsoleError):
            console.desk.session.use("replica-1")
            console.desk.run("SELECT COUNT(*) FROM orders")
        console.desk.session.use("")
        _, messages = console.type("\\processlist replica-1", "\\locks replica-1")
        assert messages.count("on replica-1") == 2
        assert (
            console.desk.session.execute(*console.desk.session.split("SHOW REPLICA STATUS"), to="replica-1").take()
            == []
        )


def test_a_session_is_ended_by_the_procedure_of_rds_where_kill_is_refused(private_cluster, tmp_path):
    cluster = private_cluster("mysql", replicas=0)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("REVOKE CONNECTION_ADMIN ON *.* FROM console_elevated@'%'")
        cursor.execute("CREATE PROCEDURE mysql.rds_kill(IN thread BIGINT) KILL thread")
        cursor.execute("GRANT EXECUTE ON PROCEDURE mysql.rds_kill TO console_elevated@'%'")
    with console_on(cluster, tmp_path / "desk") as console, applications(cluster) as apps:
        opened = apps.run("BEGIN", "UPDATE orders SET status = 'held' WHERE id = 42")
        _, messages = console.type(f"\\kill {opened} --ticket INC-1 holds a row")
        assert f"{opened} is gone" in messages
        assert not apps.is_there(opened)
        assert accounts_of(console, "rds_kill") == ["elevated"]
        _a_lock_on_the_whole_server_is_named(cluster, console)


def test_a_server_without_performance_schema_says_so(private_cluster, tmp_path):
    cluster = private_cluster("mysql", replicas=0, options=("--performance-schema=OFF",))
    with console_on(cluster, tmp_path / "desk") as console, own_table(cluster, "unseen") as table:
        with applications(cluster) as apps:
            scene = Blocked(apps, table)
            data, messages = console.type("\\format csv", "\\locks", "\\transactions")
        listed = [line.split(",")[0] for line in data.splitlines()]
    assert {str(scene.writer), str(scene.alter), str(scene.reader)} <= set(listed)
    assert "is not known: performance_schema is OFF on this server" in messages
    assert f"\\transactions lists who may, the oldest first: {scene.holder}" in messages
    assert "nobody waits" not in messages


def test_a_live_view_on_a_terminal_is_left_by_q(cluster, tmp_path):
    with console_on(cluster, tmp_path / "desk"):
        pass
    terminal = Terminal(tmp_path / "desk" / "config.toml")
    try:
        terminal.wait_for(lambda: "shop" in terminal.said())
        terminal.type("\\top\r")
        terminal.wait_for(lambda: "q leaves" in terminal.said())
        terminal.type("q")
        terminal.wait_for(lambda: "left \\top" in terminal.said())
        terminal.type("\\q\r")
        assert terminal.leaves() == 0
    finally:
        terminal.close()
