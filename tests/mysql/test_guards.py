"""Guards and brackets: what is put in force, known to be, and stands around a statement."""

from msgspec.structs import replace

import pytest

from safeconsole.mysql.guards import Bracket, bracket_of
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.mysql.guards import assignment as assignment_of
from safeconsole.mysql.guards import is_in_force, number, wanted_of
from safeconsole.sqltext.dialect import Holds
from safeconsole.policy.decision import Permit
from safeconsole.dialects.settings import HELD_VALUES, LIMIT_SETTINGS, SESSION_VARIABLES, Ruling
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Route


def permit(kind, *effects, account=Account.ELEVATED):
    effects = frozenset(effects)
    return Permit(
        statement=Statement(text=kind, kind=kind, effects=effects),
        node=NodeName("n"),
        identity=Identity(server="s", address="a"),
        route=Route.PRIMARY,
        account=account,
        limits=Limits(),
        read_only=effects <= {Effect.READ, Effect.SESSION},
        rules=(),
    )


@pytest.mark.parametrize(
    ("permitted", "alone", "while_open"),
    [
        (permit("select", Effect.READ), Bracket.READ_ONLY, Bracket.NONE),
        (permit("select", Effect.READ, Effect.SESSION), Bracket.READ_ONLY, Bracket.NONE),
        (permit("set", Effect.SESSION), Bracket.NONE, Bracket.NONE),
        (permit("begin", Effect.SESSION), Bracket.LIFTED, Bracket.LIFTED),
        (permit("begin", Effect.SESSION, account=Account.READ), Bracket.NONE, Bracket.NONE),
        (permit("update", Effect.WRITE), Bracket.READ_WRITE, Bracket.READ_WRITE),
        (permit("load data", Effect.WRITE), Bracket.READ_WRITE, Bracket.READ_WRITE),
        (permit("select", Effect.READ, Effect.LOCK), Bracket.READ_WRITE, Bracket.READ_WRITE),
        (permit("lock tables", Effect.LOCK), Bracket.LIFTED, Bracket.LIFTED),
        (permit("create table", Effect.DDL), Bracket.LIFTED, Bracket.LIFTED),
        (permit("create table", Effect.DDL, Effect.WRITE), Bracket.LIFTED, Bracket.LIFTED),
        (permit("call", Effect.UNKNOWN), Bracket.LIFTED, Bracket.LIFTED),
        (permit("flush", Effect.ADMIN), Bracket.LIFTED, Bracket.LIFTED),
    ],
)
def test_what_stands_around_a_statement(permitted, alone, while_open):
    assert bracket_of(permitted, in_transaction=False) is alone
    assert bracket_of(permitted, in_transaction=True) is while_open
    # What belongs to the person's own transaction has nothing around it: it is theirs to end.
    assert bracket_of(replace(permitted, within=True), in_transaction=True) is Bracket.WITHIN


@pytest.mark.parametrize("effects", [[a, b] for a in Effect for b in Effect])
def test_nothing_but_reads_stands_in_a_read_only_bracket(effects):
    permitted = permit("select", *effects)
    if bracket_of(permitted, in_transaction=False) is Bracket.READ_ONLY:
        assert permitted.statement.effects <= {Effect.READ, Effect.SESSION}
    if permitted.read_only:
        assert bracket_of(permitted, in_transaction=False) in (Bracket.READ_ONLY, Bracket.NONE)


def test_every_server_forbids_writing_first_and_has_a_cap():
    for dialect in (MYSQL, AURORA_MYSQL, MARIADB):
        names = [guard.variable for guard in dialect.server.guards]
        assert names[0] == dialect.server.read_only_variable
        assert {"max_execution_time", "max_statement_time"} & set(names)
        assert len(names) == len(set(names))


@pytest.mark.parametrize(("seconds", "expected"), [(30.0, 30_000), (0.5, 500), (0.0019, 1), (1.2345, 1234)])
def test_a_cap_is_never_longer_than_the_deadline_and_never_off(seconds, expected):
    assert wanted_of(GUARDS["max_execution_time"], Limits(run_seconds=seconds)) == expected


