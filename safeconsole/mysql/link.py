"""The shared state of one statement connection: its wire, its watchdog, and the server's properties."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from safeconsole.dialects.privileges import AccountPrivileges
from safeconsole.mysql.inventory import OpenThread
from safeconsole.mysql.watchdog import Watchdog
from safeconsole.mysql.wire import IN_TRANSACTION, DriverError, Wire
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, NodeName


class MySqlLink(msgspec.Struct, kw_only=True):
    """A connection to one instance, with the instance's properties.

    Attributes:
        version: as in `LexicalRules.version`.
        wire: the connection that statements are sent on.
        watchdog: watches them from a second one.
        identity: the instance, compared at the start.
        patience_seconds: how long the console's own questions may take.
        schema: the session's current schema, or "".
        shares_writes: as in `Reading`, when it was measured.
        privileges: what its account says that it may do, None where it was not asked.
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
    shares_writes: bool = False
    privileges: AccountPrivileges | None = None
    broken: bool = False

    @property
    def address(self) -> str:
        return self.identity.address

    @property
    def as_thread(self) -> OpenThread:
        """What its server knows the connection by."""
        target = self.watchdog.target
        return OpenThread(
            node=self.node, account=self.account, server=target.server, thread=target.thread, host=target.host
        )

    def give_up(self) -> None:
        """Close the connection abruptly; a pending answer is discarded."""
        self.broken = True
        self.wire.discard()

    def close(self) -> None:
        """Roll back an open transaction, and close the connection and its watchdog; never raises."""
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
