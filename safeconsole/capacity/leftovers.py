"""Tables left behind by schema migrations: found by name, judged by evidence, with a plan for removing them.

A name alone is only a suspicion. It becomes a finding by whether the base table exists, whether anything still writes
to it, and how long it has been quiet. What could not be seen is reported, never guessed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from safeconsole.capacity.sizes import TableSize
from safeconsole.config.settings import LeftoverSettings
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import age_text, counted

# The first pattern that fits decides. Sources: gh-ost, "Cheatsheet" and its --timestamp-old-table; Percona Toolkit
# manual, pt-online-schema-change; LHM's source, `Lhm.cleanup`; OnlineSchemaChange's constants; Vitess, "Table
# lifecycle" and its schema package; Spirit's source; MySQL 9.7 manual, "Troubleshooting InnoDB Data Dictionary
# Operations"; the MariaDB 10.6 release notes on atomic DDL.


ASIDE = "zz_drop_"
"""Prefix that a removal plan gives to a table that is to be dropped a day later."""


class LeftoverPart(StrEnum):
    COPY = "copy being filled"
    OLD = "the table as it was"
    LOG = "log of the migration"
    BIN = "waiting to be removed by its tool"
    OTHER = "leftover"


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of leftover.

    Attributes:
        name: matches the whole name; the groups `base` and `stamp` are optional.
        certain: the name alone proves the tool; otherwise an application's table may be called so.
        triggers: names of the running tool's triggers on the base table, with `{schema}` and `{base}`.
        what: what such a table is.
    """

    tool: str
    part: LeftoverPart
    name: re.Pattern[str]
    certain: bool = True
    triggers: tuple[str, ...] = ()
    what: str = ""


_PT_TRIGGERS = tuple(f"pt_osc_{{schema}}_{{base}}_{event}" for event in ("ins", "upd", "del"))
_LHM_TRIGGERS = tuple(f"lhmt_{event}_{{base}}" for event in ("ins", "upd", "del"))
_OSC_TRIGGERS = tuple(f"__osc_{event}_{{base}}" for event in ("ins", "upd", "del"))

_UUID = r"[0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}"

