"""
Tables that schema migrations left behind: found by name, judged by evidence.

A name is a suspicion only. What turns it into a finding is whether the table it was made for is there, whether
anything still writes to it, and how long it has been quiet. What could not be seen is said, never guessed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from safeconsole.jobs.leftover_patterns import Part, Pattern
from safeconsole.jobs.sizes import TableSize

BUSY_SECONDS = 900.0
"""A table written to, or a changelog kept up, within this time belongs to a migration that runs."""

QUIET_SECONDS = 24 * 3600.0
"""A leftover that has been quiet for less may belong to a migration that is paused, or just over."""


class State(StrEnum):
    """What a leftover looks like."""

    RUNNING = "running"
    ABANDONED = "abandoned"
    UNCLEAR = "unclear"


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """
    A table whose name says leftover.

    Attributes:
        size: the table.
        pattern: what its name fits.
        base: the table it was made for, "" when the name does not say.
        stamped: the time in its name, or None.
    """

    size: TableSize
    pattern: Pattern
    base: str = ""
    stamped: dt.datetime | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was found out about one suspect; None and "" mean that it is not known.

    Attributes:
        looked_at: whether the table itself was; without it nothing is called abandoned.
        base_exists: whether the table it was made for is there.
        created: when it was created; for a table as it was, that is before the migration.
        written: its last write that the server remembers; nothing after a restart is remembered as nothing.
        triggers: triggers of the tool on the base table.
        changelog: the last sign of life in the migration's own log.
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
    """
    One suspect, judged.

    Attributes:
        suspect, evidence: see there.
        state, why: what it looks like, and one line of reasons.
        age_seconds: since it came to be, None when nothing says.
        age_from: "name" or "created", "" without an age.
    """

    suspect: Suspect
    evidence: Evidence
    state: State
    why: str
    age_seconds: float | None = None
    age_from: str = ""


def suspect_of(size: TableSize, patterns: Iterable[Pattern]) -> Suspect | None:
    """Return a table as a suspect when its name fits a pattern."""
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
    """Return every suspect, largest first."""
    found = (suspect_of(size, patterns) for size in sizes)
    return sorted((each for each in found if each is not None), key=lambda each: -each.size.total_bytes)


def with_bases(suspects: list[Suspect], sizes: Iterable[TableSize]) -> dict[tuple[str, str], Evidence]:
    """Return the evidence that the sizes alone give: which of the tables they were made for are there."""
    wanted = {(suspect.size.schema, suspect.base) for suspect in suspects if suspect.base}
    there = {size.key for size in sizes if size.key in wanted}
    return {
        suspect.size.key: Evidence(base_exists=True if (suspect.size.schema, suspect.base) in there else None)
        for suspect in suspects
    }


def stamped(digits: str) -> dt.datetime | None:
    """Return the time in a name, "YYYYMMDD" or longer with or without underscores, or None when it is none."""
    plain = re.sub(r"\D", "", digits)[:14]
    for length, form in ((14, "%Y%m%d%H%M%S"), (8, "%Y%m%d")):
        if len(plain) == length:
            try:
                return dt.datetime.strptime(plain, form)  # noqa: DTZ007 (a name holds no time zone)
            except ValueError:
                return None
    return None


def judged(suspect: Suspect, evidence: Evidence, now: dt.datetime) -> Leftover:
    """
    Say what a suspect looks like.

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
        signs.append(f"its changelog was written {_since(evidence.changelog, now):.0f} s ago")
    if evidence.written is not None and _since(evidence.written, now) < BUSY_SECONDS:
        signs.append(f"it was written to {_since(evidence.written, now):.0f} s ago")
    if evidence.statements:
        signs.append(f"{evidence.statements} running statements name it")
    return signs


def _verdict(suspect: Suspect, evidence: Evidence, now: dt.datetime, signs: list[str]) -> tuple[State, str]:
    if signs:
        return State.RUNNING, "; ".join(signs)
    if suspect.pattern.part is Part.BIN:
        return State.UNCLEAR, "its tool removes it by itself; look there why it has not yet"
    if suspect.base and evidence.base_exists is False:
        return State.UNCLEAR, f"{suspect.base}, which it was made for, is not there: this may be the only copy"
    if suspect.base and evidence.base_exists is None:
        return State.UNCLEAR, f"whether {suspect.base}, which it was made for, is there could not be seen"
    if not suspect.pattern.certain:
        return State.UNCLEAR, "a table of the application may be called so: ask its owners"
    if not evidence.looked_at:
        return State.UNCLEAR, "the table itself was not looked at"
    quiet = _quiet_seconds(suspect, evidence, now)
    if quiet is None:
        return State.UNCLEAR, "nothing says when it was last used"
    if quiet < QUIET_SECONDS:
        return State.UNCLEAR, f"quiet for {quiet / 3600:.1f} hours only: the migration may be paused, or just over"
    there = f"{suspect.base} is there, and " if suspect.base else ""
    return State.ABANDONED, f"{there}it has been quiet for {quiet / 86400:.0f} days"


def _age(suspect: Suspect, evidence: Evidence, now: dt.datetime) -> tuple[float | None, str]:
    if suspect.stamped is not None:
        return _since(suspect.stamped, now), "name"
    # A table as it was is older than its migration: when it was created says nothing of the leftover.
    if evidence.created is not None and suspect.pattern.part is not Part.OLD:
        return _since(evidence.created, now), "created"
    return None, ""


def _quiet_seconds(suspect: Suspect, evidence: Evidence, now: dt.datetime) -> float | None:
    """
    Return how long nothing is known to have touched it.

    gh-ost writes its changelog ten times a second, even while it is paused, and a table with a time in its name was
    put aside when its migration was over: these say when. Else it is the latest time that anything names.
    """
    is_put_aside = suspect.pattern.part is Part.OLD and suspect.stamped is not None
    if evidence.changelog is not None:
        times = [evidence.changelog, evidence.written]
    elif is_put_aside:
        times = [suspect.stamped, evidence.written]
    else:
        times = [evidence.created, evidence.written, suspect.stamped, parsed(suspect.size.updated)]
    known = [time for time in times if time is not None]
    return _since(max(known), now) if known else None


def parsed(text: str) -> dt.datetime | None:
    """Return a server's time, or None where it has none."""
    try:
        return dt.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _since(time: dt.datetime, now: dt.datetime) -> float:
    return max((now - time).total_seconds(), 0.0)