def test_whole_milliseconds_stay_what_they_are():
    assert [
        number
        for number in range(1, 40_000)
        if wanted_of(GUARDS["max_execution_time"], Limits(run_seconds=number / 1000)) != number
    ] == []


def test_numbers_are_written_without_exponents():
    assert [number(value) for value in (30, 0.5, 1e9, 0.000002)] == ["30", "0.5", "1000000000", "0.000002"]


def test_what_is_decided_to_be_owned_is_what_is_set_and_read_back():
    decided = {name for row in SESSION_VARIABLES if row.ruling is Ruling.OWNED for name in row.names}
    held = {"character_set_client", "character_set_connection", "character_set_results"}
    for dialect in (MYSQL, AURORA_MYSQL, MARIADB):
        held |= {guard.variable for guard in dialect.server.guards} | set(dialect.server.idle_variables)
    assert decided == held


GUARDS = {guard.variable: guard for dialect in (MYSQL, MARIADB) for guard in dialect.server.guards}


@pytest.mark.parametrize(
    ("variable", "assignment", "held", "not_held"),
    [
        ("autocommit", "SESSION autocommit = 1", ["1"], ["0"]),
        ("completion_type", "SESSION completion_type = 'NO_CHAIN'", ["NO_CHAIN"], ["CHAIN", "RELEASE", "0"]),
        (
            "sql_select_limit",
            "SESSION sql_select_limit = 18446744073709551615",
            ["18446744073709551615"],
            ["3", "18446744073709551614"],
        ),
        (
            "max_tmp_session_space_usage",
            "SESSION max_tmp_session_space_usage = CAST(IF(@@GLOBAL.max_tmp_session_space_usage BETWEEN 1 AND"
            " 1073741824, @@GLOBAL.max_tmp_session_space_usage, 1073741824) AS UNSIGNED)",
            ["65536", "1073741824"],
            ["0", "1073741825"],
        ),
        (
            "max_sort_length",
            "SESSION max_sort_length = CAST(GREATEST(@@GLOBAL.max_sort_length, 1024) AS UNSIGNED)",
            ["1024", "4096"],
            ["64"],
        ),
        (
            "tx_isolation",
            "SESSION tx_isolation = IF(@@GLOBAL.tx_isolation IN ('REPEATABLE-READ', 'READ-COMMITTED'),"
            " @@GLOBAL.tx_isolation, 'REPEATABLE-READ')",
            ["REPEATABLE-READ", "READ-COMMITTED"],
            ["SERIALIZABLE", "READ-UNCOMMITTED"],
        ),
        ("system_versioning_asof", "SESSION system_versioning_asof = DEFAULT", ["DEFAULT"], ["2001-01-01 00:00:00"]),
    ],
)
def test_a_guard_is_put_in_force_and_known_to_be(variable, assignment, held, not_held):
    guard, limits = GUARDS[variable], Limits()
    assert assignment_of(guard, limits) == assignment
    assert [is_in_force(guard, reading, limits) for reading in (*held, *not_held)] == [True] * len(held) + [
        False
    ] * len(not_held)


@pytest.mark.parametrize("setting", sorted(HELD_VALUES))
def test_what_counts_as_held_is_what_the_guards_hold(setting):
    if setting.startswith("character_set_"):
        assert HELD_VALUES[setting] == {"UTF8MB4"}
        return
    guard, words = GUARDS[setting], {"ON": "1", "TRUE": "1", "OFF": "0", "FALSE": "0", "0": "0", "1": "1"}
    for value in HELD_VALUES[setting] - ({"0"} if guard.words else set()):
        assert is_in_force(guard, words.get(value, value), Limits()), value
    assert guard.holds is Holds.EQUAL


@pytest.mark.parametrize(("setting", "follows"), LIMIT_SETTINGS.items())
def test_a_setting_that_follows_a_ceiling_is_set_to_what_the_ceiling_says(setting, follows):
    limit, units = follows
    limits = Limits(**{limit: 2.0})
    assert GUARDS[setting].limit
    assert wanted_of(GUARDS[setting], limits) == 2 * units
