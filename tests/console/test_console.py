"""The console from the first key to the last, over a gate without servers."""

import fcntl
import io
import re
import json
import os
import stat
from msgspec.structs import replace

import pytest

from safeconsole.errors import StoppedError
from safeconsole.policy.limits import Limits
from safeconsole.console.console import INTERRUPTED
from safeconsole.console.running import paged
from safeconsole.output.text import StreamStyle
from safeconsole.output.presenting import Screen

ROWS = [{"id": 1, "status": "new"}, {"id": 2, "status": None}]
SELECT = "SELECT * FROM orders LIMIT 2"
ANSWERS = {
    SELECT: ROWS,
    "SELECT 1": [{"1": 1}],
    "SELECT 2": [{"2": 2}],
    "SELECT\n1": [{"1": 1}],
    "SELECT\n2": [{"2": 2}],
    "UPDATE orders SET status = 'x' WHERE id = 1": [],
}


def test_a_read_shows_rows_and_where_they_came_from(sitting):
    console = sitting(ANSWERS)
    assert console.type(f"{SELECT};\r") == 0
    assert console.session.sent == [SELECT]
    assert console.data.getvalue() == "id  status\n--  ------\n 1  new\n 2  NULL\n"
    assert console.messages.getvalue() == "2 rows, 2 ms, replica-1 (replica)\n"


def test_enter_makes_a_new_line_until_the_statement_is_complete(sitting):
    console = sitting(ANSWERS)
    console.type("SELECT\r1\r;\r")
    assert [text.split() for text in console.session.sent] == [] or console.session.sent == ["SELECT\n1"]


def test_a_command_below_an_unfinished_statement_is_run_and_the_statement_stays(sitting):
    console = sitting(ANSWERS)
    console.type("SELECT\r\\timeout 5\r1;\r")
    assert console.session.sent == ["SELECT\n1"]
    assert "a statement may run 5 s" in console.messages.getvalue()
    console.type("SELECT\r\\locsk\r2\x1b\r")
    assert console.session.sent[1:] == ["SELECT\n2"]
    assert "no command \\locsk: perhaps \\locks" in console.messages.getvalue()


def test_escape_enter_sends_what_stands_there(sitting):
    console = sitting(ANSWERS)
    console.type("SELECT 1\x1b\r")
    assert console.session.sent == ["SELECT 1"]


def test_control_c_clears_the_line_and_stays(sitting):
    console = sitting(ANSWERS)
    console.type("SELECT 9\x03SELECT 1;\r")
    assert console.session.sent == ["SELECT 1"]


@pytest.mark.parametrize("word", ["exit", "quit", "\\q", "\\quit", "exit;"])
def test_every_usual_word_leaves(word, sitting):
    console = sitting(ANSWERS)
    assert console.type(f"{word}\rSELECT 1;\r") == 0
    assert console.session.sent == []


def test_a_refusal_explains_and_says_how_to_go_on(sitting, golden):
    console = sitting(ANSWERS)
    console.type("UPDATE orders SET status = 'x' WHERE id = 1;\r")
    assert console.session.sent == []
    golden("console.refused.txt", console.messages.getvalue())
    assert "\\elevate REASON" in console.messages.getvalue()


def test_a_denial_offers_no_elevation(sitting):
    console = sitting(ANSWERS)
    console.type("\\use replica\rUPDATE orders SET status = 'x' WHERE id = 1;\r")
    assert console.session.sent == []
    assert "instead: send it to the primary" in console.messages.getvalue()
    assert "\\elevate" not in console.messages.getvalue()


def test_an_elevation_runs_nothing_by_itself(sitting):
    console = sitting(ANSWERS)
    update = "UPDATE orders SET status = 'x' WHERE id = 1;\r"
    console.replies = ["INC-7"]
    console.type(f"{update}\\elevate stuck order\r")
    assert console.session.elevation.request.reason == "stuck order"
    assert console.session.elevation.request.ticket == "INC-7"
    assert console.session.sent == []
    console.type(f"{update}\\stand-down\r{update}")
    assert console.session.sent == [update[:-2]]
    assert console.session.elevation is None


def test_an_elevation_without_a_reason_is_asked_for_one(sitting):
    console = sitting(ANSWERS)
    console.replies = ["because", ""]
    console.type("\\elevate --for 5\r")
    assert console.questions == ["reason: ", "ticket (Enter for none): "]
    assert console.session.elevation.request.window_seconds == 300
    console = sitting(ANSWERS)
    console.replies = ["  "]
    console.type("\\elevate\r")
    assert console.session.elevation is None
    assert "an elevation needs a reason" in console.messages.getvalue()


