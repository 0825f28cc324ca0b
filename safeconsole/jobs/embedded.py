"""
Sizes of the embedded engine's tables, estimated: it keeps no statistics of sizes, and reading them reads every page.

Rows come from the last rowid, which is one lookup, or from `sqlite_stat1` where ANALYZE left it; the length of a
row from the first `SAMPLE_ROWS` rows. Source: sqlite.org, "Database File Format": a record's header takes about one
byte a column, a cell about four, and an index entry holds the indexed columns and the rowid.
"""

from __future__ import annotations

from safeconsole.core.errors import ServerError
from safeconsole.interfaces import Row
from safeconsole.jobs.asking import Asker
from safeconsole.jobs.sizes import TableSize

SCHEMA = "main"
PAGE_TABLES = 50
SAMPLE_ROWS = 100

_CELL_BYTES = 4
_ROWID_BYTES = 4
# B-trees that grew by inserts are about two thirds to wholly full.
_FILL = 0.9

CAVEATS = (
    f"rows are counted by the highest rowid, deleted ones included, and measured by the first {SAMPLE_ROWS}",
    "text is measured in characters: beyond ASCII it is larger than shown",
    "free pages and the overhead of the file are not counted",
)
"""What these estimates cannot see, one line each."""


def names_sql(asker: Asker, after: str) -> str:
    """Return what lists the next tables."""
    return (
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"  # noqa: S608
        f" AND name > {asker.literal(after)} ORDER BY name LIMIT {PAGE_TABLES}"
    )


def size_of(asker: Asker, name: str) -> TableSize:
    """
    Estimate one table by lookups and a bounded sample.

    Raises:
        SafeConsoleError: a lookup was refused, stopped or lost.
    """
    columns = tuple(str(row[1]) for row in asker.ask(f"PRAGMA table_info({asker.name(name)})").rows)
    lengths = _lengths(asker, name, columns)
    rows = _rows(asker, name)
    row_bytes = sum(lengths.values()) + len(columns) + _CELL_BYTES
    index_bytes = sum(
        sum(lengths.get(column, 0.0) + 1 for column in indexed) + _ROWID_BYTES + _CELL_BYTES
        for indexed in _indexes(asker, name)
    )
    return TableSize(
        schema=SCHEMA,
        name=name,
        rows=rows,
        data_bytes=int(rows * row_bytes / _FILL),
        index_bytes=int(rows * index_bytes / _FILL),
    )


def _lengths(asker: Asker, name: str, columns: tuple[str, ...]) -> dict[str, float]:
    """Return the mean length of each column over a sample: bytes of blobs, characters of text, digits of numbers."""
    means = ", ".join(f"AVG(LENGTH({asker.name(column)}))" for column in columns)
    sample = f"SELECT * FROM {asker.name(name)} LIMIT {SAMPLE_ROWS}"  # noqa: S608
    (found,) = asker.ask(f"SELECT {means} FROM ({sample})").rows  # noqa: S608
    return {column: float(length or 0.0) for column, length in zip(columns, found, strict=True)}


def _rows(asker: Asker, name: str) -> int:
    """Return the highest rowid; a table without rowids is counted up to a bound."""
    try:
        rows: list[Row] = asker.ask(f"SELECT MAX(rowid) FROM {asker.name(name)}").rows  # noqa: S608
    except ServerError:
        bounded = f"SELECT 1 FROM {asker.name(name)} LIMIT 10000"  # noqa: S608
        rows = asker.ask(f"SELECT COUNT(*) FROM ({bounded})").rows  # noqa: S608
    found = rows[0][0]
    return max(int(found), 0) if isinstance(found, int) else 0


def _indexes(asker: Asker, name: str) -> list[tuple[str, ...]]:
    names = [str(row[1]) for row in asker.ask(f"PRAGMA index_list({asker.name(name)})").rows]
    return [tuple(str(row[2]) for row in asker.ask(f"PRAGMA index_info({asker.name(index)})").rows) for index in names]
