"""What SQLite may prepare for us, asked of us for every action of every statement.

A read reaches a file that is open read-only, in a session that only queries, and still every action
that is no read is denied here: three locks, each enough.
"""

from __future__ import annotations

import sqlite3
from enum import Enum

OK, DENY = sqlite3.SQLITE_OK, sqlite3.SQLITE_DENY


class Mode(Enum):
    """What the statement at hand may do."""

    READS = "reads"
    CHANGES = "changes"


class Authorizer:
    """Answers for one statement; `sqlite3.Connection.set_authorizer` calls it.

    Attributes:
        tables: (schema, table) that it reads, in order; schema "" where SQLite does not say.
        denied: the first action that was denied, in words, or "".
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.tables: dict[tuple[str, str], None] = {}
        self.denied = ""

    def __call__(self, action: int, first: str | None, second: str | None, schema: str | None, _: str | None) -> int:
        if action == sqlite3.SQLITE_READ and first:
            self.tables.setdefault((schema or "", first.lower()))
        why = _objection(self.mode, action, first or "", second)
        if why:
            self.denied = self.denied or why
            return DENY
        return OK


def _objection(mode: Mode, action: int, first: str, second: str | None) -> str:
    if action == sqlite3.SQLITE_PRAGMA:
        return _pragma_objection(mode, first.lower(), second)
    if action == sqlite3.SQLITE_FUNCTION:
        return f"it calls {second}" if (second or "").lower() in _FUNCTIONS else ""
    if action in _READING:
        return ""
    if action == sqlite3.SQLITE_ATTACH:
        # VACUUM attaches a nameless temporary file.
        return "" if mode is Mode.CHANGES and not first else "it attaches another file"
    if action == sqlite3.SQLITE_DETACH:
        return "it detaches a schema"
    if mode is Mode.CHANGES:
        return ""
    if action == sqlite3.SQLITE_UPDATE and first in {"sqlite_master", "sqlite_temp_master"}:
        # Asked when a table-valued function (json_each, pragma_table_info) is first used. A statement
        # that updates the schema table itself is refused by SQLite unless writable_schema is on.
        return ""
    return f"it would {_WORDS.get(action, 'change something')}{f' {first}' if first else ''}"


def _pragma_objection(mode: Mode, name: str, argument: str | None) -> str:
    if name in _PRAGMAS_THAT_LOOK or (name in _PRAGMAS_THAT_TELL and argument is None):
        return ""
    if mode is Mode.CHANGES and name in _PRAGMAS_THAT_CHANGE:
        return ""
    return f"the console owns pragma {name}" if argument is not None else f"pragma {name} is not one that only reads"


_READING = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
    }
)
_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_PRAGMAS_THAT_LOOK = frozenset(
    {
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    }
)
_PRAGMAS_THAT_TELL = frozenset(
    {
        "application_id",
        "auto_vacuum",
        "busy_timeout",
        "cache_size",
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "encoding",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "hard_heap_limit",
        "journal_mode",
        "locking_mode",
        "max_page_count",
        "module_list",
        "page_count",
        "page_size",
        "pragma_list",
        "query_only",
        "schema_version",
        "soft_heap_limit",
        "synchronous",
        "temp_store",
        "trusted_schema",
        "user_version",
    }
)
_PRAGMAS_THAT_CHANGE = frozenset({"application_id", "auto_vacuum", "incremental_vacuum", "optimize", "user_version"})
_WORDS = {
    sqlite3.SQLITE_INSERT: "insert into",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete from",
    sqlite3.SQLITE_ALTER_TABLE: "alter a table of",
    sqlite3.SQLITE_ANALYZE: "write statistics of",
    sqlite3.SQLITE_REINDEX: "rebuild the index",
    sqlite3.SQLITE_CREATE_INDEX: "create the index",
    sqlite3.SQLITE_CREATE_TABLE: "create the table",
    sqlite3.SQLITE_CREATE_TRIGGER: "create the trigger",
    sqlite3.SQLITE_CREATE_VIEW: "create the view",
    sqlite3.SQLITE_CREATE_VTABLE: "create the virtual table",
    sqlite3.SQLITE_CREATE_TEMP_INDEX: "create the temporary index",
    sqlite3.SQLITE_CREATE_TEMP_TABLE: "create the temporary table",
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER: "create the temporary trigger",
    sqlite3.SQLITE_CREATE_TEMP_VIEW: "create the temporary view",
    sqlite3.SQLITE_DROP_INDEX: "drop the index",
    sqlite3.SQLITE_DROP_TABLE: "drop the table",
    sqlite3.SQLITE_DROP_TRIGGER: "drop the trigger",
    sqlite3.SQLITE_DROP_VIEW: "drop the view",
    sqlite3.SQLITE_DROP_VTABLE: "drop the virtual table",
    sqlite3.SQLITE_DROP_TEMP_INDEX: "drop the temporary index",
    sqlite3.SQLITE_DROP_TEMP_TABLE: "drop the temporary table",
    sqlite3.SQLITE_DROP_TEMP_TRIGGER: "drop the temporary trigger",
    sqlite3.SQLITE_DROP_TEMP_VIEW: "drop the temporary view",
}
