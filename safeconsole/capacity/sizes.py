"""Sizes of tables from the persistent statistics of InnoDB, `mysql.innodb_table_stats`, read page by page.

Reading it opens no other table. Source: MySQL 9.7, 8.0 and MariaDB 10.11, measured: 50,000 rows cost 2 to 5 MB and
0.4 s even without pages. The figures are estimates, renewed when about a tenth of a table has changed.
"""

from __future__ import annotations

import fnmatch
import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec
from msgspec.structs import replace

from safeconsole.capacity.asking import Asker
from safeconsole.cluster.engine import Row

PARTITION = re.compile(r"#p#", re.IGNORECASE)
"""The separator between a table's name and its partition's in the statistics.

Source: MySQL 9.7 and MariaDB 10.11, measured: `t#p#p0`, `t#P#p0`, with `#sp#` before a subpartition.
"""


_IN_THE_MAKING = ("#sql", "#mysql50#")

LEFT_ALONE = "a copy made by a running ALTER TABLE: reading it could disturb that statement"
"""Why a table that `is_in_the_making` was not looked up."""


def is_in_the_making(name: str) -> bool:
    """Whether a table is the server's own copy for an ALTER TABLE, which MUST NOT be looked up by its name.

    Source: MariaDB 10.11.18, measured: after one lookup of `#mysql50##sql-alter-…` in information_schema.tables while
    the ALTER TABLE waits, the altered table can be neither dropped nor altered (1205).
    """
    return name.startswith(_IN_THE_MAKING)


class TableSize(msgspec.Struct, frozen=True, kw_only=True):
    """One table.

    Attributes:
        schema, name: as the server's statistics spell them; a partition's own name before folding.
        rows: an estimate, >= 0.
        data_bytes: rows with their primary key, an estimate, >= 0.
        index_bytes: the other indexes, an estimate, >= 0.
        file_bytes: expected size of its files, free space included; 0 if unknown.
        updated: when the estimate was made, in the server's time, "YYYY-MM-DD hh:mm:ss", or "".
        partitions: how many were added up, 0 for a table without.
    """

    schema: str
    name: str
    rows: int
    data_bytes: int
    index_bytes: int
    file_bytes: int = 0
    updated: str = ""
    partitions: int = 0

    @property
    def total_bytes(self) -> int:
        return self.data_bytes + self.index_bytes

    @property
    def key(self) -> tuple[str, str]:
        return self.schema, self.name

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


def folded(sizes: Iterable[TableSize]) -> Iterator[TableSize]:
    """Yield tables, partitions added up; those of one table MUST be adjacent, as in sorted names."""
    held: TableSize | None = None
    for size in sizes:
        base = PARTITION.split(size.name, maxsplit=1)[0]
        part = replace(size, name=base, partitions=1) if base and base != size.name else size
        if held is not None and part.partitions and held.partitions and held.key == part.key:
            held = _added(held, part)
            continue
        if held is not None:
            yield held
        held = part
    if held is not None:
        yield held


def _added(left: TableSize, right: TableSize) -> TableSize:
    return replace(
        left,
        rows=left.rows + right.rows,
        data_bytes=left.data_bytes + right.data_bytes,
        index_bytes=left.index_bytes + right.index_bytes,
        file_bytes=left.file_bytes + right.file_bytes,
        # The figure is as old as its oldest part.
        updated=min(left.updated, right.updated),
        partitions=left.partitions + right.partitions,
    )


def largest(sizes: Iterable[TableSize], most: int) -> list[TableSize]:
    """Return the `most` largest, largest first, or all when `most` is 0; holds no more than it returns."""
    if most == 0:
        return sorted(sizes, key=_by_size)
    return heapq.nsmallest(most, sizes, key=_by_size)


def _by_size(size: TableSize) -> tuple[int, str, str]:
    return -size.total_bytes, size.schema, size.name


class Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...


def matching(pattern: str) -> Callable[[Named], bool]:
    """Return a filter by a shell pattern: `orders_*` for the name, `shop*.orders_*` with the schema."""
    fits = re.compile(fnmatch.translate(pattern)).match
    with_schema = "." in pattern
    return lambda table: fits(table.label if with_schema else table.name) is not None


class SchemaSize(msgspec.Struct, kw_only=True):
    """Sums over one schema.

    Attributes:
        oldest: when the oldest of the estimates was made, or "".
    """

    schema: str
    tables: int = 0
    rows: int = 0
    data_bytes: int = 0
    index_bytes: int = 0
    file_bytes: int = 0
    oldest: str = ""

    @property
    def total_bytes(self) -> int:
        return self.data_bytes + self.index_bytes

    def add(self, size: TableSize) -> None:
        self.tables += 1
        self.rows += size.rows
        self.data_bytes += size.data_bytes
        self.index_bytes += size.index_bytes
        self.file_bytes += size.file_bytes
        self.oldest = min(filter(None, (self.oldest, size.updated)), default="")


def by_schema(sizes: Iterable[TableSize]) -> list[SchemaSize]:
    """Return the sums of each schema, largest first."""
    found: dict[str, SchemaSize] = {}
    for size in sizes:
        found.setdefault(size.schema, SchemaSize(schema=size.schema)).add(size)
    return sorted(found.values(), key=lambda each: (-each.total_bytes, each.schema))


