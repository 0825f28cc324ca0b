"""One account's password, fetched once for all connections that are opened together."""

from __future__ import annotations

import threading

from safeconsole.interfaces import Clock, Secrets

HOLD_SECONDS = 5.0
"""How long a password is used again: a start opens several connections, and a rotated one must be found soon."""


class HeldPassword:
    """
    The password of one account; may be asked from several threads.

    A source may be a program that takes a second or asks for a touch of a key: every node's connection,
    and the one for the statement, would start it again.
    """

    def __init__(self, secrets: Secrets, clock: Clock, *, cluster: str, account: str) -> None:
        self._secrets = secrets
        self._clock = clock
        self._cluster = cluster
        self._account = account
        self._asking = threading.Lock()
        self._held: tuple[float, str] | None = None

    def get(self) -> str:
        """Return it. Raises ConfigurationError, as `interfaces.Secrets`."""
        with self._asking:
            if self._held is None or self._clock.monotonic() - self._held[0] > HOLD_SECONDS:
                password = self._secrets.password(self._cluster, self._account)
                self._held = (self._clock.monotonic(), password)
            return self._held[1]
