"""What is being found out about one statement while it is read."""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from safeconsole.core.catalogue.actions import ACTIONS
from safeconsole.core.catalogue.settings import LIMIT_SETTINGS
from safeconsole.core.lexicon import LexicalRules, Token
from safeconsole.core.limits import SMALLEST
from safeconsole.core.statement import Ask, Hazard, TableName
from safeconsole.core.vocabulary import Effect

_WHOLE = re.compile(r"[0-9]{1,10}")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")


class Findings(msgspec.Struct, kw_only=True):
    """
    Collects what the readers of one statement find; only ever grows stricter.

    Attributes:
        tokens: of the statement, without the borders of executable comments.
        rules: how the server reads text.
        schema: the session's, or "".
        asks, keeps_nothing, notes: as `Statement`.
    """

    tokens: tuple[Token, ...]
    rules: LexicalRules
    schema: str
    effects: set[Effect] = msgspec.field(default_factory=set)
    tables: dict[TableName, None] = msgspec.field(default_factory=dict)
    tables_known: bool = True
    functions: dict[str, None] = msgspec.field(default_factory=dict)
    hazards: dict[str, Hazard] = msgspec.field(default_factory=dict)
    reasons: dict[str, None] = msgspec.field(default_factory=dict)
    asks: list[Ask] = msgspec.field(default_factory=list)
    keeps_nothing: bool = False
    notes: dict[str, None] = msgspec.field(default_factory=dict)

    def add(self, effect: Effect, reason: str = "") -> None:
        """Add an effect, and why."""
        self.effects.add(effect)
        if reason:
            self.reasons.setdefault(reason)

    def unknown(self, *reasons: str) -> None:
        """Say that something was not understood."""
        self.effects.add(Effect.UNKNOWN)
        for reason in reasons:
            self.reasons.setdefault(reason)

    def recognise(self) -> None:
        """Say that a statement whose kind is unknown by default is a read, unless something else was not understood."""
        if not self.reasons:
            self.effects.discard(Effect.UNKNOWN)
        self.effects.add(Effect.READ)

    def danger(self, hazard: Hazard) -> None:
        """Add a danger; the first of each id stays."""
        self.hazards.setdefault(hazard.id, hazard)

    def action(self, identifier: str, detail: str = "") -> None:
        """Add the danger of an action, naming what in the text carries it."""
        hazard = ACTIONS[identifier]
        self.danger(replace(hazard, why=f"{detail}: {hazard.why}") if detail else hazard)

    def ask(self, setting: str, number: str, *, words: str, lifts: str) -> bool:
        """
        Add a ceiling that the text sets by a setting that follows one; return whether it is one, and can be held.

        Args:
            setting: lower case.
            number: its value as written.
            words, lifts: see `Ask`.
        """
        limit, units = LIMIT_SETTINGS.get(setting, ("", 0))
        # A suffix, an exponent or a sign is read by servers as they please; whole milliseconds can be held.
        pattern = _SECONDS if setting == "max_statement_time" else _WHOLE
        if not limit or pattern.fullmatch(number) is None or float(number) / units < SMALLEST[limit]:
            return False
        self.asks.append(Ask(limit=limit, value=float(number) / units, words=words, lifts=lifts))
        return True

    def name_tables(self, tables: tuple[TableName, ...]) -> None:
        """Add tables that the statement names."""
        for table in tables:
            self.tables.setdefault(table)
