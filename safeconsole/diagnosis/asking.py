"""Runs diagnostic queries on one node through the gate; each is decided, limited and recorded like any other."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from safeconsole.errors import ConfigurationError, ServerError
from safeconsole.session.locks import (
    LockSession,
    explained_by_holders,
    held_of,
    row_waits,
    table_waits,
    who_blocks,
)
from safeconsole.session.session import Session
from safeconsole.sqltext.dialect import Diagnosis, Dialect
from safeconsole.sqltext.vocabulary import Account, Route

NOT_GRANTED = frozenset({1044, 1142, 1143, 1227, 1356, 1370})
"""Error numbers of missing privileges. Source: MySQL 9.7 and MariaDB 10.11, measured."""

DISK_FULL = frozenset({3, 28, 1021, 1026, 1114})
"""What servers whose disk is full answer to a read of information_schema, which wants a temporary table. Source: MySQL
9.7 (1114) and MariaDB 10.11 (1021), measured.
"""

_NOT_AT_WORK = frozenset({"Sleep", "Daemon", "Binlog Dump", "Binlog Dump GTID"})
# Replication threads that have nothing to apply, and say so in words of their own.
_RESTING = (
    "waiting for an event",
    "waiting for work",
    "waiting for replica workers",
    "waiting for slave workers",
    "waiting for source to send",
    "waiting for master to send",
    "waiting for prior transaction",
    "replica has read all relay log",
    "slave has read all relay log",
    "has read all relay log",
    "queueing",
    "connecting to",
    "reconnecting",
)


class ServerSessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a server.

    Attributes:
        seconds: how long it has been in its command.
        statement: what it runs, or "".
        last_statement: what it ran last, "" where the server does not keep it.
        transaction_seconds: the age of its InnoDB transaction, None without one.
    """

    id: int
    user: str
    host: str
    schema: str
    command: str
    seconds: int
    state: str
    statement: str
    last_statement: str = ""
    transaction_seconds: int | None = None
    changed_rows: int = 0
    locked_rows: int = 0

    @property
    def idle(self) -> bool:
        return self.command == "Sleep"

    @property
    def resting(self) -> bool:
        """Whether it is a thread of replication that waits for something to do."""
        return self.user == "system user" and self.state.lower().startswith(_RESTING)


class Locks(msgspec.Struct, frozen=True, kw_only=True):
    """Who blocks whom on one node.

    Attributes:
        sessions: those who wait or are waited for, the oldest transaction first.
        unexplained: ids of those whose holder the server does not name.
        blind: why not, or "".
    """

    sessions: tuple[LockSession, ...]
    unexplained: tuple[int, ...] = ()
    blind: str = ""


