"""Requests and answers in a table of the team's database: SQLite, PostgreSQL, MySQL or MariaDB, through SQLAlchemy.

A console needs to read and to add rows, never to change or remove one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from sqlalchemy import BigInteger, Column, Engine, MetaData, String, Table, Text, delete, insert, select
from sqlalchemy.dialects import mysql

from safeconsole.approvals.mailbox import ANSWERED, WaitingByName, name_of
from safeconsole.approvals.requests import ApprovalRequest, ApproverRefusal, request_code, request_from_code
from safeconsole.audit.central import AlreadyThereError, TeamTables, open_database
from safeconsole.config.settings import ApprovalSettings
from safeconsole.errors import ConfigurationError

METADATA = MetaData()
_LONG = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

REQUESTS = Table(
    "safeconsole_requests",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("expires_epoch", BigInteger, nullable=False, index=True),
    Column("code", _LONG, nullable=False),
)
ANSWERS = Table(
    "safeconsole_answers",
    METADATA,
    # One row a request: the first answer counts.
    Column("name", String(100), primary_key=True),
    Column("text", _LONG, nullable=False),
)

WITHDRAWN = "it was withdrawn"
KEPT_SECONDS = 90 * 86_400
MOST_SHOWN = 500


class DatabaseMailbox:
    """The tables of a database.

    Args:
        where: names the database in messages.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self._tables, self._where = TeamTables(engine, METADATA, what="requests for approval"), where

    def put(self, request: ApprovalRequest) -> str:
        row = {"name": name_of(request.id), "expires_epoch": request.expires_epoch, "code": request_code(request)}
        try:
            with self._tables.begin() as connection:
                connection.execute(insert(REQUESTS), [row])
        except AlreadyThereError:
            raise ConfigurationError(
                f"a request for approval named {row['name']} is in {self._where} already"
            ) from None
        return str(row["name"])

    def withdraw(self, request: ApprovalRequest) -> None:
        text = msgspec.json.encode(ApproverRefusal(refused_by=request.person, reason=WITHDRAWN)).decode()
        with suppress(ConfigurationError), self._tables.begin() as connection:
            connection.execute(insert(ANSWERS), [{"name": name_of(request.id), "text": text}])

    def answer_to(self, request: ApprovalRequest) -> str:
        wanted = select(ANSWERS.c.text).where(ANSWERS.c.name == name_of(request.id))
        with self._tables.begin() as connection:
            return str(connection.scalar(wanted) or "")

    def store_answer(self, request: ApprovalRequest, text: str) -> None:
        try:
            with self._tables.begin() as connection:
                connection.execute(insert(ANSWERS), [{"name": name_of(request.id), "text": text}])
        except AlreadyThereError:
            raise ANSWERED from None

    def text_of(self, name: str) -> str:
        with self._tables.begin() as connection:
            code = connection.scalar(select(REQUESTS.c.code).where(REQUESTS.c.name == name_of(name)))
        if code is None:
            raise ConfigurationError(
                f"there is no request {name} in the team's database", instead="the console that asks shows its name"
            )
        return str(code)

    def waiting(self) -> WaitingByName:
        answered = select(ANSWERS.c.name).where(ANSWERS.c.name == REQUESTS.c.name).exists()
        wanted = select(REQUESTS).where(REQUESTS.c.expires_epoch > int(time.time()), ~answered)
        with self._tables.begin() as connection:
            rows = connection.execute(wanted.order_by(REQUESTS.c.expires_epoch).limit(MOST_SHOWN)).all()
        found = []
        for row in rows:
            # What others put there may be anything.
            with suppress(ValueError):
                request = request_from_code(row.code)
                if name_of(request.id) == row.name and time.time() < request.expires_epoch:
                    found.append((row.name, request))
        return tuple(found)

    def forget_old(self) -> None:
        old = select(REQUESTS.c.name).where(REQUESTS.c.expires_epoch < int(time.time()) - KEPT_SECONDS)
        with self._tables.begin() as connection:
            names = connection.scalars(old.limit(1_000)).all()
            for table in (ANSWERS, REQUESTS):
                connection.execute(delete(table).where(table.c.name.in_(names)))


def open_mailbox(settings: ApprovalSettings, environ: Mapping[str, str]) -> DatabaseMailbox:
    """Return the configured database. Raises ConfigurationError: the secret is not set, or the address is none."""
    engine, url = open_database(
        settings.database,
        setting="approvals.database",
        secret_variable=settings.secret_variable,
        environ=environ,
        example="postgresql+psycopg://name:{secret}@host/database, sqlite:////srv/safeconsole/approvals.db",
        keeps=True,
    )
    return DatabaseMailbox(engine, str(url.host or url.database))
