"""
Hold `analyse` against real servers, with the servers' own regression suites.

`python -m tests.differential.effects [mysql|mariadb ...] [--statements N] [--seconds T] [--seed S] [--show N]`

Test files are replayed on a throwaway server, schema and all. Every statement that we call a plain
read is run twice: inside a read-only transaction of a read-only session, where the server refuses
what writes, and as the read-write account that it would never meet. Between the two it is watched:
errors 1792 and 1290, the position of the binary log (rows, schema, accounts), named locks, global
variables, files. One effect is a defect. The other number is the cost: statements that the server
ran as reads, and that we call unknown.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Flavour
from safeconsole.demo.binaries import provide_server
from safeconsole.demo.servers import RunningCluster
from safeconsole.demo.servers import start_cluster
from tests.differential.corpus import statements_of, test_files

REFUSED_AS_WRITE = frozenset({1290, 1792, 1836, 4047})
LOST = frozenset({2006, 2013, 0})
READING_WORDS = ("select", "with", "values", "table", "show", "explain", "describe", "desc", "help", "(", "analyze")
# What a file may do to prepare its schema; everything else of it is left out.
PREPARING = (
    "create ",
    "alter ",
    "drop ",
    "insert",
    "update",
    "delete",
    "replace",
    "truncate",
    "rename table",
    "set",
    "use",
)
NEVER = (" user", " role", " server", " instance", " tablespace", " undo", " logfile", " resource", " catalog")
FILE_SECONDS = 40.0


@dataclass(slots=True)
class Tally:
    """What a run found."""

    files: int = 0
    reads: int = 0
    executed: int = 0
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)


class Replay:
    """One server, on which test files are replayed one after the other."""

    def __init__(self, flavour: str, cluster: RunningCluster, version: int, tally: Tally) -> None:
        self.flavour = flavour
        self.cluster = cluster
        self.rules = LexicalRules(dialect=DIALECTS[Flavour(flavour)], version=version)
        self.tally = tally
        self.connection: pymysql.Connection | None = None

    def file(self, path: Path, wanted: int) -> None:
        """Replay one file, until it ends, has given enough, or has taken too long."""
        self.connect()
        deadline, before = time.monotonic() + FILE_SECONDS, self.tally.executed
        for text, _ in statements_of(path):
            if time.monotonic() > deadline or self.tally.executed - before >= wanted:
                break
            found = analyse(text, self.rules, schema="test")
            if len(found) == 1:
                try:
                    self.statement(found[0], path)
                except pymysql.MySQLError:
                    self.connect(fresh=False)
        self.tally.files += 1
        self.clean()

    def statement(self, statement: Statement, path: Path) -> None:
        reading = statement.text.lower().startswith(READING_WORDS)
        if statement.is_plain_read:
            self.tally.reads += 1
            self.watch(statement, path)
        elif reading and Effect.UNKNOWN in statement.effects:
            if self.run_read_only(statement.text) is None:
                self.tally.executed += 1
                self.tally.refused.append((path.name, statement.text, "; ".join(statement.reasons)))
        elif statement.kind.startswith(PREPARING) and not any(word in f" {statement.kind}" for word in NEVER):
            if statement.kind == "set" and (Effect.ADMIN in statement.effects or "sql_mode" in statement.text.lower()):
                return
            self.execute(statement.text)

    def watch(self, statement: Statement, path: Path) -> None:
        """Run one read both ways and look at what changed."""
        # What the file itself left open would be ended, and counted, by our transaction.
        self.execute("SET autocommit = 1")
        self.execute("COMMIT")
        self.execute("DO RELEASE_ALL_LOCKS()")
        before = self.state()
        code = self.run_read_only(statement.text)
        if code in REFUSED_AS_WRITE:
            self.tally.missed.append((path.name, statement.text, f"E{code} in a read-only transaction"))
            return
        if code is None:
            self.tally.executed += 1
            self.tally.kinds[statement.kind] += 1
            self.execute(statement.text)
        after = self.state()
        for name, value in before.items():
            if after[name] != value:
                self.tally.missed.append((path.name, statement.text, f"{name} changed: {value} → {after[name]}"))

    def run_read_only(self, text: str) -> int | None:
        """Run a statement as the console would, and return the server's error, if any."""
        self.execute("SET SESSION TRANSACTION READ ONLY")
        self.execute("START TRANSACTION READ ONLY")
        code = self.execute(text)
        self.execute("ROLLBACK")
        self.execute("SET SESSION TRANSACTION READ WRITE")
        return code

    def execute(self, text: str) -> int | None:
        try:
            with self.connection.cursor(pymysql.cursors.SSCursor) as cursor:
                cursor.execute(text)
                cursor.fetchmany(200_000)
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in LOST:
                raise
            return int(error.args[0])
        except (ValueError, OverflowError, UnicodeError, IndexError, AssertionError, TypeError):
            # A value that the driver cannot convert: it did run.
            self.connect(fresh=False)
        return None

    def rows(self, text: str) -> tuple:
        with self.connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()

    def state(self) -> dict[str, object]:
        """Return what a read may not change."""
        log = "SHOW BINARY LOG STATUS" if self.flavour == "mysql" else "SHOW MASTER STATUS"
        settings = (
            "SELECT BIT_XOR(CRC32(CONCAT(variable_name, '=', LEFT(variable_value, 500)))) FROM {}.global_variables"
            " WHERE variable_name NOT LIKE 'gtid%' AND variable_name NOT LIKE '%timestamp%'"
        ).format("performance_schema" if self.flavour == "mysql" else "information_schema")
        return {
            "binary log": self.rows(log)[0][:2],
            "named locks": self.rows("SELECT RELEASE_ALL_LOCKS()")[0][0],
            "global variables": self.rows(settings)[0][0],
            "files": len(list(self.cluster.primary.datadir.rglob("*.out"))),
        }

    def connect(self, *, fresh: bool = True) -> None:
        """Open a connection; a fresh one gets an empty schema."""
        if self.connection is not None:
            with contextlib.suppress(Exception):
                self.connection.close()
        self.connection = self.cluster.dba_connect(self.cluster.primary)
        self.connection._read_timeout = 8
        limit = "max_execution_time = 2000" if self.flavour == "mysql" else "max_statement_time = 2"
        for text in (
            f"SET SESSION {limit}",
            "SET SESSION lock_wait_timeout = 2",
            "SET SESSION innodb_lock_wait_timeout = 2",
        ):
            self.execute(text)
        if fresh:
            self.clean()
            self.execute("CREATE DATABASE test")
        self.execute("USE test")

    def clean(self) -> None:
        keep = ("information_schema", "performance_schema", "mysql", "sys", "shop")
        with contextlib.suppress(pymysql.MySQLError):
            for (name,) in self.rows("SHOW DATABASES"):
                if name not in keep:
                    self.execute(f"DROP DATABASE `{name}`")


