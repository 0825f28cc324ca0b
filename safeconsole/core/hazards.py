"""
Which dangers lie in the objects that a statement reads, by the catalogue of its flavour.

Columns are taken for asked for when their name stands anywhere in the statement, or a `*` does;
a filter counts only where nothing can weaken it. Both err on the side of the danger.
"""

from __future__ import annotations

import unicodedata

import msgspec

from safeconsole.core.catalogue import mariadb, mysql, sqlite
from safeconsole.core.catalogue.objects import DangerousObject, keys_of
from safeconsole.core.filters import Filter, filter_on
from safeconsole.core.lexicon import LexicalRules, Token, TokenKind
from safeconsole.core.statement import Hazard, TableName
from safeconsole.core.structure import name_of
from safeconsole.core.vocabulary import CostClass, Flavour

SYSTEM_SCHEMAS = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
"""Schemas that belong to the server."""

STAR = "*"

_BEFORE_STAR = frozenset({"", "SELECT", "DISTINCT", "DISTINCTROW", "ALL", ",", ".", "STRAIGHT_JOIN", "HIGH_PRIORITY"})


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known about the objects of one flavour.

    Attributes:
        objects: dangerous ones; the first row that fits decides.
        cheap: names in information_schema that are known to be small.
    """

    objects: tuple[DangerousObject, ...]
    cheap: frozenset[str]


CATALOGUES: dict[Flavour, Catalogue] = {
    Flavour.MYSQL: Catalogue(objects=mysql.OBJECTS, cheap=mysql.CHEAP),
    Flavour.AURORA_MYSQL: Catalogue(objects=mysql.OBJECTS, cheap=mysql.CHEAP),
    Flavour.MARIADB: Catalogue(objects=mariadb.OBJECTS, cheap=mariadb.CHEAP),
    Flavour.SQLITE: Catalogue(objects=sqlite.OBJECTS, cheap=sqlite.CHEAP),
}


def object_hazards(tokens: tuple[Token, ...], tables: tuple[TableName, ...], rules: LexicalRules) -> tuple[Hazard, ...]:
    """Return the dangers of the objects that a statement names, in their order."""
    suspects = tuple(table for table in tables if _is_suspect(table, rules))
    if not suspects:
        return ()
    columns = columns_in(tokens)
    found = (_hazard(table, columns, tokens, rules) for table in suspects)
    return tuple(hazard for hazard in found if hazard is not None)


def is_disguised(table: TableName, rules: LexicalRules) -> bool:
    """
    Whether a name is not ASCII and may still mean an object of a system schema.

    Source: MySQL 9.7 finds information_schema.tables under a name with U+017F, the long s.
    """
    if rules.flavour is Flavour.SQLITE or table.schema is None:
        return False
    if not table.schema.isascii():
        return _plain(table.schema) in SYSTEM_SCHEMAS
    return table.schema.lower() in SYSTEM_SCHEMAS and not table.name.isascii()


def _plain(name: str) -> str:
    """Return a name as the loosest collation would compare it."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character)).replace("\u0131", "i")


def _is_suspect(table: TableName, rules: LexicalRules) -> bool:
    if rules.flavour is Flavour.SQLITE:
        return any(table.name.lower() in row.names for row in sqlite.OBJECTS)
    return table.schema is not None and table.schema.lower() in SYSTEM_SCHEMAS


def columns_in(tokens: tuple[Token, ...]) -> frozenset[str]:
    """Return every word of a statement that may be a column, in upper case; STAR when it may ask for all."""
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
    """Whether a star multiplies, or counts rows, rather than asks for every column."""
    if previous in _BEFORE_STAR or previous.startswith("SQL_") or tokens[position - 1].kind is TokenKind.HINT:
        return False
    if previous == "(":
        return position > 1 and tokens[position - 2].word == "COUNT"
    return True


def _hazard(table: TableName, columns: frozenset[str], tokens: tuple[Token, ...], rules: LexicalRules) -> Hazard | None:
    """Return the danger of one object, or None when it is not there, or only a lookup."""
    row = _row(table, columns, rules)
    if row is None:
        return None
    filtered, schema = Filter.NONE, ""
    if keys := keys_of(row, table.name.lower()):
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
    """Return the first row that fits an object, the columns asked for and the version."""
    catalogue = CATALOGUES[rules.flavour]
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
