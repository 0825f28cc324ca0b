"""What `db.sql` returns."""

import sys

import pytest

from safeconsole.errors import ConfigurationError
from safeconsole.cluster.engine import Column
from safeconsole.python.rows import SHOWN_ROWS, Rows

COLUMNS = (Column(name="id", numeric=True), Column(name="name"))


def test_it_prints_as_a_table_and_says_where_it_ran():
    rows = Rows(COLUMNS, [(1, "ada"), (2, "b\x1b[31m")], node="replica-1", seconds=0.003)
    assert repr(rows) == "id  name\n--  ---------\n 1  ada\n 2  b\\x1b[31m\n2 rows, 3 ms, replica-1"


def test_a_long_result_prints_its_beginning_and_holds_everything():
    rows = Rows(COLUMNS, [(number, "x") for number in range(SHOWN_ROWS + 1)])
    assert repr(rows).endswith(f"{SHOWN_ROWS} of {SHOWN_ROWS + 1} rows")
    assert len(rows) == len(rows.text("csv").splitlines()) - 1 == SHOWN_ROWS + 1


def test_it_turns_into_what_people_work_with():
    rows = Rows(COLUMNS, [(1, "ada"), (2, None)])
    assert rows.dicts() == [{"id": 1, "name": "ada"}, {"id": 2, "name": None}]
    assert (rows.scalars(), rows.scalar(), rows[1], rows[:1]) == ([1, 2], 1, (2, None), [(1, "ada")])
    assert Rows(COLUMNS, []).scalar() is None
    assert repr(Rows((), [], changed_rows=2, node="p", seconds=0.001)) == "done, 2 rows changed, 1 ms, p"


def test_two_columns_of_one_name_are_no_dictionary():
    with pytest.raises(ConfigurationError, match="one name"):
        Rows((COLUMNS[0], COLUMNS[0]), [(1, 2)]).dicts()


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_library_that_is_not_there_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=f"{name} is not installed"):
        getattr(Rows(COLUMNS, []), name)()