def measure(flavour: str, *, statements: int, seed: int, each: int = 150, seconds: float = 3600.0) -> Tally:
    """Replay a sample of files until so many reads ran, or the time is over, and return what was found."""
    ending = time.monotonic() + seconds
    version = server_version(flavour)
    files = test_files(flavour)
    random.Random(seed).shuffle(files)
    tally = Tally()
    with (
        tempfile.TemporaryDirectory() as directory,
        start_cluster(flavour, Path(directory) / "c", replicas=0) as cluster,
    ):
        replay = Replay(flavour, cluster, version, tally)
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            # Without it the servers refuse to create the functions that write, and half the proof is gone.
            cursor.execute("SET GLOBAL log_bin_trust_function_creators = 1")
            # Events of the suites write beside us, and would be taken for our doing.
            cursor.execute("SET GLOBAL event_scheduler = OFF")
        for path in files:
            if tally.executed >= statements or time.monotonic() > ending:
                break
            try:
                replay.file(path, each)
            except pymysql.MySQLError as error:
                sys.stderr.write(f"{path.name}: given up: {error}\n")
    return tally


def server_version(flavour: str) -> int:
    major, minor, patch = (int(part) for part in provide_server(flavour).version.split("-")[0].split("."))
    return major * 10000 + minor * 100 + patch


def report(flavour: str, tally: Tally, show: int) -> None:
    ran = max(tally.executed, 1)
    sys.stdout.write(
        f"{flavour} {provide_server(flavour).version}: {tally.files} files, {tally.executed} reads ran;"
        f" effects missed: {len(tally.missed)}; plain reads refused: {len(tally.refused)}"
        f" ({100 * len(tally.refused) / ran:.2f} %)\n"
    )
    for title, found in (("MISSED", tally.missed), ("refused", tally.refused)):
        for name, text, why in found[:show]:
            sys.stdout.write(f"  {title} {name}: {' '.join(text.split())[:160]}\n      {why[:160]}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flavours", nargs="*", default=["mysql", "mariadb"])
    parser.add_argument("--statements", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=1800.0, help="for each flavour")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=40)
    chosen = parser.parse_args()
    missed = 0
    for flavour in chosen.flavours:
        tally = measure(flavour, statements=chosen.statements, seed=chosen.seed, seconds=chosen.seconds)
        report(flavour, tally, chosen.show)
        missed += len(tally.missed)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
