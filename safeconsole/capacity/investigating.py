"""Looks up what the statistics do not show: evidence about leftovers, and tables without statistics.

Each lookup opens one table at most, by schema and name. What the account may not see, or the policy does not let a job
ask, is noted in the evidence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from itertools import groupby

import msgspec
from msgspec.structs import replace

from safeconsole.capacity import sizes as statistics
from safeconsole.capacity.asking import Asker, Conduct, Pace, Progress, pressure_of
from safeconsole.capacity.leftovers import Evidence, Leftover, LeftoverPart, Suspect, judged, parsed, with_bases
from safeconsole.capacity.reports import Report
from safeconsole.capacity.sizes import LEFT_ALONE, Named, is_in_the_making
from safeconsole.cluster.engine import Row
from safeconsole.errors import ConfigurationError
from safeconsole.sqltext.dialect import Dialect

# Each opens one table at most, on any server of the family: schema and name are given by equality. What the account
# may not see, or the policy does not let a job ask, is noted in the evidence.


LOOKED_AT = 200
"""Suspects that are looked up, largest first; the others are judged by name and size alone."""

_LOG_ROWS = 3
"""gh-ost keeps heartbeat, state and throttle in its changelog's first rows. Source: gh-ost, go/logic/applier.go."""


class _Sight(msgspec.Struct, kw_only=True):
    """The account's visibility of triggers and statements, measured once."""

    processes: bool
    every_trigger: bool
    triggers_of: dict[str, bool] = msgspec.field(default_factory=dict)


def investigate(
    asker: Asker, conduct: Conduct, report: Report, suspects: list[Suspect], *, most: int = LOOKED_AT
) -> list[Leftover]:
    """Judge suspects, largest first, with lookups of at most `most` of them.

    Raises SafeConsoleError: a lookup was lost, or no node is fit for it.
    """
    known = with_bases(suspects, report.tables())
    looked_at = suspects[:most] if asker.dialect.has_statistics else []
    sight, pace = _sight(asker) if looked_at else None, Pace()
    for number, suspect in enumerate(looked_at, start=1):
        assert sight is not None
        started = asker.seconds()
        known[suspect.size.key] = _looked(asker, conduct, suspect, known[suspect.size.key], sight)
        conduct.watcher.show(Progress(done=number, expected=len(looked_at)))
        pressure = pressure_of(asker.last, asker.session.policy.gates) if asker.last else 0.0
        conduct.rest(pace.rest_seconds(asker.seconds() - started, pressure))
    for suspect in suspects[len(looked_at) :]:
        known[suspect.size.key] = _by_sizes_alone(known[suspect.size.key], asker.dialect, most)
    _share_signs(suspects, known)
    return [judged(suspect, known[suspect.size.key], server_time(report)) for suspect in suspects]


def server_time(report: Report) -> dt.datetime:
    """Return the server's time when the report was begun; this computer's for an engine without one."""
    own = dt.datetime.fromisoformat(report.head.started).replace(tzinfo=None)
    return parsed(report.head.server_time) or own


def _by_sizes_alone(evidence: Evidence, dialect: Dialect, most: int) -> Evidence:
    if not dialect.has_statistics:
        # Every table is in the report, so that one which is not there is missing.
        no_times = "its last write: this engine does not record it"
        return replace(evidence, looked_at=True, base_exists=bool(evidence.base_exists), unseen=(no_times,))
    return replace(evidence, unseen=(f"not among the {most} largest, which were examined",))


def _sight(asker: Asker) -> _Sight:
    rows, _ = asker.ask_if_allowed(
        "SELECT privilege_type FROM information_schema.user_privileges"
        " WHERE privilege_type IN ('PROCESS', 'TRIGGER') LIMIT 10"
    )
    held = {str(row[0]) for row in rows}
    return _Sight(processes="PROCESS" in held, every_trigger="TRIGGER" in held)


def _looked(asker: Asker, conduct: Conduct, suspect: Suspect, evidence: Evidence, sight: _Sight) -> Evidence:
    def look() -> Evidence:
        found = _look_at_tables(asker, suspect, evidence)
        found = _look_at_triggers(asker, suspect, found, sight)
        found = _look_at_log(asker, suspect, found)
        return _look_at_processes(asker, suspect, found, sight)

    return conduct.once_fit(asker.session, 0, look)


def _look_at_tables(asker: Asker, suspect: Suspect, evidence: Evidence) -> Evidence:
    schema, name = suspect.size.key
    if is_in_the_making(name):
        return replace(evidence, unseen=(*evidence.unseen, f"the table itself: {LEFT_ALONE}"))
    rows, refused = asker.ask_if_allowed(_lookup(asker, "create_time, update_time", schema, name))
    if not rows:
        why = refused or "the account may not see it, or it is gone and its statistics are still there"
        return replace(evidence, unseen=(*evidence.unseen, f"the table itself: {why}"))
    found = replace(evidence, looked_at=True, created=_time(rows[0][0]), written=_time(rows[0][1]))
    if not suspect.base or evidence.base_exists:
        return found
    # The account sees the suspect, so that it would see a table beside it.
    rows, refused = asker.ask_if_allowed(_lookup(asker, "table_name", schema, suspect.base))
    return found if refused else replace(found, base_exists=bool(rows))


