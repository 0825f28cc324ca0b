"""The write path: nothing lost, and no statement without its record."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest

from safeconsole.cli.application import exit_code_of
from safeconsole.audit.files import write_whole
from safeconsole.audit.archive import open_archive
from safeconsole.clock import SystemClock
from safeconsole.audit.host_log import HostLog
from safeconsole.audit.journal import CHECKPOINT_RECORDS, open_journal
from safeconsole.audit.host_log import Anchor, AnchorEvent
from safeconsole.errors import AuditUnavailableError
from safeconsole.audit.record import Noticed, SessionClosed

REPO = Path(__file__).resolve().parents[2]


def anchors(directory):
    return [msgspec.json.decode(line, type=Anchor) for line in (directory / "host.jsonl").read_bytes().splitlines()]


def run(code, *args, **more):
    """Run a program against the package in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(REPO)}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def test_a_session_is_one_file_of_one_line_a_record(directory, clock, told):
    journal = told.write_session(directory, clock, session="abc", statements=2)
    assert journal.path == directory / "sessions" / "2026-11-07-abc.jsonl"
    entries = list(open_archive(directory).entries("abc"))
    assert [entry.number for entry in entries] == list(range(10))
    assert [entry.record for entry in entries][0] == told.OPENED
    assert isinstance(entries[-1].record, SessionClosed)
    offsets = [entry.offset_seconds for entry in entries]
    assert offsets == sorted(offsets)
    assert offsets[0] >= 0


def test_only_the_account_itself_may_read_what_was_done(directory, clock, told):
    old = os.umask(0)
    try:
        told.write_session(directory, clock)
    finally:
        os.umask(old)
    modes = {path.name[:4]: stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.rglob("*")]}
    assert modes == {"audi": 0o700, "sess": 0o700, "host": 0o600, "2026": 0o600}


def test_a_record_is_in_the_file_before_append_returns(directory, clock):
    journal = open_journal(directory, clock=clock)
    journal.append(Noticed(what="one"))
    assert journal.path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("writes", [True, False])
def test_an_interrupt_around_a_write_breaks_no_chain(directory, clock, told, monkeypatch, writes):
    journal = open_journal(directory, clock=clock, session="abc")
    journal.append(told.OPENED)
    whole = write_whole

    def interrupted(descriptor, data):
        if writes:
            whole(descriptor, data)
        raise KeyboardInterrupt

    monkeypatch.setattr("safeconsole.audit.journal.write_whole", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.append(Noticed(what="interrupted"))
    monkeypatch.undo()
    journal.append(Noticed(what="next"))
    journal.append(SessionClosed(statements=0))
    journal.close()
    archive = open_archive(directory)
    assert [entry.number for entry in archive.entries("abc")] == list(range(4 if writes else 3))
    assert archive.verify() == ()


def test_one_sync_makes_a_statement_durable_and_other_records_cost_none(directory, clock, told, monkeypatch):
    calls = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda fd, real=real, name=name: (calls.append(name), real(fd)))
    journal = open_journal(directory, clock=clock)
    journal.append(told.OPENED)
    journal.append(told.intent(0), durable=True)
    calls.clear()
    for number in range(1, 11):
        journal.append(told.asked(number))
        journal.append(told.decided(number))
        journal.append(told.intent(number), durable=True)
        journal.append(told.ended(number))
    assert calls == ["fdatasync"] * 10


def test_names_of_files_and_directories_are_synced_before_the_first_durable_record_returns(
    directory, clock, told, monkeypatch
):
    synced = set()
    real_fsync, real_fdatasync = os.fsync, os.fdatasync
    see = lambda fd: synced.add(os.readlink(f"/proc/self/fd/{fd}"))  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda fd: (see(fd), real_fsync(fd)))
    monkeypatch.setattr(os, "fdatasync", lambda fd: (see(fd), real_fdatasync(fd)))
    journal = open_journal(directory, clock=clock)
    journal.append(told.intent(1), durable=True)
    assert {
        str(directory.parent),
        str(directory),
        str(directory / "sessions"),
        str(directory / "host.jsonl"),
        str(journal.path),
    } <= synced


