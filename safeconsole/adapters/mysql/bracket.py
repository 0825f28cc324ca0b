"""
What stands around one statement, so that it can do what it was permitted to do and nothing else.

A read-only transaction for reads, a read-write one for changes to rows, the session's mode lifted
for what commits by itself. Source: MySQL 9.7 and MariaDB 10.11, measured: the session's mode and
the transaction's hold together what neither holds alone.
"""

from __future__ import annotations

from enum import StrEnum

from safeconsole.adapters.mysql.wire import IN_TRANSACTION, IN_TRANSACTION_READONLY, Wire
from safeconsole.core.decision import Permit
from safeconsole.core.vocabulary import Account, Effect

_ROW_KINDS = frozenset({"insert", "update", "delete", "replace", "select", "with", "table", "values", "load"})
_BEGIN = "START TRANSACTION READ ONLY"
_BEGIN_KINDS = frozenset({"begin", "start transaction"})


class Bracket(StrEnum):
    """What stands around one statement."""

    NONE = "none"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    LIFTED = "lifted"


def bracket_of(permit: Permit, *, in_transaction: bool) -> Bracket:
    """
    Return what stands around a permitted statement.

    Args:
        in_transaction: whether the person has a transaction open on this connection.
    """
    statement = permit.statement
    if permit.read_only:
        if statement.kind in _BEGIN_KINDS and permit.account is Account.ELEVATED:
            return Bracket.LIFTED
        needs_own = Effect.READ in statement.effects and not in_transaction
        return Bracket.READ_ONLY if needs_own else Bracket.NONE
    changes_rows = bool(statement.effects & {Effect.WRITE, Effect.LOCK})
    others = statement.effects - {Effect.READ, Effect.SESSION, Effect.WRITE, Effect.LOCK}
    if changes_rows and not others and statement.kind.split(" ", 1)[0] in _ROW_KINDS:
        return Bracket.NONE if in_transaction else Bracket.READ_WRITE
    return Bracket.LIFTED


def opened_with_reading(wire: Wire, permit: Permit) -> str:
    """Return what opens a statement's bracket where it may be sent together with the reading of the guards, or ""."""
    bracket = bracket_of(permit, in_transaction=bool(wire.server_status & IN_TRANSACTION))
    return _BEGIN if bracket is Bracket.READ_ONLY else ""


def open_bracket(wire: Wire, permit: Permit, *, read_only_variable: str, opened: bool = False) -> Bracket | None:
    """
    Put a statement's bracket around what follows, and return it; None when the server did not.

    Args:
        read_only_variable: the session setting that forbids writing.
        opened: it was opened together with the reading of the guards.

    Raises:
        DriverError, OSError: the connection is lost, or the server refused.
    """
    in_own = bool(wire.server_status & IN_TRANSACTION) and not opened
    bracket = bracket_of(permit, in_transaction=in_own)
    match bracket:
        case Bracket.READ_ONLY:
            if not opened:
                wire.run(_BEGIN)
        case Bracket.READ_WRITE:
            wire.run("START TRANSACTION READ WRITE")
        case Bracket.LIFTED:
            wire.run(f"SET SESSION {read_only_variable} = 0")
        case Bracket.NONE:
            pass
    reads = permit.read_only and Effect.READ in permit.statement.effects
    # A person's own open write transaction is read in by its elevated account only.
    exempt = bracket is Bracket.NONE and permit.account is Account.ELEVATED
    held = not reads or exempt or bool(wire.server_status & IN_TRANSACTION_READONLY)
    return bracket if held else None


def close_bracket(wire: Wire, bracket: Bracket, *, keep: bool, read_only_variable: str) -> None:
    """
    End a bracket.

    Args:
        keep: whether what was changed in it stays.

    Raises:
        DriverError, OSError: the connection is lost, or the server refused.
    """
    match bracket:
        case Bracket.READ_ONLY:
            # Nothing can come of it that anybody waits for; the next statement begins with its answer.
            wire.run_unawaited("COMMIT")
            wire.server_status &= ~(IN_TRANSACTION | IN_TRANSACTION_READONLY)
        case Bracket.READ_WRITE:
            wire.run("COMMIT" if keep else "ROLLBACK")
        case Bracket.LIFTED:
            wire.run(f"SET SESSION {read_only_variable} = 1")
        case Bracket.NONE:
            pass
