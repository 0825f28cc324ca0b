"""
The guarded dialect for SQLAlchemy's own compliance suite, over a session that is elevated for the whole run.

Differs from what people get in two ways, each for the suite's own sake: every statement goes to the primary, for the
suite reads what it just wrote; and a rollback that comes too late is taken for done, for the suite's fixtures end every
test with one (what it leaves, the suite deletes).
"""

import contextlib
import io
import os

from sqlalchemy.dialects import registry

from safeconsole.cli.application import Door

from safeconsole.python.database import Api, DbApiConnection
from safeconsole.python.engine import GuardedMySql
from safeconsole.python.session import PythonSession
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.presenting import screen_of
from safeconsole.app import Program
from safeconsole.python import dbapi

opened = contextlib.ExitStack()


class Granting(NoTerminal):
    """A person who grants everything."""

    def elevate(self, _request, _considered):
        return True

    def confirm(self, _considered):
        return True


def open_line():
    program = Program(dict(os.environ))
    program.configure(os.environ["SAFECONSOLE_SUITE_CONFIG"])
    session = opened.enter_context(
        program.open(Door(person=program.person, cluster="shop", face="python", confirmer=Granting(), to="primary"))
    )
    line = PythonSession(session.session, session.rules, screen_of(io.StringIO(), io.StringIO(), {}))
    opened.enter_context(line.at_work())
    line.elevate(reason="SQLAlchemy's compliance suite", ticket="SUITE", window_seconds=3_600)
    return line


class SuiteDialect(GuardedMySql):
    """One line for the whole process; connections are made by URL, as the suite wants."""

    driver = "guardedsuite"
    supports_statement_cache = True
    line = None

    @classmethod
    def import_dbapi(cls):
        return Api()

    def connect(self, *_args, **_options):
        SuiteDialect.line = SuiteDialect.line or open_line()
        return DbApiConnection(SuiteDialect.line)

    def do_rollback(self, dbapi_connection):
        with contextlib.suppress(dbapi.NotSupportedError):
            super().do_rollback(dbapi_connection)


registry.register("mysql.guardedsuite", __name__, "SuiteDialect")
