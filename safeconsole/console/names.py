"""The names known of a schema: tables, columns, foreign keys, and where they are kept between sessions."""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate, chain
from pathlib import Path
from urllib.parse import quote

import msgspec

HELD_TABLES = 200_000
"""Names of tables held for one schema; the rest is typed by hand."""

_SLIPS = 2
"""Characters by which a name that was meant is longer or shorter than the one written."""

_LOOKED_AT = 500
"""Names before and after one that is none, in order, which are compared with it: some 50 ms at most."""


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True):
    """One foreign key of a table.

    Attributes:
        columns: of the table that has it.
        table, targets: the table that it leads to, and its columns.
    """

    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]


def alike(names: Iterable[str], written: str) -> Iterator[str]:
    """Yield names that begin with a text, then those that contain it, then those that contain its letters in order."""
    folded = written.lower()
    held = [(name, name.lower()) for name in names]
    yield from (name for name, lower in held if lower.startswith(folded))
    if len(folded) >= HELD_INSIDE:
        yield from (name for name, lower in held if folded in lower and not lower.startswith(folded))
    if len(folded) >= HELD_SCATTERED:
        scattered = re.compile(_scattered(folded))
        yield from (name for name, lower in held if folded not in lower and scattered.match(lower))


HELD_INSIDE, HELD_SCATTERED = 2, 3
"""Typed characters from which on a name is offered that holds them together, or one after the other."""


def _scattered(folded: str) -> str:
    return "".join(rf"[^{re.escape(letter)}\n]*{re.escape(letter)}" for letter in folded)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The stored names of one schema of one cluster, and the identities of the servers that have it."""

    servers: frozenset[str] = frozenset()
    tables: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    keys: dict[str, tuple[ForeignKey, ...]] = {}
    schemas: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    elsewhere: dict[str, tuple[str, ...]] = {}


class SchemaNames(msgspec.Struct):
    """The tables of one schema, and the columns of those that were looked up.

    Attributes:
        schema: its name, "" while it is not known.
        tables: their names in the order of their lower case.
        columns: by table name, in table order.
        keys: foreign keys by table name, of the tables whose columns are known.
        schemas: names of all schemas of the server, as far as they were asked for.
        variables: names of the server's variables, lower case; empty before they were asked for.
        elsewhere: tables of other schemas that statements named, by the schema's name in lower case.
        servers: identities of the servers that have it; empty when they are not known.
    """

    tables: list[str] = msgspec.field(default_factory=list)
    columns: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    folded: list[str] = msgspec.field(default_factory=list)
    servers: frozenset[str] = frozenset()
    schema: str = ""
    keys: dict[str, tuple[ForeignKey, ...]] = msgspec.field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    elsewhere: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    lines: str = ""
    starts: list[int] = msgspec.field(default_factory=list)

    def set_tables(self, names: Iterable[str]) -> None:
        """Set the names of all tables; columns of removed tables are dropped."""
        self.tables = sorted(dict.fromkeys(names), key=str.lower)[:HELD_TABLES]
        self.folded = [name.lower() for name in self.tables]
        self.columns = {name: self.columns[name] for name in self.tables if name in self.columns}
        self.keys = {name: self.keys[name] for name in self.tables if name in self.keys}
        # One text, searched at once: names one by one would make a keystroke wait.
        flat = [name.replace("\n", " ") for name in self.folded]
        self.lines = "\n".join(flat)
        self.starts = list(accumulate((len(name) + 1 for name in flat), initial=0))

    def table_like(self, written: str) -> str | None:
        """Return the table with a name in any case, or None."""
        at = bisect.bisect_left(self.folded, written.lower())
        return self.tables[at] if at < len(self.folded) and self.folded[at] == written.lower() else None

    def nearest(self, written: str) -> str | None:
        """Return the table closest to a misspelt name, or None."""
        # Imported here: only a mistake needs it.
        from difflib import get_close_matches  # noqa: PLC0415

        name = written.lower()
        at = bisect.bisect_left(self.folded, name)
        around = self.folded[max(0, at - _LOOKED_AT) : at + _LOOKED_AT]
        alike = [folded for folded in around if abs(len(folded) - len(name)) <= _SLIPS]
        found = get_close_matches(name, alike, n=1, cutoff=0.75)
        return self.table_like(found[0]) if found else None

    def tables_from(self, prefix: str, most: int) -> Iterator[str]:
        """Yield at most `most` tables that begin with a prefix, in any case."""
        start = bisect.bisect_left(self.folded, prefix.lower())
        for at in range(start, min(start + most, len(self.folded))):
            if not self.folded[at].startswith(prefix.lower()):
                return
            yield self.tables[at]

    def tables_like(self, written: str, most: int) -> Iterator[str]:
        """Yield at most `most` tables that match a text, the likeliest first; see `alike`."""
        folded = written.lower()
        given = dict.fromkeys(self.tables_from(written, most))
        yield from given
        for name in chain(self._holding(folded), self._scattered(folded)):
            if len(given) >= most:
                return
            if name not in given:
                given[name] = None
                yield name

    def _holding(self, folded: str) -> Iterator[str]:
        at = self.lines.find(folded) if len(folded) >= HELD_INSIDE else -1
        while at >= 0:
            place = bisect.bisect_right(self.starts, at) - 1
            yield self.tables[place]
            at = self.lines.find(folded, self.starts[place + 1])

    def _scattered(self, folded: str) -> Iterator[str]:
        if len(folded) >= HELD_SCATTERED:
            fits = re.compile(_scattered(folded)).match
            yield from (name for name, lower in zip(self.tables, self.folded, strict=True) if fits(lower))


def load_names(directory: str, cluster: str, schema: str) -> SchemaNames:
    """Return the stored names of a schema; empty when there are none or they cannot be read.

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
    names.columns, names.keys = dict(stored.columns), dict(stored.keys)
    names.schema, names.schemas, names.elsewhere = schema, stored.schemas, dict(stored.elsewhere)
    names.variables = stored.variables
    names.set_tables(stored.tables)
    return names


def save_names(directory: str, cluster: str, schema: str, names: SchemaNames) -> None:
    """Store a schema's names in a file that only its owner can read, if there is a directory for it."""
    if not directory:
        return
    path = _path(directory, cluster, schema)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    text = msgspec.json.encode(
        _Stored(
            servers=names.servers,
            tables=tuple(names.tables),
            columns=names.columns,
            keys=names.keys,
            schemas=names.schemas,
            variables=names.variables,
            elsewhere=names.elsewhere,
        )
    )
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
