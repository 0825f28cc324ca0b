"""Capacity reports: their lines, drafts of interrupted runs, and growth between two reports.

Reports are read as streams: 100,000 tables need the memory of one page. Two reports are sorted alike (by the codes of
characters, as the statistics' binary collation), so growth reads them side by side.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from safeconsole.capacity.sizes import OWN_SCHEMAS, TableSize, file_bytes_of, folded
from safeconsole.errors import ConfigurationError

# A draft that was interrupted holds every page that was read, so the job goes on where it stood. A report is read as
# a stream: 100,000 tables cost the memory of the page at hand.


KEPT_REPORTS = 100
"""Reports kept per cluster; the oldest are removed."""

FORMAT = 1
"""Format version of the lines; others are not read."""


class ReportShelf(Protocol):
    """Storage for the lines of drafts and kept reports of each cluster."""

    def claimed(self, cluster: str, draft: str) -> AbstractContextManager[str]:
        """Lock a draft for this run, or a numbered one beside it where another run has it, and give its name.

        Raises ConfigurationError: too many runs have one already, or it cannot be written.
        """
        ...

    def append(self, cluster: str, draft: str, line: str) -> None:
        """Append a line to a draft, created when missing. Raises ConfigurationError: it cannot be written."""
        ...

    def draft(self, cluster: str, draft: str) -> Iterator[str]:
        """Yield a draft's lines; a missing draft has none."""
        ...

    def drop(self, cluster: str, draft: str) -> None: ...

    def keep(self, cluster: str, draft: str, name: str) -> None:
        """Turn a draft into a report, and remove the oldest reports above the maximum."""
        ...

    def kept(self, cluster: str) -> tuple[str, ...]:
        """Names of the reports, oldest first."""
        ...

    def lines(self, cluster: str, name: str) -> Iterator[str]:
        """Yield a report's lines. Raises ConfigurationError: it cannot be read."""
        ...


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: the question, and whom it was asked.

    Attributes:
        schema: the only schema asked for, "" for all.
        source: "statistics" or "sample".
        started: UTC by this computer, "YYYY-MM-DDTHH:MM:SSZ".
        server_time: the server's own time then, "YYYY-MM-DD hh:mm:ss", or ""; the age of figures counts from it.
        nodes: the cluster's configured addresses, which tell apart two clusters of one name.
    """

    format: int = FORMAT
    cluster: str
    schema: str
    server: str
    node: str
    flavour: str
    source: str
    started: str
    server_time: str
    nodes: tuple[str, ...] = ()


class Page(msgspec.Struct, frozen=True, array_like=True, tag="page"):
    """One page: (schema, name, rows, data bytes, index bytes, updated) a table, sorted by schema and name."""

    rows: list[tuple[str, str, int, int, int, str]]


class End(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The last line: when it was finished, and what could not be seen, one line each."""

    finished: str
    caveats: list[str]


_HEAD, _LINE = msgspec.json.Decoder(Head), msgspec.json.Decoder(Page | End)
_ENCODER = msgspec.json.Encoder()


def line_of(part: Head | Page | End) -> str:
    return _ENCODER.encode(part).decode("utf-8")


