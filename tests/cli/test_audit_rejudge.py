"""What another policy would have said, from journals that real sessions on the embedded cluster wrote."""

import csv
import io
import json

import pytest

from safeconsole.config.policies import PolicyFiles
from safeconsole.demo.stage import staged
from safeconsole.app import run

READ = "SELECT id FROM orders WHERE id = 1"
ON_PRIMARY = "SELECT COUNT(*) FROM customers"
WRITE = "UPDATE orders SET status = 'paid' WHERE id = 2"

ONLY_READS = """
rules:
  - {id: reads, when: stmt.plain_read, then: allow}
  - {id: customers, when: "stmt.tables.exists(t, t.endsWith('customers'))", then: deny, message: "nobody reads {stmt.tables}"}
"""


@pytest.fixture(scope="module")
def staged_journal():
    """Three statements under baseline: a read, a read of the primary, and a write that was refused."""
    with staged("embedded") as stage:

        def safeconsole(*words):
            return run(["--config", str(stage.config), *words], {"HOME": str(stage.config.parent)})

        assert safeconsole("sql", "shop", "-e", READ) == 0
        assert safeconsole("sql", "shop", "--to", "primary", "-e", ON_PRIMARY) == 0
        assert safeconsole("sql", "shop", "-e", WRITE) == 3
        yield safeconsole


@pytest.fixture
def rejudge(staged_journal, capsys):
    def invoke(*words, code=0):
        capsys.readouterr()
        assert staged_journal("audit", "rejudge", *words) == code
        return capsys.readouterr()

    return invoke


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(ONLY_READS)
    return str(path)


def changes(told):
    return [(row["change"], row["was"], row["now"], row["sql"]) for row in map(json.loads, told.out.splitlines())]


def test_the_policy_that_was_in_force_changes_nothing(rejudge):
    told = rejudge("--policy", "baseline", "--format", "jsonl")
    assert told.out == ""
    label = PolicyFiles().load("baseline").label
    assert told.err == f"{label}: 3 decisions judged again: 0 stricter, 0 looser, 3 same, 0 unproven\n"


def test_what_another_policy_would_have_refused_and_what_it_would_have_let_pass(rejudge, policy):
    told = rejudge("--policy", policy, "--format", "jsonl")
    assert changes(told) == [("stricter", "allow", "deny", ON_PRIMARY), ("stricter", "elevate", "deny", WRITE)]
    row = json.loads(told.out.splitlines()[0])
    assert (row["rules"], row["message"]) == ("reads, customers", "nobody reads shop.customers")
    assert "2 stricter, 0 looser, 1 same, 0 unproven" in told.err


def test_a_looser_policy_is_named_as_that(rejudge, tmp_path):
    loose = tmp_path / "loose.yaml"
    loose.write_text("rules:\n  - {id: all, when: stmt.known, then: allow}\n")
    assert changes(rejudge("--policy", str(loose), "--format", "jsonl")) == [("looser", "elevate", "allow", WRITE)]


def test_a_policy_that_only_observes_is_judged_by_what_it_would_say(rejudge, tmp_path):
    trial = tmp_path / "trial.yaml"
    trial.write_text("mode: observe\n" + ONLY_READS)
    assert [change[0] for change in changes(rejudge("--policy", str(trial), "--format", "jsonl"))] == ["stricter"] * 2


def test_all_shows_what_stays_too(rejudge, policy):
    told = rejudge("--policy", policy, "--all", "--format", "jsonl")
    assert changes(told)[0] == ("same", "allow", "allow", READ)
    assert len(changes(told)) == 3


@pytest.mark.parametrize(
    ("words", "judged"),
    [
        (("--since", "1h"), 3), (("--since", "2999-01-01"), 0), (("--until", "2000-01-01"), 0), (("--until", "2999"), None),
        (("--cluster", "shop"), 3), (("--cluster", "till"), 0), (("--person", "nobody-of-that-name"), 0),
    ],
)  # fmt: skip
def test_only_what_is_meant_is_judged(rejudge, policy, words, judged):
    if judged is None:
        rejudge("--policy", policy, *words, code=2)
    else:
        assert f": {judged} decisions judged again" in rejudge("--policy", policy, *words).err


def test_a_session_is_named_by_its_beginning_and_one_that_is_not_there_is_an_error(rejudge, policy):
    session = json.loads(rejudge("--policy", policy, "--format", "jsonl").out.splitlines()[0])["session"]
    assert ": 1 decisions" in rejudge("--policy", policy, "--session", session[:-1]).err
    assert "no session zzz" in rejudge("--policy", policy, "--session", "zzz", code=2).err


def test_a_policy_that_cannot_be_read_judges_nothing(rejudge, tmp_path):
    assert "no policy nosuch" in rejudge("--policy", "nosuch", code=2).err
    broken = tmp_path / "broken.yaml"
    broken.write_text("rules:\n  - {id: a, when: stmt.knd == 'select', then: allow}\n")
    assert "broken.yaml:2" in rejudge("--policy", str(broken), code=2).err


@pytest.mark.parametrize("form", ["table", "vertical", "json", "jsonl", "csv", "tsv", "markdown"])
def test_every_format_holds_every_row(rejudge, policy, form):
    out = rejudge("--policy", policy, "--format", form).out
    assert out.count("deny") == 2
    if form == "json":
        assert len(json.loads(out)) == 2
    if form == "csv":
        assert [row["now"] for row in csv.DictReader(io.StringIO(out))] == ["deny", "deny"]