def test_the_head_is_nailed_down_at_open_close_each_so_many_records_and_each_elevated_intent(directory, clock, told):
    journal = open_journal(directory, clock=clock, session="s")
    for _ in range(CHECKPOINT_RECORDS):
        journal.append(Noticed(what="x"))
    journal.append(told.intent(1), durable=True)
    journal.append(told.intent(2, elevation="e1"), durable=True)
    journal.append(told.intent(3), durable=True)
    journal.close()
    assert [(anchor.event, anchor.count) for anchor in anchors(directory)] == [
        (AnchorEvent.OPENED, 0),
        (AnchorEvent.CHECKPOINT, CHECKPOINT_RECORDS + 1),
        (AnchorEvent.CHECKPOINT, CHECKPOINT_RECORDS + 2),
        (AnchorEvent.CLOSED, CHECKPOINT_RECORDS + 3),
    ]
    assert open_archive(directory).verify() == ()


def test_text_that_is_no_unicode_is_recorded_readably(directory, clock):
    journal = open_journal(directory, clock=clock, session="s")
    journal.append(Noticed(what="raw \udcff\x00 bytes"))
    journal.close()
    assert [entry.record for entry in open_archive(directory).entries("s")] == [Noticed(what="raw \\udcff\x00 bytes")]


def test_two_sessions_never_share_an_id(directory, clock):
    open_journal(directory, clock=clock, session="same")
    with pytest.raises(AuditUnavailableError, match="same"):
        open_journal(directory, clock=clock, session="same")
    with pytest.raises(ValueError, match="letters"):
        open_journal(directory, clock=clock, session="../up")


# What stops the road


def test_a_vanished_file_is_noticed_before_anything_is_sent(directory, clock, told):
    journal = open_journal(directory, clock=clock)
    journal.append(told.intent(1), durable=True)
    journal.path.unlink()
    with pytest.raises(AuditUnavailableError, match=str(directory)):
        journal.append(told.intent(2), durable=True)


def test_a_vanished_directory_is_noticed_before_anything_is_sent(directory, clock, told):
    journal = open_journal(directory, clock=clock)
    directory.rename(directory.with_name("elsewhere"))
    with pytest.raises(AuditUnavailableError) as caught:
        journal.append(told.intent(1), durable=True)
    assert "no such file" in caught.value.message
    assert "put the directory back" in caught.value.instead
    assert exit_code_of(caught.value) == 7


def test_another_file_in_the_place_of_ours_is_noticed(directory, clock, told):
    journal = open_journal(directory, clock=clock)
    journal.append(told.intent(1), durable=True)
    copy = journal.path.read_bytes()
    journal.path.unlink()
    journal.path.write_bytes(copy)
    with pytest.raises(AuditUnavailableError, match="another file"):
        journal.append(told.intent(2), durable=True)


@pytest.mark.parametrize("change", [b"more\n", None])
def test_a_file_that_someone_else_wrote_to_or_cut_is_noticed(directory, clock, told, change):
    journal = open_journal(directory, clock=clock)
    journal.append(told.intent(1), durable=True)
    with journal.path.open("ab") as file:
        file.write(change) if change else file.truncate(10)
    with pytest.raises(AuditUnavailableError, match="bytes where"):
        journal.append(told.intent(2), durable=True)


def test_a_journal_in_a_place_that_is_a_file_or_a_link_is_refused(tmp_path, clock):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditUnavailableError, match="not a directory"):
        open_journal(tmp_path / "file", clock=clock)
    audit = tmp_path / "audit"
    audit.mkdir()
    (audit / "host.jsonl").symlink_to(tmp_path / "file")
    with pytest.raises(AuditUnavailableError, match="symbolic link"):
        open_journal(audit, clock=clock)


