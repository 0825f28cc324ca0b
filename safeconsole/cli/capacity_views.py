"""Views of a capacity report: rows for programs, bars for a person, a treemap for a page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import msgspec

from safeconsole.capacity.investigating import Unseen, server_time
from safeconsole.capacity.leftovers import Leftover, LeftoverState
from safeconsole.capacity.reports import Growth, Report
from safeconsole.capacity.sizes import SchemaSize, TableSize
from safeconsole.capacity.tablespaces import Verified
from safeconsole.cluster.engine import Row
from safeconsole.output.charts import Bar, Branch, Leaf, bars_text, key_of_bars, treemap_page
from safeconsole.output.text import StreamStyle, age_text, counted, in_words, size_text

MOST_LEAVES = 1_000
"""Tables drawn individually in a treemap; the rest of each schema is one box."""

SOURCES = {
    "statistics": "estimates from InnoDB's persistent statistics",
    "sample": "estimates from the highest rowid and a sample of rows",
}

_STATE_MARKS = {
    LeftoverState.RUNNING: "RUNNING",
    LeftoverState.ABANDONED: "abandoned",
    LeftoverState.UNCLEAR: "unclear",
}


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One result.

    Attributes:
        columns, rows: for programs; sizes are bytes, ages are seconds.
        bars: the same for a person, a line each.
        parts: what the two parts of the bars are; nothing where they have one.
    """

    columns: tuple[str, ...]
    rows: list[Row]
    bars: list[Bar]
    title: str
    parts: tuple[str, str] | None = ("data", "indexes")

    def text(self, style: StreamStyle) -> str:
        key = f"  {key_of_bars(*self.parts, style)}\n" if self.parts and self.bars else ""
        return f"{in_words(self.title, style)}\n{key}{bars_text(self.bars, style)}"


def age_seconds(updated: str, now: dt.datetime) -> int | None:
    """Return the age of a figure, or None."""
    return max(0, round((now - dt.datetime.fromisoformat(updated)).total_seconds())) if updated else None


def tables_view(sizes: Sequence[TableSize], report: Report, *, title: str) -> View:
    now = server_time(report)
    rows: list[Row] = []
    bars = []
    for size in sizes:
        age = age_seconds(size.updated, now)
        rows.append(
            (
                *(size.schema, size.name, size.rows, size.data_bytes, size.index_bytes, size.total_bytes),
                *(size.partitions, age, size.file_bytes or None),
            )
        )
        notes = [f"{age_text(age)} old"] if age is not None else []
        notes.append(f"~{size.rows:,} rows")
        if size.partitions:
            notes.append(counted(size.partitions, "partition"))
        if size.file_bytes:
            notes.append(f"file {size_text(size.file_bytes)}")
        notes += [f"data {size_text(size.data_bytes)}", f"indexes {size_text(size.index_bytes)}"]
        bars.append(Bar(label=size.label, first=size.data_bytes, second=size.index_bytes, notes=tuple(notes)))
    columns = ("schema", "table", "rows_estimated", "data_bytes", "index_bytes", "total_bytes", "partitions")
    more = ("figures_age_seconds", "file_bytes_estimated")
    return View(columns=(*columns, *more), rows=rows, bars=bars, title=title)


def schemas_view(schemas: Sequence[SchemaSize], report: Report, *, title: str, of_bytes: int) -> View:
    """Return schemas, in order; `of_bytes` is the size of all, also of those not shown."""
    now = server_time(report)
    columns = (
        "schema",
        "tables",
        "rows_estimated",
        "data_bytes",
        "index_bytes",
        "total_bytes",
        "oldest_figure_seconds",
        "file_bytes_estimated",
    )
    return View(
        columns=columns,
        rows=[
            (
                *(each.schema, each.tables, each.rows, each.data_bytes, each.index_bytes, each.total_bytes),
                *(age_seconds(each.oldest, now), each.file_bytes or None),
            )
            for each in schemas
        ],
        bars=[
            Bar(
                label=each.schema,
                first=each.data_bytes,
                second=each.index_bytes,
                notes=(
                    f"{100 * each.total_bytes / (of_bytes or 1):.0f} %",
                    counted(each.tables, "table"),
                    *((f"files {size_text(each.file_bytes)}",) if each.file_bytes else ()),
                ),
            )
            for each in schemas
        ],
        title=title,
    )


