"""
What a copy of the journal elsewhere saw: every line of it must still be here.

The copy may be a database's column, a webhook's store or a syslog's file; what stands before the line is left aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from safeconsole.core.chain import hash_in_line
from safeconsole.core.record import Finding

_BEGINNING = b'{"version":'


class _Seen(msgspec.Struct, frozen=True):
    """Where a line belongs; an anchor's has an event."""

    number: int
    session: str = ""
    event: str = ""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """
    What comparing with a copy found.

    Attributes:
        lines: how many lines of the copy could be compared, >= 0.
        unreadable: how many could not: cut on their way, changed there, or no line of a journal.
        unproven: how many lines at the end of the host log here the copy does not reach; what is behind them, and
            what may have stood there, is proven by nothing outside.
        findings: the first line of each session, and of the host log, that the copy holds and that is not here.
    """

    lines: int
    unreadable: int
    unproven: int
    findings: tuple[Finding, ...]


def compared(
    copy: Iterable[bytes], *, held: AbstractSet[str], pruned: AbstractSet[str], host_log: Sequence[str] = ()
) -> Compared:
    """
    Look for each line of a copy among the lines that are here.

    Args:
        copy: as it was kept elsewhere, with or without newlines, in any order.
        held: the hashes of all lines here.
        pruned: sessions whose lines retention took away.
        host_log: the hashes of the host log's lines here, in order.
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
        seen = msgspec.json.decode(line, type=_Seen)
    except (msgspec.DecodeError, ValueError):
        return None
    if seen.event:
        what = f"host log: a copy elsewhere holds a line that is not here ({seen.event} {seen.session})"
        return Finding(session="", number=seen.number, what=what)
    if seen.session in pruned:
        return None
    return Finding(session=seen.session, number=seen.number, what="a copy elsewhere holds a record that is not here")
