"""Sizes of tablespaces on disk for a few tables, and estimates checked against them. The account needs PROCESS.

From MySQL 8 on, information_schema.files finds one tablespace by name and opens no table. Source: MySQL 9.7, measured:
the plan is a lookup in `mysql.tablespaces` by its unique name. It knows the size of open tables; a large table that is
not open is opened, alone, and looked up again. Earlier, and on MariaDB, one view makes a row for every tablespace
whatever the filter: it is asked once for all, if the policy allows it.

Where the tablespace is not visible, a table's own row of information_schema is the witness: reading it by schema and
name opens that one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from safeconsole.capacity import sizes as statistics
from safeconsole.capacity.asking import Asker, Conduct, Pace, Progress, pressure_of
from safeconsole.capacity.sizes import LEFT_ALONE, PARTITION, TableSize, is_in_the_making

# From MySQL 8 on, information_schema.files finds one tablespace by its name and opens no table. Source: MySQL 9.7,
# measured: the plan is a lookup in `mysql.tablespaces` by its unique name. It knows the size of those that are open;
# a large table that is not is opened, alone, and looked up again. Before, and on MariaDB, there is one view that
# makes a row for every tablespace whatever the filter: it is asked once for all, and the policy says whether at all.


MOST_PARTITIONS = 64
"""Partitions of one table that are looked up; a table with more is compared with its own row."""

EXTENT_BYTES = 1024 * 1024
"""The unit of information_schema.files: a smaller file has no size there."""


def bytes_on_disk(asker: Asker, conduct: Conduct, sizes: list[TableSize]) -> tuple[dict[tuple[str, str], int], str]:
    """Return the bytes on disk of tables with tablespaces of their own, by schema and name, partitions added up.

    Files below one extent of 1 MiB are left out where the server does not tell their size. The second value is why
    tablespaces were not asked for, or "". Raises SafeConsoleError: a lookup was lost, or no node is fit for it.
    """
    if not sizes:
        return {}, ""
    if asker.rules().version < asker.dialect.dictionary_since:
        return _all_at_once(asker, sizes)
    return _one_by_one(asker, conduct, sizes)


def _one_by_one(asker: Asker, conduct: Conduct, sizes: list[TableSize]) -> tuple[dict[tuple[str, str], int], str]:
    found: dict[tuple[str, str], int] = {}
    pace = Pace()
    for size in sizes:
        parts = _parts_of(asker, conduct, size)
        held, refused = _held(asker, conduct, pace, size, parts)
        if not refused and not all(held) and size.total_bytes >= EXTENT_BYTES and _opened(asker, conduct, size):
            held, refused = _held(asker, conduct, pace, size, parts)
        if refused:
            return found, refused
        # One part that has no size makes a wrong sum.
        if held and all(held):
            found[size.key] = sum(held)
    return found, ""


def _held(asker: Asker, conduct: Conduct, pace: Pace, size: TableSize, parts: tuple[str, ...]) -> tuple[list[int], str]:
    held = []
    for part in parts:
        started = asker.seconds()
        count, refused = _by_name(asker, conduct, size.schema, part)
        if refused:
            return [], refused
        pressure = pressure_of(asker.last, asker.session.policy.gates) if asker.last else 0.0
        conduct.rest(pace.rest_seconds(asker.seconds() - started, pressure))
        held.append(count)
    return held, ""


def _opened(asker: Asker, conduct: Conduct, size: TableSize) -> bool:
    """Have the server open one table's file by reading one row; return whether it did.

    Source: MySQL 9.7, measured: of a tablespace that was not read since the start information_schema.files says 0
    extents; neither the table's row in information_schema.tables nor LIMIT 0 changes that.
    """
    sql = f"SELECT 1 FROM {asker.name(*size.key)} LIMIT 1"  # noqa: S608
    _, refused = conduct.once_fit(asker.session, 0, lambda: asker.ask_if_allowed(sql))
    return not refused


def _parts_of(asker: Asker, conduct: Conduct, size: TableSize) -> tuple[str, ...]:
    # A slash in a name could mean another schema's table.
    if "/" in size.schema + size.name or size.partitions > MOST_PARTITIONS or is_in_the_making(size.name):
        return ()
    if not size.partitions:
        return (size.name,)
    sql = statistics.partitions_sql(asker, size.schema, size.name, MOST_PARTITIONS + 1)
    rows = conduct.once_fit(asker.session, 0, lambda: asker.ask(sql)).rows
    parts = tuple(str(row[0]) for row in rows if PARTITION.split(str(row[0]), maxsplit=1)[0] == size.name)
    return parts if len(parts) <= MOST_PARTITIONS else ()


def _by_name(asker: Asker, conduct: Conduct, schema: str, name: str) -> tuple[int, str]:
    for spelt in _spellings(schema, name):
        sql = (
            "SELECT total_extents * extent_size FROM information_schema.files"  # noqa: S608
            f" WHERE tablespace_name = {asker.literal(spelt)}"
        )
        rows, refused = conduct.once_fit(asker.session, 0, partial(asker.ask_if_allowed, sql))
        if rows or refused:
            return sum(int(row[0] or 0) for row in rows), refused
    return 0, ""


def _spellings(schema: str, name: str) -> Iterator[str]:
    plain, encoded = f"{schema}/{name}", f"{filename_of(schema)}/{_parts_encoded(name)}"
    yield plain
    if encoded != plain:
        yield encoded


def _parts_encoded(name: str) -> str:
    base, *rest = PARTITION.split(name, maxsplit=1)
    return filename_of(base) + "".join(f"#p#{part}" for part in rest)


def _all_at_once(asker: Asker, sizes: list[TableSize]) -> tuple[dict[tuple[str, str], int], str]:
    view = "innodb_sys_tablespaces"
    conditions = " OR ".join(_condition(asker, size) for size in sizes)
    rows, refused = asker.ask_if_allowed(
        f"SELECT name, file_size FROM information_schema.{view} WHERE {conditions} LIMIT 10000"  # noqa: S608
    )
    found: dict[tuple[str, str], int] = {}
    for name, count in rows:
        key = _table_of(str(name), sizes)
        if key is not None:
            found[key] = found.get(key, 0) + int(count)
    return found, refused


def _condition(asker: Asker, size: TableSize) -> str:
    path = f"{filename_of(size.schema)}/{filename_of(size.name)}"
    if not size.partitions:
        return f"name = {asker.literal(path)}"
    return f"LEFT(name, {len(path) + 3}) IN ({asker.literal(path + '#p#')}, {asker.literal(path + '#P#')})"


def _table_of(name: str, sizes: Iterable[TableSize]) -> tuple[str, str] | None:
    path = PARTITION.split(name, maxsplit=1)[0]
    return next((s.key for s in sizes if f"{filename_of(s.schema)}/{filename_of(s.name)}" == path), None)


def filename_of(name: str) -> str:
    """Return a name as in the server's file names: anything but ASCII letters, digits and `_` is `@` and its code.

    Source: MySQL 9.7 manual, "Mapping of Identifiers to File Names"; letters that it maps to shorter codes are not
    found by this, and are verified by the table itself.
    """
    return "".join(
        character if character.isascii() and (character.isalnum() or character == "_") else f"@{ord(character):04x}"
        for character in name
    )


# Two witnesses. The tablespace's size on disk, where the account may see it (`tablespaces`). Else the table's own row
# of information_schema, by schema and name: it opens that one table, and its free space is read from the file.


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """One table, compared with a second source.

    Attributes:
        found_bytes: data, indexes and free space by that source; None if it says nothing.
        witness: "tablespace", "table" or "".
        note: why there is no second source, or what it said beside the size.
    """

    size: TableSize
    found_bytes: int | None
    witness: str
    note: str = ""

    @property
    def error(self) -> float | None:
        """Relative error of the estimate: 0.05 is 5 % too large."""
        if not self.found_bytes:
            return None
        return (self.estimated_bytes - self.found_bytes) / self.found_bytes

    @property
    def estimated_bytes(self) -> int:
        """What is compared: the file with a tablespace, the pages with a table's own row."""
        is_of_file = self.witness == "tablespace" and self.size.file_bytes
        return self.size.file_bytes if is_of_file else self.size.total_bytes


