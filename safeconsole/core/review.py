"""
Which sessions somebody else must look at, and what they said.

A session enters the queue when it elevated, met a deny rule, ended with something unknown, was tampered with, or
cannot be read whole. It leaves by a review of somebody else than the person; a break-glass session needs the
person's closing note before that. A review is bound to what the session held then: a session that has
changed since is pending again.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from safeconsole.core.record import SessionSummary

REVIEW_VERSION = 1


class ReviewState(StrEnum):
    """Where a session stands in the queue; NONE needs no review."""

    NONE = "none"
    PENDING = "pending"
    APPROVED = "approved"
    FLAGGED = "flagged"


class ReviewAct(StrEnum):
    """What somebody may do about a session."""

    APPROVE = "approve"
    FLAG = "flag"
    NOTE = "note"


STATE_AFTER = {ReviewAct.APPROVE: ReviewState.APPROVED, ReviewAct.FLAG: ReviewState.FLAGGED}
"""A note changes no state."""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the review book.

    Attributes:
        version: `REVIEW_VERSION` at writing.
        number: 0 for the first line, then one more each.
        time: UTC, ISO 8601 with microseconds.
        session: the session it is about.
        head: the hash of the session's last entry as it was read.
        act: what was done.
        by: the login identity of who did it.
        note: what they said, not blank for a flag or a note.
        previous: hash of the line before.
        hash: hexadecimal SHA-256 over all of the above.
    """

    version: int
    number: int
    time: str
    session: str
    head: str
    act: ReviewAct
    by: str
    note: str
    previous: str
    hash: str = ""


def reasons_for_review(summary: SessionSummary) -> tuple[str, ...]:
    """Return why somebody else must look at a session; nothing means that nobody must."""
    told = (
        (summary.elevated, "elevated"),
        (summary.denied, "refused by a deny rule"),
        (summary.unknown, "outcome unknown"),
        (summary.tampered, "tampered with"),
        (summary.trouble, "cannot be read whole"),
    )
    return tuple(reason for held, reason in told if held)


def state_of(summary: SessionSummary, reviews: Iterable[Review]) -> ReviewState:
    """
    Return where a session stands.

    Args:
        reviews: of any session, in order.
    """
    if not reasons_for_review(summary):
        return ReviewState.NONE
    state = ReviewState.PENDING
    for review in reviews:
        if review.session == summary.session and review.head == summary.head:
            state = STATE_AFTER.get(review.act, state)
    return state


def lacks_closing_note(summary: SessionSummary, reviews: Iterable[Review]) -> bool:
    """Return whether a break-glass session still waits for its person's own words."""
    noted = any(
        review.session == summary.session and review.act is ReviewAct.NOTE and review.by == summary.person
        for review in reviews
    )
    return summary.break_glass > 0 and not noted


def objection_to(act: ReviewAct, summary: SessionSummary, reviews: Iterable[Review], *, by: str, note: str) -> str:
    """Return why an act is not possible now, or ""."""
    if summary.live:
        return f"session {summary.session} is still open"
    if act is not ReviewAct.APPROVE and not note.strip():
        return f"to {act} a session needs a note"
    if act is ReviewAct.NOTE:
        return ""
    if not reasons_for_review(summary):
        return f"session {summary.session} needs no review"
    if by == summary.person:
        return f"a session is reviewed by somebody else than its person, and {by} is its person"
    if act is ReviewAct.APPROVE and lacks_closing_note(summary, reviews):
        return f"session {summary.session} broke the glass, and {summary.person} has not written its closing note yet"
    return ""
