"""
How a metadata query is filtered: by schema and object, by one of them, or not at all.

Only equality with a literal counts, as one of the conditions that AND joins at the top of the only
WHERE of the only table. Anything that could weaken it (OR, BETWEEN, CASE, a join, a union) and it
counts as not filtered.
"""

from __future__ import annotations

import re
from enum import StrEnum

from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.structure import name_of


class Filter(StrEnum):
    """What a WHERE pins down."""

    NONE = "none"
    SCHEMA = "schema"
    NAME = "name"
    SCHEMA_AND_NAME = "schema-and-name"


_CLAUSE_ENDS = frozenset(
    {"GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "WINDOW", "FOR", "INTO", "PROCEDURE", "LOCK"}
)
_WEAKENING = frozenset({"OR", "||", "XOR", "BETWEEN", "CASE"})
# Three letters in front of the first wildcard, so that a pattern names a family of tables.
_PREFIX = re.compile(r"""['"][^%_'"\\]{3}""")
# Means its own characters under every sql_mode.
_PLAIN = re.compile(r"""(?P<quote>['"])(?P<value>[^'"\\]+)(?P=quote)""")


def filter_on(tokens: tuple[Token, ...], table: str, keys: tuple[str, ...]) -> Filter:
    """Return how a query of one table filters it by its key columns, schema and object."""
    if _mentions(tokens, table) != 1 or len(keys) != 2:
        return Filter.NONE
    clause = _where(tokens)
    if not clause or any((token.word or token.text) in _WEAKENING for token in clause):
        return Filter.NONE
    conditions = list(_conditions(clause))
    by_schema = any(_is_equality(condition, keys[0]) for condition in conditions)
    by_name = any(_is_equality(condition, keys[1]) or _is_choice(condition, keys[1]) for condition in conditions)
    if by_schema and (by_name or any(_is_prefix(condition, keys[1]) for condition in conditions)):
        return Filter.SCHEMA_AND_NAME
    if by_schema:
        return Filter.SCHEMA
    if by_name or any(_is_prefix(condition, keys[1]) for condition in conditions):
        return Filter.NAME
    return Filter.NONE


def schema_given(tokens: tuple[Token, ...], column: str) -> str:
    """Return the schema that a filter pins down by a plain literal, "" where it does not; see `filter_on`."""
    for condition in _conditions(_where(tokens)):
        literal = _after_column(condition, column)[1:]
        if _is_equality(condition, column) and len(literal) == 1 and (plain := _PLAIN.fullmatch(literal[0].text)):
            return plain["value"]
    return ""


def _mentions(tokens: tuple[Token, ...], table: str) -> int:
    """Return how often a table is named, as a qualifier of a column not counted."""
    lowered = table.lower()
    count = 0
    for position, token in enumerate(tokens):
        if token.kind in {TokenKind.WORD, TokenKind.NAME} and name_of(token).lower() == lowered:
            following = tokens[position + 1].text if position + 1 < len(tokens) else ""
            count += following != "."
    return count


def _where(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Return what follows the only WHERE, up to the end of its clause; nothing when there are more."""
    places = [position for position, token in enumerate(tokens) if token.word == "WHERE"]
    if len(places) != 1 or any(token.word in {"UNION", "EXCEPT", "INTERSECT"} for token in tokens):
        return ()
    depth = 0
    for position in range(places[0] + 1, len(tokens)):
        token = tokens[position]
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0 or (not depth and token.word in _CLAUSE_ENDS):
            return tokens[places[0] + 1 : position]
    return tokens[places[0] + 1 :]


def _conditions(clause: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    """Return the parts that AND joins outside parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in clause:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word == "AND":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def _after_column(condition: tuple[Token, ...], column: str) -> tuple[Token, ...]:
    """Return what follows a column at the beginning of a condition, qualified or not."""
    rest = condition
    while len(rest) > 2 and rest[1].text == "." and rest[0].kind in {TokenKind.WORD, TokenKind.NAME}:
        rest = rest[2:]
    if not rest or rest[0].kind not in {TokenKind.WORD, TokenKind.NAME} or name_of(rest[0]).upper() != column:
        return ()
    return rest[1:]


def _is_equality(condition: tuple[Token, ...], column: str) -> bool:
    rest = _after_column(condition, column)
    if len(rest) < 2 or rest[0].text != "=":
        return False
    if len(rest) == 2:
        return rest[1].kind in {TokenKind.STRING, TokenKind.PARAMETER}
    return [token.word or token.text for token in rest[1:]] in (["DATABASE", "(", ")"], ["SCHEMA", "(", ")"])


def _is_choice(condition: tuple[Token, ...], column: str) -> bool:
    rest = _after_column(condition, column)
    return (
        len(rest) == 4
        and (rest[0].word, rest[1].text, rest[3].text) == ("IN", "(", ")")
        and rest[2].kind in {TokenKind.STRING, TokenKind.LIST}
    )


def _is_prefix(condition: tuple[Token, ...], column: str) -> bool:
    rest = _after_column(condition, column)
    return len(rest) == 2 and rest[0].word == "LIKE" and _PREFIX.match(rest[1].text) is not None
