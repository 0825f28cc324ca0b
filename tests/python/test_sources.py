"""Source: recorded first, then run; what went wrong, shown short."""

import pytest

from safeconsole.errors import RefusedError, ServerError
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.dialects.mysql import MYSQL
from safeconsole.python.dbapi import dbapi_error_of
from safeconsole.python.console import recorded_source, run_source
from safeconsole.python.tracebacks import failure_text, interrupted_text


def test_source_is_in_the_journal_before_its_statements(console):
    run_source(console.line, "db.sql('SELECT 1')\n1 / 1", console.names, name="<test>")
    kinds = [record["type"] for record in console.records()]
    assert kinds.index("code") < kinds.index("asked")


def test_source_that_fails_is_in_the_journal_too(console):
    with pytest.raises(ZeroDivisionError):
        run_source(console.line, "1 / 0", console.names, name="<test>")
    with pytest.raises(SyntaxError):
        run_source(console.line, "!id", console.names, name="<test>")
    assert [record["source"] for record in console.records() if record["type"] == "code"] == ["1 / 0", "!id"]


def test_an_expression_has_a_value_and_await_works(console):
    assert run_source(console.line, " 1 + 1", console.names, name="<test>") == 2
    run_source(console.line, "import asyncio\nx = await asyncio.sleep(0, 5)", console.names, name="<test>")
    assert console.names["x"] == 5


@pytest.mark.parametrize(
    ("source", "recorded"),
    [
        ("x = 'plain'  # note", "x = 'plain'  # note"),
        ("password = 'hunter2'", "password = '<secret>'"),
        ("db.sql('SET PASSWORD = \"hunter2\"')", "db.sql('<secret>')"),
        ("token = f'hunter2{x}'", None),
        ("# password: hunter2", "#"),
        ("password = 'hunter2", "<left out: it cannot be read, and may hold a secret>"),
        ("password = '''a\nhunter2'''\ny = 1", "password = '<secret>'\ny = 1"),
    ],
)
def test_secrets_stay_out_of_the_journal(source, recorded):
    found = recorded_source(source, drop_literals=False)
    assert "hunter2" not in found
    assert recorded is None or found == recorded


def test_a_policy_without_literals_keeps_none_of_them():
    assert recorded_source("f(1, 'a') # b", drop_literals=True) == "f(?, ?) #"


def test_a_refusal_shows_the_persons_lines_and_the_evidence_but_not_our_frames(console):
    source = "def fix():\n    db.sql('DELETE FROM orders')\n\nfix()"
    with pytest.raises(RefusedError) as caught:
        run_source(console.line, source, console.names, name="<entry 1>")
    text = failure_text(caught.value)
    assert "<entry 1>, line 4: fix()\n  <entry 1>, line 2: db.sql('DELETE FROM orders')\n" in text
    assert "not run: this writes" in text
    assert "with elevate(" in text
    assert "session/gate.py" not in text
    assert "line.py" not in text


def test_an_ordinary_failure_is_shown_as_python_shows_it():
    try:
        exec(compile("{}['x']", "<entry 1>", "exec"), {})
    except KeyError as error:
        text = failure_text(error)
    assert text.endswith("KeyError: 'x'\n")
    assert "<entry 1>" in text


def test_a_server_error_through_sqlalchemy_is_short(console):
    with pytest.raises(Exception) as caught:
        run_source(
            console.line,
            "db.engine.connect().exec_driver_sql('SELECT nope FROM orders')",
            console.names,
            name="<entry 1>",
        )
    text = failure_text(caught.value)
    assert "nope" in text
    assert "sqlalchemy/engine" not in text
    assert "<entry 1>" in text


HOSTILE = "duplicate entry '\x1b]0;owned\x07\x9b2J'"


def test_what_a_server_quotes_cannot_drive_the_terminal_from_a_traceback():
    try:
        raise dbapi_error_of(ServerError(1062, HOSTILE), MYSQL) from ServerError(1062, HOSTILE)
    except Exception as error:
        text = failure_text(error)
    assert "duplicate entry '\\x1b]0;owned\\x07\\x9b2J'" in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.endswith("\n")


def test_what_a_server_quotes_cannot_drive_the_terminal_from_an_interrupt():
    assert interrupted_text(KeyboardInterrupt(HOSTILE)) == (
        "interrupted: duplicate entry '\\x1b]0;owned\\x07\\x9b2J'\n"
    )
    assert interrupted_text(KeyboardInterrupt()) == "interrupted\n"
