"""Partitions folded, sums and the largest, growth between two reports: properties, by values alone."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.errors import ConfigurationError
from safeconsole.capacity.reports import growth, since
from safeconsole.capacity.sizes import TableSize, by_schema, folded, largest, matching
from safeconsole.capacity.sizes import file_bytes_of

MIB = 1024 * 1024


def size(schema, name, rows=1, data=10, index=5, updated="2026-01-01 00:00:00"):
    return TableSize(schema=schema, name=name, rows=rows, data_bytes=data, index_bytes=index, updated=updated)


names = st.text("ab_", min_size=1, max_size=3)
marks = st.sampled_from(["", "#p#p0", "#p#p1", "#P#p2", "#p#p0#sp#s1"])
sizes = st.dictionaries(
    st.tuples(names, st.builds(str.__add__, names, marks)), st.tuples(st.integers(0, 99), st.integers(0, 9_999), st.integers(0, 999)),
    max_size=30,
).map(lambda found: [size(*key, *value) for key, value in sorted(found.items())])  # fmt: skip


@given(sizes)
def test_folding_partitions_loses_nothing(found):
    whole = list(folded(found))
    assert sum(each.total_bytes for each in whole) == sum(each.total_bytes for each in found)
    assert sum(each.rows for each in whole) == sum(each.rows for each in found)
    assert all("#p#" not in each.name.lower() for each in whole)


def test_the_partitions_of_a_table_become_one_as_old_as_the_oldest():
    found = [
        size("s", "t#p#p0", rows=3, updated="2026-01-02"),
        size("s", "t#p#p1", rows=4, updated="2026-01-01"),
        size("s", "u"),
    ]
    first, second = folded(found)
    assert (first.name, first.rows, first.partitions, first.updated) == ("t", 7, 2, "2026-01-01")
    assert (second.name, second.partitions) == ("u", 0)


def test_a_table_and_the_partitions_of_another_by_the_same_beginning_stay_apart():
    assert [each.name for each in folded([size("s", "t"), size("s", "t#p#p0"), size("s", "t1")])] == ["t", "t", "t1"]


@given(sizes, st.integers(0, 10))
def test_the_largest_are_the_largest(found, most):
    ordered = sorted(found, key=lambda each: (-each.total_bytes, each.key))
    assert largest(found, most) == (ordered[:most] if most else ordered)


# Pages and file, in MiB, as ANALYZE TABLE and the file system say it.
MEASURED = (
    (0.14, 0.22), (0.52, 0.59), (0.52, 0.58), (1.52, 9.0), (2.66, 10.0), (5.80, 13.0), (8.0, 16.0), (9.55, 17.0),
    (10.55, 18.0), (35.64, 44.0), (33.56, 44.0), (66.59, 76.0), (71.77, 80.0), (71.11, 80.0), (108.0, 120.0),
    (120.0, 132.0), (118.17, 128.0), (211.94, 224.0), (218.72, 228.0), (235.30, 248.0), (236.95, 248.0),
)  # fmt: skip


@pytest.mark.parametrize(("pages", "file"), MEASURED)
def test_a_file_is_reckoned_from_its_pages_as_servers_lay_it_out(pages, file):
    """Both servers, three ways to fill a table; a server that lays files out in another way must not go unnoticed."""
    assert file_bytes_of(round(pages * MIB)) == pytest.approx(file * MIB, rel=0.06)


@given(sizes)
def test_the_sums_of_schemas_are_the_sum_of_all(found):
    assert sum(each.total_bytes for each in by_schema(found)) == sum(each.total_bytes for each in found)
    assert sum(each.tables for each in by_schema(found)) == len(found)


@pytest.mark.parametrize(
    ("pattern", "schema", "name", "fits"),
    [("orders_*", "shop", "orders_old", True), ("orders_*", "shop", "x_orders_old", False),
     ("shop*.orders", "shop1", "orders", True), ("shop*.orders", "web", "orders", False), ("*.x", "a", "x", True)],
)  # fmt: skip
def test_a_pattern_is_for_the_name_or_with_a_dot_for_both(pattern, schema, name, fits):
    assert matching(pattern)(size(schema, name)) is fits


@given(sizes, sizes)
def test_growth_is_the_difference_of_both_reports_whatever_is_in_them(before, after):
    before, after = list(folded(before)), list(folded(after))
    before, after = ({each.key: each for each in found} for found in (before, after))
    found = {each.size.key: each for each in growth(sorted_values(before), sorted_values(after))}
    assert set(found) == set(before) | set(after)
    for key, each in found.items():
        assert each.grown_bytes == _bytes(after, key) - _bytes(before, key)
        assert (each.before, each.after) == (before.get(key), after.get(key))


def sorted_values(found):
    return [found[key] for key in sorted(found)]


def _bytes(found, key):
    return found[key].total_bytes if key in found else 0


NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [("7d", "2026-01-24T12:00:00+00:00"), ("90m", "2026-01-31T10:30:00+00:00"), ("2w", "2026-01-17T12:00:00+00:00"),
     ("2026-01-01", "2026-01-01T00:00:00+00:00"), ("2026-01-01T10:00:00+02:00", "2026-01-01T10:00:00+02:00")],
)  # fmt: skip
def test_since_takes_spans_and_dates(text, when):
    assert since(text, NOW) == dt.datetime.fromisoformat(when)


@pytest.mark.parametrize("text", ["", "yesterday", "7", "d7", "7y"])
def test_since_refuses_what_is_no_time(text):
    with pytest.raises(ConfigurationError, match="is not a time"):
        since(text, NOW)
