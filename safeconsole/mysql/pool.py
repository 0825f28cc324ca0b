"""The pool of statement connections of one cluster: lent to a session, parked between its statements."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import msgspec

from safeconsole.cluster.engine import Connection
from safeconsole.errors import CrowdedError, UnreachableError
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.sqltext.vocabulary import Account, NodeName

MOST_CONNECTIONS = 32
"""Most connections of one account for statements on one node, of all sessions of the process."""

_CONTROL_CONNECTIONS, _LEAST_CONNECTIONS = 2, 2

MOST_PARKED = 2
"""Most connections that are parked for longer than a moment, a node and account."""

MOMENT_SECONDS = 1.0
"""How long a parked connection is left to its session; then any other may take it."""

IDLE_SECONDS = 60.0
"""How long a connection is parked before it is closed."""

_LOOK_SECONDS = 0.02

Key = tuple[NodeName, Account]


def most_of_one(processes: int) -> int:
    """Return the most connections of one of several processes, which together, with those that control, have as many
    as one alone.
    """
    return max((MOST_CONNECTIONS + _CONTROL_CONNECTIONS) // processes - _CONTROL_CONNECTIONS, _LEAST_CONNECTIONS)


class _PoolEntry(msgspec.Struct, eq=False):
    """A pooled connection, or a reserved place for one being opened.

    Attributes:
        schema: the one that it was opened in, as it was asked for.
        opened_in: the same as the server called it then.
        parked_seconds: when its session parked it, None while it is lent.
    """

    key: Key
    schema: str
    connection: MySqlConnection | None = None
    opened_in: str = ""
    parked_seconds: float | None = None

    def is_in(self, schema: str) -> bool:
        connection = self.connection
        if connection is None:
            return False
        return connection.schema == schema or (connection.schema == self.opened_in and schema == self.schema)


class StatementPool:
    """Keeps connections between statements; thread-safe.

    A parked connection belongs to the session that parked it, until another one needs it: then everything that was left
    on it is undone by the server, and its guards are set and read back anew.

    Args:
        now: the cluster's clock.
        most: most connections of one account on one node.
    """

    def __init__(self, now: Callable[[], float], most: int = MOST_CONNECTIONS) -> None:
        self._now, self._most_ever = now, most
        self._entries: list[_PoolEntry] = []
        self._lock = threading.Lock()
        self._learnt: dict[Key, tuple[int, float]] = {}

    def lend(
        self,
        key: Key,
        schema: str,
        open_one: Callable[[], MySqlConnection],
        *,
        server: str,
        within_seconds: float,
    ) -> MySqlConnection:
        """Lend a parked connection, or open a new one.

        Args:
            server: the identity that it must lead to.
            within_seconds: longest wait where too many are in use.

        Raises:
            CrowdedError: too many are in use, of this process or of all that log in as the account.
            UnreachableError: as `open_one`.
        """
        until = time.monotonic() + within_seconds
        while True:
            entry = self._taken(key, schema, server)
            if entry is None:
                if time.monotonic() >= until:
                    raise CrowdedError(
                        f"all {self._most(key)} connections that this process may have to {key[0]} are in use;"
                        " nothing was sent",
                        instead="wait until a statement is over",
                    )
                time.sleep(_LOOK_SECONDS)
                continue
            if entry.connection is None:
                try:
                    return self._opened(entry, open_one)
                except CrowdedError:
                    if not self._learn_most(key):
                        raise
                    continue
            try:
                entry.connection.renew(schema)
            except UnreachableError:
                self._drop(entry)
                continue
            except BaseException:
                self._drop(entry)
                raise
            return entry.connection

    def park(self, connection: Connection, *, last: bool = False) -> None:
        """Park a connection that its session does not need for now; never raises.

        Args:
            last: its session does not come back for it, so any other may take it at once.
        """
        with self._lock:
            entry = self._entry_of(connection)
        # It is lent to the caller still, so nobody else comes between.
        if entry is not None and entry.connection is not None and entry.connection.put_down():
            entry.parked_seconds = self._now() - (MOMENT_SECONDS if last else 0.0)
            return
        connection.close()

    def reclaim(self, connection: Connection) -> bool:
        """Take a parked connection back; False if it was closed or lent to another session."""
        with self._lock:
            entry = self._entry_of(connection)
            if entry is None or entry.parked_seconds is None:
                return False
            entry.parked_seconds = None
        if entry.connection is None or _is_spent(connection):
            self._drop(entry)
            return False
        entry.connection.prepare()
        return True

    def tidy(self) -> float | None:
        """Close connections parked for too long; return the seconds until the next is due, or None."""
        now = self._now()
        with self._lock:
            self._forget_closed()
            parked = [entry for entry in self._entries if entry.parked_seconds is not None]
            expired = [entry for entry in parked if self._expires(entry, parked) <= now]
            for entry in expired:
                self._entries.remove(entry)
            next_seconds = min((self._expires(each, parked) for each in parked if each not in expired), default=None)
        for entry in expired:
            if entry.connection is not None:
                entry.connection.close()
        return None if next_seconds is None else max(next_seconds - now, 0.0)

    def shed(self, key: Key) -> bool:
        """Close the connection that was parked the longest, and say whether there was one; never raises."""
        with self._lock:
            parked = [entry for entry in self._entries if entry.key == key and entry.parked_seconds is not None]
            oldest = min(parked, key=lambda entry: entry.parked_seconds or 0.0, default=None)
            if oldest is None:
                return False
            self._entries.remove(oldest)
        if oldest.connection is not None:
            oldest.connection.close()
        return True

    def _most(self, key: Key) -> int:
        most, until_seconds = self._learnt.get(key, (self._most_ever, 0.0))
        return most if self._now() < until_seconds else self._most_ever

    def _learn_most(self, key: Key) -> bool:
        """Open no further ones for a moment, the account having none left; False where none of ours will come free."""
        with self._lock:
            self._forget_closed()
            ours = sum(entry.key == key for entry in self._entries)
            self._learnt[key] = ours, self._now() + MOMENT_SECONDS
            return bool(ours)

    def counted(self) -> Mapping[NodeName, int]:
        """The number of connections by node."""
        with self._lock:
            self._forget_closed()
            counts: dict[NodeName, int] = {}
            for entry in self._entries:
                counts[entry.key[0]] = counts.get(entry.key[0], 0) + 1
            return counts

    def close(self) -> None:
        """Close parked connections; lent ones stay with their sessions. Never raises."""
        with self._lock:
            parked = [entry for entry in self._entries if entry.parked_seconds is not None]
            self._entries = []
        for entry in parked:
            if entry.connection is not None:
                entry.connection.close()

    def _taken(self, key: Key, schema: str, server: str) -> _PoolEntry | None:
        """Return a parked connection, a reserved place for a new one, or None if the pool is full."""
        now, stale, most = self._now(), [], self._most(key)
        with self._lock:
            self._forget_closed()
            same = [entry for entry in self._entries if entry.key == key]
            free = sorted(
                (entry for entry in same if entry.parked_seconds is not None),
                key=lambda entry: (not entry.is_in(schema), entry.parked_seconds or 0.0),
            )
            for entry in free:
                connection, parked = entry.connection, entry.parked_seconds or 0.0
                if connection is None or connection.identity.server != server or _is_spent(connection):
                    self._entries.remove(entry)
                    stale.append(connection)
                elif connection.may_be_in(schema) and (now - parked >= MOMENT_SECONDS or len(same) >= most):
                    entry.parked_seconds, entry.schema = None, schema
                    break
            else:
                entry = None
                if len(same) - len(stale) < most:
                    entry = _PoolEntry(key=key, schema=schema)
                    self._entries.append(entry)
        for connection in stale:
            if connection is not None:
                connection.close()
        return entry

    def _opened(self, entry: _PoolEntry, open_one: Callable[[], MySqlConnection]) -> MySqlConnection:
        try:
            connection = open_one()
        except BaseException:
            with self._lock:
                self._entries.remove(entry)
            raise
        entry.connection, entry.opened_in = connection, connection.schema
        return connection

    def _drop(self, entry: _PoolEntry) -> None:
        with self._lock:
            if entry in self._entries:
                self._entries.remove(entry)
        if entry.connection is not None:
            entry.connection.close()

    def _entry_of(self, connection: Connection) -> _PoolEntry | None:
        return next((entry for entry in self._entries if entry.connection is connection), None)

    def _forget_closed(self) -> None:
        self._entries = [each for each in self._entries if each.connection is None or not each.connection.is_closed]

    def _expires(self, entry: _PoolEntry, parked: list[_PoolEntry]) -> float:
        """Return when a parked connection is due to be closed; surplus ones are closed early."""
        since = entry.parked_seconds or 0.0
        newer = sum(each.key == entry.key and (each.parked_seconds or 0.0) > since for each in parked)
        return since + (IDLE_SECONDS if newer < MOST_PARKED else 2 * MOMENT_SECONDS)


def _is_spent(connection: Connection) -> bool:
    return connection.broken or connection.is_retired
