"""
SQLAlchemy on the guarded interface: the family's dialect and SQLite's, without their drivers.

A statement commits by itself, so the engine's isolation level is AUTOCOMMIT and no other can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.pool import NullPool

from safeconsole.core.vocabulary import Flavour
from safeconsole.shells.python.database import Api, Connection
from safeconsole.shells.python.line import Line
from safeconsole.shells.python.templates import Places

_ONLY: tuple[IsolationLevel, ...] = ("AUTOCOMMIT",)


class _Guarded:
    """What both dialects do not do themselves, because the gate does it."""

    # Rows changed, not rows found: the same value written again changes none.
    supports_sane_rowcount = False
    supports_sane_multi_rowcount = False

    def on_connect(self) -> None:
        """Set nothing: the session's settings belong to the console."""

    def create_connect_args(self, _url: object) -> tuple[list[str], dict[str, Any]]:
        """Return nothing: there is nobody to log in."""
        return [], {}

    def get_isolation_level_values(self, _connection: object) -> tuple[IsolationLevel, ...]:
        """Return the only one there is."""
        return _ONLY

    def get_isolation_level(self, _connection: object) -> IsolationLevel:
        """Return the only one there is."""
        return _ONLY[0]

    def get_default_isolation_level(self, _connection: object) -> IsolationLevel:
        """Return the only one there is."""
        return _ONLY[0]

    def set_isolation_level(self, _connection: object, _level: IsolationLevel) -> None:
        """Do nothing: SQLAlchemy asks for no level that is not among the values."""

    def reset_isolation_level(self, _connection: object) -> None:
        """Do nothing: it never changed."""

    def is_disconnect(self, _error: object, _connection: object, _cursor: object) -> bool:
        """Return no: a lost connection is not this side's, and nothing is ever sent again."""
        return False


class GuardedMySql(_Guarded, MySQLDialect_pymysql):  # type: ignore[misc]
    """MySQL, MariaDB and their sisters."""

    driver = "safeconsole"
    supports_statement_cache = True
    supports_server_side_cursors = False


class GuardedSqlite(_Guarded, SQLiteDialect):
    """SQLite, for the embedded cluster."""

    driver = "safeconsole"
    supports_statement_cache = True

    def _get_server_version_info(self, _connection: object) -> tuple[int, ...]:
        version: tuple[int, ...] = self.loaded_dbapi.sqlite_version_info
        return version


def guarded_engine(line: Line) -> Engine:
    """
    Return a SQLAlchemy engine whose every statement walks the road.

    Nothing is asked of any server before its first statement; then it reads the server's version, schema and
    sql_mode, each down the same road.
    """
    registry.register("mysql.safeconsole", __name__, "GuardedMySql")
    registry.register("sqlite.safeconsole", __name__, "GuardedSqlite")
    sqlite = line.rules.flavour is Flavour.SQLITE
    creator: Callable[[], Any] = partial(Connection, line, Places.MARKS if sqlite else Places.FORMAT)
    return create_engine(
        "sqlite+safeconsole://" if sqlite else "mysql+safeconsole://",
        module=Api(_sqlite_version(line) if sqlite else ""),
        creator=creator,
        # A connection here is a few words of memory; nothing is gained by keeping one.
        poolclass=NullPool,
        pool_reset_on_return=None,
    )


def _sqlite_version(line: Line) -> str:
    return next((reading.version for reading in line.gate.topology() if reading.version), "3.35.0")
