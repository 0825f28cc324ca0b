"""The names in a new Python console: `db`, `elevate`, `why`, `topology`, `capacity`."""

from __future__ import annotations

import importlib
import inspect
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, overload

from safeconsole.cluster.engine import Column, Row
from safeconsole.cluster.values import is_integer, typed_rows
from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.output.evidence import explanation_text, topology_text
from safeconsole.output.formats import render
from safeconsole.output.text import StreamStyle, clock_text, counted, safe, span_text
from safeconsole.python.audit_hook import marked
from safeconsole.python.database import DbApiConnection
from safeconsole.python.dbapi import Parameters
from safeconsole.python.session import PythonSession

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table
    from sqlalchemy.engine import Engine
    from sqlalchemy.orm import Session, sessionmaker


class Database:
    r"""
    The cluster, from Python. Reads go to a proven replica, under limits; what writes is refused, with the evidence,
    until it stands inside `with elevate(reason="…", ticket="…"):`. Every statement is in the journal.

        db.sql("SELECT id, total FROM orders WHERE status = %s", ["paid"])     rows, printed as a table
        db.sql("SELECT …").dicts()   .scalars()   .pandas()   .polars()        the same, as something else
        db.tables.orders                              one table, reflected when you name it
        with db.session() as session:                 SQLAlchemy's ORM; --app MODULE:ATTR brings your models
            session.get(Order, 1)
        db.engine                                     SQLAlchemy's engine, for pandas.read_sql and the like
        db.connect()                                  a plain PEP 249 connection
        db.use("primary")                             where reads go: replica, primary, a node's name, "" to choose

    Inside elevate() the first change of a session or a connection begins a transaction on the primary, and its commit()
    or rollback() ends it; whatever else ends it undoes it. db.sql("UPDATE …") by itself commits when it is over, and
    db.sql("BEGIN") … db.sql("COMMIT") is a transaction too. Outside, two reads may see two moments.
    """

    def __init__(self, python: PythonSession) -> None:
        self._python = python
        self._sessions: sessionmaker[Session] | None = None

    def sql(self, text: str, parameters: Parameters | None = None) -> Rows:
        """
        Run one statement and return its rows.

        Args:
            text: one statement; `%s` and `%(name)s` are places for parameters, when there are any.
            parameters: a list for `%s`, a dictionary for `%(name)s`; never put values into the text yourself.

        Raises:
            RefusedError: it needs an elevation or a confirmation; nothing was sent.
            StoppedError: a limit was reached.
        """
        answered = self._python.run(text, parameters)
        ended, node = answered.ended, answered.considered.node or ""
        told = partial(Rows, changed_rows=ended.changed_rows, node=node, seconds=ended.elapsed_seconds)
        further = tuple(told(columns, rows) for columns, rows in answered.further)
        if further:
            self._python.screen.messages.write(f"{1 + len(further)} result sets: `.sets` holds them all\n")
        return told(answered.columns, answered.rows, further=further)

    def connect(self) -> DbApiConnection:
        """Return a PEP 249 connection; it holds no socket."""
        return DbApiConnection(self._python)

    @cached_property
    def engine(self) -> Engine:
        """The SQLAlchemy engine; its every statement passes the gate."""
        from safeconsole.python.engine import guarded_engine  # noqa: PLC0415 (most sessions start without it)

        return guarded_engine(self._python)

    def session(self, **options: Any) -> Session:  # noqa: ANN401 (SQLAlchemy's options)
        """
        Return an ORM session; use it in a `with`.

        Objects stay loaded after a commit: what would load them again may be behind the primary.
        """
        if self._sessions is None:
            from sqlalchemy.orm import sessionmaker  # noqa: PLC0415

            self._sessions = sessionmaker(self.engine, expire_on_commit=False)
            self.announce_flushes(self._sessions)
        return self._sessions(**options)

    def announce_flushes(self, sessions: Any) -> None:  # noqa: ANN401 (a sessionmaker, a scoped session or a class)
        """Make sessions print what they will write, before the first write of each flush."""
        from sqlalchemy import event  # noqa: PLC0415

        event.listen(sessions, "before_flush", self._announce)

    @cached_property
    def tables(self) -> Tables:
        """The tables, each reflected when it is named: `db.tables.orders`."""
        return Tables(lambda: self.engine)

    @marked(console=True)
    def use(self, to: str) -> None:
        """Send what follows to "replica", "primary", a node's name, or "" to let the console choose."""
        self._python.session.use(to)

    def _announce(self, session: Session, _context: object, _instances: object) -> None:
        written = Counter(
            (kind, _table_of(each))
            for kind, each_of in (("insert", session.new), ("update", session.dirty), ("delete", session.deleted))
            for each in each_of
            if kind != "update" or session.is_modified(each)
        )
        if written and self._python.elevated:
            parts = [f"{kind} {safe(table)}: {counted(number, 'row')}" for (kind, table), number in written.items()]
            how = ", each statement by itself" if self._autocommits(session) else ""
            self._python.screen.messages.write(f"this flush writes{how}: {', '.join(parts)}\n")
            self._python.screen.messages.flush()

    @staticmethod
    def _autocommits(session: Session) -> bool:
        return bool(session.connection().get_isolation_level() == "AUTOCOMMIT")

    def __repr__(self) -> str:
        context = self._python.session.context
        return f"<db: {context.cluster} ({context.environment or 'no environment'}); help(db) says what it does>"