def test_a_read_only_directory_is_refused_for_an_ordinary_account(directory, clock, told):
    told.write_session(directory, clock)
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
    process = run(
        """
        import os, sys
        from pathlib import Path
        sys.path_importer_cache.clear()
        from safeconsole.clock import SystemClock
        from safeconsole.audit.journal import open_journal
        from safeconsole.errors import AuditUnavailableError
        import getpass
        if os.geteuid() == 0:
            os.setgid(65534); os.setuid(65534)
        try:
            open_journal(Path(sys.argv[1]), clock=SystemClock())
        except AuditUnavailableError as error:
            print(error.code, error.message)
        """,
        directory,
    )
    if os.geteuid() == 0:
        for parent in [directory.parent, *directory.parent.parents][:-2]:
            parent.chmod(parent.stat().st_mode | 0o011)
    out, err = process.communicate(timeout=60)
    assert out.startswith("audit-unavailable the audit journal in"), (out, err)
    assert "permission denied" in out


def test_a_full_disk_stops_the_road_leaves_no_half_line_and_lets_go_when_there_is_room(directory, told):
    """The kernel's own limit on a file's size plays the full disk; it cuts a write in the middle."""
    process = run(
        """
        import resource, signal, sys
        from pathlib import Path
        from safeconsole.clock import SystemClock
        from safeconsole.audit.journal import open_journal
        from safeconsole.errors import AuditUnavailableError
        from safeconsole.audit.record import Noticed
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = open_journal(Path(sys.argv[1]), clock=SystemClock(), session="full")
        journal.append(Noticed(what="fits"), durable=True)
        size = journal.path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        for _ in range(2):
            try:
                journal.append(Noticed(what="x" * 500), durable=True)
            except AuditUnavailableError as error:
                print("refused", error.message, "|", error.instead)
        print("untouched", journal.path.stat().st_size == size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        journal.append(Noticed(what="there is room again"), durable=True)
        journal.close()
        """,
        directory,
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["refused", "refused", "untouched"]
    assert "file too large" in lines[0]
    assert lines[2] == "untouched True"
    archive = open_archive(directory)
    said = [entry.record.what for entry in archive.entries("full")]
    assert said == ["fits", "x" * 500, "x" * 500, "journal written again", "there is room again"]
    assert archive.verify() == ()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"THE FULL-DISK TEST DID NOT RUN: no tmpfs can be mounted here ({mounted.stderr.strip()})")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_file_system_stops_the_road_and_the_session_stays_readable(small_disk, clock, told):
    directory = small_disk / "audit"
    journal = open_journal(directory, clock=clock, session="full")
    written = 0
    with pytest.raises(AuditUnavailableError, match="no space left") as caught:
        for number in range(10_000):
            journal.append(told.intent(number), durable=True)
            written += 1
    assert "free space" in caught.value.instead
    with pytest.raises(AuditUnavailableError, match="no space left"):
        journal.append(Noticed(what="x" * 4096), durable=True)
    archive = open_archive(directory)
    assert len(list(archive.entries("full"))) == written
    assert archive.verify() == ()
    with pytest.raises(AuditUnavailableError):
        for _ in range(1000):
            open_journal(directory, clock=clock)


def test_a_file_system_that_turns_read_only_stops_the_road(small_disk, clock, told):
    directory = small_disk / "audit"
    told.write_session(directory, clock)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(AuditUnavailableError, match="read-only file system") as caught:
        open_journal(directory, clock=clock)
    assert "mount" in caught.value.instead


def test_after_a_failed_sync_no_later_success_is_believed(directory, clock, told, monkeypatch):
    journal = open_journal(directory, clock=clock)
    journal.append(told.intent(1), durable=True)

    def fails(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fails)
        with pytest.raises(AuditUnavailableError, match="input/output error"):
            journal.append(told.intent(2), durable=True)
    with pytest.raises(AuditUnavailableError, match="input/output error"):
        journal.append(told.intent(3), durable=True)


