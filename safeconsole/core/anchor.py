"""
What the host log holds: one line each time a session's head is nailed down.

A session's own chain shows a change inside it; the host log shows that a session was cut short or is
gone. Anchors are chained among themselves over all sessions of the computer, and signed where a key is
configured.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

ANCHOR_VERSION = 1


class AnchorEvent(StrEnum):
    """
    Why a head was nailed down.

    ABANDONED: the session ended without closing; a later session found it so.
    PRUNED: retention removed the session's file; the anchor is its tombstone.
    REVIEWED: somebody reviewed it; count and head are the review book's.
    RECOVERED: the host log itself ended in half a line, after a crash.
    """

    OPENED = "opened"
    CHECKPOINT = "checkpoint"
    CLOSED = "closed"
    ABANDONED = "abandoned"
    PRUNED = "pruned"
    REVIEWED = "reviewed"
    RECOVERED = "recovered"


ENDS = frozenset({AnchorEvent.CLOSED, AnchorEvent.ABANDONED})
"""Anchors after which a session gets no more entries."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the host log.

    Attributes:
        version: `ANCHOR_VERSION` at writing.
        number: 0 for the first line, then one more each.
        time: UTC, ISO 8601 with microseconds.
        event: why.
        session: the session's id, "" for RECOVERED.
        count: how many entries the session has, >= 0.
        head: the hash of its last entry; for OPENED "", since it has none.
        torn: hexadecimal SHA-256 of the half line behind the last entry, "" when there is none.
        by: the account that wrote it.
        key: fingerprint of the key that signs it, "" when none is configured.
        previous: hash of the anchor before.
        signature: hexadecimal Ed25519 signature of `statement_to_sign`, "" without a key.
        hash: hexadecimal SHA-256 over all of the above.
    """

    version: int
    number: int
    time: str
    event: AnchorEvent
    session: str
    count: int
    head: str
    torn: str = ""
    by: str = ""
    key: str = ""
    previous: str = ""
    signature: str = ""
    hash: str = ""


def statement_to_sign(anchor: Anchor) -> bytes:
    """Return what a signature of the anchor is over; it holds everything but signature and hash."""
    fields = (
        f"safeconsole anchor {anchor.version}",
        str(anchor.number),
        anchor.time,
        anchor.event.value,
        anchor.session,
        str(anchor.count),
        anchor.head,
        anchor.torn,
        anchor.by,
        anchor.key,
        anchor.previous,
    )
    return "\n".join(fields).encode()
