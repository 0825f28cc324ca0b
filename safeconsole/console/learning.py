"""Learns the servers' lexical rules and a schema's names in the background, while a person types or reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from safeconsole.cluster.engine import Row
from safeconsole.console.names import HELD_TABLES, ForeignKey, SchemaNames, load_names, save_names
from safeconsole.dialects.mysql import MYSQL
from safeconsole.dialects.queries import columns_sql, keys_sql, names_sql
from safeconsole.errors import SafeConsoleError, StoppedError
from safeconsole.session.context import Status
from safeconsole.session.session import IN_USE, Session
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Role, Route

ASSUMED = LexicalRules(dialect=MYSQL)
"""Lexical rules for colouring until the servers answer; nothing is sent by them."""


class KnownRules:
    """The servers' lexical rules, once they are known.

    Args:
        read: asks the servers at its first call.
        failed: called, in the asking thread, with why they could not be asked.
        learnt: called, in the asking thread, once they are known.
    """

    def __init__(
        self,
        read: Callable[[], LexicalRules],
        failed: Callable[[SafeConsoleError], None] = lambda _error: None,
        learnt: Callable[[], None] = lambda: None,
    ) -> None:
        self._read = read
        self._failed = failed
        self._learnt = learnt
        self._known: LexicalRules | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start asking, once; does not wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._learn, name="safeconsole-known-rules", daemon=True)
            self._thread.start()

    def now(self) -> LexicalRules:
        """Return the rules if known, else the assumed ones; never waits."""
        if self._known is None or self._thread is None or self._thread.is_alive():
            return self._known or ASSUMED
        return self._read()

    def _learn(self) -> None:
        try:
            self._known = self._read()
        except SafeConsoleError as error:
            # The first statement meets the same error; the person need not type one to know.
            self._failed(error)
        else:
            self._learnt()


# Names only: sizes, counts and comments are never asked for. Source: on MySQL 9.7 and MariaDB 10.11, names alone open
# no table, measured.
#
# Only while statements go to a replica and nothing is elevated; the reads are the console's own, walk the road like
# any other and are recorded as what they are.


PAGE_TABLES = 2_000
"""Names of tables asked for at a time."""

TABLES_EACH_TIME = 3
"""Tables whose columns are asked for after one statement."""

Glance = Callable[[str], Sequence[Row]]
"""Runs a read of the console's own on a replica and returns its rows; raises SafeConsoleError."""


def glance_through(session: Session, *, at_replicas: bool = False) -> Glance:
    """Return a function that sends the console's own reads through the gate, recorded as the console's.

    Args:
        at_replicas: never to a primary that the console would choose itself.
    """

    def glance(sql: str) -> Sequence[Row]:
        (statement,) = session.split(sql)
        to = (session.to or Route.REPLICA) if at_replicas else None
        return session.execute(statement, by_console=True, to=to).take(PAGE_TABLES)

    return glance


