"""A condition is checked when it is read, and judging it never raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.policy.facts import FACTS, Circumstances, facts_of
from safeconsole.policy.readings import route_of
from safeconsole.policy.rules import Match, compile_condition, facts_named, filled, match, offered, unknown_places
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour

READ = Statement(text="select 1", kind="select", effects=frozenset({Effect.READ}))
FACTS_OF_READ = facts_of(
    READ, route=route_of(READ), reading=None, estimate=Estimate(), circumstances=Circumstances(flavour=Flavour.MYSQL)
)


def judged(when, **changes):
    return match(compile_condition(when), offered(FACTS_OF_READ | changes))


@pytest.mark.parametrize(
    ("when", "outcome"),
    [
        ("stmt.plain_read", Match.YES),
        ("stmt.plain_read && node.role == 'primary'", Match.NO),
        ("'write' in stmt.effects", Match.NO),
        ("stmt.effects.all(e, e in ['read', 'session'])", Match.YES),
        ("node.tables < 0 || node.tables > 2000", Match.YES),
        ("node.lag_seconds > 5.0", Match.NO),
        ("stmt.tables.exists(t, t.startsWith('shop.'))", Match.NO),
        ("node.tables / 0 == 1", Match.FAILED),
        ("stmt.effects[7] == 'read'", Match.FAILED),
        # The expression language lets a certain half decide; a failing other half changes nothing then.
        ("stmt.plain_read || node.tables / 0 == 1", Match.YES),
    ],
)
def test_conditions_mean_what_they_say(when, outcome):
    assert judged(when)[0] is outcome


def test_a_failure_says_why():
    assert "divide by zero" in judged("node.tables / 0 == 1")[1]


@pytest.mark.parametrize(
    ("when", "complaint"),
    [
        ("stmt.kindd == 'select'", "unknown fact 'stmt.kindd'; perhaps 'stmt.kind'"),
        ("quux", "unknown fact 'quux'"),
        ("node.lag_seconds > 5", "no matching overload"),
        ("stmt.plain_read == 'yes'", "no matching overload"),
        ("node.tables", "true or false, this one is INT"),
        ("stmt.kind", "true or false, this one is STRING"),
        ("", "Syntax error"),
        ("stmt.kind ==", "Syntax error"),
        ("(" * 5000 + "true" + ")" * 5000, "recursion limit"),
        ("node.role == 'primry'", "node.role compares with 'primry', which it never is; perhaps 'primary'"),
        ("'writes' in stmt.effects", "stmt.effects compares with 'writes', which it never is; perhaps 'write'"),
        ('node.role == "primry"', "'primry'"),
        ("stmt.effects.exists(e, e in ['read', 'sesion'])", "'sesion'"),
        ("stmt.hazard_costs.exists(c, c == 'zzzz')", "'zzzz', which it never is"),
    ],
)
def test_what_could_never_work_is_refused_when_it_is_read(when, complaint):
    with pytest.raises(ValueError) as refusal:
        compile_condition(when)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "when",
    [
        "node.role == 'primary' && stmt.kind == 'anything at all'",
        "node.role.startsWith('prim')",
        "elevation.scope == ''",
        "'shop.primry' in stmt.tables && node.role == 'primary'",
    ],
)
def test_words_are_left_alone_where_they_may_be_right(when):
    assert judged(when)[0] in {Match.YES, Match.NO}


@pytest.mark.parametrize(
    "broken",
    [{}, {"stmt.kind": None}, {"stmt.kind": 5}, {"stmt.kind": ["select"]}],
)
def test_a_missing_or_misshapen_fact_fails_and_is_never_a_no(broken):
    outcome, why = match(compile_condition("stmt.kind != 'select'"), offered(broken))
    assert outcome is Match.FAILED
    assert why


def test_a_number_too_large_for_the_language_fails():
    assert judged("node.tables > 5", **{"node.tables": 2**70})[0] is Match.FAILED


def test_whatever_breaks_while_judging_is_a_failure():
    assert match(compile_condition("stmt.plain_read"), None)[0] is Match.FAILED
    assert match(None, offered(FACTS_OF_READ))[0] is Match.FAILED


@given(st.text(max_size=40))
def test_no_text_makes_reading_a_condition_raise_anything_else(text):
    try:
        compile_condition(text)
    except ValueError as error:
        assert str(error)


@given(st.sampled_from(sorted(FACTS)), st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.lists(st.text())))
def test_judging_never_raises_whatever_a_fact_holds(name, value):
    outcome, _ = match(
        compile_condition("stmt.plain_read && node.tables < 9 && 'x' in stmt.tables"),
        offered({**FACTS_OF_READ, name: value}),
    )
    assert outcome in Match


def test_facts_are_named_outside_quotes_only_and_once():
    when = "stmt.kind == 'node.role' && stmt.kind != \"person.name\" && node.tables > 5"
    assert facts_named(when) == ("stmt.kind", "node.tables")


def test_places_in_messages_are_filled_with_facts():
    text = "{stmt.kind} on {node.role} with {stmt.effects}, {no.fact}"
    assert filled(text, FACTS_OF_READ) == "select on replica with read, ?"
    assert unknown_places(text) == ("no.fact",)


def test_large_numbers_in_messages_are_grouped():
    facts = {"estimate.changed_rows": 1234567, "stmt.locks": True}
    assert filled("about {estimate.changed_rows} rows, {stmt.locks}", facts) == "about 1,234,567 rows, True"


@pytest.mark.parametrize(("tables", "text"), [(["shop.a", "b"], "drop of shop.a, b ends"), ([], "drop ends")])
def test_of_nothing_is_left_out_of_a_message(tables, text):
    assert filled("drop of {stmt.tables} ends", {"stmt.tables": tables}) == text


@pytest.mark.parametrize(
    "when", ["node.tables > 5001", "5001 < node.tables", "node.role == 'primary' && node.tables>=9999"]
)
def test_no_rule_asks_for_more_tables_than_are_counted(when):
    with pytest.raises(ValueError, match="counted up to 5000"):
        compile_condition(when)


def test_other_numbers_may_be_as_large_as_they_like():
    compile_condition("estimate.rows > 1000000 || node.tables < 0 || node.tables > 5000 || 5000 <= node.tables")
