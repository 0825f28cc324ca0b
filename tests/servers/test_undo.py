"""A change on real servers whose rows are kept is put back, and a row that changed since stays as it is."""

import json
import os
import stat
import threading

import pytest

from safeconsole.app import run
from safeconsole.approvals.carrying import sign, waiting_requests
from safeconsole.audit.kept import FOLDER
from safeconsole.audit.signing import new_key
from safeconsole.config.settings import ApprovalSettings
from tests.harness import desk as desks
from tests.harness.desk import JUSTIFICATION, Shown, seated
from tests.harness.talking import wait_for


@pytest.fixture
def table(cluster):
    """A table of this test's own."""
    name = f"undone_{os.getpid()}_{os.urandom(3).hex()}"
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE shop.{name} (id INT, part CHAR(2), note VARCHAR(40), total DECIMAL(8,2), data VARBINARY(9),"
            " at DATETIME, seen TIMESTAMP(3) NULL, PRIMARY KEY (id, part))"
        )
        cursor.execute(
            f"INSERT INTO shop.{name} VALUES (1, 'a', 'it''s', 1.50, X'00FF', '2026-01-02 03:04:05', '2026-03-04 05:06:07.125'),"
            " (2, 'b', NULL, NULL, NULL, NULL, NULL), (3, 'c', '\\\\ \"ü\"', -7, X'', '2026-01-02', '2026-01-01')"
        )
        cursor.execute("COMMIT")
        yield name, lambda: _rows(cursor, name)
        cursor.execute(f"DROP TABLE shop.{name}")


def _rows(cursor, name):
    cursor.execute("COMMIT")
    cursor.execute(f"SELECT * FROM shop.{name} ORDER BY id")
    return cursor.fetchall()


@pytest.fixture
def desk(cluster, tmp_path, monkeypatch):
    policy = desks._policy

    def keeping(*given):
        path = policy(*given)
        path.write_text(path.read_text() + '\nkeep_rows: {"shop.*": 2}\n')
        return path

    monkeypatch.setattr(desks, "_policy", keeping)
    with seated(cluster, tmp_path / "desk", justification=None, to="primary") as desk:
        yield desk


def change(desk, text):
    (statement,) = desk.session.split(text)
    return Shown().run(desk.session, statement, justification=JUSTIFICATION)


def undo(desk, tmp_path, *words):
    (record,) = [each for each in desk.records("intent") if each["account"] == "elevated"][-1:]
    # The first session: an undo that was refused has one of its own, which was written later.
    sessions = (tmp_path / "desk" / "audit" / "sessions").glob("*.jsonl")
    session = min(sessions, key=lambda path: path.stat().st_mtime_ns).stem.split("-", 3)[3]
    config = str(tmp_path / "desk" / "config.toml")
    spot = f"{session}#{record['statement']}"
    return run(["--config", config, "undo", spot, *words], {**os.environ, "HOME": str(tmp_path / "desk")})


BEFOREHAND = (
    "undo: up to 2 of its rows are kept for 7 days; what a foreign key or a trigger changes with it is not put back, and"
    " no row is kept where one is seen to"
)
GRANTED = ("--reason", "a mistake", "--ticket", "T-1", "--confirm", "shop", "--despite", "as-previewed",
           "--despite", "change-without-a-key", "--despite", "change-of-unknown-size")  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE {} SET note = CONCAT('x', id), total = COALESCE(total, 0) + 1, data = X'01', at = NOW(), seen = NOW() WHERE id < 3",
        "UPDATE {} SET note = NULL WHERE id IN (1, 3)",
        "DELETE FROM {} WHERE id > 1",
        "DELETE FROM {} ORDER BY id LIMIT 2",
    ],
)
def test_what_was_changed_is_put_back_as_it_was(desk, table, tmp_path, capfd, text):
    name, rows = table
    before = rows()
    shown = change(desk, text.format(name))
    assert any("to undo it within 7 days: safeconsole undo " in line for line in shown.warnings), shown.warnings
    assert rows() != before
    (path,) = (tmp_path / "desk" / "audit" / FOLDER).glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert undo(desk, tmp_path) == 0
    assert rows() != before
    assert undo(desk, tmp_path, *GRANTED) == 0, capfd.readouterr().err
    assert rows() == before


@pytest.mark.parametrize("text", ["UPDATE {} SET note = 'x' WHERE id < 3", "DELETE FROM {} WHERE id < 3"])
def test_a_row_that_changed_since_is_not_overwritten_and_nothing_is(cluster, desk, table, tmp_path, capfd, text):
    name, rows = table
    change(desk, text.format(name))
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO shop.{name} (id, part, note) VALUES (2, 'b', 'newer') ON DUPLICATE KEY UPDATE note = 'newer'"
        )
        cursor.execute("COMMIT")
    now = rows()
    assert undo(desk, tmp_path, *GRANTED) in {1, 5}
    said = capfd.readouterr().err
    assert "were shown" in said or "Duplicate" in said
    assert rows() == now


