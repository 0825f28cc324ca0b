"""Analyses a text: its statements, and for each its effects, tables, functions and hazards. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from safeconsole.patterns import late
from safeconsole.sqltext.dialect import Kind, KindShape
from safeconsole.sqltext.effects import kind_of, read_shape
from safeconsole.sqltext.findings import ACTIONS, Findings
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.sqltext.splitting import Piece, split, stretches
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.structure import is_keyword, name_of
from safeconsole.sqltext.vocabulary import Effect, words

_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.PARAMETER})
_NAMES_FOLLOW = frozenset({".", "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "USE"})


def normalise(tokens: Iterable[Token]) -> str:
    """Return the tokens joined by one space, literals as `?`, runs of literals as `?+`, keywords in upper case."""
    return " ".join(_texts(tokens))


def digest_of(normalised: str) -> str:
    return hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).hexdigest()


def _texts(tokens: Iterable[Token]) -> Iterator[str]:
    previous = ""
    before = ""
    for token in tokens:
        kind = token.kind
        if kind is TokenKind.WORD:
            text = token.word if is_keyword(token.word) and previous not in _NAMES_FOLLOW else token.text
        elif kind in _LITERALS:
            text = "?+" if previous == "(" and before == "IN" else "?"
        elif kind is TokenKind.LIST:
            text = _run(token.text)
        else:
            text = token.text
        yield text
        before, previous = previous, text


def _run(text: str) -> str:
    return ", (?+)+" if text.startswith(",") else "?+"


# Texts that differ in plain literals only have one shape: what a reading of one of them found holds for all.
#
# Only texts out of plain words, plain names and plain literals have a shape: no comment, hint, backslash, double
# quote, variable or second statement can be in one, so that their tokens stand in the same places whatever the
# literals say. The literals are told apart by what they are (a whole number, a text), since a server may plan `id =
# 7` and `id = '7'` differently.

LONGEST_CHARACTERS = 16 * 1024
"""A longer text has no shape: a list of thousands of values is not asked twice."""

_NUMBER, _TEXT = "\u2460", "\u2461"
"""What stands for a literal; a text that has a shape is ASCII, so it cannot hold them itself."""

# A literal counts only where a value stands, and beside nothing that it could grow together with.
_LITERAL = late(
    r"([=<>(,]\s*|\b(?:LIMIT|OFFSET|BETWEEN|AND|LIKE)\s+)"
    r"(?:(\d{1,18})(?![\w.`'\"$@])|'[^'\\\x00-\x1f]{0,255}'(?!['\"`\w]))",
    re.IGNORECASE | re.ASCII,
)
# A name in backquotes holds nothing that could have been taken for a literal.
_PLAIN = late(rf"(?:[A-Za-z0-9_ \t\n\r,.()=<>*+!{_NUMBER}{_TEXT}]|`[A-Za-z0-9_]+`(?!`))+")


def shape_of(text: str) -> str:
    """Return the shape shared by texts that differ only in plain literals, "" if the text is not plain."""
    if len(text) > LONGEST_CHARACTERS or not text.isascii():
        return ""
    shape = _LITERAL.sub(_mark, text)
    return shape if _PLAIN.fullmatch(shape) else ""


def _mark(found: re.Match[str]) -> str:
    return found[1] + (_TEXT if found[2] is None else _NUMBER)


def is_shared(statement: Statement, rules: LexicalRules) -> bool:
    """Whether the analysis of a statement holds for all texts of its shape.

    False for the server's own objects: whether reading them is dangerous can depend on a literal.
    """
    schemas = rules.dialect.catalogue.schemas
    return (
        statement.kind == "select"
        and statement.is_plain_read
        and statement.tables_known
        and not statement.hazards
        and not any((table.schema or "").lower() in schemas for table in statement.tables)
    )


# Words that can make of a comparison of values something that decides what is read.
_LOOSE = late(
    r"\b(?:OR|XOR|NOT|CASE|WHEN|TRUE|FALSE|NULL|IS|UNION|EXCEPT|INTERSECT|HAVING|LIKE|BETWEEN|IN|WITH)\b", re.IGNORECASE
)
_MARK = f"[{_NUMBER}{_TEXT}]"
_BOUND = late(
    rf"\b[A-Za-z_][A-Za-z0-9_]*`?\s*=\s*{_MARK}|\b(?:LIMIT|OFFSET)\s+{_NUMBER}(?:\s*,\s*{_NUMBER})?", re.IGNORECASE
)
_SELECT = late(r"\bSELECT\b", re.IGNORECASE)


def is_bound_by_key(statement: Statement) -> bool:
    """Whether a lookup by a unique key stays one for every value of its literals.

    One SELECT whose every literal is compared with a column by `=`, or is a LIMIT, and nothing that could negate a
    condition. Source: MySQL 9.7 and MariaDB 10.11, measured over twelve types of column: with a number, or with a text,
    the plan is `const` or finds that there is no such row.
    """
    shape = statement.shape
    return (
        bool(shape)
        and not statement.functions
        and len(_SELECT.findall(shape)) == 1
        and _LOOSE.search(shape) is None
        and not any(mark in _BOUND.sub("", shape) for mark in (_NUMBER, _TEXT))
    )


# What a text is: its statements, and for each what it does, touches and could hurt.
#
# The order: our own lexer cuts the text and reads executable comments as code; the table of kinds gives each
# statement its floor; its tokens can only add to it. A statement is a read when its kind is, no token says otherwise
# and every function it calls is a built-in known to be pure. Whatever is not recognised is UNKNOWN, and says why.
# Nothing here raises, whatever the text.

_BORDERS = frozenset({TokenKind.OPENING, TokenKind.CLOSING})

MAX_DEPTH = 60
"""Nesting of parentheses beyond which a statement is not read; the servers' own limit is not far."""


