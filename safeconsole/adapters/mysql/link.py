"""A connection and its watchdog as one thing that is whole or broken."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from safeconsole.adapters.mysql.cancel import Watchdog
from safeconsole.adapters.mysql.variants import Variant
from safeconsole.adapters.mysql.wire import IN_TRANSACTION, DriverError, Wire
from safeconsole.core.routing import Identity
from safeconsole.core.vocabulary import Account, NodeName


class Link(msgspec.Struct, kw_only=True):
    """
    One connection to one instance, and what is known of it.

    Attributes:
        node: its node's name.
        account: which account it is logged in with.
        variant: the family member.
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
    variant: Variant
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
