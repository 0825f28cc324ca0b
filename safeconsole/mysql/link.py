"""A connection and its watchdog as one thing that is whole or broken; the server's named locks."""

from __future__ import annotations

import time
from contextlib import suppress

import msgspec

from safeconsole.mysql.watchdog import Watchdog
from safeconsole.mysql.wire import IN_TRANSACTION, DriverError, Wire
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, NodeName

# --------------------------------------------------------------------------------------------------------------------
# A connection and its watchdog as one thing that is whole or broken.


class MySqlLink(msgspec.Struct, kw_only=True):
    """
    One connection to one instance, and what is known of it.

    Attributes:
        node: its node's name.
        account: which account it is logged in with.
        dialect: the family member.
        version: as in `LexicalRules.version`.
        wire: the connection that statements are sent on.
        watchdog: watches them from a second one.
        identity: the instance, compared at the start.
        patience_seconds: how long the console's own questions may take.
        schema: the session's current schema, or "".
        broken: whether it must be discarded.
    """

    node: NodeName
    account: Account
    dialect: Dialect
    version: int
    wire: Wire
    watchdog: Watchdog
    identity: Identity
    patience_seconds: float
    schema: str = ""
    broken: bool = False

    @property
    def address(self) -> str:
        """The server's address, for messages."""
        return self.identity.address

    def give_up(self) -> None:
        """End the connection without a word: what it might still say is of no use."""
        self.broken = True
        self.wire.discard()

    def close(self) -> None:
        """Undo what is open, and close the connection and its watchdog; never raises."""
        if not self.broken and self.wire.server_status & IN_TRANSACTION:
            # Closing alone undoes it too, but the server would say so only by its locks being gone.
            with suppress(DriverError, OSError):
                self.wire.wait_at_most(self.patience_seconds)
                self.wire.run("ROLLBACK")
        if self.broken:
            self.wire.discard()
        else:
            self.broken = True
            self.wire.quit()
        self.watchdog.close()


# --------------------------------------------------------------------------------------------------------------------
# The server's own named locks, as slots: taken on the connection that the heavy statement will run on.
#
# So a slot is held exactly as long as the statement can still run: a client that died leaves its statement at work,
# and the server frees the lock with the statement's connection, not before.
#
# Source: MySQL 9.7 and MariaDB 10.11, measured: a session holds many locks; KILL QUERY leaves them; the end of the
# connection frees them, at once when it is idle, with the end of its statement when it computes; a read-only
# transaction may take them. Waiting with a timeout is not used: MySQL rounds it to whole seconds, and a wait for one
# name would miss another that comes free.


_POLL_SECONDS = 0.2


def take_one(wire: Wire, names: tuple[str, ...], *, within_seconds: float) -> str:
    """
    Take the first named lock that is free, and return its name, "" when none came free in time.

    Raises:
        DriverError, OSError: the connection is lost, or the server has no such locks.
    """
    tried = " ".join(f"WHEN GET_LOCK('{name}', 0) = 1 THEN {number}" for number, name in enumerate(names, start=1))
    # NULL, an error of the server's such as no memory, is no slot either.
    text = f"SELECT CASE {tried} ELSE 0 END"
    until = time.monotonic() + within_seconds
    while True:
        taken = int(wire.rows(text)[0][0])
        if taken:
            return names[taken - 1]
        left = until - time.monotonic()
        if left <= 0:
            return ""
        time.sleep(min(_POLL_SECONDS, left))


def free(wire: Wire, name: str) -> None:
    """Free a lock. Raises DriverError, OSError."""
    wire.run(f"DO RELEASE_LOCK('{name}')")


def holders(wire: Wire, names: tuple[str, ...]) -> tuple[int | None, ...]:
    """Return the connection that holds each lock, None where nobody does. Raises DriverError, OSError."""
    (row,) = wire.rows(f"SELECT {', '.join(f'IS_USED_LOCK({name!r})' for name in names)}")
    return tuple(None if held is None else int(held) for held in row)
