"""The audit commands, over real journals in a temporary directory."""

import csv
import io
import json
import os
import re
import shutil
import socket
from typing import ClassVar

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from safeconsole.audit.archive import LocalArchive, open_archive
from safeconsole.audit.journal import open_journal
from safeconsole.config.identity import Person
from safeconsole.config.settings import AuditSettings, Settings, SinkSettings
from safeconsole.audit.recording import open_recording
from safeconsole.audit.signing import load_signer
from safeconsole.audit.review import open_reviews
from safeconsole.errors import ConfigurationError
from safeconsole.audit.record import (
    Asked,
    Decided,
    ElevationChanged,
    Ended,
    Intent,
    Noticed,
    SessionClosed,
    SessionOpened,
)
from safeconsole.audit.record import TERMINAL_RECORDED
from safeconsole.config.settings import AuditSettings, RecordingSettings
from safeconsole.cli.audit import audit
from safeconsole.audit.recording import tame

# A command keeps what it was first asked under: another test must not find it without -h.
AS_IN_THE_PROGRAM = {"help_option_names": ["-h", "--help"]}


class Clock:
    """Half past eleven on the seventh; a second a look."""

    def __init__(self):
        self.seconds = 0

    def monotonic(self):
        return float(self.seconds)

    def utc(self):
        self.seconds += 1
        return f"2026-11-07T11:{30 + self.seconds // 60:02d}:{self.seconds % 60:02d}.000000Z"


def opened(person, cluster):
    return SessionOpened(
        person=person, login="ops", groups=("dba",), host="laptop", origin="10.0.0.9", agent="", face="sql", cluster=cluster,
        environment="production", policy="baseline", policy_hash="c0ffee", program="safeconsole 0.1",
    )  # fmt: skip


def walk(journal, number, sql, *, tables=(), verdict="allow", outcome="done", elevation="", **ended):
    journal.append(
        Asked(statement=number, sql=sql, digest="d", kind="select", effects=("read",), tables=tables, hazards=())
    )
    journal.append(Decided(statement=number, verdict=verdict, rules=("r1",), policy="baseline", route="replica", node="replica-1",
                           server="u", facts={}, limits={}, message="because" if verdict != "allow" else ""))  # fmt: skip
    if outcome == "refused":
        journal.append(Ended(statement=number, outcome="refused", message="denied"))
        return
    journal.append(Intent(statement=number, sql=sql, digest="d", node="replica-1", server="u", role="replica", account="read",
                          read_only=True, guards={"max_execution_time": "30000"}, limits={}, elevation=elevation), durable=True)  # fmt: skip
    if outcome != "none":
        journal.append(Ended(statement=number, outcome=outcome, **ended))


