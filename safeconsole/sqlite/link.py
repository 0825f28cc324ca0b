"""An open file with its guards and its authorizer.

A read reaches a file that is open read-only, in a session that only queries, and still every action
that is no read is denied here: three locks, each enough.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container
from enum import Enum
from functools import partial

import msgspec

from safeconsole.cluster.engine import Row
from safeconsole.errors import UnreachableError
from safeconsole.sqlite.sidecar import FileNode

OK, DENY = sqlite3.SQLITE_OK, sqlite3.SQLITE_DENY


class Mode(Enum):
    """What the current statement may do."""

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


HEAP_BYTES = 256 * 1024 * 1024
"""Hard limit of SQLite's memory in this process, over all connections.

SQLite lets it be set once and only lowered after that, so that it cannot follow each statement's
limit. Source: sqlite.org, "PRAGMA hard_heap_limit".
"""


class SqliteLink(msgspec.Struct):
    """One open file.

    Attributes:
        schema: the name under which the file is attached a second time, so that `schema.table` is found.
        writable: whether the file is open for writing.
    """

    raw: sqlite3.Connection
    place: FileNode
    schema: str
    writable: bool
    broken: bool = False

    def own(self, text: str, values: tuple[str | int, ...] = ()) -> list[Row]:
        """Run a statement of the console's own, outside the authorizer. Raises sqlite3.Error."""
        self.raw.set_authorizer(None)
        return self.raw.execute(text, values).fetchall()

    def authorize(self, authorizer: Authorizer) -> None:
        self.raw.set_authorizer(authorizer)

    def give_up(self) -> None:
        """Mark it as broken."""
        self.broken = True

    def close(self) -> None:
        """Close it, rolling back what is open; never raises."""
        self.broken = True
        try:
            self.raw.close()
        except sqlite3.Error:
            # The driver holds statements of a thread that is still in them; the file is closed with the last of them.
            return


def open_link(place: FileNode, *, schema: str, writable: bool, busy_seconds: float) -> SqliteLink:
    """Open a file with its guards in force and read back.

    Args:
        schema: see `Link`.
        writable: open for writing; otherwise neither the file nor the session takes a change.
        busy_seconds: how long to wait while another connection holds the file.

    Raises:
        UnreachableError: it cannot be opened, or a guard does not hold; the message says which.
    """
    uri = f"{place.uri}?mode={'rw' if writable else 'ro'}"
    try:
        raw = sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise UnreachableError(f"{place.node} cannot be opened: {error}") from None
    link = SqliteLink(raw=raw, place=place, schema=schema, writable=writable)
    try:
        # The file is attached once more: SQLite has no other second name for it.
        if schema != "main":
            link.own("ATTACH ? AS ?", (uri, schema))
        for name, value, _ in _guards(link):
            link.own(f"PRAGMA {name} = {value}")
        # No more files: a nameless one for VACUUM at most.
        raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 2 if writable else 1)
        raw.text_factory = _text
        guards = read_guards(link)
    except sqlite3.Error as error:
        link.close()
        raise UnreachableError(f"{place.node} cannot be guarded: {error}") from None
    wrong = [f"{name} is {guards[name]}" for name, _, holds in _guards(link) if guards[name] not in holds]
    if wrong:
        link.close()
        raise UnreachableError(f"{place.node} has guards that are not in force: {', '.join(wrong)}")
    return link


def read_guards(link: SqliteLink) -> dict[str, str]:
    """Return the settings that protect the file, as SQLite says they are now. Raises sqlite3.Error."""
    read = {name: str(link.own(f"PRAGMA {name}")[0][0]) for name, _, _ in _guards(link)}
    return {"mode": "read-write" if link.writable else "read-only", **read}


def _guards(link: SqliteLink) -> tuple[tuple[str, str, Container[str]], ...]:
    return (
        ("query_only", "0" if link.writable else "1", ("0",) if link.writable else ("1",)),
        ("trusted_schema", "0", ("0",)),
        # Another part of the process may have asked for less; more is not possible.
        ("hard_heap_limit", str(HEAP_BYTES), _AtMost(HEAP_BYTES)),
    )


class _AtMost(Container[str]):
    """The numbers from 1 to a limit, as text."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text.isdecimal() and 0 < int(text) <= self._limit


# Never a failure, never silently different: bytes that are no UTF-8 show as \xNN.
_text = partial(str, encoding="utf-8", errors="backslashreplace")
