"""What the audit commands need that keep the journals: retention, copies, recordings, keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from safeconsole.core.recordable import Recorded
from safeconsole.interfaces import Archive


class PrunedSession(Protocol):
    """What retention did with one session."""

    @property
    def session(self) -> str:
        """Its id."""
        ...

    @property
    def act(self) -> str:
        """Remove, pack or keep."""
        ...

    @property
    def why(self) -> str:
        """Why it is kept, or ""."""
        ...

    @property
    def freed_bytes(self) -> int:
        """Bytes of disk given back."""
        ...


class ShippedTo(Protocol):
    """What one pass did for one sink."""

    @property
    def sink(self) -> str:
        """Its name."""
        ...

    @property
    def lines(self) -> int:
        """How many it took."""
        ...

    @property
    def trouble(self) -> str:
        """Why it took no more, or ""."""
        ...


class Keeping(Protocol):
    """Keeps the journals of this computer."""

    def prune(self, *, remove_before: str, pack_before: str, dry: bool) -> Iterable[PrunedSession]:
        """Remove and pack sessions opened before these times; "" does neither."""
        ...

    def ship(self) -> Iterable[ShippedTo]:
        """Send all that each sink has not taken yet; no sink, no result."""
        ...

    def recording(self, session: str) -> Recorded:
        """What a session's terminal showed. Raises ConfigurationError without one."""
        ...

    def new_signing_key(self, where: str) -> str:
        """Make a key in a file or the keyring, and return its public half. Raises ConfigurationError."""
        ...

    def new_literal_key(self, where: str) -> None:
        """Make the key that literals are hashed with, in a file or the keyring. Raises ConfigurationError."""
        ...


class HasKeeping(Protocol):
    """What `ctx.obj` must offer to these commands."""

    def archive(self) -> Archive:
        """The journals of this computer."""
        ...

    def keeping(self) -> Keeping:
        """How they are kept."""
        ...
