"""The records of a journal: each kind, and how lines are chained so that a change to one of them shows. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from safeconsole.sqltext.literal_rules import LiteralKey, LiteralRules
from safeconsole.sqltext.redaction import may_hold_secret
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect

# --------------------------------------------------------------------------------------------------------------------
# How lines are chained so that a change to one of them shows.
#
# A sealed line is the JSON of a value whose last field is `hash`. The hash covers the line's bytes with an empty hash
# in it, so that a line is checked as it was written, whatever a later version would write.


GENESIS = "0" * 64
"""Stands before the first line of a chain that hangs on nothing."""

_BLANK_END = b'"hash":""}'
_SEALED_END = re.compile(rb'"hash":"([0-9a-f]{64})"\}')
_SEALED_END_BYTES = len(b'"hash":""}') + 64
# Whatever a fact's value is, it is recorded: a record that cannot be written would stop the road.
_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=str)


def sealed_line(value: msgspec.Struct) -> tuple[bytes, str]:
    """Return the JSON of a value with its hash filled in, and the hash.

    Args:
        value: its last field is `hash`, and that is empty.

    Raises:
        ValueError: it is not such a value.
        UnicodeEncodeError: a text in it holds half of a surrogate pair.
    """
    bare = _ENCODER.encode(value)
    if not bare.endswith(_BLANK_END):
        raise ValueError("a sealed value ends with an empty hash")
    digest = hashlib.sha256(bare).hexdigest()
    return b"%b%b%b" % (bare[:-2], digest.encode(), b'"}'), digest


def hash_in_line(line: bytes) -> str | None:
    """Return the hash that a line carries if it is the right one, else None; the line has no newline at its end."""
    # Its end only: a search would read a line of megabytes twice.
    found = _SEALED_END.fullmatch(line[-_SEALED_END_BYTES:])
    if found is None:
        return None
    blank = hashlib.sha256(line[: -len(found.group(1)) - 2])
    blank.update(b'"}')
    carried = found.group(1).decode()
    return carried if blank.hexdigest() == carried else None


# --------------------------------------------------------------------------------------------------------------------
# What the journal holds: one value a thing that happened, chained to the one before it (`chain`).
#
# The first entry of a session carries the hash of the line by which the host log opened the session, so that neither
# can be rewritten alone. A chain without a host log starts from `GENESIS`.


SCHEMA_VERSION = 1


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
    """An elevation was asked, granted, or ended.

    Attributes:
        statement: the one statement that it is for, -1 for a window.
    """

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
    statement: int = -1


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
    inserted_id: int = 0


class Noticed(msgspec.Struct, frozen=True, kw_only=True, tag="notice"):
    """Something the person was told, or a console command they gave."""

    what: str
    detail: str = ""


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag="approval"):
    """A second person answered, or was left out.

    Attributes:
        statement: the statement it is for, -1 for an elevation's window.
        request: the id of the request.
        approver: who answered, or who was not waited for.
        answer: "approved", "declined" or "skipped".
        digest: of the statement that the answer is bound to the exact text of.
        key: fingerprint of the key that signed it, "" when it was skipped.
        reason: why it was declined or skipped, or as what an earlier session asked for it.
    """

    statement: int
    request: str
    approver: str
    answer: str
    digest: str
    key: str = ""
    reason: str = ""


class Sampled(msgspec.Struct, frozen=True, kw_only=True, tag="sample"):
    """One look at a statement that runs, see `watchdog.Sample`; only long ones are looked at."""

    statement: int
    elapsed_seconds: float
    session_memory_bytes: int | None = None
    instance_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    rows: int = 0


class CodeEntered(msgspec.Struct, frozen=True, kw_only=True, tag="code"):
    """Source that the person entered in a console that runs code; its statements have records of their own."""

    language: str
    source: str


class CommandGiven(msgspec.Struct, frozen=True, kw_only=True, tag="command"):
    """A command to the console itself, such as \\use or \\stand-down."""

    command: str
    answer: str = ""


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
    | Approved
    | Sampled
    | CodeEntered
    | CommandGiven
)
"""Anything that may stand in the journal."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a session's journal.

    Attributes:
        version: `SCHEMA_VERSION` at writing.
        number: 0 for the first line, then one more each.
        time: UTC, ISO 8601 with microseconds.
        offset_seconds: monotonic time since the session opened, >= 0.
        previous: hash of the line before.
        hash: hexadecimal SHA-256 over all of the above; "" before it is sealed.
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
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: Entry) -> str:
    """Return the hexadecimal SHA-256 of an entry, whatever its own `hash` says."""
    return sealed_line(msgspec.structs.replace(entry, hash=""))[1]