@pytest.fixture
def run(tmp_path):
    directory, clock = tmp_path / "audit", Clock()
    one = open_journal(directory, clock=clock, session="aa11")
    one.append(opened("ana", "shop"))
    walk(one, 1, "SELECT * FROM orders", tables=("shop.orders",), rows=5, elapsed_seconds=0.0123)
    walk(one, 2, "DROP TABLE `orders`\n-- \x1b[31mred", tables=("shop.orders",), verdict="deny", outcome="refused")
    one.append(SessionClosed(statements=2))
    one.close()
    two = open_journal(directory, clock=clock, session="bb22")
    two.append(opened("ben", "till"))
    two.append(ElevationChanged(id="e1", state="granted", event="self-approved", scope="break-glass", cluster="till",
                                reason="stuck payments", ticket="INC-7", digest="", server="", window_seconds=900.0))  # fmt: skip
    walk(
        two,
        1,
        "UPDATE payments SET a = 1",
        tables=("till.payments",),
        verdict="elevate",
        elevation="e1",
        changed_rows=3,
    )
    walk(two, 2, "SELECT 1", outcome="none")
    two.close()

    class App:
        def __init__(self, by):
            self.by = by

        def archive(self):
            return open_archive(directory)

        def reviews(self):
            return open_reviews(directory, by=self.by, clock=clock)

        environ: ClassVar = {}
        person = Person(name="cleo", login="cleo", groups=(), host="here")

        def settings(self):
            return Settings(audit=AuditSettings(sinks=sinks))

        def audit_directory(self, _person):
            return directory

    App.clock = clock
    sinks = {}

    def invoke(*args, code=0, by="cleo"):
        result = CliRunner().invoke(audit, args, obj=App(by), **AS_IN_THE_PROGRAM)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        invoke.messages, invoke.written = result.stderr, result.stdout_bytes
        return result.stdout

    def in_bytes(*args):
        invoke(*args)
        return invoke.written

    invoke.bytes = in_bytes
    invoke.directory = directory
    invoke.sinks = sinks
    return invoke


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def test_list_shows_every_session_with_what_happened_in_it(run):
    assert rows(run("list", "--format", "jsonl")) == [
        {"session": "aa11", "opened": "2026-11-07T11:30:03.000000Z", "closed": rows(run("list", "--format", "jsonl"))[0]["closed"], "person": "ana",
         "cluster": "shop", "face": "sql", "statements": 2, "changed_rows": 0, "refused": 1, "failed": 0, "stopped": 0, "elevated": 0, "unknown": 0, "trouble": ""},
        {"session": "bb22", "opened": rows(run("list", "--format", "jsonl"))[1]["opened"], "closed": "never", "person": "ben",
         "cluster": "till", "face": "sql", "statements": 2, "changed_rows": 3, "refused": 0, "failed": 0, "stopped": 0, "elevated": 1, "unknown": 1, "trouble": ""},
    ]  # fmt: skip
    assert "aa11" in run("list")


@pytest.mark.parametrize("command", [("list",), ("search", "SELECT"), ("review",)])
def test_what_a_person_scans_has_a_line_a_row(run, command):
    listed = run(*command).splitlines()
    counted = len(rows(run(*command, "--format", "jsonl")))
    assert len(listed) == counted + 2
    assert all(len(line) <= 100 for line in listed)


def test_list_names_only_what_there_was(run):
    one, other = run("list").splitlines()[2:]
    assert one.split("sql", 1)[1].strip() == "2, 1 refused"
    assert other.split("sql", 1)[1].strip() == "2, 1 elevated, 1 unknown, 3 rows changed"
    assert "no end" in other


def test_list_can_be_narrowed(run):
    assert [row["session"] for row in rows(run("list", "--person", "ben", "--format", "jsonl"))] == ["bb22"]
    assert [row["session"] for row in rows(run("list", "--cluster", "shop", "--format", "jsonl"))] == ["aa11"]
    assert [row["session"] for row in rows(run("list", "--limit", "1", "--format", "jsonl"))] == ["bb22"]
    assert len(rows(run("list", "--limit", "0", "--format", "jsonl"))) == 2


def test_show_tells_a_session_as_a_story(run):
    told = run("show", "bb")
    assert [line[27:] for line in told.splitlines()][:4] == [
        "ben as ops on laptop from 10.0.0.9 opened sql on till",
        "environment production, groups dba",
        "policy baseline c0ffee, safeconsole 0.1",
        "elevation e1 granted for break-glass, 900 s, on till: self-approved",
    ]
    assert "reason: stuck payments (INC-7)" in told
    assert "sent to replica-1 (replica, u) as read, read-only, elevated by e1" in told
    assert "guards read back: max_execution_time=30000" in told
    assert "#1 done: 0 rows in 0.000 s, 3 rows changed" in told
    last = told.splitlines()[-1]
    assert "! #2 was sent at" in last
    assert "(unknown)" in last


def test_show_gives_hostile_text_no_way_to_the_terminal(run):
    told = run("show", "aa11")
    assert "\x1b" not in told
    assert "> #2 asked: DROP TABLE `orders`\n" in told
    assert "-- \\x1b[31mred" in told


