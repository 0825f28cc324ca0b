"""The shelf of capacity reports: private files, whole or not at all, and not too many."""

import stat

import pytest

from safeconsole.adapters.local.shelf import KEPT_REPORTS, FileShelf
from safeconsole.core.errors import ConfigurationError


@pytest.fixture
def shelf(tmp_path):
    return FileShelf(tmp_path / "capacity")


def test_a_draft_grows_by_lines_and_becomes_a_report(shelf):
    for line in ("one", "zwei ü"):
        shelf.append("shop", "d", line)
    assert list(shelf.draft("shop", "d")) == ["one\n", "zwei ü\n"]
    shelf.keep("shop", "d", "20260101")
    assert list(shelf.lines("shop", "20260101")) == ["one\n", "zwei ü\n"]
    assert list(shelf.draft("shop", "d")) == []
    assert shelf.kept("shop") == ("20260101",)


def test_nobody_else_may_read_what_is_kept(shelf, tmp_path):
    shelf.append("shop", "d", "one")
    shelf.append("shop", "other", "one")
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


def test_a_report_that_was_cut_off_is_not_taken_for_a_short_one(shelf, tmp_path):
    shelf.append("shop", "d", "x" * 10_000)
    shelf.keep("shop", "d", "r")
    (path,) = (tmp_path / "capacity").rglob("*.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(shelf.lines("shop", "r"))


def test_what_is_not_there_is_an_error_or_nothing(shelf):
    assert shelf.kept("shop") == ()
    shelf.drop("shop", "d")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(shelf.lines("shop", "r"))


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="capacity cannot write"):
        FileShelf(tmp_path / "file").append("shop", "d", "one")
