"""Whom a limit stopped is told how far it can be raised, and each face says how that is typed."""

from msgspec.structs import replace

import pytest

from safeconsole.policy.decision import Decision
from safeconsole.cli.sql import one_shot_words
from safeconsole.console.state import words as console_words
from safeconsole.errors import Action, Remedy, ServerError, StoppedError
from safeconsole.output.evidence import no_words, way_out
from safeconsole.python.tracebacks import words as python_words
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import with_way_to_loosen
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


def stopped(ceiling, *, decision=DECISION, instead="narrow it"):
    return with_way_to_loosen(
        StoppedError("stopped", by="watchdog", ceiling=ceiling, instead=instead), decision, POLICY
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (console_words, "narrow it; \\timeout S raises it, to at most 120"),
        (one_shot_words, "narrow it; --timeout S raises it, to at most 120"),
        (python_words, "narrow it; --timeout S when you open it raises it, to at most 120"),
        (no_words, "narrow it"),
    ],
)
def test_each_face_words_the_remedy(words, said):
    error = stopped("run_seconds")
    assert error.remedies == (Remedy(Action.RAISE_LIMIT, of="run_seconds", most=120),)
    assert error.instead == "narrow it"
    assert way_out(error, words) == said


def test_at_the_policys_ceiling_no_lever_is_offered():
    assert stopped("fetched_rows").instead == "narrow it; 10,000 is the most fetched_rows that policy mine allows"
    assert way_out(stopped("free_memory_bytes"), console_words) == "narrow it"
    at_the_floor = replace(DECISION, limits=replace(POLICY.limits, free_memory_bytes=500))
    assert "500 is the most free_memory_bytes" in stopped("free_memory_bytes", decision=at_the_floor).instead


def test_what_a_rule_holds_no_lever_raises():
    held = replace(DECISION, limits=Limits(run_seconds=10), limit_sources=("run_seconds: on-the-primary",))
    refused = stopped("run_seconds", decision=held)
    assert (refused.instead, refused.remedies) == ("narrow it; rule on-the-primary holds run_seconds at 10", ())
    own = replace(DECISION, limits=Limits(run_seconds=10), limit_sources=("run_seconds: session",))
    error = stopped("run_seconds", decision=own, instead="")
    assert way_out(error, console_words) == "\\timeout S raises it, to at most 120"


def test_other_failures_are_left_as_they_are():
    for error in (ServerError(1064, "syntax"), StoppedError("stopped by you", by="person", instead="")):
        assert with_way_to_loosen(error, DECISION, POLICY) is error