def test_show_writes_rows_too(run):
    entries = rows(run("show", "aa11", "--format", "jsonl"))
    assert [entry["type"] for entry in entries] == [
        "session-opened", "asked", "decided", "intent", "outcome", "asked", "decided", "outcome", "session-closed",
    ]  # fmt: skip
    assert len({entry["hash"] for entry in entries}) == 9


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), ["aa11#1", "aa11#2", "bb22#1", "bb22#2"]),
        (("drop",), ["aa11#2"]),
        (("STUCK",), ["bb22#1"]),
        (("--person", "Ana"), ["aa11#1", "aa11#2"]),
        (("--person", "ops"), ["aa11#1", "aa11#2", "bb22#1", "bb22#2"]),
        (("--cluster", "till"), ["bb22#1", "bb22#2"]),
        (("--table", "orders"), ["aa11#1", "aa11#2"]),
        (("--table", "shop.orders"), ["aa11#1", "aa11#2"]),
        (("--table", "till.orders"), []),
        (("--ticket", "INC-7"), ["bb22#1"]),
        (("--verdict", "deny"), ["aa11#2"]),
        (("--outcome", "unknown"), ["bb22#2"]),
        (("--session", "bb"), ["bb22#1", "bb22#2"]),
        (("--since", "2026-11-07T11:30:07"), ["aa11#2", "bb22#1", "bb22#2"]),
        (("--until", "2026-11-07T11:30:04"), ["aa11#1"]),
        (("--until", "2026-11-07"), ["aa11#1", "aa11#2", "bb22#1", "bb22#2"]),
        (("--until", "2026-11-06"), []),
        (("--since", "1w", "--until", "2000-01-01"), []),
        (("select", "--person", "ana", "--outcome", "done"), ["aa11#1"]),
    ],
)
def test_search_finds_by_all_that_is_asked(run, args, expected):
    found = rows(run("search", *args, "--format", "jsonl"))
    assert [f"{row['session']}#{row['statement']}" for row in found] == expected


def test_search_writes_csv_that_a_spreadsheet_reads(run):
    (head, row) = list(csv.reader(io.StringIO(run("search", "drop", "--format", "csv"))))
    assert dict(zip(head, row, strict=True))["sql"] == "DROP TABLE `orders`\n-- \x1b[31mred"


def test_a_time_that_is_none_is_said(run):
    assert CliRunner().invoke(audit, ["search", "--since", "yesterday"], obj=None, **AS_IN_THE_PROGRAM).exit_code == 2


def test_verify_says_that_everything_holds(run):
    assert run("verify") == "all intact: 2 sessions checked\n"
    assert run("verify", "aa11") == "all intact: aa11 checked\n"
    assert run("verify", "--format", "jsonl") == ""


def test_verify_names_the_first_record_that_does_not_hold_and_fails(run):
    path = next((run.directory / "sessions").glob("*aa11*"))
    path.write_bytes(path.read_bytes().replace(b"SELECT * FROM orders", b"SELECT * FROM ardens"))
    assert run("verify", code=1) == "session aa11, record 1 is invalid: its text does not match its hash\n"
    assert rows(run("verify", "--format", "jsonl", code=1)) == [
        {"session": "aa11", "number": 1, "what": "its text does not match its hash"}
    ]
    path.unlink()
    assert "its file is gone" in run("verify", code=1)
    log = run.directory / "host.jsonl"
    log.write_bytes(log.read_bytes().replace(b"aa11", b"cc33", 1))
    assert "line 0 of the host log is invalid" in run("verify", code=1)


def test_an_unknown_session_is_an_error_with_a_way_out(run):
    with pytest.raises(ConfigurationError) as caught:
        run("show", "zz")
    assert "audit list" in caught.value.instead


def queue(run, *args):
    return {row["session"]: row for row in rows(run("review", *args, "--format", "jsonl"))}


def test_the_queue_holds_what_somebody_else_must_look_at(run):
    waiting = queue(run)
    assert {name: (row["state"], row["reasons"], row["waits_for"]) for name, row in waiting.items()} == {
        "aa11": ("pending", "refused by a deny rule", "a reviewer"),
        "bb22": ("pending", "elevated, outcome unknown", "ben"),
    }


def test_a_session_is_approved_by_somebody_else_and_leaves_the_queue(run):
    with pytest.raises(ConfigurationError, match="ana is its person"):
        run("review", "aa11", "--approve", by="ana")
    assert run("review", "aa", "--approve", "--note", "harmless") == "session aa11: approve by cleo\n"
    assert list(queue(run)) == ["bb22"]
    assert queue(run, "--all")["aa11"]["note"] == "harmless"
    assert run("verify").startswith("all intact")