def indexes_view(found: Iterable[tuple[TableSize, dict[str, int]]]) -> View:
    """Return the indexes of tables, largest first within each."""
    rows: list[Row] = []
    bars = []
    for size, indexes in found:
        for name, count in sorted(indexes.items(), key=lambda each: -each[1]):
            rows.append((size.schema, size.name, name, count))
            primary = name in {"PRIMARY", "GEN_CLUST_INDEX"}
            bars.append(
                Bar(
                    label=f"{size.label} {name}",
                    first=count if primary else 0,
                    second=0 if primary else count,
                    notes=("the rows themselves",) if primary else (),
                )
            )
    return View(
        columns=("schema", "table", "index", "bytes"), rows=rows, bars=bars, title="indexes, by their statistics"
    )


def verified_view(found: Sequence[Verified]) -> View:
    rows: list[Row] = []
    bars = []
    for each in found:
        error = None if each.error is None else round(each.error, 4)
        size = each.size
        found_and_why = (each.found_bytes, each.witness, error, each.note)
        rows.append((size.schema, size.name, size.total_bytes, *found_and_why, size.file_bytes or None))
        said = each.note or "nothing says"
        if each.found_bytes is not None and each.error is not None:
            estimate = "the estimate of its file" if each.witness == "tablespace" else "the estimate"
            said = f"{each.witness} says {size_text(each.found_bytes)}: {estimate} is {100 * each.error:+.1f} % off"
        bars.append(Bar(label=size.label, first=size.data_bytes, second=size.index_bytes, detail=said))
    columns = ("schema", "table", "total_bytes", "found_bytes", "witness", "error", "note", "file_bytes_estimated")
    return View(columns=columns, rows=rows, bars=bars, title="the largest tables, compared with the tables themselves")


def unseen_view(found: Sequence[Unseen], *, of: int) -> View:
    """Return tables without statistics, in order; `of` is how many there are."""
    known = sum(each.found_bytes or 0 for each in found)
    return View(
        columns=("schema", "table", "engine", "found_bytes", "why"),
        rows=[(each.schema, each.name, each.engine or None, each.found_bytes, each.why) for each in found],
        bars=[Bar(label=each.label, first=each.found_bytes or 0, detail=each.why) for each in found],
        title=f"{counted(of, 'table')} that the statistics do not show, {size_text(known)} of them looked up",
        parts=None,
    )


def growth_view(found: Sequence[Growth], days: float, *, title: str) -> View:
    rows: list[Row] = []
    bars = []
    for each in found:
        before = each.before.total_bytes if each.before else None
        after = each.after.total_bytes if each.after else None
        a_day = round(each.grown_bytes / days)
        rows.append((each.size.schema, each.size.name, before, after, each.grown_bytes, a_day, each.grown_rows))
        sign = "+" if each.grown_bytes >= 0 else "-"
        how = "new" if each.before is None else "gone" if each.after is None else f"was {size_text(before or 0)}"
        grown = abs(each.grown_bytes)
        notes = (how, f"{a_day / 1024**2:+,.1f} MiB a day", f"{each.grown_rows:+,} rows")
        bars.append(Bar(label=each.size.label, first=grown, size=f"{sign}{size_text(grown)}", notes=notes))
    columns = ("schema", "table", "before_bytes", "after_bytes", "grown_bytes", "grown_bytes_a_day", "grown_rows")
    return View(columns=columns, rows=rows, bars=bars, title=title, parts=None)


