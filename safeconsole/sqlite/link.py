"""One open file, and what every statement on it needs: its guards, its authorizer, its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Container
from functools import partial

import msgspec

from safeconsole.cluster.engine import Row
from safeconsole.errors import UnreachableError
from safeconsole.sqlite.authorizing import Authorizer
from safeconsole.sqlite.sidecar import FileNode

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
        """Run a statement of the console's own, which no authorizer is asked about. Raises sqlite3.Error."""
        self.raw.set_authorizer(None)
        return self.raw.execute(text, values).fetchall()

    def authorize(self, authorizer: Authorizer) -> None:
        self.raw.set_authorizer(authorizer)

    def give_up(self) -> None:
        """Mark it as one that must be discarded."""
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
        raise UnreachableError(f"{place.node} does not hold its guards: {', '.join(wrong)}")
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