def test_a_broken_glass_waits_for_the_closing_note_of_its_person(run):
    with pytest.raises(ConfigurationError, match="ben has not written its closing note"):
        run("review", "bb22", "--approve")
    run("review", "bb22", "--note", "somebody else's words")
    assert queue(run)["bb22"]["waits_for"] == "ben"
    run("review", "bb22", "--note", "payments were stuck, three rows freed", by="ben")
    assert queue(run)["bb22"]["waits_for"] == "a reviewer"
    run("review", "bb22", "--approve")
    assert list(queue(run)) == ["aa11"]


def test_a_flag_needs_a_note_and_stays_in_the_queue(run):
    with pytest.raises(ConfigurationError, match="a note is required"):
        run("review", "aa11", "--flag")
    run("review", "aa11", "--flag", "--note", "why a DROP?")
    assert (queue(run)["aa11"]["state"], queue(run)["aa11"]["note"]) == ("flagged", "why a DROP?")
    run("review", "aa11", "--approve")
    assert "aa11" not in queue(run)


def test_a_review_says_what_is_missing(run):
    for args, why in [
        (("aa11",), "give --approve, --flag or --note"),
        (("--approve",), "which session"),
        (("zz", "--approve"), "does not exist"),
    ]:
        with pytest.raises(ConfigurationError, match=why):
            run("review", *args)


def test_a_review_that_was_removed_or_changed_is_found(run):
    run("review", "aa11", "--flag", "--note", "why a DROP?")
    run("review", "bb22", "--flag", "--note", "and this?")
    book = run.directory / "reviews.jsonl"
    whole = book.read_bytes()
    book.write_bytes(whole.splitlines(keepends=True)[0])
    assert "session bb22: the review that the host log saw" in run("verify", code=1)
    book.write_bytes(whole.replace(b"why a DROP", b"what a DROP"))
    assert "line 0 of the review book is invalid" in run("verify", code=1)
    book.unlink()
    assert "session aa11: the review that the host log saw" in run("verify", code=1)


def test_export_writes_every_field_of_every_statement(run):
    first, *rest = rows(run("export"))
    assert len(rest) == 3
    assert first["tables"] == ["shop.orders"]
    assert (first["person"], first["origin"], first["rows"], first["outcome"]) == ("ana", "10.0.0.9", 5, "done")
    (row,) = list(csv.DictReader(io.StringIO(run("export", "--ticket", "INC-7", "--format", "csv"))))
    assert (row["reason"], row["tables"], row["changed_rows"]) == ("stuck payments", "till.payments", "3")
    assert set(row) == set(first)


def test_export_writes_events_that_a_siem_reads(run):
    events = {event["metadata"]["uid"]: event for event in rows(run("export", "--format", "ocsf"))}
    assert set(events) == {"aa11/1", "aa11/2", "bb22/1", "bb22/2"}
    event = events["bb22/1"]
    assert (event["class_uid"], event["category_uid"], event["type_uid"]) == (6005, 6, 600500 + event["activity_id"])
    assert (event["status_id"], event["severity_id"], event["actor"]["user"]["name"]) == (1, 3, "ben")
    assert event["src_endpoint"] == {"hostname": "laptop", "ip": "10.0.0.9"}
    assert event["database"]["name"] == "till"
    assert event["query_info"]["query_string"] == "UPDATE payments SET a = 1"
    assert event["unmapped"]["ticket"] == "INC-7"
    assert events["bb22/2"]["status"] == "Unknown"
    assert events["aa11/2"]["status"] == "Failure"
    # 2026-11-07T11:30:00Z is 1794051000 s.
    assert 1_794_051_000_000 < event["time"] <= event["start_time"] <= event["end_time"] < 1_794_051_060_000
    required = {
        "activity_id",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "time",
        "type_uid",
        "actor",
        "src_endpoint",
    }
    assert all(required <= set(event) for event in events.values())


