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

    Args:
        is_by_node: whether a node's is good for that node alone, as an IAM token is.
    """

    def __init__(self, secrets: Secrets, clock: Clock, *, cluster: str, account: str, is_by_node: bool = False) -> None:
        self._secrets = secrets
        self._clock = clock
        self._cluster = cluster
        self._account = account
        self._is_by_node = is_by_node
        self._asking = threading.Lock()
        self._held: dict[str, tuple[float, str]] = {}

    def get(self, node: str = "") -> str:
        """Return it, for the node at an address. Raises ConfigurationError, as `interfaces.Secrets`."""
        place = node if self._is_by_node else ""
        with self._asking:
            held = self._held.get(place)
            if held is None or self._clock.monotonic() - held[0] > HOLD_SECONDS:
                password = self._secrets.password(self._cluster, self._account, place)
                held = self._held[place] = (self._clock.monotonic(), password)
            return held[1]
