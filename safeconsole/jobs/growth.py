"""
What grew between two reports: both are sorted by schema and name, so they are read side by side as streams.

The order of the names is that of the statistics' binary collation, which is the order of the characters' codes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

import msgspec

from safeconsole.core.errors import ConfigurationError
from safeconsole.jobs.reports import Report, ReportShelf, open_report
from safeconsole.jobs.sizes import TableSize

_SPAN = re.compile(r"(\d+)([mhdw])")
_SPAN_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """
    One table in two reports.

    Attributes:
        before, after: its sizes; None where it is not in that report.
    """

    before: TableSize | None
    after: TableSize | None

    @property
    def size(self) -> TableSize:
        """The later of the two."""
        found = self.after or self.before
        assert found is not None, "a table stands in one of the reports"
        return found

    @property
    def grown_bytes(self) -> int:
        """How much larger it is now; negative for what shrank or went."""
        return (self.after.total_bytes if self.after else 0) - (self.before.total_bytes if self.before else 0)

    @property
    def grown_rows(self) -> int:
        """How many rows more it has now."""
        return (self.after.rows if self.after else 0) - (self.before.rows if self.before else 0)


def growth(before: Iterable[TableSize], after: Iterable[TableSize]) -> Iterator[Growth]:
    """Yield every table of two sorted reports."""
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
    """Return the time from one report to the other in days, > 0."""
    begun, ended = (dt.datetime.fromisoformat(each.head.started) for each in (before, after))
    return max((ended - begun).total_seconds(), 1.0) / 86_400


def since(text: str, now: dt.datetime) -> dt.datetime:
    """
    Return the time that a person means: "7d", "12h", "30m", "2w", or a date or time in UTC.

    Raises:
        ConfigurationError: it is neither.
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return now - dt.timedelta(seconds=int(span[1]) * _SPAN_SECONDS[span[2]])
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"--since {text!r} is no time", instead="7d, 12h, 2w, or a date such as 2026-01-31"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def report_since(
    shelf: ReportShelf, but: Report, when: dt.datetime, *, servers: AbstractSet[str], schema: str
) -> Report:
    """
    Return the newest report that is at least as old, or else the oldest there is.

    Args:
        but: the report that it is compared with.
        servers: instances that are in the cluster; a report of any other is of another cluster by the same name.
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
        others = f"; {strangers} are of servers that are not in it now" if strangers else ""
        raise ConfigurationError(
            f"there is no earlier capacity report of {cluster} on this computer{others}",
            instead=f"safeconsole capacity {cluster} keeps one each time it runs",
        )
    return found


def _covers(report: Report, schema: str) -> bool:
    return report.head.schema in {"", schema}


def latest_report(shelf: ReportShelf, cluster: str, *, schema: str, nodes: tuple[str, ...] = ()) -> Report:
    """
    Return the newest report that covers a schema.

    Args:
        nodes: addresses that the configuration gives the cluster; a report that names none of them is of another
            cluster by the same name, and one that names no address at all is of an older program.

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
    others = f"; {strangers} are of another cluster by this name" if strangers else ""
    raise ConfigurationError(
        f"there is no capacity report of {cluster} on this computer{others}", instead=f"safeconsole capacity {cluster}"
    )