_KNOWN: tuple[tuple[str, LeftoverPart, str, bool, tuple[str, ...]], ...] = (
    ("our own removal plan", LeftoverPart.OTHER, f"{ASIDE}.+", True, ()),
    ("Vitess", LeftoverPart.COPY, rf"_{_UUID}_(?P<stamp>\d{{14}})_(?:vrepl|gho|new)", True, ()),
    ("Vitess", LeftoverPart.LOG, rf"_{_UUID}_(?P<stamp>\d{{14}})_ghc", True, ()),
    ("Vitess", LeftoverPart.OLD, rf"_{_UUID}_(?P<stamp>\d{{14}})_(?:del|old)", True, ()),
    ("gh-ost", LeftoverPart.OLD, r"_(?P<base>.+)_(?P<stamp>\d{14})_del", True, ()),
    ("gh-ost", LeftoverPart.COPY, r"_(?P<base>.+)_gho", True, ()),
    ("gh-ost", LeftoverPart.LOG, r"_(?P<base>.+)_ghc", True, ()),
    ("gh-ost", LeftoverPart.OLD, r"_(?P<base>.+)_del", True, ()),
    ("LHM", LeftoverPart.OLD, r"lhma_(?P<stamp>\d{4}(?:_\d\d){5}(?:_\d{3})?)_(?P<base>.+)", True, _LHM_TRIGGERS),
    ("LHM", LeftoverPart.COPY, r"lhmn_(?P<base>.+)", True, _LHM_TRIGGERS),
    ("Facebook OSC", LeftoverPart.COPY, r"__osc_new_(?P<base>.+)", True, _OSC_TRIGGERS),
    ("Facebook OSC", LeftoverPart.LOG, r"__osc_chg_(?P<base>.+)", True, _OSC_TRIGGERS),
    ("Facebook OSC", LeftoverPart.OLD, r"__osc_old_(?P<base>.+)", True, _OSC_TRIGGERS),
    ("Vitess", LeftoverPart.COPY, r"_vt_(?:vrp|gho)_[0-9a-f]{32}_(?P<stamp>\d{14})_", True, ()),
    ("Vitess", LeftoverPart.BIN, r"_vt_(?:hld|prg|evc|drp)_[0-9a-f]{32}_(?P<stamp>\d{14})_", True, ()),
    ("Vitess", LeftoverPart.BIN, r"_vt_(?:HOLD|PURGE|EVAC|DROP)_[0-9a-f]{32}_(?P<stamp>\d{14})", True, ()),
    ("Spirit", LeftoverPart.LOG, r"_spirit_(?:sentinel|checkpoint)", True, ()),
    ("Spirit", LeftoverPart.LOG, r"_(?P<base>.+)_(?:chkpnt|sentinel)", True, ()),
    ("Spirit", LeftoverPart.OLD, r"_(?P<base>.+)_old_(?P<stamp>\d{8}_\d{6})", True, ()),
    ("pt-online-schema-change or Spirit", LeftoverPart.COPY, r"_{1,10}(?P<base>[^_].*)_new", True, _PT_TRIGGERS),
    ("pt-online-schema-change or Spirit", LeftoverPart.OLD, r"_{1,10}(?P<base>[^_].*)_old", True, _PT_TRIGGERS),
    # MariaDB's statistics name it as a table of before 5.1. Source: MySQL 9.7 and MariaDB 10.11, seen during an ALTER.
    ("the server", LeftoverPart.BIN, r"(?:#mysql50#)?#sql.*", True, ()),
    (
        "by hand, or a Rails migration",
        LeftoverPart.OLD,
        r"(?P<base>.+)_(?:old|bak|backup|copy|tmp|archive[d]?)(?:_?(?P<stamp>\d{8}(?:\d{6})?))?",
        False,
        (),
    ),
    ("by hand, or a Rails migration", LeftoverPart.OLD, r"(?:old|bak|backup|copy_of|tmp)_(?P<base>.+)", False, ()),
)

_WHAT = {"the server": "copy of an ALTER TABLE that runs, or that a crash ended"}

KNOWN_PATTERNS: tuple[Pattern, ...] = tuple(
    Pattern(
        tool=tool,
        part=part,
        name=re.compile(name, re.DOTALL),
        certain=certain,
        triggers=triggers,
        what=_WHAT.get(tool, ""),
    )
    for tool, part, name, certain, triggers in _KNOWN
)
"""All known patterns; the uncertain ones last."""


def patterns_of(configured: Mapping[str, LeftoverSettings]) -> tuple[Pattern, ...]:
    """Return the team's own patterns, then the known ones. Raises ConfigurationError: an invalid regular expression."""
    own = []
    for tool, settings in configured.items():
        try:
            name = re.compile(settings.pattern, re.DOTALL)
        except re.error as error:
            raise ConfigurationError(
                f"leftovers.{tool}.pattern: it is not a regular expression: {error}",
                instead=r"such as '^_archived_(?P<base>.+)_(?P<stamp>\d{8})$'",
            ) from error
        own.append(Pattern(tool=tool, part=LeftoverPart.OTHER, name=name, certain=settings.certain, what=settings.what))
    return (*own, *KNOWN_PATTERNS)


# A name is a suspicion only. What turns it into a finding is whether the table it was made for is there, whether
# anything still writes to it, and how long it has been quiet. What could not be seen is said, never guessed.


BUSY_SECONDS = 900.0
"""A table written to, or a changelog updated, within this time belongs to a running migration."""

LATE_SECONDS = 86_400.0
"""Seconds by which a table may be younger than the time in its name says, whatever time zone the name is in."""

QUIET_SECONDS = 24 * 3600.0
"""A leftover that has been quiet for less may belong to a paused or just finished migration."""


