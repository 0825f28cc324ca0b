import io
import threading
from msgspec.structs import replace

import pytest

from safeconsole.audit.record import Ended
from safeconsole.policy.watchdog import Sample
from safeconsole.cluster.engine import Column
from safeconsole.output.text import PLAIN
from safeconsole.output.presenting import Screen, ResultStyle, ResultPrinter, screen_of

COLUMNS = (Column(name="id", numeric=True), Column(name="name"))
ROWS = [(1, "a"), (2, None), (3, "c")]


def shown(considered, ended, *, shape=ResultStyle(), style=PLAIN, columns=COLUMNS, rows=ROWS):
    data, messages = io.StringIO(), io.StringIO()
    printer = ResultPrinter(Screen(data=data, messages=messages, data_style=style, messages_style=style), shape)
    printer.begin(considered, columns)
    printer.rows(rows)
    printer.end(ended)
    return data.getvalue(), messages.getvalue()


def test_data_goes_to_one_stream_and_all_else_to_the_other(considered):
    data, messages = shown(considered(), Ended(statement=1, outcome="done", rows=3, elapsed_seconds=0.0031))
    assert data == "id  name\n--  ----\n 1  a\n 2  NULL\n 3  c\n"
    assert messages == "replica-1 (replica)\n3 rows, 3 ms, replica-1 (replica)\n"


def test_what_must_be_known_of_the_answer_stands_before_it(considered):
    stale = replace(considered(), notes=("replica-1 may be stale: lag unknown",))
    data, messages = shown(stale, Ended(statement=1, outcome="done", rows=3, elapsed_seconds=0.0031))
    assert "stale" not in data
    assert messages.splitlines()[:2] == ["replica-1 (replica)", "replica-1 may be stale: lag unknown"]


def test_a_write_says_what_it_changed(considered):
    ended = Ended(
        statement=1, outcome="done", changed_rows=1, elapsed_seconds=0.5, peak_memory_bytes=1 << 21, message="a warning"
    )
    data, messages = shown(
        considered(text="UPDATE", kind="update"), ended, columns=(), rows=[], shape=ResultStyle(header=False)
    )
    assert data == ""
    assert messages == "done, 1 row changed, 500 ms, primary (primary), session memory 2.0 MiB\na warning\n"


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (
            Ended(statement=1, outcome="stopped", rows=3, stopped_by="console", ceiling="fetched_rows"),
            "incomplete: stopped at 3 rows: raise with --max-rows up to 50,000, or narrow the statement",
        ),
        (
            Ended(statement=1, outcome="done", rows=3, truncated=True, ceiling="fetched_rows"),
            "incomplete: stopped at 3 rows: raise with --max-rows up to 50,000, or narrow the statement",
        ),
        (
            Ended(statement=1, outcome="stopped", rows=3, ceiling="fetched_bytes"),
            "incomplete: stopped at 64.0 MiB: ask for fewer or narrower columns",
        ),
        (
            Ended(statement=1, outcome="stopped", rows=3, stopped_by="watchdog", ceiling="run_seconds"),
            "incomplete: stopped by the watchdog at run_seconds",
        ),
        (Ended(statement=1, outcome="stopped", rows=3, stopped_by="person"), "incomplete: stopped by the person"),
        (
            Ended(statement=1, outcome="unknown", rows=3),
            "incomplete: what happened on the server is not known",
        ),
        (Ended(statement=1, outcome="refused", rows=3), "incomplete: the server ended it with an error"),
        (Ended(statement=1, outcome="done", rows=3, truncated=True), "incomplete: it was cut short"),
    ],
    ids=lambda value: getattr(value, "outcome", "told"),
)
def test_a_short_answer_is_told_loudly_and_in_the_format(ended, told, considered):
    data, messages = shown(considered(fetched_rows=3), ended, shape=ResultStyle(most_rows=50_000))
    assert messages.splitlines()[-1] == told
    assert data.splitlines()[-1].startswith("(incomplete: ")


