"""Rules for a statement's literals in the journal, by table and column.

Rules only tighten: the strictest applicable one wins, so their order is irrelevant. If the column is unknown, every
rule of the statement's tables applies; if the tables are unknown, every rule.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum

import msgspec

from safeconsole.patterns import late
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement, TableName
from safeconsole.sqltext.vocabulary import Effect

HASH_DIGITS = 16
"""Length of a value's keyed hash, 64 bits: among a million values the chance of a collision is 1 in 37 million."""

_PART = late(r"[^.\s`'\"]+")


class Treatment(IntEnum):
    """The treatment of a literal; the strictest wins."""

    KEEP = 0
    HASH = 1
    DROP = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class LiteralRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule.

    Attributes:
        schema, table, column: names in which `*` matches anything; the column `*` is the whole table.
    """

    schema: str
    table: str
    column: str
    treatment: Treatment

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}" + ("" if self.column == "*" else f".{self.column}")

    def is_about(self, table: TableName) -> bool:
        """Return whether it applies to a table; one without a schema may be in any."""
        return _fits(self.table, table.name) and (table.schema is None or _fits(self.schema, table.schema))

    def is_about_column(self, column: str) -> bool:
        return _fits(self.column, column)


class LiteralRules(msgspec.Struct, frozen=True, kw_only=True):
    """A policy's rules for literals.

    Attributes:
        otherwise: the treatment without a rule.
        rules: in the order of the file.
    """

    otherwise: Treatment = Treatment.KEEP
    rules: tuple[LiteralRule, ...] = ()

    @property
    def strictest(self) -> Treatment:
        return max([self.otherwise, *(rule.treatment for rule in self.rules)])

    @property
    def needs_key(self) -> bool:
        """Whether anything is hashed."""
        return Treatment.HASH in {self.otherwise, *(rule.treatment for rule in self.rules)}

    def of_statement(self, statement: Statement) -> StatementLiterals:
        certain = statement.tables and statement.tables_known and Effect.UNKNOWN not in statement.effects
        about = self.rules
        if certain:
            about = tuple(rule for rule in self.rules if any(rule.is_about(table) for table in statement.tables))
        return StatementLiterals(otherwise=self.otherwise, rules=about)

    def keeps_rows_of(self, statement: Statement) -> bool:
        """Return whether no rule applies to anything that a statement's rows could hold."""
        return not self.of_statement(statement).rules


class StatementLiterals(msgspec.Struct, frozen=True, kw_only=True):
    """The treatment of one statement's literals.

    Attributes:
        otherwise: for values of no column, and of columns without a rule.
        rules: those that may apply.
    """

    otherwise: Treatment = Treatment.KEEP
    rules: tuple[LiteralRule, ...] = ()

    @property
    def strictest(self) -> Treatment:
        return max([self.otherwise, *(rule.treatment for rule in self.rules)])

    def of_columns(self, columns: Iterable[str]) -> Treatment:
        """Return the treatment of values of these columns in any of the statement's tables."""
        names = tuple(columns)
        about = (rule for rule in self.rules if any(rule.is_about_column(name) for name in names))
        return max([self.otherwise, *(rule.treatment for rule in about)])


KEPT = StatementLiterals()
"""Every literal stays, except secrets."""

HASHED = StatementLiterals(otherwise=Treatment.HASH)
DROP_EVERYTHING = StatementLiterals(otherwise=Treatment.DROP)


class LiteralKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key for hashing values: equal values can be joined, and guessing needs the key.

    Attributes:
        secret: at least 16 bytes; b"" is no key, and everything hashed is then dropped.
    """

    secret: bytes = b""

    def __repr__(self) -> str:
        return "LiteralKey(…)"

    def mark_of(self, value: str) -> str:
        """Return what replaces a value in a statement."""
        if not self.secret:
            return "?"
        digest = hmac.new(self.secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"'#{digest[:HASH_DIGITS]}'"


NO_KEY = LiteralKey()


def literal_rules(otherwise: str, rules: Mapping[str, str]) -> LiteralRules:
    """Return the rules in a policy's document.

    Args:
        otherwise: "keep", "hash" or "drop".
        rules: "hash" or "drop" by "schema.table" or "schema.table.column".

    Raises:
        ValueError: an invalid name, with which the message begins.
    """
    return LiteralRules(
        otherwise=Treatment[otherwise.upper()],
        rules=tuple(_rule(name, Treatment[word.upper()]) for name, word in rules.items()),
    )


def _rule(name: str, treatment: Treatment) -> LiteralRule:
    parts = name.split(".")
    if len(parts) not in {2, 3} or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"{name}: it is schema.table or schema.table.column, where * matches anything")
    schema, table, column = (*parts, "*")[:3]
    return LiteralRule(schema=schema, table=table, column=column, treatment=treatment)


def _fits(pattern: str, name: str) -> bool:
    shape = ".*".join(map(re.escape, pattern.casefold().split("*")))
    return re.fullmatch(shape, name.casefold(), re.DOTALL) is not None


class Handling(msgspec.Struct, frozen=True, kw_only=True):
    """How one statement is redacted.

    Attributes:
        rules: how its server reads text.
        literals: what happens to those that are no secret: a hashed one can be followed, a dropped one leaves `?`.
        key: what they are hashed with.
    """

    rules: LexicalRules
    literals: StatementLiterals = KEPT
    key: LiteralKey = NO_KEY
