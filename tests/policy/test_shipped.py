"""The shipped policies are sound, and do what their cases say."""

import re
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from msgspec.structs import replace

from safeconsole.dialects import DIALECTS
from safeconsole.config.policies import READ_SUFFIX, PolicyFiles, read_form_of
from safeconsole.sqltext.analysis import analyse
from safeconsole.policy.cases import failures, lint, unmatched_rules
from safeconsole.sqltext.lexer import LexicalRules

FILES = PolicyFiles()
REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "policy.md"


def analysed(text, flavour):
    return analyse(text, LexicalRules(dialect=DIALECTS[flavour]))


def cases():
    for name in FILES.names():
        for case in FILES.cases(name):
            yield pytest.param(name, case, id=f"{name}: {case}")


def test_three_are_shipped():
    assert FILES.names() == ("agents", "baseline", "strict")


@pytest.mark.parametrize("name", FILES.names())
def test_lint_has_nothing_to_say(name):
    policy, examples = FILES.load(name), FILES.cases(name)
    assert lint(policy, examples) == ()
    assert unmatched_rules(policy, examples) == ()


def mutants():
    """Each shipped policy without one of its rules, and without the limits of one."""
    for name in FILES.names():
        policy = FILES.load(name)
        for rule in (each for each in policy.rules if not each.policy):
            others = tuple(each for each in policy.rules if each is not rule)
            yield pytest.param(name, replace(policy, rules=others), rule.id, id=f"{name} without {rule.id}")
            if rule.limits and rule.then is not None:
                loose = tuple(replace(each, limits={}) if each is rule else each for each in policy.rules)
                yield pytest.param(name, replace(policy, rules=loose), rule.id, id=f"{name}, no limits of {rule.id}")


@pytest.mark.parametrize(("name", "policy", "gone"), list(mutants()))
def test_without_a_rule_a_case_gets_another_answer(name, policy, gone):
    """Not only that the rule matches in a case: there is one whose verdict or limits hang on it."""
    # What is masked denies some of it too, and is shown by cases of its own.
    whole = replace(FILES.load(name), masks=())
    examples = tuple(structs.replace(case, rule="") for case in FILES.cases(name))
    examples = tuple(case for case in examples if not list(failures(whole, (case,), analysed)))
    assert list(failures(replace(policy, masks=()), examples, analysed)), gone


@pytest.mark.parametrize("name", FILES.names())
def test_it_enforces(name):
    assert not FILES.load(name).observe


@pytest.mark.parametrize("name", FILES.names())
def test_its_read_form_is_what_its_text_says(name):
    """After a change of a policy: python tests/policy/write_read_forms.py."""
    text = (REPOSITORY / "policies" / f"{name}.yaml").read_bytes()
    form = msgspec.json.decode((REPOSITORY / "policies" / f"{name}{READ_SUFFIX}").read_bytes())
    assert form == msgspec.to_builtins(read_form_of(text, name))


@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_its_case_holds(name, case):
    assert [failure.what for failure in failures(FILES.load(name), (case,), analysed)] == []


def test_the_policy_file_of_the_page_can_be_read(tmp_path):
    (text,) = [
        block
        for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if "rules:" in block
    ]
    tmp_path.chmod(0o755)
    (tmp_path / "page.yaml").write_text(text, encoding="utf-8")
    assert [rule.id for rule in PolicyFiles(tmp_path).load("page").rules] == [
        "payroll-on-the-primary",
        "agents-are-brief",
        "drops-are-asked-about",
        "scans-are-seen",
    ]
