"""Who holds the lock that a statement waited for, on real servers; and a read that goes to where nobody holds it."""

import os
import re
import subprocess
import sys
import time

import pytest

from safeconsole.demo.binaries import FLAVOURS
from safeconsole.errors import StoppedError
from tests.harness.desk import seated
from tests.harness.incidents import BEHIND_A_TABLE, applications, console_on, own_table
from tests.harness.talking import wait_for


@pytest.fixture
def table(cluster, request):
    with own_table(cluster, f"held_{abs(hash(request.node.name)) % 10**6}_{os.getpid()}") as table:
        cluster.wait_caught_up()
        yield table


def wait_a_second():
    """Servers tell ages in whole seconds."""
    time.sleep(1.1)


def held_by(error, apps, id_):
    return re.fullmatch(rf"held by: session {id_}, {apps.user}@127\.0\.0\.1, for \d+ s, idle", error.evidence[0])


def test_a_read_whose_plan_waits_for_a_lock_names_who_holds_it(cluster, table, tmp_path):
    with applications(cluster) as apps, seated(cluster, tmp_path / "d", justification=None, to="primary") as desk:
        holder = apps.run(f"LOCK TABLES {table} WRITE")
        wait_a_second()
        error = desk.error_of(f"SELECT COUNT(*) FROM {table}")
        ended = [each for each in desk.records("outcome") if each["statement"] == 1]
        asked_as = {each["account"] for each in desk.records("intent")}
    assert isinstance(error, StoppedError)
    assert (error.code, error.ceiling) == ("lock_wait", "lock_wait_seconds")
    assert held_by(error, apps, holder), error.evidence
    assert "for 0 s" not in error.evidence[0]
    assert f"ask {apps.user}@127.0.0.1 what session {holder} is for" in error.instead
    assert not any(word in str((error.message, error.evidence, error.instead)) for word in ("burns", "elevat"))
    assert [(each["outcome"], each["ceiling"]) for each in ended] == [("stopped", "lock_wait_seconds")]
    assert asked_as == {"diagnose"}, "the read itself was never sent"


def test_who_waits_behind_an_alter_is_told_of_whom_that_waits_for(cluster, table, tmp_path):
    with applications(cluster) as apps, seated(cluster, tmp_path / "d", to="primary") as desk:
        reader = apps.run("BEGIN", f"SELECT COUNT(*) FROM {table}")
        alter = apps.begin(f"ALTER TABLE {table} COMMENT 'later'")
        wait_for(lambda: apps.ask(BEHIND_A_TABLE, alter)[0])
        error = desk.error_of(f"SELECT COUNT(*) FROM {table}")
    assert error.code == "lock_wait"
    assert held_by(error, apps, reader), error.evidence
    assert f"behind that: session {alter}, " in error.evidence[1]
    assert f"which waits for {reader}" in error.evidence[1]
    assert f"session {reader} " in error.instead


def test_a_change_under_an_elevation_is_told_before_anybody_is_asked_for_more(cluster, table, tmp_path):
    with applications(cluster) as apps, seated(cluster, tmp_path / "d") as desk:
        holder = apps.run(f"LOCK TABLES {table} READ")
        desk.session.elevate(reason="a test")
        asked = desk.answering.asked
        for text in (f"UPDATE {table} SET status = 'x' WHERE id = 4", f"ALTER TABLE {table} COMMENT 'x'"):
            error = desk.error_of(text)
            assert error.code == "lock_wait", text
            assert f"held by: session {holder}, {apps.user}@127.0.0.1" in error.evidence[0]
        assert desk.session.is_elevated
        assert desk.answering.asked <= asked + 1, "an ALTER is asked about by itself"