# Reading it opens no other table. Source: MySQL 9.7, 8.0 and MariaDB 10.11, measured: 50,000 rows cost 2 to 5 MB and
# 0.4 s even unpaged. What stands there is an estimate, made again when about a tenth of a table has changed.


TABLE = "mysql.innodb_table_stats"
PAGE_TABLES = 500
"""Tables per page: a few leaves of the statistics' primary key, two to three milliseconds of server CPU.

Source: MySQL 9.7 and MariaDB 10.11, measured over 20,000 tables: 0.14 and 0.19 s of server CPU in pages of 200,
0.07 and 0.09 s in pages of 500: the overhead of a page equals 500 rows.
"""

_EXTENT_BYTES = 1024 * 1024
_BOOKKEEPING_BYTES = 80 * 1024
_SPARE_BYTES, _SPARE_PART = 7.5 * _EXTENT_BYTES, 0.015

OWN_SCHEMAS = frozenset({"mysql", "sys", "information_schema", "performance_schema"})
"""The server's own schemas; they are read like others, and shown apart."""

CAVEATS = (
    "tables of other engines than InnoDB, or with STATS_PERSISTENT=0, are not counted: --unseen names them",
    "a dropped table can still be counted, since its statistics can outlive it: --verify looks at the tables",
    "ROW_FORMAT=COMPRESSED tables are counted uncompressed, so they look larger than on disk",
    "file sizes are estimated from pages: a table that lost many rows has a larger file",
    "undo, redo and binary logs are not counted",
)
"""What the statistics cannot show, one line each."""


def file_bytes_of(pages_bytes: int) -> int:
    """Return the expected file size of a table or partition from the bytes (>= 0) of its pages and its indexes' pages.

    From one extent of 1 MiB on InnoDB keeps whole extents free in every file, two and a part of the file, and adds four
    at a time. Source: MySQL 9.7.4 and MariaDB 10.11.18, 96 tables of 0.1 to 240 MB measured, by ascending, random and
    secondary keys: 64 to 80 KB beside the pages of those below an extent, 7.2 to 8.0 MB up to 10 MB, 7.9 to 12.7 MB up
    to 240 MB; off by 6 % at most from 1 MB on, by 7.5 % where a replica filled it in several threads. A
    table that lost many rows has more, one of compressed pages less.
    """
    if pages_bytes < _EXTENT_BYTES:
        return pages_bytes + _BOOKKEEPING_BYTES
    return round(pages_bytes * (1 + _SPARE_PART) + _SPARE_BYTES)


def start_sql() -> str:
    """Return the query for the page size in bytes and the server's time."""
    return "SELECT @@innodb_page_size, NOW()"


def page_sql(asker: Asker, *, schema: str, after: tuple[str, str], most: int = PAGE_TABLES) -> str:
    """Return the query for the next page by primary key.

    Args:
        schema: the only schema wanted, "" for all.
        after: schema and name of the last table read, ("", "") at the beginning.
        most: tables wanted, > 0.
    """
    name = asker.literal(after[1])
    if schema:
        place = f"database_name = {asker.literal(schema)} AND table_name > {name}"
    else:
        # Spelt out: neither server uses an index for `(a, b) > (x, y)`. Source: MySQL 9.7 and MariaDB 10.11, EXPLAIN.
        past = asker.literal(after[0])
        place = f"(database_name = {past} AND table_name > {name}) OR database_name > {past}"
    return (
        "SELECT database_name, table_name, n_rows, clustered_index_size, sum_of_other_index_sizes, last_update"  # noqa: S608
        f" FROM {TABLE} WHERE {place} ORDER BY database_name, table_name LIMIT {most}"
    )


def size_of(row: Row, page_bytes: int) -> TableSize:
    schema, name, rows, data_pages, index_pages, updated = row
    return TableSize(
        schema=str(schema),
        name=str(name),
        rows=int(rows),
        data_bytes=int(data_pages) * page_bytes,
        index_bytes=int(index_pages) * page_bytes,
        updated=str(updated)[:19],
    )


def indexes_sql(asker: Asker, schema: str, name: str) -> str:
    """Return the query, by primary key, for the pages of each index of one table and its partitions."""
    # `$` is the character after `#`: the range holds `t#p#…` and `t#P#…` and nothing longer named.
    upper = asker.literal(name + "$")
    return (
        "SELECT index_name, table_name, stat_value FROM mysql.innodb_index_stats"  # noqa: S608
        f" WHERE database_name = {asker.literal(schema)} AND table_name >= {asker.literal(name)}"
        f" AND table_name < {upper} AND stat_name = 'size' LIMIT 10000"
    )


def partitions_sql(asker: Asker, schema: str, name: str, most: int) -> str:
    """Return the query, by primary key, for at most `most` partition names of one table."""
    return (
        f"SELECT table_name FROM {TABLE} WHERE database_name = {asker.literal(schema)}"  # noqa: S608
        f" AND table_name >= {asker.literal(name + '#')} AND table_name < {asker.literal(name + '$')} LIMIT {most}"
    )
