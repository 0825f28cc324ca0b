"""What `policy diff` says of two policies, and of what was recorded."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout

import pytest

from safeconsole.app import run
from safeconsole.demo.stage import staged

OLD = "extends: baseline\n"
NEW = """
extends: baseline
limits:
  run_seconds: 5
rules:
  - id: no-orders
    when: stmt.tables.exists(t, t.startsWith("shop.orders") || t.endsWith(".orders"))
    then: deny
    limits: {fetched_rows: 10}
    message: Orders are looked at in the order service.
"""


@pytest.fixture
def say(tmp_path):
    """A function that runs a command line in a home of its own, and returns what it printed."""
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)

    def say(*arguments, code=0):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            ended = run(arguments, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
        assert ended == code, err.getvalue()
        return out.getvalue()

    return say


def test_settings_and_rules_that_differ_are_shown(say, tmp_path):
    told = say("policy", "diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")).splitlines()
    assert any(line.startswith("limits.run_seconds: ") and line.endswith("-> 5.0") for line in told), told
    assert "+ rule no-orders: deny (fetched_rows 10) when stmt.tables.exists(" in "\n".join(told)
    assert len([line for line in told if "rule" in line]) == 1


def test_what_is_looser_is_marked(say, tmp_path):
    told = say("policy", "diff", str(tmp_path / "new.yaml"), str(tmp_path / "old.yaml")).splitlines()
    (line,) = (line for line in told if line.startswith("limits.run_seconds"))
    assert line.endswith("LOOSER")
    assert any(line.startswith("- rule no-orders: deny") for line in told)


def test_the_same_policy_differs_in_nothing(say, tmp_path):
    assert say("policy", "diff", "baseline", "baseline") == ""
    assert say("policy", "diff", "baseline", str(tmp_path / "old.yaml")).strip() == "extends: nothing -> baseline"


def test_what_was_recorded_is_judged_by_both(say, tmp_path):
    with staged("embedded") as demo:
        at = ("--config", str(demo.config))
        say(*at, "sql", "shop", "-e", "SELECT COUNT(*) FROM orders; SELECT COUNT(*) FROM customers")
        told = say(
            *at, "policy", "diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), "--since", "1d"
        ).splitlines()
    (stricter,) = (line for line in told if line.startswith("stricter: "))
    assert "allow -> deny" in stricter and "SELECT COUNT(*) FROM orders" in stricter
    assert told[-1] == "2 statements recorded since 1d, judged by both: 1 stricter, 0 looser, 0 unproven, 1 same"


def test_a_time_that_is_none_is_an_error(say):
    say("policy", "diff", "baseline", "strict", "--since", "tomorrow", code=2)