class Tables:
    """The cluster's tables: `tables.orders`, `tables["order"]`; each is reflected when it is first named."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._metadata: MetaData | None = None

    def add(self, metadata: MetaData) -> None:
        """Add an application's tables: they need no reflecting."""
        for table in metadata.tables.values():
            table.to_metadata(self._held())

    def __getitem__(self, name: str) -> Table:
        from sqlalchemy import Table  # noqa: PLC0415
        from sqlalchemy.exc import NoSuchTableError  # noqa: PLC0415

        known = self._held().tables.get(name)
        if known is not None:
            return known
        # Completion looks at attributes from a thread of its own, and must send nothing.
        if threading.current_thread() is not threading.main_thread():
            raise KeyError(name)
        schema, _, table = name.rpartition(".")
        try:
            # Nothing that the table refers to is reflected with it: one table at a time.
            return Table(table, self._held(), schema=schema or None, autoload_with=self._engine(), resolve_fks=False)
        except NoSuchTableError:
            raise KeyError(name) from None

    def __getattr__(self, name: str) -> Table:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no table {name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._held().tables))

    def __dir__(self) -> list[str]:
        return [name for name in self if name.isidentifier()]

    def __repr__(self) -> str:
        return f"<tables known so far: {', '.join(self) or 'none'}; tables.NAME reflects one>"

    def _held(self) -> MetaData:
        if self._metadata is None:
            from sqlalchemy import MetaData  # noqa: PLC0415

            self._metadata = MetaData()
        return self._metadata


class Commands:
    """What the console itself offers by name, beside `db`."""

    def __init__(self, python: PythonSession, capacity: Callable[[str], None] | None) -> None:
        self._python = python
        self._capacity = capacity

    @contextmanager
    def elevate(self, *, reason: str, ticket: str = "", minutes: float | None = None) -> Iterator[None]:
        """
        Ask for an elevation, and end it when the block is left.

            with elevate(reason="stuck payments", ticket="INC-7"):
                db.sql("UPDATE …")

        A session or connection that writes inside begins a transaction, and must commit it inside: leaving the block
        undoes what is open.
        """
        python = self._python
        python.elevate(reason=reason, ticket=ticket, window_seconds=None if minutes is None else minutes * 60)
        try:
            left = clock_text(python.session.status().elevated_seconds)
            python.screen.messages.write(f"elevated on {python.session.context.cluster} for {left} at most\n")
            yield
        finally:
            python.stand_down()

    def why(self) -> None:
        """Show everything behind the last decision."""
        session, style = self._python.session, self._python.screen.data_style
        last = session.last()
        _show(self._python, explanation_text(last, session.policy, style) if last else "nothing was asked yet\n")

    @marked(console=True)
    def topology(self) -> None:
        """Measure the nodes now, and show which are fit for reads."""
        session, style = self._python.session, self._python.screen.data_style
        _show(self._python, topology_text(session.context.cluster, session.topology(), session.policy.gates, style))

    def capacity(self, options: str = "") -> None:
        """
        Show the safe sizes of schemas and tables.

            capacity("--leftovers")
        """
        if self._capacity is None:
            raise RefusedError(
                "safe sizes come from another command",
                instead=f"safeconsole capacity {self._python.session.context.cluster}",
            )
        with marked(console=True):
            self._capacity(options)

    def help(self, *about: object) -> None:
        """
        Show what something is and does; without anything, ask what about.

            help(db)
        """
        if text := _own_help(*about):
            _show(self._python, text)
            return
        import pydoc  # noqa: PLC0415 (most sessions do without)

        # Its pager is another program.
        pydoc.pager = pydoc.plainpager
        pydoc.help(*about)


