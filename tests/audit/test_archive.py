"""Reading the journals, and finding what somebody changed."""

import sys
import fcntl
import gzip
import hashlib
import json
import os
import random
import re

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from safeconsole.audit.archive import open_archive
from safeconsole.audit.search import Query, found
from safeconsole.audit.host_log import HostLog, open_host_log
from safeconsole.audit.journal import open_journal
from safeconsole.audit.retention import prune
from safeconsole.audit.review import open_reviews
from safeconsole.audit.shipping import open_shipper
from safeconsole.audit.host_log import Anchor, AnchorEvent
from safeconsole.audit.record import GENESIS, hash_in_line, sealed_line
from safeconsole.errors import ConfigurationError
from safeconsole.audit.record import Entry, SessionSummary
from safeconsole.audit.review import ReviewAct
from safeconsole.config.settings import AuditSettings, SinkSettings

from tests.harness.journals import HandClock

TAMPERINGS = 200


@pytest.fixture
def sessions(directory, clock, told):
    """Five finished sessions, one with an elevation, and their archive."""
    for number in range(5):
        told.write_session(directory, clock, session=f"s{number}", statements=3 + number, elevated=number == 2)
    archive = open_archive(directory)
    assert archive.verify() == ()
    return archive


def files(directory):
    return [directory / "host.jsonl", *sorted((directory / "sessions").iterdir())]


def test_any_single_flipped_bit_is_found(directory, sessions):
    chance = random.Random(7)
    for _ in range(TAMPERINGS):
        path = chance.choice(files(directory))
        whole = path.read_bytes()
        position, bit = chance.randrange(len(whole)), chance.randrange(8)
        changed = bytearray(whole)
        changed[position] ^= 1 << bit
        path.write_bytes(changed)
        findings = sessions.verify()
        path.write_bytes(whole)
        assert findings, (path.name, position, bit)
        line = whole[:position].count(b"\n")
        name = "" if path.name == "host.jsonl" else path.name[11:-6]
        assert (name, line) in {(finding.session, finding.number) for finding in findings}, (
            path.name,
            position,
            findings,
        )


def delete(lines, chance):
    at = chance.randrange(len(lines))
    return lines[:at] + lines[at + 1 :], at


def repeat(lines, chance):
    at = chance.randrange(len(lines))
    return lines[: at + 1] + lines[at:], at + 1


def swap(lines, chance):
    one, two = sorted(chance.sample(range(len(lines)), 2))
    lines = list(lines)
    lines[one], lines[two] = lines[two], lines[one]
    return lines, one


def truncate(lines, chance):
    at = chance.randrange(len(lines))
    return lines[:at], at


def forge(lines, chance):
    """
    Change one record and give the line the hash that belongs to it, but not the lines behind it.

    Not the last one: what of the host log's newest line no session repeats (its time) only a signature can hold.
    """
    at = chance.randrange(len(lines) - 1)
    blank = lines[at].rstrip(b"\n").replace(b'"number":', b'"number": ')
    blank = re.sub(rb'"hash":"[0-9a-f]{64}"\}$', b'"hash":""}', blank)
    forged = blank[:-2] + hashlib.sha256(blank).hexdigest().encode() + b'"}'
    assert hash_in_line(forged) is not None
    return lines[:at] + [forged + b"\n"] + lines[at + 1 :], at