def verify(asker: Asker, conduct: Conduct, sizes: list[TableSize]) -> tuple[list[Verified], str]:
    """Compare a few tables with a second source, in order; the second value is why tablespaces were not asked, or "".

    Raises SafeConsoleError: a lookup was lost, or no node is fit for it.
    """
    if not asker.dialect.has_statistics:
        why = "this engine has no table size without reading its pages"
        return [Verified(size=size, found_bytes=None, witness="", note=why) for size in sizes], why
    on_disk, refused = bytes_on_disk(asker, conduct, sizes)
    verified, pace = [], Pace()
    for number, size in enumerate(sizes, start=1):
        if size.key in on_disk:
            verified.append(Verified(size=size, found_bytes=on_disk[size.key], witness="tablespace"))
            continue
        started = asker.seconds()
        verified.append(_by_table(asker, conduct, size, number))
        conduct.watcher.show(Progress(done=number, expected=len(sizes)))
        conduct.rest(pace.rest_seconds(asker.seconds() - started, 0.0))
    return verified, refused


def _by_table(asker: Asker, conduct: Conduct, size: TableSize, number: int) -> Verified:
    if is_in_the_making(size.name):
        return Verified(size=size, found_bytes=None, witness="", note=LEFT_ALONE)
    sql = (
        "SELECT engine, data_length, index_length, data_free FROM information_schema.tables"  # noqa: S608
        f" WHERE table_schema = {asker.literal(size.schema)} AND table_name = {asker.literal(size.name)}"
    )
    rows, refused = conduct.once_fit(asker.session, number, lambda: asker.ask_if_allowed(sql))
    if refused:
        return Verified(size=size, found_bytes=None, witness="", note=refused)
    if not rows:
        gone = "not there, or the account may not see it: its statistics can outlive a table"
        return Verified(size=size, found_bytes=None, witness="", note=gone)
    engine, data, index, free = rows[0]
    if data is None:
        return Verified(size=size, found_bytes=None, witness="", note=f"{engine or 'a view'}: it has no size")
    # The free space of a shared tablespace is no table's.
    own_free = int(free or 0) if int(free or 0) <= int(data) + int(index or 0) else 0
    return Verified(size=size, found_bytes=int(data) + int(index or 0) + own_free, witness="table")
