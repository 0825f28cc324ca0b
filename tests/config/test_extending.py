"""A policy that extends another adds rules and tightens, and loosens only what the base lets go."""

import pytest

from safeconsole.config.policies import PolicyFiles
from safeconsole.errors import PolicyInvalidError
from safeconsole.policy.cases import lint
from safeconsole.policy.policy import judge
from safeconsole.sqltext.vocabulary import Effect, Route, Verdict
from tests.config.test_policies import write
from tests.policy.test_policy import facts

BASE = """
may_be_loosened: [limits.fetched_rows, ceilings.fetched_rows]
gates: {lag_seconds: 20}
limits: {run_seconds: 20, fetched_rows: 100}
elevation: {ticket_required: true, two_persons: [ddl]}
literals: hash
masked: {a.b.c: everybody}
fences: {sockets: refuse}
slots: {heavy: "estimate.rows > 10", at_once: 2}
rules:
  - {id: reads, when: stmt.plain_read, then: allow}
  - {id: writes, when: "'write' in stmt.effects", then: elevate, message: this writes}
"""


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir(mode=0o755)
    write(folder, BASE, "base.yaml")
    return PolicyFiles(folder)


@pytest.fixture
def extending(tmp_path, files):
    def load(text, name="own"):
        write(tmp_path / "policies", text, f"{name}.yaml")
        return files.load(name)

    return load


def test_its_rules_are_added_and_its_settings_tighten(extending):
    policy = extending(
        "extends: base\nlimits: {run_seconds: 5}\ngates: {lag_seconds: 3}\n"
        "rules:\n  - {id: not-on-primaries, when: node.role == 'primary', then: deny, message: read a replica}\n"
    )
    assert [(rule.id, rule.policy) for rule in policy.rules] == [
        ("reads", "base"), ("writes", "base"), ("not-on-primaries", ""),
    ]  # fmt: skip
    assert (policy.limits.run_seconds, policy.limits.fetched_rows, policy.gates.lag_seconds) == (5, 100, 3)
    assert policy.elevation.ticket_required
    assert policy.extends == "base" and not policy.loosens
    assert judge(policy, facts(role=Route.PRIMARY)).verdict is Verdict.DENY
    assert judge(policy, facts()).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("limits: {run_seconds: 21}", "limits.run_seconds is looser: 21 where base has 20"),
        ("gates: {lag_seconds: 21}", "gates.lag_seconds is looser"),
        ("ceilings: {run_seconds: 100}", "ceilings.run_seconds is looser"),
        ("elevation: {ticket_required: false}", "elevation.ticket_required is looser"),
        ("elevation: {two_persons: []}", "elevation.two_persons is looser: without ddl"),
        ("elevation: {approval_may_be_skipped: true}", "elevation.approval_may_be_skipped is looser"),
        ("elevation: {window_seconds: 1000}", "elevation.window_seconds is looser"),
        ("elevation: {agents_may_elevate: {demo: [ci]}}", "elevation.agents_may_elevate is looser"),
        ("literals: keep", "literals is looser"),
        ("fences: {sockets: record}", "fences.sockets is looser"),
        ("slots: {heavy: 'estimate.rows > 1', at_once: 3}", "slots.at_once is looser"),
        ("masked: {a.b.c: agents}", "masked is looser: a.b.c for agents alone"),
        ("mode: observe", "mode is looser"),
        ("transactions: {read_idle_seconds: 300}\nlimits: {run_seconds: 30}", "limits.run_seconds"),
    ],
)
def test_what_is_looser_is_refused_by_its_name(extending, text, complaint):
    with pytest.raises(PolicyInvalidError, match="looser") as caught:
        extending(f"extends: base\n{text}\n")
    assert complaint in caught.value.message


def test_what_the_base_lets_go_is_loosened_and_told(extending):
    policy = extending("extends: base\nlimits: {fetched_rows: 500}\nceilings: {fetched_rows: 900}\n")
    assert policy.limits.fetched_rows == 500
    assert policy.loosens == (
        "limits.fetched_rows: 500 where base has 100", "ceilings.fetched_rows: 900 where base has 100",
    )  # fmt: skip


def test_what_no_rule_of_the_base_answers_is_denied_whatever_is_added(extending):
    policy = extending("extends: base\nrules:\n  - {id: all, when: 'true', then: allow}\n")
    decision = judge(policy, facts(Effect.DDL))
    assert decision.verdict is Verdict.DENY
    assert "no rule of base" in decision.message


def test_what_is_heavy_in_the_base_stays_heavy(extending):
    policy = extending("extends: base\nslots: {heavy: stmt.uninterruptible, at_once: 1}\n")
    assert policy.slots.heavy == "(estimate.rows > 10) || (stmt.uninterruptible)"


def test_a_chain_hands_down_and_a_circle_is_refused(extending):
    extending("extends: base\nlimits: {run_seconds: 10}\n", "middle")
    last = extending("extends: middle\nlimits: {run_seconds: 3}\n", "last")
    assert (last.limits.run_seconds, [rule.policy for rule in last.rules]) == (3, ["base", "base"])
    with pytest.raises(PolicyInvalidError, match="looser"):
        extending("extends: middle\nlimits: {run_seconds: 15}\n", "last")
    extending("extends: base\n", "one")
    with pytest.raises(PolicyInvalidError, match="extends"):
        extending("extends: one\n", "two")
        extending("extends: two\n", "one")


def test_a_fault_is_told_by_its_line_in_its_own_file(extending):
    with pytest.raises(PolicyInvalidError) as caught:
        extending("extends: base\nrules:\n  - id: wrong\n    when: stmt.nosuch\n    then: deny\n")
    assert "own.yaml:4: rule wrong" in caught.value.message


def test_lint_speaks_of_its_own_rules_only(extending):
    (fault,) = lint(extending("extends: base\nrules:\n  - {id: mine, when: 'stmt.plain_read', then: confirm}\n"), ())
    assert "rule mine" in fault


def test_a_change_of_the_base_is_seen_by_a_session(tmp_path, files, extending):
    policy = extending("extends: base\n")
    look = files.rereading("own", policy)
    assert look() is policy
    write(tmp_path / "policies", BASE.replace("run_seconds: 20", "run_seconds: 2"), "base.yaml")
    assert look().limits.run_seconds == 2


def test_a_policy_is_compiled_once_until_its_text_is_another_one(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("extends: baseline\n")
    files = PolicyFiles()
    first = files.load(str(path))
    assert files.load(str(path)) is first
    path.write_text("extends: baseline\nlimits: {run_seconds: 5}\n")
    second = files.load(str(path))
    assert second.hash != first.hash
    assert second is not first
