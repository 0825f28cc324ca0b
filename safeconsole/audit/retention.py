"""Retention of journals: old sessions are compressed, older ones removed; each removal leaves a tombstone.

A session that needs a review, or fails verification, is never removed. Nothing is removed before its tombstone is
durable in the host log.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from safeconsole.audit.archive import LocalArchive, open_archive
from safeconsole.audit.files import PACKED, open_replacing, read_regular, sync_directory, unavailable
from safeconsole.audit.host_log import AnchorEvent, HostLog, open_host_log
from safeconsole.audit.record import SessionSummary
from safeconsole.audit.recording import recording_file
from safeconsole.audit.review import REVIEWS, Review, ReviewState, reviews_in, state_of
from safeconsole.clock import Clock
from safeconsole.config.settings import AuditSettings

# A session that still needs a review is never removed, nor is one that does not verify: somebody may be counting on
# that. Nothing is removed before its tombstone is durable in the host log.


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What retention did, or would do, with one session.

    Attributes:
        act: "remove", "pack" or "keep".
        why: why an old session is kept, or "".
    """

    session: str
    act: str
    why: str = ""
    freed_bytes: int = 0


def prune(
    archive: LocalArchive,
    host_log: HostLog,
    reviews: Iterable[Review],
    *,
    remove_before: str,
    pack_before: str,
    dry: bool,
) -> tuple[Pruned, ...]:
    """Remove and pack sessions by age, and return what was done, oldest first.

    Args:
        remove_before, pack_before: UTC times; sessions opened before are removed, or packed. "" does neither.

    Raises:
        AuditUnavailableError: a tombstone or packed file could not be written; earlier ones are done.
    """
    held = tuple(reviews)
    broken = {finding.session for finding in archive.verify()}
    done = []
    for summary in archive.sessions():
        path = archive.file_of(summary.session)
        wanted = "remove" if summary.opened < remove_before else "pack" if summary.opened < pack_before else ""
        if not wanted or summary.live or (wanted == "pack" and path.suffix == PACKED):
            continue
        why = _keeps(summary, held, broken, removing=wanted == "remove")
        if why:
            done.append(Pruned(session=summary.session, act="keep", why=why))
            continue
        try:
            freed = (_remove if wanted == "remove" else _pack)(path, host_log, summary, dry=dry)
        except OSError as error:
            unavailable(path.parent, error)
        done.append(Pruned(session=summary.session, act=wanted, freed_bytes=freed))
    return tuple(done)


def _keeps(summary: SessionSummary, reviews: tuple[Review, ...], broken: set[str], *, removing: bool) -> str:
    # The empty name stands for the host log and the review book, which hold all the others.
    if broken & {summary.session, ""}:
        return "it does not verify"
    state = state_of(summary, reviews)
    return f"its review is {state}" if removing and state in {ReviewState.PENDING, ReviewState.FLAGGED} else ""


def _remove(path: Path, host_log: HostLog, summary: SessionSummary, *, dry: bool) -> int:
    recording = recording_file(path.parent.parent, summary.session)
    size = path.stat().st_size + (recording.stat().st_size if recording.exists() else 0)
    if not dry:
        # MUST be durable first: a removed file without its tombstone is a removed session.
        host_log.add(AnchorEvent.PRUNED, summary.session, count=summary.entries, head=summary.head, durable=True)
        path.unlink()
        recording.unlink(missing_ok=True)
        sync_directory(path.parent)
    return size


def _pack(path: Path, _host_log: HostLog, _summary: SessionSummary, *, dry: bool) -> int:
    if dry:
        return 0
    data = read_regular(path)
    packed = gzip.compress(data, mtime=0)
    part = path.with_name(f".{path.name}.part")
    descriptor = open_replacing(part)
    with os.fdopen(descriptor, "wb") as file:
        file.write(packed)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path.with_name(path.name + PACKED))
    sync_directory(path.parent)
    path.unlink()
    sync_directory(path.parent)
    return len(data) - len(packed)


def keep(
    directory: Path, settings: AuditSettings, clock: Clock, *, remove_before: str, pack_before: str, dry: bool
) -> tuple[Pruned, ...]:
    """Remove and pack the sessions of an audit directory; see `prune`."""
    archive = open_archive(directory, public_keys=settings.public_keys)
    host_log, reviews = open_host_log(directory, clock, settings.signing_key), reviews_in(directory / REVIEWS)
    return prune(archive, host_log, reviews, remove_before=remove_before, pack_before=pack_before, dry=dry)
