"""The rows of a change before and after it, and the statement that restores them. Pure.

Values are literals as the server itself quoted them, so that what is put back is what was there.
"""

from __future__ import annotations

import msgspec

Row = tuple[str, ...]


class KeepOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one change that are to be kept.

    Attributes:
        table: the table, quoted.
        schema, name: its names as they are; the schema is "" where nobody named one.
        source: FROM and what follows, of a query that finds the rows.
        limited: whether `source` has a LIMIT.
        changed: the columns that are set, as named; empty for a DELETE.
        most_rows: more are not kept, > 0.
        days: how long they are kept.
        lacks: why nobody is sure which rows they are, so that none is kept; "" where it is sure.
    """

    table: str
    schema: str = ""
    name: str = ""
    source: str
    limited: bool
    changed: tuple[str, ...]
    most_rows: int
    days: float
    lacks: str = ""


NOT_KEPT = "its rows are not kept, and it cannot be undone"
"""How a note begins that says why."""


class KeptRows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one change, before and after.

    Attributes:
        table: quoted.
        columns: names of all columns that can be set.
        keys: names of the primary key's columns.
        changed: the columns that were set; empty for a DELETE.
        before: values of `columns`, as literals.
        after: values of `keys` and `changed`, as literals; empty for a DELETE.
        unseen: what may have changed more with it, which the account could not see; "" for nothing.
    """

    table: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    changed: tuple[str, ...]
    before: tuple[Row, ...]
    after: tuple[Row, ...] = ()
    unseen: str = ""


def undo_of(kept: KeptRows) -> str:
    """Return the statement that restores the rows, and matches no row that changed since."""
    return _put_back(kept) if kept.changed else _insert_again(kept)


def _insert_again(kept: KeptRows) -> str:
    columns = ", ".join(map(quoted, kept.columns))
    rows = ",\n".join(f"({', '.join(row)})" for row in kept.before)
    return f"INSERT INTO {kept.table} ({columns}) VALUES\n{rows}"


def _put_back(kept: KeptRows) -> str:
    places = [kept.columns.index(name) for name in (*kept.keys, *kept.changed)]
    count = len(kept.keys)
    before = {row[:count]: row[count:] for row in (tuple(row[at] for at in places) for row in kept.before)}
    sets = []
    for at, name in enumerate(kept.changed):
        cases = "\n".join(f"  WHEN {_is(kept.keys, key)} THEN {old[at]}" for key, old in before.items())
        sets.append(f"{quoted(name)} = CASE\n{cases}\n  END")
    unchanged = "\n  OR ".join(f"({_is((*kept.keys, *kept.changed), row)})" for row in kept.after)
    return f"UPDATE {kept.table} SET {', '.join(sets)}\nWHERE {unchanged}"  # noqa: S608 (as above)


def _is(names: tuple[str, ...], values: Row) -> str:
    return " AND ".join(f"{quoted(name)} <=> {value}" for name, value in zip(names, values, strict=True))


def quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


_BINARY = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit"})
_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"})
_FLOATS = frozenset({"float", "double"})
_TEXTS = frozenset(
    {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "date", "time", "datetime"}
    | {"uuid", "inet4", "inet6"}
)
_SPATIAL = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "geomcollection"}
)


def literal_of(name: str, type_: str) -> str:
    """Return the SQL expression that yields a column's value as a literal; "" if that may be inexact.

    A FLOAT is as exact as the DOUBLE that it is, whose shortest text is read back as the same number; -0 keeps its
    sign by its exponent. JSON that is not equal to its own text, as where a date is in it, has no literal: its
    expression is NULL then. Source: MySQL 9.7 and MariaDB 10.11, measured.
    """
    column, word = quoted(name), type_.split("(", maxsplit=1)[0].split(" ", maxsplit=1)[0].lower()
    if word in _NUMBERS:
        return f"IFNULL(CAST({column} AS CHAR), 'NULL')"
    if word in _FLOATS:
        text = f"CAST({column} * 1e0 AS CHAR)"
        return f"IFNULL(IF({text} LIKE '%e%', {text}, CONCAT({text}, 'e0')), 'NULL')"
    if word == "json":
        text = f"CAST({column} AS CHAR)"
        literal = f"CONCAT('CAST(', QUOTE({text}), ' AS JSON)')"
        return f"IF({column} IS NULL, 'NULL', IF({column} = CAST({text} AS JSON), {literal}, NULL))"
    if word in _SPATIAL:
        wkb = f"'ST_GeomFromWKB(X''', HEX(ST_AsWKB({column})), ''', ', ST_SRID({column}), ')'"
        return f"IF({column} IS NULL, 'NULL', CONCAT({wkb}))"
    if word in _BINARY:
        return f"IF({column} IS NULL, 'NULL', CONCAT('X''', HEX({column}), ''''))"
    if word == "timestamp":
        # The time zone of whoever puts it back may be another one.
        return f"IF({column} IS NULL, 'NULL', CONCAT('FROM_UNIXTIME(', UNIX_TIMESTAMP({column}), ')'))"
    return f"QUOTE({column})" if word in _TEXTS else ""