class NameRefresher(msgspec.Struct, kw_only=True):
    """Learns the names of each schema in turn.

    Attributes:
        glance: see `Glance`.
        directory: where names are kept between sessions, "" for nowhere.
        schema: the schema that is being learnt, None before the first.
        pages: names learnt of it so far in this session.
        servers: identities of the servers whose names they are, empty while they are not known.
        whole: whether all its tables are known, or asking for them failed.
        keyless: whether asking for foreign keys failed.
        schemas, variables: the server's, None before they were asked for.
    """

    glance: Glance
    directory: str
    schema: str | None = None
    pages: list[str] = msgspec.field(default_factory=list)
    servers: frozenset[str] = frozenset()
    whole: bool = False
    keyless: bool = False
    schemas: tuple[str, ...] | None = None
    variables: tuple[str, ...] | None = None

    def refresh(self, names: SchemaNames, status: Status, dialect: Dialect, last: Statement | None) -> SchemaNames:
        """Learn one more page of tables or a few more columns, and return the names of the session's schema."""
        names = self._recalled(names, status)
        if status.role != Role.REPLICA or status.to == Route.PRIMARY or status.elevated_seconds > 0:
            return names
        try:
            most = min(PAGE_TABLES, status.limits.fetched_rows)
            changed = (
                self._learn_tables(names, dialect, most)
                or self._learn_columns(names, dialect, last)
                or self._learn_server(names, dialect, most)
                or self._learn_elsewhere(names, dialect, most, last)
            )
        except SafeConsoleError as error:
            if error.code == IN_USE:
                raise
            # Completion is a comfort: what a server or a policy refuses is not asked for again.
            if not (isinstance(error, StoppedError) and error.by == "person"):
                self.whole, self.schemas, self.variables = True, self.schemas or (), self.variables or ()
            return names
        if changed:
            save_names(self.directory, status.cluster, status.schema, names)
        return names

    def begin(self, names: SchemaNames, session: Session, dialect: Dialect) -> tuple[SchemaNames, bool]:
        """Learn one more page before the first statement, where no name is kept and there is a replica to ask.

        Returns:
            The names as they are now, and whether there is more to learn.
        """
        if not _is_at_replicas(session):
            return names, False
        status = session.status()
        # A copy: what is given is read meanwhile, to complete by.
        names = self._recalled(replace(names), status)
        if names.tables and not self.pages:
            return names, False
        names = self.refresh(names, replace(status, role=Role.REPLICA), dialect, None)
        return names, not self.whole or self.schemas is None or self.variables is None

    def _recalled(self, names: SchemaNames, status: Status) -> SchemaNames:
        """Return what is known of the session's schema: its stored names, unless they are of other servers."""
        if self.schema != status.schema:
            self.schema, self.pages, self.whole = status.schema, [], False
            names = load_names(self.directory, status.cluster, status.schema)
            self.servers = names.servers
        if status.servers and self.servers.isdisjoint(status.servers):
            # Kept of other servers under the same name, such as a test environment that was made anew.
            names, self.pages, self.whole, self.schemas, self.variables = SchemaNames(), [], False, None, None
        self.servers = names.servers = status.servers or self.servers
        names.schema, names.schemas = status.schema, self.schemas or names.schemas
        names.variables = self.variables or names.variables
        return names

    def _learn_tables(self, names: SchemaNames, dialect: Dialect, most: int) -> bool:
        if self.whole:
            return False
        after = self.pages[-1] if self.pages else ""
        page = [str(row[0]) for row in self.glance(names_sql(dialect, after=after, most=most))]
        self.pages += page
        # A name that would need escaping ends the paging: its text could be read differently by sql_mode.
        self.whole = len(page) < max(1, most) or len(self.pages) >= HELD_TABLES or bool({"'", "\\"} & set(page[-1]))
        if self.whole:
            names.set_tables(self.pages)
        else:
            names.set_tables([*names.tables, *page])
        return True

    def _learn_columns(self, names: SchemaNames, dialect: Dialect, last: Statement | None) -> bool:
        unknown = []
        for table in last.tables if last else ():
            known = names.table_like(table.name)
            if known is not None and known not in names.columns and table.schema in {None, "", self.schema}:
                unknown.append(known)
        place = dialect.queries.name_column
        for name in dict.fromkeys(unknown[:TABLES_EACH_TIME]):
            names.columns[name] = tuple(str(row[place]) for row in self.glance(columns_sql(dialect, name)))
            names.keys[name] = self._keys_of(name, dialect)
        return bool(unknown)

    def _keys_of(self, table: str, dialect: Dialect) -> tuple[ForeignKey, ...]:
        if self.keyless or {"'", "\\"} & set(table):
            return ()
        try:
            rows = self.glance(keys_sql(dialect, table))
        except SafeConsoleError:
            # The policy may hold it back on this server: joins are then written by hand.
            self.keyless = True
            return ()
        found: dict[str, list[tuple[str, str, str]]] = {}
        for key, column, target, referenced in rows:
            # SQLite leaves out the column where it is the primary key, which is not known here.
            if referenced:
                found.setdefault(str(key), []).append((str(column), str(target), str(referenced)))
        return tuple(
            ForeignKey(
                columns=tuple(column for column, _, _ in parts),
                table=parts[0][1],
                targets=tuple(referenced for _, _, referenced in parts),
            )
            for parts in found.values()
        )

    def _learn_server(self, names: SchemaNames, dialect: Dialect, most: int) -> bool:
        """Learn the names of schemas, then those of variables."""
        queries = dialect.queries
        if self.schemas is None:
            # Set first: what is refused is not asked for again.
            self.schemas = ()
            if queries.schemas:
                self.schemas = names.schemas = self._first_of(queries.schemas.format(most=most))
                return True
        if self.variables is None:
            self.variables = ()
            if queries.variables:
                self.variables = names.variables = tuple(map(str.lower, self._first_of(queries.variables)))
                return True
        return False

    def _first_of(self, sql: str) -> tuple[str, ...]:
        return tuple(str(row[0]) for row in self.glance(sql))

    def _learn_elsewhere(self, names: SchemaNames, dialect: Dialect, most: int, last: Statement | None) -> bool:
        """Learn the tables of another schema that a statement named."""
        known_schemas = self.schemas or ()
        for schema in dict.fromkeys(table.schema or "" for table in (last.tables if last else ())):
            known = not schema or schema == self.schema or schema.lower() in names.elsewhere
            if not known and schema in known_schemas and not {"'", "\\"} & set(schema):
                names.elsewhere[schema.lower()] = ()
                sql = names_sql(dialect, after="", most=most, schema=schema)
                names.elsewhere[schema.lower()] = self._first_of(sql)
                return True
        return False


def _is_at_replicas(session: Session) -> bool:
    """Whether what the person sends goes to replicas, as far as they chose, and there is one."""
    if session.to == Route.PRIMARY:
        return False
    replicas = {reading.node for reading in session.topology() if reading.role is Role.REPLICA}
    return bool(replicas) and (session.to in {"", Route.REPLICA} or session.to in replicas)


EARLY_PAGES = 10
"""Pages of names that are asked for before the first statement; the others are learnt after statements."""

_MAKES_WAY_SECONDS = 0.2
"""How long an entry waits for a page: no longer than for the connection that the page has opened already."""

_BREATH_SECONDS = 0.02


class EarlyNames:
    """Learns names while the first entry is typed, and makes way for it.

    Args:
        learn: learns one more page; returns whether there is more.
        interrupt: stops what `learn` asks the servers; called from the person's thread, until that is over.
    """

    def __init__(self, learn: Callable[[], bool], interrupt: Callable[[], object]) -> None:
        self._learn = learn
        self._interrupt = interrupt
        self._asking = threading.Lock()
        self._typed = False

    def learn(self) -> None:
        """Learn pages until there are no more, or something is typed; never raises a SafeConsoleError."""
        for _ in range(EARLY_PAGES):
            with self._asking:
                if self._typed or not self._went_on():
                    return
            # The prompt needs the session now and then, to draw itself.
            time.sleep(_BREATH_SECONDS)

    def _went_on(self) -> bool:
        try:
            return self._learn()
        except SafeConsoleError as error:
            return error.code == IN_USE

    def make_way(self) -> None:
        """Ask for nothing further; return once nothing is being asked."""
        self._typed = True
        while not self._asking.acquire(timeout=_MAKES_WAY_SECONDS):
            self._interrupt()
        self._asking.release()