def names_for(python: PythonSession, *, capacity: Callable[[str], None] | None = None) -> dict[str, Any]:
    """
    Return the namespace of a new console.

    Args:
        capacity: prints the safe sizes; takes the command's options as text; None says which command does.
    """
    own = Commands(python, capacity)
    named = {name: getattr(own, name) for name in ("elevate", "why", "topology", "capacity", "help")}
    return {"__name__": "__main__", "db": Database(python), **named}


def _own_help(*about: object) -> str:
    """Return the console's help on one of its own objects, "" for anything else."""
    if len(about) != 1:
        return ""
    (thing,) = about
    named = thing if callable(thing) else type(thing)
    if not str(getattr(named, "__module__", "")).startswith("safeconsole."):
        return ""
    name = getattr(thing, "__name__", "") if callable(thing) else ""
    signature = ""
    if callable(thing) and name and not isinstance(thing, type):
        # Annotations are texts here, and shown without their quotes.
        signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", f"{name}{inspect.signature(thing)}\n\n")
    return f"{signature}{inspect.getdoc(thing) or ''}\n"


def _show(python: PythonSession, text: str) -> None:
    python.screen.data.write(text if text.endswith("\n") else f"{text}\n")
    python.screen.data.flush()


def _table_of(instance: object) -> str:
    table: Mapping[str, object] | object = getattr(type(instance), "__table__", None)
    return str(getattr(table, "name", type(instance).__name__))


SHOWN_ROWS = 50
"""Rows that a result prints; it holds all of them."""

_TERMINAL = StreamStyle(terminal=True)
"""A person reads it: control characters in data are escaped."""


