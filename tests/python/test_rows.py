"""What `db.sql` returns."""

import datetime as dt
import sys
from decimal import Decimal

import pytest

from safeconsole.errors import ConfigurationError
from safeconsole.cluster.engine import Column
from safeconsole.python.namespace import SHOWN_ROWS, Rows

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


INTEGERS = (
    Column(name="a", type_name="bigint", numeric=True),
    Column(name="b", type_name="bigint unsigned", numeric=True),
    Column(name="c", type_name="int", numeric=True),
)


def test_whole_numbers_stay_whole_beside_null_in_a_frame():
    rows = Rows(INTEGERS, [("9007199254740993", str(2**64 - 1), "1"), (None, None, "2")])
    frame = rows.pandas()
    assert list(map(str, frame.dtypes)) == ["Int64", "UInt64", "int64"]
    assert (int(frame["a"][0]), int(frame["b"][0])) == (9007199254740993, 2**64 - 1)
    assert frame.isna().sum().tolist() == [1, 1, 0]
    polars = rows.polars()
    assert polars.rows() == [(9007199254740993, 2**64 - 1, 1), (None, None, 2)]


def test_a_frame_without_rows_has_its_columns():
    assert list(Rows(INTEGERS, []).pandas().columns) == Rows(INTEGERS, []).polars().columns == ["a", "b", "c"]
    assert list(Rows((INTEGERS[0], INTEGERS[0]), [("1", "2")]).pandas().columns) == ["a", "a"]


def test_a_decimal_of_more_digits_than_polars_holds_is_refused_in_words():
    column = Column(name="d", type_name="decimal", numeric=True)
    with pytest.raises(ConfigurationError, match="number of 65 digits, and polars holds 38") as caught:
        Rows((column,), [(None,), ("9" * 65,)]).polars()
    assert "CAST(d AS CHAR)" in caught.value.instead
    assert Rows((column,), [("-" + "9" * 38,)]).polars().rows() == [(Decimal("-" + "9" * 38),)]
    assert Rows((column,), [("9" * 65,)]).pandas()["d"][0] == Decimal("9" * 65)


def test_what_is_printed_is_the_servers_text_and_what_is_read_a_value():
    columns = (Column(name="d", type_name="decimal", numeric=True), Column(name="t", type_name="time"))
    rows = Rows(columns, [("0.00000000", "838:59:59")])
    assert "0.00000000  838:59:59" in repr(rows)
    assert rows[0] == (Decimal("0E-8"), dt.timedelta(hours=838, minutes=59, seconds=59))