def test_more_rows_than_are_kept_are_changed_and_not_kept_and_that_is_said(desk, table, tmp_path):
    name, rows = table
    shown = change(desk, f"UPDATE {name} SET note = 'all' WHERE id > 0")
    assert "its rows are not kept, and it cannot be undone: it finds more than 2 rows" in shown.warnings
    assert [row[2] for row in rows()] == ["all"] * 3
    assert not list((tmp_path / "desk" / "audit" / FOLDER).glob("*.json"))
    assert undo(desk, tmp_path, *GRANTED) == 2


def test_a_change_that_cannot_be_asked_for_beforehand_is_made_and_not_kept_and_that_is_said(desk, table, tmp_path):
    name, rows = table
    shown = change(desk, f"UPDATE {name} SET note = CONCAT('by chance ', RAND()) WHERE id = 1")
    (said,) = [warning for warning in shown.warnings if "not kept" in warning]
    assert "rand() gives something else each time" in said.lower()
    assert rows()[0][2].startswith("by chance")
    assert not list((tmp_path / "desk" / "audit" / FOLDER).glob("*.json"))


def test_what_is_kept_is_no_part_of_what_is_shipped(desk, table, tmp_path):
    name, _ = table
    change(desk, f"UPDATE {name} SET note = 'quiet words' WHERE id = 1")
    (path,) = (tmp_path / "desk" / "audit" / FOLDER).glob("*.json")
    assert json.loads(path.read_text())["rows"]["before"]
    journal = "".join(each.read_text() for each in (tmp_path / "desk" / "audit" / "sessions").glob("*.jsonl"))
    assert "it\\'s" not in journal


EXACT = {
    "mysql": (
        "f FLOAT, d DOUBLE, j JSON, g GEOMETRY, p POINT SRID 4326",
        "ST_GeomFromText('LINESTRING(0 0, 1.1 2.2)')",
        "ST_GeomFromText('POINT(51.5 -0.1)', 4326)",
    ),
    "mariadb": (
        "f FLOAT, d DOUBLE, j JSON, g GEOMETRY, p POINT, u UUID DEFAULT UUID(), n INET6 DEFAULT '::1'",
        "ST_GeomFromText('LINESTRING(0 0, 1.1 2.2)')",
        "ST_GeomFromText('POINT(51.5 -0.1)', 4326)",
    ),
}
NUMBERS = ("0.1", "-1e-30", "16777217", "3.4e38", "1e0/3e0", "-0e0", "NULL")


@pytest.fixture
def exact(cluster):
    """A table of numbers that float, JSON and places, and what is in it, byte by byte."""
    name = f"exact_{os.getpid()}_{os.urandom(3).hex()}"
    columns, line, point = EXACT[cluster.flavour]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"CREATE TABLE shop.{name} (id INT PRIMARY KEY, {columns})")
        for id_, number in enumerate(NUMBERS):
            cursor.execute(
                f"INSERT INTO shop.{name} (id, f, d, j, g, p) VALUES (%s, {number}, {number} * 1.0000000001e0, %s, {line}, {point})",
                (id_, '{"a": [1, 2.5, "\\u00fc\\\\ \\" \'"], "b": null}' if id_ else None),
            )

        def rows():
            cursor.execute(
                f"SELECT id, CAST(f * 1e0 AS CHAR), CAST(d AS CHAR), CAST(j AS CHAR), HEX(ST_AsWKB(g)), HEX(ST_AsWKB(p)), ST_SRID(p)"
                f" FROM shop.{name} ORDER BY id"
            )
            return cursor.fetchall()

        cursor.execute("SET autocommit = 1")
        yield name, rows
        cursor.execute(f"DROP TABLE shop.{name}")


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE {} SET f = 7, d = 8, j = '[]', g = NULL, p = p WHERE id IN ({})",
        "DELETE FROM {} WHERE id IN ({})",
    ],
)
@pytest.mark.parametrize("ids", ["0, 1", "2, 3", "4, 5", "6"])
def test_numbers_that_float_and_json_and_places_are_put_back_exactly(desk, exact, tmp_path, capfd, text, ids):
    name, rows = exact
    before = rows()
    shown = change(desk, text.format(name, ids))
    assert any("to undo it" in line for line in shown.warnings), shown.warnings
    assert rows() != before
    assert undo(desk, tmp_path, *GRANTED) == 0, capfd.readouterr().err
    assert rows() == before


def test_json_that_is_not_its_own_text_is_not_kept(mysql_cluster, tmp_path, monkeypatch):
    policy = desks._policy
    monkeypatch.setattr(desks, "_policy", lambda *given: keeping(policy(*given)))
    name = f"dated_{os.getpid()}"
    with mysql_cluster.dba_connect(mysql_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"CREATE TABLE shop.{name} (id INT PRIMARY KEY, j JSON)")
        cursor.execute(f"INSERT INTO shop.{name} VALUES (1, JSON_OBJECT('at', CAST('2026-01-02' AS DATE)))")
        cursor.execute("COMMIT")
        with seated(mysql_cluster, tmp_path / "desk", justification=None, to="primary") as desk:
            shown = change(desk, f"UPDATE {name} SET j = NULL WHERE id = 1")
        cursor.execute(f"DROP TABLE shop.{name}")
    assert "its rows are not kept, and it cannot be undone: a value of j is not exact as a text" in shown.warnings


