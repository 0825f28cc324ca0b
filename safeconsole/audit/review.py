"""The review queue and the review book, `<directory>/reviews.jsonl`: chained lines, each anchored in the host log.

A session needs a review when it elevated, met a deny rule, ended with an unknown outcome, was tampered with, or cannot
be read completely. Somebody other than the person reviews it; a break-glass session needs the person's closing note
first. A review is bound to the session's content: a session that changed since is pending again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec

from safeconsole.audit.files import last_line, open_appending, read_regular, sync_directory, unavailable, write_whole
from safeconsole.audit.host_log import AnchorEvent, HostLog, lock, open_host_log
from safeconsole.audit.record import GENESIS, SessionSummary, hash_in_line, sealed_line
from safeconsole.clock import Clock
from safeconsole.errors import AuditUnavailableError, ConfigurationError

# A session enters the queue when it elevated, met a deny rule, ended with something unknown, was tampered with, or
# cannot be read completely. It leaves by a review of somebody else than the person; a break-glass session needs the
# person's closing note before that. A review is bound to what the session held then: a session that has changed since
# is pending again.


REVIEW_VERSION = 1


class ReviewState(StrEnum):
    """A session's place in the queue; NONE needs no review."""

    NONE = "none"
    PENDING = "pending"
    APPROVED = "approved"
    FLAGGED = "flagged"


class ReviewAct(StrEnum):
    APPROVE = "approve"
    FLAG = "flag"
    NOTE = "note"


STATE_AFTER = {ReviewAct.APPROVE: ReviewState.APPROVED, ReviewAct.FLAG: ReviewState.FLAGGED}
"""The state that each act leads to; a note changes none."""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the review book.

    Attributes:
        number: 0 for the first line, increasing by 1.
        time: UTC, ISO 8601 with microseconds.
        head: hash of the session's last entry at the time of reading.
        note: not blank for a flag or a note.
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
    """Return why a session needs a review; empty when it needs none."""
    told = (
        (summary.elevated, "elevated"),
        (summary.denied, "refused by a deny rule"),
        (summary.insisted, "an agent was refused again and again"),
        (summary.kept_from, "an agent was refused what needs an elevation"),
        (summary.unknown, "outcome unknown"),
        (summary.tampered, "tampered with"),
        (summary.trouble, "cannot be read completely"),
    )
    return tuple(reason for held, reason in told if held)


def by_session(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """Return the reviews of each session, in order."""
    found: dict[str, list[Review]] = {}
    for review in reviews:
        found.setdefault(review.session, []).append(review)
    return found


def state_of(summary: SessionSummary, reviews: Iterable[Review]) -> ReviewState:
    """Return a session's state, from reviews of any session in order."""
    if not reasons_for_review(summary):
        return ReviewState.NONE
    state = ReviewState.PENDING
    for review in reviews:
        if review.session == summary.session and review.head == summary.head:
            state = STATE_AFTER.get(review.act, state)
    return state


def lacks_closing_note(summary: SessionSummary, reviews: Iterable[Review]) -> bool:
    """Return whether a break-glass session still needs its person's closing note."""
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
        return f"{act}: a note is required"
    if act is ReviewAct.NOTE:
        return ""
    if not reasons_for_review(summary):
        return f"session {summary.session} needs no review"
    if by == summary.person:
        return f"a session is reviewed by somebody else than its person, and {by} is its person"
    if act is ReviewAct.APPROVE and lacks_closing_note(summary, reviews):
        return f"session {summary.session} used break-glass, and {summary.person} has not written its closing note yet"
    return ""


REVIEWS = "reviews.jsonl"


class LocalReviews:
    def __init__(self, directory: Path, host_log: HostLog, clock: Clock, *, by: str) -> None:
        self._path = directory / REVIEWS
        self._host_log = host_log
        self._clock = clock
        self._by = by

    @property
    def by(self) -> str:
        return self._by

    def reviews(self) -> tuple[Review, ...]:
        """Return all valid reviews, in order. Raises ConfigurationError."""
        return reviews_in(self._path)

    def add(self, summary: SessionSummary, act: ReviewAct, note: str = "") -> Review:
        """Write one review, durable on return.

        Args:
            summary: the session as the reviewer read it.
            note: not blank for a flag or a note.

        Raises:
            ConfigurationError: not possible now, for example because the reviewer is the person themself.
            AuditUnavailableError: it could not be written.
        """
        objection = objection_to(act, summary, self.reviews(), by=self._by, note=note)
        if objection:
            raise ConfigurationError(objection)
        try:
            return self._append(summary, act, note)
        except OSError as error:
            unavailable(self._path.parent, error)

    def _append(self, summary: SessionSummary, act: ReviewAct, note: str) -> Review:
        descriptor = open_appending(self._path, new=False)
        try:
            lock(descriptor, self._path)
            previous, number = _end(descriptor, self._path)
            review = Review(
                version=REVIEW_VERSION,
                number=number,
                time=self._clock.utc(),
                session=summary.session,
                head=summary.head,
                act=act,
                by=self._by,
                note=note.encode("utf-8", "backslashreplace").decode(),
                previous=previous,
            )
            line, digest = sealed_line(review)
            write_whole(descriptor, line + b"\n")
            os.fdatasync(descriptor)
            sync_directory(self._path.parent)
            self._host_log.add(AnchorEvent.REVIEWED, summary.session, count=number + 1, head=digest, durable=True)
            return msgspec.structs.replace(review, hash=digest)
        finally:
            os.close(descriptor)


def open_reviews(directory: Path, *, by: str, clock: Clock, signing_key: str = "") -> LocalReviews:
    """Return the review book of an audit directory for one reviewer, by login identity."""
    return LocalReviews(directory, open_host_log(directory, clock, signing_key), clock, by=by)


def reviews_in(path: Path) -> tuple[Review, ...]:
    """Return a file's valid reviews, in order; a missing file has none."""
    try:
        lines = read_regular(path).split(b"\n")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error
    return tuple(msgspec.json.decode(line, type=Review) for line in lines if hash_in_line(line) is not None)


class _BookTail(msgspec.Struct, frozen=True):
    number: int
    hash: str


def _end(descriptor: int, path: Path) -> tuple[str, int]:
    line, torn = last_line(descriptor)
    if torn or (line and hash_in_line(line) is None):
        raise AuditUnavailableError(
            f"the last line of {path} is invalid",
            instead="see safeconsole audit verify; move the file away to go on",
        )
    if not line:
        return GENESIS, 0
    tail = msgspec.json.decode(line, type=_BookTail)
    return tail.hash, tail.number + 1
