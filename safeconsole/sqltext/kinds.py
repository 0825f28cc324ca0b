"""
Which words begin which kind of statement, and the least it can do.

One table, longest match first. What is not in it is "unknown". A kind that one flavour does not
have is still named, and keeps its floor: the server refuses it, and a sister with the same words
would not.

Source: the statement chapters of the MySQL 9.7 and MariaDB manuals, "SQL As Understood By SQLite";
the effects were measured on MySQL 9.7 and MariaDB 10.11.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from safeconsole.sqltext.lexer import Token, TokenKind
from safeconsole.sqltext.vocabulary import Effect, Flavour


class KindShape(StrEnum):
    """
    How the rest of a statement is read.

    QUERY: effects come from its tokens. SHOW, EXPLAIN, SET, USE, PRAGMA: each by its own rules.
    CHANGE: writes rows; its tables and functions are read.
    NAMED: names tables after its first words. FIXED: the floor is all there is to say. BLOCK: a compound block.
    """

    QUERY = "query"
    SHOW = "show"
    EXPLAIN = "explain"
    SET = "set"
    USE = "use"
    PRAGMA = "pragma"
    CHANGE = "change"
    NAMED = "named"
    FIXED = "fixed"
    BLOCK = "block"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """
    One kind of statement.

    Attributes:
        name: lower-case words, as `Statement.kind`.
        effects: the least it does.
        shape: how the rest is read.
        words: how many words named it.
        rows: whether it answers with rows.
    """

    name: str
    effects: frozenset[Effect]
    shape: KindShape
    words: int = 1
    rows: bool = False


R, S, L, W, D, A, U = (
    frozenset({effect})
    for effect in (
        Effect.READ,
        Effect.SESSION,
        Effect.LOCK,
        Effect.WRITE,
        Effect.DDL,
        Effect.ADMIN,
        Effect.UNKNOWN,
    )
)

_ROWS: tuple[tuple[str, frozenset[Effect], KindShape], ...] = (
    # Queries.
    ("select", R, KindShape.QUERY),
    ("with", R, KindShape.QUERY),
    ("values", R, KindShape.QUERY),
    ("table", R, KindShape.QUERY),
    ("show", R, KindShape.SHOW),
    ("explain", R, KindShape.EXPLAIN),
    ("analyze", R, KindShape.EXPLAIN),
    ("describe", R, KindShape.EXPLAIN),
    ("desc", R, KindShape.EXPLAIN),
    ("help", R, KindShape.FIXED),
    ("checksum table", R, KindShape.NAMED),
    ("xa recover", R, KindShape.FIXED),
    # Rows.
    ("insert", W, KindShape.CHANGE),
    ("replace", W, KindShape.CHANGE),
    ("update", W, KindShape.CHANGE),
    ("delete", W, KindShape.CHANGE),
    ("load data", W, KindShape.CHANGE),
    ("load xml", W, KindShape.CHANGE),
    ("binlog", W, KindShape.FIXED),
    ("import table", D, KindShape.FIXED),
    ("truncate", W | D, KindShape.NAMED),
    ("truncate table", W | D, KindShape.NAMED),
    # Tables as a whole.
    ("analyze table", W | A, KindShape.NAMED),
    ("analyze tables", W | A, KindShape.NAMED),
    ("analyze local table", W | A, KindShape.NAMED),
    ("analyze no_write_to_binlog table", W | A, KindShape.NAMED),
    ("check table", L | A, KindShape.NAMED),
    ("check tables", L | A, KindShape.NAMED),
    ("check view", L | A, KindShape.NAMED),
    ("checksum tables", R, KindShape.NAMED),
    ("optimize", D | W, KindShape.NAMED),
    ("repair", D | W, KindShape.NAMED),
    ("rename table", D, KindShape.NAMED),
    ("rename tables", D, KindShape.NAMED),
    ("rename user", A, KindShape.FIXED),
    # The session.
    ("use", S, KindShape.USE),
    ("set", S, KindShape.SET),
    ("begin", S, KindShape.FIXED),
    ("begin work", S, KindShape.FIXED),
    ("begin not atomic", U, KindShape.BLOCK),
    ("start transaction", S, KindShape.FIXED),
    ("commit", S, KindShape.FIXED),
    ("rollback", S, KindShape.FIXED),
    ("savepoint", S, KindShape.FIXED),
    ("release savepoint", S, KindShape.FIXED),
    ("unlock tables", S, KindShape.FIXED),
    ("unlock table", S, KindShape.FIXED),
    ("deallocate prepare", S, KindShape.FIXED),
    ("drop prepare", S, KindShape.FIXED),
    ("get", S, KindShape.FIXED),
    ("do", R | S, KindShape.QUERY),
    ("handler", L, KindShape.NAMED),
    ("lock table", L, KindShape.NAMED),
    ("lock tables", L, KindShape.NAMED),
    # Code that is not in the text.
    ("call", U, KindShape.FIXED),
    ("prepare", U, KindShape.FIXED),
    ("execute", U, KindShape.FIXED),
    ("execute immediate", U, KindShape.FIXED),
    ("signal", U, KindShape.FIXED),
    ("resignal", U, KindShape.FIXED),
    ("xa", W | S, KindShape.FIXED),
    # Accounts and the server.
    ("grant", A, KindShape.FIXED),
    ("revoke", A, KindShape.FIXED),
    ("kill", A, KindShape.FIXED),
    ("flush", A, KindShape.FIXED),
    ("reset", A, KindShape.FIXED),
    ("purge", A, KindShape.FIXED),
    ("change", A, KindShape.FIXED),
    ("start", A, KindShape.FIXED),
    ("stop", A, KindShape.FIXED),
    ("install", A, KindShape.FIXED),
    ("uninstall", A, KindShape.FIXED),
    ("shutdown", A, KindShape.FIXED),
    ("restart", A, KindShape.FIXED),
    ("clone", A, KindShape.FIXED),
    ("cache index", A, KindShape.FIXED),
    ("load index", A, KindShape.FIXED),
    ("backup", A | L, KindShape.FIXED),
    ("lock instance", A | L, KindShape.FIXED),
    ("unlock instance", A, KindShape.FIXED),
    ("alter instance", A, KindShape.FIXED),
    # Compound statements outside a routine (MariaDB), and labels of the same.
    ("if", U, KindShape.BLOCK),
    ("case", U, KindShape.BLOCK),
    ("while", U, KindShape.BLOCK),
    ("loop", U, KindShape.BLOCK),
    ("repeat", U, KindShape.BLOCK),
    ("for", U, KindShape.BLOCK),
    ("declare", U, KindShape.BLOCK),
)

_SQLITE_ROWS: tuple[tuple[str, frozenset[Effect], KindShape], ...] = (
    ("select", R, KindShape.QUERY),
    ("with", R, KindShape.QUERY),
    ("values", R, KindShape.QUERY),
    ("explain", R, KindShape.EXPLAIN),
    ("pragma", U, KindShape.PRAGMA),
    ("insert", W, KindShape.CHANGE),
    ("replace", W, KindShape.CHANGE),
    ("update", W, KindShape.CHANGE),
    ("delete", W, KindShape.CHANGE),
    ("begin", S, KindShape.FIXED),
    ("commit", S, KindShape.FIXED),
    ("end", S, KindShape.FIXED),
    ("rollback", S, KindShape.FIXED),
    ("savepoint", S, KindShape.FIXED),
    ("release", S, KindShape.FIXED),
    ("attach", A, KindShape.FIXED),
    ("detach", A, KindShape.FIXED),
    ("vacuum", W | D, KindShape.FIXED),
    ("reindex", W | D, KindShape.FIXED),
    ("analyze", W | A, KindShape.FIXED),
)

_ANSWERING = frozenset({KindShape.QUERY, KindShape.SHOW, KindShape.EXPLAIN, KindShape.PRAGMA})
_ANSWERING_NAMES = (
    "check",
    "checksum",
    "analyze",
    "optimize",
    "repair",
    "help",
    "xa recover",
    "handler",
    "call",
    "execute",
)


def _table(rows: tuple[tuple[str, frozenset[Effect], KindShape], ...]) -> dict[tuple[str, ...], Kind]:
    table = {}
    for name, effects, shape in rows:
        key = tuple(name.upper().split())
        answers = (shape in _ANSWERING and name != "do") or name.startswith(_ANSWERING_NAMES)
        table[key] = Kind(name=name, effects=effects, shape=shape, words=len(key), rows=answers)
    return table


FAMILY_KINDS = _table(_ROWS)
SQLITE_KINDS = _table(_SQLITE_ROWS)

_LONGEST = 3
_WITH_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES", "TABLE"})
_OBJECT_VERBS = frozenset({"CREATE", "DROP", "ALTER"})
_OBJECTS = frozenset(
    {"TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "SEQUENCE"}
) | frozenset({"PACKAGE", "TABLESPACE", "LIBRARY", "TABLES"})
_ADMIN_OBJECTS = frozenset(
    {"USER", "ROLE", "SERVER", "LOGFILE", "RESOURCE", "SPATIAL", "INSTANCE", "CATALOG", "CONNECTION"}
)
# Words that may stand between CREATE, DROP or ALTER and the object; a definer is a name of any form.
_LOOK_AHEAD = 24

UNKNOWN_KIND = Kind(name="unknown", effects=U, shape=KindShape.FIXED, words=0)


def kind_of(tokens: tuple[Token, ...], flavour: Flavour) -> Kind:
    """Return the kind of the statement that these tokens begin; UNKNOWN_KIND when the table has none."""
    table = SQLITE_KINDS if flavour is Flavour.SQLITE else FAMILY_KINDS
    words = tuple(token.word for token in tokens[:_LONGEST])
    if words and words[0] in _OBJECT_VERBS:
        return _object_kind(tokens)
    if words and words[0] == "WITH":
        return _with_kind(tokens, table)
    for count in range(len(words), 0, -1):
        kind = table.get(words[:count])
        if kind is not None:
            return kind
    if tokens and tokens[0].text == "(":
        return _parenthesised(tokens)
    return UNKNOWN_KIND


def _with_kind(tokens: tuple[Token, ...], table: dict[tuple[str, ...], Kind]) -> Kind:
    """Return the kind of the statement that WITH queries stand before: its first verb outside parentheses."""
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word in _WITH_VERBS:
            return table.get((token.word,), UNKNOWN_KIND)
    return table["SELECT",]


def _parenthesised(tokens: tuple[Token, ...]) -> Kind:
    """Return the kind of a query in parentheses."""
    for token in tokens:
        if token.text != "(":
            inner = FAMILY_KINDS.get((token.word,))
            return (
                inner if inner is not None and inner.shape is KindShape.QUERY and token.word != "DO" else UNKNOWN_KIND
            )
    return UNKNOWN_KIND


def _object_kind(tokens: tuple[Token, ...]) -> Kind:
    """Return the kind of a CREATE, DROP or ALTER by the first object it names."""
    verb = tokens[0].word
    if verb == "DROP" and len(tokens) > 1 and tokens[1].word == "PREPARE":
        return FAMILY_KINDS["DROP", "PREPARE"]
    temporary = ""
    for count, token in enumerate(tokens[1:_LOOK_AHEAD], start=2):
        if token.kind is not TokenKind.WORD:
            continue
        if token.word in {"TEMPORARY", "TEMP"}:
            temporary = "temporary "
        name = f"{verb} {temporary}{token.word}".lower()
        if token.word in _OBJECTS:
            return Kind(name=name, effects=D, shape=KindShape.NAMED, words=count)
        if token.word in _ADMIN_OBJECTS:
            return Kind(name=name, effects=A | D, shape=KindShape.FIXED, words=count)
    return Kind(name=verb.lower(), effects=D | U, shape=KindShape.FIXED, words=1)