TAMPERING = "tampering"
"""What a session notices when something of it was exchanged; it ends with that."""


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One session in a list.

    Attributes:
        opened, closed: UTC times, "" when there is none.
        refused, elevated, unknown: how many of them ended that way; an intent without an outcome counts as unknown.
        denied: how many of the refused ones no elevation would have helped.
        stopped: how many were cut off.
        break_glass: how many of the elevations were a window and not one statement.
        tampered: how often something was found exchanged in it.
        live: whether a console still writes to it.
        entries: how many entries could be read.
        head: the hash of the last one, "" without one.
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
    denied: int = 0
    stopped: int = 0
    break_glass: int = 0
    tampered: int = 0
    live: bool = False
    entries: int = 0
    head: str = ""
    trouble: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a session that does not hold.

    Attributes:
        number: the entry's number, -1 when the session itself is missing.
        what: what is wrong with it, one line.
    """

    session: str
    number: int
    what: str


# --------------------------------------------------------------------------------------------------------------------
# Recordings of the terminal: what of a statement may be in one, and what the journal says of it.


TERMINAL_RECORDED = "terminal recorded"
"""`record.Noticed.what` of the notice whose detail is the SHA-256 of a session's recording."""

_ACCOUNT_KINDS = ("show grants", "show create user")
_ACCOUNT_SCHEMA = "mysql"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, as it was read.

    Attributes:
        digest: hexadecimal SHA-256 of all of it.
        columns, lines: the terminal's size, in character cells.
        outputs: what was shown, and at which second.
    """

    digest: str
    columns: int
    lines: int
    outputs: tuple[tuple[float, str], ...]


GONE = "the session closed with a recording, and it is gone: somebody removed it"


def noted_digest(entries: Iterable[Entry]) -> str:
    """Return the hexadecimal SHA-256 of the recording that a session closed with, as its journal says, or ""."""
    noted = ""
    for entry in entries:
        if isinstance(entry.record, Noticed) and entry.record.what == TERMINAL_RECORDED:
            noted = entry.record.detail
    return noted


def doubt_about(recorded: Recorded, entries: Iterable[Entry], findings: Iterable[Finding]) -> str:
    """Return why a recording is not to be believed, or "".

    Args:
        findings: what verifying that session found.
    """
    noted = noted_digest(entries)
    if not noted:
        return "nothing vouches for this recording: its session has not closed with the digest of one"
    if recorded.digest != noted:
        return "this is not the recording that the session closed with: somebody changed it"
    if any(findings):
        return "nothing vouches for this recording: the journal of its session does not hold"
    return ""


def why_left_out(statement: Statement, literals: LiteralRules) -> str:
    """Return why nothing of what a statement shows may be recorded, or ""."""
    if statement.kind.startswith(_ACCOUNT_KINDS):
        return "it shows what accounts log in with"
    if any((table.schema or "").casefold() == _ACCOUNT_SCHEMA for table in statement.tables):
        return "it reads the accounts' own tables"
    if Effect.UNKNOWN in statement.effects or not statement.tables_known:
        return "nobody knows what it shows"
    if may_hold_secret(statement.text):
        return "it is about a secret"
    if not literals.keeps_rows_of(statement):
        return "the policy keeps values of its tables out"
    return ""


class Journal(Protocol):
    """The session's append-only record."""

    @property
    def session(self) -> str: ...

    @property
    def literal_key(self) -> LiteralKey:
        """What literals in it are hashed with, where the policy says so."""
        ...

    def append(self, record: Record, *, durable: bool = False) -> None:
        """Add one record; with `durable`, return only when it and all before it are on disk.

        Raises:
            AuditUnavailableError: it could not be written or made durable; nothing may be sent after that.
        """
        ...

    def close(self) -> None:
        """Make everything durable and close. Raises AuditUnavailableError."""
        ...