def keeping(path):
    path.write_text(path.read_text() + '\nkeep_rows: {"shop.*": 2}\n')
    return path


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL"])
def test_what_a_foreign_key_changes_with_it_keeps_no_rows_and_that_is_said(cluster, desk, table, tmp_path, capfd, rule):
    name, _ = table
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"CREATE TABLE shop.{name}_child (id INT, part CHAR(2), FOREIGN KEY (id, part)"
                       f" REFERENCES shop.{name} (id, part) ON DELETE {rule} ON UPDATE {rule})")  # fmt: skip
        try:
            text = f"DELETE FROM {name} WHERE id = 1"
            assert BEFOREHAND in desk.error_of(text).evidence
            deleted = change(desk, text)
            assert BEFOREHAND in desk.answering.seen[-1].evidence
            assert undo(desk, tmp_path) == 2
            said = capfd.readouterr().err
            alone = change(desk, f"UPDATE {name} SET note = 'y' WHERE id = 2")
        finally:
            cursor.execute(f"DROP TABLE shop.{name}_child")
    told = f"changes rows of shop.{name}_child with it, which it would not put back"
    assert any("not kept" in line and told in line for line in deleted.warnings), deleted.warnings
    assert " ".join(told.split()) in " ".join(said.split())
    assert any("to undo it within" in line for line in alone.warnings), "its key is not what the child refers to"


def test_what_a_trigger_changes_with_it_is_said_whether_it_is_seen_or_not(cluster, desk, table, tmp_path, capfd):
    name, _ = table
    unseen = "what a trigger changes with it (the account lacks TRIGGER there, and sees none)"
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER shop.{name}_t AFTER UPDATE ON shop.{name} FOR EACH ROW SET @undone = 1")
        if cluster.flavour == "mysql":
            # There, whoever may change a table does not see its triggers for that.
            blind = change(desk, f"UPDATE {name} SET note = 'w' WHERE id = 2")
            assert undo(desk, tmp_path) == 0
            assert f"not put back: {unseen}" in capfd.readouterr().err
            assert f"an undo does not put back {unseen}" in blind.warnings
        cursor.execute(f"GRANT TRIGGER ON shop.{name} TO console_elevated@'%'")
        try:
            updated = change(desk, f"UPDATE {name} SET note = 'x' WHERE id = 2")
            cursor.execute(f"DROP TRIGGER shop.{name}_t")
            alone = change(desk, f"UPDATE {name} SET note = 'y' WHERE id = 2")
        finally:
            cursor.execute(f"REVOKE TRIGGER ON shop.{name} FROM console_elevated@'%'")
    assert any(f"not kept, and it cannot be undone: the trigger {name}_t" in line for line in updated.warnings)
    assert any("to undo it within" in line for line in alone.warnings)
    assert not any("does not put back" in line for line in alone.warnings)


def test_an_undo_of_what_needs_two_persons_asks_two(cluster, table, tmp_path, monkeypatch, capfd):
    """Under a policy in which changes need a second person, and then with that person's approval."""
    policy, name, rows = desks._policy, *table
    key, public = str(tmp_path / "bob"), new_key(str(tmp_path / "bob"))
    monkeypatch.setattr(desks, "_policy", lambda *given: keeping(policy(*given)))
    with seated(cluster, tmp_path / "desk", justification=None, to="primary") as desk:
        before = rows()
        change(desk, f"UPDATE {name} SET note = 'x' WHERE id < 3")
        path, config = tmp_path / "desk" / "policy.yaml", tmp_path / "desk" / "config.toml"
        path.write_text(path.read_text().replace("\nelevation:\n", "\nelevation:\n  two_persons: [write]\n"))
        assert "two_persons: [write]" in path.read_text()
        changed = rows()
        assert undo(desk, tmp_path, *GRANTED) in {2, 3}
        assert "second person" in capfd.readouterr().err
        assert rows() == changed
        (tmp_path / "shared").mkdir()
        config.write_text(
            config.read_text()
            + f'[approvals]\ndirectory = "{tmp_path}/shared"\n[approvals.approvers]\nbob = "{public}"\n'
        )
        settings = ApprovalSettings(key=key, approvers={"bob": public}, directory=str(tmp_path / "shared"))

        def bob():
            wait_for(lambda: waiting_requests(settings))
            ((_, request),) = waiting_requests(settings)
            sign(request, settings, approver="bob")

        helper = threading.Thread(target=bob, daemon=True)
        helper.start()
        assert undo(desk, tmp_path, *GRANTED) == 0, capfd.readouterr().err
        helper.join()
        assert rows() == before
