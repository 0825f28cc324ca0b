"""The shelves of capacity reports, of this computer and of a team: private, whole or not at all, and not too many."""

import sqlite3
import stat
from contextlib import ExitStack

import pytest

from safeconsole.capacity.shared_shelf import open_shared_shelf
from safeconsole.capacity.reports import KEPT_REPORTS
from safeconsole.capacity.shelf import MOST_RUNS, FileShelf
from safeconsole.errors import ConfigurationError
from safeconsole.config.settings import CapacitySettings


def shared(drafts, address, environ=None, **settings):
    return open_shared_shelf(CapacitySettings(reports=address, **settings), FileShelf(drafts), environ or {})


@pytest.fixture(params=["files", "database"])
def shelf(request, tmp_path):
    if request.param == "files":
        return FileShelf(tmp_path / "capacity")
    return shared(tmp_path / "capacity", f"sqlite:///{tmp_path / 'capacity' / 'reports' / 'r.db'}")


def test_a_draft_grows_by_lines_and_becomes_a_report(shelf):
    for line in ("one", "zwei ü"):
        shelf.append("shop", "d", line)
    assert list(shelf.draft("shop", "d")) == ["one\n", "zwei ü\n"]
    shelf.keep("shop", "d", "20260101")
    assert list(shelf.lines("shop", "20260101")) == ["one\n", "zwei ü\n"]
    assert list(shelf.draft("shop", "d")) == []
    assert shelf.kept("shop") == ("20260101",)


def test_a_report_of_another_cluster_is_none_of_this_ones(shelf):
    for cluster in ("shop", "web"):
        shelf.append(cluster, "d", cluster)
        shelf.keep(cluster, "d", "r")
    assert (shelf.kept("shop"), list(shelf.lines("web", "r"))) == (("r",), ["web\n"])


def test_nobody_else_may_read_what_is_kept(shelf, tmp_path):
    shelf.append("shop", "d", "one")
    shelf.append("shop", "other", "one")
    with shelf.claimed("shop", "d"):
        shelf.keep("shop", "d", "20260101")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "capacity").rglob("*")}
    assert set(modes.values()) == {0o700, 0o600}


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "ü b"])
def test_no_name_leaves_the_directory(shelf, tmp_path, name):
    shelf.append(name, name, "one")
    shelf.keep(name, name, name + "r")
    assert shelf.kept(name) == (name + "r",)
    assert list(shelf.lines(name, name + "r")) == ["one\n"]
    assert [path.name for path in tmp_path.iterdir()] == ["capacity"]


def test_the_oldest_reports_go(shelf):
    for number in range(KEPT_REPORTS + 3):
        shelf.append("shop", "d", "x")
        shelf.keep("shop", "d", f"{number:05d}")
    assert len(shelf.kept("shop")) == KEPT_REPORTS
    assert shelf.kept("shop")[0] == "00003"


def test_a_report_that_was_cut_off_is_not_taken_for_a_short_one(tmp_path):
    shelf = FileShelf(tmp_path / "capacity")
    shelf.append("shop", "d", "x" * 10_000)
    shelf.keep("shop", "d", "r")
    (path,) = (tmp_path / "capacity").rglob("*.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(shelf.lines("shop", "r"))


def test_a_draft_belongs_to_one_run_at_a_time(shelf):
    with ExitStack() as runs:
        names = [runs.enter_context(shelf.claimed("shop", "d")) for _ in range(MOST_RUNS)]
        assert names[0] == "d"
        assert len(set(names)) == MOST_RUNS
        with pytest.raises(ConfigurationError, match="runs of capacity on shop are already active") as caught:
            runs.enter_context(shelf.claimed("shop", "d"))
        assert "--last" in caught.value.instead
        assert runs.enter_context(shelf.claimed("shop", "e")) == "e"
    with shelf.claimed("shop", "d") as name:
        assert name == "d"


def test_a_report_that_could_not_be_kept_leaves_nothing_half_done(tmp_path):
    shelf = FileShelf(tmp_path / "capacity")
    shelf.append("shop", "d", "one")
    (tmp_path / "capacity" / "of-shop" / "r.jsonl.gz").mkdir()
    with pytest.raises(ConfigurationError, match="capacity cannot write"):
        shelf.keep("shop", "d", "r")
    assert list(shelf.draft("shop", "d")) == ["one\n"]
    assert not list(tmp_path.rglob("*.partial"))


def test_what_is_not_there_is_an_error_or_nothing(shelf):
    assert shelf.kept("shop") == ()
    shelf.drop("shop", "d")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(shelf.lines("shop", "r"))


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="capacity cannot write"):
        FileShelf(tmp_path / "file").append("shop", "d", "one")


@pytest.fixture
def database(tmp_path):
    """A SQLite file's path, a shelf in it, and a report there."""
    path = tmp_path / "r.db"
    made = shared(tmp_path / "capacity", f"sqlite:///{path}")
    made.append("shop", "d", "one")
    made.keep("shop", "d", "r")
    return path, made


def test_a_colleague_reads_the_same_reports(database, tmp_path):
    path, _ = database
    colleague = shared(tmp_path / "elsewhere", f"sqlite:///{path}")
    assert list(colleague.lines("shop", colleague.kept("shop")[0])) == ["one\n"]


def test_a_report_that_the_database_does_not_take_stays_a_draft(database):
    path, made = database
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TRIGGER no BEFORE INSERT ON safeconsole_capacity BEGIN SELECT RAISE(FAIL, 'full'); END")
    raw.close()
    made.append("shop", "d", "two")
    with pytest.raises(
        ConfigurationError, match=r"capacity reports in .*r\.db cannot be used: IntegrityError"
    ) as caught:
        made.keep("shop", "d", "later")
    assert "resumes from there" in caught.value.instead
    assert list(made.draft("shop", "d")) == ["two\n"]
    assert made.kept("shop") == ("r",)


def test_a_line_that_was_damaged_is_an_error(database):
    path, made = database
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE safeconsole_capacity SET line = x'00'")
    raw.close()
    with pytest.raises(ConfigurationError, match="capacity report r cannot be read: error"):
        list(made.lines("shop", "r"))


@pytest.mark.parametrize(
    ("address", "environ", "said"),
    [
        ("nonsense", {"SECRET": "hunter2"}, "the address cannot be used"),
        ("nosuch://me:{secret}@host/d", {"SECRET": "hunter2"}, "the address cannot be used"),
        ("mysql+pymysql://me:{secret}@db9/d", {"SECRET": "hunter2"}, "names no authority that proves it"),
        ("sqlite:///x.db", {}, "SECRET is not set"),
    ],
)
def test_an_address_that_cannot_be_used_is_named_without_its_secret(tmp_path, address, environ, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        shared(tmp_path, address, environ, secret_variable="SECRET")
    assert "hunter2" not in str(caught.value)
