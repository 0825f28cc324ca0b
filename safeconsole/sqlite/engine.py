"""One cluster of files: roles proven by sidecars, measured, opened."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection
from safeconsole.config.settings import ClusterSettings
from safeconsole.errors import ConfigurationError, UnreachableError
from safeconsole.policy.readings import Reading
from safeconsole.sqlite.connection import RULES, SqliteConnection, reading_of
from safeconsole.sqlite.link import open_link
from safeconsole.sqlite.sidecar import FileNode, Sidecar, read_sidecar
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, Flavour, NodeName, Role

DEFAULT_SCHEMA = "shop"
_LOOK_SECONDS = 0.02


class SqliteEngine:
    """One cluster of files."""

    def __init__(self, name: str, places: tuple[FileNode, ...], schema: str, clock: Clock) -> None:
        self._name = name
        self._places = places
        self._schema = schema
        self._clock = clock

    @property
    def flavour(self) -> Flavour:
        return Flavour.SQLITE

    @property
    def rules(self) -> LexicalRules:
        return RULES

    def topology(
        self,
        *,
        since_seconds: float | None = None,  # noqa: ARG002 (nothing that was read before is used again)
        only: frozenset[NodeName] = frozenset(),  # noqa: ARG002
    ) -> tuple[Reading, ...]:
        """Measure every node now, which files answer at once; one that cannot be opened is a reading that says so."""
        return tuple(self._measure(place) for place in self._places)

    def measure_ahead(self, only: frozenset[NodeName] = frozenset()) -> None: ...

    def expect(self, to: str | None, schema: str) -> None: ...

    @property
    def expected(self) -> NodeName | None:
        return None

    def connect(self, node: NodeName, account: Account, *, schema: str = "") -> SqliteConnection:
        """Open a guarded connection to a node.

        Only the elevated account, and only a proven primary, is opened for writing.

        Raises:
            UnreachableError: no such file, no proof of what it is, no such schema, or a guard that did not hold.
            ConfigurationError: the cluster has no such node.
        """
        place = next((place for place in self._places if place.node == node), None)
        if place is None:
            known = ", ".join(place.node for place in self._places)
            raise ConfigurationError(f"cluster {self._name} has no node {node}", instead=f"its nodes: {known}")
        if schema.lower() not in {"", "main", self._schema.lower()}:
            raise UnreachableError(f"{node} has no schema {schema}, only {self._schema}")
        _require_file(place)
        reading = reading_of(place, self._places, clock=self._clock, tables=None)
        if reading.identity is None:
            raise UnreachableError(f"{node} proves nothing about itself: {reading.proof}")
        writable = account is Account.ELEVATED and reading.role is Role.PRIMARY
        link = open_link(place, schema=self._schema, writable=writable, busy_seconds=_BUSY_SECONDS)
        return SqliteConnection(link, self._places, account=account, identity=reading.identity, clock=self._clock)

    def park(self, connection: Connection, *, last: bool = False) -> None:
        """Leave the connection with its session, which alone may use it."""
        if last:
            connection.close()

    def reclaim(self, connection: Connection) -> bool:
        return not connection.broken

    def position(self, node: NodeName) -> str:
        """The time of a file's last change, as its position; see `Engine`."""
        place = next((place for place in self._places if place.node == node), None)
        try:
            return str(place.path.stat().st_mtime_ns) if place else ""
        except OSError:
            return ""

    def lacking(self, _statement: Statement, *, schema: str) -> str:  # noqa: ARG002 (named by the protocol)
        """Return "": a file knows no privileges; see `Engine`."""
        return ""

    def has_reached(self, node: NodeName, position: str, *, within_seconds: float) -> bool:
        """Whether a file was copied since; see `Engine`."""
        place = next((place for place in self._places if place.node == node), None)
        until = time.monotonic() + within_seconds
        while place is not None:
            sidecar = read_sidecar(place)
            if isinstance(sidecar, Sidecar) and sidecar.applied >= int(position):
                return True
            if time.monotonic() >= until:
                break
            time.sleep(_LOOK_SECONDS)
        return False

    def end_abandoned(self, inventory: str) -> tuple[tuple[str, str], ...]:  # noqa: ARG002 (the protocol's)
        """Return nothing: a file's statements end with their process."""
        return ()

    def close(self) -> None: ...

    def _measure(self, place: FileNode) -> Reading:
        try:
            _require_file(place)
            link = open_link(place, schema="main", writable=False, busy_seconds=_BUSY_SECONDS)
        except UnreachableError as error:
            return Reading(node=place.node, unreachable=error.message, measured_seconds=self._clock.monotonic())
        try:
            tables = int(link.own("SELECT count(*) FROM main.sqlite_schema WHERE type = 'table'")[0][0])
        except sqlite3.Error as error:
            return Reading(node=place.node, unreachable=str(error), measured_seconds=self._clock.monotonic())
        finally:
            link.close()
        return reading_of(place, self._places, clock=self._clock, tables=tables)


def open_engine(name: str, settings: ClusterSettings, clock: Clock) -> SqliteEngine:
    """Return the engine of one cluster; it opens no file before the first request.

    Args:
        settings: its nodes are file paths; a node's name is in `names`, or the file's name without its suffix.

    Raises:
        ConfigurationError: no nodes, two nodes of one name or one file, or a schema that SQLite keeps for itself.
    """
    if settings.schema.lower() in {"temp", "main"}:
        raise ConfigurationError(f"cluster {name}: {settings.schema} is a schema of SQLite's own")
    places = tuple(
        FileNode(
            node=NodeName(settings.names.get(address, Path(address).stem)),
            path=Path(address).expanduser().resolve(),
            tags=frozenset(settings.tags.get(address, ())),
        )
        for address in settings.nodes
    )
    if not places:
        raise ConfigurationError(f"cluster {name} has no nodes")
    if len({place.node for place in places}) < len(places) or len({place.path for place in places}) < len(places):
        raise ConfigurationError(
            f"cluster {name} names a node twice", instead=f"give files of the same name names: clusters.{name}.names"
        )
    return SqliteEngine(name, places, settings.schema or DEFAULT_SCHEMA, clock)


def _require_file(place: FileNode) -> None:
    if not place.path.is_file():
        raise UnreachableError(f"{place.node} is not a file: {place.path}")


_BUSY_SECONDS = 2.0