def test_an_interrupted_question_elevates_nothing(sitting):
    console = sitting(ANSWERS)
    assert console.type("\\elevate\rSELECT 1;\r") == 0
    assert console.session.elevation is None
    assert console.session.sent == ["SELECT 1"]


def test_a_reason_with_an_apostrophe_is_a_reason(sitting):
    console = sitting(ANSWERS)
    console.replies = [""]
    console.type("\\elevate --ticket INC-9 don't wait\r")
    assert (console.session.elevation.request.reason, console.session.elevation.request.ticket) == (
        "don't wait",
        "INC-9",
    )


PASTE = "\x1b[200~SELECT 1;\nSELECT 2;\nUPDATE orders SET status = 'x' WHERE id = 1;\n\x1b[201~"


def test_a_pasted_script_is_shown_before_anything_runs(sitting, golden):
    console = sitting(ANSWERS)
    console.type(f"{PASTE}\r")
    assert console.session.sent == []
    golden("console.pasted.txt", console.messages.getvalue())
    assert console.questions == ['run them in this order? type "yes": ']


def test_a_script_stops_at_the_first_that_fails(sitting):
    console = sitting(ANSWERS)
    console.replies = ["yes"]
    script = PASTE.replace("SELECT 2;", "UPDATE orders SET status = 'x' WHERE id = 1;")
    console.type(f"{script}\r")
    assert console.session.sent == ["SELECT 1"]
    assert "1 statement after it was not run" in console.messages.getvalue()


def test_harmless_statements_typed_together_are_listed_and_run(sitting):
    console = sitting(ANSWERS)
    console.type("SELECT 1; SELECT 2;\r")
    assert console.questions == []
    assert console.session.sent == ["SELECT 1", "SELECT 2"]
    assert "2 statements, the strictest verdict is allow:" in console.messages.getvalue()


def test_a_stopped_statement_leaves_the_console_open(sitting):
    stopped = StoppedError("stopped by you on replica-1", by="person", verified="killed")
    console = sitting({**ANSWERS, "SELECT 1": stopped})
    console.type("SELECT 1;\rSELECT 2;\r")
    assert "safeconsole: stopped by you on replica-1\n" in console.messages.getvalue()
    assert console.session.sent == ["SELECT 1", "SELECT 2"]


def test_who_pressed_again_while_it_was_stopped_leaves(sitting):
    stopped = StoppedError("stopped by you on replica-1", by="person", verified="killed", leaving=True)
    console = sitting({**ANSWERS, "SELECT 1": stopped})
    assert console.type("SELECT 1;\rSELECT 2;\r") == INTERRUPTED
    assert "safeconsole: stopped by you on replica-1\n" in console.messages.getvalue()
    assert console.session.sent == ["SELECT 1"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ZeroDivisionError("oops")])
def test_a_fault_is_shown_and_the_console_goes_on(fault, sitting):
    console = sitting({**ANSWERS, "SELECT 1": fault})
    console.type("SELECT 1;\rSELECT 2;\r")
    assert console.session.sent == ["SELECT 1", "SELECT 2"]
    assert "Traceback" not in console.messages.getvalue()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("\\why\r", "nothing was asked yet"),
        ("\\nonsense\r", "no command \\nonsense: \\help lists them"),
        ("\\lcoks\r", "no command \\lcoks: perhaps \\locks; \\help lists them"),
        ("\\conninfo\r", "\\conninfo is not available here; instead: \\status, and \\topology for every node"),
        ("\\d+ orders\r", "\\d+ is not available here; instead: \\d TABLE for columns"),
        ("\\du\r", "\\du is not available here; instead: SHOW GRANTS;"),
        ("\\i x.sql\r", "\\i is not available here; instead: "),
        ("\\! ls\r", "\\! is not available here; instead: use another terminal"),
        ("source /tmp/x.sql\r", "source is not available here; instead: safeconsole sql CLUSTER -f FILE in a shell"),
        ("pager less -S\r", "pager is not available here; instead: \\pager COMMAND"),
        ("\\use nowhere\r", "shop has no node nowhere"),
        ("\\use primary\r", "statements go to: primary"),
        ("\\use\r", "the console chooses"),
        ("\\timeout 5\r", "a statement may run 5 s"),
        ("\\timeout x\r", "\\timeout needs seconds, not x"),
        ("\\timeout nan\r", "\\timeout needs seconds, not nan"),
        ("\\timeout 1e9\r", "run_seconds: the policy allows 3600.0 at most"),
        ("\\rows 50\r", "50 rows are shown, 50 are fetched"),
        ("\\bytes 1.5M\r", "1.5 MiB are fetched"),
        ("\\bytes many\r", "not a size: give bytes, or a number with K, M, G or T"),
        ("\\format csv\r", "rows are written as csv"),
        ("\\format xml\r", "no format xml: one of table"),
        ("\\capacity\r", "safeconsole capacity shop"),
        ("\\explain\r", "there is no statement yet"),
        ("\\di\r", "\\di needs the name of a table"),
        ("\\u\r", "\\u needs the name of a schema"),
        ("\\size\r", "\\size needs the name of a table"),
        ("\\size it's\r", "the name of that table holds a quote or a backslash"),
        ("\\processlist\r", "a file has no sessions"),
        ("\\locks\r", "a file has no sessions"),
        ("\\keys vi\r", "the prompt has the keys of vi"),
        ("\\export\r", "\\export needs the name of a file"),
    ],
)
def test_a_command_answers_in_one_clear_line(typed, said, sitting):
    console = sitting(ANSWERS)
    assert console.type(typed) == 0
    assert said in console.messages.getvalue()
    assert console.messages.getvalue().count("\n") <= 2


