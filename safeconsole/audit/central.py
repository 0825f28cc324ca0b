"""The central database: a table that receives every journal line exactly once, however often it is sent.

PostgreSQL, MySQL, MariaDB and SQLite, through SQLAlchemy. Lines are stored unchanged, so that their hash chain can be
verified there as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Insert,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    insert,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from safeconsole.audit.sinks import Parcel, SinkError, kind_of
from safeconsole.errors import ConfigurationError

METADATA = MetaData()

ENTRIES = Table(
    "safeconsole_entries",
    METADATA,
    Column("stream", String(80), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time", String(32), nullable=False, index=True),
    Column("kind", String(40), nullable=False),
    Column("hash", String(64), nullable=False),
    # Sixteen MiB on MySQL, where Text alone ends at 64 KiB and cuts or refuses the rest.
    Column("line", Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
)


class DatabaseSink:
    def __init__(self, url: str) -> None:
        """Prepare an engine for a SQLAlchemy URL; connects later. Raises ConfigurationError."""
        try:
            require_proof(made := make_url(url), setting="audit.sinks")
            self._engine: Engine = create_engine(made, pool_pre_ping=True, hide_parameters=True)
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
            # `from None`: the error may quote the address with its password.
            message = f"audit.sinks: the database address cannot be used ({type(error).__name__})"
            raise ConfigurationError(message) from None
        self._made = False

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Store a batch in one transaction, or raise SinkError and store none of it."""
        rows = [_row(parcel) for parcel in parcels]
        try:
            with self._engine.begin() as connection:
                if not self._made:
                    METADATA.create_all(connection)
                if rows:
                    connection.execute(insert_once(self._engine.dialect.name), rows)
            self._made = True
        except SQLAlchemyError as error:
            # `from None`: the driver's words may quote the address, a line, or both.
            raise SinkError(f"database {self._engine.url.host or 'file'}: {_named(error)}") from None

    def close(self) -> None:
        self._engine.dispose()


class AlreadyThereError(ConfigurationError):
    """Another process was first: a row of that key is there already."""


class TeamTables:
    """Tables of the console's own in a database of the team's.

    Args:
        metadata: the tables; made at the first use where they are missing and the account may.
        what: what they hold, for messages.
        instead: what else there is, while the database is away.
    """

    def __init__(self, engine: Engine, metadata: MetaData, *, what: str, instead: str = "") -> None:
        self.engine = engine
        self._metadata, self._what, self._instead = metadata, what, instead
        self._is_made = False

    @property
    def place(self) -> str:
        return str(self.engine.url.host or self.engine.url.database)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a connection in its own transaction.

        Raises:
            AlreadyThereError: a row of that key is there already.
            ConfigurationError: the database failed.
        """
        try:
            make_private_file(self.engine.url)
            if not self._is_made:
                # Another process may make them at this moment, or somebody did for accounts that cannot: what is
                # missing all the same is told by its use.
                with suppress(SQLAlchemyError), self.engine.begin() as connection:
                    self._metadata.create_all(connection)
            with self.engine.begin() as connection:
                yield connection
            self._is_made = True
        except (SQLAlchemyError, OSError) as error:
            # `from None`: the driver's words may quote the address.
            why = _named(error) if isinstance(error, SQLAlchemyError) else (error.strerror or "").lower()
            kind = AlreadyThereError if isinstance(error, IntegrityError) else ConfigurationError
            raise kind(f"{self._what} in {self.place} cannot be used: {why}", instead=self._instead) from None


def open_database(
    address: str,
    *,
    setting: str,
    secret_variable: str,
    environ: Mapping[str, str],
    example: str,
    keeps: bool = False,
) -> tuple[Engine, URL]:
    """Return an engine for a configured SQLAlchemy URL, and the URL; it connects when it is used.

    Args:
        setting: what names the address ("capacity.reports"), for messages.
        secret_variable: the environment variable whose value replaces `{secret}`, or "".
        example: an address of the kind.
        keeps: keep connections open between uses.

    Raises:
        ConfigurationError: the secret is not set, or the address cannot be used.
    """
    secret = environ.get(secret_variable, "") if secret_variable else ""
    if secret_variable and not secret:
        raise ConfigurationError(f"{setting.partition('.')[0]}.secret_variable: {secret_variable} is not set")
    try:
        url = make_url(address.replace("{secret}", quote(secret, safe="")))
        require_proof(url, setting=setting)
        if keeps:
            return create_engine(url, poolclass=QueuePool, pool_pre_ping=True, hide_parameters=True), url
        return create_engine(url, poolclass=NullPool, hide_parameters=True), url
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # `from None`: the error may quote the address with its password.
        raise ConfigurationError(
            f"{setting}: the address cannot be used ({type(error).__name__})", instead=f"such as {example}"
        ) from None


def make_private_file(url: URL) -> None:
    """Make the file of a SQLite database that is not there yet, for this account alone. Raises OSError."""
    named = url.database if url.get_backend_name() == "sqlite" else None
    if named and named != ":memory:" and not Path(named).exists():
        Path(named).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(named).touch(mode=0o600)


def require_proof(url: URL, *, setting: str) -> None:
    """Refuse a MySQL or MariaDB URL to another host that does not verify the server's certificate.

    Without an authority the driver accepts any certificate, or none, and any key to encrypt the password with.
    Raises ConfigurationError.
    """
    if url.get_backend_name() not in {"mysql", "mariadb"} or {"unix_socket", "ssl_ca"} & set(url.query):
        return
    host = url.host or "localhost"
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost":
        raise ConfigurationError(
            f"{setting}: {host} is not this computer, and the address names no authority that proves it",
            instead="add ?ssl_ca=FILE to the address: the certificate must then be of that host",
        )


def _named(error: SQLAlchemyError) -> str:
    driver = getattr(error, "orig", None)
    number = next((each for each in getattr(driver, "args", ())[:1] if isinstance(each, int)), "")
    return f"{type(error).__name__} {number or getattr(driver, 'sqlstate', None) or ''}".rstrip()


def insert_once(dialect: str) -> Insert:
    """Return an INSERT that ignores a line which is stored already."""
    match dialect:
        case "postgresql":
            return postgresql.insert(ENTRIES).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(ENTRIES).on_conflict_do_nothing()
        case "mysql" | "mariadb":
            # An update that changes nothing, not IGNORE: IGNORE would also cut what is too long.
            once = mysql.insert(ENTRIES)
            return once.on_duplicate_key_update(number=once.inserted.number)
        case _:
            return insert(ENTRIES)


def put(table: Table, dialect: str) -> Insert:
    """Return an INSERT that replaces the row with the same primary key."""
    match dialect:
        case "postgresql":
            row: postgresql.Insert | sqlite.Insert = postgresql.insert(table)
        case "sqlite":
            row = sqlite.insert(table)
        case _:
            over = mysql.insert(table)
            return over.on_duplicate_key_update({each.name: over.inserted[each.name] for each in table.columns})
    keys = [each.name for each in table.primary_key]
    others = {each.name: row.excluded[each.name] for each in table.columns if each.name not in keys}
    return row.on_conflict_do_update(index_elements=keys, set_=others) if others else row.on_conflict_do_nothing()


def _row(parcel: Parcel) -> dict[str, object]:
    time, digest, kind = kind_of(parcel.line)
    line = parcel.line.decode("utf-8", "replace")
    return {
        "stream": parcel.stream, "number": parcel.number, "time": time, "kind": kind, "hash": digest, "line": line,
    }  # fmt: skip