class LeftoverState(StrEnum):
    RUNNING = "running"
    ABANDONED = "abandoned"
    UNCLEAR = "unclear"


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A table whose name matches a pattern.

    Attributes:
        base: the table it was made for, or "".
        stamped: the time in its name, or None.
    """

    size: TableSize
    pattern: Pattern
    base: str = ""
    stamped: dt.datetime | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one suspect; None and "" mean unknown.

    Attributes:
        looked_at: whether the table itself was looked up; without it nothing is called abandoned.
        created: creation time; for the original table of a migration that is before the migration.
        written: its last write since the server started, if any.
        triggers: triggers of the tool on the base table.
        changelog: the last entry of the migration's own log.
        statements: running statements that name it.
        unseen: what could not be looked at, and why, one line each.
    """

    looked_at: bool = False
    base_exists: bool | None = None
    created: dt.datetime | None = None
    written: dt.datetime | None = None
    triggers: tuple[str, ...] = ()
    changelog: dt.datetime | None = None
    statements: int = 0
    unseen: tuple[str, ...] = ()


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """One suspect, judged.

    Attributes:
        state, why: the judgement, and one line of reasons.
        age_seconds: None if unknown.
        age_from: "name" or "created", "" without an age.
    """

    suspect: Suspect
    evidence: Evidence
    state: LeftoverState
    why: str
    age_seconds: float | None = None
    age_from: str = ""


def suspect_of(size: TableSize, patterns: Iterable[Pattern]) -> Suspect | None:
    for pattern in patterns:
        found = pattern.name.fullmatch(size.name)
        if found is None:
            continue
        groups = found.groupdict()
        return Suspect(
            size=size, pattern=pattern, base=groups.get("base") or "", stamped=stamped(groups.get("stamp") or "")
        )
    return None


def suspects_among(sizes: Iterable[TableSize], patterns: tuple[Pattern, ...]) -> list[Suspect]:
    """Return all suspects, largest first."""
    found = (suspect_of(size, patterns) for size in sizes)
    return sorted((each for each in found if each is not None), key=lambda each: -each.size.total_bytes)


def with_bases(suspects: list[Suspect], sizes: Iterable[TableSize]) -> dict[tuple[str, str], Evidence]:
    """Return evidence from the sizes alone: which base tables exist."""
    wanted = {(suspect.size.schema, suspect.base) for suspect in suspects if suspect.base}
    there = {size.key for size in sizes if size.key in wanted}
    return {
        suspect.size.key: Evidence(base_exists=True if (suspect.size.schema, suspect.base) in there else None)
        for suspect in suspects
    }


def stamped(digits: str) -> dt.datetime | None:
    """Return the time in a name ("YYYYMMDD" or longer, with or without underscores), or None."""
    plain = re.sub(r"\D", "", digits)[:14]
    for length, form in ((14, "%Y%m%d%H%M%S"), (8, "%Y%m%d")):
        if len(plain) == length:
            try:
                return dt.datetime.strptime(plain, form)  # noqa: DTZ007 (a name holds no time zone)
            except ValueError:
                return None
    return None


def judged(suspect: Suspect, evidence: Evidence, now: dt.datetime) -> Leftover:
    """Judge a suspect.

    Args:
        now: the server's own time, without a zone, as its times are.
    """
    age, age_from = _age(suspect, evidence, now)
    signs = _signs_of_life(evidence, now)
    state, why = _verdict(suspect, evidence, now, signs)
    return Leftover(suspect=suspect, evidence=evidence, state=state, why=why, age_seconds=age, age_from=age_from)


