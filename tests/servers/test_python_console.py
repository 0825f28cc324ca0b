"""The Python console on real servers: what a parameter arrives as, SQLAlchemy, Ctrl-C."""

import contextlib
import datetime as dt
import io
import os
from decimal import Decimal

import pandas
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from safeconsole.dialects import DIALECTS
from safeconsole.errors import RefusedError
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.cli.application import Door

from safeconsole.python.session import PythonSession
from safeconsole.python.dbapi import literal
from safeconsole.python.namespace import names_for
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.presenting import screen_of
from safeconsole.app import Program
from tests.harness.talking import interrupt_when, threads_running
from safeconsole.python import dbapi
from tests.harness.desk import demo_configuration

VALUES = [
    None, 0, -5, 2**63, 1.5, -1e-7, 1e300, Decimal("0.10"), Decimal("-12345678901234567890.123456789"), "", "it's \\ %s %%",
    "\0\x1a\n\r\t\"`", "日本語 🎉", b"", b"\x00'\\\xff", dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 3, 4, 5, 678901),
]  # fmt: skip


class Granting(NoTerminal):
    """A person who grants what is asked."""

    def elevate(self, _request, _considered):
        return True


class Base(DeclarativeBase):
    """What an application would have."""


class Order(Base):
    """One order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(16))
    total: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    created_at: Mapped[dt.datetime]


@pytest.fixture
def names(cluster, tmp_path):
    """The namespace of a console on a cluster, whose person grants what is asked."""
    config = demo_configuration(cluster, tmp_path)
    program = Program({**os.environ, "HOME": str(tmp_path)})
    program.configure(str(config))
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(
            program.open(Door(person=program.person, cluster="shop", face="python", confirmer=Granting()))
        )
        line = PythonSession(session.session, session.rules, screen_of(io.StringIO(), io.StringIO(), {}))
        stack.enter_context(line.at_work())
        yield names_for(line)


@pytest.fixture
def db(names):
    return names["db"]


def test_values_arrive_as_they_were_given(db):
    for value in VALUES:
        found = db.sql("SELECT %s AS v", [value]).scalar()
        if isinstance(value, dt.date):
            found = type(value).fromisoformat(found)
        assert found == value, value


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(value=st.text() | st.binary(), escapes=st.booleans())
def test_any_text_arrives_whole_with_and_without_backslash_escapes(cluster, value, escapes):
    """And nothing after it is swallowed: the second column is still there."""
    flavour = Flavour.MARIADB if "mariadb" in str(cluster.flavour) else Flavour.MYSQL
    rules = LexicalRules(dialect=DIALECTS[flavour], no_backslash_escapes=not escapes)
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"SET NAMES utf8mb4, SESSION sql_mode = '{'' if escapes else 'NO_BACKSLASH_ESCAPES'}'")
        cursor.execute(f"SELECT {literal(value, rules)}, 1")
        assert cursor.fetchone() == (value, 1)


def test_a_list_is_a_list(db):
    assert db.sql("SELECT id FROM orders WHERE id IN %s ORDER BY id", [[3, 1, 2]]).scalars() == [1, 2, 3]


def test_a_percent_sign_needs_no_doubling_where_there_are_no_parameters(db):
    text = "SELECT id FROM orders WHERE id < 4 AND DATE_FORMAT(created_at, '%Y-%m-%s') LIKE '2%' ORDER BY id"
    assert list(pandas.read_sql(text, db.engine)["id"]) == [1, 2, 3]
    connection = db.engine.raw_connection()
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SELECT 'a%' LIKE '%a%', 5 % 3", ())
        assert cursor.fetchall() in ([(1, 2)], ((1, 2),))
        cursor.execute("SELECT 'a%%', 5 %% 3, %s", (1,))
        assert list(cursor.fetchall()) == [("a%", 2, 1)]
    with db.engine.connect() as asked:
        assert asked.execute(sa.text("SELECT 'a%', 'b%%'")).fetchall() == [("a%", "b%%")]


def test_a_table_is_reflected_and_read(db):
    orders = db.tables.orders
    assert isinstance(orders.c.total.type, sa.Numeric)
    assert orders.primary_key.columns.keys() == ["id"]
    with db.engine.connect() as connection:
        row = connection.execute(sa.select(orders).where(orders.c.id == 2)).one()
    assert (row.status, type(row.total), type(row.created_at)) == ("cancelled", Decimal, dt.datetime)


def test_the_orm_reads_a_replica_and_writes_inside_an_elevation(names):
    db = names["db"]
    with db.session() as session:
        order = session.get(Order, 3)
        order.status = "held"
        with pytest.raises(RefusedError):
            session.commit()
    with names["elevate"](reason="a test"), db.session() as session:
        made = Order(customer_id=1, status="it's \\", total=Decimal("3.50"), created_at=dt.datetime(2020, 1, 2))
        session.add(made)
        session.commit()
        assert made.id > 5_000
        db.use("primary")
        assert db.sql("SELECT status, total FROM orders WHERE id = %s", [made.id])[0] == ("it's \\", Decimal("3.50"))
        session.delete(made)
        session.commit()
        assert db.sql("SELECT COUNT(*) FROM orders WHERE id = %s", [made.id]).scalar() == 0


def test_the_servers_errors_are_a_drivers(names):
    db = names["db"]
    with pytest.raises(dbapi.ProgrammingError) as caught:
        db.sql("SELECT * FROM nope")
    assert caught.value.args[0] == 1146
    with names["elevate"](reason="a test"), db.engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql(
            "INSERT INTO orders (id, customer_id, status, total, created_at) VALUES (1, 1, 'x', 1, '2020-01-01')"
        )


def test_ctrl_c_ends_the_statement_on_the_server_and_the_loop_here(cluster, db):
    """The loop catches every ordinary error, as people's loops do."""
    rounds = []

    def loop():
        while len(rounds) < 3:
            rounds.append(1)
            with contextlib.suppress(Exception):
                db.sql("SELECT COUNT(*) FROM orders a, orders b, orders looped WHERE a.id + b.id + looped.id <> 7")

    def runs():
        return any(threads_running(cluster, node, "orders looped") for node in cluster.nodes)

    db.sql("SELECT 1")
    interrupt_when(runs)
    with pytest.raises(KeyboardInterrupt):
        loop()
    assert len(rounds) == 1
    assert not runs()
    assert db.sql("SELECT 1").scalar() == 1
