"""The hazards of a statement's objects: rows of the catalogue, and how narrowly the statement filters. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from safeconsole.patterns import late
from safeconsole.sqltext.dialect import DangerousObject
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind
from safeconsole.sqltext.statement import Hazard, TableName
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE, name_of
from safeconsole.sqltext.vocabulary import CostClass

# How a metadata query is filtered: by schema and object, by one of them, or not at all.
#
# Only equality with a literal counts, as one of the conditions that AND joins in the WHERE of the very query that
# names the object, and said of that object where the query names others beside it. Every mention of the object has to
# be filtered, and the weakest filter counts. Anything that could weaken it (OR, BETWEEN, CASE, a query that may run
# once a row, a mention whose query is not found) and it counts as not filtered.


class Filter(StrEnum):
    """How far a WHERE restricts a table."""

    NONE = "none"
    SCHEMA = "schema"
    NAME = "name"
    SCHEMA_AND_NAME = "schema-and-name"


_STRENGTH = (Filter.NONE, Filter.NAME, Filter.SCHEMA, Filter.SCHEMA_AND_NAME)
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_SETS = frozenset({"UNION", "EXCEPT", "INTERSECT", "MINUS"})
# Reserved everywhere: a column by such a name has quotes, so none of these MUST be one and hide what follows it.
_CLAUSE_ENDS = frozenset({"GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "FOR", "INTO", "PROCEDURE", "LOCK"})
_NO_ALIAS = RESERVED_EVERYWHERE | _SETS | {"WINDOW", "QUALIFY", "TABLESAMPLE"}
_WEAKENING = frozenset({"OR", "||", "XOR", "BETWEEN", "CASE", ":="})
_JOINS = frozenset({"JOIN", "STRAIGHT_JOIN"})
# With these a query may run once for each row of something that is no query.
_REPEATING = frozenset({"SHOW", "RECURSIVE", "UPDATE", "DELETE"})
# Three letters in front of the first wildcard, so that a pattern names a family of tables.
_PREFIX = late(r"""['"][^%_'"\\]{3}""")
# Means its own characters under every sql_mode.
_PLAIN = late(r"""(?P<quote>['"])(?P<value>[^'"\\]+)(?P=quote)""")
_EQUALITY = 3
# Each mention is looked for in its WHERE; the bound keeps that linear.
_MOST_MENTIONS = 20
_MOST_PARENTHESES = 4

Clause = tuple[Token, ...]


class _Factor(msgspec.Struct):
    """A table in a FROM: its name, and its qualifier in lower case; a derived one has neither."""

    name: str = ""
    called: str = ""


class _SelectBlock(msgspec.Struct):
    """One SELECT.

    Attributes:
        around: the enclosing query, or None.
        once: it runs no more often than the query around it, as a derived table or a part of a UNION.
        conditions: the conjuncts of its WHERE, once they were asked for.
    """

    around: _SelectBlock | None
    once: bool
    factors: list[_Factor] = msgspec.field(default_factory=list)
    where: list[Token] = msgspec.field(default_factory=list)
    conditions: tuple[Clause, ...] | None = None


class _Parenthesis(msgspec.Struct):
    """The state inside one open parenthesis.

    Attributes:
        query: the SELECT whose parts stand here, or None.
        once: as `_SelectBlock.once`, of a SELECT that begins here.
        own: that SELECT began here, and is not of the parenthesis around.
        listing: a table comes after a comma.
        filtering: its WHERE is being read.
    """

    query: _SelectBlock | None
    once: bool
    own: bool = False
    expecting: bool = False
    listing: bool = False
    filtering: bool = False


