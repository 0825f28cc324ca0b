"""
Tables that the statistics do not show: names of one schema at a time beside the report, then a few lookups.

The names alone open no table: they come from the dictionary, or from the directory of the schema. What a name is, and
how large, is looked up by schema and name, which opens that one table. Source: MySQL 9.7 and MariaDB 10.11, measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from itertools import groupby

import msgspec
from msgspec.structs import replace

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.vocabulary import Flavour
from safeconsole.jobs import statistics
from safeconsole.jobs.asking import Asker
from safeconsole.jobs.conduct import Conduct, Progress
from safeconsole.jobs.pace import Pace, pressure_of
from safeconsole.jobs.reports import Report
from safeconsole.jobs.sizes import Named

LOOKED_AT = 200
"""Names that are looked up; of the others only the names are told."""

MOST_NAMES = 10_000
"""Names of one schema that are read; of a schema with more the first so many."""


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """
    One table without statistics.

    Attributes:
        schema, name: as the server spells them.
        engine: its storage engine, "" where it was not looked up.
        found_bytes: data and indexes by its own row, or None where nobody looked or nothing says.
        why: what keeps it out of the statistics, one line.
    """

    schema: str
    name: str
    engine: str = ""
    found_bytes: int | None = None
    why: str = ""

    @property
    def label(self) -> str:
        """How it is shown."""
        return f"{self.schema}.{self.name}"


def unseen_tables(
    asker: Asker, conduct: Conduct, report: Report, *, schema: str = "", wanted: Callable[[Named], bool]
) -> tuple[list[Unseen], list[str]]:
    """
    Find the tables that a report does not hold, in the schemas that the account sees.

    Args:
        schema: the only schema wanted, "" for all but the server's own.
        wanted: which names are.

    Returns:
        The tables, those looked up first, the largest before the others; and what was not looked at, one line each.

    Raises:
        ConfigurationError: the engine keeps no statistics that a table could be missing from.
        SafeConsoleError: a statement was refused, stopped or lost, or no node is fit for it.
    """
    if asker.flavour is Flavour.SQLITE:
        raise ConfigurationError("this engine keeps no statistics: every table is in the report")
    pace, notes = Pace(), []
    visible = [schema] if schema else _schemas(asker, conduct, pace)
    found: list[Unseen] = []
    looked_at = 0
    for number, (each, known) in enumerate(_with_known(report, visible), start=1):
        names = _names(asker, conduct, pace, each)
        if len(names) == MOST_NAMES:
            notes.append(f"{each} has {MOST_NAMES:,} names or more: the rest of them was not read")
        # Views of MariaDB are among them until they are looked up.
        for named in filter(wanted, (Unseen(schema=each, name=name) for name in names if name not in known)):
            looked_at += 1
            if looked_at > LOOKED_AT:
                found.append(replace(named, why="not looked at: it may be a view"))
            elif (looked := _looked_up(asker, conduct, pace, named)) is not None:
                found.append(looked)
        conduct.watcher.show(Progress(done=number, expected=len(visible)))
    if looked_at > LOOKED_AT:
        notes.append(f"{looked_at - LOOKED_AT} of them were not looked at, beyond the first {LOOKED_AT}")
    if not schema:
        notes.append("schemas that the account may not see, and the server's own, were not looked at")
    found.sort(key=lambda each: (each.found_bytes is None, -(each.found_bytes or 0), each.schema, each.name))
    return found, notes


def _with_known(report: Report, visible: list[str]) -> Iterator[tuple[str, AbstractSet[str]]]:
    """Yield each schema with the names that the report holds of it; one schema's names are held at a time."""
    left = set(visible)
    for schema, sizes in groupby(report.tables(), key=lambda size: size.schema):
        if schema in left:
            left.discard(schema)
            yield schema, {size.name for size in sizes}
    for schema in sorted(left):
        yield schema, frozenset()


def _paced(asker: Asker, conduct: Conduct, pace: Pace, sql: str) -> list[tuple[object, ...]]:
    started = asker.seconds()
    told = conduct.once_fit(asker.gate, 0, lambda: asker.ask(sql))
    conduct.rest(pace.rest_seconds(asker.seconds() - started, pressure_of(told.considered, asker.gate.policy.gates)))
    return [tuple(row) for row in told.rows]


def _schemas(asker: Asker, conduct: Conduct, pace: Pace) -> list[str]:
    sql = f"SELECT schema_name FROM information_schema.schemata LIMIT {MOST_NAMES}"  # noqa: S608 (a number)
    rows = _paced(asker, conduct, pace, sql)
    return sorted({str(row[0]) for row in rows if str(row[0]).lower() not in statistics.OWN_SCHEMAS})


def _names(asker: Asker, conduct: Conduct, pace: Pace, schema: str) -> list[str]:
    # What a name is costs nothing on MySQL; on MariaDB it reads the definition of every table of the schema.
    tables_only = "" if asker.flavour is Flavour.MARIADB else " AND table_type = 'BASE TABLE'"
    rows = _paced(
        asker,
        conduct,
        pace,
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = {asker.literal(schema)}{tables_only}"  # noqa: S608
        f" LIMIT {MOST_NAMES}",
    )
    return [str(row[0]) for row in rows]


def _looked_up(asker: Asker, conduct: Conduct, pace: Pace, named: Unseen) -> Unseen | None:
    """Return what a name turned out to be; None for what is no table."""
    rows = _paced(
        asker,
        conduct,
        pace,
        "SELECT table_type, engine, create_options, data_length, index_length FROM information_schema.tables"  # noqa: S608
        f" WHERE table_schema = {asker.literal(named.schema)} AND table_name = {asker.literal(named.name)}",
    )
    if not rows:
        # It went between the two looks.
        return None
    kind, engine, options, data, index = rows[0]
    if str(kind) not in {"BASE TABLE", "SYSTEM VERSIONED"}:
        return None
    return replace(
        named,
        engine=str(engine or ""),
        found_bytes=None if data is None else int(str(data)) + int(str(index or 0)),
        why=_reason(str(engine or ""), str(options or "")),
    )


def _reason(engine: str, options: str) -> str:
    if not engine:
        return "its engine does not say what it is, or it is broken"
    if engine.lower() != "innodb":
        return f"{engine} keeps no such statistics"
    if "stats_persistent=0" in options.lower():
        return "STATS_PERSISTENT=0: its statistics are not kept"
    return "its statistics were not made yet, or innodb_stats_persistent is off"
