"""Gives statements that differ in literals, keyword case, spacing or comments only one text and one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.reserved import is_keyword

_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.PARAMETER})
_NAMES_FOLLOW = frozenset({".", "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "USE"})


def normalise(tokens: Iterable[Token]) -> str:
    """Return the tokens joined by one space, literals as `?`, runs of literals as `?+`, keywords in upper case."""
    return " ".join(_texts(tokens))


def digest_of(normalised: str) -> str:
    """Return the hexadecimal SHA-256 of a normalised text."""
    return hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).hexdigest()


def _texts(tokens: Iterable[Token]) -> Iterator[str]:
    previous = ""
    before = ""
    for token in tokens:
        kind = token.kind
        if kind is TokenKind.WORD:
            text = token.word if is_keyword(token.word) and previous not in _NAMES_FOLLOW else token.text
        elif kind in _LITERALS:
            text = "?+" if previous == "(" and before == "IN" else "?"
        elif kind is TokenKind.LIST:
            text = _run(token.text)
        else:
            text = token.text
        yield text
        before, previous = previous, text


def _run(text: str) -> str:
    """Return what stands for a run of literals, or for a run of rows, which begins with its comma."""
    return ", (?+)+" if text.startswith(",") else "?+"