def test_every_command_is_recorded(sitting):
    console = sitting(ANSWERS)
    console.type("\\use primary\r\\help\r")
    assert console.session.notes == [("command", "\\use primary"), ("command", "\\help")]


def test_the_sql_of_a_command_is_recorded_as_what_it_is(sitting):
    console = sitting(ANSWERS)
    console.type(f"\\explain {SELECT}\r\\edit\r\\export /nowhere/x.csv {SELECT}\r")
    assert console.session.notes == [
        ("command", "\\explain", SELECT),
        ("command", "\\edit"),
        ("command", "\\export /nowhere/x.csv", SELECT),
    ]


def test_why_shows_the_evidence_of_the_last_decision(sitting, golden):
    console = sitting(ANSWERS)
    console.type("SELECT 1;\r\\why\r")
    # Where a rule stands in its file is not what this is about.
    golden("console.why.txt", re.sub(r"line \d+", "line N", console.data.getvalue()))


def test_the_format_holds_for_what_follows(sitting):
    console = sitting(ANSWERS)
    console.type(f"\\format jsonl\r{SELECT};\r")
    assert console.data.getvalue() == '{"id":1,"status":"new"}\n{"id":2,"status":null}\n'


def test_backslash_g_at_the_end_turns_the_result(sitting):
    console = sitting({**ANSWERS, SELECT: ROWS})
    console.type(f"{SELECT}\\G\r")
    assert console.data.getvalue().startswith("*************** 1. row ***************\n    id: 1\n")


def test_the_last_statement_can_be_turned_afterwards(sitting):
    console = sitting(ANSWERS)
    console.type(f"{SELECT};\r\\G\r")
    assert console.session.sent == [SELECT, SELECT]
    assert "1. row" in console.data.getvalue()


def test_a_plan_is_drawn_down_the_same_road(sitting):
    steps = [{"id": 2, "parent": 0, "notused": 0, "detail": "SCAN orders"}]
    console = sitting({**ANSWERS, f"EXPLAIN QUERY PLAN {SELECT}": steps})
    console.type(f"{SELECT};\r\\explain\r")
    assert console.session.sent == [SELECT, f"EXPLAIN QUERY PLAN {SELECT}"]
    assert console.data.getvalue().endswith("`- SCAN orders  ! full scan\n")


def test_an_export_is_a_new_file_of_its_owner(sitting, tmp_path):
    console = sitting(ANSWERS)
    path = tmp_path / "orders.json"
    console.type(f"{SELECT};\r\\export {path}\r")
    assert json.loads(path.read_text()) == ROWS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["orders.json"]
    console.type(f"{SELECT};\r\\export {path}\r")
    assert "is there already" in console.messages.getvalue()


def test_an_export_that_fails_never_has_its_name(sitting, tmp_path):
    console = sitting({**ANSWERS, "SELECT 1": StoppedError("stopped", by="watchdog")})
    console.type(f"\\export {tmp_path}/a.csv SELECT 1\r\\export {tmp_path}/b.xls SELECT 2\r")
    assert os.listdir(tmp_path) == []
    assert "no format for b.xls" in console.messages.getvalue()


