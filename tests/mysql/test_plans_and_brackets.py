"""Plans of either flavour, what stands around a statement, and addresses."""

import json
from msgspec.structs import replace

import pytest

from safeconsole.mysql.guards import Bracket, bracket_of
from safeconsole.mysql.dialling import NodeAddress, resolve, split_address, tls_for
from safeconsole.mysql.measuring import version_of
from safeconsole.dialects.plans import read_plan
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.mysql.guards import assignment as assignment_of
from safeconsole.mysql.guards import is_in_force, number, wanted_of
from safeconsole.sqltext.dialect import Holds
from safeconsole.policy.decision import Permit
from safeconsole.errors import ConfigurationError, UnreachableError
from safeconsole.dialects.settings import HELD_VALUES, LIMIT_SETTINGS, SESSION_VARIABLES, Ruling
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.config.settings import TlsSettings
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


def test_rows_of_a_nested_loop_multiply_and_filters_count():
    tables = [
        {"table": {"table_name": "a", "access_type": "ALL", "rows_examined_per_scan": 100, "filtered": "10.00"}},
        {"table": {"table_name": "b", "access_type": "ref", "rows_examined_per_scan": 5, "filtered": "100.00"}},
    ]
    plan = read_plan(json.dumps({"query_block": {"nested_loop": tables}}))
    assert (plan.rows, plan.full_scans) == (100 + 10 * 5, ("a",))


def test_a_plan_that_says_no_number_says_none():
    assert read_plan(json.dumps({"query_block": {"message": "No tables used"}})).rows == -1


def test_temporary_tables_are_counted_in_either_flavours_words():
    mysql = {"query_block": {"grouping_operation": {"using_temporary_table": True, "table": {}}}}
    mariadb = {"query_block": {"filesort": {"temporary_table": {"table": {"table_name": "a"}}}}}
    assert read_plan(json.dumps(mysql)).temporary_tables == 1
    assert read_plan(json.dumps(mariadb)).temporary_tables == 1


def test_a_plan_that_is_too_deep_is_a_danger_and_no_failure():
    deep = "{" + '"x": {' * 100_000 + "}" * 100_001
    assert [hazard.id for hazard in read_plan(deep).hazards] == ["unreadable-plan"]


@pytest.mark.parametrize(
    ("plan", "rewritten", "found"),
    [
        ({}, "select sum(internal_data_length(`a`))", ["information-schema-sizes"]),
        ({"table": {"table_name": "stat", "used_columns": ["cached_time"]}}, "", ["information-schema-sizes"]),
        ({"table": {"table_name": "stat", "used_columns": ["n"]}}, "", []),
        (
            {"table": {"table_name": "tbl", "access_type": "eq_ref", "rows_examined_per_scan": 1}},
            "select internal_data_length(`a`)",
            [],
        ),
        (
            {"table": {"table_name": "tbl", "access_type": "ref", "rows_examined_per_scan": 1}},
            "select internal_data_length(`a`)",
            ["information-schema-sizes"],
        ),
        (
            {"table": {"table_name": "tbl", "access_type": "eq_ref", "rows_examined_per_scan": 50_000}},
            "select internal_data_length(`a`)",
            ["information-schema-sizes"],
        ),
        (
            {"x": {"table": {"table_name": "tbl", "access_type": "ALL"}}, "table": {"table_name": "tbl", "access_type": "eq_ref"}},
            "select internal_data_length(`a`)",
            ["information-schema-sizes"],
        ),
        ({"table": {"table_name": "t", "open_full_table": True, "scanned_databases": "all"}}, "", ["opens-every-table"]),
        ({"table": {"table_name": "t", "open_full_table": True, "scanned_databases": 1}}, "", []),
        ({}, "from `information_schema`.`INNODB_TABLESTATS` `x`", ["innodb-dictionary"]),
        ({}, "from `information_schema`.`INNODB_BUFFER_PAGE` `x`", ["innodb-buffer-pages"]),
        ({}, "select 1 from `shop`.`orders`", []),
    ],
)  # fmt: skip
def test_dangers_show_in_plans(plan, rewritten, found):
    assert [hazard.id for hazard in read_plan(json.dumps(plan), rewritten).hazards] == found


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


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("9.7.4-2", 90704),
        ("8.0.36", 80036),
        ("10.11.18-MariaDB-0+deb12u1-log", 101118),
        ("5.5.5-10.6.12-MariaDB", 100612),
        ("8.0.mysql_aurora.3.05.2", 80000),
        ("8.0", 80000),
        ("nonsense", 0),
    ],
)
def test_versions_are_read(text, version):
    assert version_of(text) == version


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("db", ("db", 3306)),
        ("db:33", ("db", 33)),
        ("[::1]:33", ("::1", 33)),
        ("[::1]", ("::1", 3306)),
        ("::1", ("::1", 3306)),
    ],
)
def test_addresses_are_read(address, expected):
    assert split_address(address) == expected


