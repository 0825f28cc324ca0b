"""Recordings of the terminal: what of a statement may be in one, and what the journal says of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from safeconsole.core.literal_rules import LiteralRules
from safeconsole.core.record import Entry, Finding, Noticed
from safeconsole.core.redaction import may_hold_secret
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Effect

TERMINAL_RECORDED = "terminal recorded"
"""`record.Noticed.what` of the notice whose detail is the SHA-256 of a session's recording."""

_ACCOUNT_KINDS = ("show grants", "show create user")
_ACCOUNT_SCHEMA = "mysql"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """
    A recording, as it was read.

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
    """
    Return why a recording is not to be believed, or "".

    Args:
        entries: its session's.
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
    if may_hold_secret(statement.text):
        return "it is about a secret"
    if Effect.UNKNOWN in statement.effects or not statement.tables_known:
        return "nobody knows what it shows"
    if not literals.keeps_rows_of(statement):
        return "the policy keeps values of its tables out"
    return ""
