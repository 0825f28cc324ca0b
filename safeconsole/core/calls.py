"""
Which functions a statement calls.

Every name before a parenthesis is a call unless its place says otherwise: what is not proven to be
something else is over-reported, and a call that is not known to be pure is never a plain read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.reserved import RESERVED_EVERYWHERE

# Reserved words that are functions too when a parenthesis follows.
_CALLABLE_RESERVED = frozenset(
    {"IF", "INSERT", "REPLACE", "LEFT", "RIGHT", "REPEAT", "MOD", "CHAR", "VALUES", "DEFAULT"}
)
# Reserved in newer servers only; their place before a parenthesis is fixed by what precedes them.
_AFTER_CLOSING = frozenset({"OVER", "AGAINST", "GROUP"})
_SUBQUERY_STARTS = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})
_COMPARISONS = frozenset({"=", "<", ">", "<=", ">=", "<>", "!="})
_BEFORE_TARGET = frozenset({"INTO", "INSERT", "REPLACE", "IGNORE", "TABLE"})
_SET_OPERATORS = frozenset({"EXCEPT", "INTERSECT", "MINUS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    One call of a function.

    Attributes:
        name: lower case where it is ASCII, without quotes.
        position: index of its name among the tokens.
        foreign: quoted or qualified by a schema, so that no built-in is meant for sure.
    """

    name: str
    position: int
    foreign: bool


def calls_in(tokens: tuple[Token, ...]) -> Iterator[Call]:
    """Yield every call, in order of appearance."""
    for position in range(1, len(tokens)):
        token = tokens[position]
        if token.text != "(" or token.kind is not TokenKind.PUNCTUATION:
            continue
        name = tokens[position - 1]
        before = tokens[position - 2] if position > 1 else None
        if name.kind is TokenKind.WORD:
            qualified = before is not None and before.text == "."
            if _is_target(tokens, position) or (not qualified and _is_no_call(tokens, position)):
                continue
            folded = name.word.lower() if name.text.isascii() else name.text
            yield Call(name=folded, position=position - 1, foreign=qualified)
        elif name.kind is TokenKind.NAME and not (_is_target(tokens, position) or _is_column_list(tokens, position)):
            yield Call(name=name.text[1:-1].lower(), position=position - 1, foreign=True)


def _is_no_call(tokens: tuple[Token, ...], opening: int) -> bool:
    """Whether the word before a parenthesis cannot be the name of a function there."""
    word = tokens[opening - 1].word
    if word in RESERVED_EVERYWHERE and word not in _CALLABLE_RESERVED:
        return True
    if word == "VALUES" or _is_column_list(tokens, opening):
        return True
    before = tokens[opening - 2] if opening > 1 else None
    following = tokens[opening + 1].word if opening + 1 < len(tokens) else ""
    if word in {"ANY", "SOME"}:
        return before is not None and before.text in _COMPARISONS and following in _SUBQUERY_STARTS
    if word in {"LATERAL", *_SET_OPERATORS}:
        return following in _SUBQUERY_STARTS
    if word == "OF":
        return before is not None and before.word == "MEMBER"
    if word == "AGAINST":
        return _follows_match(tokens, opening - 1)
    if word == "OVER":
        return before is not None and before.text == ")"
    if word == "COLUMNS":
        return before is not None and before.kind is TokenKind.STRING
    return False


def _is_target(tokens: tuple[Token, ...], opening: int) -> bool:
    """Whether the parenthesis holds the columns of the table that an INSERT or LOAD fills."""
    index = opening - 2
    while index > 0 and tokens[index].text == ".":
        index -= 2
    return index >= 0 and tokens[index].word in _BEFORE_TARGET


def _follows_match(tokens: tuple[Token, ...], position: int) -> bool:
    """Whether AGAINST ends a MATCH: nothing but names, dots, commas and one pair of parentheses between them."""
    for index in range(position - 1, -1, -1):
        token = tokens[index]
        if token.word == "MATCH":
            return True
        if token.word in RESERVED_EVERYWHERE:
            return False
        if token.kind not in {TokenKind.WORD, TokenKind.NAME} and token.text not in {"(", ")", ",", "."}:
            return False
    return False


def _is_column_list(tokens: tuple[Token, ...], opening: int) -> bool:
    """Whether the parenthesis holds names of columns: after AS, after a derived table, or of a WITH query."""
    before = tokens[opening - 2] if opening > 1 else None
    if before is not None and before.word == "AS":
        return True
    if before is None or not (before.text in {")", ","} or before.word in {"WITH", "RECURSIVE"}):
        return False
    closing = _end_of_names(tokens, opening)
    if closing < 0:
        return False
    if before.text == ")":
        return True
    return _follows_as_query(tokens, closing)


def _end_of_names(tokens: tuple[Token, ...], opening: int) -> int:
    """Return the index of the closing parenthesis when only names and commas stand before it, else -1."""
    for index in range(opening + 1, len(tokens)):
        token = tokens[index]
        if token.text == ")":
            return index
        if token.kind not in {TokenKind.WORD, TokenKind.NAME} and token.text != ",":
            return -1
    return -1


def _follows_as_query(tokens: tuple[Token, ...], closing: int) -> bool:
    """Whether `AS (` follows, perhaps with SQLite's MATERIALIZED between."""
    following = [token.word or token.text for token in tokens[closing + 1 : closing + 5]]
    return following[:2] == ["AS", "("] or (
        following[:1] == ["AS"] and "(" in following and "MATERIALIZED" in following
    )
