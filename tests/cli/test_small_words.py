"""What a command line says once, whole, and with the next step."""

import io
import tomllib

import pytest

from safeconsole.cluster.engine import Column
from safeconsole.dialects import DIALECTS
from safeconsole.mysql.endings import way_out
from safeconsole.output.formats import writer_for
from safeconsole.output.text import StreamStyle
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from tests.cli.test_cli import ask, shop  # noqa: F401  (a fixture)


def test_a_row_limit_is_told_once(shop):  # noqa: F811
    said = ask(shop, "sql", "shop", "-e", "SELECT id FROM orders ORDER BY id", "--max-rows", "2", "--format", "csv")
    assert said.code == 5
    assert said.out == "id\n1\n2\n"
    assert said.err.count("2 rows") == 2, said.err  # the count, and the error
    assert "incomplete" not in said.err and "--max-rows N raises it" in said.err


def test_a_new_key_says_where_both_halves_go(shop, tmp_path):  # noqa: F811
    path = tmp_path / "key"
    said = ask(shop, "approve", "--new-key", str(path))
    public = said.out.strip()
    assert len(bytes.fromhex(public)) == 32
    system, yours = said.err.split("your configuration names it:")
    assert list(tomllib.loads(system[system.index("[approvals") :])["approvals"]["approvers"].values()) == [public]
    assert tomllib.loads(yours)["approvals"]["key"] == str(path)


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_many_columns_without_rows_are_named_and_not_folded(columns):
    stream = io.StringIO()
    names = [f"a_rather_long_name_{number}" for number in range(8)]
    writer = writer_for("table", [Column(name=name) for name in names], stream, StreamStyle(columns=columns))
    writer.end()
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(lines) == "columns: " + ", ".join(names)


def test_a_time_limit_is_answered_with_what_fits_the_statement():
    assert way_out("run_seconds", "select") == "narrow it with WHERE or LIMIT"
    assert "schema-migration tool" in way_out("run_seconds", "alter table")
    assert "in pieces" in way_out("run_seconds", "update")
    assert way_out("fetched_bytes", "alter table") == way_out("fetched_bytes", "select")


@pytest.mark.parametrize("flavour", [Flavour.MYSQL, Flavour.MARIADB])
@pytest.mark.parametrize("option", ["ALGORITHM = COPY", "engine=InnoDB", "LOCK=NONE", "comment = 'x'"])
def test_an_option_of_an_alter_is_no_table(flavour, option):
    (statement,) = analyse(f"ALTER TABLE orders ADD COLUMN n INT, {option}", LexicalRules(dialect=DIALECTS[flavour]))
    assert [table.name for table in statement.tables] == ["orders"]
