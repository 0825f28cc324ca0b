"""
The names that a schema holds, for completion: sorted, bounded, kept on disk between sessions.

Names only: sizes, counts and comments are never asked for. Source: on MySQL 9.7 and MariaDB 10.11, names
alone open no table, measured.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import msgspec

HELD_TABLES = 200_000
"""Names of tables held for one schema; the rest is typed by hand."""

_SLIPS = 2
"""Characters by which a name that was meant is longer or shorter than the one written."""

_LOOKED_AT = 500
"""Names before and after one that is none, in order, which are compared with it: some 50 ms at most."""


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on disk for one schema of one cluster, and the identities of the servers that have it."""

    servers: frozenset[str] = frozenset()
    tables: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]


class SchemaNames(msgspec.Struct):
    """
    Tables of one schema, and the columns of those that were asked about.

    Attributes:
        tables: their names in the order of their lower case.
        columns: by table name, in table order.
        servers: identities of the servers that have it; empty when they are not known.
    """

    tables: list[str] = msgspec.field(default_factory=list)
    columns: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    folded: list[str] = msgspec.field(default_factory=list)
    servers: frozenset[str] = frozenset()

    def set_tables(self, names: Iterable[str]) -> None:
        """Take the names of all tables; columns of tables that are gone are dropped."""
        self.tables = sorted(dict.fromkeys(names), key=str.lower)[:HELD_TABLES]
        self.folded = [name.lower() for name in self.tables]
        self.columns = {name: self.columns[name] for name in self.tables if name in self.columns}

    def table_like(self, written: str) -> str | None:
        """Return the table that is meant by a name in any case, or None."""
        at = bisect.bisect_left(self.folded, written.lower())
        return self.tables[at] if at < len(self.folded) and self.folded[at] == written.lower() else None

    def nearest(self, written: str) -> str | None:
        """Return the table that was perhaps meant by a name that is none, or None."""
        # Imported here: only a mistake needs it.
        from difflib import get_close_matches  # noqa: PLC0415

        name = written.lower()
        at = bisect.bisect_left(self.folded, name)
        around = self.folded[max(0, at - _LOOKED_AT) : at + _LOOKED_AT]
        alike = [folded for folded in around if abs(len(folded) - len(name)) <= _SLIPS]
        found = get_close_matches(name, alike, n=1, cutoff=0.75)
        return self.table_like(found[0]) if found else None

    def tables_from(self, prefix: str, most: int) -> Iterator[str]:
        """Yield the tables that begin with a prefix, in any case, at most so many."""
        start = bisect.bisect_left(self.folded, prefix.lower())
        for at in range(start, min(start + most, len(self.folded))):
            if not self.folded[at].startswith(prefix.lower()):
                return
            yield self.tables[at]


def load_names(directory: str, cluster: str, schema: str) -> SchemaNames:
    """
    Return what is kept on disk of a schema; nothing when there is none or it cannot be read.

    Whose names they are stands in `servers`: a cluster's name may lead to other servers by now.
    """
    names = SchemaNames()
    if not directory:
        return names
    try:
        stored = msgspec.json.decode(_path(directory, cluster, schema).read_bytes(), type=_Stored)
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return names
    names.servers = stored.servers
    names.columns = dict(stored.columns)
    names.set_tables(stored.tables)
    return names


def save_names(directory: str, cluster: str, schema: str, names: SchemaNames) -> None:
    """Keep a schema's names on disk, readable by their owner alone; without a place for them nothing is kept."""
    if not directory:
        return
    path = _path(directory, cluster, schema)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    text = msgspec.json.encode(_Stored(servers=names.servers, tables=tuple(names.tables), columns=names.columns))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        part.replace(path)
    except OSError:
        # Completion is a comfort: a full disk must not stop a session.
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _path(directory: str, cluster: str, schema: str) -> Path:
    return Path(directory) / f"{quote(cluster, safe='')}.{quote(schema, safe='')}.names"
