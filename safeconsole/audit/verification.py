"""Verification of journals: chains, anchors, and copies kept elsewhere. Pure.

For each session the first invalid entry is named; an empty result means that all of it is intact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import msgspec

from safeconsole.audit.host_log import ENDS, Anchor, AnchorEvent, statement_to_sign
from safeconsole.audit.record import GENESIS, Finding, hash_in_line

if TYPE_CHECKING:
    from safeconsole.audit.signing import KeyRing

# The copy may be a database's column, a webhook's store or a syslog's file; what stands before the line is left
# aside.


_BEGINNING = b'{"version":'


class _WitnessedLine(msgspec.Struct, frozen=True):
    """The fields that identify a line in a copy; an anchor has an event."""

    number: int
    session: str = ""
    event: str = ""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The result of comparing with a copy.

    Attributes:
        lines: lines of the copy that could be compared, >= 0.
        unreadable: lines that could not: truncated, changed, or not of a journal.
        unproven: lines at the end of this host log that the copy does not reach and so does not prove.
        findings: the first line of each session, and of the host log, that the copy holds and that is missing here.
    """

    lines: int
    unreadable: int
    unproven: int
    findings: tuple[Finding, ...]


def compared(
    copy: Iterable[bytes], *, held: AbstractSet[str], pruned: AbstractSet[str], host_log: Sequence[str] = ()
) -> Compared:
    """Look up each line of a copy among the lines that are here.

    Args:
        copy: lines with or without newlines, in any order; what stands before a line's JSON is ignored.
        held: hashes of all lines here.
        pruned: sessions whose lines retention removed.
        host_log: hashes of the host log's lines here, in order.
    """
    lines = unreadable = reached = 0
    places = {found: number for number, found in enumerate(host_log, start=1)}
    findings: dict[str, Finding] = {}
    for text in copy:
        line = text[max(text.find(_BEGINNING), 0) :].rstrip()
        digest = hash_in_line(line)
        if digest is None:
            unreadable += bool(line)
            continue
        lines += 1
        reached = max(reached, places.get(digest, 0))
        if digest in held:
            continue
        finding = _missing(line, pruned)
        first = findings.get(finding.session) if finding else None
        if finding and (first is None or finding.number < first.number):
            findings[finding.session] = finding
    unproven = len(host_log) - reached
    return Compared(lines=lines, unreadable=unreadable, unproven=unproven, findings=tuple(findings.values()))


def _missing(line: bytes, pruned: AbstractSet[str]) -> Finding | None:
    try:
        seen = msgspec.json.decode(line, type=_WitnessedLine)
    except (msgspec.DecodeError, ValueError):
        return None
    if seen.event:
        what = f"host log: a copy elsewhere holds a line that is not here ({seen.event} {seen.session})"
        return Finding(session="", number=seen.number, what=what)
    if seen.session in pruned:
        return None
    return Finding(session=seen.session, number=seen.number, what="a copy elsewhere holds a record that is not here")


# For each session the first entry that does not hold is named; nothing found means that all of it holds.


ASIDES = frozenset({AnchorEvent.PRUNED, AnchorEvent.REVIEWED})
"""Anchors whose head is not one of the session's entries."""


class _LinePlace(msgspec.Struct, frozen=True):
    """The fields that place a line in its chain."""

    number: int
    previous: str
    session: str = ""


_LINE_PLACE = msgspec.json.Decoder(_LinePlace)


class Walked(msgspec.Struct, frozen=True, kw_only=True):
    """One chain, read to its end or to the first invalid line.

    Attributes:
        hashes: of the valid lines, in order.
        torn: bytes behind the last newline.
        number: of the invalid line, -1 when there is none.
        what: the fault, or "".
    """

    hashes: tuple[str, ...]
    torn: bytes = b""
    number: int = -1
    what: str = ""


def walk(lines: Iterable[bytes], *, first: str = GENESIS, session: str = "") -> Walked:
    """Follow a chain.

    Args:
        lines: with their newlines; a last one without is partial.
        first: the hash that the first line must carry as `previous`.
        session: the id that every line must carry.
    """
    hashes: list[str] = []
    previous = first
    for number, line in enumerate(lines):
        if not line.endswith(b"\n"):
            return Walked(hashes=tuple(hashes), torn=line)
        found = hash_in_line(line[:-1])
        what = "its text does not match its hash" if found is None else misplaced(line, number, previous, session)
        if found is None or what:
            return Walked(hashes=tuple(hashes), number=number, what=what)
        hashes.append(found)
        previous = found
    return Walked(hashes=tuple(hashes))


def misplaced(line: bytes, number: int, previous: str, session: str) -> str:
    try:
        place = _LINE_PLACE.decode(line)
    except (msgspec.DecodeError, ValueError):
        return "it is not a record"
    if place.session != session and session:
        return f"it belongs to session {place.session}"
    if place.number > number:
        return f"{place.number - number} records are missing before number {place.number}"
    if place.number < number:
        return f"number {place.number} stands here, out of order or twice"
    if place.previous != previous:
        return "it does not follow the record before it" if number else "it does not follow the host log's opening line"
    return ""