def test_prune_packs_and_keeps_and_says_which(run):
    with pytest.raises(ConfigurationError, match="nothing to do"):
        run("prune")
    done = rows(run("prune", "--pack-before", "2026-12-01", "--format", "jsonl"))
    assert [(row["session"], row["act"]) for row in done] == [("aa11", "pack"), ("bb22", "pack")]
    kept = rows(run("prune", "--remove-before", "2026-12-01", "--dry-run", "--format", "jsonl"))
    assert [(row["act"], row["why"]) for row in kept] == [("keep", "its review is pending")] * 2
    assert run("verify") == "all intact: 2 sessions checked\n"


def test_replay_plays_what_the_terminal_showed(run):
    recording = open_recording(
        run.directory, "aa11", clock=Clock(), size=os.terminal_size((80, 24)), settings=RecordingSettings(keep="rows")
    )
    recording.output("\x1b[31mred\x1b[0m \x1b]0;owned\x07")
    recording.output("end")
    assert run("replay", "aa", "--speed", "1000") == "\x1b[31mred\x1b[0m end\n"
    with pytest.raises(ConfigurationError, match="no recording"):
        run("replay", "bb22")


def test_replay_says_when_a_recording_is_not_the_one_that_the_session_closed_with(run):
    settings = RecordingSettings(keep="rows")
    recording = open_recording(run.directory, "cc33", clock=Clock(), size=os.terminal_size((80, 24)), settings=settings)
    recording.output("shown")
    journal = open_journal(run.directory, clock=Clock(), session="cc33")
    journal.append(Noticed(what=TERMINAL_RECORDED, detail=recording.close()))
    journal.close()
    assert run("replay", "cc33", "--speed", "1000") == "shown\n"
    assert run.messages == ""
    path = run.directory / "recordings" / "cc33.cast"
    path.write_text(path.read_text().replace("shown", "forged"))
    assert run("replay", "cc33", "--speed", "1000") == "forged\n"
    assert run.messages.count("somebody changed it") == 2
    path.unlink()
    with pytest.raises(ConfigurationError, match="it is gone: somebody removed it"):
        run("replay", "cc33")


def test_replay_says_when_nothing_vouches_for_a_recording(run):
    settings = RecordingSettings(keep="rows")
    recording = open_recording(run.directory, "aa11", clock=Clock(), size=os.terminal_size((80, 24)), settings=settings)
    recording.output("shown")
    assert run("replay", "aa11", "--speed", "1000") == "shown\n"
    assert "has not closed with the digest" in run.messages


def test_replay_says_when_the_journal_that_vouches_for_it_does_not_hold(run):
    settings = RecordingSettings(keep="rows")
    recording = open_recording(run.directory, "cc33", clock=Clock(), size=os.terminal_size((80, 24)), settings=settings)
    recording.output("shown")
    journal = open_journal(run.directory, clock=Clock(), session="cc33")
    journal.append(Noticed(what=TERMINAL_RECORDED, detail=recording.close()))
    journal.close()
    digest = open_recording(run.directory, "x", clock=Clock(), size=os.terminal_size((80, 24)), settings=settings)
    digest.output("forged")
    told = digest.close()
    (run.directory / "recordings" / "x.cast").rename(run.directory / "recordings" / "cc33.cast")
    journal.path.write_bytes(
        re.sub(rb'"detail":"[0-9a-f]{64}"', b'"detail":"%b"' % told.encode(), journal.path.read_bytes())
    )
    assert run("replay", "cc33", "--speed", "1000") == "forged\n"
    assert "the journal of its session is invalid" in run.messages


@pytest.mark.parametrize(
    "attack",
    ["\x1b]52;c;aGk=\x07", "\x1b]0;t\x1b\\", "\x1bP1$q\x1b\\", "\x1b[6n", "\x1b[c", "\x1b[21t", "\x1b[?1000h", "\x9b6n", "\x1bc", "\x1b_x\x1b\\",
     "\x05", "\x1b[>q", "\x1b", "\x1b]8;;http://x"],
)  # fmt: skip
def test_a_recording_cannot_drive_the_terminal_it_is_played_on(attack):
    tamed = tame(f"a{attack}b")
    assert not set(tamed) & {"\x1b", "\x9b", "\x05", "\x07"}
    assert tamed.startswith("a")


