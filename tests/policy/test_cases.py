"""Examples are judged as `check` would judge them, and lint finds what no example shows."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.policy.cases import cases_from_document, failures, lint, unmatched_rules
from safeconsole.errors import PolicyInvalidError
from safeconsole.policy.document import policy_from_document
from safeconsole.sqltext.analysis import analyse as really_analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour

KINDS = {"select": Effect.READ, "update": Effect.WRITE, "set": Effect.SESSION}


def analyse(text, _flavour):
    """One statement a line, its effect by its first word."""
    return tuple(
        Statement(text=line, kind=line.split()[0], effects=frozenset({KINDS.get(line.split()[0], Effect.UNKNOWN)}))
        for line in text.splitlines()
    )


def policy(*rules):
    lines = {f"rules[{number}]": number + 2 for number in range(len(rules))}
    return policy_from_document("p", {"rules": list(rules)}, source="p.yaml", text_hash="0" * 64, lines=lines)


READS = {"id": "reads", "when": "stmt.plain_read", "then": "allow"}
WRITES = {"id": "writes", "when": "'write' in stmt.effects", "then": "elevate"}


def cases(*cases):
    return cases_from_document({"cases": list(cases)}, source="p.cases.yaml")


def failed(rules, *examples):
    return [(failure.engine, failure.what) for failure in failures(policy(*rules), cases(*examples), analyse)]


def test_an_example_that_holds_is_silent():
    assert failed([READS, WRITES], {"sql": "select 1", "verdict": "allow", "rule": "reads"}) == []


def test_a_wrong_verdict_names_the_rules_that_made_it():
    assert failed([READS, WRITES], {"sql": "update t", "verdict": "allow"}) == [
        (Flavour.MYSQL, "expected allow, found elevate by writes (rule writes says elevate)")
    ]


def test_no_rule_at_all_is_told_as_such():
    (only,) = failed([READS], {"sql": "update t", "verdict": "elevate"})
    assert only[1] == "expected elevate, found deny by no rule (policy p denies: no rule allows this)"


def test_the_rule_it_shows_must_match():
    (only,) = failed([READS, WRITES], {"sql": "select 1", "verdict": "allow", "rule": "writes"})
    assert only[1] == "rule writes does not match; those that do: reads"


def test_the_strictest_statement_decides_wherever_it_stands():
    for text in ("select 1\nupdate t\nselect 2", "update t\nselect 1", "select 1\nupdate t"):
        assert failed([READS, WRITES], {"sql": text, "verdict": "elevate"}) == []


def test_each_engine_is_judged():
    rules = [READS, {"id": "lite", "when": "cluster.engine == 'sqlite'", "then": "deny"}]
    example = {"sql": "select 1", "verdict": "allow", "engines": ["mysql", "sqlite"]}
    assert [engine for engine, _ in failed(rules, example)] == [Flavour.SQLITE]


def test_a_text_without_a_statement_is_no_example():
    assert list(failures(policy(READS), cases({"sql": "-- nothing", "verdict": "deny"}), lambda *_: ())) != []


def test_it_goes_where_it_would_go_or_where_it_is_sent():
    rules = [{"id": "primary", "when": "node.role == 'primary'", "then": "allow"}]
    assert failed(rules, {"sql": "update t", "verdict": "allow"}) == []
    assert failed(rules, {"sql": "select 1", "verdict": "deny"}) == []
    assert failed(rules, {"sql": "select 1", "to": "primary", "verdict": "allow"}) == []


def test_limits_are_held_to_where_a_case_names_them():
    brief = {"id": "brief", "when": "stmt.known", "limits": {"run_seconds": 2}}
    example = {"sql": "select 1", "verdict": "allow", "limits": {"run_seconds": 2}}
    assert failed([READS, brief], example) == []
    assert failed([READS], example) == [(Flavour.MYSQL, "expected run_seconds 2, found 30")]
    assert failed([READS, brief], {"sql": "select 1", "verdict": "allow"}) == []


def test_facts_may_differ_and_may_be_all_there_is():
    rules = [READS, {"id": "big", "when": "node.tables > 5", "then": "confirm"}]
    assert failed(rules, {"sql": "select 1", "facts": {"node.tables": 6}, "verdict": "confirm", "rule": "big"}) == []
    assert failed(rules, {"facts": {"stmt.plain_read": True}, "verdict": "allow"}) == []
    assert failed(rules, {"verdict": "deny"}) == []


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (None, "p.cases.yaml: expected `object`, got `null`"),
        ({"cases": [{"sql": "x"}]}, "missing required field `verdict`"),
        ({"cases": [{"sql": "x", "verdict": "yes"}]}, "invalid enum value 'yes'"),
        ({"cases": [{"verdict": "deny", "facts": {"node.tabels": 1}}]}, "case 1: no fact node.tabels of that type"),
        (
            {"cases": [{"verdict": "deny"}, {"verdict": "deny", "facts": {"node.tables": "1"}}]},
            "case 2: no fact node.tables",
        ),
        ({"cases": [{"verdict": "deny", "facts": {"node.tables": True}}]}, "case 1: no fact node.tables"),
        ({"cases": [{"verdict": "deny", "limits": {"run_second": 1}}]}, "case 1: unknown limit run_second"),
    ],
)
def test_a_bad_example_is_refused(document, complaint):
    with pytest.raises(PolicyInvalidError) as refusal:
        cases_from_document(document, source="p.cases.yaml")
    assert complaint in refusal.value.message


def linted(*rules, shown=None):
    shown = [rule["id"] for rule in rules] if shown is None else shown
    return lint(policy(*rules), cases(*({"verdict": "deny", "rule": name} for name in shown)))


def test_a_sound_policy_has_nothing_to_say():
    assert linted(READS, WRITES) == ()


def test_lint_says_that_no_rule_at_all_denies_everything():
    assert linted() == ("p.yaml: it has no rule, so it denies everything",)


@pytest.mark.parametrize("when", ["false", "1 > 2", "stmt.plain_read && false"])
def test_lint_finds_what_can_never_match(when):
    assert linted(READS, {"id": "never", "when": when, "then": "deny"}) == ("p.yaml:3: rule never: it can never match",)


def test_lint_finds_an_allow_for_everything_but_lets_everything_be_denied():
    assert linted({"id": "all", "when": "true || stmt.known", "then": "allow"}) == (
        "p.yaml:2: rule all: it allows everything",
    )
    assert linted({"id": "all", "when": "true", "then": "deny"}) == ()


def test_lint_finds_a_rule_that_never_decides():
    same = {"id": "same", "when": " stmt.plain_read ", "then": "confirm"}
    (only,) = linted(READS, same)
    assert only == "p.yaml:2: rule reads: it never decides: rule same has the same condition and is at least as strict"


def test_of_two_equal_rules_the_later_is_idle():
    assert linted(READS, READS | {"id": "again"}) == (
        "p.yaml:3: rule again: it never decides: rule reads has the same condition and is at least as strict",
    )


def test_a_rule_that_tightens_limits_is_never_idle():
    limits = {"limits": {"run_seconds": 1}}
    assert linted(READS | limits, READS | {"id": "b", "then": "confirm"}) == ()
    assert linted(READS, {"id": "b", "when": "stmt.plain_read"} | limits) == ()


@pytest.mark.parametrize(
    ("when", "names"),
    [
        ("'orders' in stmt.tables", ["orders"]),
        ('stmt.known && ("orders" in stmt.tables || "shop.orders" in stmt.tables)', ["orders"]),
        ("stmt.tables.exists(t, t == 'orders')", ["orders"]),
        ("stmt.tables.exists(t, 'orders' == t)", ["orders"]),
        ("stmt.tables.exists(t, t in ['orders', 'shop.orders', 'payments'])", ["orders", "payments"]),
        ("stmt.tables == ['orders']", ["orders"]),
        ("'shop.orders' in stmt.tables", []),
        ("stmt.tables.exists(t, t.startsWith('shop') || t.endsWith('.orders'))", []),
        ("stmt.kind == 'select' && 'write' in stmt.effects && 'shop' in stmt.schemas", []),
    ],
)
def test_lint_finds_a_table_that_is_named_without_its_schema(when, names):
    found = linted(READS, {"id": "orders", "when": when, "then": "deny"})
    told = "p.yaml:3: rule orders: '{0}' names no schema: tables are 'schema.{0}' wherever a session has one"
    assert list(found) == [told.format(name) for name in names]


def test_lint_finds_rules_without_an_example_and_examples_without_a_rule():
    assert linted(READS, WRITES, shown=["reads"]) == ("p.yaml:3: rule writes: it has no case",)
    examples = cases({"verdict": "deny", "rule": "gone"}, {"verdict": "deny"}, {"verdict": "deny", "rule": "gone"})
    assert unmatched_rules(policy(READS), examples) == ("gone",)


def test_an_example_tells_itself_in_one_line():
    example, bare = cases(
        {"sql": "select 1", "to": "primary", "facts": {"node.tables": 5}, "verdict": "deny"}, {"verdict": "deny"}
    )
    assert str(example) == "select 1 to the primary, node.tables=5"
    assert str(bare) == "(facts alone)"


def test_a_case_may_say_exactly_which_sensors_are_needed():
    rules = [READS, {"id": "seen", "when": "stmt.kind == 'select'", "sensors": ["opened_tables"]}]
    example = {"sql": "select 1", "verdict": "allow"}
    assert failed(rules, example) == []
    assert failed(rules, {**example, "sensors": ["opened_tables"]}) == []
    assert failed(rules, {**example, "sensors": []}) == [(Flavour.MYSQL, "expected sensors none, found opened_tables")]
    assert failed([READS], {**example, "sensors": ["opened_tables"]}) == [
        (Flavour.MYSQL, "expected sensors opened_tables, found none")
    ]


def test_a_rule_that_names_sensors_does_something_beside_its_twin():
    twin = {**READS, "id": "twin", "sensors": ["opened_tables"]}
    said = lint(policy(READS, twin), cases({"sql": "select 1", "verdict": "allow", "rule": "reads"}))
    assert not [line for line in said if "never decides" in line]


MASKS = {"shop.customers.email": "agents", "*.*.iban": "everybody"}
AGENT = {"person.agent": True}


def masking(*examples):
    """What lint and the cases say of a policy that masks two columns, with statements as they are really read."""
    own = policy_from_document(
        "p", {"rules": [READS], "masked": MASKS}, source="p.yaml", text_hash="0" * 64, lines={"masked": 2}
    )
    found = cases({"sql": "SELECT 1", "rule": "reads", "verdict": "allow"}, *examples)
    read = lambda text, flavour: really_analyse(text, LexicalRules(dialect=DIALECTS[flavour]))  # noqa: E731
    return lint(own, found), [failure.what for failure in failures(own, found, read)], unmatched_rules(own, found)


def test_each_masked_column_and_its_denial_need_a_case():
    complaints, wrong, strange = masking()
    assert (wrong, strange) == ([], ())
    assert complaints == (
        "p.yaml: masked: shop.customers.email has no case that it is `masked` in",
        "p.yaml: masked: *.*.iban has no case that it is `masked` in",
        "p.yaml: masked: no case shows a statement that is refused for it (rule: masked-columns)",
    )


def test_cases_show_what_is_masked_for_whom():
    complaints, wrong, strange = masking(
        {"sql": "SELECT email FROM shop.customers", "facts": AGENT, "masked": ["shop.customers.email"], "verdict": "allow"},
        {"sql": "SELECT email FROM shop.customers", "masked": [], "verdict": "allow"},
        {"sql": "SELECT iban FROM accounts", "masked": ["*.*.iban"], "verdict": "allow"},
        {"sql": "SELECT UPPER(iban) FROM accounts", "rule": "masked-columns", "verdict": "deny"},
    )  # fmt: skip
    assert (complaints, wrong, strange) == ((), [], ())
    _, wrong, _ = masking({"sql": "SELECT id FROM accounts", "masked": ["*.*.iban"], "verdict": "allow"})
    assert wrong == ["expected masked *.*.iban, found nothing"]


def test_a_masked_column_that_is_no_column_is_told_with_its_line():
    with pytest.raises(PolicyInvalidError, match=r"p\.yaml:2: masked: email: it is schema\.table\.column"):
        policy_from_document(
            "p",
            {"rules": [READS], "masked": {"email": "agents"}},
            source="p.yaml",
            text_hash="0" * 64,
            lines={"masked": 2},
        )
