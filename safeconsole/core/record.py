"""
What the journal holds: one value a thing that happened, and the hash that chains them.

Every entry carries the hash of the one before it; `GENESIS` stands before the first. The hash covers
the entry's canonical JSON without its own `hash` field.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

SCHEMA_VERSION = 1
GENESIS = "0" * 64


class SessionOpened(msgspec.Struct, frozen=True, kw_only=True, tag="session-opened"):
    """Someone opened a face on a cluster."""

    person: str
    login: str
    groups: tuple[str, ...]
    host: str
    origin: str
    agent: str
    face: str
    cluster: str
    environment: str
    policy: str
    policy_hash: str
    program: str


class SessionClosed(msgspec.Struct, frozen=True, kw_only=True, tag="session-closed"):
    """The session ended in an orderly way."""

    statements: int
    reason: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """The person, or the console itself, asked for a statement."""

    statement: int
    sql: str
    digest: str
    kind: str
    effects: tuple[str, ...]
    tables: tuple[str, ...]
    hazards: tuple[str, ...]
    by_console: bool = False


class Decided(msgspec.Struct, frozen=True, kw_only=True, tag="decided"):
    """What the policy said, and on which facts."""

    statement: int
    verdict: str
    rules: tuple[str, ...]
    policy: str
    route: str
    node: str
    server: str
    facts: dict[str, Any]
    limits: dict[str, float]
    message: str
    observed: bool = False


class Disagreed(msgspec.Struct, frozen=True, kw_only=True, tag="disagreed"):
    """The server's own opinion of a statement contradicts ours; it was not sent."""

    statement: int
    ours: str
    servers: str
    code: int


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, tag="confirmed"):
    """The person answered a question."""

    statement: int
    digest: str
    answer: str


class ElevationChanged(msgspec.Struct, frozen=True, kw_only=True, tag="elevation"):
    """An elevation was asked, granted, or ended."""

    id: str
    state: str
    event: str
    scope: str
    cluster: str
    reason: str
    ticket: str
    digest: str
    server: str
    window_seconds: float


class Intent(msgspec.Struct, frozen=True, kw_only=True, tag="intent"):
    """What is about to be sent; durable before it is."""

    statement: int
    sql: str
    digest: str
    node: str
    server: str
    role: str
    account: str
    read_only: bool
    guards: dict[str, str]
    limits: dict[str, float]
    elevation: str = ""


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="outcome"):
    """How a statement ended: done, refused, stopped or unknown."""

    statement: int
    outcome: str
    rows: int = 0
    bytes: int = 0
    changed_rows: int = 0
    elapsed_seconds: float = 0.0
    truncated: bool = False
    peak_memory_bytes: int = 0
    stopped_by: str = ""
    ceiling: str = ""
    kill: str = ""
    server_error: int = 0
    message: str = ""


class Noticed(msgspec.Struct, frozen=True, kw_only=True, tag="notice"):
    """Something the person was told, or a console command they gave."""

    what: str
    detail: str = ""


Record = (
    SessionOpened
    | SessionClosed
    | Asked
    | Decided
    | Disagreed
    | Confirmed
    | ElevationChanged
    | Intent
    | Ended
    | Noticed
)
"""Anything that may stand in the journal."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of a session's journal.

    Attributes:
        version: `SCHEMA_VERSION` at writing.
        session: the session's id.
        number: 0 for the first line, then one more each.
        time: UTC, ISO 8601 with microseconds.
        offset_seconds: monotonic time since the session opened.
        previous: hash of the line before.
        record: what happened.
        hash: hexadecimal SHA-256 over all of the above.
    """

    version: int
    session: str
    number: int
    time: str
    offset_seconds: float
    previous: str
    record: Record
    hash: str = ""


def sealed(entry: Entry) -> Entry:
    """Return the entry with the hash that belongs to it."""
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: Entry) -> str:
    """Return the hexadecimal SHA-256 of an entry, whatever its own `hash` says."""
    bare = msgspec.structs.replace(entry, hash="")
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """
    One session in a list.

    Attributes:
        session: its id.
        opened, closed: UTC times, "" when there is none.
        person, cluster, face: from its first entry.
        statements: how many were asked.
        refused, elevated, unknown: how many of them ended that way; an intent without an outcome counts as unknown.
        trouble: why it cannot be read whole, or "".
    """

    session: str
    opened: str = ""
    closed: str = ""
    person: str = ""
    cluster: str = ""
    face: str = ""
    statements: int = 0
    refused: int = 0
    elevated: int = 0
    unknown: int = 0
    trouble: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """
    The first record of a session that does not hold.

    Attributes:
        session: the session's id.
        number: the entry's number, -1 when the session itself is missing.
        what: what is wrong with it, one line.
    """

    session: str
    number: int
    what: str
