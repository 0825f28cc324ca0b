"""
Whose transaction is open: the session has one at a time, and only who began it may end it.

A connection's first change inside `elevate()` begins a transaction, and `commit` and `rollback` end it. Reads before it
begin none: they roam over the replicas, each by itself.
"""

from __future__ import annotations

from safeconsole.core.statement import Statement
from safeconsole.core.transactions import BEGINS, ENDS
from safeconsole.core.vocabulary import Effect

_ROW_CHANGES = frozenset({Effect.WRITE, Effect.LOCK})
_IN_TRANSACTIONS = frozenset({Effect.READ, Effect.SESSION, *_ROW_CHANGES})
_MARKS = frozenset({"savepoint"})


def is_boundary(statement: Statement) -> bool:
    """Whether a statement begins or ends a transaction, which a connection does with its own methods."""
    # ROLLBACK TO a savepoint is within one.
    ends = statement.kind in ENDS and "TO" not in statement.normalised.upper().split()
    return ends or statement.kind in BEGINS or statement.kind.startswith("xa")


def needs_transaction(statement: Statement) -> bool:
    """Whether a statement is what a transaction is begun for: it changes rows, locks them, or marks a point in one."""
    changes = bool(statement.effects & _ROW_CHANGES) and statement.effects <= _IN_TRANSACTIONS
    return changes or statement.kind in _MARKS


def is_told_apart(statement: Statement) -> bool:
    """Whether it matters which transaction a statement runs in: all but reads."""
    return not statement.changes_nothing or statement.kind in _MARKS
