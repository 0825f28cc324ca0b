"""
What the names in a statement are, asked of the server's dictionary: views with their definitions, tables with engines.

A plan cannot be asked first: planning a view may run what is in it. One question asks for many names at once and
travels with the others. Source: MySQL 9.7 and MariaDB 10.11, measured: by schema and name `information_schema.TABLES`
and `VIEWS` are looked up, at 0.4 to 1 ms a name, and no table is opened for it (on MariaDB its definition is).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

import msgspec

from safeconsole.mysql.error_codes import is_lost
from safeconsole.mysql.wire import DriverError, Wire
from safeconsole.sqltext.behind import NEVER_SEES, Object, behind_all, hidden_object, view_object
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Behind, TableName

REMEMBER_SECONDS = 5.0
"""As long as anything else that a server said is believed; a view that became another is looked at anew then."""

_DEEPEST = 8
MOST_NAMES = 200
_SIMPLE = re.compile(r"[\w$ -]+", re.ASCII)
_VIEW = "VIEW"
_DEFINITION = "DEFINITION"

Rows = list[tuple[str | None, ...]]
Ask = Callable[[str], Rows]
"""Asks one `question`, and returns its answer, nothing where the server refuses it."""


class Dictionary(msgspec.Struct):
    """What is known of which name, remembered for a moment; one a connection."""

    _known: dict[TableName, tuple[float, Object | None]] = msgspec.field(default_factory=dict)

    def unknown(self, names: Iterable[TableName]) -> list[TableName]:
        """Return those of some names that have to be asked for."""
        oldest = time.monotonic() - REMEMBER_SECONDS
        return [name for name in looked_at(names) if self._known.get(name, (oldest - 1, None))[0] < oldest]

    def learn(self, names: Iterable[TableName], rows: Rows, rules: LexicalRules) -> None:
        """
        Remember the answer to `question`.

        Args:
            names: those that it was asked for.
            rows: the answer; nothing where the server refused it.
            rules: how the server reads text; definitions are always written in the default sql_mode.
        """
        now = time.monotonic()
        told: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        for schema, table, what, detail, definition in rows:
            exact = told.setdefault((str(schema), str(table)), {})
            exact[str(what)] = (detail or "", definition or "")
        # The dictionary may spell a name in another case than the statement did, where case makes no difference.
        folded = {(schema.lower(), table.lower()): found for (schema, table), found in told.items()}
        for name in names:
            schema, table = name.schema or "", name.name
            found = told.get((schema, table)) or folded.get((schema.lower(), table.lower()))
            self._known[name] = (now, None if found is None else _object(name, found, rules))

    def behind(self, ask: Ask, names: Iterable[TableName], rules: LexicalRules, *, must_exist: bool) -> Behind:
        """
        Return what stands behind some names, through views on views.

        Args:
            ask: asks the server what it does not know yet.
            must_exist: what the dictionary does not show is unknown; otherwise it may be a table yet to be made.

        Raises:
            DriverError, OSError: the connection is lost.
        """
        found: dict[TableName, Object] = {}
        wave, dialect = looked_at(names), rules.dialect
        for depth in range(_DEEPEST):
            if not wave:
                return behind_all(found.items(), dialect)
            if len(found) + len(wave) > MOST_NAMES:
                return behind_all(
                    found.items(), rules.dialect, unfinished=f"its views lead to more than {MOST_NAMES} names"
                )
            self._ask(ask, wave, rules)
            for name in wave:
                known = self._known[name][1]
                if known is not None:
                    found[name] = known
                elif must_exist or depth:
                    found[name] = hidden_object(name)
            inner = [each.definition.tables for name in wave if (each := found.get(name)) and each.definition]
            wave = [name for name in looked_at(table for tables in inner for table in tables) if name not in found]
        return behind_all(
            found.items(), rules.dialect, unfinished=f"its views stand on views, more than {_DEEPEST} deep"
        )

    def _ask(self, ask: Ask, names: list[TableName], rules: LexicalRules) -> None:
        unknown = self.unknown(names)
        if unknown:
            self.learn(unknown, ask(question(unknown)), rules)


def question(names: Iterable[TableName]) -> str:
    """Return what has to be asked to know these names."""
    return " UNION ALL ".join(map(_lookup, names))


def answered(wire: Wire, question: str) -> Rows:
    """Return the answer to a question alone, nothing where the server refuses it. Raises as `Dictionary.behind`."""
    try:
        return wire.texts(question)
    except DriverError as error:
        if is_lost(error):
            raise
        return []


def looked_at(names: Iterable[TableName]) -> list[TableName]:
    """Return the names that the dictionary is asked for, each once."""
    return list(dict.fromkeys(name for name in names if name.schema and name.schema.lower() not in NEVER_SEES))


def _object(name: TableName, found: dict[str, tuple[str, str]], rules: LexicalRules) -> Object:
    """Return what a name is by the dictionary's rows: its kind with its engine, its definition with its definer."""
    if _VIEW in found:
        definer, definition = found.get(_DEFINITION, ("", ""))
        return view_object(definition, definer, name, rules)
    return Object(engine=next(iter(found.values()))[0])


def _lookup(name: TableName) -> str:
    schema, table = _literal(name.schema or ""), _literal(name.name)
    where = f"WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table}"
    return (
        f"SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, NULL FROM information_schema.TABLES {where}"  # noqa: S608
        f" UNION ALL SELECT TABLE_SCHEMA, TABLE_NAME, '{_DEFINITION}', DEFINER, VIEW_DEFINITION"
        f" FROM information_schema.VIEWS {where}"
    )


def _literal(text: str) -> str:
    """Return a text as SQL that no sql_mode reads in another way."""
    return f"'{text}'" if _SIMPLE.fullmatch(text) else f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)"