def test_who_may_hold_a_row_is_whoever_has_had_its_table_open_for_as_long(cluster, table, tmp_path):
    with applications(cluster) as apps, seated(cluster, tmp_path / "d") as desk:
        holder = apps.run("BEGIN", f"UPDATE {table} SET status = 'held' WHERE id = 42")
        other = apps.begin(f"UPDATE {table} SET status = 'also' WHERE id = 42")
        elsewhere = apps.run("BEGIN", "SELECT COUNT(*) FROM customers FOR UPDATE")
        error = desk.error_of(f"UPDATE {table} SET status = 'x' WHERE id = 42")
    assert error.code == "lock_wait"
    named = [line for line in error.evidence if "session" in line]
    assert named[0].startswith(f"may be held by: session {holder}, {apps.user}@127.0.0.1, for "), error.evidence
    assert not any(f"session {id_}," in line for line in named for id_ in (other, elsewhere))


def test_without_an_account_for_diagnosis_nobody_is_named_and_the_way_to_it_is(cluster, table, tmp_path):
    with (
        applications(cluster) as apps,
        seated(cluster, tmp_path / "d", diagnoses=False, justification=None, to="primary") as desk,
    ):
        apps.run(f"LOCK TABLES {table} WRITE")
        error = desk.error_of(f"SELECT COUNT(*) FROM {table}")
    assert error.code == "lock_wait"
    assert error.evidence == ("who holds it is not shown to this account",)
    assert "accounts.diagnose" in error.instead


def test_a_lock_that_is_gone_meanwhile_is_held_by_nobody(cluster, table, tmp_path):
    with applications(cluster) as apps, seated(cluster, tmp_path / "d", justification=None, to="primary") as desk:
        apps.run(f"LOCK TABLES {table} WRITE")
        (statement,) = desk.session.split(f"SELECT COUNT(*) FROM {table}")
        considered = desk.session.consider(statement)
        assert considered.estimate.waits == "table metadata lock"
        assert "lock: the server told no plan, since it waited for a table metadata lock" in considered.evidence
    with seated(cluster, tmp_path / "e", justification=None, to="primary") as desk:
        assert desk.run(f"SELECT COUNT(*) FROM {table}").table == [(100,)]


def test_a_one_shot_leaves_with_5_and_a_console_points_to_the_locks(cluster, table, tmp_path):
    with applications(cluster) as apps, console_on(cluster, tmp_path / "desk", justification=None) as console:
        holder = apps.run(f"LOCK TABLES {table} WRITE")
        words = ["--config", str(tmp_path / "desk/config.toml"), "sql", "shop", "--to", "primary"]
        left = subprocess.run(
            [sys.executable, "-m", "safeconsole", *words, "-e", f"SELECT COUNT(*) FROM {table}"],
            capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(tmp_path / "desk")},
        )  # fmt: skip
        console.desk.session.use("primary")
        _, messages = console.type(f"SELECT COUNT(*) FROM {table};")
    assert left.returncode == 5, left.stderr
    assert f"held by: session {holder}, " in left.stderr
    assert f"held by: session {holder}, " in messages
    assert "\\transactions primary lists who has one open, \\kill ID ends a session" in messages


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_read_goes_to_the_replica_where_nobody_holds_the_table(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour, replicas=2)
    with own_table(cluster, "held_there") as table:
        cluster.wait_caught_up()
        with seated(cluster, tmp_path / "d", justification=None) as desk:
            text = f"SELECT COUNT(*) FROM {table}"
            first = desk.run(text).where
            node = next(node for node in cluster.nodes if node.name == first)
            with applications(cluster, node) as apps:
                apps.run("BEGIN", text)
                with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
                    cursor.execute(f"ALTER TABLE shop.{table} COMMENT 'later'")
                pending = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%%'"
                wait_for(lambda: apps.ask(pending)[0])
                shown = desk.run(f"SELECT MAX(id) FROM {table}")
                assert shown.where not in {first, "primary"}
                assert shown.table
                assert any(f"{first}: waited for a " in note for note in shown.notes), shown.notes
                desk.session.use(first)
                assert desk.error_of(text).code == "lock_wait", "who names a node stays there"
            cluster.wait_caught_up()