class Diagnosing(msgspec.Struct, kw_only=True):
    """Asks one node.

    Attributes:
        dialect: how the cluster's servers differ.
        to: a node's name, "primary" or "replica".
        node: the one that answered last, "" before.
        seconds: what the last question took, from the statement to its last row.
    """

    session: Session
    dialect: Dialect
    to: str
    node: str = ""
    seconds: float = 0.0

    @property
    def known(self) -> Diagnosis:
        """The dialect's diagnostic queries. Raises ConfigurationError: a file has none."""
        if not self.dialect.diagnosis.sessions:
            raise ConfigurationError("a file has no sessions: each program that opens it is on its own")
        return self.dialect.diagnosis

    @property
    def sees_others(self) -> bool:
        return self.session.context.diagnoses

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Run one query and return its rows by lower-case column name. Raises SafeConsoleError."""
        (statement,) = self.session.split(sql)
        started = time.monotonic()
        try:
            result = self.session.execute(statement, to=self.to)
            rows = result.take()
        except ServerError as error:
            if error.number in NOT_GRANTED:
                raise self._not_granted(error) from None
            raise
        self.node = result.considered.node or ""
        self.seconds = time.monotonic() - started
        names = [column.name.lower() for column in result.columns]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def working(self) -> tuple[ServerSessionRow, ...]:
        """Return the running sessions, longest first; without the account for diagnosis only its own."""
        known = self.known
        if not self.sees_others:
            return self._listed_by_show()
        try:
            found = tuple(map(session_of, self.rows(known.working)))
        except ServerError as error:
            if error.number not in DISK_FULL:
                raise
            return self._listed_by_show()
        return tuple(session for session in found if not session.resting)

    def transacting(self) -> tuple[ServerSessionRow, ...]:
        """Return the sessions with an open transaction, the oldest first."""
        return tuple(map(session_of, self.rows(self.known.transacting)))

    def idle(self, user: str, older_seconds: float) -> tuple[ServerSessionRow, ...]:
        """Return an account's sessions idle for some seconds without a transaction, longest first.

        Raises ConfigurationError: a name that could be read as something else.
        """
        if not re.fullmatch(r"[\w.@-]+", user):
            raise ConfigurationError("that account's name holds a quote, a blank or a backslash: use the ids")
        which = (
            f"p.COMMAND = 'Sleep' AND p.USER = '{user}' AND p.TIME >= {math.ceil(older_seconds)} AND x.trx_id IS NULL"
            " ORDER BY p.TIME DESC LIMIT 200"
        )
        return tuple(map(session_of, self.rows(self.known.sessions.format(which=which))))

    def by_id(self, ids: Iterable[int]) -> list[dict[str, Any]]:
        listed = ", ".join(str(int(id_)) for id_ in ids)
        if not listed:
            return []
        try:
            return self.rows(self.known.sessions.format(which=f"p.ID IN ({listed})"))
        except ServerError as error:
            if error.number not in DISK_FULL:
                raise
        wanted = {int(id_) for id_ in listed.split(", ")}
        return [row for row in self._rows_of_show() if int(row["id"]) in wanted]

    def locks(self) -> Locks:
        """Return who blocks whom. Raises SafeConsoleError."""
        known = self.known
        by_row = self.rows(known.row_waits)
        rows, tables = row_waits(by_row), table_waits(self.rows(known.table_locks))
        sessions = self.by_id({*rows.ids, *tables.ids})
        if tables.unexplained:
            texts = {int(row["id"]): str(row["statement"] or "") for row in sessions}
            held = self._held_tables()
            explained_by_holders(tables, held, lambda id_: self._tables_of(texts.get(id_, "")))
            missing = set(tables.ids) - set(texts)
            sessions += self.by_id(missing)
        # Who waits for a row waits in its statement, too: its metadata locks are explained by that.
        unexplained = tuple(sorted(rows.unexplained | (tables.unexplained - set(rows.waits))))
        return Locks(
            sessions=who_blocks((rows, tables), sessions),
            unexplained=unexplained,
            blind=known.blind if unexplained else "",
        )

    def holding(self) -> tuple[tuple[ServerSessionRow, str], ...]:
        """Return the sessions with an open transaction, and idle ones that hold locks of tables without one.

        With each comes what it holds metadata locks of, "" where the server does not tell. The oldest are first.
        """
        sessions = self.transacting()
        held = held_of(self.rows(self.known.idle_holders) or self._held_tables())
        idle = [session_of(row) for row in self.by_id(set(held) - {each.id for each in sessions})]
        found = sorted(
            (*sessions, *(each for each in idle if each.idle)),
            key=lambda each: -(each.transaction_seconds or each.seconds),
        )
        return tuple((each, held.get(each.id, "")) for each in found)

    def numbers(self) -> dict[str, int]:
        """Return the server's status numbers by lower-case name; unavailable ones are left out."""
        found = {}
        for row in self.rows(self.known.numbers):
            try:
                found[str(row["name"]).lower()] = int(str(row["number"]))
            except ValueError:
                continue
        return found

    def is_there(self, id_: int) -> dict[str, Any] | None:
        """Return a session by its id, None once it is gone."""
        return next(iter(self.by_id((id_,))), None)

    def _held_tables(self) -> list[dict[str, Any]]:
        known = self.known
        return self.rows(known.held_tables) if known.held_tables and self.rows(known.has_held_tables) else []

    def _tables_of(self, text: str) -> frozenset[str]:
        return frozenset(str(table).lower() for statement in self.session.split(text) for table in statement.tables)

    def _listed_by_show(self) -> tuple[ServerSessionRow, ...]:
        shown = map(session_of, self._rows_of_show())
        busy = [
            each
            for each in shown
            if not each.resting and each.command not in _NOT_AT_WORK and each.statement != "SHOW FULL PROCESSLIST"
        ]
        return tuple(sorted(busy, key=lambda session: -session.seconds))

    def _rows_of_show(self) -> list[dict[str, Any]]:
        """Return all sessions from SHOW PROCESSLIST, which needs no temporary table but lacks transactions."""
        more = {"transaction_seconds": None, "changed_rows": 0, "last_statement": None}
        return [
            {**row, "seconds": row["time"], "statement": row["info"], **more}
            for row in self.rows("SHOW FULL PROCESSLIST")
        ]

    def _not_granted(self, error: ServerError) -> ConfigurationError:
        cluster = self.session.context.cluster
        account = "the account for diagnosis" if self.sees_others else "the account for reading"
        way = (
            f"`safeconsole doctor {cluster}` says what it lacks"
            if self.sees_others
            else f"name one in clusters.{cluster}.accounts.{Account.DIAGNOSE}; "
            f"`safeconsole doctor {cluster} --grants` prints what makes it"
        )
        return ConfigurationError(f"{account} may not see that: {error.message}", instead=way)


def destination(session: Session, argument: str) -> str:
    """Return the node of a diagnosis: the named one, else the session's, else the primary."""
    return argument or session.to or Route.PRIMARY


def session_of(row: Mapping[str, Any]) -> ServerSessionRow:
    age = row.get("transaction_seconds")
    return ServerSessionRow(
        id=int(row["id"]),
        user=str(row["user"] or ""),
        host=str(row["host"] or ""),
        schema=str(row.get("schema") or row.get("db") or ""),
        command=str(row["command"] or ""),
        seconds=max(0, int(row["seconds"] or 0)),
        state=str(row["state"] or ""),
        statement=str(row["statement"] or ""),
        last_statement=str(row.get("last_statement") or ""),
        transaction_seconds=None if age is None else int(age),
        changed_rows=int(row.get("changed_rows") or 0),
        locked_rows=int(row.get("locked_rows") or 0),
    )
