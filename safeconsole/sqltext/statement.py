"""The values that analysis produces: statements, tables, hazards, estimates."""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from safeconsole.patterns import late
from safeconsole.sqltext.vocabulary import CostClass, Effect


class TableName(msgspec.Struct, frozen=True, kw_only=True):
    """One table or view that a statement names.

    Attributes:
        schema: folded as the server would find it, or None when the session has no schema.
        name: as written, without its quotes.
    """

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Hazard(msgspec.Struct, frozen=True, kw_only=True):
    """A named danger of a statement.

    Attributes:
        id: stable name, kebab-case, e.g. "information-schema-sizes".
        why: one sentence for the person.
        instead: a safer way to the same answer, or "".
        uninterruptible: it does not stop when killed (measured, docs/limits.md).
        schema: the only schema whose objects the text asks for, "" for several or if unclear.
    """

    id: str
    cost: CostClass
    why: str
    instead: str = ""
    uninterruptible: bool = False
    schema: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A ceiling that a statement's own text sets.

    Attributes:
        limit: its name, see `limits.LIMIT_NAMES`.
        value: > 0.
        words: the part of the text that sets it.
        lifts: id of the hazard that it is where less is in force.
    """

    limit: str
    value: float
    words: str
    lifts: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One analysed statement.

    Attributes:
        text: exactly what would be sent, without its delimiter.
        kind: lower-case words of the statement table ("select", "show create table", "alter table", …), "unknown" when
            not recognised.
        effects: never empty; {READ} alone only by positive recognition.
        tables: those it names, in order of appearance.
        unfiltered: an UPDATE or DELETE with no WHERE of its own, or with one that names no column; LIMIT is none.
        tables_known: False when the structure could not be read; then `tables` may be short.
        functions: lower-case names it calls, in order of appearance.
        hazards: dangers found, in order of appearance.
        normalised: the token text with literals replaced by `?`; the same for statements that differ in literals, case
            of keywords, spacing or comments only.
        digest: hexadecimal SHA-256 of `normalised`.
        reasons: why the effects are what they are, one line each; at least one when UNKNOWN is among them.
        returns_rows: whether a result set is expected.
        vertical: the person ended it with \\G.
        asks: ceilings that the text sets: for itself, or as a plain SET for what follows.
        keeps_nothing: a SET that changes nothing on its connection: all that it sets is held by the console anyway.
        notes: what the person is told beside its result.
        diagnosis: it asks what a server is doing, and nothing else; see `dialect.Diagnosis`.
        shape: what it shares with texts that differ in plain literals only and are known to be analysed alike
            (`shapes`), "" otherwise.
    """

    text: str
    kind: str
    effects: frozenset[Effect]
    tables: tuple[TableName, ...] = ()
    tables_known: bool = True
    unfiltered: bool = False
    functions: tuple[str, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    normalised: str = ""
    digest: str = ""
    reasons: tuple[str, ...] = ()
    returns_rows: bool = False
    vertical: bool = False
    asks: tuple[Ask, ...] = ()
    keeps_nothing: bool = False
    notes: tuple[str, ...] = ()
    diagnosis: bool = False
    shape: str = ""

    def __post_init__(self) -> None:
        if not self.effects:
            raise ValueError("a statement has at least one effect")

    @property
    def is_plain_read(self) -> bool:
        return self.effects == {Effect.READ}

    @property
    def may_return_sets(self) -> bool:
        """Whether it may return any number of result sets: what it runs, such as a procedure, is not in the text."""
        return any(hazard.id == "unknown-code" for hazard in self.hazards)

    @property
    def changes_nothing(self) -> bool:
        """Whether nothing outlives its session: it only reads, or sets session state."""
        return self.effects <= {Effect.READ, Effect.SESSION}


def is_misspelt_perhaps(statement: Statement) -> bool:
    """Whether a statement of unknown kind may be misspelt, so that the server's objection helps."""
    unreadable = any(hazard.cost is CostClass.UNREADABLE for hazard in statement.hazards)
    return statement.kind == "unknown" and not unreadable


NEVER_SEES = frozenset({"information_schema", "performance_schema"})
"""Schemas with the server's own objects only: their hazards are in the catalogue."""

_DESCRIBES = frozenset({"describe", "desc", "explain"})
_QUERY_IN_SHOW = late(r"\(\s*(?:select|with|values|table)\b", re.IGNORECASE)
_QUERY = late(r"\b(?:select|with|values|table|insert|update|delete|replace)\b", re.IGNORECASE)


def names_run(statement: Statement) -> tuple[TableName, ...]:
    """Return the names that a statement reads through; SHOW and DESCRIBE read no rows."""
    kind = statement.kind
    if kind.startswith("show ") and not _QUERY_IN_SHOW.search(statement.normalised):
        return ()
    first, _, rest = statement.normalised.partition(" ")
    if first.lower() in _DESCRIBES and not _QUERY.search(rest):
        return ()
    return statement.tables


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """The objects behind a statement's names: definitions of views, storage engines of tables.

    Attributes:
        effects: what the definitions do; UNKNOWN among them where one cannot be seen.
        functions, hazards, reasons: as `Statement`, of the definitions and engines.
        engines: storage engines of all tables read, as the server names them.
        definitions: of its views, those behind them too.
    """

    effects: frozenset[Effect] = frozenset()
    functions: tuple[str, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    reasons: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    views: bool = False
    definitions: tuple[Statement, ...] = ()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """The server's estimate of a statement, obtained without running it.

    Attributes:
        asked: False when no server was asked; everything else then holds its default.
        rows: rows it expects to examine, -1 when it did not say.
        full_scans: tables it would scan fully.
        temporary_tables: temporary tables it would build.
        hazards: dangers that only the server could see (behind views and aliases).
        objection: why the server would not take it, or "".
        objection_code: the server's error number behind `objection`, 0 when there is none.
        disagrees: the objection says that it is not a read; otherwise it is a plain error, such as a missing table.
        keyed: it finds one row at most in each table by a unique key, whatever the values it is asked with; False
            when the server did not say so.
        recalled: the server said it moments ago, of a statement that differs in its values only.
        behind: what stands behind the names it uses; asked for even where no opinion is.
        waits: the lock that the server waited for instead of telling its plan, in its own words, or "".
    """

    asked: bool = False
    rows: int = -1
    full_scans: tuple[str, ...] = ()
    temporary_tables: int = 0
    hazards: tuple[Hazard, ...] = ()
    objection: str = ""
    objection_code: int = 0
    disagrees: bool = False
    keyed: bool = False
    recalled: bool = False
    behind: Behind = Behind()
    waits: str = ""


_SYNTAX_ERROR = 1064
_ANY_SQLITE_ERROR = 1


def is_no_statement(statement: Statement, estimate: Estimate) -> bool:
    """Whether a text is no statement: its kind is unknown and the server's parser rejects it.

    The server would answer it with the same error. Source: MySQL 9.7 and MariaDB 10.11, measured: what merely cannot be
    prepared is error 1295; SQLite says so in words.
    """
    if not is_misspelt_perhaps(statement):
        return False
    in_words = estimate.objection_code == _ANY_SQLITE_ERROR and "syntax error" in estimate.objection
    return estimate.objection_code == _SYNTAX_ERROR or in_words


BEGINS = frozenset({"begin", "begin work", "start transaction"})
ENDS = frozenset({"commit", "end", "rollback"})
NEEDS_ONE = frozenset({"rollback", "savepoint", "release savepoint", "release"})
"""Kinds that need an open transaction; COMMIT is harmless without one."""


def begins(statement: Statement) -> bool:
    return statement.kind in BEGINS


def begins_writing(statement: Statement) -> bool:
    """Whether a statement opens a transaction that is not declared read-only."""
    return begins(statement) and "READ ONLY" not in " ".join(statement.normalised.upper().split())


def begins_anew(statement: Statement) -> bool:
    words = statement.normalised.upper().split()
    return statement.kind in ENDS and "CHAIN" in words and "NO" not in words


def with_behind(statement: Statement, behind: Behind) -> Statement:
    """Return a statement with the effects behind its names; the same object if there are none."""
    effects = statement.effects | (behind.effects - {Effect.READ})
    functions = tuple(dict.fromkeys((*statement.functions, *behind.functions)))
    hazards = tuple(dict.fromkeys((*statement.hazards, *behind.hazards)))
    found = (effects, functions, hazards)
    if found == (statement.effects, tuple(dict.fromkeys(statement.functions)), statement.hazards):
        return statement
    return replace(
        statement,
        effects=effects,
        functions=functions,
        hazards=hazards,
        reasons=tuple(dict.fromkeys((*statement.reasons, *behind.reasons))),
    )
