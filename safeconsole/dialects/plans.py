"""Read a plan in JSON, of MySQL or MariaDB: rows, full scans, temporary tables, objects opened. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from safeconsole.patterns import late
from safeconsole.sqltext.statement import Hazard
from safeconsole.sqltext.vocabulary import CostClass, words

_FULL_SCANS = frozenset({"ALL", "index"})
_BY_UNIQUE_KEY = frozenset({"const", "eq_ref"})
_ROWS = ("rows_examined_per_scan", "rows")
_PLAIN_BLOCK = frozenset({"select_id", "cost", "cost_info", "table", "nested_loop"})
_PLAIN_TABLE = words(
    "table_name partitions access_type possible_keys key key_length used_key_parts used_columns using_index cost"
    " cost_info loops rows rows_examined_per_scan rows_produced_per_join filtered"
)
_TEMPORARY = frozenset({"using_temporary_table", "temporary_table"})
_SIZE_FUNCTIONS = (
    "internal_data_length(",
    "internal_index_length(",
    "internal_table_rows(",
    "internal_data_free(",
    "internal_auto_increment(",
    "internal_index_column_cardinality(",
    "internal_checksum(",
    "internal_update_time(",
    "internal_avg_row_length(",
    "internal_max_data_length(",
    "internal_check_time(",
)
"""MySQL's rewriting of the size columns of information_schema, through any view."""

_DICTIONARY_VIEWS = ("INNODB_TABLES", "INNODB_TABLESTATS", "INNODB_INDEXES", "INNODB_COLUMNS")
_BUFFER_VIEWS = ("INNODB_BUFFER_PAGE", "INNODB_BUFFER_PAGE_LRU")

_LOOKUP_ROWS = 20
"""Rows of dictionary tables behind one table's sizes: six where one table is looked up, a multiple in a join."""

SIZES = Hazard(
    id="information-schema-sizes",
    cost=CostClass.WRITES,
    why="sizes of every table: the engine is asked for each one, and expired figures are stored again row by row",
    instead="safeconsole capacity reads the same numbers from mysql.innodb_table_stats in pages",
)
OPENS_TABLES = Hazard(
    id="opens-every-table",
    cost=CostClass.OPENS_EVERY_TABLE,
    why="the server opens every table it finds, and keeps their definitions in memory",
    instead="safeconsole capacity reads the same numbers from mysql.innodb_table_stats in pages",
)
DICTIONARY = Hazard(
    id="innodb-dictionary",
    cost=CostClass.LOADS_EVERY_TABLE_DEFINITION,
    why="the server loads the definition of every table into memory, keeps it, and cannot be stopped",
    instead="safeconsole capacity reads the same numbers from mysql.innodb_table_stats in pages",
    uninterruptible=True,
)
RUNS_WHILE_PLANNED = Hazard(
    id="runs-while-planned",
    cost=CostClass.BURNS_TIME,
    why="the server runs parts of it to plan it, and did not come to an end of that",
    instead="EXPLAIN its parts",
)
HIDDEN_PLAN = Hazard(
    id="hidden-plan",
    cost=CostClass.OPENS_EVERY_TABLE,
    why="a view keeps what it reads, and so the plan, from this account: the server may open every table for it",
    instead="run it on a replica, or ask for SELECT and SHOW VIEW on what the view reads",
)
UNREADABLE_PLAN = Hazard(
    id="unreadable-plan",
    cost=CostClass.UNREADABLE,
    why="the server's plan of it cannot be read",
    instead="write it with fewer nested queries",
)
BUFFER = Hazard(
    id="innodb-buffer-pages",
    cost=CostClass.WALKS_BUFFER_POOL,
    why="the server walks every page of its buffer pool, and cannot be stopped",
    instead="information_schema.innodb_buffer_pool_stats",
    uninterruptible=True,
)

_TEXT_MEMBER = late(r'(\s*"[\w -]+": )"(.*)"(,?)')
"""One member of a plan whose value is a text, on a line of its own."""

_REPEATED = ""
"""The key that holds what came again under a key that was there already."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The facts read from a plan.

    Attributes:
        rows: rows that it expects to examine, -1 when it does not say.
        full_scans: tables, by alias, that it would read whole.
        temporary_tables: how many it would build.
        hazards: dangers that show in it.
        keyed: every table is read by one whole unique key, and nothing was left out of the plan.
        plain: it reads one table row by row, and nothing else is done: no condition, sort, group or subquery.
        waits: as in `Estimate`; nothing else is known then.
    """

    rows: int = -1
    full_scans: tuple[str, ...] = ()
    temporary_tables: int = 0
    hazards: tuple[Hazard, ...] = ()
    keyed: bool = False
    plain: bool = False
    waits: str = ""


