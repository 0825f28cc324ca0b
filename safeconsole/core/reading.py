"""
Reads the rest of a statement by the shape of its kind.

Each shape has one reader, and each reader only adds to the findings.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from safeconsole.core.assignments import TRANSACTION_KINDS, read_set, read_transaction
from safeconsole.core.catalogue.actions import ACTIONS
from safeconsole.core.clauses import read_calls, read_clauses, read_hints
from safeconsole.core.explaining import read_explain
from safeconsole.core.findings import Findings
from safeconsole.core.hazards import is_disguised, object_hazards
from safeconsole.core.kinds import Kind, Shape, kind_of
from safeconsole.core.pragmas import judge_pragma, read_pragma
from safeconsole.core.showing import read_show
from safeconsole.core.statement import TableName
from safeconsole.core.structure import tables_in
from safeconsole.core.vocabulary import Effect, Flavour

_BETWEEN_KIND_AND_NAME = frozenset({"IF", "NOT", "EXISTS"})
_WITH_TABLES = ("table", "view", "tables", "sequence", "truncate")
# Kinds whose floor is not all: what else follows from their words.
_DANGERS = {
    "call": "unknown-code",
    "execute": "unknown-code",
    "execute immediate": "unknown-code",
    "prepare": "unknown-code",
    "install": "loads-code",
    "checksum table": "full-table-read",
    "checksum tables": "full-table-read",
    "check table": "full-table-read",
    "check tables": "full-table-read",
    "load data": "reads-server-file",
    "load xml": "reads-server-file",
    "attach": "opens-file",
}
_READ_LOCKS = frozenset({"LOCK", "EXPORT"})


def read_shape(kind: Kind, findings: Findings) -> Kind:
    """Add to the findings what the tokens say, and return the kind as far as it is known now."""
    kind = _READERS[kind.shape](kind, findings)
    read_hints(findings)
    if kind.name in _DANGERS:
        findings.action(_DANGERS[kind.name])
    return kind


def _read_show(kind: Kind, findings: Findings) -> Kind:
    shown, queried = read_show(findings)
    # The table that a SHOW is about is not read; those in its condition are.
    _read_objects(findings, queried)
    return replace(kind, name=shown)


def _read_explain(kind: Kind, findings: Findings) -> Kind:
    if read_explain(findings):
        _read_objects(findings, tuple(findings.tables))
    return kind


def _read_pragma(kind: Kind, findings: Findings) -> Kind:
    read_pragma(findings)
    return kind


def _read_block(kind: Kind, findings: Findings) -> Kind:
    findings.unknown("a block of statements outside a routine")
    findings.action("unknown-code", "a compound block")
    return kind


def _read_query(kind: Kind, findings: Findings) -> Kind:
    changes = kind.shape is Shape.CHANGE
    read_calls(findings)
    read_clauses(findings, changes=changes)
    findings.name_tables(tables_in(findings.tokens, findings.schema))
    _read_objects(findings, tuple(findings.tables))
    words = {token.word for token in findings.tokens}
    if kind.name == "do" and "SELECT" in words and findings.rules.flavour is not Flavour.MARIADB:
        findings.action("outside-time-limit")
    if changes:
        return replace(kind, rows="RETURNING" in words)
    return replace(kind, rows=kind.rows and "INTO" not in words)


def _read_objects(findings: Findings, tables: tuple[TableName, ...]) -> None:
    """Add the dangers of the objects that are read."""
    for table in tables:
        if is_disguised(table, findings.rules):
            findings.unknown(f"{table} is not ASCII and may mean an object of the server")
            findings.danger(ACTIONS["unreadable"])
        elif findings.rules.flavour is Flavour.SQLITE and table.name.lower().startswith("pragma_"):
            judge_pragma(table.name.lower().removeprefix("pragma_"), findings, valued=False)
    for hazard in object_hazards(findings.tokens, tables, findings.rules):
        findings.danger(hazard)


def _read_set(kind: Kind, findings: Findings) -> Kind:
    """Read a SET; with STATEMENT it is what it runs."""
    start = read_set(findings)
    if not start:
        _read_objects(findings, tuple(findings.tables))
        return kind
    inner = kind_of(findings.tokens[start:], findings.rules.flavour)
    findings.effects.update(inner.effects)
    if inner.shape not in {Shape.QUERY, Shape.CHANGE}:
        findings.unknown("SET STATEMENT before something that is not a query")
        return replace(kind, name="set statement")
    _read_query(inner, findings)
    return replace(kind, name="set statement", rows=inner.rows)


def _read_named(kind: Kind, findings: Findings) -> Kind:
    """Name the tables after the first words."""
    tokens = findings.tokens
    start = kind.words
    while start < len(tokens) and tokens[start].word in _BETWEEN_KIND_AND_NAME:
        start += 1
    if kind.name.endswith("index"):
        on = next((place for place, token in enumerate(tokens) if token.word == "ON"), len(tokens))
        findings.name_tables(tables_in(tokens, findings.schema, start=on + 1, naming=True))
    elif any(word in kind.name for word in _WITH_TABLES) or kind.name in {"optimize", "repair", "handler"}:
        findings.name_tables(tables_in(tokens, findings.schema, start=start, naming=True))
    if kind.name.startswith("create") and any(token.word == "SELECT" for token in tokens) and "table" in kind.name:
        findings.add(Effect.WRITE, "it fills the table from a query")
        _read_objects(findings, tuple(findings.tables))
    if any(token.word == "SONAME" for token in tokens):
        findings.action("loads-code")
    return kind


def _read_fixed(kind: Kind, findings: Findings) -> Kind:
    words = [token.word for token in findings.tokens]
    if kind.name == "unknown":
        findings.unknown("no kind of statement begins like this")
    elif kind.name in TRANSACTION_KINDS:
        read_transaction(kind.name, findings)
    elif kind.name == "flush" and _READ_LOCKS & set(words):
        findings.add(Effect.LOCK, "it stops writes to tables")
    elif kind.name == "vacuum" and "INTO" in words:
        findings.action("server-file")
    elif Effect.UNKNOWN in kind.effects:
        findings.unknown("what it runs is not in the text")
    return kind


_READERS: dict[Shape, Callable[[Kind, Findings], Kind]] = {
    Shape.QUERY: _read_query,
    Shape.CHANGE: _read_query,
    Shape.EXPLAIN: _read_explain,
    Shape.SHOW: _read_show,
    Shape.SET: _read_set,
    Shape.PRAGMA: _read_pragma,
    Shape.NAMED: _read_named,
    Shape.BLOCK: _read_block,
    Shape.USE: _read_fixed,
    Shape.FIXED: _read_fixed,
}