def test_a_short_json_array_is_left_open(considered):
    data, _ = shown(
        considered(),
        Ended(statement=1, outcome="stopped", rows=3, ceiling="fetched_rows"),
        shape=ResultStyle(format="json"),
    )
    assert data == '[\n{"id":1,"name":"a"},\n{"id":2,"name":null},\n{"id":3,"name":"c"}'


def test_a_person_sees_the_soft_limit_and_how_to_see_more(considered):
    data, messages = shown(
        considered(shown_rows=2), Ended(statement=1, outcome="done", rows=3), shape=ResultStyle(interactive=True)
    )
    assert data.count("\n") == 5
    assert messages.endswith("2 of 3 rows shown: \\rows N shows more, \\export FILE writes all\n")


def test_a_pipe_knows_no_soft_limit(considered):
    data, messages = shown(considered(shown_rows=2), Ended(statement=1, outcome="done", rows=3))
    assert "3  c" in data
    assert "shown" not in messages


def test_on_one_terminal_the_shortfall_is_said_once(considered, decorated):
    ended = Ended(statement=1, outcome="stopped", rows=3, ceiling="fetched_rows")
    data, messages = shown(considered(), ended, style=decorated)
    assert "incomplete" not in data
    assert "incomplete" in messages


def test_backslash_g_turns_a_table_only(considered):
    ended = Ended(statement=1, outcome="done", rows=3)
    assert "1. row" in shown(considered(vertical=True), ended)[0]
    assert shown(considered(vertical=True), ended, shape=ResultStyle(format="csv"))[0].startswith("id,name\n")


def test_what_ended_before_it_began_is_left_to_its_error(considered):
    data, messages = io.StringIO(), io.StringIO()
    printer = ResultPrinter(Screen(data=data, messages=messages), ResultStyle())
    printer.end(Ended(statement=1, outcome="refused"))
    printer.end(None)
    assert (data.getvalue(), messages.getvalue()) == ("", "")


def waiting(considered, style):
    messages = io.StringIO()
    screen = Screen(data=io.StringIO(), messages=messages, messages_style=style)
    return ResultPrinter(screen, ResultStyle(), lambda: considered), messages


def test_a_quick_statement_draws_no_status_line(considered, decorated):
    printer, messages = waiting(considered(), decorated)
    printer.progress(Sample(elapsed_seconds=0.9))
    assert messages.getvalue() == ""


def test_a_slow_one_draws_it_before_its_first_row_and_clears_it(considered, decorated):
    statement = considered()
    printer, messages = waiting(statement, decorated)
    printer.progress(Sample(elapsed_seconds=1.2, session_memory_bytes=1 << 20))
    assert messages.getvalue() == "\r\x1b[2K0:02 of 0:30 · replica-1 · session 1.0 MiB · Ctrl-C stops it on the server"
    printer.begin(statement, COLUMNS)
    assert "\r\x1b[2Kreplica-1 (replica)\n" in messages.getvalue()


def test_progress_stays_on_the_screen_while_rows_go_elsewhere(considered, decorated):
    statement = considered()
    printer, messages = waiting(statement, decorated)
    printer.begin(statement, COLUMNS)
    printer.progress(Sample(elapsed_seconds=2))
    before = messages.getvalue()
    printer.rows(ROWS)
    assert messages.getvalue() == before
    printer.progress(Sample(elapsed_seconds=3))
    assert "3 rows" in messages.getvalue().rsplit("\r\x1b[2K", 1)[-1]
    printer.end(Ended(statement=1, outcome="done", rows=3))
    assert "\r\x1b[2K3 rows" in messages.getvalue().replace("\x1b[2m", "")


