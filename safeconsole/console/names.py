"""Learns a schema's table and column names, and the servers' lexical rules, in the background."""

from __future__ import annotations

import bisect
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, chain
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from safeconsole.cluster.engine import Row
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


HELD_TABLES = 200_000
"""Names of tables held for one schema; the rest is typed by hand."""

_SLIPS = 2
"""Characters by which a name that was meant is longer or shorter than the one written."""

_LOOKED_AT = 500
"""Names before and after one that is none, in order, which are compared with it: some 50 ms at most."""


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True):
    """One foreign key of a table.

    Attributes:
        columns: of the table that has it.
        table, targets: the table that it leads to, and its columns.
    """

    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]


def alike(names: Iterable[str], written: str) -> Iterator[str]:
    """Yield names that begin with a text, then those that contain it, then those that contain its letters in order."""
    folded = written.lower()
    held = [(name, name.lower()) for name in names]
    yield from (name for name, lower in held if lower.startswith(folded))
    if len(folded) >= HELD_INSIDE:
        yield from (name for name, lower in held if folded in lower and not lower.startswith(folded))
    if len(folded) >= HELD_SCATTERED:
        scattered = re.compile(_scattered(folded))
        yield from (name for name, lower in held if folded not in lower and scattered.match(lower))


HELD_INSIDE, HELD_SCATTERED = 2, 3
"""Typed characters from which on a name is offered that holds them together, or one after the other."""


