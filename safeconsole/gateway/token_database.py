"""The tokens of several gateways in a database of the team: SQLite, PostgreSQL, MySQL or MariaDB, through SQLAlchemy.

A token that is issued or revoked by one program counts for all of them within a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from msgspec.structs import asdict
from sqlalchemy import (
    Column,
    Double,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Engine

from safeconsole.audit.central import TeamTables, open_database
from safeconsole.config.settings import GatewaySettings
from safeconsole.errors import ConfigurationError
from safeconsole.gateway.tokens import IssuedToken, Tokens

METADATA = MetaData()
TOKENS = Table(
    "safeconsole_tokens",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("person", String(64), nullable=False),
    Column("agent", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("sha1", String(40), nullable=False),
    Column("issued_epoch", Double, nullable=False),
    Column("ends_epoch", Double, nullable=False),
    Column("revoked_epoch", Double, nullable=False),
    Column("by", String(190), nullable=False),
)

READ_AGAIN_SECONDS = 1.0
"""How old what was read may be: a token that is revoked counts no longer after this."""

SHORTEST_SECONDS = 0.1
"""Between two readings for tokens that are not known."""

BELIEVED_SECONDS = 30.0
"""How long who is logged in stays so while the database does not answer. Nobody logs in meanwhile."""


class TokenDatabase(Tokens):
    """The tokens in a database.

    Args:
        seconds: a monotonic clock.
    """

    def __init__(self, engine: Engine, seconds: Callable[[], float] = time.monotonic) -> None:
        self._tables, self._seconds = TeamTables(engine, METADATA, what="the tokens"), seconds
        self._lock = threading.Lock()
        self._known: tuple[IssuedToken, ...] = ()
        self._read_at = self._tried_at = float("-inf")
        self._trouble: ConfigurationError | None = None

    def all(self) -> tuple[IssuedToken, ...]:
        """Return every token that is kept, oldest first. Raises ConfigurationError: the database does not answer."""
        with self._lock:
            now = self._seconds()
            if now - self._tried_at >= READ_AGAIN_SECONDS:
                # Asked once for all who wait, also where it does not answer.
                self._trouble = None
                try:
                    self._known, self._read_at = self._read(), now
                except ConfigurationError as error:
                    self._trouble = error
                self._tried_at = self._seconds()
            if self._trouble is not None:
                raise self._trouble
            return self._known

    def valid(self, token_id: str, now_epoch: float) -> bool:
        try:
            known = self.all()
        except ConfigurationError:
            with self._lock:
                known = self._known if self._seconds() - self._read_at < BELIEVED_SECONDS else ()
        return any(each.id == token_id and each.state_at(now_epoch) == "valid" for each in known)

    def _add(self, token: IssuedToken, *, forget_before_epoch: float) -> None:
        with self._tables.begin() as connection:
            connection.execute(delete(TOKENS).where(TOKENS.c.ends_epoch < forget_before_epoch))
            connection.execute(insert(TOKENS), [asdict(token)])
        self._forget()

    def _set_revoked(self, token_id: str, *, now_epoch: float) -> IssuedToken | None:
        with self._tables.begin() as connection:
            still = update(TOKENS).where(TOKENS.c.id == token_id, TOKENS.c.revoked_epoch == 0)
            connection.execute(still.values(revoked_epoch=now_epoch))
            row = connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).mappings().one_or_none()
        self._forget()
        return None if row is None else IssuedToken(**row)

    def _proven(self, proves: Callable[[IssuedToken], bool], now_epoch: float) -> IssuedToken | None:
        found = super()._proven(proves, now_epoch)
        if found is None:
            # It may have been issued just now, after the last reading.
            time.sleep(min(max(self._tried_at + SHORTEST_SECONDS - self._seconds(), 0.0), SHORTEST_SECONDS))
            self._forget()
            found = super()._proven(proves, now_epoch)
        return found

    def _forget(self) -> None:
        with self._lock:
            self._tried_at = float("-inf")

    def _read(self) -> tuple[IssuedToken, ...]:
        with self._tables.begin() as connection:
            found = connection.execute(select(TOKENS).order_by(TOKENS.c.issued_epoch, TOKENS.c.id))
            return tuple(IssuedToken(**row) for row in found.mappings())


def open_token_database(settings: GatewaySettings, environ: Mapping[str, str]) -> TokenDatabase:
    """Return the tokens of a configured database.

    Args:
        environ: holds the secret, where one is named; `{secret}` stands for it in the address.

    Raises:
        ConfigurationError: the secret is not set, or the address cannot be used.
    """
    engine, _ = open_database(
        settings.tokens,
        setting="gateway.tokens",
        secret_variable=settings.secret_variable,
        environ=environ,
        example="postgresql+psycopg://name:{secret}@host/database, sqlite:////srv/safeconsole/tokens.db",
    )
    return TokenDatabase(engine)
