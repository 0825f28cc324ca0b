"""The SQL console on real servers: what its own commands show a person."""

import io

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from safeconsole.dialects import DIALECTS
from safeconsole.policy.facts import Circumstances
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.session.deciding import preview
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.console.console import Terminal, run_console
from safeconsole.console.state import Services, Streams
from tests.harness.desk import seated


@pytest.fixture
def typed(cluster, tmp_path):
    """A function that types a text at a console and returns what was shown and what was said."""

    def type_text(text):
        data, messages = io.StringIO(), io.StringIO()
        flavour = Flavour(cluster.flavour)
        with seated(cluster, tmp_path / "desk") as desk, create_pipe_input() as keys:
            streams = Streams(data=data, messages=messages, environ={}, ask=input)
            services = Services(
                rules=lambda: LexicalRules(dialect=DIALECTS[flavour]),
                preview=lambda statement: desk.session.preview(statement).decision,
            )
            keys.send_text(text + "\x04")
            terminal = Terminal(keys=keys, drawing=DummyOutput(), streams=streams)
            run_console(desk.session, services=services, terminal=terminal)
        return data.getvalue(), messages.getvalue()

    return type_text


def test_indexes_are_one_line_each(typed):
    data, messages = typed("\\di orders\r")
    head, _, *lines = data.splitlines()
    assert head.split("  ")[0] == "index"
    assert [line.split()[:2] for line in lines] == [["PRIMARY", "id"], ["orders_customer_id", "customer_id"]]
    assert [" yes " in line for line in lines] == [True, False]
    assert messages.startswith("2 rows, ")


def test_a_size_has_its_units(typed):
    data, messages = typed("\\size orders\r")
    assert data.splitlines()[2].startswith("shop.orders  InnoDB  ")
    assert data.count(" KiB") == 2
    assert messages.startswith("1 row, ")


def test_a_program_gets_the_servers_own_columns(typed):
    data, _ = typed("\\format csv\r\\size orders\r\\di orders\r")
    assert "table_schema,table_name,engine,estimated_rows" in data.lower()
    assert "Non_unique,Key_name" in data


def test_the_process_list_leaves_out_who_does_nothing(typed):
    _, messages = typed("\\processlist\r")
    assert "at work on primary" in messages
    assert "Warning" not in messages


def test_a_schema_that_nobody_may_see_is_not_moved_to(typed):
    data, messages = typed(
        "\\u nosuch\rSELECT DATABASE() AS here;\r\\u information_schema\rSELECT DATABASE() AS here;\r"
    )
    assert "there is no schema nosuch that this account may see" in messages
    assert [line.strip() for line in data.splitlines() if line.strip() in {"shop", "information_schema"}] == [
        "shop",
        "information_schema",
    ]


def test_a_misspelt_table_is_answered_with_the_one_that_was_meant(typed):
    _, messages = typed("SELECT id FROM orders WHERE id = 1;\rSELECT id FROM ordes;\r")
    assert messages.endswith("doesn't exist (1146)\n  perhaps orders\n")


def test_a_result_cut_by_its_rows_is_told_once(typed):
    _, messages = typed("\\rows 100\rSELECT a.id FROM orders a, orders b;\r")
    assert messages.count("100 rows") == 3
    assert "incomplete: stopped at 100 rows: raise with \\rows N up to" in messages
    assert "fetched_rows" not in messages
