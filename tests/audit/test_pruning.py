"""Retention: small, and still verifiable."""

import os
import time

import pytest

from safeconsole.audit.archive import open_archive
from safeconsole.audit.host_log import open_host_log
from safeconsole.audit.kept import FOLDER as KEPT
from safeconsole.audit.kept import KeptChange, kept_change, purge_kept, write_kept
from safeconsole.audit.retention import prune
from safeconsole.audit.review import open_reviews
from safeconsole.errors import AuditUnavailableError, ConfigurationError
from safeconsole.audit.review import ReviewAct
from safeconsole.sqltext.undoing import KeptRows

LATER = "2026-12-01"


@pytest.fixture
def act(directory, clock):
    def act(*, remove="", pack="", dry=False):
        archive = open_archive(directory)
        done = prune(
            archive, open_host_log(directory, clock), open_reviews(directory, by="cleo", clock=clock).reviews(),
            remove_before=remove, pack_before=pack, dry=dry,
        )  # fmt: skip
        return [(one.session, one.act, one.why) for one in done]

    return act


def files(directory):
    return sorted(path.name for path in (directory / "sessions").iterdir())


def test_a_removed_session_leaves_a_tombstone_and_everything_holds(directory, clock, told, act):
    told.write_session(directory, clock, session="old")
    assert act(remove=LATER) == [("old", "remove", "")]
    archive = open_archive(directory)
    assert (files(directory), archive.sessions(), archive.verify()) == ([], (), ())
    assert b'"event":"pruned","session":"old","count":14' in (directory / "host.jsonl").read_bytes()


def test_a_packed_session_is_small_and_reads_as_before(directory, clock, told, act):
    told.write_session(directory, clock, session="old", statements=200)
    before = list(open_archive(directory).entries("old"))
    size = (directory / "sessions" / files(directory)[0]).stat().st_size
    assert act(pack=LATER) == [("old", "pack", "")]
    assert files(directory) == ["2026-11-07-old.jsonl.gz"]
    assert (directory / "sessions" / files(directory)[0]).stat().st_size < size / 3
    assert list(open_archive(directory).entries("old")) == before
    assert open_archive(directory).verify() == ()
    assert act(pack=LATER) == []
    assert act(remove=LATER) == [("old", "remove", "")]


def test_only_what_is_old_enough_goes(directory, clock, told, act):
    told.write_session(directory, clock, session="one")
    (opened,) = [summary.opened for summary in open_archive(directory).sessions()]
    told.write_session(directory, clock, session="two")
    assert act(remove=opened) == []
    assert act(remove=opened[:-1] + "~") == [("one", "remove", "")]
    assert act() == []


def test_a_dry_run_changes_nothing(directory, clock, told, act):
    told.write_session(directory, clock, session="old")
    held = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert act(remove=LATER, dry=True) == [("old", "remove", "")]
    assert act(pack=LATER, dry=True) == [("old", "pack", "")]
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == held


def test_what_waits_for_a_review_or_was_flagged_is_kept_until_it_is_approved(directory, clock, told, act):
    told.write_session(directory, clock, session="loud", elevated=True)
    assert act(remove=LATER) == [("loud", "keep", "its review is pending")]
    (summary,) = open_archive(directory).sessions()
    open_reviews(directory, by="ana", clock=clock).add(summary, ReviewAct.NOTE, "it was needed")
    book = open_reviews(directory, by="cleo", clock=clock)
    book.add(summary, ReviewAct.FLAG, "why?")
    assert act(remove=LATER) == [("loud", "keep", "its review is flagged")]
    book.add(summary, ReviewAct.APPROVE)
    assert act(pack=LATER) == [("loud", "pack", "")]
    assert act(remove=LATER) == [("loud", "remove", "")]
    assert open_archive(directory).verify() == ()


def test_what_does_not_verify_is_kept(directory, clock, told, act):
    journal = told.write_session(directory, clock, session="odd")
    journal.path.write_bytes(journal.path.read_bytes()[:-5])
    assert act(remove=LATER) == [("odd", "keep", "it does not verify")]
    assert act(pack=LATER) == [("odd", "keep", "it does not verify")]


def test_a_living_session_is_left_alone(directory, clock, told, act):
    told.write_session(directory, clock, session="alive", close=False)
    assert act(remove=LATER, pack=LATER) == []


def test_nothing_is_removed_when_the_tombstone_cannot_be_written(directory, clock, told, monkeypatch):
    told.write_session(directory, clock, session="old")
    log = open_host_log(directory, clock)
    monkeypatch.setattr(log, "_path", directory / "no" / "such")
    with pytest.raises(AuditUnavailableError):
        prune(open_archive(directory), log, (), remove_before=LATER, pack_before="", dry=False)
    assert files(directory) == ["2026-11-07-old.jsonl"]


def test_rows_whose_days_are_over_are_cleared_up_by_whoever_comes_next(tmp_path, clock, told):
    """A session that begins, a change that is kept, an undo that is looked for, and `audit prune`, dry or not."""
    rows = KeptRows(table="`t`", columns=("id",), keys=("id",), changed=(), before=(("1",),))

    def kept(statement, days):
        until = int(time.time() + days * 86_400)
        change = KeptChange(
            session="s1",
            statement=statement,
            cluster="shop",
            schema="",
            server="x",
            sql="",
            until_epoch=until,
            rows=rows,
        )
        write_kept(tmp_path, change)
        return tmp_path / KEPT / f"s1-{statement}.json"

    lasts, over = kept(2, 1), kept(1, -1)
    # The file's time is a hint alone.
    os.utime(lasts, (1, 1))
    assert purge_kept(tmp_path, dry=True) == (("s1#1", over.stat().st_size),)
    assert over.exists()
    with pytest.raises(ConfigurationError, match="no rows are kept"):
        kept_change(tmp_path, "s1#1")
    assert (over.exists(), lasts.exists()) == (False, True)
    over = kept(3, -1)
    kept(4, 1)
    assert not over.exists()
    over = kept(5, -1)
    told.write_session(tmp_path, clock, session="next")
    assert (over.exists(), lasts.exists()) == (False, True)
    assert purge_kept(tmp_path) == ()
