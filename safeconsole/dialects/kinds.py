"""The words that begin each kind of statement in the MySQL family, and its minimal effects.

What is not in the table is "unknown". A kind that one member does not have is still named, and keeps its floor: the
server refuses it, and a sister with the same words would not.

Source: the statement chapters of the MySQL 9.7 and MariaDB manuals; the effects were measured on MySQL 9.7 and MariaDB
10.11.
"""

from __future__ import annotations

from safeconsole.sqltext.dialect import Kind, KindShape
from safeconsole.sqltext.vocabulary import Effect

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

KindRows = tuple[tuple[str, frozenset[Effect], KindShape], ...]

_ROWS: KindRows = (
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


def kinds_of(rows: KindRows) -> dict[tuple[str, ...], Kind]:
    table = {}
    for name, effects, shape in rows:
        key = tuple(name.upper().split())
        answers = (shape in _ANSWERING and name != "do") or name.startswith(_ANSWERING_NAMES)
        table[key] = Kind(name=name, effects=effects, shape=shape, words=len(key), rows=answers)
    return table


FAMILY_KINDS = kinds_of(_ROWS)
