"""A statement connection that is opened while its node is being measured, before anybody chose the node."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from safeconsole.cluster.routing import rank_of_tags
from safeconsole.config.settings import ClusterSettings
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.remembered import Remembered
from safeconsole.mysql.sensors import FirstLook
from safeconsole.sqltext.vocabulary import NodeName, Role, Route


class Ahead:
    """Opens one connection in a thread of its own; whoever chose its node takes it, else it is closed.

    What is wrong with it is nobody's error: a connection that is opened the ordinary way is told again what is.

    Args:
        schema: the one that it is opened in, as it was asked for.
        look: looks for it beside the measurement of its node.
        open_it: opens it.
    """

    def __init__(self, node: NodeName, schema: str, look: FirstLook, open_it: Callable[[], MySqlConnection]) -> None:
        self.node, self.schema = node, schema
        self._look, self._open_it = look, open_it
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._connection: MySqlConnection | None = None
        self._is_closed = False
        self._began = time.monotonic()
        threading.Thread(target=self._open, daemon=True, name="safeconsole-ahead").start()

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self._began

    def take(self) -> MySqlConnection | None:
        """Wait until it is open, and return it, None where it did not come up. It is the caller's from then on."""
        self._is_over.wait()
        with self._lock:
            connection, self._connection = self._connection, None
        return connection

    def close(self, *, within_seconds: float = 0.0) -> None:
        """Close it, now or as soon as it is open; never raises.

        Args:
            within_seconds: how long that is waited for.
        """
        with self._lock:
            self._is_closed = True
        self._look.may_look()
        if self._is_over.wait(within_seconds):
            connection = self.take()
            if connection is not None:
                connection.close()

    def _open(self) -> None:
        connection = None
        with suppress(BaseException):
            connection = self._open_it()
        with self._lock:
            if not self._is_closed:
                self._connection, connection = connection, None
        self._is_over.set()
        if connection is not None:
            connection.close()


def likely_node(settings: ClusterSettings, remembered: Remembered, to: str) -> tuple[str, NodeName] | None:
    """Return address and name of the node that a statement will probably go to, drawn where several are alike.

    Only what is configured is a candidate. Where nothing is remembered, any that is not said to be the writer is.

    Args:
        to: replica, primary, a node's name, or "" for whatever a read goes to.
    """
    named = {address: NodeName(settings.names.get(address, address)) for address in settings.nodes}
    if to not in {"", Route.PRIMARY, Route.REPLICA}:
        found = [address for address, name in named.items() if name == to]
    elif to == Route.PRIMARY or remembered.are_any:
        role = Role.PRIMARY if to == Route.PRIMARY else Role.REPLICA
        found = [address for address in named if remembered.role_of(address) is role]
    else:
        found = [address for address, name in named.items() if name not in settings.writers]
    if not found:
        return None
    ranks = {address: rank_of_tags(settings.tags.get(address, ())) for address in found}
    best = [address for address in found if ranks[address] == min(ranks.values())]
    address = random.choice(best)  # noqa: S311 (it spreads load, and guards nothing)
    return address, named[address]
