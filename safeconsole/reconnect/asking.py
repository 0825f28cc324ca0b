"""Ask a server who it is and whether it takes writes: one row, no privilege, no table."""

from __future__ import annotations

from typing import Any

from safeconsole.reconnect.board import Finding

# On Aurora a reader reports innodb_read_only; everywhere else a replica must have read_only on.
QUESTION = "SELECT @@read_only, @@innodb_read_only, @@hostname, @@port, @@server_id"


def ask(connection: Any) -> Finding:  # noqa: ANN401  (a connection of any driver)
    """
    Return what the server at the other end says of itself.

    Raises:
        Exception: the driver's own, when the connection does not answer.
    """
    cursor = connection.cursor()
    try:
        cursor.execute(QUESTION)
        read_only, innodb_read_only, host, port, number = cursor.fetchone()
    finally:
        cursor.close()
    return Finding(writes=not (int(read_only) or int(innodb_read_only)), server=f"{host}:{port}/{number}")
