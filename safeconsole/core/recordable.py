"""Recordings of the terminal: what of a statement may be in one, and what the journal says of it."""

from __future__ import annotations

from safeconsole.core.literal_rules import LiteralRules
from safeconsole.core.redaction import is_secret_bearing
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Effect

TERMINAL_RECORDED = "terminal recorded"
"""`record.Noticed.what` of the notice whose detail is the SHA-256 of a session's recording."""

_ACCOUNT_KINDS = ("show grants", "show create user")
_ACCOUNT_SCHEMA = "mysql"


def why_left_out(statement: Statement, literals: LiteralRules) -> str:
    """Return why nothing of what a statement shows may be recorded, or ""."""
    if statement.kind.startswith(_ACCOUNT_KINDS):
        return "it shows what accounts log in with"
    if any((table.schema or "").casefold() == _ACCOUNT_SCHEMA for table in statement.tables):
        return "it reads the accounts' own tables"
    if is_secret_bearing(statement.text):
        return "it is about a secret"
    if Effect.UNKNOWN in statement.effects or not statement.tables_known:
        return "nobody knows what it shows"
    if not literals.keeps_rows_of(statement):
        return "the policy keeps values of its tables out"
    return ""
