"""
What reading each object of the hazard catalogue opens, on a server with many tables, held against what was measured.

    python -m benchmarks.catalogue [mysql|mariadb ...] [--release 11.8] [--tables 2000] [--write]
    python -m benchmarks.catalogue --socket PATH

Without a socket it starts a throw-away server of each flavour and fills it. With one it asks the server that is there,
as its administrator: it runs FLUSH TABLES again and again, so not one that others use. It prints a line for each row
whose class changed, and for each object that no row names; `--write` keeps what was measured in `catalogue.tsv` beside
this file. Exit code 1 when something changed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pymysql

from safeconsole.demo.servers import connect_root, start_cluster
from safeconsole.dialects import DIALECTS
from safeconsole.dialects.catalogue import SYSTEM_SCHEMAS
from safeconsole.mysql.recognising import version_of
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour

RECORD = Path(__file__).with_suffix(".tsv")
"""A line for each object of a row and version: "flavour/row's id/object", the version, what was measured."""

CAP_SECONDS, LATE = 0.05, 2.0
"""The cap under which a read runs a second time, and how often its time may pass until it counts as not stopped."""

ITS_OWN = 400
"""More opened than this is more than the server's own tables and views are made of."""

_OPENED = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Opened_tables', 'Opened_table_definitions')"


def recorded():
    """Return what was measured, by row's id and object, then by version; what opens was read from nothing."""
    known = {}
    for line in RECORD.read_text(encoding="utf-8").splitlines():
        row, version, text = line.split("\t")
        known.setdefault(row, {})[version] = text
    return known


class Crowded:
    """A server with many tables, as its administrator sees it.

    Attributes:
        version: as it calls itself, "10.11.18".
        rules: how it reads texts.
        tables: how many it has, at least.
    """

    def __init__(self, dba, tables):
        self.cursor = dba.cursor()
        self.greeting = dba.get_server_info().removeprefix("5.5.5-")
        self.version = self.greeting.split("-")[0]
        self.flavour = Flavour.MARIADB if "MariaDB" in self.greeting else Flavour.MYSQL
        self.rules = LexicalRules(dialect=DIALECTS[self.flavour], version=version_of(self.greeting))
        self.tables = tables

    def objects(self):
        """Yield (schema, name) of everything in the server's own schemas."""
        for schema in sorted(SYSTEM_SCHEMAS):
            try:
                self.cursor.execute(f"SHOW TABLES FROM {schema}")
            except pymysql.MySQLError:
                # MariaDB 10.5 has no schema sys.
                continue
            for (name,) in self.cursor.fetchall():
                yield schema, name

    def columns(self, schema, name):
        self.cursor.execute(f"SHOW COLUMNS FROM `{schema}`.`{name}`")
        return [row[0] for row in self.cursor.fetchall()]

    def opened_by(self, text):
        """Return how many tables, or definitions of tables, reading it opens from nothing."""
        return max(self.opened_each(text))

    def opened_each(self, text):
        """Return how many definitions and tables reading it opens from nothing; none where it cannot be read."""
        self.cursor.execute("FLUSH TABLES")
        before = self._opened()
        # A plugin directory, a table that a variable has to name first.
        self._runs(text)
        return tuple(now - then for now, then in zip(self._opened(), before, strict=True))

    def seconds_of(self, text):
        """Return how long it takes cold, and whether a cap ends it in time, None where it is over too soon to tell."""
        self.cursor.execute("FLUSH TABLES")
        seconds = self._runs(text)
        if seconds < CAP_SECONDS * LATE * 2:
            return seconds, None
        variable, units = ("max_statement_time", 1) if self.flavour is Flavour.MARIADB else ("max_execution_time", 1000)
        self.cursor.execute("FLUSH TABLES")
        self.cursor.execute(f"SET SESSION {variable} = {CAP_SECONDS * units:g}")
        try:
            return seconds, self._runs(text) < CAP_SECONDS * LATE
        finally:
            self.cursor.execute(f"SET SESSION {variable} = 0")

    def hazards(self, text):
        (statement,) = analyse(text, self.rules, schema="shop")
        return statement.hazards

    def costs(self, text):
        return {hazard.cost for hazard in self.hazards(text)}

    def _runs(self, text):
        started = time.monotonic()
        try:
            self.cursor.execute(text)
            self.cursor.fetchall()
        except pymysql.MySQLError:
            pass
        return time.monotonic() - started

    def _opened(self):
        self.cursor.execute(_OPENED)
        return [int(value) for _, value in sorted(self.cursor.fetchall())]


def texts_of(server, only=()):
    """Yield (row's id, object, text) for each object that a row of the catalogue names: what meets the row first."""
    wanted = {name for row in server.rules.dialect.catalogue.objects if row.id in only for name in row.names}
    for schema, name in server.objects():
        if wanted and name.lower() not in wanted:
            continue
        met = set()
        for what in ("*", *(f"`{column}`" for column in server.columns(schema, name))):
            text = f"SELECT {what} FROM `{schema}`.`{name}`"
            for hazard in server.hazards(text)[:1]:
                if hazard.id not in met and (not only or hazard.id in only):
                    met.add(hazard.id)
                    yield hazard.id, f"{schema}.{name.lower()}", text


