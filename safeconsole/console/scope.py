"""Finds the tables and aliases in scope at the cursor, and whether a table or a column is expected there.

Read from tokens alone and never by a grammar: the statement is half typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE

_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_TABLE_FOLLOWS = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "STRAIGHT_JOIN"})
_TABLE_FOLLOWS_FIRST = frozenset({"DESCRIBE", "DESC"})
_SCOPES = frozenset({"SESSION", "LOCAL", "GLOBAL", "PERSIST", "PERSIST_ONLY"})
_NO_ALIAS = RESERVED_EVERYWHERE | frozenset({"WINDOW", "OFFSET", "EXCEPT", "INTERSECT", "RETURNING"})
_SYSTEM = re.compile(r"@@(?:(?:session|local|global|persist)\.)?\Z", re.IGNORECASE)


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a subquery or a common table expression.

    Attributes:
        columns: by name, as far as the text says them.
        stars: tables all of whose columns are among them.
    """

    columns: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()


class StatementScope(msgspec.Struct, frozen=True, kw_only=True):
    """The names in the statement around the cursor.

    Attributes:
        tables: table names by the name they go by here in lower case, in order of appearance.
        spelled: the names they go by as they are written, by the same keys.
        derived: subqueries and common table expressions, by their name in lower case.
        expressions: names of the common table expressions, as written.
        wants: what the cursor's place expects: "table", "schema", "setting", "system", "condition", or "".
        qualifier: what stands before the dot that the cursor follows, or "".
        joined: the keys of the tables that the text before the cursor names, in order of appearance.
    """

    tables: dict[str, str]
    spelled: dict[str, str]
    derived: dict[str, Derived]
    expressions: tuple[str, ...]
    wants: str
    qualifier: str
    joined: tuple[str, ...]


def scope_of(text: str, cursor: int, rules: LexicalRules) -> StatementScope:
    """Return the names in the statement around the cursor.

    Args:
        cursor: where the word being typed begins.
    """
    start, end = _statement_around(text, cursor, rules)
    found = _meaningful(text[start:end], rules)
    before = _meaningful(text[start:cursor], rules)
    qualified = len(before) > 1 and before[-1].text == "."
    derived, expressions = _derived_in(found)
    tables, spelled = _tables_in(found)
    return StatementScope(
        tables={key: table for key, table in tables.items() if table.lower() not in derived},
        spelled=spelled | {name.lower(): name for name in expressions},
        derived=derived | {key: derived[table.lower()] for key, table in tables.items() if table.lower() in derived},
        expressions=expressions,
        wants=_wanted(before[:-2] if qualified else before, text[start:cursor]),
        qualifier=plain_name(before[-2]) if qualified else "",
        joined=tuple(_tables_in(before)[0]),
    )


def plain_name(token: Token) -> str:
    text = token.text
    quote = text[:1]
    return text[1:-1].replace(quote * 2, quote) if token.kind is TokenKind.NAME and quote in {"`", '"'} else text


def _meaningful(text: str, rules: LexicalRules) -> list[Token]:
    return [token for token in tokens(text, rules) if token.kind not in _SILENT]


def _statement_around(text: str, cursor: int, rules: LexicalRules) -> tuple[int, int]:
    start, position = 0, 0
    for token in tokens(text, rules):
        position += len(token.text)
        if token.kind is TokenKind.DELIMITER:
            if position > cursor:
                return start, position
            start = position
    return start, len(text)


def _wanted(before: list[Token], text: str) -> str:
    if _SYSTEM.search(text):
        return "system"
    words = [_word(token) for token in before]
    if words == ["USE"]:
        return "schema"
    if words[:1] == ["SET"] and (len(words) == 1 or before[-1].text == "," or words[1:][-1:][0] in _SCOPES):
        return "setting"
    if _wants_table(before):
        return "table"
    return "condition" if words[-1:] == ["ON"] and "JOIN" in words else ""


def _wants_table(before: list[Token]) -> bool:
    if not before:
        return False
    word = _word(before[-1])
    first = len(before) == 1 and word in _TABLE_FOLLOWS_FIRST
    return first or word in _TABLE_FOLLOWS or _in_table_list(before)