def test_colour_movement_and_erasure_are_played():
    kept = "\x1b[1;31mx\x1b[0m\x1b[2K\x1b[1A\x1b[?25l\r\n\t\x08"
    assert tame(kept) == kept


def test_a_new_key_is_made_and_its_lines_printed(run, tmp_path):
    where = str(tmp_path / "key.pem")
    head, key, public = run("new-key", where).splitlines()
    assert (head, key) == ("[audit]", f'signing_key = "{where}"')
    assert public == f'public_keys = ["{load_signer(where).public}"]'


def test_a_new_key_for_literals_is_made_and_its_line_printed_without_the_key(run, tmp_path):
    where = tmp_path / "literals.key"
    printed = run("new-key", "--for", "literals", str(where))
    assert printed.splitlines() == ["[audit]", f'literal_key = "{where}"']
    assert where.read_text().strip() not in printed


def test_ship_says_what_each_sink_took_and_fails_when_one_did_not(run):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as siem:
        siem.bind(("127.0.0.1", 0))
        run.sinks["siem"] = SinkSettings(kind="syslog", address=f"udp://127.0.0.1:{siem.getsockname()[1]}")
        (told,) = rows(run("ship", "--format", "jsonl"))
    assert (told["sink"], told["trouble"]) == ("siem", "")
    assert told["lines"] > 3
    run.sinks["hook"] = SinkSettings(kind="syslog", address="tcp://127.0.0.1:1")
    assert "refused" in run("ship", code=1)


def test_a_search_reads_each_session_once_and_none_that_cannot_hold_it(run, monkeypatch):
    read = []
    whole = LocalArchive.entries
    monkeypatch.setattr(
        LocalArchive, "entries", lambda archive, session: read.append(session) or whole(archive, session)
    )
    monkeypatch.setattr(LocalArchive, "sessions", lambda _: pytest.fail("all of every session was read"))
    assert len(rows(run("search", "--format", "jsonl"))) == 4
    assert sorted(read) == ["aa11", "bb22"]
    read.clear()
    run("search", "--cluster", "till", "--format", "jsonl")
    run("search", "--until", "2020-01-01", "--format", "jsonl")
    run("search", "--session", "aa", "--format", "jsonl")
    assert read == ["bb22", "aa"]


def test_an_export_of_columns_holds_every_statement(run):
    table = parquet.read_table(io.BytesIO(run.bytes("export", "--format", "parquet")))
    assert [(row["session"], row["statement"], row["outcome"]) for row in table.to_pylist()] == [
        (row["session"], row["statement"], row["outcome"]) for row in rows(run("export"))
    ]


@pytest.mark.parametrize(
    "time", ["2026-11-07T11:30:60.000000Z", "yesterday", "", "0001-01-01T00:00:00+23:59", "2026-11-07"]
)
def test_a_time_that_somebody_wrote_into_a_file_is_shown_and_stops_nothing(run, time):
    path = next((run.directory / "sessions").glob("*aa11*"))
    path.write_bytes(re.sub(rb'"time":"[^"]*"', b'"time":"%s"' % time.encode(), path.read_bytes()))
    for words in (("list",), ("show", "aa11"), ("search",), ("verify",), ("review",)):
        run(*words, code=1 if words == ("verify",) else 0)
    for form in ("jsonl", "csv", "ocsf"):
        assert run("export", "--format", form)
    table = parquet.read_table(io.BytesIO(run.bytes("export", "--format", "parquet")))
    assert table.num_rows == len(rows(run("export")))


def test_a_session_that_cannot_be_read_does_not_keep_the_others_from_being_found(run):
    path = next((run.directory / "sessions").glob("*aa11*"))
    whole = path.read_bytes()
    path.write_bytes(b"".join(line for at, line in enumerate(whole.splitlines(keepends=True)) if at != 2))
    assert len(rows(run("search", "--format", "jsonl"))) == 4
    assert "session aa11 cannot be read completely, see audit verify: record 2 is not there" in run.messages
    path.unlink()
    path.mkdir()
    assert {row["session"] for row in rows(run("search", "--format", "jsonl"))} == {"bb22"}
    assert "session aa11 cannot be read completely" in run.messages
    assert {row["session"] for row in rows(run("export"))} == {"bb22"}
    assert "session aa11 cannot be read completely" in run.messages


