"""
Capacity reports on this computer: written page by page while the job runs, kept when it is done.

A draft that was interrupted holds every page that was read, so the job goes on where it stood. A report
is read as a stream: 100,000 tables cost the memory of the page at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from safeconsole.core.errors import ConfigurationError
from safeconsole.jobs.sizes import TableSize, folded
from safeconsole.jobs.statistics import OWN_SCHEMAS, file_bytes_of

FORMAT = 1
"""Edition of the lines; another one is not read."""


class ReportShelf(Protocol):
    """Where the lines of reports lie; drafts and kept reports have names of their own, for each cluster."""

    def claimed(self, cluster: str, draft: str) -> AbstractContextManager[str]:
        """
        Give the name of a draft that no other run writes to meanwhile: this one, or one beside it where it is taken.

        Raises:
            ConfigurationError: too many runs have one already, or it cannot be written.
        """
        ...

    def append(self, cluster: str, draft: str, line: str) -> None:
        """Add a line to a draft, made when missing. Raises ConfigurationError: it cannot be written."""
        ...

    def draft(self, cluster: str, draft: str) -> Iterator[str]:
        """Yield a draft's lines; none when there is no such draft."""
        ...

    def drop(self, cluster: str, draft: str) -> None:
        """Forget a draft."""
        ...

    def keep(self, cluster: str, draft: str, name: str) -> None:
        """Make a draft a report, and remove the oldest reports over the shelf's length."""
        ...

    def kept(self, cluster: str) -> tuple[str, ...]:
        """Names of the reports, oldest first."""
        ...

    def lines(self, cluster: str, name: str) -> Iterator[str]:
        """Yield a report's lines. Raises ConfigurationError: it cannot be read."""
        ...


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """
    The first line: what was asked of whom.

    Attributes:
        format: see `FORMAT`.
        cluster: its name in the configuration.
        schema: the only schema asked for, "" for all.
        server: identity of the instance.
        node: its name in the cluster.
        flavour: the family member.
        source: where the figures come from: "statistics" or "sample".
        started: UTC by this computer, "YYYY-MM-DDTHH:MM:SSZ".
        server_time: the server's own time then, "YYYY-MM-DD hh:mm:ss", or ""; the age of figures counts from it.
        nodes: addresses that the configuration gave the cluster, by which two of one name are told apart.
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
    """The last line: when it was done, and what it could not see, one line each."""

    finished: str
    caveats: list[str]


_HEAD, _LINE = msgspec.json.Decoder(Head), msgspec.json.Decoder(Page | End)
_ENCODER = msgspec.json.Encoder()


def line_of(part: Head | Page | End) -> str:
    """Return one part of a report as a line without its newline."""
    return _ENCODER.encode(part).decode("utf-8")


def page_of(sizes: Iterable[TableSize]) -> Page:
    """Return tables as a page."""
    return Page([(s.schema, s.name, s.rows, s.data_bytes, s.index_bytes, s.updated) for s in sizes])


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an interrupted run left behind.

    Attributes:
        head: what it asked.
        tables: how many it had read, partitions counted one by one.
        last: schema and name of the last of them.
    """

    head: Head
    tables: int
    last: tuple[str, str]


def read_draft(lines: Iterable[str]) -> Draft | None:
    """Return what a draft holds, or None when there is nothing sound to go on from."""
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
    """
    One kept report; its tables stream from the shelf each time they are asked for.

    Attributes:
        shelf, name: where it lies.
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
    """
    Open a kept report.

    Raises:
        ConfigurationError: it cannot be read, or is not whole.
    """
    try:
        head = _HEAD.decode(next(iter(shelf.lines(cluster, name)), ""))
        end = next((part for part in _body(shelf.lines(cluster, name)) if isinstance(part, End)), None)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"capacity report {name} of {cluster} cannot be read: {error}") from error
    if head.format != FORMAT or end is None:
        raise ConfigurationError(f"capacity report {name} of {cluster} is not whole, or of another edition")
    return Report(shelf=shelf, name=name, head=head, end=end)


def _body(lines: Iterator[str]) -> Iterator[Page | End]:
    next(lines, None)
    return (_LINE.decode(line) for line in lines)
