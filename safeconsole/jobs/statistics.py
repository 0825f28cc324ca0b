"""
Pages of `mysql.innodb_table_stats`: the persistent statistics of InnoDB, a plain table with one row a table.

Reading it opens no other table. Source: MySQL 9.7, 8.0 and MariaDB 10.11, measured: 50,000 rows cost 2 to 5 MB and
0.4 s even unpaged. What stands there is an estimate, made again when about a tenth of a table has changed.
"""

from __future__ import annotations

from safeconsole.interfaces import Row
from safeconsole.jobs.asking import Asker
from safeconsole.jobs.sizes import TableSize

TABLE = "mysql.innodb_table_stats"
PAGE_TABLES = 500
"""
Tables a page: a few leaves of the statistics' primary key, and two to three milliseconds of a server's processor.

Source: MySQL 9.7 and MariaDB 10.11, measured over 20,000 tables: 0.14 and 0.19 s of the server's processor by pages of
200, 0.07 and 0.09 s by pages of 500: what stands around a page costs as much as 500 rows.
"""

_EXTENT_BYTES = 1024 * 1024
_BOOKKEEPING_BYTES = 80 * 1024
_SPARE_BYTES, _SPARE_PART = 7.5 * _EXTENT_BYTES, 0.015

OWN_SCHEMAS = frozenset({"mysql", "sys", "information_schema", "performance_schema"})
"""Schemas of the server's own; they are read like any other, and told apart when shown."""

CAVEATS = (
    "tables of other engines than InnoDB, or with STATS_PERSISTENT=0, are not counted: --unseen names them",
    "a dropped table can still be counted, since its statistics can outlive it: --verify looks at the tables",
    "ROW_FORMAT=COMPRESSED tables are counted uncompressed, so they look larger than on disk",
    "files are reckoned from the pages: one that lost many rows is larger; undo, redo and binary logs are not counted",
)
"""What the statistics cannot show, one line each."""


def file_bytes_of(pages_bytes: int) -> int:
    """
    Return what the file of a table, or of one partition, should take on disk.

    From one extent of 1 MiB on InnoDB keeps whole extents free in every file, two and a part of the file, and adds four
    at a time. Source: MySQL 9.7.4 and MariaDB 10.11.18, 96 tables of 0.1 to 240 MB measured, by ascending, random and
    secondary keys: 64 to 80 KB beside the pages of those below an extent, 7.2 to 8.0 MB up to 10 MB, 7.9 to 12.7 MB up
    to 240 MB; off by 6 % at most from 1 MB on. A table that lost many rows has more, one of compressed pages less.

    Args:
        pages_bytes: its pages and those of its indexes, >= 0.
    """
    if pages_bytes < _EXTENT_BYTES:
        return pages_bytes + _BOOKKEEPING_BYTES
    return round(pages_bytes * (1 + _SPARE_PART) + _SPARE_BYTES)


def start_sql() -> str:
    """Return what asks for the size of a page in bytes and the server's time."""
    return "SELECT @@innodb_page_size, NOW()"


def page_sql(asker: Asker, *, schema: str, after: tuple[str, str], most: int = PAGE_TABLES) -> str:
    """
    Return what reads the next page by primary key.

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
    """Return a row of the statistics as a size."""
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
    """Return what reads the pages of each index of one table, and of each of its partitions, by primary key."""
    # `$` is the character after `#`: the range holds `t#p#…` and `t#P#…` and nothing longer named.
    upper = asker.literal(name + "$")
    return (
        "SELECT index_name, table_name, stat_value FROM mysql.innodb_index_stats"  # noqa: S608
        f" WHERE database_name = {asker.literal(schema)} AND table_name >= {asker.literal(name)}"
        f" AND table_name < {upper} AND stat_name = 'size' LIMIT 10000"
    )


def partitions_sql(asker: Asker, schema: str, name: str, most: int) -> str:
    """Return what reads the names of one table's partitions, `most` of them, by primary key."""
    return (
        f"SELECT table_name FROM {TABLE} WHERE database_name = {asker.literal(schema)}"  # noqa: S608
        f" AND table_name >= {asker.literal(name + '#')} AND table_name < {asker.literal(name + '$')} LIMIT {most}"
    )