def test_an_export_replaces_what_one_that_was_cut_short_left_and_nothing_else(sitting, tmp_path):
    console = sitting(ANSWERS)
    path, part = tmp_path / "a.json", tmp_path / "a.json.part"
    part.write_text("x" * 10_000)
    part.chmod(0o600)
    console.type(f"\\export {path} {SELECT}\r")
    assert json.loads(path.read_text()) == ROWS
    assert os.listdir(tmp_path) == ["a.json"]
    assert "replacing " in console.messages.getvalue()
    path.unlink()
    part.write_text("mine")
    part.chmod(0o644)
    (tmp_path / "b.json.part").symlink_to(part)
    console.type(f"\\export {path} {SELECT}\r\\export {tmp_path}/b.json {SELECT}\r")
    assert sorted(os.listdir(tmp_path)) == ["a.json.part", "b.json.part"]
    assert part.read_text() == "mine"
    assert "no export made it: choose another name" in console.messages.getvalue()


def test_an_export_leaves_alone_what_another_console_writes(sitting, tmp_path):
    console = sitting(ANSWERS)
    part = tmp_path / "a.json.part"
    part.touch(0o600)
    with part.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("halfway")
        console.type(f"\\export {tmp_path}/a.json {SELECT}\r")
    assert part.read_text() == "halfway"
    assert "is written by another export" in console.messages.getvalue()


def test_an_export_to_csv_says_null_as_it_is_told(sitting, tmp_path):
    null = "SELECT a, b FROM orders LIMIT 1"
    console = sitting({**ANSWERS, null: [{"a": None, "b": ""}]})
    console.type(f"\\export {tmp_path}/a.csv {null}\r\\export --null NULL {tmp_path}/b.csv {null}\r")
    assert (tmp_path / "a.csv").read_text() == 'a,b\n,""\n'
    assert (tmp_path / "b.csv").read_text() == "a,b\nNULL,\n"
    assert console.session.notes[-1] == ("command", f"\\export --null NULL {tmp_path}/b.csv", null)
    console.type(f"\\export --null NULL {tmp_path}/c.json {null}\r\\export --null a,b {tmp_path}/c.csv {null}\r")
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "b.csv"]
    assert "--null is for CSV" in console.messages.getvalue()
    assert "may not contain a comma" in console.messages.getvalue()


def test_only_reads_are_exported_and_watched(sitting, tmp_path):
    console = sitting(ANSWERS)
    update = "UPDATE orders SET status = 'x' WHERE id = 1"
    console.type(f"\\export {tmp_path}/a.csv {update}\r{update};\r\\watch 2\r")
    assert console.session.sent == []
    assert "only a read is exported, and this is update" in console.messages.getvalue()
    assert "only a read is repeated, and this is update" in console.messages.getvalue()


def test_watching_marks_what_changed_until_it_is_interrupted(sitting, golden):
    rounds = [
        [{"n": 0, "s": "a"}],
        [{"n": 1, "s": "a"}],
        [{"n": 2, "s": "a"}],
        [{"n": 2, "s": "b"}, {"n": 3, "s": None}],
    ]
    console = sitting({"SELECT n, s FROM t": iter(rounds)})

    def pause(seconds):
        console.paused.append(seconds)
        if len(console.paused) == 3:
            raise KeyboardInterrupt

    console.services = replace(console.services, pause=pause)
    console.type("SELECT n, s FROM t;\r\\watch 2\r")
    assert console.paused == [2, 2, 2]
    golden("console.watch.txt", console.data.getvalue())


def test_edited_text_comes_back_to_the_prompt_and_is_not_run(sitting, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho 'SELECT 2;' > \"$1\"\n")
    editor.chmod(0o700)
    console = sitting(ANSWERS)
    console.type("SELECT 1;\r\\edit\r\r", environ={"EDITOR": str(editor)})
    assert console.session.sent == ["SELECT 1", "SELECT 2"]
    console = sitting(ANSWERS)
    console.type("\\edit\r\x03", environ={"EDITOR": "/nonexistent/editor"})
    assert "the editor '/nonexistent/editor' failed" in console.messages.getvalue()


def test_history_outlives_the_console_and_holds_no_secret(sitting, tmp_path):
    console = sitting(ANSWERS)
    console.type("SELECT 1;\rCREATE USER bob IDENTIFIED BY 'hunter2';\r", history=str(tmp_path))
    assert "hunter2" not in (tmp_path / "shop.history").read_text()
    console = sitting(ANSWERS)
    # The up arrow brings the last one back; it waits for the history to be read.
    console.type("\x1b[A\r", history=str(tmp_path))
    assert console.session.sent in ([], ["SELECT 1"])


def test_a_history_that_cannot_be_kept_is_told(sitting, tmp_path):
    (tmp_path / "file").touch()
    console = sitting(ANSWERS)
    assert console.type("SELECT 1;\r", history=str(tmp_path / "file")) == 0
    assert "no history is kept" in console.messages.getvalue()


