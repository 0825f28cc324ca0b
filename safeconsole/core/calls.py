"""
Which functions a statement calls.

Every name before a parenthesis is a call unless its place says otherwise: what is not proven to be
something else is over-reported, and a call that is not known to be pure is never a plain read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from safeconsole.core.catalogue.objects import words
from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.reserved import RESERVED_EVERYWHERE
from safeconsole.core.structure import name_of

# Reserved words that are functions too when a parenthesis follows.
_CALLABLE_RESERVED = frozenset({"INSERT", "REPLACE", "LEFT", "RIGHT", "REPEAT", "CHAR"})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_QUERY_STARTS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "("})
# TABLE is reserved. VALUES(column) is a function as well, and proves no query but before ROW.
_SUBQUERY_STARTS = frozenset({"SELECT", "WITH", "TABLE"})
_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.LIST})
_SELECT_OPTIONS = words(
    "ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT"
    " SQL_CALC_FOUND_ROWS SQL_NO_CACHE"
)
_COMPARISONS = frozenset({"=", "<", ">", "<=", ">=", "<>", "!="})
_BEFORE_TARGET = frozenset({"INTO", "INSERT", "REPLACE", "IGNORE", "TABLE"})
# A MATCH names a handful of columns; the bound keeps the search linear.
_LONGEST_MATCH = 200
# Schema, dot and name stand before the parenthesis of a qualified call.
_QUALIFIED = 3


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """
    One call of a function.

    Attributes:
        name: lower case where it is ASCII, without quotes.
        position: index of its name among the tokens.
        foreign: quoted or qualified by a schema, so that no built-in is meant for sure.
        schema: the qualifier in lower case, or "".
    """

    name: str
    position: int
    foreign: bool
    schema: str = ""


def calls_in(tokens: tuple[Token, ...]) -> Iterator[Call]:
    """Yield every call, in order of appearance."""
    for position in range(1, len(tokens)):
        token = tokens[position]
        if token.text != "(" or token.kind is not TokenKind.PUNCTUATION:
            continue
        name = tokens[position - 1]
        if name.kind not in _NAMES or _is_target(tokens, position):
            continue
        qualified = position > 1 and tokens[position - 2].text == "."
        if not qualified and (_is_column_list(tokens, position) or _is_no_call(tokens, position)):
            continue
        text = name_of(name)
        yield Call(
            name=text.lower() if text.isascii() else text,
            position=position - 1,
            foreign=qualified or name.kind is TokenKind.NAME,
            schema=name_of(tokens[position - 3]).lower() if qualified and position >= _QUALIFIED else "",
        )


def _is_no_call(tokens: tuple[Token, ...], opening: int) -> bool:
    """Whether the word before a parenthesis cannot be the name of a function there."""
    word = tokens[opening - 1].word
    if word in RESERVED_EVERYWHERE:
        return word not in _CALLABLE_RESERVED
    place = _PLACES.get(word)
    return place is not None and place(tokens, opening)


def _is_target(tokens: tuple[Token, ...], opening: int) -> bool:
    """Whether the parenthesis holds the columns of the table that an INSERT or LOAD fills."""
    index = opening - 2
    while index > 0 and tokens[index].text == ".":
        index -= 2
    return index >= 0 and tokens[index].word in _BEFORE_TARGET


def _follows_match(tokens: tuple[Token, ...], position: int) -> bool:
    """Whether AGAINST ends a MATCH: nothing but names, dots, commas and one pair of parentheses between them."""
    for index in range(position - 1, max(-1, position - _LONGEST_MATCH), -1):
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
    """Whether `AS (` and a query follow, perhaps with SQLite's MATERIALIZED between."""
    following = [token.word or token.text for token in tokens[closing + 1 : closing + 6]]
    body = [word for word in following if word not in {"NOT", "MATERIALIZED"}][:3]
    return body[:2] == ["AS", "("] and len(body) > 2 and body[2] in _QUERY_STARTS


def _begins_subquery(tokens: tuple[Token, ...], opening: int) -> bool:
    following = [token.word for token in tokens[opening + 1 : opening + 3]]
    return following == ["VALUES", "ROW"] or (following[:1] != [] and following[0] in _SUBQUERY_STARTS)


def _is_quantifier(tokens: tuple[Token, ...], opening: int) -> bool:
    return tokens[opening - 2].text in _COMPARISONS and (
        _begins_subquery(tokens, opening) or (opening + 1 < len(tokens) and tokens[opening + 1].text == "(")
    )


def _is_materialised(tokens: tuple[Token, ...], opening: int) -> bool:
    return tokens[opening - 2].word in {"AS", "NOT"} and _begins_subquery(tokens, opening)


def _ends_window_function(tokens: tuple[Token, ...], opening: int) -> bool:
    """Whether OVER follows a call, perhaps with FROM FIRST and RESPECT NULLS between."""
    before = [token.word or token.text for token in tokens[max(0, opening - 4) : opening - 1]]
    if before[-2:] in (["RESPECT", "NULLS"], ["IGNORE", "NULLS"]):
        return True
    return before[-1:] == [")"] or before in ([")", "FROM", "FIRST"], [")", "FROM", "LAST"])


def _is_select_option(tokens: tuple[Token, ...], opening: int) -> bool:
    """Whether nothing but other options stands between SELECT and this one."""
    index = opening - 2
    while index > 0 and (tokens[index].word in _SELECT_OPTIONS or tokens[index].kind is TokenKind.HINT):
        index -= 1
    return tokens[index].word == "SELECT"


_PLACES: dict[str, Callable[[tuple[Token, ...], int], bool]] = {
    "ANY": _is_quantifier,
    "SOME": _is_quantifier,
    "LATERAL": _begins_subquery,
    "EXCEPT": _begins_subquery,
    "INTERSECT": _begins_subquery,
    "MINUS": _begins_subquery,
    "MATERIALIZED": _is_materialised,
    "OF": lambda tokens, opening: tokens[opening - 2].word == "MEMBER",
    "OVER": _ends_window_function,
    "SETS": lambda tokens, opening: tokens[opening - 2].word == "GROUPING",
    "SYSTEM": lambda tokens, opening: tokens[opening - 2].word == "TABLESAMPLE",
    "BERNOULLI": lambda tokens, opening: tokens[opening - 2].word == "TABLESAMPLE",
    "OJ": lambda tokens, opening: tokens[opening - 2].text == "{",
    "SQL_NO_CACHE": _is_select_option,
    "SQL_BUFFER_RESULT": _is_select_option,
    # A run of literals is one token, and the last of it is the literal before the word.
    "ESCAPE": lambda tokens, opening: tokens[opening - 2].kind in _LITERALS,
    "AGAINST": lambda tokens, opening: _follows_match(tokens, opening - 1),
    "COLUMNS": lambda tokens, opening: tokens[opening - 2].kind in _LITERALS,
}
"""Words that only newer servers reserve, or none: they are no calls in these places."""
