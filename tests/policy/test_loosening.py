"""Whom a ceiling stopped is told how far it can be raised, and by which lever of their face."""

from msgspec.structs import replace

import pytest

from safeconsole.policy.decision import Decision
from safeconsole.errors import ServerError, StoppedError
from safeconsole.policy.limits import Limits
from safeconsole.policy.explanation import say_how_to_loosen
from safeconsole.policy.document import policy_from_document
from safeconsole.sqltext.vocabulary import Verdict

POLICY = policy_from_document(
    "mine",
    {
        "rules": [{"id": "all", "when": "true", "then": "allow"}],
        "limits": {"free_memory_bytes": 1_000},
        "ceilings": {"run_seconds": 120, "free_memory_bytes": 500},
    },
    source="mine.yaml",
    text_hash="ab" * 32,
)
DECISION = Decision(verdict=Verdict.ALLOW, rules=("all",), limits=POLICY.limits)


def told(ceiling, *, face="sql", decision=DECISION, instead="narrow it"):
    error = StoppedError("stopped", by="watchdog", ceiling=ceiling, instead=instead)
    say_how_to_loosen(error, decision, POLICY, face=face)
    return error.instead


@pytest.mark.parametrize(
    ("face", "words"),
    [
        ("sql", "narrow it; \\timeout S raises it, to at most 120"),
        ("one-shot", "narrow it; --timeout S raises it, to at most 120"),
        ("python", "narrow it; --timeout S when you open it raises it, to at most 120"),
        ("job", "narrow it"),
    ],
)
def test_the_lever_is_that_of_the_face(face, words):
    assert told("run_seconds", face=face) == words


def test_at_the_policys_ceiling_no_lever_is_offered():
    assert told("fetched_rows") == "narrow it; 10,000 is the most fetched_rows that policy mine allows"
    assert told("free_memory_bytes") == "narrow it"
    at_the_floor = replace(DECISION, limits=replace(POLICY.limits, free_memory_bytes=500))
    assert "500 is the most free_memory_bytes" in told("free_memory_bytes", decision=at_the_floor)


def test_what_a_rule_holds_no_lever_raises():
    held = replace(DECISION, limits=Limits(run_seconds=10), limit_sources=("run_seconds: on-the-primary",))
    assert told("run_seconds", decision=held) == "narrow it; rule on-the-primary holds run_seconds at 10"
    own = replace(DECISION, limits=Limits(run_seconds=10), limit_sources=("run_seconds: session",))
    assert told("run_seconds", decision=own, instead="") == "\\timeout S raises it, to at most 120"


def test_other_failures_are_left_as_they_are():
    for error in (ServerError(1064, "syntax"), StoppedError("stopped by you", by="person", instead="")):
        say_how_to_loosen(error, DECISION, POLICY, face="sql")
        assert error.instead == ""