def _in_table_list(before: list[Token]) -> bool:
    if not before or before[-1].text != ",":
        return False
    depth = 0
    for token in reversed(before[:-1]):
        depth += (token.text == ")") - (token.text == "(")
        word = _word(token)
        if depth > 0 or token.text == "(":
            if depth < 0:
                return False
            continue
        if word in _TABLE_FOLLOWS:
            return True
        if word in RESERVED_EVERYWHERE and word != "AS":
            return False
    return False


def _tables_in(found: list[Token]) -> tuple[dict[str, str], dict[str, str]]:
    tables: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for at, token in enumerate(found):
        if token.kind not in _NAMES or not _wants_table(found[:at]):
            continue
        name, after = _table_at(found, at)
        if token.kind is TokenKind.WORD and token.word in RESERVED_EVERYWHERE:
            continue
        alias = _alias_at(found, after) or name
        tables[alias.lower()], spelled[alias.lower()] = name, alias
    return tables, spelled


def _table_at(found: list[Token], at: int) -> tuple[str, int]:
    if at + 2 < len(found) and found[at + 1].text == ".":
        return plain_name(found[at + 2]), at + 3
    return plain_name(found[at]), at + 1


def _alias_at(found: list[Token], at: int) -> str:
    if at < len(found) and _word(found[at]) == "AS":
        at += 1
    if at >= len(found) or found[at].kind not in _NAMES:
        return ""
    return "" if _word(found[at]) in _NO_ALIAS else plain_name(found[at])


def _word(token: Token) -> str:
    return token.word if token.kind is TokenKind.WORD else ""


def _derived_in(found: list[Token]) -> tuple[dict[str, Derived], tuple[str, ...]]:
    derived: dict[str, Derived] = {}
    expressions: list[str] = []
    for at, token in enumerate(found):
        if token.text != "(" or at + 1 >= len(found) or _word(found[at + 1]) not in {"SELECT", "WITH", "VALUES"}:
            continue
        end = _closing(found, at)
        named = _expression_before(found, at)
        name = named[0] if named else _alias_at(found, end + 1) if _wants_table(found[:at]) else ""
        if not name:
            continue
        given = _given_by(found[at + 1 : end])
        derived[name.lower()] = Derived(columns=named[1]) if named and named[1] else given
        if named:
            expressions.append(name)
    return derived, tuple(expressions)


def _closing(found: list[Token], at: int) -> int:
    depth = 0
    for place in range(at, len(found)):
        depth += (found[place].text == "(") - (found[place].text == ")")
        if not depth:
            return place
    return len(found)


def _expression_before(found: list[Token], at: int) -> tuple[str, tuple[str, ...]] | None:
    if at < 2 or _word(found[at - 1]) != "AS":
        return None
    name, columns = at - 2, tuple[str, ...]()
    if found[name].text == ")":
        opening = next((place for place in range(name, -1, -1) if found[place].text == "("), 0)
        columns = tuple(plain_name(token) for token in found[opening + 1 : name] if token.kind in _NAMES)
        name = opening - 1
    if name < 1 or found[name].kind not in _NAMES:
        return None
    led = _word(found[name - 1]) in {"WITH", "RECURSIVE"} or found[name - 1].text == ","
    return (plain_name(found[name]), columns) if led else None


def _given_by(query: list[Token]) -> Derived:
    columns: list[str] = []
    stars: list[str] = []
    tables: tuple[str, ...] | None = None
    for item in _items(query):
        last = item[-1]
        if last.text == "*" and (len(item) == 1 or item[-2].text == "."):
            tables = tables if tables is not None else tuple(_tables_in(query)[0].values())
            aliases = _tables_in(query)[0]
            stars += [aliases.get(plain_name(item[-3]).lower(), plain_name(item[-3]))] if len(item) > 2 else tables
        elif last.kind in _NAMES and last.word not in RESERVED_EVERYWHERE:
            columns.append(plain_name(last))
    return Derived(columns=tuple(columns), stars=tuple(stars))


def _items(query: list[Token]) -> Iterator[list[Token]]:
    start = next((place for place, token in enumerate(query) if _word(token) == "SELECT"), len(query))
    depth, item = 0, list[Token]()
    for token in query[start + 1 :]:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and (token.text == "," or _word(token) in {"FROM", "WHERE", "UNION", "LIMIT", "ORDER"}):
            if item:
                yield item
            item = []
            if token.text != ",":
                return
        elif not (not item and _word(token) in {"DISTINCT", "ALL", "SQL_NO_CACHE"}):
            item.append(token)
    if item:
        yield item
