"""Reads the rest of a statement by the shape of its kind."""

from __future__ import annotations

from safeconsole.core.calls import calls_in
from safeconsole.core.findings import Findings
from safeconsole.core.functions import danger_of, is_pure
from safeconsole.core.kinds import Kind, Shape
from safeconsole.core.lexicon import TokenKind
from safeconsole.core.structure import tables_in
from safeconsole.core.vocabulary import Effect


def read_shape(kind: Kind, findings: Findings) -> None:
    """Add to the findings what the tokens after the first words say."""
    if kind.shape in {Shape.QUERY, Shape.CHANGE, Shape.EXPLAIN, Shape.SHOW}:
        read_calls(findings)
        read_clauses(findings)
        findings.name_tables(tables_in(findings.tokens, findings.schema))
    if kind.name == "unknown":
        findings.unknown("no kind of statement begins like this")


def read_calls(findings: Findings) -> None:
    """Judge every function that is called."""
    for call in calls_in(findings.tokens):
        findings.functions.setdefault(call.name)
        if call.foreign:
            findings.unknown(f"{call.name}() may be a stored function")
            findings.action("unknown-function", f"{call.name}()")
        elif danger_of(call.name):
            findings.action(danger_of(call.name), f"{call.name}()")
        elif not is_pure(call.name, findings.rules):
            findings.unknown(f"{call.name}() is not a built-in known to be pure")
            findings.action("unknown-function", f"{call.name}()")


def read_clauses(findings: Findings) -> None:
    """Look for words that make a query more than a read."""
    tokens = findings.tokens
    for position, token in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if token.kind is TokenKind.OPERATOR and token.text == ":=":
            findings.add(Effect.SESSION)
        if token.word == "FOR" and following is not None and following.word in {"UPDATE", "SHARE"}:
            findings.add(Effect.LOCK, "a locking read")
            findings.action("row-locks")
        if token.word == "LOCK" and following is not None and following.word == "IN":
            findings.add(Effect.LOCK, "a locking read")
            findings.action("row-locks")
        if token.word in {"OUTFILE", "DUMPFILE"}:
            findings.add(Effect.WRITE, "it writes a file on the server")
            findings.action("server-file")
