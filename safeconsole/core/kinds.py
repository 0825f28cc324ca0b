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

from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.vocabulary import Effect, Flavour


class Shape(StrEnum):
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
    shape: Shape
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

_ROWS: tuple[tuple[str, frozenset[Effect], Shape], ...] = (
    # Queries.
    ("select", R, Shape.QUERY),
    ("with", R, Shape.QUERY),
    ("values", R, Shape.QUERY),
    ("table", R, Shape.QUERY),
    ("show", R, Shape.SHOW),
    ("explain", R, Shape.EXPLAIN),
    ("analyze", R, Shape.EXPLAIN),
    ("describe", R, Shape.EXPLAIN),
    ("desc", R, Shape.EXPLAIN),
    ("help", R, Shape.FIXED),
    ("checksum table", R, Shape.NAMED),
    ("xa recover", R, Shape.FIXED),
    # Rows.
    ("insert", W, Shape.CHANGE),
    ("replace", W, Shape.CHANGE),
    ("update", W, Shape.CHANGE),
    ("delete", W, Shape.CHANGE),
    ("load data", W, Shape.CHANGE),
    ("load xml", W, Shape.CHANGE),
    ("binlog", W, Shape.FIXED),
    ("import table", D, Shape.FIXED),
    ("truncate", W | D, Shape.NAMED),
    ("truncate table", W | D, Shape.NAMED),
    # Tables as a whole.
    ("analyze table", W | A, Shape.NAMED),
    ("analyze tables", W | A, Shape.NAMED),
    ("analyze local table", W | A, Shape.NAMED),
    ("analyze no_write_to_binlog table", W | A, Shape.NAMED),
    ("check table", L | A, Shape.NAMED),
    ("check tables", L | A, Shape.NAMED),
    ("check view", L | A, Shape.NAMED),
    ("checksum tables", R, Shape.NAMED),
    ("optimize", D | W, Shape.NAMED),
    ("repair", D | W, Shape.NAMED),
    ("rename table", D, Shape.NAMED),
    ("rename tables", D, Shape.NAMED),
    ("rename user", A, Shape.FIXED),
    # The session.
    ("use", S, Shape.USE),
    ("set", S, Shape.SET),
    ("begin", S, Shape.FIXED),
    ("begin work", S, Shape.FIXED),
    ("begin not atomic", U, Shape.BLOCK),
    ("start transaction", S, Shape.FIXED),
    ("commit", S, Shape.FIXED),
    ("rollback", S, Shape.FIXED),
    ("savepoint", S, Shape.FIXED),
    ("release savepoint", S, Shape.FIXED),
    ("unlock tables", S, Shape.FIXED),
    ("unlock table", S, Shape.FIXED),
    ("deallocate prepare", S, Shape.FIXED),
    ("drop prepare", S, Shape.FIXED),
    ("get", S, Shape.FIXED),
    ("do", R | S, Shape.QUERY),
    ("handler", L, Shape.NAMED),
    ("lock table", L, Shape.NAMED),
    ("lock tables", L, Shape.NAMED),
    # Code that is not in the text.
    ("call", U, Shape.FIXED),
    ("prepare", U, Shape.FIXED),
    ("execute", U, Shape.FIXED),
    ("execute immediate", U, Shape.FIXED),
    ("signal", U, Shape.FIXED),
    ("resignal", U, Shape.FIXED),
    ("xa", W | S, Shape.FIXED),
    # Accounts and the server.
    ("grant", A, Shape.FIXED),
    ("revoke", A, Shape.FIXED),
    ("kill", A, Shape.FIXED),
    ("flush", A, Shape.FIXED),
    ("reset", A, Shape.FIXED),
    ("purge", A, Shape.FIXED),
    ("change", A, Shape.FIXED),
    ("start", A, Shape.FIXED),
    ("stop", A, Shape.FIXED),
    ("install", A, Shape.FIXED),
    ("uninstall", A, Shape.FIXED),
    ("shutdown", A, Shape.FIXED),
    ("restart", A, Shape.FIXED),
    ("clone", A, Shape.FIXED),
    ("cache index", A, Shape.FIXED),
    ("load index", A, Shape.FIXED),
    ("backup", A | L, Shape.FIXED),
    ("lock instance", A | L, Shape.FIXED),
    ("unlock instance", A, Shape.FIXED),
    ("alter instance", A, Shape.FIXED),
    # Compound statements outside a routine (MariaDB), and labels of the same.
    ("if", U, Shape.BLOCK),
    ("case", U, Shape.BLOCK),
    ("while", U, Shape.BLOCK),
    ("loop", U, Shape.BLOCK),
    ("repeat", U, Shape.BLOCK),
    ("for", U, Shape.BLOCK),
    ("declare", U, Shape.BLOCK),
)

_SQLITE_ROWS: tuple[tuple[str, frozenset[Effect], Shape], ...] = (
    ("select", R, Shape.QUERY),
    ("with", R, Shape.QUERY),
    ("values", R, Shape.QUERY),
    ("explain", R, Shape.EXPLAIN),
    ("pragma", U, Shape.PRAGMA),
    ("insert", W, Shape.CHANGE),
    ("replace", W, Shape.CHANGE),
    ("update", W, Shape.CHANGE),
    ("delete", W, Shape.CHANGE),
    ("begin", S, Shape.FIXED),
    ("commit", S, Shape.FIXED),
    ("end", S, Shape.FIXED),
    ("rollback", S, Shape.FIXED),
    ("savepoint", S, Shape.FIXED),
    ("release", S, Shape.FIXED),
    ("attach", A, Shape.FIXED),
    ("detach", A, Shape.FIXED),
    ("vacuum", W | D, Shape.FIXED),
    ("reindex", W | D, Shape.FIXED),
    ("analyze", W | A, Shape.FIXED),
)

_ANSWERING = frozenset({Shape.QUERY, Shape.SHOW, Shape.EXPLAIN, Shape.PRAGMA})
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


def _table(rows: tuple[tuple[str, frozenset[Effect], Shape], ...]) -> dict[tuple[str, ...], Kind]:
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

UNKNOWN_KIND = Kind(name="unknown", effects=U, shape=Shape.FIXED, words=0)


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
            return inner if inner is not None and inner.shape is Shape.QUERY and token.word != "DO" else UNKNOWN_KIND
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
            return Kind(name=name, effects=D, shape=Shape.NAMED, words=count)
        if token.word in _ADMIN_OBJECTS:
            return Kind(name=name, effects=A | D, shape=Shape.FIXED, words=count)
    return Kind(name=verb.lower(), effects=D | U, shape=Shape.FIXED, words=1)