def analyse(text: str, rules: LexicalRules, *, schema: str = "") -> tuple[Statement, ...]:
    """Return the statements of a text, in order; never raises. Empty only for an empty text.

    Args:
        rules: how the server reads text.
        schema: the session's current schema, or ""; a USE in the text changes it for what follows.
    """
    return tuple(analysed(text, rules, schema=schema))


def analysed(text: str, rules: LexicalRules, *, schema: str = "") -> Iterator[Statement]:
    """Yield the statements of a text one by one; see `analyse`. Equal texts give the same object."""
    held: dict[tuple[str, str], Statement] = {}
    for stretch, piece in stretches(text, rules):
        statement = held.get((stretch, schema)) if stretch else None
        if statement is None:
            statement = _statement(piece, rules, schema)
            if stretch:
                held[stretch, schema] = statement
        yield statement
        if statement.kind == "use":
            schema = _schema_used(piece, schema)


def schema_after(statements: tuple[Statement, ...], rules: LexicalRules, *, schema: str = "") -> str:
    """Return the session's schema after these statements; see `analyse`."""
    for statement in statements:
        if statement.kind == "use":
            for piece in split(statement.text, rules):
                schema = _schema_used(piece, schema)
    return schema


def _schema_used(piece: Piece, schema: str) -> str:
    tokens = tuple(_as_meant(piece.tokens))
    return name_of(tokens[1]) if len(tokens) > 1 else schema


def _statement(piece: Piece, rules: LexicalRules, schema: str) -> Statement:
    tokens = tuple(_as_meant(piece.tokens))
    kind = kind_of(tokens, rules.dialect)
    findings = Findings(tokens=tokens, rules=rules, schema=schema)
    findings.effects.update(kind.effects)
    problems = _problems(piece, kind)
    if problems:
        kind = Kind(
            name="unknown" if kind.effects == {Effect.READ} else kind.name, effects=kind.effects, shape=KindShape.FIXED
        )
        findings.effects.discard(Effect.READ)
        findings.unknown(*problems)
        findings.danger(ACTIONS["unreadable"])
        findings.tables_known = False
    else:
        kind = read_shape(kind, findings)
    normalised = normalise(tokens)
    # The console's own questions were measured, whatever is said of what they name.
    own = piece.text in rules.dialect.diagnosis.own
    if kind.name == "call" and normalised.upper() in rules.dialect.diagnosis.kills:
        # It is the KILL of a server that lets nobody use the statement.
        findings.effects, findings.hazards, findings.reasons = {Effect.ADMIN}, {}, {}
    return Statement(
        text=piece.text,
        kind=kind.name,
        effects=frozenset({Effect.READ} if own else findings.effects),
        tables=tuple(findings.tables),
        tables_known=findings.tables_known,
        unfiltered=kind.name in _FILTERED and is_unfiltered(tokens),
        functions=tuple(findings.functions),
        hazards=() if own else tuple(findings.hazards.values()),
        normalised=normalised,
        digest=digest_of(normalised),
        reasons=() if own else tuple(findings.reasons),
        returns_rows=kind.rows,
        vertical=piece.vertical,
        asks=tuple(findings.asks),
        keeps_nothing=findings.keeps_nothing and not findings.hazards,
        notes=tuple(findings.notes),
        diagnosis=own or _is_diagnosis(kind, findings, normalised),
    )