class Rows(Sequence[Row]):
    """
    A result: a sequence of tuples in column order.

    It prints as a table. `rows[0]`, `len(rows)` and loops work; `rows.dicts()`, `rows.scalars()`, `rows.pandas()`,
    `rows.polars()` and `rows.text("csv")` turn it into something else. What is printed is the server's own text; values
    are read from it, a TIME as a timedelta, since it may be negative and longer than a day.

    A procedure may return several result sets: this is the first, and `rows.sets` holds them all, in order; all are
    printed.

    Attributes:
        columns: the result's columns.
        changed_rows: rows that the statement changed, as the server reports them.
        node: where it ran.
        seconds: how long it took.
    """

    def __init__(
        self,
        columns: tuple[Column, ...],
        rows: list[Row],
        *,
        changed_rows: int = 0,
        node: str = "",
        seconds: float = 0.0,
        further: tuple[Rows, ...] = (),
    ) -> None:
        self.columns = columns
        self.changed_rows = changed_rows
        self.node = node
        self.seconds = seconds
        self._further = further
        # As the server wrote them, which no float or decimal tells again; see `_values`.
        self._texts = rows

    @cached_property
    def _values(self) -> list[Row]:
        return typed_rows(self.columns, self._texts)

    @property
    def sets(self) -> tuple[Rows, ...]:
        """All result sets, in order; this one is the first."""
        return (self, *self._further)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    def dicts(self) -> list[dict[str, Any]]:
        """One dictionary a row. Raises ConfigurationError when two columns have one name."""
        self._require_unique()
        return [dict(zip(self.names, row, strict=True)) for row in self._values]

    def scalars(self) -> list[Any]:
        """The first column's values."""
        return [row[0] for row in self._values]

    def scalar(self) -> Any:  # noqa: ANN401 (whatever the column holds)
        """The first value of the first row, None without rows."""
        return self._values[0][0] if self._values else None

    def text(self, form: str = "table") -> str:
        """All rows of this result set as text in one of the console's formats. Raises ValueError for an unknown one."""
        return render(self.columns, self._texts, form)

    def pandas(self) -> Any:  # noqa: ANN401 (a library that need not be there)
        """
        A pandas DataFrame; whole numbers stay whole beside NULL, as Int64 and UInt64.

        Raises ConfigurationError when pandas is not installed.
        """
        pandas = _library("pandas")
        frame = pandas.DataFrame(index=range(len(self._values)))
        series = [
            pandas.Series(values, dtype=_pandas_type(column, values), name=column.name)
            for column, values in zip(self.columns, self._by_column(), strict=True)
        ]
        return pandas.concat([frame, *series], axis=1) if series else frame

    def polars(self) -> Any:  # noqa: ANN401 (a library that need not be there)
        """
        A polars DataFrame.

        Raises ConfigurationError when polars is not installed, or does not hold a column's values.
        """
        self._require_unique()
        polars = _library("polars")
        columns = dict(zip(self.names, self._by_column(), strict=True))
        for column in self.columns:
            _require_polars_digits(column, columns[column.name])
        kinds = {column.name: _polars_type(polars, column) for column in self.columns}
        return polars.DataFrame(columns, schema=kinds, strict=True, infer_schema_length=None)

    def _by_column(self) -> list[Sequence[object]]:
        return list(zip(*self._values, strict=True)) or [()] * len(self.columns)

    def _require_unique(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ConfigurationError(f"two columns have one name: {', '.join(self.names)}", instead="name them with AS")

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        return self._values[at]

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._values)

    def __repr__(self) -> str:
        where = f", {span_text(self.seconds)}, {safe(self.node)}" if self.node else ""
        if not self.columns:
            return f"done, {counted(self.changed_rows, 'row')} changed{where}"
        return "\n\n".join(map(Rows._shown, self.sets)) + where

    def _shown(self) -> str:
        more = f"{SHOWN_ROWS} of " if len(self._texts) > SHOWN_ROWS else ""
        shown = render(self.columns, self._texts[:SHOWN_ROWS], "table", _TERMINAL)
        return f"{shown}{more}{counted(len(self._texts), 'row')}"


_DIGITS_OF_POLARS = 38


def _pandas_type(column: Column, values: Sequence[object]) -> str | None:
    """Return the type of a column of whole numbers, None where pandas finds a fitting one itself."""
    if not is_integer(column):
        return None
    unsigned = column.type_name.endswith("unsigned")
    if None not in values:
        return "uint64" if unsigned else "int64"
    # Otherwise one NULL would turn a whole column into floats, which round from 2**53 on.
    return "UInt64" if unsigned else "Int64"


def _polars_type(polars: Any, column: Column) -> Any:  # noqa: ANN401 (a library that need not be there)
    if not is_integer(column):
        return None
    return polars.UInt64 if column.type_name.endswith("unsigned") else polars.Int64


def _require_polars_digits(column: Column, values: Sequence[object]) -> None:
    digits = max((_digits(value) for value in values if isinstance(value, Decimal)), default=0)
    if digits > _DIGITS_OF_POLARS:
        raise ConfigurationError(
            f"column {safe(column.name)} holds a number of {digits} digits, and polars holds {_DIGITS_OF_POLARS}",
            instead=f"SELECT CAST({safe(column.name)} AS CHAR) for its text, or use .pandas(), which holds every digit",
        )


def _digits(value: Decimal) -> int:
    _, digits, exponent = value.as_tuple()
    return max(len(digits), -int(exponent))


def _library(name: str) -> Any:  # noqa: ANN401 (a library that need not be there)
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"{name} is not installed with safeconsole",
            instead=f"install it into the same environment: pip install {name}",
        ) from None
