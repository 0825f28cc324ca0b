"""Capacity reports in a team's database: SQLite, PostgreSQL, MySQL or MariaDB, through SQLAlchemy.

Drafts stay on this computer; a finished report is stored in one transaction, compressed line by line. If the database
is unreachable, only storing must be repeated.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from itertools import islice

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Engine

from safeconsole.audit.central import TeamTables, open_database
from safeconsole.capacity.reports import KEPT_REPORTS, ReportShelf
from safeconsole.config.settings import CapacitySettings
from safeconsole.errors import ConfigurationError

METADATA = MetaData()

LINES = Table(
    "safeconsole_capacity",
    METADATA,
    Column("cluster", String(190), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # Sixteen MiB on MySQL, where a plain one ends at 64 KiB.
    Column("line", LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"), nullable=False),
)

_LINES_AT_ONCE = 32


def open_shared_shelf(settings: CapacitySettings, drafts: ReportShelf, environ: Mapping[str, str]) -> SharedShelf:
    """Return the configured shared storage.

    Args:
        environ: holds the secret, where one is named; `{secret}` stands for it in the address.

    Raises:
        ConfigurationError: the secret is not set, or the address cannot be used.
    """
    engine, _ = open_database(
        settings.reports,
        setting="capacity.reports",
        secret_variable=settings.secret_variable,
        environ=environ,
        example="sqlite:////srv/safeconsole/capacity.db, mysql+pymysql://name:{secret}@host/database?ssl_ca=FILE",
    )
    return SharedShelf(engine, drafts)


class SharedShelf:
    def __init__(self, engine: Engine, drafts: ReportShelf) -> None:
        self._tables = TeamTables(
            engine,
            METADATA,
            what="capacity reports",
            instead="what was read is kept on this computer: the same command resumes from there",
        )
        self._drafts = drafts
        self.claimed, self.append, self.draft, self.drop = drafts.claimed, drafts.append, drafts.draft, drafts.drop

    def keep(self, cluster: str, draft: str, name: str) -> None:
        """Turn a draft into a report, and remove the oldest above `KEPT_REPORTS`."""
        rows = (
            {"cluster": cluster, "name": name, "number": number, "line": zlib.compress(line.encode(), 5)}
            for number, line in enumerate(self._drafts.draft(cluster, draft))
        )
        with self._tables.begin() as connection:
            while some := list(islice(rows, _LINES_AT_ONCE)):
                connection.execute(insert(LINES), some)
            for old in self._names(connection, cluster)[:-KEPT_REPORTS]:
                connection.execute(delete(LINES).where(LINES.c.cluster == cluster, LINES.c.name == old))
        self._drafts.drop(cluster, draft)

    def kept(self, cluster: str) -> tuple[str, ...]:
        with self._tables.begin() as connection:
            return self._names(connection, cluster)

    def lines(self, cluster: str, name: str) -> Iterator[str]:
        wanted = select(LINES.c.line).where(LINES.c.cluster == cluster, LINES.c.name == name).order_by(LINES.c.number)
        row = None
        with (
            self._tables.begin() as connection,
            # Who reads the first line only leaves a result that is still open.
            connection.execution_options(yield_per=_LINES_AT_ONCE).execute(wanted) as found,
        ):
            for row in found:
                yield _text(row.line, name)
        if row is None:
            raise ConfigurationError(f"capacity report {name} of {cluster} cannot be read: it no longer exists")

    def _names(self, connection: Connection, cluster: str) -> tuple[str, ...]:
        # The first line of each: one row a report.
        wanted = select(LINES.c.name).where(LINES.c.cluster == cluster, LINES.c.number == 0).order_by(LINES.c.name)
        return tuple(row.name for row in connection.execute(wanted))


def _text(line: bytes, name: str) -> str:
    try:
        return zlib.decompress(line).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"capacity report {name} cannot be read: {type(error).__name__}") from None