def _scattered(folded: str) -> str:
    return "".join(rf"[^{re.escape(letter)}\n]*{re.escape(letter)}" for letter in folded)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The stored names of one schema of one cluster, and the identities of the servers that have it."""

    servers: frozenset[str] = frozenset()
    tables: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    keys: dict[str, tuple[ForeignKey, ...]] = {}
    schemas: tuple[str, ...] = ()
    elsewhere: dict[str, tuple[str, ...]] = {}


class SchemaNames(msgspec.Struct):
    """The tables of one schema, and the columns of those that were looked up.

    Attributes:
        schema: its name, "" while it is not known.
        tables: their names in the order of their lower case.
        columns: by table name, in table order.
        keys: foreign keys by table name, of the tables whose columns are known.
        schemas: names of all schemas of the server, as far as they were asked for.
        elsewhere: tables of other schemas that statements named, by the schema's name in lower case.
        servers: identities of the servers that have it; empty when they are not known.
    """

    tables: list[str] = msgspec.field(default_factory=list)
    columns: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    folded: list[str] = msgspec.field(default_factory=list)
    servers: frozenset[str] = frozenset()
    schema: str = ""
    keys: dict[str, tuple[ForeignKey, ...]] = msgspec.field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    elsewhere: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    lines: str = ""
    starts: list[int] = msgspec.field(default_factory=list)

    def set_tables(self, names: Iterable[str]) -> None:
        """Set the names of all tables; columns of removed tables are dropped."""
        self.tables = sorted(dict.fromkeys(names), key=str.lower)[:HELD_TABLES]
        self.folded = [name.lower() for name in self.tables]
        self.columns = {name: self.columns[name] for name in self.tables if name in self.columns}
        self.keys = {name: self.keys[name] for name in self.tables if name in self.keys}
        # One text, searched at once: names one by one would make a keystroke wait.
        flat = [name.replace("\n", " ") for name in self.folded]
        self.lines = "\n".join(flat)
        self.starts = list(accumulate((len(name) + 1 for name in flat), initial=0))

    def table_like(self, written: str) -> str | None:
        """Return the table with a name in any case, or None."""
        at = bisect.bisect_left(self.folded, written.lower())
        return self.tables[at] if at < len(self.folded) and self.folded[at] == written.lower() else None

    def nearest(self, written: str) -> str | None:
        """Return the table closest to a misspelt name, or None."""
        # Imported here: only a mistake needs it.
        from difflib import get_close_matches  # noqa: PLC0415

        name = written.lower()
        at = bisect.bisect_left(self.folded, name)
        around = self.folded[max(0, at - _LOOKED_AT) : at + _LOOKED_AT]
        alike = [folded for folded in around if abs(len(folded) - len(name)) <= _SLIPS]
        found = get_close_matches(name, alike, n=1, cutoff=0.75)
        return self.table_like(found[0]) if found else None

    def tables_from(self, prefix: str, most: int) -> Iterator[str]:
        """Yield at most `most` tables that begin with a prefix, in any case."""
        start = bisect.bisect_left(self.folded, prefix.lower())
        for at in range(start, min(start + most, len(self.folded))):
            if not self.folded[at].startswith(prefix.lower()):
                return
            yield self.tables[at]

    def tables_like(self, written: str, most: int) -> Iterator[str]:
        """Yield at most `most` tables that match a text, the likeliest first; see `alike`."""
        folded = written.lower()
        given = dict.fromkeys(self.tables_from(written, most))
        yield from given
        for name in chain(self._holding(folded), self._scattered(folded)):
            if len(given) >= most:
                return
            if name not in given:
                given[name] = None
                yield name

    def _holding(self, folded: str) -> Iterator[str]:
        at = self.lines.find(folded) if len(folded) >= HELD_INSIDE else -1
        while at >= 0:
            place = bisect.bisect_right(self.starts, at) - 1
            yield self.tables[place]
            at = self.lines.find(folded, self.starts[place + 1])

    def _scattered(self, folded: str) -> Iterator[str]:
        if len(folded) >= HELD_SCATTERED:
            fits = re.compile(_scattered(folded)).match
            yield from (name for name, lower in zip(self.tables, self.folded, strict=True) if fits(lower))


def load_names(directory: str, cluster: str, schema: str) -> SchemaNames:
    """Return the stored names of a schema; empty when there are none or they cannot be read.

    Whose names they are stands in `servers`: a cluster's name may lead to other servers by now.
    """
    names = SchemaNames()
    if not directory:
        return names
    try:
        stored = msgspec.json.decode(_path(directory, cluster, schema).read_bytes(), type=_Stored)
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return names
    names.servers = stored.servers
    names.columns, names.keys = dict(stored.columns), dict(stored.keys)
    names.schema, names.schemas, names.elsewhere = schema, stored.schemas, dict(stored.elsewhere)
    names.set_tables(stored.tables)
    return names


def save_names(directory: str, cluster: str, schema: str, names: SchemaNames) -> None:
    """Store a schema's names in a file that only its owner can read, if there is a directory for it."""
    if not directory:
        return
    path = _path(directory, cluster, schema)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    text = msgspec.json.encode(
        _Stored(
            servers=names.servers,
            tables=tuple(names.tables),
            columns=names.columns,
            keys=names.keys,
            schemas=names.schemas,
            elsewhere=names.elsewhere,
        )
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        part.replace(path)
    except OSError:
        # Completion is a comfort: a full disk must not stop a session.
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _path(directory: str, cluster: str, schema: str) -> Path:
    return Path(directory) / f"{quote(cluster, safe='')}.{quote(schema, safe='')}.names"


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
        schemas: the server's schemas, None before they were asked for.
    """

    glance: Glance
    directory: str
    schema: str | None = None
    pages: list[str] = msgspec.field(default_factory=list)
    servers: frozenset[str] = frozenset()
    whole: bool = False
    keyless: bool = False
    schemas: tuple[str, ...] | None = None

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
                or self._learn_schemas(names, dialect, most, last)
            )
        except SafeConsoleError as error:
            if error.code == IN_USE:
                raise
            # Completion is a comfort: what a server or a policy refuses is not asked for again.
            if not (isinstance(error, StoppedError) and error.by == "person"):
                self.whole, self.schemas = True, self.schemas or ()
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
        return names, not self.whole or self.schemas is None

    def _recalled(self, names: SchemaNames, status: Status) -> SchemaNames:
        """Return what is known of the session's schema: its stored names, unless they are of other servers."""
        if self.schema != status.schema:
            self.schema, self.pages, self.whole = status.schema, [], False
            names = load_names(self.directory, status.cluster, status.schema)
            self.servers = names.servers
        if status.servers and self.servers.isdisjoint(status.servers):
            # Kept of other servers under the same name, such as a test environment that was made anew.
            names, self.pages, self.whole, self.schemas = SchemaNames(), [], False, None
        self.servers = names.servers = status.servers or self.servers
        names.schema, names.schemas = status.schema, self.schemas or names.schemas
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

    def _learn_schemas(self, names: SchemaNames, dialect: Dialect, most: int, last: Statement | None) -> bool:
        if not dialect.queries.schemas:
            return False
        if self.schemas is None:
            # Set first: what is refused is not asked for again.
            self.schemas = ()
            self.schemas = names.schemas = tuple(
                str(row[0]) for row in self.glance(dialect.queries.schemas.format(most=most))
            )
            return True
        for schema in dict.fromkeys(table.schema or "" for table in (last.tables if last else ())):
            known = not schema or schema == self.schema or schema.lower() in names.elsewhere
            if not known and schema in self.schemas and not {"'", "\\"} & set(schema):
                names.elsewhere[schema.lower()] = ()
                sql = names_sql(dialect, after="", most=most, schema=schema)
                names.elsewhere[schema.lower()] = tuple(str(row[0]) for row in self.glance(sql))
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
