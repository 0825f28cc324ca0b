"""
EXPLAIN and DESCRIBE, and MariaDB's ANALYZE of a statement.

They are what they explain: ANALYZE runs it, MariaDB runs derived tables and functions while it
plans, MySQL runs constant subqueries, and both refuse to explain a write in a read-only
transaction.
"""

from __future__ import annotations

from safeconsole.core.assignments import settings_end
from safeconsole.core.clauses import read_calls, read_clauses
from safeconsole.core.findings import Findings
from safeconsole.core.kinds import Kind, Shape, kind_of
from safeconsole.core.lexer import tokens as tokens_of
from safeconsole.core.lexicon import LexicalRules, Token, TokenKind
from safeconsole.core.reserved import RESERVED_EVERYWHERE
from safeconsole.core.statement import Statement, TableName
from safeconsole.core.structure import name_of, tables_in
from safeconsole.core.vocabulary import Effect, Flavour

_MODIFIERS = frozenset({"EXTENDED", "PARTITIONS", "ANALYZE", "QUERY", "PLAN"})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_LONGEST_DESCRIPTION = 5


_SKIPPED = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_PLANNED = frozenset({"select", "with", "table", "values"})
_EXPLAINS = frozenset({"explain", "describe", "desc", "analyze"})


def text_planned(statement: Statement, rules: LexicalRules) -> str:
    """Return the query that a statement runs and a server plans: itself, or the one in it; "" for none."""
    if statement.kind.split(" ", 1)[0] in _PLANNED:
        return statement.text
    if statement.kind not in _EXPLAINS and statement.kind != "set statement":
        return ""
    found = tuple(token for token in tokens_of(statement.text, rules) if token.kind not in _SKIPPED)
    start, runs = (settings_end(found), True) if statement.kind == "set statement" else _body(found)
    body = found[start:]
    if not runs or not body or "/*" in statement.text[: body[0].start]:
        return ""
    return statement.text[body[0].start :] if kind_of(body, rules.flavour).name in _PLANNED else ""


def read_explain(findings: Findings) -> bool:
    """Add what an explanation does, and return whether what it explains may run."""
    tokens = findings.tokens
    start, runs = _body(tokens)
    body = tokens[start:]
    if [token.word for token in body[:2]] == ["FOR", "CONNECTION"]:
        return False
    if findings.rules.flavour is Flavour.SQLITE:
        # It compiles the statement and runs nothing.
        findings.name_tables(tables_in(body, findings.schema))
        return False
    if not body:
        findings.unknown("nothing to explain")
        return False
    kind = kind_of(body, findings.rules.flavour)
    if kind.shape in {Shape.QUERY, Shape.CHANGE} and kind.name != "do":
        _read_explained(kind, findings, start)
        # A nested query is run by the planner when it takes it for cheap or constant.
        return runs or sum(token.word == "SELECT" for token in body) > 1
    _read_described(body, findings)
    return False


def _body(tokens: tuple[Token, ...]) -> tuple[int, bool]:
    """Return where the explained statement begins, and whether it is run."""
    index, runs = 1, tokens[0].word == "ANALYZE"
    while index < len(tokens):
        word, following = tokens[index].word, tokens[index + 1] if index + 1 < len(tokens) else None
        if word in _MODIFIERS and following is not None and following.text != ".":
            runs = runs or word == "ANALYZE"
            index += 1
        elif word == "FORMAT" and following is not None and following.text == "=":
            index += 3
        elif word == "INTO" and following is not None and following.kind is TokenKind.VARIABLE:
            index += 2
        elif word == "FOR" and following is not None and following.word in {"SCHEMA", "DATABASE"}:
            index += 3
        else:
            break
    return index, runs


def _read_explained(kind: Kind, findings: Findings, start: int) -> None:
    if kind.shape is Shape.CHANGE:
        findings.add(Effect.WRITE, "the server treats the explanation of a write as that write")
    read_calls(findings, start=start)
    read_clauses(findings, changes=kind.shape is Shape.CHANGE, start=start)
    if any(token.word == "INTO" for token in findings.tokens[:start]):
        findings.add(Effect.SESSION, "it stores the plan in a user variable")
    findings.name_tables(tables_in(findings.tokens, findings.schema, start=start))


def _read_described(body: tuple[Token, ...], findings: Findings) -> None:
    """Read `DESCRIBE [schema.]table [column | 'pattern']`."""
    first = body[0]
    if len(body) > _LONGEST_DESCRIPTION or first.kind not in _NAMES or first.word in RESERVED_EVERYWHERE:
        findings.unknown("what it explains is neither a query nor a table")
        return
    parts = [name_of(first)]
    if len(body) > 2 and body[1].text == "." and body[2].kind in _NAMES:
        parts.append(name_of(body[2]))
    schema = parts[0] if len(parts) > 1 else findings.schema or None
    findings.name_tables((TableName(schema=schema, name=parts[-1]),))