def test_what_is_told_between_statements_cannot_drive_the_terminal(sitting):
    console = sitting(ANSWERS)
    console.session.told = ["the transaction on db\x1b]0;owned\x07 is over"]
    console.type("SELECT 1;\r")
    assert "the transaction on db\\x1b]0;owned\\x07 is over\n" in console.messages.getvalue()


def test_soft_limit_of_rows_is_told(sitting):
    console = sitting({SELECT: ROWS})
    console.type(f"\\rows 1\r{SELECT};\r")
    assert "1 of 2 rows shown: \\rows N shows more, \\export FILE writes all" in console.messages.getvalue()
    assert Limits().shown_rows == 1_000


def test_rows_go_through_a_pager_and_messages_come_after_it(sitting, tmp_path):
    console = sitting(ANSWERS)
    paged = tmp_path / "paged"
    console.type(f"\\pager tee {paged}\r{SELECT};\r\\pager off\rSELECT 1;\r")
    assert paged.read_text() == "id  status\n--  ------\n 1  new\n 2  NULL\n"
    assert console.data.getvalue() == "1\n-\n1\n"
    assert "rows are handed to tee" in console.messages.getvalue()
    assert "2 rows, 2 ms, replica-1 (replica)\n" in console.messages.getvalue()


def pager_in(directory, name):
    """A program of that name which keeps what it is handed, and the options of less that it was given."""
    program = directory / name
    program.write_text(f'#!/bin/sh\ncat > {directory}/rows\nprintf %s "$LESS" > {directory}/options\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(("name", "coloured"), [("less", True), ("vim", False)])
def test_colours_go_to_the_pagers_that_show_them(tmp_path, monkeypatch, name, coloured):
    monkeypatch.setenv("LESS", "-i")
    screen = Screen(
        data=io.StringIO(), messages=io.StringIO(), data_style=StreamStyle(terminal=True, decorated=True, columns=80)
    )
    with paged(screen, f"{pager_in(tmp_path, name)} -S") as handed:
        handed.data.write("row\n")
    assert handed.data_style == StreamStyle(terminal=True, decorated=coloured)
    assert (tmp_path / "rows").read_text() == "row\n"
    assert (tmp_path / "options").read_text() == "-i -R"


def test_a_pager_that_is_left_early_leaves_the_console_open(sitting):
    console = sitting({**ANSWERS, SELECT: [{"n": number} for number in range(50_000)]})
    assert console.type(f"\\rows 100000\r\\pager true\r{SELECT};\r\\pager off\rSELECT 1;\r") == 0
    assert console.data.getvalue() == "1\n-\n1\n"


def test_a_pager_that_is_not_there_is_told(sitting):
    console = sitting(ANSWERS)
    console.type(f"\\pager /no/such/pager\r{SELECT};\r")
    assert "the pager '/no/such/pager' cannot be started" in console.messages.getvalue()
    assert console.session.sent == []


def test_parquet_is_written_where_its_library_is(sitting, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    console = sitting({SELECT: [{"id": 1}, {"id": 2}]})
    console.type(f"\\export {tmp_path}/a.parquet {SELECT}\r")
    assert parquet.read_table(tmp_path / "a.parquet").num_rows == 2
    monkeypatch.setattr("safeconsole.console.result_commands.find_spec", lambda _name: None)
    console.type(f"\\export {tmp_path}/b.parquet {SELECT}\r")
    assert "install safeconsole[parquet]" in console.messages.getvalue()
    assert not (tmp_path / "b.parquet").exists()
    assert console.session.sent == [SELECT]


def test_a_named_query_is_noted_without_its_values(sitting, tmp_path):
    (tmp_path / "by-id.sql").write_text("-- One order\n-- :id integer\nSELECT id FROM orders WHERE id = :id")
    text = "-- One order\n-- :id integer\nSELECT id FROM orders WHERE id =  7 "
    desk = sitting({text.strip(): [{"id": 7}], "SELECT id FROM orders WHERE id =  7": [{"id": 7}]})
    desk.services = replace(desk.services, queries=str(tmp_path))
    desk.type("\\queries\r\\run by-id 7\r")
    assert "by-id  One order" in desk.data.getvalue()
    assert ("command", "\\run by-id") in desk.session.notes
    assert any(note[0] == "named query" and note[1].startswith("by-id, sha256 ") for note in desk.session.notes)
    assert not any("by-id 7" in str(note) for note in desk.session.notes)
