"""
A server with very many tables, made quickly: on the replica alone, which is the one that is asked, and in steps.

While it is built the server keeps nothing safe (no doublewrite, no flush, no log of changes) and has memory; every
measured side restarts it with the settings of a server at work.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.cold_server import ColdServer, ask
from safeconsole.demo.servers import connect_root

SCHEMA = "bench"
LARGE = 20
PER_SCHEMA = 500
SHAPES = {
    "small": "id INT PRIMARY KEY, a INT, KEY (a)",
    "application": "id BIGINT PRIMARY KEY AUTO_INCREMENT, account_id BIGINT NOT NULL, user_id BIGINT,"
    " state VARCHAR(32), name VARCHAR(255), email VARCHAR(255), body TEXT, amount DECIMAL(12, 2), settings TEXT,"
    " locale VARCHAR(8), created_at DATETIME(6) NOT NULL, updated_at DATETIME(6) NOT NULL, deleted_at DATETIME(6),"
    " KEY (account_id), KEY (user_id, created_at), KEY (state), KEY (updated_at)",
}
"""Columns and keys of the many tables: the least there is, and what an application's frameworks make."""

_AT_ONCE = 4
_STATISTICS_SECONDS = 300.0
_UNSAFE = (
    "--innodb-doublewrite=0",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=1G",
    "--innodb-fast-shutdown=1",
    "--table-open-cache=4000",
)
_LOG = {"mysql": "--innodb-redo-log-capacity=1G", "mariadb": "--innodb-log-file-size=1G"}


def grow(server: ColdServer, already: int, wanted: int, shape: str) -> float:
    """Make tables number `already` to `wanted` of one of `SHAPES`, the large ones at first; return the seconds."""
    begun = time.monotonic()
    server.restart(*_UNSAFE, _LOG[server.flavour])
    with connect_root(server.node.socket) as dba:
        writable(dba, value=True)
    if not already:
        _large(server)
    starts = range(already, wanted, PER_SCHEMA)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        list(pool.map(lambda start: _schema(server, start, min(start + PER_SCHEMA, wanted), SHAPES[shape]), starts))
    if not already:
        _wait_for_statistics(server)
    with connect_root(server.node.socket) as dba:
        writable(dba, value=False)
    return time.monotonic() - begun


def writable(dba, *, value: bool) -> None:
    """Let the replica's own administrator change it, without a trace in its log; or no more."""
    if "MariaDB" not in ask(dba, "SELECT VERSION()")[0][0]:
        ask(dba, f"SET GLOBAL super_read_only = {int(not value)}")
    ask(dba, f"SET GLOBAL read_only = {int(not value)}")
    ask(dba, f"SET SESSION sql_log_bin = {int(not value)}")


def _schema(server: ColdServer, start: int, end: int, columns: str) -> None:
    schema = f"{SCHEMA}_{start // PER_SCHEMA:04d}"
    with connect_root(server.node.socket) as dba:
        ask(dba, "SET SESSION sql_log_bin = 0")
        ask(dba, f"CREATE DATABASE IF NOT EXISTS {schema}")
        for number in range(start, end):
            ask(dba, f"CREATE TABLE {schema}.t{number:06d} ({columns})")


def _large(server: ColdServer) -> None:
    """Make tables of 60 to 120 MB, some of them named as leftovers are."""
    with connect_root(server.node.socket) as dba:
        ask(dba, "SET SESSION sql_log_bin = 0")
        ask(dba, f"CREATE DATABASE {SCHEMA}")
        ask(dba, f"CREATE TABLE {SCHEMA}.hot (id INT PRIMARY KEY, v VARCHAR(100))")
        for start in range(1, 10_001, 2_000):
            values = ",".join(f"({n}, REPEAT('x', 80))" for n in range(start, start + 2_000))
            ask(dba, f"INSERT INTO {SCHEMA}.hot VALUES {values}")
        for number in range(LARGE):
            name = f"`{SCHEMA}`.`_large{number:02d}_gho`" if number % 4 == 0 else f"`{SCHEMA}`.`large{number:02d}`"
            ask(dba, f"CREATE TABLE {name} (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(2000), KEY (a))")
            for part in range(3 + number // 5):
                columns = f"id + {part * 10_000}, REPEAT(CHAR(65 + (id + {part}) % 26), 1900)"
                ask(dba, f"INSERT INTO {name} (a, b) SELECT {columns} FROM {SCHEMA}.hot")


def _wait_for_statistics(server: ColdServer) -> None:
    """Wait until the server has noticed in the background what was filled; a restart would make it forget to."""
    sql = f"SELECT COUNT(*) FROM mysql.innodb_table_stats WHERE database_name = '{SCHEMA}' AND n_rows > 25000"
    until = time.monotonic() + _STATISTICS_SECONDS
    while time.monotonic() < until:
        with connect_root(server.node.socket) as dba:
            if ask(dba, sql)[0][0] == LARGE:
                return
        time.sleep(2)
    print("  the statistics of some large tables are still old", flush=True)