def test_a_host_log_that_another_process_holds_stops_the_opening_with_words(directory, clock, told, monkeypatch):
    told.write_session(directory, clock)
    monkeypatch.setattr("safeconsole.audit.host_log.LOCK_SECONDS", 0.05)
    with (directory / "host.jsonl").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AuditUnavailableError, match="lock of host.jsonl"):
            open_journal(directory, clock=clock)


# Crashes

WRITER = """
    import sys
    from pathlib import Path
    from safeconsole.clock import SystemClock
    from safeconsole.audit.journal import open_journal
    from safeconsole.audit.record import Ended, Intent, Noticed
    journal = open_journal(Path(sys.argv[1]), clock=SystemClock(), session=sys.argv[2])
    number = 0
    while True:
        number += 1
        journal.append(Noticed(what="x" * 200))
        journal.append(Intent(statement=number, sql="SELECT 1", digest="d", node="n", server="s", role="replica",
            account="read", read_only=True, guards={}, limits={}), durable=True)
        print(number, flush=True)
        journal.append(Ended(statement=number, outcome="done"))
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_promised(directory, told):
    """Real processes, killed after a while that differs from one to the next."""
    promised = {}
    for turn in range(12):
        process = run(WRITER, directory, f"s{turn}")
        process.stdout.readline()
        time.sleep(0.002 * turn)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.communicate()
        promised[f"s{turn}"] = int(rest[-1]) if rest else 1
    archive = open_archive(directory)
    for session, number in promised.items():
        records = [entry.record for entry in archive.entries(session)]
        assert sum(type(record).__name__ == "Intent" for record in records) >= number
    unsettled = [finding for finding in archive.verify() if "torn" not in finding.what]
    assert unsettled == []
    told.write_session(directory, SystemClock())
    assert archive.verify() == ()
    events = [anchor.event for anchor in anchors(directory)]
    assert events.count(AnchorEvent.ABANDONED) == 12


def test_an_intent_without_an_outcome_is_unknown_when_the_console_is_dead_and_under_way_when_it_lives(directory, told):
    process = run(
        WRITER.replace("print(number", "print(number, flush=True); sys.stdin.read(1); print(number"),
        directory,
        "s",
        stdin=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdin.write("x")
    archive = open_archive(directory)
    assert [summary.unknown for summary in archive.sessions()] == [0]
    process.kill()
    process.communicate()
    (summary,) = archive.sessions()
    assert (summary.unknown, summary.closed) == (1, "")


def test_a_torn_last_line_is_recovered_marked_and_settled_by_the_next_session(directory, clock, told):
    journal = told.write_session(directory, clock, session="torn", close=False)
    whole = journal.path.read_bytes()
    os.close(journal._descriptor)  # the process is gone, and its lock with it
    journal.path.write_bytes(whole + whole[:80])
    archive = open_archive(directory)
    (summary,) = archive.sessions()
    assert "torn" in summary.trouble
    assert len(list(archive.entries("torn"))) == whole.count(b"\n")
    (finding,) = archive.verify()
    assert (finding.session, finding.number) == ("torn", whole.count(b"\n"))
    told.write_session(directory, clock, session="next")
    assert archive.verify() == ()
    journal.path.write_bytes(whole + whole[:81])
    assert [finding.session for finding in archive.verify()] == ["torn"]


def test_a_torn_host_log_is_mended_by_the_next_session_and_still_holds(directory, clock, told):
    told.write_session(directory, clock, session="one")
    log = directory / "host.jsonl"
    log.write_bytes(log.read_bytes() + b'{"version":1,"numb')
    archive = open_archive(directory)
    assert "torn" in archive.verify()[0].what
    told.write_session(directory, clock, session="two")
    assert archive.verify() == ()


def test_fifty_sessions_at_once_lose_nothing(directory):
    """Fifty journals in ten processes of five threads each, all with checkpoints."""
    code = """
    import sys, threading
    from pathlib import Path
    from safeconsole.clock import SystemClock
    from safeconsole.audit.journal import open_journal
    from safeconsole.audit.record import Noticed
    def one(name):
        journal = open_journal(Path(sys.argv[1]), clock=SystemClock(), session=name)
        for number in range(200):
            journal.append(Noticed(what=f"{name} {number}"), durable=number % 70 == 69)
        journal.close()
    threads = [threading.Thread(target=one, args=(f"p{sys.argv[2]}-t{n}",)) for n in range(5)]
    [t.start() for t in threads]; [t.join() for t in threads]
    """
    processes = [run(code, directory, number) for number in range(10)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
    archive = open_archive(directory)
    summaries = archive.sessions()
    assert len(summaries) == 50
    for summary in summaries:
        told = [entry.record.what for entry in archive.entries(summary.session)]
        assert told == [f"{summary.session} {number}" for number in range(200)]
    assert archive.verify() == ()
    assert len(anchors(directory)) == 50 * 4


def test_several_threads_write_to_one_journal_without_interleaving(directory, clock):
    import threading

    journal = open_journal(directory, clock=SystemClock(), session="s")
    threads = [
        threading.Thread(target=lambda: [journal.append(Noticed(what="x" * 300)) for _ in range(200)]) for _ in range(4)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    journal.close()
    assert len(list(open_archive(directory).entries("s"))) == 800
    assert open_archive(directory).verify() == ()


def test_a_closed_journal_takes_nothing_more_and_closes_once(directory, clock):
    journal = open_journal(directory, clock=clock)
    journal.close()
    journal.close()
    with pytest.raises(AuditUnavailableError, match="closed"):
        journal.append(Noticed(what="late"))


def test_a_session_found_dead_is_settled_once(directory, clock, told):
    journal = told.write_session(directory, clock, session="dead", close=False)
    os.close(journal._descriptor)
    for _ in range(3):
        told.write_session(directory, clock)
    assert [anchor.session for anchor in anchors(directory) if anchor.event is AnchorEvent.ABANDONED] == ["dead"]


def test_a_living_session_is_not_settled(directory, clock, told):
    told.write_session(directory, clock, session="alive", close=False)
    told.write_session(directory, clock)
    assert AnchorEvent.ABANDONED not in [anchor.event for anchor in anchors(directory)]


def test_what_need_not_be_durable_is_added_to_the_host_log_without_a_sync(directory, clock, told, monkeypatch):
    told.write_session(directory, clock)
    log, synced = HostLog(directory, clock), []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, synced.append)
    log.add(AnchorEvent.CHECKPOINT, "s", count=1, head="h")
    assert synced == []
    log.add(AnchorEvent.CLOSED, "s", count=1, head="h", durable=True)
    assert len(synced) == 1


def test_nobody_waits_for_another_consoles_sync_of_the_host_log(directory, clock, monkeypatch):
    log = HostLog(directory, clock)
    directory.mkdir()
    free = []
    real = os.fdatasync

    def looks(descriptor):
        with (directory / "host.jsonl").open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(True)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", looks)
    log.add(AnchorEvent.CLOSED, "s", count=1, head="h", durable=True)
    assert free == [True]


def test_an_open_session_is_settled_in_no_other_way_than_by_its_lock(directory, clock, told):
    """A session that ended between the look and the lock is not nailed down twice."""
    for _ in range(3):
        told.write_session(directory, clock)
    assert [anchor.event for anchor in anchors(directory)] == [AnchorEvent.OPENED, AnchorEvent.CLOSED] * 3


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
@pytest.mark.parametrize("name", ["", "sessions", "host.jsonl"])
def test_a_journal_that_others_can_change_is_not_begun(directory, clock, name, mode):
    open_journal(directory, clock=clock).close()
    place = directory / name if name else directory
    place.chmod(mode)
    with pytest.raises(AuditUnavailableError, match="others than this account can change") as caught:
        open_journal(directory, clock=clock)
    assert "go-w" in caught.value.instead
    place.chmod(0o750 if place.is_dir() else 0o640)
    open_journal(directory, clock=clock).close()
