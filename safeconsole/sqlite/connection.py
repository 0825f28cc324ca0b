"""An open file as a connection, and the reading of SQLite's plans."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Splice
from safeconsole.dialects.sqlite import SQLITE
from safeconsole.errors import RefusedError, UnreachableError
from safeconsole.policy.decision import Permit
from safeconsole.policy.readings import Identity, Reading
from safeconsole.policy.watchdog import Sample
from safeconsole.sqlite.link import Authorizer, Mode, SqliteLink, read_guards
from safeconsole.sqlite.running import SqliteRunning, Watch, free_memory_bytes, held_memory_bytes
from safeconsole.sqlite.sidecar import FileNode, FileProof, prove
from safeconsole.sqltext.analysis import analyse, rows_until_limit
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Behind, Estimate, Hazard, Statement
from safeconsole.sqltext.vocabulary import Account, Flavour, Role

PLAN_SECONDS = 1.0
"""Time for a plan; it needs well under a millisecond."""

_STEPS_BETWEEN_LOOKS = 4000
_NOT_PLANNED = frozenset({"explain", "pragma", "unknown"})


class _PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan: the step it belongs to, and its words."""

    parent: int
    words: str


def estimate(link: SqliteLink, statement: Statement, monotonic: Callable[[], float]) -> Estimate:
    """Return SQLite's estimate of a statement without running it; an error is part of the estimate."""
    if statement.kind.split(" ", 1)[0] in _NOT_PLANNED:
        # A pragma may act while it is prepared, and an explanation cannot be explained.
        return Estimate()
    authorizer = Authorizer(Mode.READS)
    deadline = monotonic() + PLAN_SECONDS
    link.raw.set_progress_handler(lambda: int(monotonic() > deadline), _STEPS_BETWEEN_LOOKS)
    try:
        link.authorize(authorizer)
        steps = _steps(link, statement.text)
        tables = _base_tables(link, authorizer)
        scanned = _scanned(steps, tables)
        rows = _rows(link, steps, scanned)
    except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, OverflowError) as error:
        return Estimate(
            asked=True,
            objection=authorizer.denied or str(error),
            objection_code=int(getattr(error, "sqlite_errorcode", 0) or 0),
            disagrees=bool(authorizer.denied),
        )
    finally:
        link.raw.set_progress_handler(None, 0)
    keyed = _is_keyed(statement, steps, tables)
    if keyed and rows < 0:
        rows = len(tables)
    most = _until_limit(statement, steps, scanned)
    if most is not None and most < rows:
        rows, scanned = most, {}
    return Estimate(
        asked=True,
        rows=rows,
        full_scans=tuple(table for _, table in scanned.values()),
        temporary_tables=sum(step.words.startswith(("USE TEMP B-TREE", "MATERIALIZE")) for step in steps),
        hazards=tuple(_hazards(authorizer)),
        keyed=keyed,
        behind=Behind(definitions=tuple(_read_through(statement, tables))),
    )


def _read_through(statement: Statement, tables: tuple[tuple[str, str], ...]) -> Iterator[Statement]:
    """Yield a read of each table that the statement reads and does not name: what a view selects is not told."""
    named = {table.name.lower() for table in statement.tables}
    for _, name in tables:
        if name.lower() not in named:
            yield from analyse(f"SELECT * FROM {_quoted(name)}", RULES)  # noqa: S608 - quoted


def _is_keyed(statement: Statement, steps: tuple[_PlanRow, ...], tables: tuple[tuple[str, str], ...]) -> bool:
    named = {table.name.lower() for table in statement.tables}
    read = {name for _, name in tables}
    return len(steps) == len(read) > 0 and read == named and all(_BY_ROWID.fullmatch(step.words) for step in steps)


def _until_limit(statement: Statement, steps: tuple[_PlanRow, ...], scanned: dict[int, tuple[str, str]]) -> int | None:
    named = [table.name.lower() for table in statement.tables]
    if len(steps) != 1 or [table for _, table in scanned.values()] != named:
        return None
    return rows_until_limit(statement, LexicalRules(dialect=SQLITE))


def _steps(link: SqliteLink, text: str) -> tuple[_PlanRow, ...]:
    planned = link.raw.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
    return tuple(_PlanRow(parent=parent, words=words) for _, parent, _, words in planned)


def _hazards(authorizer: Authorizer) -> Iterator[Hazard]:
    for known in SQLITE.catalogue.objects:
        if any(table in known.names for _, table in authorizer.tables):
            yield Hazard(id=known.id, cost=known.cost, why=known.why, instead=known.instead)


