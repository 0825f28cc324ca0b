"""docs/limits.md says what the code does."""

import re
from msgspec.structs import fields
from pathlib import Path


from safeconsole.dialects.plans import BUFFER, DICTIONARY
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import MYSQL
from safeconsole.sqltext.dialect import Holds
from safeconsole.policy.limits import Limits
from safeconsole.mysql import guards
from safeconsole.mysql import control, watchdog

TEXT = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")


def table_after(heading):
    """Rows of the first table after a heading, as lists of cells."""
    section = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_defaults_are_those_of_the_code():
    written = {row[0].strip("`"): float(row[1]) for row in table_after("Defaults")}
    assert written == {field.name: float(field.default) for field in fields(Limits)}


def test_every_guard_is_named_and_nothing_else():
    rows = table_after("What is set on every connection")
    for dialect, column in ((MYSQL, 1), (MARIADB, 2)):
        written = set()
        for row in rows:
            cell = row[1] if row[column] == "the same" else row[column]
            written |= set(re.findall("`([a-z_]+)`", cell))
        assert written == {guard.variable for guard in dialect.server.guards} - {"autocommit"}


def test_what_ends_an_idle_transaction_is_named():
    for dialect in (MYSQL, MARIADB):
        for variable in dialect.server.idle_variables:
            assert f"`{variable}`" in TEXT
    assert f"itself {guards.SERVER_SLACK_SECONDS} s after" in TEXT


def test_the_guards_values_are_those_of_the_code():
    words = {"transaction_read_only": "1", "idle_transaction_timeout": "300 s", "net_write_timeout": "at most 30 s"}
    rows = table_after("What is set on every connection")
    for name, value in words.items():
        assert [row[3] for row in rows if f"`{name}`" in row[1] + row[2]] == [value]
    for dialect in (MYSQL, MARIADB):
        for guard in dialect.server.guards:
            value = next((row[3] for row in rows if f"`{guard.variable}`" in row[1] + row[2]), None)
            assert value is None or value.startswith("at most") == (guard.holds is Holds.AT_MOST), guard.variable


def test_the_watchdogs_times_are_those_of_the_code():
    assert watchdog.GRACE_SECONDS == 0.5
    assert "after 0.5 s `KILL`" in TEXT
    assert watchdog.SAMPLE_SECONDS == 0.2
    assert "it samples every 200 ms" in TEXT
    assert control.PATIENCE_SECONDS == 0.25
    assert "late by more than 250 ms" in TEXT


def test_what_nothing_stops_is_flagged_so():
    rows = table_after("What nothing stops")
    assert "`INNODB_TABLESTATS`" in rows[0][0]
    assert DICTIONARY.uninterruptible
    assert "INNODB_BUFFER_PAGE" in rows[1][0]
    assert BUFFER.uninterruptible
