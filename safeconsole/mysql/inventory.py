"""The connections that a process has open, written down so that another can end them once it has died.

A server goes on with a statement whose client is gone until it would answer. A process that ends by itself stops what
it runs; for one that is killed outright another one does it, by this file.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from safeconsole.sqltext.vocabulary import Account, NodeName


class OpenThread(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as its server knows it.

    Attributes:
        server: the server's identity; another one has threads of the same number.
        host: its end as the process list names it; a later connection of that number differs.
    """

    node: NodeName
    account: Account
    server: str
    thread: int
    host: str


class Inventoried(Protocol):
    """A connection that is written down."""

    @property
    def is_closed(self) -> bool: ...

    @property
    def as_thread(self) -> OpenThread: ...


class Inventory:
    """Keeps the file of one process; thread-safe.

    The connections that were closed leave it when the next one is opened: whoever reads it looks on the server first.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._open: list[Inventoried] = []

    def add(self, connection: Inventoried) -> None:
        """Write a connection down, before anything is sent over it; never raises."""
        with self._lock:
            self._open = [*(each for each in self._open if not each.is_closed), connection]
            draft = self._path.with_suffix(".new")
            # A disk that is full keeps nobody from working; what then dies goes on until its limit.
            with suppress(OSError):
                draft.write_bytes(msgspec.json.encode([each.as_thread for each in self._open]))
                draft.replace(self._path)


def threads_in(path: str) -> Sequence[OpenThread]:
    """Return what a process had open last; nothing where it wrote nothing down."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=list[OpenThread])
    except (OSError, msgspec.MsgspecError):
        return ()
