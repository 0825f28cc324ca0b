"""
What the views that a statement names are made of, read from their definitions: MariaDB tells it nowhere else.

A plan cannot be asked first, since planning a view may run the function in it, and does not show the call when it is
over. Source: MariaDB 10.11, measured: `information_schema.VIEWS` by schema and name opens that one view.
"""

from __future__ import annotations

import re
import time

import msgspec

from safeconsole.adapters.mysql.membership import ask
from safeconsole.adapters.mysql.plans import CALLS_CODE, HIDDEN_PLAN
from safeconsole.adapters.mysql.wire import Wire
from safeconsole.core.analysis import analyse
from safeconsole.core.calls import calls_in
from safeconsole.core.lexer import tokens
from safeconsole.core.lexicon import LexicalRules, TokenKind
from safeconsole.core.statement import Hazard, TableName

REMEMBER_SECONDS = 5.0
"""As long as anything else that a server said is believed."""

_DEEPEST = 8
_MOST_NAMES = 200
_SYSTEM = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
_SKIPPED = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_SIMPLE = re.compile(r"[\w$ -]+")

Name = tuple[str, str]


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one name stands for.

    Attributes:
        names: what a view reads, as (schema, table); nothing for a table.
        hazard: what is dangerous about it, or None.
    """

    names: frozenset[Name] = frozenset()
    hazard: Hazard | None = None


class Definitions(msgspec.Struct):
    """The definitions of views, remembered for a moment; one a connection."""

    _known: dict[Name, tuple[float, Definition]] = msgspec.field(default_factory=dict)

    def hazard_behind(self, wire: Wire, rules: LexicalRules, tables: tuple[TableName, ...]) -> Hazard | None:
        """
        Return the danger in the views among some tables, through views on views, or None.

        Raises:
            DriverError, OSError: the connection is lost.
        """
        seen: set[Name] = set()
        wave = {(table.schema or "", table.name) for table in tables}
        for _ in range(_DEEPEST):
            wave = {name for name in wave - seen if name[0] and name[0].lower() not in _SYSTEM}
            if not wave:
                return None
            seen |= wave
            if len(seen) > _MOST_NAMES:
                return HIDDEN_PLAN
            found = [self._definition(wire, rules, name) for name in sorted(wave)]
            hazard = next((each.hazard for each in found if each.hazard), None)
            if hazard is not None:
                return hazard
            wave = {name for each in found for name in each.names}
        # Deeper than anybody looks.
        return HIDDEN_PLAN

    def _definition(self, wire: Wire, rules: LexicalRules, name: Name) -> Definition:
        now = time.monotonic()
        known = self._known.get(name)
        if known is None or now - known[0] > REMEMBER_SECONDS:
            known = self._known[name] = (now, _asked(wire, rules, name))
        return known[1]


def _asked(wire: Wire, rules: LexicalRules, name: Name) -> Definition:
    schema, table = map(_literal, name)
    where = f"TABLE_SCHEMA = {schema} AND TABLE_NAME = {table}"
    rows = ask(wire, f"SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE {where}")  # noqa: S608 (literals)
    if rows is None or (rows and not rows[0][0]):
        return Definition(hazard=HIDDEN_PLAN)
    return _read(str(rows[0][0]), rules, name[0]) if rows else Definition()


def _read(text: str, rules: LexicalRules, schema: str) -> Definition:
    """Return what a view's text says; the server writes a stored function with its schema, and a built-in without."""
    found = tuple(token for token in tokens(text, rules) if token.kind not in _SKIPPED)
    if any(call.foreign for call in calls_in(found)):
        return Definition(hazard=CALLS_CODE)
    statements = analyse(text, rules, schema=schema)
    return Definition(names=frozenset((table.schema or "", table.name) for each in statements for table in each.tables))


def _literal(text: str) -> str:
    """Return a text as SQL that no sql_mode reads in another way."""
    return f"'{text}'" if _SIMPLE.fullmatch(text) else f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)"