def filter_on(tokens: Clause, table: str, keys: tuple[str, str]) -> tuple[Filter, str]:
    """Return how a statement filters a table by its key columns, schema and object, and the schema that it gives.

    The filter is the weakest of all mentions; the schema is "" unless one is given by a plain literal.
    """
    words = {token.word for token in tokens}
    queries = [] if words & _REPEATING or "WHERE" not in words else _queries(tokens)
    named = [(query, factor) for query in queries for factor in query.factors if factor.name]
    mentioned = [each for each in named if each[1].name == table.lower()]
    if not 0 < len(mentioned) <= _MOST_MENTIONS or len(mentioned) != _mentions(tokens, table.lower()):
        return Filter.NONE, ""
    if "WITH" in words and len(named) > len(mentioned) + 1:
        # A query by a name may stand where it runs once a row, unless it is named once and nothing else is.
        return Filter.NONE, ""
    found = [_of_mention(query, factor, keys) for query, factor in mentioned]
    schemas = {_schema_given(query, factor, keys[0]) for query, factor in mentioned}
    return min(found, key=_STRENGTH.index), schemas.pop() if len(schemas) == 1 else ""


def _of_mention(query: _SelectBlock, factor: _Factor, keys: tuple[str, str]) -> Filter:
    inner, once = query, True
    while inner.around is not None:
        once, inner = once and inner.once, inner.around
        # Once for each row of one object's is still a handful of lookups.
        if not once and any(
            other.name != factor.name or _of_conditions(inner, other, keys) is not Filter.SCHEMA_AND_NAME
            for other in inner.factors
        ):
            return Filter.NONE
    return _of_conditions(query, factor, keys)


def _of_conditions(query: _SelectBlock, factor: _Factor, keys: tuple[str, str]) -> Filter:
    conditions = list(_said_of(query, factor))
    by_schema = any(_is_equality(condition, keys[0]) for condition in conditions)
    by_name = any(_is_equality(condition, keys[1]) or _is_choice(condition, keys[1]) for condition in conditions)
    by_name = by_name or any(_is_prefix(condition, keys[1]) for condition in conditions)
    if by_schema:
        return Filter.SCHEMA_AND_NAME if by_name else Filter.SCHEMA
    return Filter.NAME if by_name else Filter.NONE


def _schema_given(query: _SelectBlock, factor: _Factor, column: str) -> str:
    for condition in _said_of(query, factor):
        plain = _PLAIN.fullmatch(condition[-1].text)
        if plain is not None and len(condition) == _EQUALITY and _is_equality(condition, column):
            return plain["value"]
    return ""


def _said_of(query: _SelectBlock, factor: _Factor) -> Iterator[Clause]:
    if query.conditions is None:
        query.conditions = tuple(_conditions(tuple(query.where), _MOST_PARENTHESES))
    for condition in query.conditions:
        rest, qualifier = condition, ""
        while len(rest) > 2 and rest[1].text == "." and rest[0].kind in _NAMES:
            qualifier, rest = name_of(rest[0]).lower(), rest[2:]
        if qualifier == factor.called or (not qualifier and len(query.factors) == 1):
            yield rest


def _conditions(clause: Clause, deep: int) -> Iterator[Clause]:
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in clause:
        depth += (token.text == "(") - (token.text == ")")
        if depth:
            parts[-1].append(token)
        elif (token.word or token.text) in _WEAKENING:
            return
        elif token.word == "AND":
            parts.append([])
        else:
            parts[-1].append(token)
    for part in filter(None, parts):
        if deep and _is_wrapped(part):
            yield from _conditions(tuple(part[1:-1]), deep - 1)
        else:
            yield tuple(part)


def _is_wrapped(part: list[Token]) -> bool:
    depth = 0
    for position, token in enumerate(part):
        depth += (token.text == "(") - (token.text == ")")
        if not depth:
            return position > 0 and position == len(part) - 1
    return False


def _mentions(tokens: Clause, lowered: str) -> int:
    count = 0
    for position, token in enumerate(tokens):
        if token.kind in _NAMES and name_of(token).lower() == lowered:
            following = tokens[position + 1].text if position + 1 < len(tokens) else ""
            count += following != "." and not (position and tokens[position - 1].word == "AS")
    return count


