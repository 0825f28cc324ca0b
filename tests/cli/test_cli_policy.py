"""The `policy` commands say what is wrong on standard output, and refuse with one line."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from safeconsole.cli.application import exit_code_of
from safeconsole.policy.cases import cases_from_document
from safeconsole.errors import PolicyInvalidError
from safeconsole.policy.document import policy_from_document
from safeconsole.cli.policy import facts_table, policy

READS = {"id": "reads", "when": "stmt.plain_read", "then": "allow"}
WRITES = {
    "id": "writes",
    "when": "'write' in stmt.effects",
    "then": "elevate",
    "message": "this writes",
    "instead": "read",
    "limits": {"run_seconds": 5},
}
GOOD_CASES = [
    {"sql": "select 1", "rule": "reads", "verdict": "allow"},
    {"sql": "update orders set id = 1", "rule": "writes", "verdict": "elevate"},
]


@dataclass
class Shelf:
    """Policies held in memory, by name: their rules, and their cases."""

    held: dict

    @property
    def policies(self):
        return self

    def names(self):
        return tuple(self.held)

    def load(self, name):
        document = {"rules": self.held[name][0], "elevation": {"two_persons": ["ddl"], "ticket_required": True}}
        return policy_from_document(name, document, source=f"{name}.yaml", text_hash="ab" * 32)

    def cases(self, name):
        return cases_from_document({"cases": self.held[name][1]}, source=f"{name}.cases.yaml")


def run(*words, **held):
    return CliRunner().invoke(
        policy, words, obj=Shelf(held or {"good": ([READS, WRITES], GOOD_CASES)}), help_option_names=["-h", "--help"]
    )


def refused(result):
    assert isinstance(result.exception, PolicyInvalidError)
    assert exit_code_of(result.exception) == 2
    return result.exception.message


def test_a_sound_policy_passes_lint():
    result = run("lint")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing wrong: good\n")


def test_lint_tells_every_problem_of_every_policy():
    bad = [READS | {"when": "stmt.kindd == 'x'"}, WRITES | {"when": "node.role == 'primry'"}]
    result = run("lint", bad=(bad, []), idle=([READS], [{"rule": "gone", "verdict": "deny"}]))
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines] == ["bad.yaml", "bad.yaml", "idle.yaml", "idle.yaml"]
    assert "unknown fact 'stmt.kindd'" in lines[0]
    assert "'primry'" in lines[1]
    assert "reads: it has no case" in lines[2]
    assert "a case names rule gone" in lines[3]
    assert refused(result) == "4 problems found"


def test_lint_looks_only_at_what_it_is_given():
    result = run("lint", "good", good=([READS, WRITES], GOOD_CASES), bad=([READS], []))
    assert result.exit_code == 0


def test_cases_that_hold_are_counted():
    result = run("test")
    assert (result.exit_code, result.output) == (0, "good: 2 cases, 0 not as expected\n")


def test_a_case_that_does_not_hold_is_printed_and_refused():
    result = run("test", bad=([READS], GOOD_CASES))
    lines = result.output.splitlines()
    assert lines[0].startswith("bad: mysql: update orders set id = 1: expected elevate, found deny")
    assert lines[1] == "bad: 2 cases, 1 not as expected"
    assert refused(result) == "1 case not as expected"


def test_a_policy_without_cases_is_not_tested():
    assert refused(run("test", bare=([READS], []))) == "policy bare has no cases"


def test_show_prints_every_rule():
    output = run("show", "good").output
    assert "policy good, enforce, from good.yaml, abababababab" in output
    assert "with a ticket, two persons for ddl" in output
    for text in ("reads (line 0): allow", "when    stmt.plain_read", "limits  run_seconds 5", "says    this writes"):
        assert text in output
    assert "instead read" in output


def test_show_gives_the_same_as_json():
    shown = json.loads(run("show", "good", "--format", "json").output)
    assert [rule["id"] for rule in shown["rules"]] == ["reads", "writes"]
    assert shown["rules"][1]["facts"] == ["stmt.effects"]
    assert (shown["mode"], shown["literals"], shown["limits"]["fetched_rows"]) == ("enforce", "keep", 10_000)
    assert shown["elevation"]["two_persons"] == ["ddl"]


def test_the_page_on_policies_lists_the_facts_that_there_are():
    page = Path(__file__).parents[2].joinpath("docs", "policy.md").read_text(encoding="utf-8")
    listed = page.split("<!-- facts -->\n")[1].split("<!-- /facts -->")[0]
    assert listed.splitlines() == list(facts_table())
    assert run("facts").output.splitlines() == list(facts_table())