def check_host_log(lines: Iterable[bytes]) -> Finding | None:
    """Check the host log's own chain.

    A partial line is accepted when the anchor after it says RECOVERED and carries its hash.
    """
    whole: list[bytes] = []
    torn = b""
    for line in lines:
        if torn and not _recovers(line, torn):
            break
        if torn:
            torn = b""
        if hash_in_line(line.rstrip(b"\n")) is None or not line.endswith(b"\n"):
            torn = line
            continue
        whole.append(line)
    walked = walk(whole)
    if walked.what:
        return Finding(session="", number=walked.number, what=f"host log: {walked.what}")
    if torn:
        return Finding(session="", number=len(whole), what="host log: a line is torn or was changed")
    return None


def check_signatures(anchors: Sequence[Anchor], signatures: KeyRing) -> Finding | None:
    """Check that the host log is signed: from its first line with a valid signature on, every one.

    Earlier lines are protected by their hash, which the signature covers. A log without any signature is a finding.
    """
    started = False
    for anchor in anchors:
        good = signatures.holds(anchor.key, statement_to_sign(anchor), anchor.signature)
        if good:
            started = True
        elif started or anchor.signature:
            what = "its signature is not by a known key" if anchor.signature else "it is not signed"
            return Finding(session="", number=anchor.number, what=f"host log: {what}")
    if anchors and not started:
        return Finding(session="", number=anchors[0].number, what="host log: none of its lines is signed")
    return None


def check_reviews(lines: Iterable[bytes], anchors: Sequence[Anchor]) -> Finding | None:
    """Check the review book's chain, and that every review anchored in the host log is in it."""
    walked = walk(lines)
    held = len(walked.hashes)
    for anchor in anchors:
        if anchor.event is not AnchorEvent.REVIEWED or (walked.what and anchor.count > held):
            continue
        if anchor.count > held or walked.hashes[anchor.count - 1] != anchor.head:
            what = f"the review that the host log saw at {anchor.time} is not there"
            return Finding(session=anchor.session, number=-1, what=what)
    if walked.what or walked.torn:
        what = walked.what or "the line is torn"
        return Finding(session="", number=held, what=f"review book: {what}")
    return None


def _recovers(line: bytes, torn: bytes) -> bool:
    try:
        anchor = msgspec.json.decode(line, type=Anchor)
    except (msgspec.DecodeError, ValueError):
        return False
    return anchor.event is AnchorEvent.RECOVERED and anchor.torn == hashlib.sha256(torn.rstrip(b"\n")).hexdigest()


def check_session(
    session: str, lines: Iterable[bytes] | None, anchors: Sequence[Anchor], *, live: bool
) -> Finding | None:
    """Check one session against itself and the host log.

    Args:
        lines: its file, with newlines; None when there is no file.
        anchors: its lines of the host log, in order.
        live: whether a console still writes to it; incomplete work is then no finding.
    """
    if lines is None:
        if any(anchor.event is AnchorEvent.PRUNED for anchor in anchors):
            return None
        return Finding(session=session, number=-1, what="the session is in the host log, but its file is gone")
    if not anchors or anchors[0].event is not AnchorEvent.OPENED:
        held = list(lines)
        if not held and not anchors:
            return None  # a console that died between making its file and announcing it; nothing was written
        return Finding(session=session, number=0, what="the host log does not know this session")
    walked = walk(lines, first=anchors[0].hash, session=session)
    for anchor in anchors[1:]:
        if anchor.event in ASIDES:
            continue
        # Behind a line that does not hold nothing can be compared; that line is the finding then.
        if walked.what and anchor.count > len(walked.hashes):
            continue
        what = _unanchored(walked, anchor)
        if what:
            return Finding(session=session, number=min(anchor.count - 1, len(walked.hashes)), what=what)
    if walked.what:
        return Finding(session=session, number=walked.number, what=walked.what)
    return _loose_end(session, walked, anchors, live=live)


def _unanchored(walked: Walked, anchor: Anchor) -> str:
    if anchor.count == 0:
        return ""
    held = len(walked.hashes)
    if anchor.count > held:
        return f"the records from here on are missing: the host log saw {anchor.count} at {anchor.time}"
    if walked.hashes[anchor.count - 1] != anchor.head:
        return f"it is not the record that the host log saw at {anchor.time}"
    return ""


def _loose_end(session: str, walked: Walked, anchors: Sequence[Anchor], *, live: bool) -> Finding | None:
    ends = [anchor for anchor in anchors if anchor.event in ENDS]
    held = len(walked.hashes)
    if ends and held > ends[-1].count:
        return Finding(session=session, number=ends[-1].count, what="it was added after the session had ended")
    torn = hashlib.sha256(walked.torn).hexdigest() if walked.torn else ""
    if (live and not ends) or (ends and torn == ends[-1].torn):
        return None
    if ends:
        return Finding(session=session, number=held, what="what stands behind the last record was changed")
    if walked.torn:
        what = f"the last line is torn ({len(walked.torn)} bytes): a crash, unless someone cut it"
        return Finding(session=session, number=held, what=what)
    return None


def closes_without_anchor(last_tag: str, anchors: Sequence[Anchor]) -> bool:
    """Return whether a session's last record closes it while the host log has no closing anchor."""
    return last_tag == "session-closed" and not any(anchor.event in ENDS for anchor in anchors)
