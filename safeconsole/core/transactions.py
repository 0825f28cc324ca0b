"""
What a person who types BEGIN, COMMIT or ROLLBACK may count on.

A transaction lives on one connection. Reads of it stay there; nothing else may look as if it were part
of it, and nothing may look as if it could be undone when it is committed already.
"""

from __future__ import annotations

BEGINS = frozenset({"begin", "begin work", "start transaction"})
ENDS = frozenset({"commit", "rollback"})
NEEDS_ONE = frozenset({"rollback", "savepoint", "release savepoint"})
"""Kinds that promise something about an open transaction; COMMIT without one promises nothing that is not so."""


def objection(kind: str, *, elevated: bool, open_on: str, goes_to: str) -> str:
    """
    Return why a statement would not do what its transaction promises, or "".

    Args:
        kind: the statement's.
        elevated: whether elevated statements may follow: they commit by themselves, each on its own.
        open_on: where a transaction is open, "" when none is.
        goes_to: where the statement would be sent, in the same words.
    """
    if open_on and open_on != goes_to:
        return f"a transaction is open on {open_on}, and this would run outside it, on {goes_to}"
    if kind in BEGINS and elevated:
        return "elevated statements are not held together by a transaction: each is committed when it is over"
    if kind in NEEDS_ONE and not open_on:
        return f"no transaction is open, so {kind} would undo nothing: each statement was committed when it was over"
    return ""


def way_out(kind: str, *, open_on: str) -> str:
    """Return what to do instead, for a statement that `objection` objects to."""
    if open_on:
        return "end the transaction first, with COMMIT or ROLLBACK"
    return "leave BEGIN and COMMIT out" if kind in BEGINS else "undo a change with a statement that changes it back"
