"""The catalogue's rows carry what was measured of them, on which versions; and it says what they say."""

import pytest

from benchmarks.catalogue import before_of, changed, recorded
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import MYSQL
from safeconsole.sqltext.vocabulary import CostClass

MEASURED = recorded()
OPENING = {CostClass.OPENS_EVERY_TABLE, CostClass.LOADS_EVERY_TABLE_DEFINITION}
# Met on no server at hand: of MySQL 5.7, and the row for whatever is in no other one.
NEVER_MET = {"information-schema-unlisted", "innodb-files"}
# Loaded into InnoDB's own dictionary, which the server's counters of opened tables do not see.
UNSEEN = {("mysql", "innodb-dictionary")}
ROWS = [("mysql", row) for row in MYSQL.catalogue.objects] + [("mariadb", row) for row in MARIADB.catalogue.objects]


def records_of(flavour, row):
    return {
        name: versions
        for name in row.names
        if (versions := MEASURED.get(f"{flavour}/{row.id}/{row.schema}.{name}")) is not None
    }


@pytest.mark.parametrize(("flavour", "row"), ROWS, ids=lambda each: each if isinstance(each, str) else each.id)
def test_a_row_that_a_server_at_hand_meets_was_measured_there(flavour, row):
    if row.id in NEVER_MET or row.until < 80000:
        return
    assert records_of(flavour, row)


@pytest.mark.parametrize(("flavour", "row"), ROWS, ids=lambda each: each if isinstance(each, str) else each.id)
def test_what_was_measured_is_no_worse_than_the_row_says(flavour, row):
    mild = row.cost not in OPENING and (flavour, row.id) not in UNSEEN
    for name, versions in records_of(flavour, row).items():
        for version, text in versions.items():
            opened = text.split(": ")[1].split(" opened")[0]
            if mild:
                assert opened in ("none", "a part"), (name, version)
            assert "not stopped" not in text or row.uninterruptible, (name, version, text)


@pytest.mark.parametrize(
    ("before", "now", "is_changed"),
    [
        (
            "2,000 tables: none opened (0 definitions, 0 tables), 4 ms",
            "none opened (1 definitions, 1 tables), 9 ms",
            False,
        ),
        (
            "2,000 tables: none opened (0 definitions, 0 tables), 4 ms",
            "every table opened (9 definitions, 9 tables), 4 ms",
            True,
        ),
        (
            "2,000 tables: none opened (0 definitions, 0 tables), 400 ms; stopped",
            "none opened (0 definitions, 0 tables), 400 ms; not stopped",
            True,
        ),
        (
            "2,000 tables: none opened (0 definitions, 0 tables), 400 ms; not stopped",
            "none opened (0 definitions, 0 tables), 40 ms",
            False,
        ),
    ],
)
def test_a_change_is_another_class_and_no_other_time(before, now, is_changed):
    assert changed(before, now) is is_changed


def test_a_release_is_compared_with_its_own_series():
    known = {"10.11.18": "a", "11.8.9": "b"}
    assert [before_of(known, version) for version in ("10.11.18", "10.11.20", "12.0.1")] == ["a", "a", "b"]
    assert before_of({}, "9.7.4") == ""