def test_an_open_session_is_in_the_queue_and_waits_for_its_end(run):
    journal = open_journal(run.directory, clock=Clock(), session="cc33")
    journal.append(opened("ben", "till"))
    journal.append(ElevationChanged(id="e1", state="granted", event="self-approved", scope="break-glass", cluster="till",
                                    reason="stuck", ticket="", digest="", server="", window_seconds=900.0))  # fmt: skip
    waits = {row["session"]: row["waits_for"] for row in rows(run("review", "--format", "jsonl"))}
    assert waits == {"aa11": "a reviewer", "bb22": "ben", "cc33": "its end"}
    with pytest.raises(ConfigurationError, match="still open"):
        run("review", "cc33", "--flag", "--note", "x")
    journal.close()


def everything_sent(directory):
    """All lines, as a syslog daemon, a database and a careless pipe kept them."""
    lines = [
        line
        for path in (directory / "host.jsonl", *sorted((directory / "sessions").iterdir()))
        for line in path.read_bytes().splitlines()
    ]
    told = [
        b'<109>1 2026-11-07T11:30:01Z laptop safeconsole 7 asked [safeconsole@32473 stream="aa11"] ' + line
        for line in lines
    ]
    return [line + b"\n" for line in (*told[: len(told) // 2], *lines[len(told) // 2 :], b"", lines[0][:200])]


def test_a_copy_elsewhere_shows_a_history_that_was_begun_anew(run, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(b"".join(everything_sent(run.directory)))
    assert run("verify", "--against", str(copy)) == "all intact: 2 sessions checked\n"
    assert "lines of the copy; 1 line cannot be compared" in run.messages
    shutil.rmtree(run.directory)
    journal = open_journal(run.directory, clock=Clock(), session="dd44")
    journal.append(opened("ana", "shop"))
    journal.close()
    assert run("verify") == "all intact: 1 session checked\n"
    told = run("verify", "--against", str(copy), code=1)
    assert "line 0 of the host log is invalid: a copy elsewhere holds a line that is not here (opened aa11)" in told
    assert "session bb22, record 0 is invalid: a copy elsewhere holds a record that is not here" in told


def test_an_end_that_nothing_outside_proves_is_told(run, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(b"".join(everything_sent(run.directory)))
    assert run("verify", "--format", "jsonl") == ""
    assert "nothing outside this journal proves its end" in run.messages
    assert run("verify", "--against", str(copy)) == "all intact: 2 sessions checked\n"
    assert "proves" not in run.messages
    journal = open_journal(run.directory, clock=Clock(), session="dd44")
    journal.append(opened("ana", "shop"))
    journal.close()
    assert run("verify", "--against", str(copy)) == "all intact: 3 sessions checked\n"
    assert "the copy does not reach the last 2 lines of the host log: nothing outside proves them" in run.messages


def test_what_retention_took_is_not_missed_in_a_copy(run, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(b"".join(everything_sent(run.directory)))
    run("review", "aa11", "--approve")
    run("prune", "--remove-before", "2026-12-01")
    assert rows(run("list", "--format", "jsonl"))[0]["session"] == "bb22"
    assert run("verify", "--against", str(copy)) == "all intact: 1 session checked\n"


def test_a_copy_that_is_none_is_refused(run, tmp_path):
    (tmp_path / "copy").write_text("hello\n{}\n")
    with pytest.raises(ConfigurationError, match="no line of a journal"):
        run("verify", "--against", str(tmp_path / "copy"))


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_what_was_asked_drives_no_terminal_and_reaches_a_program_as_it_was(run, monkeypatch, form):
    assert "\x1b[31mred" in run("search", "DROP", "--format", form)
    assert "\x1b[31mred" in run("export", "DROP", "--format", "csv")
    monkeypatch.setattr("safeconsole.cli.rows._is_terminal", lambda: True)
    for told in (run("search", "DROP", "--format", form), run("export", "DROP", "--format", "csv")):
        assert "\x1b" not in told
        assert r"\x1b[31mred" in told
