"""What the console's accounts need, and what would be more than that."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.dialects.grants import (
    OWN_SCHEMA,
    grant_statements,
    judged,
    needed_grants,
    privileges_of,
    quoted_account,
)
from safeconsole.sqltext.vocabulary import Privilege
from safeconsole.sqltext.vocabulary import Account

READ, ELEVATED, DIAGNOSE = Account.READ, Account.ELEVATED, Account.DIAGNOSE
NAMES = st.text(min_size=1, max_size=12)


def needed(dialect=MYSQL, account=READ, schema="shop"):
    """The privileges of an account that has exactly what it needs."""
    return [
        p for line in needed_grants(dialect, account, schema=schema) for p in privileges_of(f"GRANT {line} TO `x`@`%`")
    ]


def findings(*extra, dialect=MYSQL, account=READ, schema="shop", held=None):
    held = needed(dialect, account) if held is None else held
    return [*judged(dialect, account, [*held, *extra], grantee="'x'@'%'", schema=schema)]


@pytest.mark.parametrize("dialect", [MYSQL, MARIADB, AURORA_MYSQL])
@pytest.mark.parametrize("account", [READ, ELEVATED, DIAGNOSE])
def test_what_is_granted_is_enough_and_not_too_much(dialect, account):
    assert findings(dialect=dialect, account=account) == []
    assert findings(dialect=dialect, account=account, schema="") == []


@pytest.mark.parametrize("dialect", [MYSQL, MARIADB])
@pytest.mark.parametrize("account", [READ, ELEVATED, DIAGNOSE])
def test_each_thing_that_is_needed_is_missed(dialect, account):
    held = needed(dialect, account)
    for privilege in held:
        if privilege.routine and dialect.grants_show_hashes:
            # No list that the account may read has its routines there.
            continue
        rest = [other for other in held if other is not privilege]
        (missing,) = findings(dialect=dialect, account=account, held=rest)
        assert (missing.kind, missing.remedy) == ("missing", f"GRANT {privilege.text} TO 'x'@'%'")


@pytest.mark.parametrize("account", [READ, ELEVATED])
def test_without_show_view_an_account_is_told_what_becomes_of_views(account):
    rest = [privilege for privilege in needed(account=account) if privilege.name != "SHOW VIEW"]
    (missing,) = findings(account=account, held=rest)
    assert "an elevation" in missing.why


@pytest.mark.parametrize(
    "line",
    [
        "GRANT SELECT ON *.*",
        "GRANT PROCESS ON *.*",
        "GRANT SELECT ON `mysql`.*",
        "GRANT SELECT ON `mysql`.`user`",
        "GRANT SELECT ON `performance_schema`.`threads`",
        "GRANT SELECT (`PROCESSLIST_INFO`) ON `performance_schema`.`threads`",
        "GRANT INSERT ON `shop`.`orders`",
        "GRANT UPDATE (`total`) ON `shop`.`orders`",
        "GRANT EXECUTE ON `shop`.*",
        "GRANT CREATE TEMPORARY TABLES ON `shop`.*",
        "GRANT ALL PRIVILEGES ON `shop`.*",
        "GRANT CONNECTION_ADMIN ON *.*",
        "GRANT SOMETHING_OF_NEXT_YEAR ON *.*",
    ],
)
def test_what_an_account_for_reading_has_no_use_for_is_too_wide(line):
    (found,) = findings(*privileges_of(f"{line} TO `x`@`%`"))
    assert found.kind == "wide"
    assert found.why
    assert found.remedy == f"{line.replace('GRANT', 'REVOKE', 1)} FROM 'x'@'%'"


def test_handing_on_is_too_wide_and_taken_away_by_itself():
    (found,) = findings(*privileges_of("GRANT SHOW VIEW ON `shop`.* TO `x`@`%` WITH GRANT OPTION"))
    assert (found.kind, found.remedy) == ("wide", "REVOKE GRANT OPTION ON `shop`.* FROM 'x'@'%'")


@pytest.mark.parametrize(
    "line, wide",
    [
        ("GRANT ALTER ON `shop`.*", False),
        ("GRANT ALTER ON *.*", True),
        ("GRANT UPDATE ON `mysql`.*", True),
        ("GRANT SUPER ON *.*", True),
        ("GRANT FILE ON *.*", True),
        ("GRANT EXECUTE ON `shop`.*", True),
    ],
)
def test_an_elevated_account_changes_the_application_only(line, wide):
    assert [found.kind for found in findings(*privileges_of(f"{line} TO `x`@`%`"), account=ELEVATED)] == ["wide"] * wide


@pytest.mark.parametrize(
    "pattern, met", [("shop", True), ("sh_p", True), ("sh%", True), (r"sh\_p", False), ("sho", False)]
)
def test_a_schema_in_a_grant_is_a_pattern(pattern, met):
    held = [p for p in needed() if p.schema != "shop"]
    given_there = [Privilege(name=name, schema=pattern) for name in ("SELECT", "SHOW VIEW")]
    assert (findings(*given_there, held=held) == []) is met


def test_a_part_of_the_schema_is_a_choice_and_no_lack():
    held = [p for p in needed() if p.schema != "shop"]
    tables = [Privilege(name=name, schema="shop", table="orders") for name in ("SELECT", "SHOW VIEW")]
    assert findings(*tables, held=held) == []


@given(
    st.lists(
        st.sampled_from(["SELECT", "INSERT", "SHOW VIEW", "REPLICATION CLIENT"]), min_size=1, max_size=3, unique=True
    ),
    NAMES,
    NAMES,
    st.lists(NAMES, max_size=3).map(tuple),
    st.booleans(),
)
def test_what_a_grant_says_is_read_back_whatever_the_names(names, schema, table, columns, grantable):
    privileges = tuple(
        Privilege(name=name, schema=schema, table=table, columns=columns, grantable=grantable) for name in names
    )
    what = ", ".join(p.text.removesuffix(f" ON {p.place}") for p in privileges)
    option = " WITH GRANT OPTION" if grantable else ""
    assert privileges_of(f"GRANT {what} ON {privileges[0].place} TO `x`@`%`{option}") == privileges


@pytest.mark.parametrize(
    "line",
    [
        'GRANT SELECT ("a", "b""c"), INSERT ON "shop"."orders" TO "x"@"%"',
        'GRANT SELECT (a, `b"c`), INSERT ON shop.orders TO x@"%"',
    ],
)
def test_names_are_read_in_every_way_in_which_a_server_quotes_them(line):
    place = {"schema": "shop", "table": "orders"}
    assert privileges_of(line) == (
        Privilege(name="SELECT", columns=("a", 'b"c'), **place),
        Privilege(name="INSERT", **place),
    )


@pytest.mark.parametrize(
    "line",
    [
        "GRANT PROXY ON ``@`` TO `root`@`localhost` WITH GRANT OPTION",
        "REVOKE SELECT ON `mysql`.* FROM `x`@`%`",
        "GRANT `role`@`%` TO `x`@`%`",
        "GRANT EXECUTE ON PACKAGE `shop`.`p` TO `x`@`%`",
        "GRANT select ON `shop`.* TO `x`@`%`",
        "",
    ],
)
def test_a_grant_that_is_not_understood_says_so(line):
    assert privileges_of(line) is None


def test_every_need_says_what_is_lost_and_names_one_schema():
    for need in (*MYSQL.needs, *MARIADB.needs):
        assert need.why
        assert len({p.schema for p in need.privileges}) == 1
        assert all(p.schema == OWN_SCHEMA or p.schema == p.schema.lower() for p in need.privileges)


def test_an_account_is_quoted():
    assert quoted_account("o'brien", "%") == "'o''brien'@'%'"
    assert grant_statements(MARIADB, READ, user="x")[0].endswith("MAX_USER_CONNECTIONS 6 MAX_STATEMENT_TIME 2")
    assert "`app`.*" in "".join(grant_statements(MYSQL, READ, user="x"))


def test_the_advice_of_other_commands_is_not_called_wrong():
    for line in ("GRANT SELECT ON `performance_schema`.`data_lock_waits`",):
        assert list(findings(*privileges_of(f"{line} TO `x`@`%`"), account=READ)) == []


def test_no_page_and_no_command_asks_for_what_the_doctor_calls_wrong():
    """Every GRANT that the documentation prints for the read account is right for it."""
    for page in (Path(__file__).parents[2] / "docs").rglob("*.md"):
        for line in re.findall(r"^ +(GRANT [^;]+ TO 'console_read'@'…');", page.read_text(), re.MULTILINE):
            found = findings(*privileges_of(line.replace("'console_read'@'…'", "`x`@`%`")), account=READ)
            assert [each.what for each in found if each.kind == "wide"] == [], f"{page.name}: {line}"


@pytest.mark.parametrize("people", [1, 3, 60])
def test_an_accounts_connections_follow_the_people(people):
    made = [grant_statements(MYSQL, account, user="x", people=people)[0] for account in (READ, ELEVATED)]
    assert [line.rpartition(" ")[2] for line in made] == [str(2 * people), str(2 * people)]


@pytest.mark.parametrize(
    "line",
    [
        "GRANT SELECT ON `shop`.*",
        "GRANT SELECT ON *.*",
        "GRANT SELECT ON `mysql`.`innodb_table_stats`",
        "GRANT SHOW VIEW ON `shop`.*",
        "GRANT EXECUTE ON PROCEDURE `sys`.`ps_truncate_all_tables`",
        "GRANT EXECUTE ON `sys`.*",
        "GRANT EXECUTE ON FUNCTION `shop`.`f`",
        "GRANT UPDATE ON `performance_schema`.`setup_instruments`",
        "GRANT CONNECTION_ADMIN ON *.*",
        "GRANT INSERT ON `shop`.`orders`",
    ],
)
def test_an_account_for_diagnosis_sees_what_a_server_does_and_nothing_else(line):
    (wide,) = findings(*privileges_of(f"{line} TO `x`@`%`"), account=DIAGNOSE)
    assert wide.kind == "wide"


@pytest.mark.parametrize(
    "line", ["GRANT SELECT ON `performance_schema`.*", "GRANT SELECT ON `sys`.*", "GRANT BINLOG MONITOR ON *.*"]
)
def test_more_of_the_servers_own_readings_is_not_too_much_for_diagnosis(line):
    assert findings(*privileges_of(f"{line} TO `x`@`%`"), account=DIAGNOSE) == []


def test_a_routine_is_named_as_grant_writes_it():
    (held,) = privileges_of("GRANT EXECUTE ON FUNCTION `sys`.`format_statement` TO `x`@`%`")
    assert held.text == "EXECUTE ON FUNCTION `sys`.`format_statement`"


@pytest.mark.parametrize("name", ["rds_kill", "rds_kill_query"])
def test_an_elevated_account_may_end_sessions_as_rds_has_it(name):
    line = f"GRANT EXECUTE ON PROCEDURE `mysql`.`{name}` TO `x`@`%`"
    assert findings(*privileges_of(line), account=ELEVATED) == []
    assert [each.kind for each in findings(*privileges_of(line), account=READ)] == ["wide"]


def test_who_may_end_any_session_on_aurora_needs_no_procedure_for_it():
    held = [each for each in needed(AURORA_MYSQL, ELEVATED) if not each.table.startswith("rds_kill")]
    (admin,) = privileges_of("GRANT CONNECTION_ADMIN ON *.* TO `x`@`%`")
    assert {each.kind for each in findings(dialect=AURORA_MYSQL, account=ELEVATED, held=held)} == {"missing"}
    assert findings(admin, dialect=AURORA_MYSQL, account=ELEVATED, held=held) == []
