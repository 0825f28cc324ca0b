"""
What stands behind the views that a statement names, asked of the server's dictionary.

A plan cannot be asked first: planning a view that holds an aggregate runs it. MySQL only, where
`information_schema.VIEW_TABLE_USAGE` answers in 0.5-1 ms. Source: MySQL 9.7, measured.
"""

from __future__ import annotations

import time

import msgspec

from safeconsole.adapters.mysql.definitions import Definitions
from safeconsole.adapters.mysql.membership import ask
from safeconsole.adapters.mysql.wire import Wire
from safeconsole.core.statement import TableName

REMEMBER_SECONDS = 5.0
"""As long as anything else that a server said is believed: a view that became another is planned no later than that."""

_DEEPEST = 8
_MOST_NAMES = 200
_SYSTEM = frozenset({"information_schema", "performance_schema", "mysql", "sys"})

Name = tuple[str, str]


class Views(msgspec.Struct):
    """
    What is behind which name, remembered for a moment; one a connection.

    Attributes:
        definitions: the same for a server whose dictionary does not say it.
    """

    definitions: Definitions = msgspec.field(default_factory=Definitions)
    _known: dict[Name, tuple[float, frozenset[Name]]] = msgspec.field(default_factory=dict)

    def behind(self, wire: Wire, tables: tuple[TableName, ...]) -> frozenset[Name]:
        """
        Return the (schema, table) names behind the views among some tables, through views on views.

        Raises:
            DriverError, OSError: the connection is lost.
        """
        found: set[Name] = set()
        wave = {(table.schema or "", table.name) for table in tables}
        for _ in range(_DEEPEST):
            wave = {name for name in wave if name[0].lower() not in _SYSTEM and name[0]}
            if not wave or len(found) > _MOST_NAMES:
                break
            self._learn(wire, wave)
            behind = {inner for name in wave for inner in self._known[name][1]}
            wave = behind - found
            found |= behind
        return frozenset(found)

    def _learn(self, wire: Wire, names: set[Name]) -> None:
        now = time.monotonic()
        fresh = now - REMEMBER_SECONDS
        unknown = sorted(name for name in names if self._known.get(name, (fresh - 1, None))[0] < fresh)
        if not unknown:
            return
        listed = ", ".join(f"({_literal(schema)}, {_literal(table)})" for schema, table in unknown)
        rows = ask(
            wire,
            "SELECT VIEW_SCHEMA, VIEW_NAME, TABLE_SCHEMA, TABLE_NAME"  # noqa: S608  (hexadecimal literals)
            f" FROM information_schema.VIEW_TABLE_USAGE WHERE (VIEW_SCHEMA, VIEW_NAME) IN ({listed})",
        )
        behind: dict[Name, set[Name]] = {name: set() for name in unknown}
        for view_schema, view, schema, table in rows or ():
            # The dictionary may spell a name in another case than the statement did.
            key = next((name for name in unknown if _same(name, (view_schema, view))), None)
            if key is not None:
                behind[key].add((str(schema), str(table)))
        self._known.update({name: (now, frozenset(inner)) for name, inner in behind.items()})


def _same(one: Name, other: Name) -> bool:
    return one[0].lower() == other[0].lower() and one[1].lower() == other[1].lower()


def _literal(text: str) -> str:
    """Return a text as SQL that no sql_mode reads in another way."""
    return f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)"