def page_of(sizes: Iterable[TableSize]) -> Page:
    return Page([(s.schema, s.name, s.rows, s.data_bytes, s.index_bytes, s.updated) for s in sizes])


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an interrupted run.

    Attributes:
        tables: tables read, partitions counted one by one.
        last: schema and name of the last of them.
    """

    head: Head
    tables: int
    last: tuple[str, str]


def read_draft(lines: Iterable[str]) -> Draft | None:
    """Return a draft's content, or None when nothing valid can be resumed."""
    head: Head | None = None
    tables, last = 0, ("", "")
    for line in lines:
        try:
            if head is None:
                head = _HEAD.decode(line)
                continue
            part = _LINE.decode(line)
        except msgspec.DecodeError:
            # Torn by a crash: what would be appended now could not be read either.
            return None
        if isinstance(part, Page) and part.rows:
            tables, last = tables + len(part.rows), part.rows[-1][:2]
    return None if head is None or head.format != FORMAT else Draft(head=head, tables=tables, last=last)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One kept report; its tables are streamed from storage each time.

    Attributes:
        head, end: its first and last line.
    """

    shelf: ReportShelf
    name: str
    head: Head
    end: End

    def tables(self) -> Iterator[TableSize]:
        """Yield every table, partitions added up, sorted by schema and name."""
        return folded(self._parts())

    def _parts(self) -> Iterator[TableSize]:
        for part in _body(self.shelf.lines(self.head.cluster, self.name)):
            if isinstance(part, Page):
                for schema, name, rows, data, index, updated in part.rows:
                    # The server's own tables share files.
                    has_file = self.head.source == "statistics" and schema not in OWN_SCHEMAS
                    yield TableSize(
                        schema=schema,
                        name=name,
                        rows=rows,
                        data_bytes=data,
                        index_bytes=index,
                        file_bytes=file_bytes_of(data + index) if has_file else 0,
                        updated=updated,
                    )


def open_report(shelf: ReportShelf, cluster: str, name: str) -> Report:
    """Open a kept report. Raises ConfigurationError: it cannot be read, or is incomplete."""
    try:
        head = _HEAD.decode(next(iter(shelf.lines(cluster, name)), ""))
        end = next((part for part in _body(shelf.lines(cluster, name)) if isinstance(part, End)), None)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"capacity report {name} of {cluster} cannot be read: {error}") from error
    if head.format != FORMAT or end is None:
        raise ConfigurationError(f"capacity report {name} of {cluster} is incomplete, or of another version")
    return Report(shelf=shelf, name=name, head=head, end=end)


def _body(lines: Iterator[str]) -> Iterator[Page | End]:
    next(lines, None)
    return (_LINE.decode(line) for line in lines)


# The order of the names is that of the statistics' binary collation, which is the order of the characters' codes.


_SPAN = re.compile(r"(\d+)([mhdw])")
_SPAN_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """One table in two reports.

    Attributes:
        before, after: its sizes; None where it is not in that report.
    """

    before: TableSize | None
    after: TableSize | None

    @property
    def size(self) -> TableSize:
        found = self.after or self.before
        assert found is not None, "a table stands in one of the reports"
        return found

    @property
    def grown_bytes(self) -> int:
        """Bytes gained; negative for a table that shrank or was removed."""
        return (self.after.total_bytes if self.after else 0) - (self.before.total_bytes if self.before else 0)

    @property
    def grown_rows(self) -> int:
        return (self.after.rows if self.after else 0) - (self.before.rows if self.before else 0)


def growth(before: Iterable[TableSize], after: Iterable[TableSize]) -> Iterator[Growth]:
    old, new = iter(before), iter(after)
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.key < right.key):
            yield Growth(before=left, after=None)
            left = next(old, None)
        elif left is None or right.key < left.key:
            yield Growth(before=None, after=right)
            right = next(new, None)
        else:
            yield Growth(before=left, after=right)
            left, right = next(old, None), next(new, None)


def days_between(before: Report, after: Report) -> float:
    begun, ended = (dt.datetime.fromisoformat(each.head.started) for each in (before, after))
    return max((ended - begun).total_seconds(), 1.0) / 86_400


def since(text: str, now: dt.datetime) -> dt.datetime:
    """Return a time given as "7d", "12h", "30m", "2w", or as a date or time in UTC. Raises ConfigurationError."""
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return now - dt.timedelta(seconds=int(span[1]) * _SPAN_SECONDS[span[2]])
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"--since {text!r} is not a time", instead="7d, 12h, 2w, or a date such as 2026-01-31"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def report_since(
    shelf: ReportShelf, but: Report, when: dt.datetime, *, servers: AbstractSet[str], schema: str
) -> Report:
    """Return the newest report that is at least as old as a time, or else the oldest one.

    Args:
        but: the report that it is compared with.
        servers: instances of the cluster; a report of any other is of another cluster of the same name.
        schema: what it must cover; a report of everything covers each schema.

    Raises:
        ConfigurationError: there is none.
    """
    cluster, found, strangers = but.head.cluster, None, 0
    # From the newest on: what is older than the one that is sought is not even opened.
    for name in reversed(shelf.kept(cluster)):
        report = open_report(shelf, cluster, name)
        if name == but.name or not _covers(report, schema):
            continue
        if report.head.server not in servers:
            strangers += 1
            continue
        found = report
        if dt.datetime.fromisoformat(report.head.started) <= when:
            break
    if found is None:
        others = f"; {strangers} are from servers that are no longer in it" if strangers else ""
        raise ConfigurationError(
            f"there is no earlier capacity report of {cluster} on this computer{others}",
            instead=f"safeconsole capacity {cluster} keeps one each time it runs",
        )
    return found


def _covers(report: Report, schema: str) -> bool:
    return report.head.schema in {"", schema}


def latest_report(shelf: ReportShelf, cluster: str, *, schema: str, nodes: tuple[str, ...] = ()) -> Report:
    """Return the newest report that covers a schema.

    Args:
        nodes: the cluster's configured addresses; a report that names none of them is of another cluster of the same
            name, and one without addresses was written by an older version.

    Raises:
        ConfigurationError: there is none.
    """
    strangers = 0
    for name in reversed(shelf.kept(cluster)):
        report = open_report(shelf, cluster, name)
        if not _covers(report, schema):
            continue
        if not report.head.nodes or not nodes or set(report.head.nodes) & set(nodes):
            return report
        strangers += 1
    others = f"; {strangers} are from another cluster with this name" if strangers else ""
    raise ConfigurationError(
        f"there is no capacity report of {cluster} on this computer{others}", instead=f"safeconsole capacity {cluster}"
    )