def class_of(server, tables, definitions):
    """Return in a word what is opened."""
    if tables >= server.tables:
        return "every table"
    if definitions >= server.tables:
        return "every definition"
    return "a part" if max(tables, definitions) > ITS_OWN else "none"


def measured(server, only=()):
    """Yield (row's id and object, what was measured).

    Args:
        only: ids of rows; none for all.
    """
    for row, name, text in texts_of(server, only):
        definitions, tables = server.opened_each(text)
        seconds, stops = server.seconds_of(text)
        told = f"{class_of(server, tables, definitions)} opened ({definitions:,} definitions, {tables:,} tables)"
        ends = {True: "; stopped", False: "; not stopped", None: ""}[stops]
        yield f"{row}/{name}", f"{told}, {seconds * 1000:,.0f} ms{ends}"


def changed(before, now):
    """Whether something else is opened than before, or a cap does what it did not do."""
    opened = len({each.split(" opened")[0].rpartition(": ")[2] for each in (before, now)}) > 1
    stops = {"not stopped" in each for each in (before, now) if "stopped" in each}
    return opened or len(stops) > 1


def before_of(known, version):
    """Return what was measured on a version, else on another of its series, else on the newest; "" for never."""
    series = [text for each, text in known.items() if each.split(".")[:2] == version.split(".")[:2]]
    return known.get(version) or next(reversed(series or list(known.values())), "")


def compare(server, told):
    """Print what changed since a version of the same release was measured; return how much did."""
    count, records = 0, recorded()
    for row, now in told.items():
        known = records.get(f"{server.flavour}/{row}", {})
        before = before_of(known, server.version)
        if "unlisted" in row and now.startswith("none"):
            continue
        if not before or changed(before, now):
            count += 1
            print(f"{server.flavour} {server.version}, {row}: {now}; before: {before or 'never measured'}")
    catalogue = server.rules.dialect.catalogue
    named = {(row.schema, name) for row in catalogue.objects for name in row.names}
    for schema, name in server.objects():
        lower = name.lower()
        unlisted = schema == "information_schema" and lower not in catalogue.cheap and (schema, lower) not in named
        # It is treated as the worst of them.
        if unlisted:
            print(f"{server.flavour} {server.version}: {schema}.{name} is in no row")
    return count


def write(records):
    """Keep what was measured, beside what other versions said."""
    together = recorded()
    for server, told in records:
        for row, text in told.items():
            if "unlisted" in row:
                continue
            together.setdefault(f"{server.flavour}/{row}", {})[server.version] = f"{server.tables:,} tables: {text}"
    lines = (
        f"{row}\t{version}\t{text}\n"
        for row, versions in sorted(together.items())
        for version, text in sorted(versions.items(), key=lambda each: version_of(each[0]))
    )
    RECORD.write_text("".join(lines), encoding="utf-8")


def fill(dba, tables):
    with dba.cursor() as cursor:
        cursor.execute("CREATE DATABASE many")
        for number in range(tables):
            cursor.execute(f"CREATE TABLE many.t{number} (id INT PRIMARY KEY)")


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__.splitlines()[1])
    parser.add_argument("flavours", nargs="*", choices=["mysql", "mariadb"])
    parser.add_argument("--release", default="", help="a release by number, as 11.8")
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--socket", help="of a server that is there, and that nobody else uses")
    parser.add_argument("--write", action="store_true", help="keep what was measured beside the catalogue")
    asked = parser.parse_args(arguments)
    records, count = [], 0
    if asked.socket:
        with connect_root(Path(asked.socket)) as dba, dba.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM mysql.innodb_table_stats")
            server = Crowded(dba, cursor.fetchone()[0])
            records.append((server, dict(measured(server))))
            count += compare(*records[-1])
    else:
        for flavour in asked.flavours or ["mysql", "mariadb"]:
            with tempfile.TemporaryDirectory(prefix="catalogue-") as place:
                # As a team's servers have it: no table has to go before the next can be opened.
                room = ("--table-open-cache=4000", "--table-definition-cache=4000")
                how = {"replicas": 0, "options": room, "release": asked.release}
                started = start_cluster(flavour, Path(place) / "c", **how)
                with started as cluster, cluster.dba_connect(cluster.primary) as dba:
                    fill(dba, asked.tables)
                    server = Crowded(dba, asked.tables)
                    records.append((server, dict(measured(server))))
                    count += compare(*records[-1])
    for server, told in records:
        print(f"{server.flavour} {server.version}: {len(told)} objects of rows measured on {server.tables:,} tables")
    if asked.write:
        write(records)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
