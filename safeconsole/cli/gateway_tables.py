"""The gateway's tables with content from the rest of the program: sizes, leftovers, the journal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from safeconsole.audit.archive import open_archive
from safeconsole.audit.search import Query, found
from safeconsole.capacity.asking import Asker, Conduct, Progress
from safeconsole.capacity.investigating import LOOKED_AT, investigate
from safeconsole.capacity.leftovers import patterns_of, suspects_among
from safeconsole.capacity.reports import Report, latest_report
from safeconsole.capacity.survey import survey
from safeconsole.cli.application import Application
from safeconsole.cli.capacity_views import leftovers_view, tables_view
from safeconsole.errors import ConfigurationError
from safeconsole.gateway.client import ClientConnection
from safeconsole.gateway.selecting import OwnRow
from safeconsole.gateway.tables import BIGINT, DOUBLE, VARCHAR, OwnTable, Tables

REPORT_HOLDS_SECONDS = 600.0
"""A tool that shows a table again does not have every table counted again."""

_PATIENCE_SECONDS = 30.0
JOURNAL_DAYS = 7


def own_tables(app: Application, cluster: str) -> Tables:
    """Return the tables that the gateway of a cluster has beside its own."""

    def capacity(client: ClientConnection) -> Iterator[OwnRow]:
        report = _report_of(app, cluster, _asker(client))
        for size in report.tables():
            (row,) = tables_view([size], report, title="").rows
            yield (*row, report.head.started)

    def leftovers(client: ClientConnection) -> Iterator[OwnRow]:
        asker = _asker(client)
        report = _report_of(app, cluster, asker)
        suspects = suspects_among(report.tables(), patterns_of(app.settings().leftovers))
        judged = investigate(asker, _conduct(), report, suspects, most=LOOKED_AT)
        for row in leftovers_view(judged, most=0).rows:
            yield (*row, report.head.started)

    return {
        "capacity": OwnTable(columns=_CAPACITY, rows=capacity),
        "leftovers": OwnTable(columns=_LEFTOVERS, rows=leftovers),
        "journal": OwnTable(columns=_JOURNAL, rows=lambda client: _journal_of(app, cluster, client)),
    }


_CAPACITY = {
    "schema": VARCHAR, "table": VARCHAR, "rows_estimated": BIGINT, "data_bytes": BIGINT, "index_bytes": BIGINT,
    "total_bytes": BIGINT, "partitions": BIGINT, "figures_age_seconds": BIGINT, "file_bytes_estimated": BIGINT,
    "measured": VARCHAR,
}  # fmt: skip
_LEFTOVERS = {
    "schema": VARCHAR, "table": VARCHAR, "tool": VARCHAR, "what": VARCHAR, "base": VARCHAR, "state": VARCHAR,
    "total_bytes": BIGINT, "rows_estimated": BIGINT, "age_seconds": BIGINT, "age_from": VARCHAR, "why": VARCHAR,
    "unseen": VARCHAR, "measured": VARCHAR,
}  # fmt: skip
_JOURNAL = {
    "session": VARCHAR, "statement": BIGINT, "asked": VARCHAR, "sql": VARCHAR, "kind": VARCHAR, "verdict": VARCHAR,
    "message": VARCHAR, "node": VARCHAR, "account": VARCHAR, "reason": VARCHAR, "ticket": VARCHAR,
    "approver": VARCHAR, "outcome": VARCHAR, "rows": BIGINT, "changed_rows": BIGINT, "elapsed_seconds": DOUBLE,
    "face": VARCHAR,
}  # fmt: skip


class _NobodyWatches:
    def show(self, progress: Progress) -> None:
        """A client is told at the end."""


def _conduct() -> Conduct:
    return Conduct(watcher=_NobodyWatches(), patience_seconds=_PATIENCE_SECONDS)


def _asker(client: ClientConnection) -> Asker:
    return Asker(session=client.session, rules=client.rules)


def _report_of(app: Application, cluster: str, asker: Asker) -> Report:
    """Return the last report while it is young, or make one. Raises SafeConsoleError as `survey`."""
    shelf, nodes = app.reports(), app.settings().clusters[cluster].nodes
    try:
        last = latest_report(shelf, cluster, schema="", nodes=nodes)
    except ConfigurationError:
        last = None
    now = dt.datetime.now(dt.UTC)
    if last is not None and last.head.schema == "":
        age = (now - dt.datetime.fromisoformat(last.head.started)).total_seconds()
        if 0 <= age < REPORT_HOLDS_SECONDS:
            return last
    return survey(asker, shelf, _conduct(), nodes=nodes)


def _journal_of(app: Application, cluster: str, client: ClientConnection) -> Iterator[OwnRow]:
    """Yield the person's statements on the cluster in the last days, newest session first."""
    person = client.arrival.person
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(days=JOURNAL_DAYS)).strftime("%Y-%m-%dT%H:%M:%S")
    archive = open_archive(app.audit_directory(person))
    query = Query(person=person.name, cluster=cluster, since=since)
    mine = (person.name, cluster)
    for glance in reversed([each for each in archive.glance() if (each.person, each.cluster) == mine]):
        troubles: list[str] = []
        stories = list(found(archive, query, (glance.session,), unread=troubles.append))
        for trouble in troubles:
            # Rows that are left out are told, among those that are not.
            yield tuple({"session": glance.session, "message": trouble}.get(name) for name in _JOURNAL)
        for story in reversed(stories):
            if story.person == person.name:
                yield tuple(getattr(story, name) for name in _JOURNAL)