@pytest.mark.parametrize("act", [delete, repeat, swap, truncate, forge])
def test_any_whole_record_that_is_changed_is_found_and_named(directory, sessions, act):
    chance = random.Random(act.__name__)
    for _ in range(TAMPERINGS // 4):
        path = chance.choice(files(directory))
        whole = path.read_bytes()
        changed, first = act(whole.splitlines(keepends=True), chance)
        path.write_bytes(b"".join(changed))
        findings = sessions.verify()
        path.write_bytes(whole)
        assert findings, (path.name, first)
        if path.name != "host.jsonl":
            assert findings[0].session == path.name[11:-6]
            # A forged last line, and a forged line before a checkpoint, are named by the anchor; all others by the line.
            assert findings[0].number in {first, first + 1}, (first, findings)


def test_a_line_moved_to_another_session_is_found(directory, sessions):
    one, two = files(directory)[1:3]
    lines = two.read_bytes().splitlines(keepends=True)
    lines[1] = one.read_bytes().splitlines(keepends=True)[1]
    two.write_bytes(b"".join(lines))
    (finding,) = sessions.verify()
    assert (finding.session, finding.number, finding.what) == ("s1", 1, "it belongs to session s0")


def rewrite(path, change):
    """Rewrite a whole session with a valid chain of its own, as someone who knows the format would."""
    lines = path.read_bytes().splitlines()
    entries = change([msgspec.json.decode(line, type=Entry) for line in lines])
    previous, out = entries[0].previous, []
    for number, entry in enumerate(entries):
        line, digest = sealed_line(msgspec.structs.replace(entry, number=number, previous=previous, hash=""))
        out.append(line + b"\n")
        previous = digest
    path.write_bytes(b"".join(out))


def test_a_session_that_was_rewritten_as_a_whole_is_found_by_the_host_log(directory, sessions):
    rewrite(files(directory)[3], lambda entries: entries[:4] + entries[6:])
    (finding,) = sessions.verify()
    assert finding.session == "s2"
    assert "host log saw" in finding.what


def test_records_added_behind_the_end_are_found(directory, sessions):
    rewrite(files(directory)[1], lambda entries: [*entries, entries[-1]])
    findings = sessions.verify()
    assert [finding.session for finding in findings] == ["s0"]


def test_a_removed_session_is_found(directory, sessions):
    files(directory)[2].unlink()
    (finding,) = sessions.verify()
    assert (finding.session, finding.number) == ("s1", -1)


def test_a_session_that_the_host_log_never_opened_is_found(directory, sessions):
    source = files(directory)[1]
    source.with_name("2026-11-07-s9.jsonl").write_bytes(
        source.read_bytes().replace(b'"session":"s0"', b'"session":"s9"')
    )
    assert ("s9", 0) in {(finding.session, finding.number) for finding in sessions.verify()}


def test_a_removed_host_log_is_found(directory, sessions):
    (directory / "host.jsonl").unlink()
    assert {finding.session for finding in sessions.verify()} == {f"s{number}" for number in range(5)}


def test_a_host_log_rewritten_without_a_session_is_found_by_the_sessions_after_it(directory, sessions):
    """The removal of a session and of its lines, with the host log's chain made whole again."""
    files(directory)[2].unlink()
    log = directory / "host.jsonl"
    anchors = [msgspec.json.decode(line, type=Anchor) for line in log.read_bytes().splitlines()]
    previous, out = GENESIS, []
    for number, anchor in enumerate(anchor for anchor in anchors if anchor.session != "s1"):
        line, previous = sealed_line(msgspec.structs.replace(anchor, number=number, previous=previous, hash=""))
        out.append(line + b"\n")
    log.write_bytes(b"".join(out))
    assert {(finding.session, finding.number) for finding in sessions.verify()} == {("s2", 0), ("s3", 0), ("s4", 0)}


def test_a_host_log_whose_last_line_was_changed_stays_broken_after_the_next_session(directory, sessions, clock, told):
    log = directory / "host.jsonl"
    log.write_bytes(log.read_bytes()[:-10] + b"xxxxxxxxx\n")
    told.write_session(directory, clock, session="later")
    assert any(finding.session == "" for finding in sessions.verify())
    assert "later" not in {finding.session for finding in sessions.verify()}


def test_a_session_may_be_named_by_the_beginning_of_its_id(directory, clock, told):
    for session in ("abc1", "abd2"):
        told.write_session(directory, clock, session=session)
    archive = open_archive(directory)
    assert {entry.session for entry in archive.entries("abc")} == {"abc1"}
    with pytest.raises(ConfigurationError, match="ambiguous: abc1, abd2"):
        archive.entries("ab")
    for stranger in ("x", ""):
        with pytest.raises(ConfigurationError, match="no session"):
            archive.entries(stranger)


def test_one_session_can_be_verified_alone_even_when_its_file_is_gone(directory, sessions):
    files(directory)[1].unlink()
    assert [finding.number for finding in sessions.verify("s0")] == [-1]
    assert sessions.verify("s1") == ()


def test_a_summary_counts_what_happened(directory, clock, told):
    journal = told.write_session(directory, clock, session="a", statements=2, close=False, elevated=True)
    journal.append(told.asked(3, by_console=True))
    journal.append(told.asked(4))
    journal.append(told.ended(4, "refused"))
    journal.append(told.intent(5), durable=True)
    journal.append(told.ended(5, "unknown"))
    journal.close()
    (summary,) = open_archive(directory).sessions()
    assert summary == SessionSummary(
        session="a", opened=summary.opened, closed="", person="ana", cluster="shop", face="sql",
        statements=3, refused=1, elevated=1, unknown=1, break_glass=1, entries=15, head=summary.head,
    )  # fmt: skip
    assert summary.opened.startswith("2026-11-07T00:00:00.")


def test_sessions_come_oldest_first(directory, sessions):
    assert [summary.session for summary in sessions.sessions()] == ["s0", "s1", "s2", "s3", "s4"]


class DayClock(HandClock):
    """A clock of another day."""

    def __init__(self, day):
        super().__init__()
        self.day = day

    def utc(self):
        return self.day + super().utc()[10:]


@pytest.fixture
def days(directory, told):
    """Two sessions a day, on three days."""
    for day in ("2026-11-07", "2026-11-08", "2026-11-09"):
        clock = DayClock(day)
        for name in "ab":
            told.write_session(directory, clock, session=f"{day[-2:]}{name}", statements=1)
    return open_archive(directory)


def opened_files(directory, act):
    """What an act gives, and the sessions' files that it opened meanwhile."""
    opened, counting = [], [True]

    def note(event, arguments):
        if counting[0] and event == "open" and str(arguments[0]).startswith(str(directory / "sessions")):
            opened.append(Path(str(arguments[0])).name)

    sys.addaudithook(note)
    try:
        return act(), opened
    finally:
        counting[0] = False


def test_the_newest_sessions_are_found_without_opening_the_others(directory, days):
    (shown, older), opened = opened_files(directory, lambda: days.newest(2))
    assert ([each.session for each in shown], older) == (["09a", "09b"], 4)
    assert {name[:10] for name in opened} == {"2026-11-09"}
    (shown, older), opened = opened_files(directory, lambda: days.newest(3))
    assert ([each.session for each in shown], older) == (["08b", "09a", "09b"], 3)
    assert "2026-11-07" not in {name[:10] for name in opened}
    assert [each.session for each in days.newest(days.count())[0]] == [each.session for each in days.sessions()]
    assert days.newest(days.count())[1] == 0


def test_the_newest_of_one_person_are_theirs_alone_and_counted(directory, days, told):
    journal = open_journal(directory, clock=DayClock("2026-11-06"), session="bens")
    journal.append(replace(told.OPENED, person="ben"))
    journal.close()
    shown, older = days.newest(1, person="ben", cluster="shop")
    assert ([each.session for each in shown], older) == (["bens"], 0)
    shown, older = days.newest(1, person="ana")
    assert ([each.session for each in shown], older) == (["09b"], 5)
    assert days.newest(1, cluster="another") == ((), 0)


def test_a_session_that_cannot_be_read_is_listed_with_its_day(directory, days):
    (directory / "sessions" / "2026-11-08-odd.jsonl").write_bytes(b"\xff\x00\n")
    assert [each.session for each in days.newest(5)[0]] == ["odd", "08a", "08b", "09a", "09b"]


def test_a_session_that_is_named_as_of_another_day_is_a_finding(directory, days):
    assert days.verify() == ()
    there = directory / "sessions" / "2026-11-09-09a.jsonl"
    there.rename(there.with_name("2026-10-01-09a.jsonl"))
    (finding,) = days.verify()
    assert (finding.session, finding.number) == ("09a", 0)
    assert finding.what == "its file is named as of 2026-10-01, and it was opened on 2026-11-09"


def test_a_session_that_is_closed_is_summarised_once_and_again_when_its_file_changed(directory, days, told):
    told.write_session(directory, DayClock("2026-11-10"), session="open", close=False)
    before = days.sessions()
    again, opened = opened_files(directory, days.sessions)
    assert again == before
    assert set(opened) == {"2026-11-10-open.jsonl"}
    path = directory / "sessions" / "2026-11-09-09a.jsonl"
    about, whole = path.stat(), path.read_bytes()
    path.write_bytes(whole.replace(b'"person":"ana"', b'"person":"eve"'))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    (changed,) = [each for each in days.sessions() if each.session == "09a"]
    assert changed.person == "eve"


@pytest.mark.parametrize(
    "content", [b"\n", b"{}\n", b"\xff\x00\n", b'{"version":1}\n', b"x" * 100, b'{"record":{"type":"no such"}}\n']
)
def test_a_file_that_is_no_session_is_a_summary_that_says_so_and_a_finding(directory, sessions, content):
    (directory / "sessions" / "2026-11-07-odd.jsonl").write_bytes(content)
    summary = next(summary for summary in sessions.sessions() if summary.session == "odd")
    assert summary.trouble
    assert "odd" in {finding.session for finding in sessions.verify()}
    assert list(sessions.entries("odd")) == []


def test_a_record_of_a_later_version_is_skipped_in_the_reading_and_holds_in_the_chain(directory, clock, told):
    journal = open_journal(directory, clock=clock, session="s")
    journal.append(told.OPENED)
    line = journal.path.read_bytes()
    value = json.loads(line) | {
        "record": {"type": "of-tomorrow", "x": 1},
        "number": 1,
        "previous": json.loads(line)["hash"],
        "hash": "",
    }
    blank = json.dumps(value, separators=(",", ":")).encode()
    sealed = blank[:-2] + hashlib.sha256(blank).hexdigest().encode() + b'"}\n'
    journal.path.write_bytes(line + sealed)
    os.close(journal._descriptor)
    told.write_session(directory, clock, session="next")
    archive = open_archive(directory)
    assert archive.verify() == ()
    assert [entry.number for entry in archive.entries("s")] == [0]
    assert "record 1" in archive.sessions()[0].trouble


def test_an_unreadable_file_is_a_summary_that_says_so(directory, sessions):
    packed = directory / "sessions" / "2026-11-07-bad.jsonl.gz"
    packed.write_bytes(b"no gzip")
    assert "cannot be read" in next(s for s in sessions.sessions() if s.session == "bad").trouble
    assert "bad" in {finding.session for finding in sessions.verify()}


def test_a_packed_session_reads_and_verifies_like_any_other(directory, sessions):
    plain = files(directory)[1]
    entries = list(sessions.entries("s0"))
    (plain.with_name(plain.name + ".gz")).write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert list(sessions.entries("s0")) == entries
    assert sessions.verify() == ()


def test_an_archive_that_does_not_exist_has_no_sessions(tmp_path):
    archive = open_archive(tmp_path / "none")
    assert archive.sessions() == ()
    assert archive.verify() == ()
    assert not (tmp_path / "none").exists()


def test_a_pruned_session_leaves_a_tombstone_that_verify_accepts(directory, sessions, clock):
    files(directory)[1].unlink()
    HostLog(directory, clock).add(AnchorEvent.PRUNED, "s0", count=1, head="h")
    assert sessions.verify() == ()


def test_an_empty_file_of_a_console_that_died_while_opening_is_no_finding(directory, sessions):
    (directory / "sessions" / "2026-11-07-odd.jsonl").write_bytes(b"")
    assert sessions.verify() == ()
    assert list(sessions.entries("odd")) == []


def test_a_session_that_was_emptied_is_a_finding(directory, sessions):
    files(directory)[1].write_bytes(b"")
    assert [(finding.session, finding.number) for finding in sessions.verify()] == [("s0", 0)]


PLANTED = {
    "a link to a copy": lambda path: (path.rename(path.with_name("copy")), path.symlink_to(path.with_name("copy"))),
    "a link to a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("which", ["session", "host log", "review book"])
def test_what_is_planted_in_the_place_of_a_file_is_a_finding_and_stops_nobody(directory, sessions, plant, which):
    (directory / "reviews.jsonl").touch()
    session = "s2"
    path = {
        "session": open_archive(directory).file_of(session),
        "host log": directory / "host.jsonl",
        "review book": directory / "reviews.jsonl",
    }[which]
    plant(path)
    archive = open_archive(directory)
    found = {finding.session: finding.what for finding in archive.verify()}
    assert "cannot be read: it is " in found[session if which == "session" else ""]
    assert len(archive.sessions()) == len(archive.glance()) == 5


def test_a_lock_that_somebody_holds_hides_nothing_behind_the_end_of_a_session(directory, sessions):
    path = open_archive(directory).file_of("s2")
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"half a line")
        file.flush()
        archive = open_archive(directory)
        assert [finding.session for finding in archive.verify()] == ["s2"]
        assert not any(summary.live for summary in archive.sessions())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes beside others")
def test_what_root_writes_beside_a_persons_journal_stays_the_persons(directory, sessions, clock):
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 65534, 65534)
    summary = open_archive(directory).sessions()[0]
    open_reviews(directory, by="cleo", clock=clock).add(summary, ReviewAct.NOTE, "looked at")
    open_journal(directory, clock=clock, session="of-root").close()
    sink = SinkSettings(kind="database", address=f"sqlite:///{directory.parent}/central.db")
    (shipped,) = open_shipper(directory, AuditSettings(sinks={"central": sink}), {}).ship()
    assert (shipped.trouble, shipped.lines > 0) == ("", True)
    packed = prune(
        open_archive(directory), open_host_log(directory, clock), (), remove_before="", pack_before="9", dry=False
    )
    assert any(one.act == "pack" for one in packed)
    assert {path.name: path.stat().st_uid for path in directory.rglob("*") if path.stat().st_uid != 65534} == {}


