"""
How a leftover is removed without hurting anybody, as a plan for a person to review; nothing here is ever run by us.

A large table is emptied in small pieces before it is dropped: DROP TABLE of a large one holds locks while its pages
leave the buffer pool and its file is unlinked, and stalls the replicas in the same way.
Source: MySQL 9.7 manual, "DROP TABLE Statement" and innodb_buffer_pool; gh-ost and pt-archiver do the same in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeconsole.jobs.leftover_patterns import ASIDE, Part
from safeconsole.jobs.leftovers import Leftover, State
from safeconsole.jobs.sizes import TableSize

DRAINED_FROM_BYTES = 1024**3
"""Tables from this size on are emptied first."""

PIECE_ROWS = 5_000
_PIECE_REST_SECONDS = 1

HEAD = """\
-- A plan, for review. safeconsole never runs it. Every statement is for the primary, by the team's usual account.
-- Go through it from the top for one table at a time, and stop where the answer is not the one written beside it.
"""


def plan_of(leftovers: Iterable[Leftover]) -> str:
    """Return the plan as text that a person reads, and that a server would take piece by piece."""
    return HEAD + "".join("\n" + "".join(_parts(leftover)) for leftover in leftovers)


def _parts(leftover: Leftover) -> Iterator[str]:
    suspect = leftover.suspect
    size = suspect.size
    yield (
        f"-- {_comment(size.label)}: {suspect.pattern.tool}, {suspect.pattern.what or suspect.pattern.part},"
        f" about {size.total_bytes} bytes\n-- looks {leftover.state}: {_comment(leftover.why)}\n"
    )
    if leftover.state is not State.ABANDONED:
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
    if leftover.state is State.RUNNING:
        return "let its migration end, or end it by its own tool, which cleans up"
    if leftover.suspect.pattern.part is Part.BIN:
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
    """Return a text that cannot leave its comment line."""
    return "".join(character if character.isprintable() else "?" for character in text)
