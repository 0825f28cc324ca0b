"""A change on real servers whose rows are kept is put back, and a row that changed since stays as it is."""

import json
import os
import stat

import pytest

from safeconsole.app import run
from safeconsole.audit.kept import FOLDER
from tests.harness import desk as desks
from tests.harness.desk import JUSTIFICATION, Shown, seated


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
    (statement,) = desk.gate.split(text)
    return Shown().run(desk.gate, statement, justification=JUSTIFICATION)


def undo(desk, tmp_path, *words):
    (record,) = [each for each in desk.records("intent") if each["account"] == "elevated"][-1:]
    session = next((tmp_path / "desk" / "audit" / "sessions").glob("*.jsonl")).stem.split("-", 3)[3]
    config = str(tmp_path / "desk" / "config.toml")
    spot = f"{session}#{record['statement']}"
    return run(["--config", config, "undo", spot, *words], {**os.environ, "HOME": str(tmp_path / "desk")})


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