def _base_tables(link: SqliteLink, authorizer: Authorizer) -> tuple[tuple[str, str], ...]:
    tables: dict[tuple[str, str], None] = {}
    for schema, name in authorizer.tables:
        where = schema or "main"
        if where not in {"main", link.schema}:
            continue
        text = f"SELECT 1 FROM {_quoted(where)}.sqlite_schema WHERE type = 'table' AND lower(name) = ?"  # noqa: S608 - quoted
        found = link.own(text, (name,))
        if found:
            tables[where, name] = None
    return tuple(tables)


def _scanned(steps: tuple[_PlanRow, ...], tables: tuple[tuple[str, str], ...]) -> dict[int, tuple[str, str]]:
    """Return the tables that are read whole, by the number of their step.

    A plan names a table by its alias. Aliases stand for the tables that no step names, one after the
    other, and the last of those for all further ones.
    """
    by_name = {name: (schema, name) for schema, name in tables}
    derived = {found[1] for step in steps if (found := _DERIVED.match(step.words))}
    named = {found[1].lower() for step in steps if (found := _TOUCH.match(step.words))}
    unnamed = [table for table in tables if table[1] not in named] or list(tables)
    aliases: dict[str, tuple[str, str]] = {}
    scanned = {}
    for number, step in enumerate(steps):
        found = _SCAN.match(step.words)
        if not found or found[1] in derived or not tables:
            continue
        name = found[1].lower()
        if name not in by_name:
            aliases.setdefault(name, unnamed[min(len(aliases), len(unnamed) - 1)])
        scanned[number] = by_name.get(name) or aliases[name]
    return scanned


def _rows(link: SqliteLink, steps: tuple[_PlanRow, ...], scanned: dict[int, tuple[str, str]]) -> int:
    """Return the rows it would examine, -1 when that is not known.

    Whole reads that stand beside one another are loops inside one another; the largest row id stands
    for the number of rows, since it is read at once and cannot be too small.
    """
    products: dict[int, int] = {}
    for number, (schema, table) in scanned.items():
        try:
            text = f"SELECT max(rowid) FROM {_quoted(schema)}.{_quoted(table)}"  # noqa: S608 - quoted
            largest = link.own(text)[0][0]
        except sqlite3.Error:
            return -1
        parent = steps[number].parent
        products[parent] = products.get(parent, 1) * max(1, int(largest or 0))
    return min(sum(products.values()), _MOST) if products else -1


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_MOST = 2**62
_BY_ROWID = re.compile(r"SEARCH \S+ USING INTEGER PRIMARY KEY \(rowid=\?\)")
_SCAN = re.compile(r"SCAN (?:TABLE )?([^\s(]\S*)(?! CONSTANT)(?!.* VIRTUAL TABLE)(?: AS \S+)?(?:$| USING)")
_TOUCH = re.compile(r"(?:SCAN|SEARCH) (?:TABLE )?([^\s(]\S*)")
_DERIVED = re.compile(r"(?:CO-ROUTINE|MATERIALIZE) (\S+)")


STOP_SECONDS = 1.0
"""How long a stop waits for the thread that runs the statement to say that it is over."""

RULES = LexicalRules(
    dialect=SQLITE,
    version=sqlite3.sqlite_version_info[0] * 10000
    + sqlite3.sqlite_version_info[1] * 100
    + sqlite3.sqlite_version_info[2],
)