def _lookup(asker: Asker, columns: str, schema: str, name: str) -> str:
    return (
        f"SELECT {columns} FROM information_schema.tables"  # noqa: S608
        f" WHERE table_schema = {asker.literal(schema)} AND table_name = {asker.literal(name)}"
    )


def _look_at_triggers(asker: Asker, suspect: Suspect, evidence: Evidence, sight: _Sight) -> Evidence:
    schema, base = suspect.size.schema, suspect.base
    if not suspect.pattern.triggers or not base:
        return evidence
    if not _sees_triggers(asker, schema, sight):
        return replace(evidence, unseen=(*evidence.unseen, "triggers: the account lacks TRIGGER on the schema"))
    like = asker.literal(base.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))
    rows, refused = asker.ask_if_allowed(f"SHOW TRIGGERS FROM {asker.name(schema)} LIKE {like}")
    if refused:
        return replace(evidence, unseen=(*evidence.unseen, f"triggers: {refused}"))
    # Names are cut at 64 characters, so a beginning is enough.
    tools = tuple(name.format(schema=schema, base=base)[:64] for name in suspect.pattern.triggers)
    there = tuple(str(row[0]) for row in rows if str(row[0]).startswith(tools))
    return replace(evidence, triggers=there)


def _sees_triggers(asker: Asker, schema: str, sight: _Sight) -> bool:
    if not sight.every_trigger and schema not in sight.triggers_of:
        rows, _ = asker.ask_if_allowed(
            "SELECT 1 FROM information_schema.schema_privileges"  # noqa: S608
            f" WHERE privilege_type = 'TRIGGER' AND table_schema = {asker.literal(schema)} LIMIT 1"
        )
        sight.triggers_of[schema] = bool(rows)
    return sight.every_trigger or sight.triggers_of[schema]


def _look_at_log(asker: Asker, suspect: Suspect, evidence: Evidence) -> Evidence:
    if suspect.pattern.tool != "gh-ost" or suspect.pattern.part is not LeftoverPart.LOG:
        return evidence
    log = asker.name(*suspect.size.key)
    rows, refused = asker.ask_if_allowed(
        f"SELECT last_update FROM {log} WHERE id <= {_LOG_ROWS} ORDER BY id LIMIT {_LOG_ROWS}"  # noqa: S608
    )
    if refused:
        return replace(evidence, unseen=(*evidence.unseen, f"changelog: {refused}"))
    beats = [beat for row in rows if (beat := _time(row[0])) is not None]
    return replace(evidence, changelog=max(beats, default=None))


def _look_at_processes(asker: Asker, suspect: Suspect, evidence: Evidence, sight: _Sight) -> Evidence:
    if not sight.processes:
        return replace(evidence, unseen=(*evidence.unseen, "running statements: the account lacks PROCESS"))
    name = suspect.size.name
    if "%" in name or "\\" in name:
        return replace(evidence, unseen=(*evidence.unseen, "running statements: its name cannot be matched exactly"))
    pattern = asker.literal(f"%{name}%")
    rows, refused = asker.ask_if_allowed(
        "SELECT COUNT(*) FROM information_schema.processlist"  # noqa: S608
        f" WHERE id <> CONNECTION_ID() AND info LIKE {pattern}"
    )
    if refused:
        return replace(evidence, unseen=(*evidence.unseen, f"running statements: {refused}"))
    return replace(evidence, statements=_count(rows))


def _share_signs(suspects: list[Suspect], known: dict[tuple[str, str], Evidence]) -> None:
    logs: dict[tuple[str, str, str], dt.datetime] = {}
    for suspect in suspects:
        beat = known[suspect.size.key].changelog
        if beat is not None:
            logs[suspect.size.schema, suspect.pattern.tool, suspect.base] = beat
    for suspect in suspects:
        group = (suspect.size.schema, suspect.pattern.tool, suspect.base)
        # The table as it was is made when the migration is over; the log's last beat is its age then, too.
        if group in logs:
            known[suspect.size.key] = replace(known[suspect.size.key], changelog=logs[group])


def _time(value: object) -> dt.datetime | None:
    return value if isinstance(value, dt.datetime) else parsed(str(value)) if isinstance(value, str) else None


def _count(rows: list[Row]) -> int:
    return int(rows[0][0]) if rows else 0


# The names alone open no table: they come from the dictionary, or from the directory of the schema. What a name is,
# and how large, is looked up by schema and name, which opens that one table. Source: MySQL 9.7 and MariaDB 10.11,
# measured.


