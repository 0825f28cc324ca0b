"""
Learns the names of the session's schema for completion, a small page after each statement.

Only while statements go to a replica and nothing is elevated; the reads are the console's own, walk the
road like any other and are recorded as what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from safeconsole.core.errors import SafeConsoleError
from safeconsole.core.statement import Statement
from safeconsole.core.visit import Status
from safeconsole.core.vocabulary import Flavour, Role
from safeconsole.gate import Gate
from safeconsole.interfaces import Row
from safeconsole.shells.sql.catalogue import columns_sql, name_column, names_sql
from safeconsole.shells.sql.collecting import CollectingPresenter
from safeconsole.shells.sql.names import HELD_TABLES, SchemaNames, load_names, save_names

PAGE_TABLES = 2_000
"""Names of tables asked for at a time."""

TABLES_EACH_TIME = 3
"""Tables whose columns are asked for after one statement."""

Glance = Callable[[str], Sequence[Row]]
"""Runs a read of the console's own on a replica and returns its rows; raises SafeConsoleError."""


def glance_through(gate: Gate) -> Glance:
    """Return what runs the console's own reads down the same road, recorded as its own."""

    def glance(sql: str) -> Sequence[Row]:
        presenter = CollectingPresenter(PAGE_TABLES)
        for statement in gate.split(sql):
            gate.run(statement, presenter, by_console=True)
        return presenter.held

    return glance


class NameRefresher(msgspec.Struct, kw_only=True):
    """
    Keeps the names of one schema after another.

    Attributes:
        glance: see `Glance`.
        directory: where names are kept between sessions, "" for nowhere.
        schema: the schema that is being learnt, None before the first.
        pages: names learnt of it so far in this session.
        servers: identities of the servers whose names they are, empty while they are not known.
        whole: whether all its tables are known, or asking for them failed.
    """

    glance: Glance
    directory: str
    schema: str | None = None
    pages: list[str] = msgspec.field(default_factory=list)
    servers: frozenset[str] = frozenset()
    whole: bool = False

    def refresh(self, names: SchemaNames, status: Status, flavour: Flavour, last: Statement | None) -> SchemaNames:
        """Return the names of the session's schema, with one more page or a few more columns learnt."""
        if self.schema != status.schema:
            self.schema, self.pages, self.whole = status.schema, [], False
            names = load_names(self.directory, status.cluster, status.schema)
            self.servers = names.servers
        if status.servers and self.servers.isdisjoint(status.servers):
            # Kept of other servers under the same name, such as a test environment that was made anew.
            names, self.pages, self.whole = SchemaNames(), [], False
        self.servers = names.servers = status.servers or self.servers
        if status.role != Role.REPLICA or status.elevated_seconds > 0:
            return names
        try:
            most = min(PAGE_TABLES, status.limits.fetched_rows)
            changed = self._learn_tables(names, flavour, most) or self._learn_columns(names, flavour, last)
        except SafeConsoleError:
            # Completion is a comfort: what a server or a policy refuses is not asked for again.
            self.whole = True
            return names
        if changed:
            save_names(self.directory, status.cluster, status.schema, names)
        return names

    def _learn_tables(self, names: SchemaNames, flavour: Flavour, most: int) -> bool:
        if self.whole:
            return False
        after = self.pages[-1] if self.pages else ""
        page = [str(row[0]) for row in self.glance(names_sql(flavour, after=after, most=most))]
        self.pages += page
        # A name that would need escaping ends the paging: its text could be read differently by sql_mode.
        self.whole = len(page) < max(1, most) or len(self.pages) >= HELD_TABLES or bool({"'", "\\"} & set(page[-1]))
        if self.whole:
            names.set_tables(self.pages)
        else:
            names.set_tables([*names.tables, *page])
        return True

    def _learn_columns(self, names: SchemaNames, flavour: Flavour, last: Statement | None) -> bool:
        unknown = []
        for table in last.tables if last else ():
            known = names.table_like(table.name)
            if known is not None and known not in names.columns and table.schema in {None, "", self.schema}:
                unknown.append(known)
        place = name_column(flavour)
        for name in dict.fromkeys(unknown[:TABLES_EACH_TIME]):
            names.columns[name] = tuple(str(row[place]) for row in self.glance(columns_sql(flavour, name)))
        return bool(unknown)
