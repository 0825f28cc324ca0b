"""
What the journal keeps of a statement's literals, by the table and the column that they are values of.

Rules only tighten: of all that could apply to a literal, the strictest wins, so their order means nothing.
Where the column cannot be told, every rule of the statement's tables could apply; where the tables cannot be
told, every rule could.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum

import msgspec

from safeconsole.sqltext.statement import Statement, TableName
from safeconsole.sqltext.vocabulary import Effect

HASH_DIGITS = 16
"""Of the keyed hash of a value, 64 bits: among a million values two share one with a chance of 1 in 37 million."""

_PART = re.compile(r"[^.\s`'\"]+")


class Treatment(IntEnum):
    """What becomes of a literal; the strictest wins."""

    KEEP = 0
    HASH = 1
    DROP = 2

    @property
    def word(self) -> str:
        """As a policy says it."""
        return self.name.lower()


class LiteralRule(msgspec.Struct, frozen=True, kw_only=True):
    """
    One rule.

    Attributes:
        schema, table, column: names in which `*` stands for anything; the column `*` is the whole table.
        treatment: what becomes of the literals.
    """

    schema: str
    table: str
    column: str
    treatment: Treatment

    @property
    def name(self) -> str:
        """As a policy names it."""
        return f"{self.schema}.{self.table}" + ("" if self.column == "*" else f".{self.column}")

    def is_about(self, table: TableName) -> bool:
        """Return whether it says anything of a table; one without a schema may be in any."""
        return _fits(self.table, table.name) and (table.schema is None or _fits(self.schema, table.schema))

    def is_about_column(self, column: str) -> bool:
        """Return whether it says anything of a column of its table."""
        return _fits(self.column, column)


class LiteralRules(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a policy says of literals.

    Attributes:
        otherwise: what becomes of literals that no rule is about.
        rules: in the order of the file.
    """

    otherwise: Treatment = Treatment.KEEP
    rules: tuple[LiteralRule, ...] = ()

    @property
    def strictest(self) -> Treatment:
        """What becomes of a literal of which nothing is known."""
        return max([self.otherwise, *(rule.treatment for rule in self.rules)])

    @property
    def needs_key(self) -> bool:
        """Whether anything is hashed."""
        return Treatment.HASH in {self.otherwise, *(rule.treatment for rule in self.rules)}

    def of_statement(self, statement: Statement) -> StatementLiterals:
        """Return what becomes of one statement's literals."""
        certain = statement.tables and statement.tables_known and Effect.UNKNOWN not in statement.effects
        about = self.rules
        if certain:
            about = tuple(rule for rule in self.rules if any(rule.is_about(table) for table in statement.tables))
        return StatementLiterals(otherwise=self.otherwise, rules=about)

    def keeps_rows_of(self, statement: Statement) -> bool:
        """Return whether no rule is about anything that the rows of a statement could hold."""
        return not self.of_statement(statement).rules


class StatementLiterals(msgspec.Struct, frozen=True, kw_only=True):
    """
    What becomes of one statement's literals.

    Attributes:
        otherwise: of those that are the value of no column, and of columns that no rule is about.
        rules: those that could be about it.
    """

    otherwise: Treatment = Treatment.KEEP
    rules: tuple[LiteralRule, ...] = ()

    @property
    def strictest(self) -> Treatment:
        """Of those whose column cannot be told."""
        return max([self.otherwise, *(rule.treatment for rule in self.rules)])

    def of_columns(self, columns: Iterable[str]) -> Treatment:
        """Of the values of these columns, whichever of the statement's tables they belong to."""
        names = tuple(columns)
        about = (rule for rule in self.rules if any(rule.is_about_column(name) for name in names))
        return max([self.otherwise, *(rule.treatment for rule in about)])


KEPT = StatementLiterals()
"""Every literal stays that is no secret."""

HASHED = StatementLiterals(otherwise=Treatment.HASH)
DROP_EVERYTHING = StatementLiterals(otherwise=Treatment.DROP)


class LiteralKey(msgspec.Struct, frozen=True, kw_only=True):
    """
    What values are hashed with: without it no guess can be tried, and with it equal values can be joined.

    Attributes:
        secret: at least 16 bytes; b"" stands for a key that nobody has, and everything hashed is then dropped.
    """

    secret: bytes = b""

    def __repr__(self) -> str:
        """Return what may be shown of it: not the key."""
        return "LiteralKey(…)"

    def mark_of(self, value: str) -> str:
        """Return what stands for a value in a statement."""
        if not self.secret:
            return "?"
        digest = hmac.new(self.secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"'#{digest[:HASH_DIGITS]}'"


NO_KEY = LiteralKey()


def literal_rules(otherwise: str, rules: Mapping[str, str]) -> LiteralRules:
    """
    Return what a policy's document says.

    Args:
        otherwise: "keep", "hash" or "drop".
        rules: "hash" or "drop" by "schema.table" or "schema.table.column".

    Raises:
        ValueError: a name is none; it begins with that name.
    """
    return LiteralRules(
        otherwise=Treatment[otherwise.upper()],
        rules=tuple(_rule(name, Treatment[word.upper()]) for name, word in rules.items()),
    )


def _rule(name: str, treatment: Treatment) -> LiteralRule:
    parts = name.split(".")
    if len(parts) not in {2, 3} or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"{name}: it is schema.table or schema.table.column, where * stands for anything")
    schema, table, column = (*parts, "*")[:3]
    return LiteralRule(schema=schema, table=table, column=column, treatment=treatment)


def _fits(pattern: str, name: str) -> bool:
    """Whether a name is meant, whatever the case: a server may tell cases apart, and too much is taken then."""
    shape = ".*".join(map(re.escape, pattern.casefold().split("*")))
    return re.fullmatch(shape, name.casefold(), re.DOTALL) is not None