def leftovers_view(found: Sequence[Leftover], *, most: int) -> View:
    """Return leftovers, in order, at most `most` or all where that is 0; the title counts all."""
    rows: list[Row] = []
    bars = []
    for each in found[: most or None]:
        suspect, size = each.suspect, each.suspect.size
        what = suspect.pattern.what or suspect.pattern.part.value
        age = None if each.age_seconds is None else round(each.age_seconds)
        rows.append(
            (
                *(size.schema, size.name, suspect.pattern.tool, what, suspect.base or None, each.state.value),
                *(size.total_bytes, size.rows, age, each.age_from or None, each.why, "; ".join(each.evidence.unseen)),
            )
        )
        said = f"{_STATE_MARKS[each.state]}: {suspect.pattern.tool}, {what}{_dated(each)}; {each.why}"
        bars.append(Bar(label=size.label, first=size.data_bytes, second=size.index_bytes, detail=said))
    columns = ("schema", "table", "tool", "what", "base", "state", "total_bytes", "rows_estimated", "age_seconds")
    held = sum(each.suspect.size.total_bytes for each in found)
    by_state = ", ".join(
        f"{sum(each.state is state for each in found)} {_STATE_MARKS[state].lower()}" for state in LeftoverState
    )
    return View(
        columns=(*columns, "age_from", "why", "unseen"),
        rows=rows,
        bars=bars,
        title=f"{counted(len(found), 'leftover')} of schema migrations hold {size_text(held)}: {by_state}",
    )


def _dated(leftover: Leftover) -> str:
    """Return the moment that its age counts from; how long ago that is, the reason says."""
    if leftover.age_from == "name":
        return f", dated {leftover.suspect.stamped:%Y-%m-%d %H:%M} by its name"
    return f", created {leftover.evidence.created:%Y-%m-%d %H:%M}" if leftover.age_from else ""


def headline(report: Report, tables: int, total_bytes: int, schemas: int) -> str:
    head = report.head
    scope = f"{counted(tables, 'table')} in {counted(schemas, 'schema')}"
    return (
        f"{head.cluster}: {size_text(total_bytes)} in {scope}, {SOURCES[head.source]},"
        f" read on {head.node} at {head.started}"
    )


def page_of_report(report: Report, sizes: Iterable[TableSize], leftovers: frozenset[tuple[str, str]]) -> str:
    """Return a report as a treemap page that highlights leftovers."""
    ordered = sorted(sizes, key=lambda size: -size.total_bytes)
    leaves: dict[str, list[Leaf]] = {}
    rest: dict[str, tuple[int, int]] = {}
    for number, size in enumerate(ordered):
        if number >= MOST_LEAVES:
            count, weight = rest.get(size.schema, (0, 0))
            rest[size.schema] = count + 1, weight + size.total_bytes
            continue
        detail = f"data {size_text(size.data_bytes)}, indexes {size_text(size.index_bytes)}, about {size.rows:,} rows"
        leaf = Leaf(label=size.name, weight=size.total_bytes, detail=detail, marked=size.key in leftovers)
        leaves.setdefault(size.schema, []).append(leaf)
    for schema, (count, weight) in rest.items():
        leaves.setdefault(schema, []).append(Leaf(label=f"{count} smaller tables", weight=weight))
    notes = (
        headline(report, len(ordered), sum(size.total_bytes for size in ordered), len(leaves)),
        *(f"note: {caveat}" for caveat in report.end.caveats),
    )
    left = [size.total_bytes for size in ordered if size.key in leftovers]
    key = f"{counted(len(left), 'table')} with {size_text(sum(left))} named like leftovers of migrations"
    branches = tuple(Branch(label=schema, leaves=tuple(each)) for schema, each in leaves.items())
    return treemap_page(f"Capacity of {report.head.cluster}", notes, branches, key=key if left else "")
