"""SQLAlchemy over the gate: dialects without drivers, and an application's models bound to them."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, create_engine
from sqlalchemy.dialects import registry as dialect_registry
from sqlalchemy.dialects.mysql import BIT, TIME
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.mysql.reflection import MySQLTableDefinitionParser, ReflectedState
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.orm import DeclarativeMeta, registry, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool
from sqlalchemy.types import Time

from safeconsole.errors import ConfigurationError
from safeconsole.python.audit_hook import marked
from safeconsole.python.database import Api, DbApiConnection
from safeconsole.python.dbapi import Places
from safeconsole.python.session import PythonSession

if TYPE_CHECKING:
    from safeconsole.python.namespace import Database


_AUTOCOMMIT: IsolationLevel = "AUTOCOMMIT"


class _GuardedDialect:
    """The part that both dialects leave to the gate."""

    # What servers of the family have by default; a transaction's level is the server's, whatever this says.
    own_level: IsolationLevel = "REPEATABLE READ"

    # Rows changed, not rows found: the same value written again changes none.
    supports_sane_rowcount = False
    supports_sane_multi_rowcount = False

    def on_connect(self) -> None:
        """Return no setup: the session's settings belong to the console."""

    def create_connect_args(self, _url: object) -> tuple[list[str], dict[str, Any]]:
        """Return no arguments: nothing logs in here."""
        return [], {}

    def get_isolation_level_values(self, _connection: object) -> tuple[IsolationLevel, ...]:
        return (_AUTOCOMMIT, self.own_level)

    def get_isolation_level(self, connection: Any) -> IsolationLevel:  # noqa: ANN401 (SQLAlchemy's or ours)
        """Return AUTOCOMMIT if it was requested."""
        return _AUTOCOMMIT if connection.autocommits else self.own_level

    def get_default_isolation_level(self, _connection: object) -> IsolationLevel:
        return self.own_level

    def set_isolation_level(self, connection: Any, level: IsolationLevel) -> None:  # noqa: ANN401
        connection.autocommit(level == _AUTOCOMMIT)

    def reset_isolation_level(self, connection: Any) -> None:  # noqa: ANN401
        connection.autocommit(False)

    def is_disconnect(self, _error: object, _connection: object, _cursor: object) -> bool:
        """Return False: connections belong to the console, and nothing is sent again."""
        return False


class _TimeSpan(TIME):
    """A TIME as the family means it: a span, which may be negative and longer than a day."""

    cache_ok = True

    def result_processor(self, _dialect: object, _coltype: object) -> None:  # type: ignore[override]
        ...


class _TimeOfDay(TIME):
    """The `Time` of an application's own tables: a time of day wherever the value is one."""

    cache_ok = True

    def result_processor(self, _dialect: object, _coltype: object) -> Callable[[Any], Any]:
        """Return a converter to `datetime.time`; a value outside a day stays a timedelta."""
        return lambda value: (dt.datetime.min + value).time() if _is_of_a_day(value) else value  # noqa: DTZ901


def _is_of_a_day(value: object) -> bool:
    return isinstance(value, dt.timedelta) and dt.timedelta(0) <= value < dt.timedelta(days=1)


class _Bits(BIT):
    """A BIT as a number, received as a number or as bytes."""

    cache_ok = True

    def result_processor(self, _dialect: object, _coltype: object) -> Callable[[Any], int | None]:
        return lambda value: int.from_bytes(value) if isinstance(value, bytes) else value


class _Parser(MySQLTableDefinitionParser):
    """Reads SHOW CREATE TABLE; names in it come with their quotes doubled."""

    def parse(self, show_create: str, charset: str | None) -> ReflectedState:
        """Return the parsed statement, with the names of columns and keys unchanged."""
        state = super().parse(show_create, charset)
        plain = self.preparer._unescape_identifier  # noqa: SLF001 (what SQLAlchemy itself reads the table's name with)
        for column in state.columns:
            column["name"] = plain(column["name"])
        for key in state.keys:
            key["columns"] = [(plain(name), *rest) for name, *rest in key["columns"]]
            key["name"] = key["name"] and plain(key["name"])
        return state