def _queries(tokens: Clause) -> list[_SelectBlock]:
    found: list[_SelectBlock] = []
    frames = [_Parenthesis(query=None, once=True)]
    position = 0
    while position < len(tokens):
        token, frame = tokens[position], frames[-1]
        if frame.expecting and token.kind in _NAMES and token.word not in _NO_ALIAS and token.word != "LATERAL":
            position = _read_factor(tokens, position, frame)
            continue
        if token.kind is TokenKind.PUNCTUATION and token.text in {"(", ")"}:
            _read_parenthesis(tokens, position, frames)
        elif token.word == "SELECT":
            frame.query = _SelectBlock(around=_around(frames), once=frame.once)
            frame.own, frame.expecting, frame.listing, frame.filtering = True, False, False, False
            found.append(frame.query)
        elif token.word or token.text == ",":
            _read_word(token, frame)
        for outer in frames:
            if outer.filtering and outer.query is not None and (token.word != "WHERE" or outer is not frame):
                outer.query.where.append(token)
        position += 1
    return found


def _around(frames: list[_Parenthesis]) -> _SelectBlock | None:
    return next((frame.query for frame in reversed(frames[:-1]) if frame.query is not None), None)


def _read_parenthesis(tokens: Clause, position: int, frames: list[_Parenthesis]) -> None:
    frame = frames[-1]
    if tokens[position].text == ")":
        if len(frames) > 1:
            frames.pop()
        return
    before = ["", "", *(token.word or token.text for token in tokens[max(0, position - 2) : position])][-2:]
    if frame.expecting and frame.query is not None:
        frame.expecting = False
        # A query, or tables: one more beside what is named, so that names without a qualifier count no longer.
        frame.query.factors.append(_Factor())
        frames.append(_Parenthesis(query=frame.query, once=before[1] != "LATERAL", expecting=True, listing=True))
        return
    united = before[1] in _SETS or (before[0] in _SETS and before[1] in {"ALL", "DISTINCT"})
    once = united or before[1] in {"", "AS"} or (before[1] == "(" and frame.once and not frame.own)
    frames.append(_Parenthesis(query=None, once=once))


def _read_factor(tokens: Clause, position: int, frame: _Parenthesis) -> int:
    frame.expecting = False
    name = name_of(tokens[position])
    position += 1
    while position + 1 < len(tokens) and tokens[position].text == "." and tokens[position + 1].kind in _NAMES:
        name = name_of(tokens[position + 1])
        position += 2
    called = name
    at = position + (position < len(tokens) and tokens[position].word == "AS")
    if at < len(tokens) and tokens[at].kind in _NAMES and tokens[at].word not in _NO_ALIAS:
        called, position = name_of(tokens[at]), at + 1
    if frame.query is not None:
        frame.query.factors.append(_Factor(name=name.lower(), called=called.lower()))
    return position


def _read_word(token: Token, frame: _Parenthesis) -> None:
    word = token.word
    if word == "FROM" and frame.own and not frame.filtering:
        frame.expecting = frame.listing = True
    elif word in _JOINS or token.text == ",":
        frame.expecting = frame.listing
    elif word in {"ON", "USING"}:
        frame.expecting = False
    elif word == "WHERE" or word in _CLAUSE_ENDS:
        frame.expecting = frame.listing = False
        frame.filtering = word == "WHERE" and frame.own


def _is_column(token: Token, column: str) -> bool:
    return token.kind in _NAMES and name_of(token).upper() == column


def _is_equality(condition: Clause, column: str) -> bool:
    if len(condition) < _EQUALITY or condition[1].text != "=" or not _is_column(condition[0], column):
        return False
    if len(condition) == _EQUALITY:
        return condition[2].kind in {TokenKind.STRING, TokenKind.PARAMETER}
    return [token.word or token.text for token in condition[2:]] in (["DATABASE", "(", ")"], ["SCHEMA", "(", ")"])


def _is_choice(condition: Clause, column: str) -> bool:
    return (
        len(condition) == 5
        and _is_column(condition[0], column)
        and (condition[1].word, condition[2].text, condition[4].text) == ("IN", "(", ")")
        and condition[3].kind in {TokenKind.STRING, TokenKind.LIST}
    )


def _is_prefix(condition: Clause, column: str) -> bool:
    return (
        len(condition) == _EQUALITY
        and _is_column(condition[0], column)
        and condition[1].word == "LIKE"
        and _PREFIX.match(condition[2].text) is not None
    )


# Which dangers lie in the objects that a statement reads, by the catalogue of the dialect.
#
# Columns are taken for asked for when their name stands anywhere in the statement, or a `*` does; a filter counts
# only where nothing can weaken it. Both err on the side of the danger.