def read_plan(text: str, rewritten: str = "", *, verbatim: bool = False) -> Plan:
    """Read a plan's facts.

    Args:
        rewritten: the statement as the server rewrote it, views and aliases resolved, where it says so.
        verbatim: whether texts stand in it as they are, without JSON's escapes, as MariaDB writes them.
    """
    try:
        document = _document(text, verbatim=verbatim)
    except (RecursionError, ValueError):
        return Plan(hazards=(UNREADABLE_PLAN,))
    tables, temporary, silent = [], 0, False
    for key, value in _walk(document):
        if key == "table" and isinstance(value, dict):
            tables.append(value)
        if key in _TEMPORARY and value:
            temporary += 1
        # A plan that says why it reads nothing says it of these values only.
        silent = silent or key == "message"
    rows, hazards = _examined(tables), _hazards(tables, rewritten)
    scans = tuple(str(table.get("table_name", "?")) for table in tables if table.get("access_type") in _FULL_SCANS)
    return Plan(
        rows=rows,
        full_scans=tuple(dict.fromkeys(scans)),
        temporary_tables=temporary,
        hazards=hazards,
        keyed=bool(tables)
        and not (silent or temporary or hazards)
        and all(table.get("access_type") in _BY_UNIQUE_KEY for table in tables),
        plain=_is_plain(document) and not hazards,
    )


def _is_plain(document: object) -> bool:
    """Whether a plan is nothing but the read of one table; an unknown key may be anything."""
    block = document.get("query_block") if isinstance(document, dict) else None
    if not isinstance(block, dict) or not set(block) <= _PLAIN_BLOCK:
        return False
    steps = [step for step in (block, *block.get("nested_loop", ())) if isinstance(step, dict) and "table" in step]
    if len(steps) != 1 or len(block.get("nested_loop", ())) > 1:
        return False
    (step,) = steps
    return set(step) <= _PLAIN_BLOCK and isinstance(step["table"], dict) and set(step["table"]) <= _PLAIN_TABLE


def _document(text: str, *, verbatim: bool) -> object:
    """Return a plan's JSON. Raises ValueError, RecursionError: it cannot be read.

    MariaDB writes conditions as SQL does: with quotes (`"status" <> 'zz'` under ANSI_QUOTES, `status <> 'a"b'` in any
    mode) and with escapes that JSON does not know. A literal could so write members of its own into the plan, such as
    a smaller number of rows. What makes it one text again is that each member stands on a line of its own, and that
    nothing is believed that is said twice. Source: MariaDB 10.11 and 11.8, measured.
    """
    if verbatim:
        text = "\n".join(
            _TEXT_MEMBER.sub(_escaped, line) if _TEXT_MEMBER.fullmatch(line) else line for line in text.split("\n")
        )
    return json.loads(text, strict=False, object_pairs_hook=_members)


def _escaped(member: re.Match[str]) -> str:
    return f"{member[1]}{json.dumps(member[2])}{member[3]}"


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; before MariaDB 10.9 the tables of a join all stand under the one key `table`."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key not in found:
            found[key] = value
        elif isinstance(value, dict) and isinstance(found[key], dict):
            found.setdefault(_REPEATED, []).append({key: value})
        else:
            raise ValueError(f"the plan says {key} twice")
    return found


def _walk(part: object) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of a plan; its depth is limited by the server."""
    stack = [part]
    while stack:
        current = stack.pop()
        if isinstance(current, dict):
            yield from current.items()
            stack.extend(reversed(list(current.values())))
        elif isinstance(current, list):
            stack.extend(reversed(current))


def _examined(tables: list[dict[str, Any]]) -> int:
    """Return the rows examined: each table of a nested loop is read once for each row of the tables before it."""
    found = [_number(table) for table in tables]
    known = [number for number in found if number is not None]
    if not known:
        return -1
    total, outer = 0.0, 1.0
    for table in tables:
        scanned = _number(table)
        if scanned is None:
            continue
        total += outer * scanned
        outer = max(outer * scanned * float(table.get("filtered", 100)) / 100, 1.0)
    return int(min(total, 2**62))


def _number(table: dict[str, Any]) -> float | None:
    return next((float(table[key]) for key in _ROWS if key in table), None)


def _hazards(tables: list[dict[str, Any]], rewritten: str) -> tuple[Hazard, ...]:
    found = []
    sized = any(function in rewritten for function in _SIZE_FUNCTIONS) or any(map(_reads_cached_sizes, tables))
    if sized and not _looks_up_one_table(tables):
        found.append(SIZES)
    if any(table.get("open_full_table") and table.get("scanned_databases") == "all" for table in tables):
        found.append(OPENS_TABLES)
    lower = rewritten.lower()
    for names, hazard in ((_DICTIONARY_VIEWS, DICTIONARY), (_BUFFER_VIEWS, BUFFER)):
        if any(f"`information_schema`.`{name.lower()}`" in lower for name in names):
            found.append(hazard)
    return tuple(found)


def _looks_up_one_table(tables: list[dict[str, Any]]) -> bool:
    """Whether the sizes are those of one table, which the dictionary finds by schema and name.

    Source: MySQL 9.7, measured: by equality the dictionary's `tbl` is read as `eq_ref` on both columns; by IN, LIKE or
    the schema alone as `ref`, and every table of the schema is looked at.
    """
    found = [table.get("access_type") for table in tables if table.get("table_name") == "tbl"]
    return found in (["eq_ref"], ["const"]) and 0 <= _examined(tables) <= _LOOKUP_ROWS


def _reads_cached_sizes(table: dict[str, Any]) -> bool:
    """Whether a table of a plan is the store of computed sizes, read for them: seen where nothing was rewritten."""
    return table.get("table_name") == "stat" and "cached_time" in table.get("used_columns", ())
