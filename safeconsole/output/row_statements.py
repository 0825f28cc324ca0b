"""Writes rows as INSERT or UPDATE statements, one for each row, to prepare a fix.

Values are literals that read back as what they are: numbers digit for digit, bytes as hexadecimal digits, texts on one
line. The table is described by its server first, so that no generated column is set, and no UPDATE finds its rows by a
part of the primary key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TextIO

import msgspec

from safeconsole.cluster.engine import Column, Row
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import safe
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literals import Number, literal_of, readable_literal
from safeconsole.sqltext.statement import Statement

_KINDS = frozenset({"select", "table", "with"})
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_INEXACT = re.compile(r"float(?! ?\(\d+,)")


class RowColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the table that rows are written for."""

    name: str
    type_: str
    is_key: bool
    is_generated: bool


class RowTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The table that rows are written for.

    Attributes:
        table: quoted.
        columns: by their names in lower case.
    """

    form: str
    table: str
    columns: Mapping[str, RowColumn]
    rules: LexicalRules


def require_one_table(statement: Statement, form: str) -> None:
    """Raise ConfigurationError unless a statement reads one table, whose rows can be written as statements."""
    names = {(table.schema, table.name) for table in statement.tables}
    if statement.kind not in _KINDS or not statement.is_plain_read or not statement.tables_known:
        raise ConfigurationError(
            f"only the rows of a SELECT are written as {form.upper()} statements, and this is {statement.kind}"
        )
    if len(names) != 1:
        raise ConfigurationError(
            f"rows are written as {form.upper()} statements for one table, and this names {len(names) or 'none'}"
        )


def target_of(statement: Statement, form: str, session: Session, rules: LexicalRules) -> RowTarget:
    """Ask the server to describe the table of a SELECT. Raises as `require_one_table`, and as a statement."""
    require_one_table(statement, form)
    named = statement.tables[0]
    table = rules.dialect.quoted(*filter(None, (named.schema, named.name)))
    (describe,) = session.split(rules.dialect.queries.columns.format(table=table))
    result = session.execute(describe, by_console=True, as_text=True)
    rows = result.take()
    names = [column.name.lower() for column in result.columns]
    found = [_column_of(dict(zip(names, row, strict=True))) for row in rows]
    return RowTarget(form=form, table=table, columns={each.name.lower(): each for each in found}, rules=rules)


def _column_of(told: Mapping[str, object]) -> RowColumn:
    # As MySQL and MariaDB describe a table, and as SQLite does.
    extra = str(told.get("extra") or "").upper()
    return RowColumn(
        name=str(told["field"] if "field" in told else told["name"]),
        type_=str(told.get("type") or "").lower(),
        is_key=told.get("key") == "PRI" or str(told.get("pk") or 0) != "0",
        is_generated="GENERATED" in extra.replace("DEFAULT_GENERATED", ""),
    )


class RowStatementWriter:
    """Writes each row as a statement.

    Raises ConfigurationError when it is made: a column is none of the table's, or an UPDATE misses one of the key.
    """

    def __init__(self, columns: Sequence[Column], stream: TextIO, target: RowTarget) -> None:
        self._stream, self._target = stream, target
        found = [_known(column, target) for column in columns]
        if len({column.name for column in found}) < len(found):
            raise ConfigurationError("two columns have one name", instead="name each column once")
        places = [(at, column) for at, column in enumerate(found) if not column.is_generated]
        self._binary = [column.binary for column in columns]
        self._numeric = [column.numeric for column in columns]
        self._bits = [column.type_.startswith("bit") for column in found]
        self._quoted = [target.rules.dialect.quoted(column.name) for column in found]
        self._keys = [at for at, column in places if column.is_key]
        self._set = [at for at, column in places if not column.is_key]
        self._all = [at for at, _ in places]
        if target.form == "update":
            _require_keys(target, {column.name for _, column in places}, has_others=bool(self._set))
        for _, column in places:
            if why := _why_inexact(column):
                stream.write(f"-- {safe(column.name)} {why}\n")

    def rows(self, batch: Sequence[Row]) -> None:
        write = self._update if self._target.form == "update" else self._insert
        self._stream.write("".join([write(row) for row in batch]))

    def end(self, note: str = "", /) -> None:
        if note:
            self._stream.write(f"-- {note}\n")

    abandon = end

    def _insert(self, row: Row) -> str:
        names = ", ".join(self._quoted[at] for at in self._all)
        values = ", ".join(self._literal(row, at).strip() for at in self._all)
        return f"INSERT INTO {self._target.table} ({names}) VALUES ({values});\n"  # noqa: S608 (quoted, see `_literal`)

    def _update(self, row: Row) -> str:
        sets = ", ".join(self._is(row, at) for at in self._set)
        where = " AND ".join(self._is(row, at) for at in self._keys)
        return f"UPDATE {self._target.table} SET {sets} WHERE {where};\n"  # noqa: S608 (as above)

    def _is(self, row: Row, at: int) -> str:
        return f"{self._quoted[at]} = {self._literal(row, at).strip()}"

    def _literal(self, row: Row, at: int) -> str:
        value, rules = row[at], self._target.rules
        if isinstance(value, bytes):
            return f"b'{int.from_bytes(value):b}'" if self._bits[at] else literal_of(value, rules)
        if value is None or isinstance(value, int | float):
            return literal_of(value, rules)
        if self._numeric[at] and _NUMBER.fullmatch(value):
            # A whole number has no negative zero.
            return literal_of(Number("-0e0" if value == "-0" else value), rules)
        return readable_literal(value, rules)


def _known(column: Column, target: RowTarget) -> RowColumn:
    known = target.columns.get(column.name.lower())
    if known is None:
        raise ConfigurationError(
            f"{safe(column.name)} is no column of {safe(target.table)}",
            instead="name each expression after the column that it is for: SELECT id, UPPER(code) AS code",
        )
    return known


def _require_keys(target: RowTarget, given: set[str], *, has_others: bool) -> None:
    keys = [column.name for column in target.columns.values() if column.is_key]
    missing = [name for name in keys if name not in given]
    if not keys:
        raise ConfigurationError(f"{safe(target.table)} has no primary key: an UPDATE would not find one row alone")
    if missing:
        raise ConfigurationError(f"an UPDATE needs the whole primary key: add {safe(', '.join(missing))}")
    if not has_others:
        raise ConfigurationError("an UPDATE needs a column beside the primary key")


def _why_inexact(column: RowColumn) -> str:
    if _INEXACT.match(column.type_):
        return "is a FLOAT: its values are as the server writes them, with six digits"
    if column.type_.startswith("timestamp"):
        return "is a TIMESTAMP: its values are in the time zone of the session that read them"
    return ""
