"""
Reads text as the server would: tokens for showing it, and whether it is finished.

What a text means is `analysis`; the pass itself is `scanning`, the cut into statements `splitting`.
"""

from __future__ import annotations

from safeconsole.core.lexicon import LexicalRules, Token, TokenKind
from safeconsole.core.scanning import scan_whole
from safeconsole.core.splitting import split

__all__ = ["LexicalRules", "Token", "TokenKind", "is_complete", "tokens"]


def tokens(text: str, rules: LexicalRules) -> tuple[Token, ...]:
    """Return every token of a text, literals one by one, without a gap; never raises."""
    return tuple(scan_whole(text, rules, whole=False))


def is_complete(text: str, rules: LexicalRules) -> bool:
    """Whether a text holds at least one statement and its last one was ended by its delimiter."""
    pieces = split(text, rules)
    return bool(pieces) and pieces[-1].terminated
