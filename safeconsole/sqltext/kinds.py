"""The words that begin each kind of statement, and the least it can do.

One table, longest match first. What is not in it is "unknown". A kind that one flavour lacks is still named, and keeps
its floor: the server refuses it.

Source: the statement chapters of the MySQL 9.7 and MariaDB manuals, "SQL As Understood By SQLite"; the effects were
measured on MySQL 9.7 and MariaDB 10.11.
"""

from __future__ import annotations

from collections.abc import Mapping

from safeconsole.sqltext.dialect import Dialect, Kind, KindShape
from safeconsole.sqltext.lexer import Token, TokenKind
from safeconsole.sqltext.vocabulary import Effect

Kinds = Mapping[tuple[str, ...], Kind]

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

UNKNOWN_KIND = Kind(name="unknown", effects=frozenset({Effect.UNKNOWN}), shape=KindShape.FIXED, words=0)


def kind_of(tokens: tuple[Token, ...], dialect: Dialect) -> Kind:
    """Return the kind of the statement that these tokens begin, or UNKNOWN_KIND."""
    table = dialect.kinds
    words = tuple(token.word for token in tokens[:_LONGEST])
    if words and words[0] in _OBJECT_VERBS:
        return _object_kind(tokens, table)
    if words and words[0] == "WITH":
        return _with_kind(tokens, table)
    for count in range(len(words), 0, -1):
        kind = table.get(words[:count])
        if kind is not None:
            return kind
    if tokens and tokens[0].text == "(":
        return _parenthesised(tokens, table)
    return UNKNOWN_KIND


def _with_kind(tokens: tuple[Token, ...], table: Kinds) -> Kind:
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word in _WITH_VERBS:
            return table.get((token.word,), UNKNOWN_KIND)
    return table["SELECT",]


def _parenthesised(tokens: tuple[Token, ...], table: Kinds) -> Kind:
    for token in tokens:
        if token.text != "(":
            inner = table.get((token.word,))
            return (
                inner if inner is not None and inner.shape is KindShape.QUERY and token.word != "DO" else UNKNOWN_KIND
            )
    return UNKNOWN_KIND


def _object_kind(tokens: tuple[Token, ...], table: Kinds) -> Kind:
    verb = tokens[0].word
    if verb == "DROP" and len(tokens) > 1 and tokens[1].word == "PREPARE":
        return table.get(("DROP", "PREPARE"), UNKNOWN_KIND)
    temporary = ""
    for count, token in enumerate(tokens[1:_LOOK_AHEAD], start=2):
        if token.kind is not TokenKind.WORD:
            continue
        if token.word in {"TEMPORARY", "TEMP"}:
            temporary = "temporary "
        name = f"{verb} {temporary}{token.word}".lower()
        if token.word in _OBJECTS:
            return Kind(name=name, effects=frozenset({Effect.DDL}), shape=KindShape.NAMED, words=count)
        if token.word in _ADMIN_OBJECTS:
            return Kind(name=name, effects=frozenset({Effect.ADMIN, Effect.DDL}), shape=KindShape.FIXED, words=count)
    return Kind(name=verb.lower(), effects=frozenset({Effect.DDL, Effect.UNKNOWN}), shape=KindShape.FIXED, words=1)