class GuardedMySql(_GuardedDialect, MySQLDialect_pymysql):  # type: ignore[misc]
    """MySQL, MariaDB and their sisters."""

    # A plain class attribute, as the dialect above declares it.
    colspecs = {**MySQLDialect_pymysql.colspecs, Time: _TimeOfDay, TIME: _TimeSpan, BIT: _Bits}  # noqa: RUF012
    driver = "safeconsole"
    supports_statement_cache = True
    supports_server_side_cursors = False

    @property
    def _tabledef_parser(self) -> _Parser:
        return _Parser(self, self.identifier_preparer)


class GuardedSqlite(_GuardedDialect, SQLiteDialect):
    """SQLite, for the embedded cluster."""

    driver = "safeconsole"
    supports_statement_cache = True
    own_level: IsolationLevel = "SERIALIZABLE"

    def _get_server_version_info(self, _connection: object) -> tuple[int, ...]:
        version: tuple[int, ...] = self.loaded_dbapi.sqlite_version_info
        return version


@marked(console=True)
def guarded_engine(python: PythonSession) -> Engine:
    """Return a SQLAlchemy engine that sends every statement through the gate.

    Nothing is asked of any server before its first statement; then it reads the server's version, schema and
    sql_mode, each down the same road.
    """
    dialect_registry.register("mysql.safeconsole", __name__, "GuardedMySql")
    dialect_registry.register("sqlite.safeconsole", __name__, "GuardedSqlite")
    name = python.rules.dialect.sqlalchemy
    places, version_of = _DRIVERS[name]
    creator: Callable[[], Any] = partial(DbApiConnection, python, places)
    return create_engine(
        f"{name}+safeconsole://",
        module=Api(version_of(python)),
        creator=creator,
        # A connection here is a few words of memory; nothing is gained by keeping one.
        poolclass=NullPool,
        pool_reset_on_return=None,
    )


def _sqlite_version(python: PythonSession) -> str:
    return next((reading.version for reading in python.session.topology() if reading.version), "3.35.0")


_DRIVERS: Mapping[str, tuple[Places, Callable[[PythonSession], str]]] = {
    "mysql": (Places.FORMAT, lambda _session: ""),
    "sqlite": (Places.MARKS, _sqlite_version),
}
"""The parameter style of SQLAlchemy's dialects, and the driver version that they expect."""


TAKEN = "a declarative base, a registry, a MetaData, a sessionmaker or a scoped_session"


def load_application(target: str, db: Database) -> dict[str, Any]:
    """Import an application's models and bind what sends statements to the guarded engine.

    Args:
        target: "module:attribute", such as "shop.models:Base".

    Returns:
        Names for the console: the attribute, and every mapped class.

    Raises:
        ConfigurationError: it cannot be imported, has no such attribute, or is none of what can be taken.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"{target} is not MODULE:ATTR", instead="for example shop.models:Base")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(
            f"{module_name} cannot be imported: {error}",
            instead="the current directory is not searched: set PYTHONPATH to where the application is",
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{module_name} has no {attribute}")
        found = getattr(found, name)
    return {attribute.rpartition(".")[2]: found, **_bind(found, db, target)}


def _bind(found: Any, db: Database, target: str) -> dict[str, Any]:  # noqa: ANN401 (whatever the application has)
    if isinstance(found, sessionmaker | scoped_session):
        found.configure(bind=db.engine)
        db.announce_flushes(found)
        return {}
    if isinstance(found, MetaData):
        db.tables.add(found)
        return {}
    models = found if isinstance(found, registry) else getattr(found, "registry", None)
    if isinstance(models, registry) and (models is found or isinstance(found, type | DeclarativeMeta)):
        db.tables.add(models.metadata)
        return {mapper.class_.__name__: mapper.class_ for mapper in models.mappers}
    raise ConfigurationError(f"{target} is {type(found).__name__}", instead=f"name {TAKEN}")
