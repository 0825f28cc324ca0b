"""A cluster's newest capacity report in one row: its size, its growth, and what migrations left behind."""

from __future__ import annotations

import datetime as dt
import heapq
import threading
from collections.abc import Mapping

import msgspec

from safeconsole.capacity.leftovers import Pattern, patterns_of, suspect_of
from safeconsole.capacity.reports import (
    Report,
    ReportShelf,
    days_between,
    growth,
    latest_report,
    report_since,
)
from safeconsole.config.settings import Settings
from safeconsole.errors import ConfigurationError

SPAN = dt.timedelta(days=7)
SHOWN_TABLES = 3


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster.

    Attributes:
        measured: when the report began, UTC; "" without a report.
        leftovers: tables that are named as migrations name what they leave; nobody looked at them for this.
        days: between the two reports that growth is told from, 0 without an earlier one.
        fastest: the tables that grew most, with the bytes.
        trouble: why there is no report, or no growth.
    """

    cluster: str
    measured: str = ""
    tables: int = 0
    total_bytes: int = 0
    leftovers: int = 0
    leftover_bytes: int = 0
    days: float = 0.0
    grown_bytes: int = 0
    fastest: tuple[tuple[str, int], ...] = ()
    trouble: str = ""


def overview_of(
    shelf: ReportShelf, cluster: str, patterns: tuple[Pattern, ...], nodes: tuple[str, ...] = ()
) -> Overview:
    """Return a cluster's row; never raises for what reports hold."""
    try:
        report = latest_report(shelf, cluster, schema="", nodes=nodes)
        seen = _sizes(report, patterns)
    except ConfigurationError as error:
        return Overview(cluster=cluster, trouble=error.message)
    try:
        return _with_growth(shelf, report, seen)
    except ConfigurationError as error:
        return msgspec.structs.replace(seen, trouble=error.message)


def _sizes(report: Report, patterns: tuple[Pattern, ...]) -> Overview:
    tables = total = leftovers = left = 0
    for size in report.tables():
        tables, total = tables + 1, total + size.total_bytes
        if suspect_of(size, patterns) is not None:
            leftovers, left = leftovers + 1, left + size.total_bytes
    return Overview(
        cluster=report.head.cluster,
        measured=report.head.started,
        tables=tables,
        total_bytes=total,
        leftovers=leftovers,
        leftover_bytes=left,
    )


def _with_growth(shelf: ReportShelf, report: Report, seen: Overview) -> Overview:
    then = dt.datetime.fromisoformat(report.head.started) - SPAN
    before = report_since(shelf, report, then, servers={report.head.server}, schema="")
    grown = 0
    fastest: list[tuple[int, str]] = []
    for each in growth(before.tables(), report.tables()):
        grown += each.grown_bytes
        if each.grown_bytes > 0:
            heapq.heappush(fastest, (each.grown_bytes, each.size.label))
            if len(fastest) > SHOWN_TABLES:
                heapq.heappop(fastest)
    return msgspec.structs.replace(
        seen,
        days=days_between(before, report),
        grown_bytes=grown,
        fastest=tuple((label, size) for size, label in sorted(fastest, reverse=True)),
    )


class Overviews:
    """The rows of all configured clusters, made anew from time to time in the background."""

    def __init__(self, shelf: ReportShelf, settings: Settings) -> None:
        self._shelf, self._settings = shelf, settings
        self._lock = threading.Lock()
        self._rows: Mapping[str, Overview] = {}

    def rows(self) -> tuple[Overview, ...]:
        """Return what was made last, the largest growth first."""
        with self._lock:
            return tuple(sorted(self._rows.values(), key=lambda row: (-row.grown_bytes, row.cluster)))

    def renew(self) -> None:
        patterns = patterns_of(self._settings.leftovers)
        rows = {
            name: overview_of(self._shelf, name, patterns, cluster.nodes)
            for name, cluster in self._settings.clusters.items()
        }
        with self._lock:
            self._rows = rows