_FILTERED = frozenset({"update", "delete"})
_AFTER_WHERE = words("ORDER LIMIT RETURNING GROUP")
_CONSTANTS = words("TRUE FALSE NULL AND OR NOT XOR IS DIV MOD BETWEEN IN LIKE WHERE")


def is_unfiltered(tokens: tuple[Token, ...]) -> bool:
    """Whether a change has no WHERE at its own level, or one that names no column, as `WHERE 1=1`.

    What a condition that names a column lets through is for the server's plan to say.
    """
    depth, inside, found = 0, False, False
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word == "WHERE":
            inside = True
        elif not depth and token.word in _AFTER_WHERE:
            inside = False
        elif inside and (
            token.kind in {TokenKind.NAME, TokenKind.VARIABLE} or (token.word and token.word not in _CONSTANTS)
        ):
            found = True
    return not found


def _is_diagnosis(kind: Kind, findings: Findings, normalised: str) -> bool:
    """Whether a statement can only be a diagnosis of the server."""
    if findings.effects != {Effect.READ} or findings.hazards or not findings.tables_known:
        return False
    known = findings.rules.dialect.diagnosis
    if kind.name.startswith("show "):
        return normalised.upper() in known.shows
    named = {str(table).lower() for table in findings.tables}
    # A WITH is the statement that follows it, and may go round for ever.
    return normalised.startswith(("SELECT ", "TABLE ")) and bool(named) and named <= known.tables


def _as_meant(tokens: tuple[Token, ...]) -> Iterator[Token]:
    """Yield tokens without the borders of executable comments; words after a dot become names.

    `a.group` names a column: it MUST NOT be taken for the end of a list of tables or of a condition.
    """
    after_dot = False
    for token in tokens:
        if token.kind in _BORDERS:
            continue
        yield token._replace(word="") if after_dot and token.kind is TokenKind.WORD else token
        after_dot = token.text == "."


def _problems(piece: Piece, kind: Kind) -> tuple[str, ...]:
    problems = [token.word for token in piece.tokens if token.kind is TokenKind.UNREADABLE]
    depth = deepest = 0
    for token in piece.tokens:
        if token.kind is TokenKind.PUNCTUATION:
            depth += (token.text == "(") - (token.text == ")")
            deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        problems.append(f"parentheses nested {deepest} deep, over {MAX_DEPTH}")
    if kind.shape in {KindShape.QUERY, KindShape.SHOW, KindShape.EXPLAIN} and any(
        token.text == ";" and token.kind is not TokenKind.STRING for token in piece.tokens[:-1]
    ):
        problems.append("a second statement inside the first")
    return tuple(dict.fromkeys(problems))


# How many rows a statement looks at, where the server's plan of it alone does not say.
#
# Of a change: the read that finds the rows which it would touch, so that their number can be asked without changing
# anything. Of a read that stops at its LIMIT: that number, which plans leave out.
#
# A server plans a change only where it may be made: MySQL 9.7 and MariaDB 10.11 refuse `EXPLAIN UPDATE` and `EXPLAIN
# DELETE` in a read-only session or transaction (error 1792), and to an account that may not write (1142), measured.
# So the question is asked of the read inside the change, which is as safe to plan as any read of a person's.

_SKIPPED = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_MODIFIERS = frozenset({"LOW_PRIORITY", "IGNORE", "QUICK"})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_TAILS = frozenset({"WHERE", "ORDER", "LIMIT"})
_READ = "SELECT 1 FROM"
_LONGEST_TARGET = 5
"""Tokens of `schema . table AS alias`."""

