"""
What a text is: its statements, and for each what it does, touches and could hurt.

The order: our own lexer cuts the text and reads executable comments as code; the table of kinds
gives each statement its floor; its tokens can only add to it. A statement is a read when its kind
is, no token says otherwise and every function it calls is a built-in known to be pure. Whatever
is not recognised is UNKNOWN, and says why. Nothing here raises, whatever the text.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeconsole.core.catalogue.actions import ACTIONS
from safeconsole.core.findings import Findings
from safeconsole.core.kinds import Kind, Shape, kind_of
from safeconsole.core.lexicon import LexicalRules, Token, TokenKind
from safeconsole.core.normalising import digest_of, normalise
from safeconsole.core.reading import read_shape
from safeconsole.core.splitting import Piece, split
from safeconsole.core.statement import Statement
from safeconsole.core.structure import name_of
from safeconsole.core.vocabulary import Effect

_BORDERS = frozenset({TokenKind.OPENING, TokenKind.CLOSING})

MAX_DEPTH = 60
"""Parentheses inside one another beyond which a statement is not read; the servers' own limit is not far."""


def analyse(text: str, rules: LexicalRules, *, schema: str = "") -> tuple[Statement, ...]:
    """
    Return the statements of a text, in order; never raises.

    Args:
        rules: how the server reads text.
        schema: the session's current schema, or ""; a USE in the text changes it for what follows.

    Returns:
        Nothing only for a text with nothing in it.
    """
    found = []
    for piece in split(text, rules):
        statement = _statement(piece, rules, schema)
        found.append(statement)
        if statement.kind == "use":
            schema = _schema_used(piece, schema)
    return tuple(found)


def schema_after(statements: tuple[Statement, ...], rules: LexicalRules, *, schema: str = "") -> str:
    """Return the schema that a session is in after these statements; see `analyse`."""
    for statement in statements:
        if statement.kind == "use":
            for piece in split(statement.text, rules):
                schema = _schema_used(piece, schema)
    return schema


def _schema_used(piece: Piece, schema: str) -> str:
    """Return the schema that a USE names, also behind an executable comment."""
    tokens = tuple(_as_meant(piece.tokens))
    return name_of(tokens[1]) if len(tokens) > 1 else schema


def _statement(piece: Piece, rules: LexicalRules, schema: str) -> Statement:
    """Return one statement from its tokens."""
    tokens = tuple(_as_meant(piece.tokens))
    kind = kind_of(tokens, rules.flavour)
    findings = Findings(tokens=tokens, rules=rules, schema=schema)
    findings.effects.update(kind.effects)
    problems = _problems(piece, kind)
    if problems:
        kind = Kind(
            name="unknown" if kind.effects == {Effect.READ} else kind.name, effects=kind.effects, shape=Shape.FIXED
        )
        findings.effects.discard(Effect.READ)
        findings.unknown(*problems)
        findings.danger(ACTIONS["unreadable"])
        findings.tables_known = False
    else:
        kind = read_shape(kind, findings)
    normalised = normalise(tokens)
    return Statement(
        text=piece.text,
        kind=kind.name,
        effects=frozenset(findings.effects),
        tables=tuple(findings.tables),
        tables_known=findings.tables_known,
        functions=tuple(findings.functions),
        hazards=tuple(findings.hazards.values()),
        normalised=normalised,
        digest=digest_of(normalised),
        reasons=tuple(findings.reasons),
        returns_rows=kind.rows,
        vertical=piece.vertical,
        asks=tuple(findings.asks),
        keeps_nothing=findings.keeps_nothing and not findings.hazards,
        notes=tuple(findings.notes),
    )


def _as_meant(tokens: tuple[Token, ...]) -> Iterator[Token]:
    """
    Yield the tokens without the borders of executable comments, and with names for words after a dot.

    `a.group` names a column: it MUST NOT be taken for the end of a list of tables or of a condition.
    """
    after_dot = False
    for token in tokens:
        if token.kind in _BORDERS:
            continue
        yield token._replace(word="") if after_dot and token.kind is TokenKind.WORD else token
        after_dot = token.text == "."


def _problems(piece: Piece, kind: Kind) -> tuple[str, ...]:
    """Return why the text cannot be read, if it cannot."""
    problems = [token.word for token in piece.tokens if token.kind is TokenKind.UNREADABLE]
    depth = deepest = 0
    for token in piece.tokens:
        if token.kind is TokenKind.PUNCTUATION:
            depth += (token.text == "(") - (token.text == ")")
            deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        problems.append(f"parentheses nested {deepest} deep, over {MAX_DEPTH}")
    if kind.shape in {Shape.QUERY, Shape.SHOW, Shape.EXPLAIN} and any(
        token.text == ";" and token.kind is not TokenKind.STRING for token in piece.tokens[:-1]
    ):
        problems.append("a second statement inside the first")
    return tuple(dict.fromkeys(problems))