class SqliteConnection:
    """One open file.

    Args:
        link: the file, its guards in force.
        cluster: every node, to prove the role of this one.
        identity: what the file proved to be when it was opened.
    """

    is_retired = False

    def __init__(
        self, link: SqliteLink, cluster: tuple[FileNode, ...], *, account: Account, identity: Identity, clock: Clock
    ) -> None:
        self._link = link
        self._cluster = cluster
        self._account = account
        self._identity = identity
        self._clock = clock
        self._file = _file_of(link.place)
        self._running: SqliteRunning | None = None

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def rules(self) -> LexicalRules:
        return RULES

    @property
    def guards(self) -> dict[str, str]:
        """The settings that protect the file, as read back when they are asked for."""
        try:
            return {**read_guards(self._link), "authorizer": "asked for every action"}
        except sqlite3.Error as error:
            self._link.give_up()
            return {"unreadable": str(error)}

    @property
    def schema(self) -> str:
        return self._link.schema

    @property
    def broken(self) -> bool:
        return self._link.broken

    def enter(self, _schema: str) -> bool:
        """Say that there is no way to another schema; see `Connection`."""
        return False

    @property
    def in_transaction(self) -> bool:
        return not self._link.broken and self._link.raw.in_transaction

    def prove(self, _permit: Permit | None = None) -> Reading:
        """Read role and identity from the sidecars, now. Raises UnreachableError."""
        if _file_of(self._link.place) != self._file:
            self._link.give_up()
            raise UnreachableError(f"{self._link.place.node} is another file now: {self._link.place.path}")
        try:
            tables = int(self._link.own("SELECT count(*) FROM main.sqlite_schema WHERE type = 'table'")[0][0])
        except sqlite3.Error as error:
            self._link.give_up()
            raise UnreachableError(f"{self._link.place.node} cannot be read: {error}") from None
        return reading_of(self._link.place, self._cluster, clock=self._clock, tables=tables)

    def estimate(self, statement: Statement) -> Estimate:
        """Return SQLite's estimate without running the statement; an error is part of it."""
        if self._running is not None and not self._running.over:
            return Estimate()
        return estimate(self._link, statement, self._clock.monotonic)

    def send(
        self,
        permit: Permit,
        *,
        watch: Callable[[Sample], None] | None = None,
        as_text: bool = False,  # noqa: ARG002
        splice: Splice | None = None,
    ) -> SqliteRunning:
        """Send the permitted text once; see `Connection`."""
        self._compare(permit)
        if splice is not None:
            raise RefusedError("sqlite speaks no protocol whose packets could be handed on; nothing was sent")
        looks = Watch(limits=permit.limits, needed=permit.sensors, monotonic=self._clock.monotonic, tell=watch)
        blind = looks.blind
        if blind:
            raise UnreachableError(
                f"sqlite tells no {', '.join(blind)}, and the policy needs it for this statement; nothing was sent",
                instead="have the rule that names the sensor leave sqlite out: node.flavour != 'sqlite'",
            )
        running = SqliteRunning(self._link, permit, looks)
        self._running = running
        running.send()
        return running

    @property
    def has_slots(self) -> bool:
        """False: SQLite has no named locks."""
        return False

    def take_slot(self, names: tuple[str, ...], *, within_seconds: float) -> str:
        """Refuse, because there are no slots; see `Connection`."""
        raise RefusedError(f"sqlite has no slots: none of {len(names)} came within {within_seconds:g} s")

    def slot_holders(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"slot {name}: sqlite has none" for name in names)

    def free_slot(self) -> None: ...

    def stop(self) -> str:
        """Stop the running statement; return "killed", "already over" or "missed"."""
        running = self._running
        if running is None or running.over:
            return "already over"
        self._link.give_up()
        running.watch.told_to_stop = True
        if not running.is_at_work():
            # Nothing is at work between two steps, and no further step is taken.
            return running.abandon()
        self._link.raw.interrupt()
        return "killed" if running.ended.wait(STOP_SECONDS) or not running.is_at_work() else "missed"

    def chase(self) -> str:
        """Return that it is over: without a server nothing can run on."""
        return "already over"

    def close(self) -> None:
        """Close it; never raises."""
        if self._running is not None and not self._running.over:
            self.stop()
        self._link.close()

    def _compare(self, permit: Permit) -> None:
        """Compare a permit with the live file.

        Raises:
            RefusedError: another account, file or role than it was made for, or a statement is still running.
            UnreachableError: the file cannot be looked at.
        """
        node = self._link.place.node
        if self._link.broken or (self._running is not None and not self._running.over):
            raise RefusedError(f"the connection to {node} is not free: nothing was sent")
        if permit.account is not self._account:
            raise RefusedError(f"the permit is for the {permit.account} account of {node}: nothing was sent")
        if permit.within != self.in_transaction and (permit.within or not permit.read_only):
            raise RefusedError(f"the transaction on {node} is not what the permit was made for: nothing was sent")
        reading = self.prove()
        if reading.identity != permit.identity:
            raise RefusedError(f"{node} is another file than the permit was made for: nothing was sent")
        if reading.role != Role(permit.route):
            raise RefusedError(
                f"{node} is not the {permit.route} any longer: nothing was sent",
                evidence=(f"it proves to be: {reading.role}, {reading.proof}",),
                instead="check the topology, then run it again",
            )


def reading_of(place: FileNode, cluster: tuple[FileNode, ...], *, clock: Clock, tables: int | None) -> Reading:
    now_seconds = datetime.fromisoformat(clock.utc()).timestamp()
    proof = prove(place, cluster, now_seconds=now_seconds)
    return Reading(
        node=place.node,
        role=proof.role,
        proof=proof.text,
        identity=_identity(place, proof),
        flavour=Flavour.SQLITE,
        version=sqlite3.sqlite_version,
        lag_seconds=proof.lag_seconds,
        replicating=proof.replicating,
        read_only=proof.role is not Role.PRIMARY,
        free_memory_bytes=free_memory_bytes(),
        used_memory_bytes=held_memory_bytes(),
        tables=tables,
        mark=proof.mark,
        tags=place.tags,
        unreachable="" if proof.identity else proof.text,
        measured_seconds=clock.monotonic(),
    )


def _identity(place: FileNode, proof: FileProof) -> Identity | None:
    return Identity(server=proof.identity, address=str(place.path)) if proof.identity else None


def _file_of(place: FileNode) -> tuple[int, int]:
    try:
        status = place.path.stat()
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)
