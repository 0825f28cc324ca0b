"""The capacity survey: the sizes of all tables, read page by page from a replica.

    resume a draft, or begin ─► page by primary key ─► write it down ─► rest ─► … ─► keep the report

Every page is a small plain read through the gate. While no node is fit the job waits; when it gives up, everything
that was read is kept for the next run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator

import msgspec

from safeconsole.capacity import sizes as statistics
from safeconsole.capacity.asking import NOT_GRANTED, Asker, Conduct, Pace, Progress, Reply, pressure_of
from safeconsole.capacity.reports import (
    Draft,
    End,
    Head,
    Page,
    Report,
    ReportShelf,
    line_of,
    open_report,
    page_of,
    read_draft,
)
from safeconsole.capacity.sizes import PARTITION, TableSize
from safeconsole.cluster.engine import Row
from safeconsole.errors import ConfigurationError, ServerError, StoppedError

# Rows come from the last rowid, which is one lookup, or from `sqlite_stat1` where ANALYZE left it; the length of a
# row from the first `SAMPLE_ROWS` rows. Source: sqlite.org, "Database File Format": a record's header takes about one
# byte a column, a cell about four, and an index entry holds the indexed columns and the rowid.


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
"""What these estimates cannot show, one line each."""


def names_sql(asker: Asker, after: str) -> str:
    return (
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"  # noqa: S608
        f" AND name > {asker.literal(after)} ORDER BY name LIMIT {PAGE_TABLES}"
    )


def size_of(asker: Asker, name: str) -> TableSize:
    """Estimate one table by lookups and a bounded sample. Raises SafeConsoleError: a lookup was refused, stopped or
    lost.
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
    means = ", ".join(f"AVG(LENGTH({asker.name(column)}))" for column in columns)
    sample = f"SELECT * FROM {asker.name(name)} LIMIT {SAMPLE_ROWS}"  # noqa: S608
    (found,) = asker.ask(f"SELECT {means} FROM ({sample})").rows  # noqa: S608
    return {column: float(length or 0.0) for column, length in zip(columns, found, strict=True)}


def _rows(asker: Asker, name: str) -> int:
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


def index_sizes(asker: Asker, conduct: Conduct, sizes: list[TableSize]) -> list[dict[str, int]]:
    """Return the bytes of each index by name, one mapping per table in order, partitions added up.

    Raises:
        ConfigurationError: the engine keeps no such statistics, or the account may not read them.
        SafeConsoleError: a lookup failed or was lost, or no node is fit for it.
    """
    if not asker.dialect.has_statistics:
        raise ConfigurationError("this engine keeps no sizes of indexes", instead="capacity without --indexes")
    page_bytes = int(asker.ask(statistics.start_sql()).rows[0][0])
    found, pace = [], Pace()
    for number, size in enumerate(sizes, start=1):
        started = asker.seconds()
        found.append(_of_table(asker, conduct, size, page_bytes))
        conduct.watcher.show(Progress(done=number, expected=len(sizes)))
        pressure = pressure_of(asker.last, asker.session.policy.gates) if asker.last else 0.0
        conduct.rest(pace.rest_seconds(asker.seconds() - started, pressure))
    return found


def _of_table(asker: Asker, conduct: Conduct, size: TableSize, page_bytes: int) -> dict[str, int]:
    sql = statistics.indexes_sql(asker, size.schema, size.name)
    try:
        told = conduct.once_fit(asker.session, 0, lambda: asker.ask(sql))
    except ServerError as error:
        if error.number not in NOT_GRANTED:
            raise
        raise ConfigurationError(
            f"sizes of indexes cannot be read: {error.server_message}",
            instead="grant the read account SELECT ON mysql.innodb_index_stats",
        ) from error
    indexes: dict[str, int] = {}
    for index, table, pages in told.rows:
        if PARTITION.split(str(table), maxsplit=1)[0] == size.name:
            indexes[str(index)] = indexes.get(str(index), 0) + int(pages) * page_bytes
    return indexes


#     resume a draft, or begin ─► page by primary key ─► write it down ─► rest ─► … ─► keep the report
#
# Every page is a small plain read that passes the gate by itself. When no node is fit the job waits until one is, and
# gives up in the end with everything it has read kept for the next run.


DRAFT_HOLDS_SECONDS = 24 * 3600.0
"""The greatest age of a draft that is resumed: its first figures are as old."""

SMALLEST_PAGE = 10
_AFTER_LIMIT_SECONDS = 1.0


class _Run(msgspec.Struct, kw_only=True):
    asker: Asker
    shelf: ReportShelf
    conduct: Conduct
    cluster: str
    schema: str
    draft: str
    tables: int = 0
    expected: int = 0
    servers: set[str] = msgspec.field(default_factory=set)
    pace: Pace = msgspec.field(default_factory=Pace)
    page_tables: int = statistics.PAGE_TABLES

    def write(self, part: Head | Page | End) -> None:
        self.shelf.append(self.cluster, self.draft, line_of(part))


