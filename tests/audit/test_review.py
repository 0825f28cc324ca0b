"""Who must look at what, and who may say so."""

import pytest

from safeconsole.audit.record import SessionSummary
from safeconsole.audit.review import (
    Review,
    ReviewAct,
    ReviewState,
    lacks_closing_note,
    objection_to,
    reasons_for_review,
    state_of,
)


def summary(**more):
    return SessionSummary(session="s", person="ana", head="h", **more)


def review(act, *, by="cleo", session="s", head="h", note="n"):
    return Review(version=1, number=0, time="t", session=session, head=head, act=act, by=by, note=note, previous="p")


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({}, ()),
        ({"refused": 3, "stopped": 2}, ()),
        ({"elevated": 1}, ("elevated",)),
        ({"denied": 1}, ("refused by a deny rule",)),
        ({"insisted": 1}, ("an agent was refused again and again",)),
        ({"kept_from": 1}, ("an agent was refused what needs an elevation",)),
        ({"tampered": 1}, ("tampered with",)),
        ({"unknown": 1, "trouble": "torn"}, ("outcome unknown", "cannot be read completely")),
    ],
)
def test_a_session_enters_the_queue_for_a_reason(what, why):
    assert reasons_for_review(summary(**what)) == why
    assert state_of(summary(**what), ()) is (ReviewState.PENDING if why else ReviewState.NONE)


@pytest.mark.parametrize(
    ("acts", "state"),
    [
        ([ReviewAct.APPROVE], ReviewState.APPROVED),
        ([ReviewAct.FLAG], ReviewState.FLAGGED),
        ([ReviewAct.NOTE], ReviewState.PENDING),
        ([ReviewAct.FLAG, ReviewAct.NOTE, ReviewAct.APPROVE], ReviewState.APPROVED),
        ([ReviewAct.APPROVE, ReviewAct.FLAG, ReviewAct.NOTE], ReviewState.FLAGGED),
    ],
)
def test_the_last_word_counts_and_a_note_is_none(acts, state):
    assert state_of(summary(denied=1), [review(act) for act in acts]) is state


def test_a_review_of_another_session_or_of_what_it_held_before_does_not_count():
    assert state_of(summary(denied=1), [review(ReviewAct.APPROVE, session="t")]) is ReviewState.PENDING
    assert state_of(summary(denied=1), [review(ReviewAct.APPROVE, head="before")]) is ReviewState.PENDING


def test_only_the_persons_own_words_close_a_broken_glass():
    broken = summary(elevated=1, break_glass=1)
    assert not lacks_closing_note(summary(elevated=1), ())
    assert lacks_closing_note(broken, ())
    assert lacks_closing_note(broken, [review(ReviewAct.NOTE, by="cleo")])
    assert lacks_closing_note(broken, [review(ReviewAct.NOTE, by="ana", session="t")])
    assert lacks_closing_note(broken, [review(ReviewAct.FLAG, by="ana")])
    assert not lacks_closing_note(broken, [review(ReviewAct.NOTE, by="ana")])


@pytest.mark.parametrize(
    ("act", "what", "by", "note", "why"),
    [
        (ReviewAct.APPROVE, {"denied": 1, "live": True}, "cleo", "", "still open"),
        (ReviewAct.FLAG, {"denied": 1}, "cleo", "  ", "a note is required"),
        (ReviewAct.NOTE, {"denied": 1}, "ana", "", "a note is required"),
        (ReviewAct.APPROVE, {}, "cleo", "", "needs no review"),
        (ReviewAct.APPROVE, {"denied": 1}, "ana", "", "somebody else"),
        (ReviewAct.FLAG, {"denied": 1}, "ana", "n", "somebody else"),
        (ReviewAct.APPROVE, {"break_glass": 1, "elevated": 1}, "cleo", "", "closing note"),
        (ReviewAct.FLAG, {"break_glass": 1, "elevated": 1}, "cleo", "n", ""),
        (ReviewAct.NOTE, {}, "ana", "n", ""),
        (ReviewAct.APPROVE, {"denied": 1}, "cleo", "", ""),
    ],
)
def test_what_is_not_possible_now_says_why(act, what, by, note, why):
    said = objection_to(act, summary(**what), (), by=by, note=note)
    assert (why in said) if why else said == ""
