"""Texts that differ only in their values: normalised text, digests, shapes. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.structure import is_keyword

_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.PARAMETER})
_NAMES_FOLLOW = frozenset({".", "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "USE"})


def normalise(tokens: Iterable[Token]) -> str:
    """Return the tokens joined by one space, literals as `?`, runs of literals as `?+`, keywords in upper case."""
    return " ".join(_texts(tokens))


def digest_of(normalised: str) -> str:
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
    return ", (?+)+" if text.startswith(",") else "?+"


# Texts that differ in plain literals only have one shape: what a reading of one of them found holds for all.
#
# Only texts out of plain words, plain names and plain literals have a shape: no comment, hint, backslash, double
# quote, variable or second statement can be in one, so that their tokens stand in the same places whatever the
# literals say. The literals are told apart by what they are (a whole number, a text), since a server may plan `id =
# 7` and `id = '7'` differently.

LONGEST_CHARACTERS = 16 * 1024
"""A longer text has no shape: a list of thousands of values is not asked twice."""

_NUMBER, _TEXT = "\u2460", "\u2461"
"""What stands for a literal; a text that has a shape is ASCII, so it cannot hold them itself."""

# A literal counts only where a value stands, and beside nothing that it could grow together with.
_LITERAL = re.compile(
    r"([=<>(,]\s*|\b(?:LIMIT|OFFSET|BETWEEN|AND|LIKE)\s+)"
    r"(?:(\d{1,18})(?![\w.`'\"$@])|'[^'\\\x00-\x1f]{0,255}'(?!['\"`\w]))",
    re.IGNORECASE | re.ASCII,
)
# A name in backquotes holds nothing that could have been taken for a literal.
_PLAIN = re.compile(rf"(?:[A-Za-z0-9_ \t\n\r,.()=<>*+!{_NUMBER}{_TEXT}]|`[A-Za-z0-9_]+`(?!`))+")


def shape_of(text: str) -> str:
    """Return what a text shares with all that differ in plain literals only, "" when it is not plain."""
    if len(text) > LONGEST_CHARACTERS or not text.isascii():
        return ""
    shape = _LITERAL.sub(_mark, text)
    return shape if _PLAIN.fullmatch(shape) else ""


def _mark(found: re.Match[str]) -> str:
    return found[1] + (_TEXT if found[2] is None else _NUMBER)


def is_shared(statement: Statement, rules: LexicalRules) -> bool:
    """Whether the analysis of a statement holds for all texts of its shape.

    False for the server's own objects: whether reading them is dangerous can depend on a literal.
    """
    schemas = rules.dialect.catalogue.schemas
    return (
        statement.kind == "select"
        and statement.is_plain_read
        and statement.tables_known
        and not statement.hazards
        and not any((table.schema or "").lower() in schemas for table in statement.tables)
    )


# Words that can make of a comparison of values something that decides what is read.
_LOOSE = re.compile(
    r"\b(?:OR|XOR|NOT|CASE|WHEN|TRUE|FALSE|NULL|IS|UNION|EXCEPT|INTERSECT|HAVING|LIKE|BETWEEN|IN|WITH)\b", re.IGNORECASE
)
_MARK = f"[{_NUMBER}{_TEXT}]"
_BOUND = re.compile(
    rf"\b[A-Za-z_][A-Za-z0-9_]*`?\s*=\s*{_MARK}|\b(?:LIMIT|OFFSET)\s+{_NUMBER}(?:\s*,\s*{_NUMBER})?", re.IGNORECASE
)
_SELECT = re.compile(r"\bSELECT\b", re.IGNORECASE)


def is_bound_by_key(statement: Statement) -> bool:
    """Whether a statement that a server finds by a unique key is found by it whatever its literals are.

    One SELECT whose every literal is compared with a column by `=`, or is a LIMIT, and nothing that could negate a
    condition. Source: MySQL 9.7 and MariaDB 10.11, measured over twelve types of column: with a number, or with a text,
    the plan is `const` or finds that there is no such row.
    """
    shape = statement.shape
    return (
        bool(shape)
        and not statement.functions
        and len(_SELECT.findall(shape)) == 1
        and _LOOSE.search(shape) is None
        and not any(mark in _BOUND.sub("", shape) for mark in (_NUMBER, _TEXT))
    )
