"""What the sizes of tables are made of: one value a table, partitions folded, totals and the largest."""

from __future__ import annotations

import fnmatch
import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec
from msgspec.structs import replace

PARTITION = re.compile(r"#p#", re.IGNORECASE)
"""
What stands between a table's name and its partition's in the statistics.

Source: MySQL 9.7 and MariaDB 10.11, measured: `t#p#p0`, `t#P#p0`, with `#sp#` before a subpartition.
"""


_IN_THE_MAKING = ("#sql", "#mysql50#")

LEFT_ALONE = "the copy of an ALTER TABLE: a look at it could disturb the one that makes it"
"""Why a table that `is_in_the_making` was not looked at."""


def is_in_the_making(name: str) -> bool:
    """
    Whether a table is the server's own copy for an ALTER TABLE, which MUST NOT be looked up by its name.

    Source: MariaDB 10.11.18, measured: one lookup of `#mysql50##sql-alter-…` in information_schema.tables while the
    ALTER TABLE waits, and the table that it altered can be neither dropped nor altered afterwards (1205).
    """
    return name.startswith(_IN_THE_MAKING)


class TableSize(msgspec.Struct, frozen=True, kw_only=True):
    """
    One table.

    Attributes:
        schema, name: as the server's statistics spell them; a partition's own name before folding.
        rows: an estimate, >= 0.
        data_bytes: rows with their primary key, an estimate, >= 0.
        index_bytes: the other indexes, an estimate, >= 0.
        file_bytes: what its files should take on disk, free space in them included; 0 where nothing says.
        updated: when the estimate was made, in the server's time, "YYYY-MM-DD hh:mm:ss", or "".
        partitions: how many were folded into it, 0 for a table without.
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
        """Data and indexes together."""
        return self.data_bytes + self.index_bytes

    @property
    def key(self) -> tuple[str, str]:
        """What it is found by."""
        return self.schema, self.name

    @property
    def label(self) -> str:
        """How it is shown."""
        return f"{self.schema}.{self.name}"


def folded(sizes: Iterable[TableSize]) -> Iterator[TableSize]:
    """Yield tables, partitions added up; those of one table MUST follow each other, as sorted names do."""
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
    """Return the `most` largest, largest first, all of them when `most` is 0; holds no more than it returns."""
    if most == 0:
        return sorted(sizes, key=_by_size)
    return heapq.nsmallest(most, sizes, key=_by_size)


def _by_size(size: TableSize) -> tuple[int, str, str]:
    return -size.total_bytes, size.schema, size.name


class Named(Protocol):
    """What has the name of a table."""

    @property
    def name(self) -> str:
        """The table's own name."""
        ...

    @property
    def label(self) -> str:
        """Schema and name."""
        ...


def matching(pattern: str) -> Callable[[Named], bool]:
    """Return whether a table fits a shell pattern: `orders_*` for the name, `shop*.orders_*` with the schema."""
    fits = re.compile(fnmatch.translate(pattern)).match
    with_schema = "." in pattern
    return lambda table: fits(table.label if with_schema else table.name) is not None


class SchemaSize(msgspec.Struct, kw_only=True):
    """
    All tables of one schema.

    Attributes:
        tables: how many.
        rows, data_bytes, index_bytes, file_bytes: their sums, estimates.
        oldest: when the oldest of their estimates was made, or "".
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
        """Data and indexes together."""
        return self.data_bytes + self.index_bytes

    def add(self, size: TableSize) -> None:
        """Count one more table."""
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
