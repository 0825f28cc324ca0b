"""ptpython on the guarded namespace: what is typed, what is shown, what is off."""

import io
import os
import stat
import sys
from pathlib import Path

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from safeconsole.errors import RefusedError
from safeconsole.python.console import run_console


@pytest.fixture
def sit(console, tmp_path):
    """A function that types lines into a console, leaves it, and returns what was written."""
    # As the command leaves it: statements are sent only while an entry runs.
    console.line._at_work = 0

    def type_lines(*lines):
        with create_pipe_input() as keys:
            keys.send_text("".join(f"{line}\r" for line in lines) + "\x04")
            run_console(
                console.line,
                console.names,
                history_directory=str(tmp_path / "history"),
                input=keys,
                output=DummyOutput(),
            )
        return console.data.getvalue(), console.messages.getvalue()

    return type_lines


def test_rows_print_as_a_table(sit):
    data, _ = sit("db.sql('SELECT id, status FROM orders WHERE id < 3')")
    assert data.startswith("id  status\n--  ---------\n 1  shipped\n 2  cancelled\n2 rows, ")


def test_a_refusal_shows_what_and_how_and_the_console_goes_on(sit, console):
    _, messages = sit("db.sql('DELETE FROM orders')", "x = db.sql('SELECT 1').scalar()")
    assert "<entry 1>, line 1: db.sql('DELETE FROM orders')\nsafeconsole: not run: this writes" in messages
    assert console.names["x"] == 1


def test_how_a_transaction_ended_is_told_after_the_entry(sit):
    _, messages = sit(
        "e = elevate(reason='a test'); e.__enter__(); c = db.connect()",
        "c.cursor().execute('UPDATE orders SET status = status WHERE id = 1')",
        "c.rollback()",
        "print('next')",
        "e.__exit__(None, None, None)",
    )
    assert messages.count("was rolled back: by you") == 1


def test_nothing_runs_as_a_shell_command(sit, tmp_path):
    _, messages = sit(f"!touch {tmp_path}/escaped")
    assert "SyntaxError" in messages
    assert not (tmp_path / "escaped").exists()


def test_the_current_directory_is_not_imported_from(sit, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    sit("1 + 1")
    assert "" not in sys.path


def test_every_entry_is_in_the_journal(sit, console):
    sit("a = 1", "why()")
    assert [record["source"] for record in console.records() if record["type"] == "code"] == ["a = 1", "why()"]


def test_the_history_is_its_owners_and_holds_no_secret(sit, tmp_path):
    sit("a = 1", "password = 'hunter2'")
    (path,) = (tmp_path / "history").iterdir()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert "a = 1" in path.read_text()
    assert "hunter2" not in path.read_text()


def test_what_completion_looks_at_sends_nothing(console):
    console.line._at_work = 0
    with pytest.raises(RefusedError):
        console.db.sql("SELECT 1")
    assert dir(console.db.tables) == []
    assert console.records()[-1]["statements"] == 0


def test_why_and_topology_answer(console):
    console.names["why"]()
    assert console.data.getvalue() == "nothing was asked yet\n"
    console.db.sql("SELECT 1")
    console.names["why"]()
    console.names["topology"]()
    assert "may run" in console.data.getvalue()
    assert "replica-1" in console.data.getvalue()


def test_help_teaches(console):
    text = io.StringIO()
    import pydoc

    pydoc.Helper(output=text)(console.db)
    assert "with elevate(reason=" in text.getvalue()
    assert "db.tables.orders" in text.getvalue()


def test_help_on_the_consoles_own_is_what_it_teaches(console):
    for about, first in ((console.db, "The cluster, from Python."), (console.db.sql, "sql(text: str, ")):
        console.names["help"](about)
        assert console.data.getvalue().startswith(first)
        assert "__weakref__" not in console.data.getvalue()
        console.data.seek(0)
        console.data.truncate()
    console.names["help"](console.names["elevate"])
    assert console.data.getvalue().startswith("elevate(*, reason: str, ")


def test_help_starts_no_pager(run_program):
    """On a terminal Python would start one, which the fences refuse."""
    code = "import io, sys; sys.stdout.isatty = sys.stdin.isatty = lambda: True; help(db); help('if')"
    ended = run_program("-c", code, PAGER="less", TERM="xterm")
    assert ended.returncode == 0, ended.stderr
    assert "with elevate(reason=" in ended.stdout
    assert 'The "if" statement' in ended.stdout


def test_a_one_shot_prints_its_value_and_leaves_with_the_reason(run_program):
    ended = run_program("-c", "db.sql('SELECT id FROM orders WHERE id = 1')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "id\n--\n 1\n", "")
    ended = run_program("-c", "db.sql('DELETE FROM orders')")
    assert (ended.returncode, ended.stdout) == (3, "")
    ended = run_program("-c", "1 / 0")
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr


def test_a_pipe_and_a_file_are_scripts(run_program, tmp_path):
    assert run_program(source="print(db.sql('SELECT 7').scalar())").stdout == "7\n"
    (tmp_path / "script.py").write_text("print(__name__)")
    assert run_program("script.py").stdout == "__main__\n"
    assert run_program("-c", "1", "script.py").returncode == 2


def test_an_applications_models_come_with_the_console(run_program, tmp_path):
    (tmp_path / "shop_models.py").write_text(
        "import sqlalchemy.orm as orm\n"
        "class Base(orm.DeclarativeBase): pass\n"
        "class Order(Base):\n"
        "    __tablename__ = 'orders'\n"
        "    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)\n"
        "    status: orm.Mapped[str]\n"
    )
    code = "print(db.session().get(Order, 2).status)"
    ended = run_program("--app", "shop_models:Base", "-c", code)
    assert ended.returncode == 2
    assert "PYTHONPATH" in ended.stderr
    root = Path(__file__).resolve().parents[2]
    ended = run_program("--app", "shop_models:Base", "-c", code, PYTHONPATH=f"{root}{os.pathsep}{tmp_path}")
    assert (ended.returncode, ended.stdout) == (0, "cancelled\n"), ended.stderr


def test_an_elevation_on_the_command_line_needs_the_clusters_name(run_program):
    code = "with elevate(reason='a test'): print(db.sql('UPDATE orders SET status = status WHERE id = 1').changed_rows)"
    assert run_program("-c", code).returncode == 3
    ended = run_program("--confirm", "shop", "-c", code)
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
