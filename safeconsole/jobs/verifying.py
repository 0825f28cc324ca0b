"""
Holds estimates to the tables themselves, for the few that matter: by keyed lookups, and by tablespaces where one may.

Two witnesses. The tablespace's size on disk, where the account may see it (`tablespaces`). Else the table's own row of
information_schema, by schema and name: it opens that one table, and its free space is read from the file.
"""

from __future__ import annotations

import msgspec

from safeconsole.core.vocabulary import Flavour
from safeconsole.jobs.asking import Asker
from safeconsole.jobs.conduct import Conduct, Progress
from safeconsole.jobs.pace import Pace
from safeconsole.jobs.sizes import LEFT_ALONE, TableSize, is_in_the_making
from safeconsole.jobs.tablespaces import bytes_on_disk


class Verified(msgspec.Struct, frozen=True, kw_only=True):
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
        return (self.estimated_bytes - self.found_bytes) / self.found_bytes

    @property
    def estimated_bytes(self) -> int:
        """What is held to the witness: the file to a tablespace, the pages to a table's own row."""
        is_of_file = self.witness == "tablespace" and self.size.file_bytes
        return self.size.file_bytes if is_of_file else self.size.total_bytes


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
