"""What a server answers to SHOW, as a person reads it at a glance."""

import pytest

from safeconsole.cluster.engine import Column
from safeconsole.audit.record import Ended
from safeconsole.clock import SystemClock
from safeconsole.console.running import indexes_shown, show_shaped, size_shown
from safeconsole.session.result import Result, Execution

# As MySQL 9.7 and MariaDB 10.11 say it.
INDEX = {
    "table": "t", "non_unique": 1, "key_name": "k", "seq_in_index": 1, "column_name": "a", "collation": "A",
    "cardinality": 40, "sub_part": None, "packed": None, "null": "", "index_type": "BTREE", "comment": "",
    "index_comment": "",
}  # fmt: skip


def test_parts_of_an_index_stand_together():
    rows = [
        INDEX,
        INDEX | {"column_name": "b", "sub_part": 10, "cardinality": 90},
        INDEX | {"key_name": "f", "column_name": None, "expression": "lower(`b`)", "visible": "NO", "non_unique": 0},
        INDEX | {"key_name": "g", "ignored": "YES"},
    ]
    assert indexes_shown(rows)[1] == [
        ("k", "a, b(10)", "", "BTREE", 90),
        ("f", "(lower(`b`))", "yes", "BTREE, invisible", 40),
        ("g", "a", "", "BTREE, invisible", 40),
    ]


def test_a_size_that_is_not_known_stays_unknown():
    row = {"table_schema": "s", "table_name": "v", "engine": None, "estimated_rows": None}
    row |= {"data_length": None, "index_length": None, "data_free": None}
    assert size_shown([row])[1] == [("s.v", None, None, None, None, None)]


class Kept:
    def __init__(self):
        self.said = []

    def __getattr__(self, name):
        return lambda *given: self.said.append((name, *given))


def answered(execution, columns, rows):
    execution.columns = columns
    yield ()
    yield rows
    execution.ended = Ended(statement=1, outcome="done", rows=len(rows))


def test_an_answer_that_is_shaped_otherwise_is_shown_as_it_came():
    kept, execution = Kept(), Execution(SystemClock())
    columns = (Column(name="something"), Column(name="else"))
    result = Result("considered", answered(execution, columns, [(1, 2)]), execution)
    result.begin()
    show_shaped(kept, result, indexes_shown)
    assert kept.said == [("begin", "considered", columns), ("rows", [(1, 2)]), ("end", execution.ended)]
