"""Incidents on real servers: rows and tables that are held, statements that run away, and a console that looks."""

import io
import os
import threading
import time
from contextlib import contextmanager, suppress

import pymysql
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from safeconsole.console.console import Terminal, run_console
from safeconsole.console.state import Services, Streams
from safeconsole.dialects import DIALECTS
from safeconsole.policy.facts import Circumstances
from safeconsole.session.deciding import preview
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from tests.harness.desk import seated
from tests.harness.talking import wait_for

APP = "shop_app"
PASSWORD = "of-the-app-1"
WAITING = (
    "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s AND (state LIKE 'Waiting for%%'"
    " OR state IN ('updating', 'Updating', 'statistics', 'executing', 'Sending data', 'User sleep', 'init'))"
)

BEHIND_A_TABLE = (
    "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s AND state LIKE 'Waiting for table%%'"
)


class Applications:
    """Connections of an application, and what they run in threads of their own."""

    def __init__(self, cluster, node, user):
        self.cluster, self.node, self.user = cluster, node, user
        self._open = []
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute(f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON shop.* TO '{user}'@'%'")
        cluster.wait_caught_up()

    def connect(self):
        connection = pymysql.connect(
            host=self.node.host,
            port=self.node.port,
            user=self.user,
            password=PASSWORD,
            database="shop",
            autocommit=True,
        )
        self._open.append(connection)
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 600")
        return connection

    def ask(self, sql, *values):
        with self.cluster.dba_connect(self.node) as dba, dba.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchone()

    def run(self, *statements):
        """Run statements on a new connection, and return its id; it stays open."""
        connection = self.connect()
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        return connection.thread_id()

    def begin(self, *statements):
        """Begin statements in a thread, wait until the server runs the last, and return its connection's id."""
        connection = self.connect()
        *before, last = statements
        with connection.cursor() as cursor:
            for statement in before:
                cursor.execute(statement)

        def work():
            with suppress(pymysql.MySQLError, OSError), connection.cursor() as cursor:
                cursor.execute(last)

        threading.Thread(target=work, daemon=True).start()
        running = connection.thread_id()
        wait_for(lambda: self.ask(WAITING, running)[0])
        return running

    def is_there(self, id_):
        return bool(self.ask("SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s", id_)[0])

    def waits_for_a_row(self, id_):
        # Servers look anew only when nobody read that list for a tenth of a second.
        time.sleep(0.2)
        found = self.ask("SELECT trx_state FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = %s", id_)
        return found == ("LOCK WAIT",)

    def close(self):
        with self.cluster.dba_connect(self.node) as dba, dba.cursor() as cursor:
            for connection in self._open:
                with suppress(pymysql.MySQLError):
                    cursor.execute(f"KILL {connection.thread_id()}")
        for connection in self._open:
            with suppress(pymysql.MySQLError, OSError):
                connection.close()


@contextmanager
def applications(cluster, node=None, *, user=""):
    """An application's connections to a node, the primary unless another is named; each test process has its own."""
    found = Applications(cluster, node or cluster.primary, user or f"{APP}_{os.getpid()}")
    try:
        yield found
    finally:
        found.close()


class Blocked:
    """A row that is held by who does nothing, a change that waits for it, an ALTER behind both, a read behind that."""

    def __init__(self, apps, table):
        self.holder = apps.run("BEGIN", f"UPDATE {table} SET status = 'held' WHERE id = 42")
        self.writer = apps.begin(f"UPDATE {table} SET status = 'paid' WHERE id = 42")
        wait_for(lambda: apps.waits_for_a_row(self.writer))
        self.alter = apps.begin(f"ALTER TABLE {table} COMMENT 'later'")
        wait_for(lambda: apps.ask(BEHIND_A_TABLE, self.alter)[0])
        self.reader = apps.begin(f"SELECT COUNT(*) FROM {table}")
        wait_for(lambda: apps.ask(BEHIND_A_TABLE, self.reader)[0])


class Chain:
    """Three transactions that change the same row, one behind the other; each keeps it once it has it."""

    def __init__(self, apps, table):
        change = f"UPDATE {table} SET status = 'paid' WHERE id = 42"
        self.first = apps.run("BEGIN", change)
        self.second = self._behind(apps, change)
        self.third = self._behind(apps, change)

    def _behind(self, apps, change):
        waiting = apps.begin("BEGIN", change)
        wait_for(lambda: apps.waits_for_a_row(waiting))
        return waiting


@contextmanager
def own_table(cluster, name):
    """A table of a test's own, with a hundred rows."""
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"CREATE TABLE shop.{name} AS SELECT id, status FROM shop.orders LIMIT 100")
        cursor.execute(f"ALTER TABLE shop.{name} ADD PRIMARY KEY (id)")
        if cluster.flavour == "mariadb":
            cursor.execute(
                "UPDATE performance_schema.setup_instruments SET enabled = 'YES' WHERE name = 'wait/lock/metadata/sql/mdl'"
            )
    try:
        yield name
    finally:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS shop.{name}")


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    encoding = "utf-8"

    def isatty(self):
        return True


class Console:
    """A console on a real cluster; `type` returns what was shown, and what was said."""

    def __init__(self, desk, flavour):
        self.desk, self._rules = desk, LexicalRules(dialect=DIALECTS[Flavour(flavour)])
        self.answers = []

    def pause(self, seconds):
        """Wait, but for a live view, which is left after its first look."""
        if seconds >= 1:
            raise KeyboardInterrupt
        time.sleep(seconds)

    def ask(self, question):
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def type(self, *lines, decorated=False):
        data, messages = (Screen(), Screen()) if decorated else (io.StringIO(), io.StringIO())
        session, rules = self.desk.session, self._rules
        services = Services(
            rules=lambda: rules,
            preview=lambda statement: session.preview(statement).decision,
            pause=self.pause,
        )
        streams = Streams(data=data, messages=messages, environ={"TERM": "xterm", "COLUMNS": "200"}, ask=self.ask)
        with create_pipe_input() as keys:
            keys.send_text("".join(f"{line}\r" for line in lines) + "\x04")
            terminal = Terminal(keys=keys, drawing=DummyOutput(), streams=streams)
            run_console(session, services=services, terminal=terminal)
        return data.getvalue(), messages.getvalue()


@contextmanager
def console_on(cluster, directory, **settings):
    """A console of somebody on a cluster."""
    with seated(cluster, directory, **settings) as desk:
        yield Console(desk, cluster.flavour)
