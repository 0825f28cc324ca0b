"""The strictest verdict and the tightest limits win, and what is not allowed is denied."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.errors import ConfigurationError, PolicyInvalidError
from safeconsole.policy.facts import Circumstances, facts_of
from safeconsole.policy.policy import FenceSettings, FenceMode
from safeconsole.policy.limits import LIMIT_NAMES, Limits
from safeconsole.policy.policy import capped, judge, replaced, session_limits
from safeconsole.policy.document import policy_from_document
from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Hazard, Statement
from safeconsole.sqltext.vocabulary import CostClass, Effect, Flavour, Route, Verdict

HASH = "abcdef0123456789" * 4


def policy(*rules, lines=None, **document):
    return policy_from_document(
        "mine", {"rules": list(rules), **document}, source="mine.yaml", text_hash=HASH, lines=lines or {}
    )


def rule(name, when="true", then="allow", **rest):
    return {"id": name, "when": when, "then": then, **rest}


def facts(*effects, instead="", role=Route.REPLICA):
    hazards = (Hazard(id="h", cost=CostClass.BURNS_TIME, why="it burns", instead=instead),) if instead else ()
    statement = Statement(text="x", kind="select", effects=frozenset(effects or {Effect.READ}), hazards=hazards)
    return facts_of(
        statement, route=role, reading=None, estimate=Estimate(), circumstances=Circumstances(flavour=Flavour.MYSQL)
    )


def test_an_empty_policy_denies_and_says_so():
    decision = judge(policy(), facts())
    assert decision.verdict is Verdict.DENY
    assert decision.message == "policy mine denies: it has no rules"
    assert decision.rules == ()


def test_what_no_rule_allows_is_denied():
    decision = judge(policy(rule("a", "stmt.kind == 'show'")), facts())
    assert (decision.verdict, decision.message) == (Verdict.DENY, "policy mine denies: no rule allows this")


def test_a_rule_that_only_tightens_is_no_answer():
    decision = judge(policy({"id": "a", "when": "true", "limits": {"run_seconds": 3}}), facts())
    assert decision.verdict is Verdict.DENY
    assert decision.rules == ("a",)


def needed(*rules, role=Route.REPLICA, **document):
    return judge(policy(*rules, **document), facts(role=role)).sensors


def test_a_statement_needs_the_sensors_of_the_policy_and_of_all_its_rules():
    on_primary = {"id": "b", "when": "node.role == 'primary'", "sensors": ["session_memory_bytes", "opened_tables"]}
    rules = [rule("a", sensors=["opened_tables"]), on_primary]
    assert needed(*rules) == ("opened_tables",)
    assert needed(*rules, role=Route.PRIMARY) == ("session_memory_bytes", "opened_tables")
    assert needed(*rules, sensors=["threads_running"]) == ("opened_tables", "threads_running")
    assert needed(rule("a")) == ()


def test_a_floor_of_free_memory_needs_its_sensor():
    assert needed(rule("a", limits={"free_memory_bytes": 5})) == ("free_memory_bytes",)
    assert needed(rule("a"), limits={"free_memory_bytes": 5}) == ("free_memory_bytes",)


def test_rules_that_only_observe_need_no_sensor():
    assert needed(rule("a", sensors=["opened_tables"]), mode="observe") == ()


def test_a_rule_may_only_name_sensors():
    (only,) = policy({"id": "a", "when": "true", "sensors": ["opened_tables"]}).rules
    both = policy({"id": "a", "when": "true", "sensors": ["opened_tables"], "limits": {"run_seconds": 1}}).rules[0]
    assert (only.says, both.says) == ("sensors only", "limits and sensors only")


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_rule_that_cannot_be_judged_denies_wherever_it_stands(position):
    rules = [rule("a"), rule("b", then="elevate")]
    rules.insert(position, rule("broken", "node.tables / 0 == 1"))
    decision = judge(policy(*rules), facts())
    assert decision.verdict is Verdict.DENY
    assert "broken" in decision.rules
    assert decision.message.startswith("rule broken cannot be judged, so nothing is allowed: ")


def test_facts_that_are_missing_deny():
    assert judge(policy(rule("a", "stmt.plain_read")), {}).verdict is Verdict.DENY


WORDS = st.sampled_from(["allow", "confirm", "elevate", "deny"])


@given(st.lists(WORDS, min_size=1, max_size=6), st.randoms())
def test_the_strictest_rule_decides_in_every_order(words, random):
    rules = [rule(f"r{number}", then=word) for number, word in enumerate(words)]
    random.shuffle(rules)
    assert judge(policy(*rules), facts()).verdict == max(Verdict[word.upper()] for word in words)


@given(st.lists(st.tuples(WORDS, st.booleans()), max_size=5), WORDS)
def test_one_more_rule_never_loosens_a_policy_that_answers(rules, more):
    base = [
        rule(f"r{n}", "stmt.plain_read" if hits else "!stmt.plain_read", word) for n, (word, hits) in enumerate(rules)
    ]
    before = judge(policy(rule("always"), *base), facts()).verdict
    after = judge(policy(rule("always"), *base, rule("more", then=more)), facts()).verdict
    assert after >= before


@given(
    st.lists(st.dictionaries(st.sampled_from(LIMIT_NAMES), st.integers(1, 10**6), max_size=4), max_size=5), st.randoms()
)
def test_the_tightest_limit_wins_in_every_order(limits, random):
    rules = [rule(f"r{n}", limits={k: float(v) for k, v in each.items()}) for n, each in enumerate(limits)] or [
        rule("a")
    ]
    first = judge(policy(*rules), facts()).limits
    random.shuffle(rules)
    assert judge(policy(*rules), facts()).limits == first
    for name in LIMIT_NAMES:
        asked = [each[name] for each in limits if name in each] + [getattr(Limits(), name)]
        assert getattr(first, name) == (max(asked) if name == "free_memory_bytes" else min(asked))


def test_each_tightened_limit_names_its_rule():
    decision = judge(
        policy(
            rule("a", limits={"run_seconds": 20, "fetched_rows": 50}),
            rule("b", limits={"run_seconds": 5, "fetched_rows": 500}),
            rule("c", "stmt.kind == 'show'", limits={"run_seconds": 1}),
        ),
        facts(),
    )
    assert (decision.limits.run_seconds, decision.limits.fetched_rows) == (5.0, 50)
    assert set(decision.limit_sources) == {"run_seconds: b", "fetched_rows: a"}


def test_a_sessions_own_limits_are_kept_and_named():
    decision = judge(policy(rule("a")), facts(), limits=Limits(run_seconds=7))
    assert decision.limits.run_seconds == 7
    assert decision.limit_sources == ("run_seconds: session",)


def test_the_strictest_rules_message_is_shown_with_its_facts():
    decision = judge(
        policy(
            rule("a", message="fine"),
            rule("b", then="elevate", message="a {stmt.kind} on a {node.role}", instead="wait"),
        ),
        facts(),
    )
    assert (decision.message, decision.instead) == ("a select on a replica", "wait")
    assert decision.rules == ("a", "b")
    assert decision.policy == "mine@abcdef012345"


def test_a_rule_without_a_message_still_says_something():
    assert judge(policy(rule("a", then="confirm")), facts()).message == "rule a says confirm"


def test_the_dangers_own_alternative_comes_before_the_rules():
    decided = judge(policy(rule("a", then="elevate", instead="in general")), facts(instead="in particular"))
    assert decided.instead == "in particular"


def test_what_is_allowed_needs_no_alternative():
    decision = judge(policy(rule("a", message="within limits", instead="x")), facts(instead="in particular"))
    assert (decision.instead, decision.message) == ("", "within limits")


def test_observing_tells_and_stops_nothing():
    observed = judge(policy(rule("a", then="deny", limits={"run_seconds": 1}), mode="observe"), facts())
    assert observed.observed
    assert observed.verdict is Verdict.DENY
    assert observed.limits == Limits()
    assert observed.limit_sources == ("run_seconds: a",)
    assert not judge(policy(rule("a")), facts()).observed


def test_modes_and_labels_read_as_in_the_file():
    assert policy(mode="observe").mode == "observe"
    assert policy().mode == "enforce"
    assert policy(literals="drop").literals.strictest.word == "drop"


def test_what_becomes_of_literals_is_said_by_table_and_column():
    literals = policy(literals="hash", literals_of={"shop.customers.email": "drop"}).literals
    assert [(rule.name, rule.treatment.word) for rule in literals.rules] == [("shop.customers.email", "drop")]
    with pytest.raises(PolicyInvalidError, match="literals_of: customers: it is schema.table or schema.table.column"):
        policy(literals_of={"customers": "drop"})
    with pytest.raises(PolicyInvalidError, match="invalid enum value 'keep'"):
        policy(literals_of={"shop.customers": "keep"})


# Session limits

LOOSENABLE = {
    "limits": {"run_seconds": 30, "free_memory_bytes": 1000},
    "ceilings": {"run_seconds": 60, "free_memory_bytes": 10},
}


@pytest.mark.parametrize(
    ("name", "value"), [("run_seconds", 60), ("run_seconds", 1), ("free_memory_bytes", 10), ("fetched_rows", 5)]
)
def test_a_person_may_tighten_freely_and_loosen_to_the_ceiling(name, value):
    assert getattr(session_limits(policy(**LOOSENABLE), {name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run_seconds", 60.1),
        ("run_seconds", math.inf),
        ("run_seconds", math.nan),
        ("run_seconds", 0),
        ("run_seconds", -math.inf),
        ("fetched_rows", 10_001),
        ("fetched_rows", 1.5),
        ("free_memory_bytes", 9),
        ("speed", 1),
        ("lock_wait_seconds", 0.5),
    ],
)
def test_and_no_further(name, value):
    with pytest.raises(ConfigurationError) as refusal:
        session_limits(policy(**LOOSENABLE), {name: value})
    assert name in refusal.value.message


def test_replacing_an_unknown_limit_is_refused():
    with pytest.raises(ValueError, match="unknown limit speed"):
        replaced(Limits(), {"speed": 1})


# Documents


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (None, "expected `object`, got `null`"),
        ([], "expected `object`, got `array`"),
        ({}, "object missing required field `rules`"),
        ({"rules": [], "rulez": []}, "object contains unknown field `rulez`"),
        ({"rules": [5]}, "expected `object`, got `int` at rules[0]"),
        (
            {"rules": [{"id": "a", "when": True, "then": "allow"}]},
            "rule a: expected `str`, got `bool` at rules[0].when",
        ),
        (
            {"rules": [{"id": "a", "when": "true", "then": "alow"}]},
            "rule a: invalid enum value 'alow' at rules[0].then",
        ),
        ({"rules": [], "mode": "loose"}, "invalid enum value 'loose' at mode"),
        ({"rules": [], "elevation": {"two_persons": ["dll"]}}, "invalid enum value 'dll' at elevation.two_persons[0]"),
        (
            {"rules": [{"id": "A b", "when": "true", "then": "allow"}]},
            "rule A b: an id is lower-case words joined by hyphens",
        ),
        ({"rules": [rule("a"), rule("a")]}, "rule a: another rule has the same id"),
        ({"rules": [{"id": "a", "when": "true"}]}, "rule a: it says nothing"),
        ({"rules": [rule("a", "stmt.kindd == 'x'")]}, "rule a: unknown fact 'stmt.kindd'; perhaps 'stmt.kind'"),
        ({"rules": [rule("a", sensors=["speed"])]}, "rule a: invalid enum value 'speed' at rules[0].sensors[0]"),
        ({"rules": [], "sensors": ["speed"]}, "invalid enum value 'speed' at sensors[0]"),
        ({"rules": [rule("a", limits={"speed": 1})]}, "rule a: unknown limit speed"),
        ({"rules": [rule("a", limits={"run_seconds": 0})]}, "rule a: limits out of range"),
        ({"rules": [rule("a", limits={"run_seconds": math.inf})]}, "rule a: run_seconds cannot be inf"),
        ({"rules": [rule("a", limits={"fetched_rows": 1.5})]}, "rule a: fetched_rows cannot be 1.5"),
        ({"rules": [rule("a", limits={"fetched_rows": True})]}, "expected `float`, got `bool`"),
        ({"rules": [rule("a", message="{stmt.kindd}")]}, "rule a: unknown fact {stmt.kindd} in `message`"),
        ({"rules": [rule("a", instead="two\nlines")]}, "rule a: `instead` is one line"),
        ({"rules": [], "limits": {"speed": 1}}, "unknown limit speed"),
        ({"rules": [], "limits": {"run_seconds": math.nan}}, "run_seconds cannot be nan"),
        (
            {"rules": [], "ceilings": {"run_seconds": 29}},
            "the ceiling of run_seconds, 29, is tighter than its limit, 30",
        ),
        ({"rules": [], "ceilings": {"free_memory_bytes": 5}}, "the ceiling of free_memory_bytes, 5, is tighter"),
        ({"rules": [], "gates": {"speed": 1}}, "unknown gate speed: one of lag_seconds"),
        ({"rules": [], "gates": {"lag_seconds": -1}}, "lag_seconds cannot be -1"),
        ({"rules": [], "gates": {"lag_seconds": math.nan}}, "lag_seconds cannot be nan"),
        ({"rules": [], "elevation": {"window_seconds": 0}}, "window_seconds must be over 0"),
        ({"rules": [], "elevation": {"window_seconds": 10000}}, "at most max_window_seconds"),
        ({"rules": [], "elevation": {"max_window_seconds": math.inf}}, "at most max_window_seconds"),
    ],
)
def test_a_document_with_one_bad_line_is_refused_whole(document, complaint):
    with pytest.raises(PolicyInvalidError) as refusal:
        policy_from_document("mine", document, source="mine.yaml", text_hash=HASH)
    assert refusal.value.message.startswith("mine.yaml: ")
    assert complaint in refusal.value.message


def test_every_problem_is_told_with_its_line():
    lines = {"": 1, "rules": 2, "rules[0]": 3, "rules[0].when": 4, "rules[1]": 6, "limits": 9, "limits.speed": 10}
    with pytest.raises(PolicyInvalidError) as refusal:
        policy(rule("a", "x == 1"), rule("b", "y == 1"), lines=lines, limits={"speed": 1})
    told = (refusal.value.message, *refusal.value.evidence)
    assert [line.split(": unknown")[0] for line in told] == [
        "mine.yaml:4: rule a",
        "mine.yaml:6: rule b",
        "mine.yaml:10",
    ]


def test_a_path_without_a_line_takes_the_line_of_what_holds_it():
    with pytest.raises(PolicyInvalidError) as refusal:
        policy({"id": "a", "when": "true", "then": "alow"}, lines={"": 1, "rules[0]": 7})
    assert refusal.value.message.startswith("mine.yaml:7: rule a: ")


def test_gates_limits_and_elevation_are_read():
    read = policy(
        rule("a"),
        gates={"lag_seconds": 5, "threads_running": 9},
        limits={"run_seconds": 3},
        ceilings={"run_seconds": 9},
        elevation={"two_persons": ["ddl"], "ticket_required": True, "window_seconds": 60},
    )
    assert (read.gates.lag_seconds, read.gates.threads_running) == (5.0, 9)
    assert (read.limits.run_seconds, read.ceilings.run_seconds, read.ceilings.fetched_rows) == (3.0, 9.0, 10_000)
    assert read.elevation.two_persons == (Effect.DDL,)
    assert (read.name, read.source, read.hash, read.rules[0].line) == ("mine", "mine.yaml", HASH, 0)


# The configuration.


@given(
    run=st.floats(0.5, 500),
    caps=st.dictionaries(st.sampled_from(["run_seconds", "fetched_rows"]), st.integers(1, 50_000)),
)
def test_nobody_asks_for_more_than_the_configuration_allows(run, caps):
    rules = policy(limits={"run_seconds": 20}, ceilings={"run_seconds": 300, "fetched_rows": 40_000})
    held = capped(rules, caps)
    for name, most in caps.items():
        assert getattr(held.limits, name) <= most
        assert getattr(held.ceilings, name) <= most
        assert getattr(held.ceilings, name) <= getattr(rules.ceilings, name)
        with pytest.raises(ConfigurationError, match="exceeds the maximum of"):
            session_limits(held, {name: min(most, getattr(rules.ceilings, name)) + 1})
    assert session_limits(held, {}) == held.limits
    try:
        assert session_limits(held, {"run_seconds": run}).run_seconds <= caps.get("run_seconds", 300)
    except ConfigurationError:
        assert run > min(caps.get("run_seconds", 300), 300)


def test_a_floor_of_the_configuration_is_not_lowered():
    held = capped(policy(), {"free_memory_bytes": 1000})
    assert held.limits.free_memory_bytes == 1000
    with pytest.raises(ConfigurationError, match="is below the minimum of the configuration"):
        session_limits(held, {"free_memory_bytes": 999})
    assert session_limits(held, {"free_memory_bytes": 1001}).free_memory_bytes == 1001


@pytest.mark.parametrize("key", ["read_idle_seconds", "write_idle_seconds"])
@pytest.mark.parametrize(("seconds", "fits"), [(0.0, False), (-1.0, False), (1.0, True), (300.0, True), (300.1, False)])
def test_a_transaction_stands_idle_no_longer_than_the_servers_let_it(key, seconds, fits):
    if fits:
        assert getattr(policy(transactions={key: seconds}).transactions, key) == seconds
    else:
        with pytest.raises(PolicyInvalidError, match=f"{key} must be over 0 and at most 300"):
            policy(transactions={key: seconds})


def test_fences_refuse_unless_the_policy_says_record():
    assert {getattr(policy().fences, name) for name in FenceSettings.__struct_fields__} == {FenceMode.REFUSE}
    fences = policy(fences={"programs": "record"}).fences
    assert (fences.programs, fences.sockets) == (FenceMode.RECORD, FenceMode.REFUSE)


@pytest.mark.parametrize("fences", [{"sockets": "allow"}, {"doors": "record"}, {"sockets": True}])
def test_a_fence_has_two_words_and_no_other_name(fences):
    with pytest.raises(PolicyInvalidError, match=r"mine\.yaml.*fences"):
        policy(fences=fences)


def test_a_policy_that_fences_the_journal_is_told_what_to_delete():
    with pytest.raises(PolicyInvalidError) as refused:
        policy(fences={"journal": "refuse"})
    assert "there is no fence `journal`: delete the line" in refused.value.message
    assert "\n" not in refused.value.message


def test_rows_are_kept_of_the_tables_that_it_names_and_of_none_whose_values_are_not_written_down():
    rules = LexicalRules(dialect=DIALECTS[Flavour.MYSQL])

    def kept(text, **document):
        policy = policy_from_document(
            "mine", {"rules": [], **document}, source="mine.yaml", text_hash="ab" * 32, lines={}
        )
        return policy.kept_rows_of(analyse(text, rules, schema="shop")[0])

    named = {"keep_rows": {"shop.orders": 5, "crm.*": 7}}
    assert kept("UPDATE orders SET a = 1") == 0
    assert kept("UPDATE orders SET a = 1", **named) == 5
    assert kept("DELETE FROM crm.people", **named) == 7
    assert kept("DELETE FROM items", **named) == 0
    assert kept("DELETE FROM orders WHERE id IN (SELECT id FROM items)", **named) == 0
    assert kept("UPDATE orders SET a = 1", literals="drop", **named) == 0
    assert kept("UPDATE orders SET a = 1", literals_of={"shop.orders.email": "hash"}, **named) == 0
    for wrong in ({"keep_rows": {"orders": 5}}, {"keep_rows": {"shop.orders": 10_001}}, {"keep_rows_days": 0.0}):
        with pytest.raises(PolicyInvalidError):
            kept("SELECT 1", **wrong)