STAR = "*"

_BEFORE_STAR = frozenset({"", "SELECT", "DISTINCT", "DISTINCTROW", "ALL", ",", ".", "STRAIGHT_JOIN", "HIGH_PRIORITY"})


def object_hazards(tokens: tuple[Token, ...], tables: tuple[TableName, ...], rules: LexicalRules) -> tuple[Hazard, ...]:
    """Return the hazards of the objects that a statement names, in their order."""
    suspects = tuple(table for table in tables if _is_suspect(table, rules))
    if not suspects:
        return ()
    columns = columns_in(tokens)
    found = (_hazard(table, columns, tokens, rules) for table in suspects)
    return tuple(hazard for hazard in found if hazard is not None)


def is_disguised(table: TableName, rules: LexicalRules) -> bool:
    """Whether a name is not ASCII and may still mean an object of a system schema.

    Source: MySQL 9.7 finds information_schema.tables under a name with U+017F, the long s.
    """
    schemas = rules.dialect.catalogue.schemas
    if not schemas or table.schema is None:
        return False
    if not table.schema.isascii():
        return _plain(table.schema) in schemas
    return table.schema.lower() in schemas and not table.name.isascii()


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character)).replace("\u0131", "i")


def _is_suspect(table: TableName, rules: LexicalRules) -> bool:
    catalogue = rules.dialect.catalogue
    if table.schema is not None and table.schema.lower() in catalogue.schemas:
        return True
    return table.name.lower() in catalogue.anywhere


def columns_in(tokens: tuple[Token, ...]) -> frozenset[str]:
    """Return every word that may be a column, in upper case; STAR if it may select all columns."""
    found: set[str] = set()
    previous = ""
    for position, token in enumerate(tokens):
        if token.kind in {TokenKind.WORD, TokenKind.NAME}:
            name = name_of(token)
            # What is not ASCII may be compared equal to any column.
            found.add(name.upper() if name.isascii() else STAR)
            if token.word in {"NATURAL", "TABLE"}:
                found.add(STAR)
        elif token.text == "*" and not _is_multiplication(previous, tokens, position):
            found.add(STAR)
        previous = token.word or token.text
    return frozenset(found)


def _is_multiplication(previous: str, tokens: tuple[Token, ...], position: int) -> bool:
    if previous in _BEFORE_STAR or previous.startswith("SQL_") or tokens[position - 1].kind is TokenKind.HINT:
        return False
    if previous == "(":
        return position > 1 and tokens[position - 2].word == "COUNT"
    return True


def _hazard(table: TableName, columns: frozenset[str], tokens: tuple[Token, ...], rules: LexicalRules) -> Hazard | None:
    row = _row(table, columns, rules)
    if row is None:
        return None
    filtered, schema = Filter.NONE, ""
    if keys := rules.dialect.catalogue.keys_of(row, table.name.lower()):
        filtered, schema = filter_on(tokens, table.name, keys)
    cost = _cost(row, filtered)
    if cost is CostClass.LOOKUP:
        return None
    return Hazard(
        id=row.id,
        cost=cost,
        why=row.why,
        instead=row.instead,
        uninterruptible=row.uninterruptible and cost is row.cost,
        schema=schema if filtered is Filter.SCHEMA else "",
    )


def _row(table: TableName, columns: frozenset[str], rules: LexicalRules) -> DangerousObject | None:
    catalogue = rules.dialect.catalogue
    schema, name = (table.schema or "").lower(), table.name.lower()
    if schema == "information_schema" and name in catalogue.cheap:
        return None
    for row in catalogue.objects:
        if row.schema not in (schema, "") or (row.names and name not in row.names):
            continue
        if rules.version and not row.since <= rules.version <= row.until:
            continue
        if not row.columns or STAR in columns or row.columns & columns:
            return row
    return None


def _cost(row: DangerousObject, filtered: Filter) -> CostClass:
    match filtered:
        case Filter.SCHEMA_AND_NAME:
            return CostClass.LOOKUP
        case Filter.SCHEMA:
            return row.one_schema
        case Filter.NAME:
            return row.one_name
        case Filter.NONE:
            return row.cost