@pytest.mark.parametrize("address", ["", ":3306", "db:", "db:x", "db:0", "db:70000"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigurationError):
        split_address(address)


@pytest.mark.parametrize("name", ["no-such-host.invalid", "x" * 64 + ".invalid", "bücher.invalid", "ü" * 64])
def test_a_name_that_does_not_resolve_is_unreachable(name):
    with pytest.raises(UnreachableError, match="does not resolve"):
        resolve(f"{name}:3306")


@pytest.mark.parametrize(
    ("place", "settings", "encrypted"),
    [
        (NodeAddress(host="localhost", ip="127.0.0.1", port=1), TlsSettings(), False),
        (NodeAddress(host="localhost", ip="::1", port=1), TlsSettings(mode="disabled"), False),
        (NodeAddress(socket="/run/mysqld.sock"), TlsSettings(), False),
        (NodeAddress(host="db", ip="10.0.0.5", port=1), TlsSettings(), True),
    ],
)
def test_tls_is_verified_where_somebody_could_stand_between(place, settings, encrypted):
    context = tls_for(place, settings)
    assert (context is not None) is encrypted
    assert context is None or (context.check_hostname and context.verify_mode.name == "CERT_REQUIRED")


def test_tls_is_not_turned_off_for_a_name_that_only_sounds_local():
    with pytest.raises(ConfigurationError, match="TLS is disabled"):
        tls_for(NodeAddress(host="localhost", ip="10.0.0.5", port=1), TlsSettings(mode="disabled"))


def test_an_authority_that_cannot_be_read_is_said_so(tmp_path):
    with pytest.raises(ConfigurationError, match="tls.ca"):
        tls_for(NodeAddress(host="db", ip="10.0.0.5", port=1), TlsSettings(ca=str(tmp_path / "none.pem")))


def plan_of_mariadb(condition, *, name="t"):
    """A plan as MariaDB writes it: a member a line, and texts in it as they are."""
    return f"""{{
  "query_block": {{
    "table": {{
      "table_name": "{name}",
      "access_type": "ALL",
      "rows": 7,
      "attached_condition": "{condition}"
    }}
  }}
}}"""


@pytest.mark.parametrize(
    "condition",
    [
        "a = 'O\\'Brien'",
        "a = 'a\\Zb'",
        "a = 'a\\\\b'",
        "a = 'tab\there'",
        """a = 'x"y'""",
        """t."status" <> 'zz'""",
        """a <> 'z", "rows": 1, "access_type": "const", "x": "'""",
        """a <> 'z"}}, "query_block": {"table": {"rows": 1, "access_type": "const", "x": "'""",
        """a <> 'z",\u2028"rows": 1,\u2028"x": "'""",
    ],
)
def test_a_plan_with_texts_that_are_no_json_is_read_and_believed_in_its_numbers_alone(condition):
    found = read_plan(plan_of_mariadb(condition), verbatim=True)
    assert (found.rows, found.full_scans, found.hazards, found.keyed) == (7, ("t",), (), False)


def test_an_alias_does_not_change_the_plan():
    found = read_plan(plan_of_mariadb("1", name='t", "rows": 1, "x": "'), verbatim=True)
    assert (found.rows, found.full_scans) == (7, ('t", "rows": 1, "x": "',))


@pytest.mark.parametrize("verbatim", [True, False])
def test_a_plan_that_says_a_number_twice_is_unreadable(verbatim):
    """A name of several lines can bring members of its own."""
    plan = plan_of_mariadb('t.`a",\n"rows": 1,\n"b": "` > 3')
    assert [hazard.id for hazard in read_plan(plan, verbatim=verbatim).hazards] == ["unreadable-plan"]


def test_tables_of_a_join_that_all_stand_under_one_key_are_all_counted():
    table = '{"table_name": "%s", "access_type": "ALL", "rows": 10, "filtered": 100}'
    found = read_plan(f'{{"query_block": {{"table": {table % "a"}, "table": {table % "b"}}}}}', verbatim=True)
    assert (found.rows, set(found.full_scans), found.plain) == (110, {"a", "b"}, False)


@pytest.mark.parametrize("nonsense", ["", "{", '{"a": "\\u12"}', "EXPLAIN"])
def test_a_plan_that_is_no_json_is_unreadable_and_not_missing(nonsense):
    assert [hazard.id for hazard in read_plan(nonsense).hazards] == ["unreadable-plan"]


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