def test_any_single_flipped_bit_of_a_packed_session_is_found_and_stops_nobody(directory, sessions):
    plain = open_archive(directory).file_of("s2")
    packed = gzip.compress(plain.read_bytes(), mtime=0)
    plain.unlink()
    path = plain.with_name(plain.name + ".gz")
    flips = random.Random(7).sample(range(len(packed) * 8), TAMPERINGS)
    harmless = 0
    for bit in flips:
        changed = bytearray(packed)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        archive = open_archive(directory)
        if archive.verify("s2") == ():
            # A hint of the packing, or a bit that it does not use: the records are the same.
            assert gzip.decompress(bytes(changed)) == gzip.decompress(packed)
            harmless += 1
        archive.sessions()
    assert harmless < TAMPERINGS // 20


def test_a_search_lists_the_sessions_once_however_many_there_are(directory, clock, told):
    """20,000 of them were listed 40,000 times; `python -m benchmarks.many_sessions` has the figures."""
    for number in range(30):
        told.write_session(directory, clock, session=f"s{number:02}", statements=1)
    archive, listed, counting = open_archive(directory), [], [True]

    def count(event, arguments):
        if counting[0] and event in {"os.scandir", "os.listdir"} and str(arguments[0]).startswith(str(directory)):
            listed.append(arguments[0])

    sys.addaudithook(count)
    try:
        stories = list(found(archive, Query(), tuple(each.session for each in archive.glance()), unread=print))
    finally:
        counting[0] = False
    assert len(stories) == 30
    assert len(listed) <= 3