@pytest.mark.parametrize(
    ("each", "told"), [(0.001, "2.50 s, replica-1"), (0.5, "2.50 s, 1.00 s of it the server's, replica-1")]
)
def test_time_here_and_on_the_server_are_told_apart(considered, each, told):
    messages, moment = io.StringIO(), [0.0]

    class Slow(io.StringIO):
        def write(self, text):
            moment[0] += each
            return super().write(text)

    screen = Screen(data=Slow(), messages=messages)
    printer = ResultPrinter(screen, ResultStyle(format="csv", header=False), now_seconds=lambda: moment[0])
    printer.begin(considered(), COLUMNS)
    for _ in range(3):
        printer.rows(ROWS)
    printer.end(Ended(statement=1, outcome="done", rows=9, elapsed_seconds=2.5))
    assert told in messages.getvalue()


def test_nothing_is_drawn_after_the_end(considered, decorated):
    printer, messages = waiting(considered(), decorated)
    printer.progress(Sample(elapsed_seconds=2))
    printer.end(Ended(statement=1, outcome="stopped"))
    before = messages.getvalue()
    assert before.endswith("\r\x1b[2K")
    printer.progress(Sample(elapsed_seconds=3))
    assert messages.getvalue() == before


def test_a_pipe_gets_no_status_line(considered):
    printer, messages = waiting(considered(), PLAIN)
    printer.progress(Sample(elapsed_seconds=5))
    assert messages.getvalue() == ""


def test_a_dumb_terminal_is_cleared_without_escapes(considered, dumb):
    printer, messages = waiting(considered(), dumb)
    printer.progress(Sample(elapsed_seconds=2))
    printer.end(Ended(statement=1, outcome="stopped"))
    assert "\x1b" not in messages.getvalue()
    assert messages.getvalue().endswith("\r" + " " * 79 + "\r")


def test_samples_from_another_thread_leave_whole_lines(considered, decorated):
    stream = io.StringIO()
    statement = considered()
    screen = Screen(data=stream, messages=stream, data_style=decorated, messages_style=decorated)
    printer = ResultPrinter(screen, ResultStyle(format="csv"), lambda: statement)
    printer.begin(statement, COLUMNS)
    sampler = threading.Thread(target=lambda: [printer.progress(Sample(elapsed_seconds=2)) for _ in range(200)])
    sampler.start()
    for _ in range(200):
        printer.rows(ROWS)
    sampler.join()
    printer.end(Ended(statement=1, outcome="done", rows=600))
    visible = [line.rsplit("\r\x1b[2K", 1)[-1] for line in stream.getvalue().split("\n")]
    assert visible.count("1,a") == visible.count("2,") == visible.count("3,c") == 200


def test_a_stream_that_lacks_a_character_does_not_raise(considered):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    printer = ResultPrinter(screen_of(stream, stream, {}), ResultStyle(header=False))
    printer.begin(considered(), COLUMNS)
    printer.rows([(1, "日本 é")])
    printer.end(Ended(statement=1, outcome="done", rows=1))
    stream.flush()
    assert "\\u65e5\\u672c é".encode("latin-1") in raw.getvalue()


def warned(considered, warnings, **given):
    data, messages = io.StringIO(), io.StringIO()
    printer = ResultPrinter(Screen(data=data, messages=messages), ResultStyle(header=False))
    printer.begin(considered(**given), COLUMNS)
    printer.rows(ROWS)
    printer.end(Ended(statement=1, outcome="done", rows=3, elapsed_seconds=0.003), warnings)
    return messages.getvalue().splitlines()


def test_what_the_server_warned_of_stands_below_the_result(considered):
    lines = warned(considered, ("Warning 1292: not a number: 'a'", "Warning 1365: zero", "Warning 1365: zero"))
    assert lines[1:] == ["  Warning 1292: not a number: 'a'", "  Warning 1365: zero (2 times)"]


def test_a_warning_cannot_drive_the_terminal(considered):
    assert "\x1b" not in "".join(warned(considered, ("Warning 1: \x1b]0;x\x07",)))


@pytest.mark.parametrize("kind", ["show warnings", "show errors"])
def test_a_statement_about_the_last_one_says_why_it_is_empty(kind, considered):
    assert "stand below the statement" in warned(considered, (), text=kind, kind=kind)[-1]
