"""
How many rows a statement looks at, where the server's plan of it alone does not say.

Of a change: the read that finds the rows which it would touch, so that their number can be asked without changing
anything. Of a read that stops at its LIMIT: that number, which plans leave out.

A server plans a change only where it may be made: MySQL 9.7 and MariaDB 10.11 refuse `EXPLAIN UPDATE` and `EXPLAIN
DELETE` in a read-only session or transaction (error 1792), and to an account that may not write (1142), measured. So
the question is asked of the read inside the change, which is as safe to plan as any read of a person's.
"""

from __future__ import annotations

import re

from safeconsole.core.analysis import analyse
from safeconsole.core.catalogue.objects import words
from safeconsole.core.lexer import tokens
from safeconsole.core.lexicon import LexicalRules, Token, TokenKind
from safeconsole.core.statement import Statement

_SKIPPED = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_MODIFIERS = frozenset({"LOW_PRIORITY", "IGNORE", "QUICK"})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_TAILS = frozenset({"WHERE", "ORDER", "LIMIT"})
_READ = "SELECT 1 FROM"
_LONGEST_TARGET = 5
"""Tokens of `schema . table AS alias`."""

_BARE = _NAMES | {
    TokenKind.SPACE,
    TokenKind.OPERATOR,
    TokenKind.PUNCTUATION,
    TokenKind.NUMBER,
    TokenKind.LIST,
    TokenKind.DELIMITER,
}
_READS_ON = words(
    "WHERE DISTINCT DISTINCTROW GROUP HAVING ORDER UNION EXCEPT INTERSECT MINUS WINDOW JOIN STRAIGHT_JOIN PROCEDURE"
    " SQL_CALC_FOUND_ROWS SQL_BUFFER_RESULT SQL_BIG_RESULT SQL_SMALL_RESULT INTO FOR EXAMINED FETCH"
)
"""Words after which more rows may be read than LIMIT lets out."""
_LIMITED = re.compile(r"\s+(\d{1,18})(?:\s*,\s*(\d{1,18})|\s+OFFSET\s+(\d{1,18}))?\s*;?\s*", re.ASCII | re.IGNORECASE)


def rows_until_limit(statement: Statement, rules: LexicalRules) -> int | None:
    """
    Return the rows that a bare `SELECT … FROM one_table LIMIT n` reads before it stops, or None for anything else.

    A condition, a sort, a group, a function may read the whole table for one row, so with any of them there is no such
    number; what a view adds must be looked for in the plan. Source: MySQL 9.7 and MariaDB 10.11, rows counted by
    `Handler_read%`.
    """
    if statement.kind != "select" or len(statement.tables) != 1 or not statement.tables_known or statement.hazards:
        return None
    found = tokens(statement.text, rules)
    said = [token.word for token in found if token.kind is TokenKind.WORD]
    if any(token.kind not in _BARE or "(" in token.text for token in found) or _READS_ON & set(said):
        return None
    if said.count("SELECT") != 1 or said.count("LIMIT") != 1:
        return None
    ends = next(token.end for token in found if token.word == "LIMIT")
    numbers = _LIMITED.fullmatch(statement.text, ends)
    return sum(int(number) for number in numbers.groups() if number) if numbers else None


def read_within(statement: Statement, rules: LexicalRules, *, schema: str) -> Statement | None:
    """
    Return the read that finds the rows of a change of one table, or None where none is sure to.

    Args:
        statement: an UPDATE or DELETE of one table, or an INSERT or REPLACE of a query's rows; anything else has none.
        rules: how the server reads it.
        schema: the session's.
    """
    if "/*" in statement.text:
        # A comment may be code for some servers, and half of one is another text.
        return None
    found = [token for token in tokens(statement.text, rules) if token.kind not in _SKIPPED]
    text = _READS.get(statement.kind, _none)(statement.text, found)
    read = analyse(text, rules, schema=schema) if text else ()
    if len(read) != 1 or not read[0].is_plain_read or not read[0].tables_known or read[0].hazards:
        return None
    return read[0] if set(read[0].tables) <= set(statement.tables) else None


def _none(_text: str, _found: list[Token]) -> str:
    return ""


def _of_update(text: str, found: list[Token]) -> str:
    start = _after_modifiers(found, 1)
    ends = next((at for at, token in enumerate(found) if token.word == "SET"), start)
    return _read_of(text, found, start, ends)


def _of_delete(text: str, found: list[Token]) -> str:
    start = _after_modifiers(found, 1)
    if start >= len(found) or found[start].word != "FROM":
        return ""
    ends = next((at for at in range(start, len(found)) if found[at].word in _TAILS), len(found))
    return _read_of(text, found, start + 1, ends)


def _of_insert(text: str, found: list[Token]) -> str:
    """Return the query behind INSERT or REPLACE; with ON DUPLICATE KEY it is none of its own."""
    depth = 0
    words = {token.word for token in found}
    if words & {"DUPLICATE", "RETURNING", "CONFLICT"}:
        return ""
    for token in found:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word == "SELECT":
            return text[token.start :]
    return ""


def _after_modifiers(found: list[Token], at: int) -> int:
    while at < len(found) and found[at].word in _MODIFIERS:
        at += 1
    return at


def _read_of(text: str, found: list[Token], start: int, ends: int) -> str:
    """Return a read of the one table that some tokens name, under the conditions that follow; "" for more tables."""
    target = found[start:ends]
    if not 0 < len(target) <= _LONGEST_TARGET or any(
        token.kind not in _NAMES and token.text != "." for token in target
    ):
        return ""
    depth = 0
    for token in found[ends:]:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word in _TAILS:
            return f"{_READ} {_slice(text, target)} {text[token.start :]}"
    return f"{_READ} {_slice(text, target)}"


def _slice(text: str, part: list[Token]) -> str:
    return text[part[0].start : part[-1].end]


_READS = {"update": _of_update, "delete": _of_delete, "insert": _of_insert, "replace": _of_insert}