def _signs_of_life(evidence: Evidence, now: dt.datetime) -> list[str]:
    signs = []
    if evidence.triggers:
        signs.append(f"triggers of the tool are in place: {', '.join(evidence.triggers)}")
    if evidence.changelog is not None and _since(evidence.changelog, now) < BUSY_SECONDS:
        signs.append(f"its changelog was written {age_text(_since(evidence.changelog, now))} ago")
    if evidence.written is not None and _since(evidence.written, now) < BUSY_SECONDS:
        signs.append(f"it was last written {age_text(_since(evidence.written, now))} ago")
    if evidence.statements:
        running = counted(evidence.statements, "running statement")
        signs.append(f"{running} {'names' if evidence.statements == 1 else 'name'} it")
    return signs


def _verdict(suspect: Suspect, evidence: Evidence, now: dt.datetime, signs: list[str]) -> tuple[LeftoverState, str]:
    if signs:
        return LeftoverState.RUNNING, "; ".join(signs)
    doubt = _doubt(suspect, evidence)
    if doubt:
        return LeftoverState.UNCLEAR, doubt
    quiet = _quiet_seconds(suspect, evidence, now)
    if quiet is None:
        return LeftoverState.UNCLEAR, "nothing says when it was last used"
    if quiet < QUIET_SECONDS:
        return (
            LeftoverState.UNCLEAR,
            f"quiet for only {age_text(quiet)}: the migration may be paused, or just over",
        )
    there = f"{suspect.base} is there, and " if suspect.base else ""
    return LeftoverState.ABANDONED, f"{there}nothing has touched this for {age_text(quiet)}"


def _doubt(suspect: Suspect, evidence: Evidence) -> str:
    if suspect.pattern.part is LeftoverPart.BIN:
        return "its tool removes it by itself; look there why it has not yet"
    if suspect.base and evidence.base_exists is False:
        return f"{suspect.base}, which it was made for, is not there: this may be the only copy"
    if suspect.base and evidence.base_exists is None:
        return f"whether {suspect.base}, which it was made for, is there could not be seen"
    if not suspect.pattern.certain:
        return "an application may use this name: ask its owners"
    if not evidence.looked_at:
        return "the table itself was not looked at"
    late = _seconds_late(suspect, evidence)
    if late > LATE_SECONDS:
        return f"created {age_text(late)} after the time in its name, which is not when it was put aside"
    return ""


def _seconds_late(suspect: Suspect, evidence: Evidence) -> float:
    if suspect.stamped is None or evidence.created is None:
        return 0.0
    return _since(suspect.stamped, evidence.created)


def _age(suspect: Suspect, evidence: Evidence, now: dt.datetime) -> tuple[float | None, str]:
    is_late = _seconds_late(suspect, evidence) > LATE_SECONDS
    if suspect.stamped is not None and not is_late:
        return _since(suspect.stamped, now), "name"
    # A table as it was is older than its migration: when it was created says nothing of the leftover.
    if evidence.created is not None and (is_late or suspect.pattern.part is not LeftoverPart.OLD):
        return _since(evidence.created, now), "created"
    return None, ""


def _quiet_seconds(suspect: Suspect, evidence: Evidence, now: dt.datetime) -> float | None:
    """Return for how long nothing is known to have touched it.

    gh-ost writes its changelog ten times a second, even while paused, and a table with a time in its name was renamed
    when its migration ended. Otherwise it is the latest known time.
    """
    is_put_aside = suspect.pattern.part is LeftoverPart.OLD and suspect.stamped is not None
    if evidence.changelog is not None:
        times = [evidence.changelog, evidence.written]
    elif is_put_aside:
        times = [suspect.stamped, evidence.written]
    else:
        times = [evidence.created, evidence.written, suspect.stamped, parsed(suspect.size.updated)]
    known = [time for time in times if time is not None]
    return _since(max(known), now) if known else None


def parsed(text: str) -> dt.datetime | None:
    """Return a server's time, or None."""
    try:
        return dt.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _since(time: dt.datetime, now: dt.datetime) -> float:
    return max((now - time).total_seconds(), 0.0)


