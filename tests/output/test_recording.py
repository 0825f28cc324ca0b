"""What of a terminal is recorded."""

import io
import sys

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import LiteralRules, literal_rules
from safeconsole.audit.record import why_left_out
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.output.recording import TerminalRecorder, recorded_streams

RULES = literal_rules("keep", {"shop.customers": "drop"})


def statement(sql):
    return analyse(sql, LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704), schema="shop")[0]


class Held:
    """Keeps what it is given."""

    def __init__(self, *, keeps_rows=True):
        self.keeps_rows = keeps_rows
        self.text = ""

    def output(self, text):
        self.text += text


@pytest.fixture
def recorder():
    recorder = TerminalRecorder()
    recorder.held = Held()
    recorder.begin(recorder.held, RULES)
    return recorder


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT id FROM orders", ""),
        ("UPDATE orders SET status = 'paid' WHERE id = 1", ""),
        ("SHOW TABLES", "the policy keeps values"),
        ("SHOW GRANTS FOR 'ada'@'%'", "log in with"),
        ("show /* c */ create user ada", "log in with"),
        ("SELECT * FROM mysql.user", "accounts' own tables"),
        ("SELECT * FROM `mysql`.`global_priv`", "accounts' own tables"),
        ("SELECT api_token FROM orders", "about a secret"),
        ("SELECT * FROM customers", "the policy keeps values"),
        ("SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id", "the policy keeps values"),
        ("CALL p()", "nobody knows"),
        ("EXECUTE s", "nobody knows"),
        ("SELECT own_function() FROM orders", "nobody knows"),
    ],
)
def test_what_a_statement_shows_is_recorded_only_where_the_journal_could_hold_it(sql, why):
    found = why_left_out(statement(sql), RULES)
    assert bool(found) == bool(why)
    assert why in found


def test_without_rules_a_statement_about_no_table_is_recorded():
    assert why_left_out(statement("SHOW TABLES"), LiteralRules()) == ""
    assert why_left_out(statement("SHOW GRANTS"), LiteralRules())


def test_streams_are_shown_and_recorded_with_the_lines_of_a_terminal(recorder):
    shown = io.StringIO()
    stream = recorder.messages(shown)
    stream.write("one\ntwo\r\n")
    stream.writelines(["three", "\n"])
    stream.flush()
    assert shown.getvalue() == "one\ntwo\r\nthree\n"
    assert recorder.held.text == "one\r\ntwo\r\nthree\r\n"
    assert not stream.isatty()
    assert not hasattr(recorder.messages(sys.stdout), "buffer")


def test_rows_are_recorded_only_where_they_are_kept(recorder):
    held = Held(keeps_rows=False)
    recorder.begin(held, RULES)
    recorder.data(io.StringIO()).write("a row\n")
    recorder.messages(io.StringIO()).write("1 row\n")
    assert held.text == "1 row\r\n"


def test_a_tape_is_mute_from_what_must_not_be_kept_until_something_else_is_entered(recorder):
    out = recorder.data(io.StringIO())
    recorder.entered("shop> ", "SELECT id FROM customers WHERE name = ?")
    assert not recorder.watch(statement("SELECT id FROM customers WHERE name = 'planted'"))
    out.write("planted\n")
    assert recorder.watch(statement("SELECT id FROM orders"))
    out.write("planted again\n")
    recorder.entered("shop> ", "SELECT id FROM orders")
    out.write("17\n")
    assert "planted" not in recorder.held.text
    assert recorder.held.text.count("left out: the policy keeps values of its tables out") == 1
    assert recorder.held.text.endswith("shop> SELECT id FROM orders\r\n17\r\n")
    assert recorder.has_left_out


def test_the_echo_of_what_is_typed_is_left_out(recorder):
    out = recorder.messages(io.StringIO())
    out.write("before ")
    with recorder.reading():
        out.write("IDENTIFIED BY 'hunter2'")
    out.write("after")
    assert recorder.held.text == "before after"


def test_the_processs_own_streams_are_taped_meanwhile(capsys):
    held, before = Held(), sys.stdout
    with recorded_streams() as recorder:
        print("too early")
        recorder.begin(held, LiteralRules())
        print("a line")
        sys.stderr.write("said")
    assert sys.stdout is before
    assert held.text == "a line\r\nsaid"
    assert capsys.readouterr().out == "too early\na line\n"


def test_the_commands_that_the_recording_knows_are_commands():
    from safeconsole.console.commands import command_arguments
    from safeconsole.console.commands import SHOW_ALL_STATEMENTS, SHOW_NO_STATEMENT

    assert set(command_arguments()) >= SHOW_NO_STATEMENT | SHOW_ALL_STATEMENTS
    assert not SHOW_NO_STATEMENT & SHOW_ALL_STATEMENTS
