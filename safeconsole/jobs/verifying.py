"""
Holds estimates to the tables themselves, for the few that matter: by keyed lookups, and by tablespaces where one may.

Two witnesses. The table's own row of information_schema, by schema and name: it opens that one table, and its free
space is read from the file. The tablespace's size on disk: one statement for all, which makes a row for every
tablespace of the server, so that the policy decides, and the account needs PROCESS.
"""

from __future__ import annotations

from collections.abc import Iterable

from safeconsole.core.vocabulary import Flavour
from safeconsole.jobs.asking import Asker
from safeconsole.jobs.conduct import Conduct, Progress
from safeconsole.jobs.pace import Pace
from safeconsole.jobs.sizes import PARTITION, TableSize
from safeconsole.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """
    One table, held to a witness.

    Attributes:
        size: the estimate.
        found_bytes: what the witness says, data, indexes and free space; None when it says nothing.
        witness: "tablespace", "table" or "".
        note: why there is no witness, or what it said beside the size.
    """

    size: TableSize
    found_bytes: int | None
    witness: str
    note: str = ""

    @property
    def error(self) -> float | None:
        """How far the estimate is off, as a part of what was found: 0.05 is 5 % too large."""
        if not self.found_bytes:
            return None
        return (self.size.total_bytes - self.found_bytes) / self.found_bytes


def verify(asker: Asker, conduct: Conduct, sizes: list[TableSize]) -> tuple[list[Verified], str]:
    """
    Hold a few tables to witnesses.

    Returns:
        One value a table, in order; and why tablespaces were not asked, or "".

    Raises:
        SafeConsoleError: a lookup was lost, or no node is fit for it.
    """
    if asker.flavour is Flavour.SQLITE:
        why = "this engine has no size of a table short of reading its pages"
        return [Verified(size=size, found_bytes=None, witness="", note=why) for size in sizes], why
    on_disk, refused = _tablespaces(asker, sizes)
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


def _tablespaces(asker: Asker, sizes: list[TableSize]) -> tuple[dict[tuple[str, str], int], str]:
    """Return the bytes on disk of tables that have a tablespace of their own, partitions added up."""
    if not sizes:
        return {}, ""
    view = "innodb_sys_tablespaces" if asker.flavour is Flavour.MARIADB else "innodb_tablespaces"
    conditions = " OR ".join(_names_of(asker, size) for size in sizes)
    rows, refused = asker.ask_if_allowed(
        f"SELECT name, file_size FROM information_schema.{view} WHERE {conditions} LIMIT 10000"  # noqa: S608
    )
    found: dict[tuple[str, str], int] = {}
    for name, count in rows:
        key = _table_of(str(name), sizes)
        if key is not None:
            found[key] = found.get(key, 0) + int(count)
    return found, refused


def _names_of(asker: Asker, size: TableSize) -> str:
    path = f"{filename_of(size.schema)}/{filename_of(size.name)}"
    if not size.partitions:
        return f"name = {asker.literal(path)}"
    return f"LEFT(name, {len(path) + 3}) IN ({asker.literal(path + '#p#')}, {asker.literal(path + '#P#')})"


def _table_of(name: str, sizes: Iterable[TableSize]) -> tuple[str, str] | None:
    path = PARTITION.split(name, maxsplit=1)[0]
    return next((s.key for s in sizes if f"{filename_of(s.schema)}/{filename_of(s.name)}" == path), None)


def filename_of(name: str) -> str:
    """
    Return a name as the server writes it in file names: what is no ASCII letter, digit or `_` is `@` and its code.

    Source: MySQL 9.7 manual, "Mapping of Identifiers to File Names"; letters that it maps to shorter codes are not
    found by this, and are verified by the table itself.
    """
    return "".join(
        character if character.isascii() and (character.isalnum() or character == "_") else f"@{ord(character):04x}"
        for character in name
    )


def _by_table(asker: Asker, conduct: Conduct, size: TableSize, number: int) -> Verified:
    sql = (
        "SELECT engine, data_length, index_length, data_free FROM information_schema.tables"  # noqa: S608
        f" WHERE table_schema = {asker.literal(size.schema)} AND table_name = {asker.literal(size.name)}"
    )
    rows, refused = conduct.once_fit(asker.gate, number, lambda: asker.ask_if_allowed(sql))
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