UNSEEN_LOOKED_AT = 200
"""Names that are looked up; the others are only listed."""

MOST_NAMES = 10_000
"""Names read per schema."""


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """One table without statistics.

    Attributes:
        schema, name: as the server spells them.
        engine: its storage engine, "" where it was not looked up.
        found_bytes: data and indexes by its own row, None if unknown.
        why: why it has no statistics, one line.
    """

    schema: str
    name: str
    engine: str = ""
    found_bytes: int | None = None
    why: str = ""

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


def unseen_tables(
    asker: Asker, conduct: Conduct, report: Report, *, schema: str = "", wanted: Callable[[Named], bool]
) -> tuple[list[Unseen], list[str]]:
    """Find the tables that a report does not hold, in the schemas that the account sees.

    Args:
        schema: the only schema wanted, "" for all but the server's own.

    Returns:
        The tables, looked-up ones first and largest first; and what was not looked at, one line each.

    Raises:
        ConfigurationError: the engine keeps no statistics that a table could be missing from.
        SafeConsoleError: a statement was refused, stopped or lost, or no node is fit for it.
    """
    if not asker.dialect.has_statistics:
        raise ConfigurationError("this engine keeps no statistics: every table is in the report")
    pace, notes = Pace(), []
    visible = [schema] if schema else _schemas(asker, conduct, pace)
    found: list[Unseen] = []
    looked_at = 0
    for number, (each, known) in enumerate(_with_known(report, visible), start=1):
        names = _names(asker, conduct, pace, each)
        if len(names) == MOST_NAMES:
            notes.append(f"{each} has {MOST_NAMES:,} names or more: only the first were read")
        # Views may be among them until they are looked up.
        for named in filter(wanted, (Unseen(schema=each, name=name) for name in names if name not in known)):
            looked_at += 1
            if looked_at > UNSEEN_LOOKED_AT:
                found.append(replace(named, why="not looked at: it may be a view"))
            elif (looked := _looked_up(asker, conduct, pace, named)) is not None:
                found.append(looked)
        conduct.watcher.show(Progress(done=number, expected=len(visible)))
    if looked_at > UNSEEN_LOOKED_AT:
        notes.append(f"{looked_at - UNSEEN_LOOKED_AT} of them were not looked at, beyond the first {UNSEEN_LOOKED_AT}")
    if not schema:
        notes.append("schemas that the account may not see, and the server's own, were not looked at")
    found.sort(key=lambda each: (each.found_bytes is None, -(each.found_bytes or 0), each.schema, each.name))
    return found, notes


def _with_known(report: Report, visible: list[str]) -> Iterator[tuple[str, AbstractSet[str]]]:
    left = set(visible)
    for schema, sizes in groupby(report.tables(), key=lambda size: size.schema):
        if schema in left:
            left.discard(schema)
            yield schema, {size.name for size in sizes}
    for schema in sorted(left):
        yield schema, frozenset()


def _paced(asker: Asker, conduct: Conduct, pace: Pace, sql: str) -> list[tuple[object, ...]]:
    started = asker.seconds()
    told = conduct.once_fit(asker.session, 0, lambda: asker.ask(sql))
    conduct.rest(pace.rest_seconds(asker.seconds() - started, pressure_of(told.considered, asker.session.policy.gates)))
    return [tuple(row) for row in told.rows]


def _schemas(asker: Asker, conduct: Conduct, pace: Pace) -> list[str]:
    sql = f"SELECT schema_name FROM information_schema.schemata LIMIT {MOST_NAMES}"  # noqa: S608 (a number)
    rows = _paced(asker, conduct, pace, sql)
    return sorted({str(row[0]) for row in rows if str(row[0]).lower() not in statistics.OWN_SCHEMAS})


def _names(asker: Asker, conduct: Conduct, pace: Pace, schema: str) -> list[str]:
    # What a name is costs nothing where a dictionary knows; else it reads the definition of every table of the schema.
    opens_each = asker.rules().version < asker.dialect.dictionary_since
    tables_only = "" if opens_each else " AND table_type = 'BASE TABLE'"
    rows = _paced(
        asker,
        conduct,
        pace,
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = {asker.literal(schema)}{tables_only}"  # noqa: S608
        f" LIMIT {MOST_NAMES}",
    )
    return [str(row[0]) for row in rows]


def _looked_up(asker: Asker, conduct: Conduct, pace: Pace, named: Unseen) -> Unseen | None:
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
        return "its engine is unknown, or the table is broken"
    if engine.lower() != "innodb":
        return f"{engine} keeps no such statistics"
    if "stats_persistent=0" in options.lower():
        return "STATS_PERSISTENT=0: its statistics are not kept"
    return "its statistics were not made yet, or innodb_stats_persistent is off"
