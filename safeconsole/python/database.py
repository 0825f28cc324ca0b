"""
PEP 249 over the gate: what SQLAlchemy, pandas and plain cursors use in place of a driver.

A connection's first change inside `elevate()` begins a transaction, and `commit` and `rollback` end it. With
`autocommit`, and for what no transaction can hold (DDL), a statement commits by itself; a `rollback` after it says
that it came too late, and never pretends.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from safeconsole.cluster.engine import Column, Row
from safeconsole.cluster.values import typed_rows
from safeconsole.python import dbapi
from safeconsole.python.dbapi import InterfaceError, NotSupportedError, Parameters, Places, ProgrammingError, batches_of
from safeconsole.python.session import PythonSession, StatementResult

apilevel = "2.0"
threadsafety = 1
paramstyle = "pyformat"

Description = tuple[tuple[str, str, None, None, None, None, bool], ...]


class DbApiConnection:
    """
    A PEP 249 connection; it holds no socket, and knows no password.

    Args:
        session: the person's session.
        places: how statements write the places of their parameters.
    """

    Warning = dbapi.Warning
    Error = dbapi.Error
    InterfaceError = dbapi.InterfaceError
    DatabaseError = dbapi.DatabaseError
    DataError = dbapi.DataError
    OperationalError = dbapi.OperationalError
    IntegrityError = dbapi.IntegrityError
    InternalError = dbapi.InternalError
    ProgrammingError = dbapi.ProgrammingError
    NotSupportedError = dbapi.NotSupportedError

    def __init__(self, session: PythonSession, places: Places = Places.FORMAT) -> None:
        self._session: PythonSession | None = session
        self._places = places
        self._changed = 0
        self._autocommits = False

    @property
    def autocommits(self) -> bool:
        """Whether each statement is a transaction of its own; see `autocommit`."""
        return self._autocommits

    def cursor(self) -> Cursor:
        """Return a new cursor. Raises InterfaceError when the connection is closed."""
        self._open()
        return Cursor(self)

    def commit(self) -> None:
        """
        Commit the transaction that its changes are in; nothing after reads.

        Raises:
            SafeConsoleError: it was undone already, refused, or its end is not known; see `PythonSession.end`.
        """
        session = self._open()
        self._changed = 0
        session.end(self, "COMMIT")

    def rollback(self) -> None:
        """
        Undo the transaction that its changes are in; nothing after reads.

        Raises:
            NotSupportedError: statements since the last commit changed something by themselves, and stay.
            SafeConsoleError: as `commit`.
        """
        session = self._open()
        changed, self._changed = self._changed, 0
        session.end(self, "ROLLBACK")
        if changed:
            what = (
                "1 statement that changed data was" if changed == 1 else f"{changed} statements that changed data were"
            )
            raise NotSupportedError(
                0, f"{what} was committed and cannot be rolled back: look at the data before going on"
            )

    def close(self) -> None:
        """Close it and roll back its open transaction, as a server does; the session continues."""
        session, self._session = self._session, None
        if session is not None:
            session.end(self, "ROLLBACK")

    def autocommit(self, value: bool) -> None:  # noqa: FBT001 (the drivers' signature)
        """Set autocommit; commits an open transaction first."""
        if value:
            self._open().end(self, "COMMIT")
        self._autocommits = value

    def get_autocommit(self) -> bool:
        """Whether every statement commits by itself."""
        return self._autocommits

    def ping(self, _reconnect: object = None) -> None:
        """Do nothing: the gate looks after its connections."""
        self._open()

    def character_set_name(self) -> str:
        """The character set of the connection."""
        return "utf8mb4"

    def run(self, text: str, parameters: Parameters | None) -> StatementResult:
        """Run one statement for a cursor. Raises as `PythonSession.run`."""
        session = self._open()
        answered = session.run(text, parameters, self._places, owner=self)
        # What its transaction holds can be undone.
        self._changed += answered.changes and not session.is_owner(self)
        return answered

    def batches_of(self, operation: str, parameters: Iterable[Parameters]) -> Iterator[str] | None:
        """Return the finished statements of an INSERT of many rows; see `dbapi.batches_of`."""
        return batches_of(operation, parameters, self._open().rules, self._places)

    def _open(self) -> PythonSession:
        if self._session is None:
            raise InterfaceError(0, "the connection is closed")
        return self._session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Cursor:
    """
    A PEP 249 cursor.

    Attributes:
        connection: the connection it belongs to.
        arraysize: rows that `fetchmany` returns when it is not told.
        description: one tuple a column (name, type, five times None, True), or None without a result.
        rowcount: rows found or changed, -1 before the first statement.
        lastrowid: the number that the server gave to the first row inserted, or None.
    """

    def __init__(self, connection: DbApiConnection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.description: Description | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._rows: Sequence[Row] | None = None
        self._further: list[tuple[tuple[Column, ...], list[Row]]] = []
        self._next = 0
        self._closed = False

    def execute(self, operation: str, parameters: Parameters | None = None) -> int:
        """Run one statement and return its row count. Raises as `PythonSession.run`."""
        self._require_open()
        self.description, self._rows, self._next, self.rowcount, self._further = None, None, 0, -1, []
        answered = self.connection.run(operation, parameters)
        self.lastrowid = answered.ended.inserted_id or None
        if answered.columns:
            self._begin_set(answered.columns, answered.rows)
            self._further = list(answered.further)
        else:
            self.rowcount = answered.ended.changed_rows
        return self.rowcount

    def executemany(self, operation: str, parameters: Iterable[Parameters]) -> int:
        """
        Run one statement for all sets of parameters, and return the rows changed.

        An INSERT or REPLACE of one row of places becomes statements of many rows, as the drivers do it; anything else
        is one statement a set. In autocommit those before one that fails stay.
        """
        total = 0
        batches = self.connection.batches_of(operation, parameters)
        if batches is not None:
            for text in batches:
                total += self.execute(text)
        else:
            for each in parameters:
                total += self.execute(operation, each)
        self.rowcount = total
        return total

    def callproc(self, *_: object) -> None:
        """Raise NotSupportedError: `execute` with CALL says what would be called."""
        raise NotSupportedError(0, "callproc is not offered: execute a CALL, which the policy judges")

    def fetchone(self) -> Row | None:
        """Return the next row, None after the last."""
        rows = self._result()
        if self._next >= len(rows):
            return None
        self._next += 1
        return rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """Return the next rows, at most `size` or `arraysize`."""
        rows, start = self._result(), self._next
        self._next = min(len(rows), start + (self.arraysize if size is None else size))
        return list(rows[start : self._next])

    def fetchall(self) -> list[Row]:
        """Return all remaining rows."""
        rows, start = self._result(), self._next
        self._next = len(rows)
        return list(rows[start:])

    def nextset(self) -> bool | None:
        """Move to the next result set of a procedure and return True; None if there is none."""
        self._require_open()
        if not self._further:
            return None
        self._begin_set(*self._further.pop(0))
        return True

    def setinputsizes(self, _sizes: object) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, _size: int, _column: int | None = None) -> None:
        """Do nothing, as PEP 249 allows."""

    def close(self) -> None:
        """Close it and release its rows."""
        self._closed, self._rows, self._further = True, None, []

    def _begin_set(self, columns: tuple[Column, ...], rows: list[Row]) -> None:
        self.description = tuple((column.name, column.type_name, None, None, None, None, True) for column in columns)
        self._rows, self._next, self.rowcount = typed_rows(columns, rows), 0, len(rows)

    def _result(self) -> Sequence[Row]:
        self._require_open()
        if self._rows is None:
            raise ProgrammingError(0, "there is no result to fetch from")
        return self._rows

    def _require_open(self) -> None:
        if self._closed:
            raise InterfaceError(0, "the cursor is closed")

    def __iter__(self) -> Iterator[Row]:
        return iter(self.fetchone, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Api:
    """The driver module that SQLAlchemy sees.

    Args:
        sqlite_version: the version of SQLite on the nodes, empty on servers.
    """

    __name__ = "safeconsole.python.database"
    __version__ = "2.0"
    apilevel = apilevel
    threadsafety = threadsafety
    Warning: ClassVar[Any] = dbapi.Warning
    Error: ClassVar[Any] = dbapi.Error
    InterfaceError: ClassVar[Any] = dbapi.InterfaceError
    DatabaseError: ClassVar[Any] = dbapi.DatabaseError
    DataError: ClassVar[Any] = dbapi.DataError
    OperationalError: ClassVar[Any] = dbapi.OperationalError
    IntegrityError: ClassVar[Any] = dbapi.IntegrityError
    InternalError: ClassVar[Any] = dbapi.InternalError
    ProgrammingError: ClassVar[Any] = dbapi.ProgrammingError
    NotSupportedError: ClassVar[Any] = dbapi.NotSupportedError
    Binary = bytes
    Date, Time, Timestamp = dt.date, dt.time, dt.datetime

    def __init__(self, sqlite_version: str = "") -> None:
        self.paramstyle = "qmark" if sqlite_version else "format"
        self.sqlite_version = sqlite_version
        self.sqlite_version_info = tuple(int(part) for part in sqlite_version.split(".") if part.isdecimal())
