"""
What a person set that lives on one connection only: user variables, harmless settings, prepared counts.

The schema is no part of it: every connection is opened in the session's own.
"""

from __future__ import annotations

from safeconsole.core.lexer import LexicalRules, TokenKind, tokens
from safeconsole.core.statement import Statement
from safeconsole.core.transactions import BEGINS, ENDS, NEEDS_ONE
from safeconsole.core.vocabulary import Effect

_ELSEWHERE = BEGINS | ENDS | NEEDS_ONE | {"use", "deallocate prepare", "drop prepare", "unlock table", "unlock tables"}


def sets_state(statement: Statement) -> bool:
    """Whether something stays set on the connection that a statement ran on."""
    return Effect.SESSION in statement.effects and statement.kind not in _ELSEWHERE and not statement.keeps_nothing


def names_variable(statement: Statement, rules: LexicalRules) -> str:
    """Return the first user variable that a statement names, or ""."""
    if "@" not in statement.text:
        return ""
    named = (token.text for token in tokens(statement.text, rules) if token.kind is TokenKind.VARIABLE)
    return next(named, "")