def survey(
    asker: Asker,
    shelf: ReportShelf,
    conduct: Conduct,
    *,
    schema: str = "",
    afresh: bool = False,
    nodes: tuple[str, ...] = (),
) -> Report:
    """Read the sizes of all tables, or of one schema's, and keep them as a report. The draft is kept on every error.

    Args:
        schema: the only schema wanted, "" for all.
        afresh: do not resume an interrupted run.

    Raises:
        NoFitNodeError: no node was fit for longer than the conduct's patience.
        SafeConsoleError: a page was refused, failed or lost.
        KeyboardInterrupt: the person left.
    """
    cluster = asker.session.context.cluster
    sampled = not asker.dialect.has_statistics
    # A cluster that has no fit node to begin with is an answer, not something to wait for.
    begun = asker.ask("SELECT 1, ''" if sampled else statistics.start_sql())
    # Names of schemas can be longer than names of files, and names of clusters are not theirs alone.
    with shelf.claimed(cluster, f"{'schema' if schema else 'all'}-{_digest(begun.server, schema)}") as draft:
        run = _Run(asker=asker, shelf=shelf, conduct=conduct, cluster=cluster, schema=schema, draft=draft)
        after = _resume(run, _head(run, begun, nodes), afresh=afresh)
        pages = _sampled_pages(run, after) if sampled else _statistics_pages(run, after, int(begun.rows[0][0]))
        for page in pages:
            run.write(page_of(page))
            run.tables += len(page)
            conduct.watcher.show(Progress(done=run.tables, expected=run.expected))
        now = conduct.utc()
        run.write(End(now.strftime("%Y-%m-%dT%H:%M:%SZ"), list(_caveats(run, sampled=sampled))))
        name = f"{now:%Y%m%dT%H%M%S%f}Z-{_digest(draft)[:6]}"
        shelf.keep(cluster, draft, name)
    return open_report(shelf, cluster, name)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _head(run: _Run, begun: Reply, nodes: tuple[str, ...]) -> Head:
    run.servers.add(begun.server)
    return Head(
        cluster=run.cluster,
        schema=run.schema,
        server=begun.server,
        node=begun.considered.node or "",
        flavour=run.asker.dialect.flavour.value,
        source="statistics" if run.asker.dialect.has_statistics else "sample",
        started=run.conduct.utc().strftime("%Y-%m-%dT%H:%M:%SZ"),
        server_time=str(begun.rows[0][1])[:19],
        nodes=nodes,
    )


def _resume(run: _Run, head: Head, *, afresh: bool) -> tuple[str, str]:
    found = None if afresh else _draft_to_resume(run, head)
    if found is not None:
        run.tables = found.tables
        return found.last
    run.shelf.drop(run.cluster, run.draft)
    run.write(head)
    return "", ""


def _draft_to_resume(run: _Run, head: Head) -> Draft | None:
    draft = read_draft(run.shelf.draft(run.cluster, run.draft))
    if draft is None or (draft.head.server, draft.head.source) != (head.server, head.source):
        return None
    begun = dt.datetime.fromisoformat(draft.head.started)
    is_fresh = (run.conduct.utc() - begun).total_seconds() <= DRAFT_HOLDS_SECONDS
    return draft if is_fresh else None


def _statistics_pages(run: _Run, after: tuple[str, str], page_bytes: int) -> Iterator[list[TableSize]]:
    gates = run.asker.session.policy.gates
    while True:
        asked_for = run.page_tables
        told = _smaller_or_page(run, statistics.page_sql(run.asker, schema=run.schema, after=after, most=asked_for))
        if told is None:
            # It hit a limit: the same again, smaller.
            run.page_tables = max(SMALLEST_PAGE, asked_for // 2)
            continue
        sizes = [statistics.size_of(row, page_bytes) for row in told.rows]
        if sizes:
            after = sizes[-1].key
            ahead = told.considered.estimate.rows
            run.expected = max(run.expected, run.tables + max(ahead, len(sizes)))
            yield sizes
        if len(sizes) < asked_for:
            return
        run.conduct.rest(run.pace.rest_seconds(told.seconds, pressure_of(told.considered, gates)))


def _smaller_or_page(run: _Run, sql: str) -> Reply | None:
    try:
        return _page(run, sql)
    except StoppedError as error:
        if error.by == "person" or run.page_tables <= SMALLEST_PAGE:
            raise
        run.conduct.rest(_AFTER_LIMIT_SECONDS)
        return None


def _page(run: _Run, sql: str) -> Reply:
    told = run.conduct.once_fit(run.asker.session, run.tables, lambda: run.asker.ask(sql))
    run.servers.add(told.server)
    return told


def _sampled_pages(run: _Run, after: tuple[str, str]) -> Iterator[list[TableSize]]:
    if run.schema not in {"", SCHEMA}:
        return
    last = after[1]
    while True:
        told = _page(run, names_sql(run.asker, last))
        names = [str(row[0]) for row in told.rows]
        if names:
            last = names[-1]
            yield [_sampled(run, name) for name in names]
        if len(names) < PAGE_TABLES:
            return


def _sampled(run: _Run, name: str) -> TableSize:
    started = run.asker.seconds()
    size = run.conduct.once_fit(run.asker.session, run.tables, lambda: size_of(run.asker, name))
    run.conduct.rest(run.pace.rest_seconds(run.asker.seconds() - started, 0.0))
    return size


def _caveats(run: _Run, *, sampled: bool) -> Iterator[str]:
    yield from CAVEATS if sampled else statistics.CAVEATS
    if len(run.servers) > 1:
        yield f"{len(run.servers)} nodes were asked in turn; their estimates differ"
