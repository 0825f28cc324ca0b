"""Slots as named locks of the server, taken on the connection that runs the heavy statement."""

from __future__ import annotations

import time

from safeconsole.mysql.wire import Wire

# A slot is held exactly as long as the statement can still run: a client that died leaves its statement at work,
# and the server frees the lock with the statement's connection, not before.
#
# Source: MySQL 9.7 and MariaDB 10.11, measured: a session holds many locks; KILL QUERY leaves them; the end of the
# connection frees them, at once when it is idle, with the end of its statement when it computes; a read-only
# transaction may take them. Waiting with a timeout is not used: MySQL rounds it to whole seconds, and a wait for one
# name would miss another that comes free.

_POLL_SECONDS = 0.2


def take_one(wire: Wire, names: tuple[str, ...], *, within_seconds: float) -> str:
    """Take the first free named lock, and return its name, "" when none became free in time.

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