# A large table is emptied in small pieces before it is dropped: DROP TABLE of a large one holds locks while its pages
# leave the buffer pool and its file is unlinked, and stalls the replicas in the same way. Source: MySQL 9.7 manual,
# "DROP TABLE Statement" and innodb_buffer_pool; gh-ost and pt-archiver do the same in pieces.


DRAINED_FROM_BYTES = 1024**3
"""Tables from this size on are emptied before they are dropped."""

PIECE_ROWS = 5_000
_PIECE_REST_SECONDS = 1

HEAD = """\
-- A plan, for review. safeconsole never runs it. Every statement is for the primary, by the team's usual account.
-- Go through it from the top for one table at a time, and stop where the answer is not the one written beside it.
"""


def plan_of(leftovers: Iterable[Leftover]) -> str:
    """Return a removal plan as text: comments for a person, statements for the server."""
    return HEAD + "".join("\n" + "".join(_parts(leftover)) for leftover in leftovers)


def _parts(leftover: Leftover) -> Iterator[str]:
    suspect = leftover.suspect
    size = suspect.size
    yield (
        f"-- {_comment(size.label)}: {suspect.pattern.tool}, {suspect.pattern.what or suspect.pattern.part},"
        f" about {size.total_bytes} bytes\n-- looks {leftover.state}: {_comment(leftover.why)}\n"
    )
    if leftover.state is not LeftoverState.ABANDONED:
        yield f"--   left out of the plan: {_advice(leftover)}\n"
        return
    if not size.label.isprintable():
        yield "--   left out of the plan: its name holds characters that do not show; remove it by hand, with care\n"
        return
    yield from (f"-- not seen: {_comment(each)}\n" for each in leftover.evidence.unseen)
    yield (
        "-- nothing may use it: this MUST find no row\n"
        "SELECT id, user, time, info FROM information_schema.processlist"
        f" WHERE INSTR(info, {_text(size.name)}) AND id <> CONNECTION_ID();\n"
    )
    if suspect.base and suspect.pattern.triggers:
        yield (
            f"-- its migration is over: this MUST show no trigger of {suspect.pattern.tool}; with one in place,\n"
            f"-- a drop makes every write to {_comment(suspect.base)} fail, so drop the trigger first\n"
            f"SHOW TRIGGERS FROM {_name(size.schema)} WHERE `Table` = {_text(suspect.base)};\n"
        )
    yield from _dropping(size)


def _dropping(size: TableSize) -> Iterator[str]:
    table, aside = _name(size.schema, size.name), _name(size.schema, _aside(size.name))
    yield "SET SESSION lock_wait_timeout = 2;\n"
    if table != aside:
        yield (
            "-- take it out of the way for a day; rename it back when anybody misses it\n"
            f"RENAME TABLE {table} TO {aside};\n"
        )
    if size.total_bytes >= DRAINED_FROM_BYTES:
        yield (
            f"-- empty it in pieces until 0 rows, {_PIECE_REST_SECONDS} s of rest after each, while replicas keep up:\n"
            f"-- about {-(-size.rows // PIECE_ROWS)} times; <primary key>: see SHOW CREATE TABLE {_comment(aside)}\n"
            f"DELETE FROM {aside} ORDER BY <primary key> LIMIT {PIECE_ROWS};\n"
        )
    yield f"-- at a quiet hour\nDROP TABLE {aside};\n"


def _advice(leftover: Leftover) -> str:
    if leftover.state is LeftoverState.RUNNING:
        return "let its migration end, or end it by its own tool, which cleans up"
    if leftover.suspect.pattern.part is LeftoverPart.BIN:
        return "what made it removes it: Vitess by its table lifecycle, the server when it starts"
    return "find out first what is unclear, then ask for the plan again"


def _aside(name: str) -> str:
    # Names hold 64 characters. One that an earlier plan put aside stays where it is.
    return name if name.startswith(ASIDE) else f"{ASIDE}{name}"[:64]


def _name(*parts: str) -> str:
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def _text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _comment(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
