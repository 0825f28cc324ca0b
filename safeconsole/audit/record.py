"""The records of a journal, and the hash chain that makes a change to a line visible. Pure.

The hash of a line covers its bytes with an empty hash in it, so that a line is verified as it was written, whatever a
later version would write. A session's first entry carries the hash of its opening anchor in the host log, so that
neither can be rewritten alone; a chain without a host log starts from `GENESIS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from safeconsole.audit.kept import KeptChange
from safeconsole.patterns import late
from safeconsole.sqltext.literal_rules import LiteralKey, LiteralRules
from safeconsole.sqltext.redaction import may_hold_secret
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect

# A sealed line is the JSON of a value whose last field is `hash`. The hash covers the line's bytes with an empty hash
# in it, so that a line is checked as it was written, whatever a later version would write.


GENESIS = "0" * 64
"""The previous hash of the first line of a chain that follows nothing."""

_BLANK_END = b'"hash":""}'
_SEALED_END = late(rb'"hash":"([0-9a-f]{64})"\}')
_SEALED_END_BYTES = len(b'"hash":""}') + 64
# Whatever a fact's value is, it is recorded: a record that cannot be written would stop the road.
_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=str)


def sealed_line(value: msgspec.Struct) -> tuple[bytes, str]:
    """Return the JSON of a value with its hash filled in, and the hash.

    Args:
        value: its last field is `hash`, and empty.

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
    """Return a line's hash if it is the right one, else None; the line comes without its newline."""
    # Its end only: a search would read a line of megabytes twice.
    found = _SEALED_END.fullmatch(line[-_SEALED_END_BYTES:])
    if found is None:
        return None
    blank = hashlib.sha256(line[: -len(found.group(1)) - 2])
    blank.update(b'"}')
    carried = found.group(1).decode()
    return carried if blank.hexdigest() == carried else None


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
        statement: the statement it is for, -1 for a window.
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
    """How a statement ended: done, refused, failed, stopped, unseen or unknown.

    Attributes:
        rows: of all result sets together.
        sets: how many result sets there were, 0 unless there was more than one.
    """

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
    sets: int = 0


class Noticed(msgspec.Struct, frozen=True, kw_only=True, tag="notice"):
    """Something the person was told, or a console command they gave."""

    what: str
    detail: str = ""


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag="approval"):
    """A second person answered, or was skipped.

    Attributes:
        statement: the statement it is for, -1 for a window.
        approver: who answered, or who was skipped.
        answer: "approved", "declined" or "skipped".
        digest: of the statement whose exact text the answer is bound to.
        key: fingerprint of the signing key, "" when skipped.
        reason: why it was declined or skipped, or how an earlier session asked for it.
    """

    statement: int
    request: str
    approver: str
    answer: str
    digest: str
    key: str = ""
    reason: str = ""


class Sampled(msgspec.Struct, frozen=True, kw_only=True, tag="sample"):
    """One sample of a statement that runs long; see `watchdog.Sample`."""

    statement: int
    elapsed_seconds: float
    session_memory_bytes: int | None = None
    instance_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    rows: int = 0


class CodeEntered(msgspec.Struct, frozen=True, kw_only=True, tag="code"):
    """Source entered in the Python console; its statements have records of their own."""

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
"""Anything that may stand in a journal."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a session's journal.

    Attributes:
        number: 0 for the first line, increasing by 1.
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


def moment_in(time: str) -> datetime | None:
    """Return a journal's time in UTC, or None where none can be read: a file holds what somebody wrote."""
    try:
        moment = datetime.fromisoformat(time)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def sealed(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: Entry) -> str:
    """Return the hexadecimal SHA-256 of an entry, ignoring its own `hash`."""
    return sealed_line(msgspec.structs.replace(entry, hash=""))[1]


TAMPERING = "tampering"
"""What a session notices when something of it was exchanged; it ends with that."""

INSISTING = "refused again and again"
"""What a session notices when an agent sends what was refused before; a reviewer looks at it."""


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One session in a list.

    Attributes:
        opened, closed: UTC times, "" when there is none.
        refused, failed, elevated, unknown: statements that ended that way; an intent without an outcome counts as
            unknown.
        changed_rows: rows that its statements changed, as the servers counted.
        denied: refused statements that no elevation would have allowed.
        break_glass: elevations for a time window.
        tampered: times that an exchanged part was found.
        insisted: times that an agent sent what had been refused again and again.
        kept_from: statements of an agent, through the MCP server, that were refused for want of an elevation.
        live: whether a console still writes to it.
        head: hash of the last entry, or "".
        trouble: why it cannot be read completely, or "".
    """

    session: str
    opened: str = ""
    closed: str = ""
    person: str = ""
    cluster: str = ""
    face: str = ""
    statements: int = 0
    refused: int = 0
    failed: int = 0
    changed_rows: int = 0
    elevated: int = 0
    unknown: int = 0
    denied: int = 0
    stopped: int = 0
    break_glass: int = 0
    tampered: int = 0
    insisted: int = 0
    kept_from: int = 0
    live: bool = False
    entries: int = 0
    head: str = ""
    trouble: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The first invalid record of a session.

    Attributes:
        number: -1 when the session itself is missing.
        what: the fault, one line.
    """

    session: str
    number: int
    what: str


TERMINAL_RECORDED = "terminal recorded"
"""`Noticed.what` of the notice whose detail is the SHA-256 of the session's recording."""

_ACCOUNT_KINDS = ("show grants", "show create user")
_ACCOUNT_SCHEMA = "mysql"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, as read.

    Attributes:
        digest: hexadecimal SHA-256 of all of it.
        columns, lines: the terminal's size, in character cells.
        outputs: text, and the second at which it was shown.
    """

    digest: str
    columns: int
    lines: int
    outputs: tuple[tuple[float, str], ...]


GONE = "the session closed with a recording, and it is gone: somebody removed it"


def noted_digest(entries: Iterable[Entry]) -> str:
    """Return the SHA-256 (hexadecimal) of the session's recording as the journal has it, or ""."""
    noted = ""
    for entry in entries:
        if isinstance(entry.record, Noticed) and entry.record.what == TERMINAL_RECORDED:
            noted = entry.record.detail
    return noted


def doubt_about(recorded: Recorded, entries: Iterable[Entry], findings: Iterable[Finding]) -> str:
    """Return why a recording cannot be trusted, given its session's entries and verification findings, or ""."""
    noted = noted_digest(entries)
    if not noted:
        return "nothing vouches for this recording: its session has not closed with the digest of one"
    if recorded.digest != noted:
        return "this is not the recording that the session closed with: somebody changed it"
    if any(findings):
        return "nothing vouches for this recording: the journal of its session is invalid"
    return ""


def why_left_out(statement: Statement, literals: LiteralRules) -> str:
    """Return why a statement's output must not be recorded, or ""."""
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
    @property
    def session(self) -> str: ...

    @property
    def literal_key(self) -> LiteralKey: ...

    def append(self, record: Record, *, durable: bool = False) -> None:
        """Append one record; with `durable`, it and all before it are on disk on return.

        Raises AuditUnavailableError: not written or not durable; nothing may be sent after that.
        """
        ...

    def keep_rows(self, change: KeptChange) -> None:
        """Keep the rows of a change beside it. Raises AuditUnavailableError."""
        ...

    def close(self) -> None:
        """Sync and close. Raises AuditUnavailableError."""
        ...
