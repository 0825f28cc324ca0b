"""The review book: `<directory>/reviews.jsonl`, one chained line a review, each anchored in the host log."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from safeconsole.adapters.local.appending import (
    last_line,
    open_appending,
    read_regular,
    sync_directory,
    unavailable,
    write_whole,
)
from safeconsole.adapters.local.hostlog import HostLog, lock, open_host_log
from safeconsole.core.anchor import AnchorEvent
from safeconsole.core.chain import GENESIS, hash_in_line, sealed_line
from safeconsole.core.errors import AuditUnavailableError, ConfigurationError
from safeconsole.core.record import SessionSummary
from safeconsole.core.review import REVIEW_VERSION, Review, ReviewAct, objection_to
from safeconsole.interfaces import Clock

REVIEWS = "reviews.jsonl"


class LocalReviews:
    """One audit directory's review book, for one reviewer."""

    def __init__(self, directory: Path, host_log: HostLog, clock: Clock, *, by: str) -> None:
        self._path = directory / REVIEWS
        self._host_log = host_log
        self._clock = clock
        self._by = by

    @property
    def by(self) -> str:
        """The login identity under which reviews are written."""
        return self._by

    def reviews(self) -> tuple[Review, ...]:
        """Return all reviews whose line holds, in order. Raises ConfigurationError."""
        return reviews_in(self._path)

    def add(self, summary: SessionSummary, act: ReviewAct, note: str = "") -> Review:
        """
        Write one review; on return it is on disk.

        Args:
            summary: the session as it was read by the reviewer.
            note: not blank for a flag or a note.

        Raises:
            ConfigurationError: it is not possible now, such as by the person themself.
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
    """
    Return the review book of an audit directory.

    Args:
        by: the reviewer's login identity (`identity.who(...).name`).
        signing_key: as for `journal.open_journal`.
    """
    return LocalReviews(directory, open_host_log(directory, clock, signing_key), clock, by=by)


def reviews_in(path: Path) -> tuple[Review, ...]:
    """Return the reviews in a file whose line holds, in order; a file that is not there has none."""
    try:
        lines = read_regular(path).split(b"\n")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error
    return tuple(msgspec.json.decode(line, type=Review) for line in lines if hash_in_line(line) is not None)


class _Tail(msgspec.Struct, frozen=True):
    number: int
    hash: str


def _end(descriptor: int, path: Path) -> tuple[str, int]:
    line, torn = last_line(descriptor)
    if torn or (line and hash_in_line(line) is None):
        raise AuditUnavailableError(
            f"the last line of {path} does not hold",
            instead="see safeconsole audit verify; move the file away to go on",
        )
    if not line:
        return GENESIS, 0
    tail = msgspec.json.decode(line, type=_Tail)
    return tail.hash, tail.number + 1