_BARE = _NAMES | {
    TokenKind.SPACE,
    TokenKind.OPERATOR,
    TokenKind.PUNCTUATION,
    TokenKind.NUMBER,
    TokenKind.LIST,
    TokenKind.DELIMITER,
}
_READS_ON = words(
    "WHERE DISTINCT DISTINCTROW GROUP HAVING ORDER UNION EXCEPT INTERSECT MINUS WINDOW JOIN STRAIGHT_JOIN PROCEDURE"
    " SQL_CALC_FOUND_ROWS SQL_BUFFER_RESULT SQL_BIG_RESULT SQL_SMALL_RESULT INTO FOR EXAMINED FETCH"
)
"""Words after which more rows may be read than LIMIT lets out."""
_LIMITED = late(r"\s+(\d{1,18})(?:\s*,\s*(\d{1,18})|\s+OFFSET\s+(\d{1,18}))?\s*;?\s*", re.ASCII | re.IGNORECASE)


def rows_until_limit(statement: Statement, rules: LexicalRules) -> int | None:
    """Return the number of rows that a bare `SELECT … FROM one_table LIMIT n` reads, or None for anything else.

    A condition, a sort, a group or a function may read the whole table for one row; what a view adds must be looked for
    in the plan. Source: MySQL 9.7 and MariaDB 10.11, rows counted by `Handler_read%`.
    """
    if statement.kind != "select" or len(statement.tables) != 1 or not statement.tables_known or statement.hazards:
        return None
    found = tokens(statement.text, rules)
    said = [token.word for token in found if token.kind is TokenKind.WORD]
    if any(token.kind not in _BARE or "(" in token.text for token in found) or _READS_ON & set(said):
        return None
    if said.count("SELECT") != 1 or said.count("LIMIT") != 1:
        return None
    ends = next(token.end for token in found if token.word == "LIMIT")
    numbers = _LIMITED.fullmatch(statement.text, ends)
    return sum(int(number) for number in numbers.groups() if number) if numbers else None


def read_within(statement: Statement, rules: LexicalRules, *, schema: str) -> Statement | None:
    """Return the query that finds the rows changed in one table, or None where no such query is certain.

    Args:
        statement: an UPDATE or DELETE of one table, or an INSERT or REPLACE of a query's rows; anything else has none.
        rules: how the server reads it.
    """
    if "/*" in statement.text:
        # A comment may be code for some servers, and half of one is another text.
        return None
    found = [token for token in tokens(statement.text, rules) if token.kind not in _SKIPPED]
    text = _READS.get(statement.kind, _none)(statement.text, found)
    read = analyse(text, rules, schema=schema) if text else ()
    if len(read) != 1 or not read[0].is_plain_read or not read[0].tables_known or read[0].hazards:
        return None
    return read[0] if set(read[0].tables) <= set(statement.tables) else None


def _none(_text: str, _found: list[Token]) -> str:
    return ""


def _of_update(text: str, found: list[Token]) -> str:
    start = modifiers_end(found, 1)
    ends = next((at for at, token in enumerate(found) if token.word == "SET"), start)
    return _read_of(text, found, start, ends)


def _of_delete(text: str, found: list[Token]) -> str:
    start = modifiers_end(found, 1)
    if start >= len(found) or found[start].word != "FROM":
        return ""
    ends = next((at for at in range(start, len(found)) if found[at].word in _TAILS), len(found))
    return _read_of(text, found, start + 1, ends)


def _of_insert(text: str, found: list[Token]) -> str:
    depth = 0
    words = {token.word for token in found}
    if words & {"DUPLICATE", "RETURNING", "CONFLICT"}:
        return ""
    for token in found:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word == "SELECT":
            return text[token.start :]
    return ""


def modifiers_end(found: list[Token], at: int) -> int:
    while at < len(found) and found[at].word in _MODIFIERS:
        at += 1
    return at


def _read_of(text: str, found: list[Token], start: int, ends: int) -> str:
    target = found[start:ends]
    if not 0 < len(target) <= _LONGEST_TARGET or any(
        token.kind not in _NAMES and token.text != "." for token in target
    ):
        return ""
    depth = 0
    for token in found[ends:]:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word in _TAILS:
            return f"{_READ} {_slice(text, target)} {text[token.start :]}"
    return f"{_READ} {_slice(text, target)}"


def _slice(text: str, part: list[Token]) -> str:
    return text[part[0].start : part[-1].end]


_READS = {"update": _of_update, "delete": _of_delete, "insert": _of_insert, "replace": _of_insert}
