"""SQLAlchemy on the guarded interface, over the embedded cluster."""

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from safeconsole.python.tracebacks import failure_text
from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.python.engine import GuardedMySql, load_application


class Base(DeclarativeBase):
    """What an application would have."""


class Order(Base):
    """One order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    status: Mapped[str]
    total: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    created_at: Mapped[dt.datetime]


sessions = sessionmaker()


def an_order(status="new"):
    return Order(customer_id=1, status=status, total=Decimal("3.50"), created_at=dt.datetime(2020, 1, 2, 3, 4, 5))


def test_core_reads(console):
    orders = console.db.tables.orders
    with console.db.engine.connect() as connection:
        found = connection.execute(sa.select(orders.c.id).where(orders.c.status.in_(["paid"])).limit(2)).scalars().all()
        assert len(found) == 2
        assert connection.execute(sa.text("SELECT :a, '%', 5 % 3"), {"a": "x'y"}).one() == ("x'y", "%", 2)
        assert connection.scalar(sa.select(sa.func.count()).select_from(orders).where(orders.c.id < 11)) == 10


def test_the_orm_loads_from_a_replica(console):
    with console.db.session() as session:
        assert session.get(Order, 2).status == "cancelled"
    assert console.session.session.last().node.startswith("replica")


def test_a_table_is_reflected_when_it_is_named_and_only_it(console):
    tables = console.db.tables
    assert list(tables) == []
    assert [column.name for column in tables.customers.columns] == ["id", "name", "email", "country", "created_at"]
    assert list(tables) == dir(tables) == ["customers"]
    with pytest.raises(AttributeError, match="no table nope"):
        _ = tables.nope
    with pytest.raises(KeyError):
        tables["nope"]


def test_a_flush_that_writes_is_refused_outside_an_elevation(console):
    with console.db.session() as session:
        order = session.get(Order, 1)
        order.status = "held"
        with pytest.raises(RefusedError) as caught:
            session.flush()
    assert "with elevate(" in failure_text(caught.value)
    assert "writes" in " ".join(caught.value.evidence)


def test_inside_it_a_flush_says_what_it_writes_and_the_end_is_the_persons(console):
    with console.elevate(), console.db.session() as session:
        order = an_order("it's")
        session.add(order)
        session.commit()
        assert order.id > 5_000
        session.delete(order)
        session.flush()
        session.rollback()
        assert session.get(Order, order.id) is order
        session.delete(order)
        session.commit()
    messages = console.messages.getvalue()
    assert "insert orders: 1 row" in messages
    assert messages.count("delete orders: 1 row") == 2
    console.db.use("primary")
    assert console.db.sql("SELECT count(*) FROM orders WHERE id > 5000").scalar() == 0


def test_a_flush_that_fails_in_the_middle_leaves_nothing(console):
    with console.elevate(), console.db.session() as session:
        session.add_all([an_order("one"), an_order("two")])
        session.flush()
        with pytest.raises(sa.exc.OperationalError):
            session.execute(sa.text("UPDATE nowhere SET a = 1"))
        session.rollback()
    console.db.use("primary")
    assert console.db.sql("SELECT count(*) FROM orders WHERE id > 5000").scalar() == 0


def test_a_session_that_is_left_without_a_commit_leaves_nothing(console):
    with console.elevate(), console.db.session() as session:
        session.add(an_order("left"))
        session.flush()
    console.db.use("primary")
    assert console.db.sql("SELECT count(*) FROM orders WHERE id > 5000").scalar() == 0


def test_savepoints_are_the_servers(console):
    with console.elevate(), console.db.session() as session:
        session.add(an_order("kept"))
        session.flush()
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            session.add(an_order("dropped"))
            session.flush()
            1 / 0  # noqa: B018
        assert session.scalar(sa.select(sa.func.count()).where(Order.id > 5_000)) == 1
        session.rollback()


def test_autocommit_is_the_only_other_isolation_that_is_offered(console):
    with pytest.raises(sa.exc.ArgumentError):
        console.db.engine.execution_options(isolation_level="READ COMMITTED").connect()
    engine = console.db.engine.execution_options(isolation_level="AUTOCOMMIT")
    with console.elevate(), engine.connect() as connection:
        connection.execute(sa.text("UPDATE orders SET status = 'at once' WHERE id = 9"))
        with pytest.raises(sa.exc.NotSupportedError, match="cannot be rolled back"):
            connection.rollback()
        assert connection.execute(sa.text("SELECT status FROM orders WHERE id = 9")).scalar() == "at once"


def test_several_rows_are_inserted_and_counted(console):
    with console.elevate(), console.db.engine.connect() as connection:
        insert = sa.insert(Order.__table__).values(customer_id=1, total=1, created_at=dt.datetime(2020, 1, 1))
        connection.execute(insert, [{"status": "many"}, {"status": "many"}])
        connection.commit()
        assert connection.execute(sa.delete(Order).where(Order.status == "many")).rowcount == 2
        connection.commit()


def test_an_application_is_bound_to_the_guarded_engine(console):
    names = load_application(f"{__name__}:Base", console.db)
    assert names["Order"] is Order
    assert console.db.tables.orders.name == "orders"
    # It came with the application: nothing was asked.
    assert console.session.session.last() is None
    load_application(f"{__name__}:sessions", console.db)
    with sessions() as session:
        assert session.get(Order, 1) is not None
    sessions.configure(bind=None)


@pytest.mark.parametrize("target", ["", "nope", "no.such.module:Base", "json:nope", "json:dumps", "os.path:join"])
def test_what_is_no_application_is_a_clear_error(console, target):
    with pytest.raises(ConfigurationError):
        load_application(target, console.db)


def test_pandas_and_polars_read_through_the_engine(console):
    import pandas
    import polars

    frame = pandas.read_sql("SELECT id, status FROM orders WHERE id < 4", console.db.engine)
    assert list(frame["status"]) == ["shipped", "cancelled", "delivered"]
    rows = console.db.sql("SELECT id, status FROM orders WHERE id < 4")
    assert rows.pandas()["id"].sum() == 6
    like = pandas.read_sql("SELECT id FROM orders WHERE id < 4 AND status LIKE '%' ORDER BY id", console.db.engine)
    assert list(like["id"]) == [1, 2, 3]
    assert rows.polars()["status"].to_list() == ["shipped", "cancelled", "delivered"]
    assert polars.read_database("SELECT id FROM orders WHERE id < 4", console.db.engine)["id"].sum() == 6


def test_pandas_writes_inside_an_elevation_only(console):
    import pandas

    frame = pandas.DataFrame(
        {"customer_id": [1, 1], "status": ["frame"] * 2, "total": [1, 2], "created_at": [dt.datetime(2020, 1, 1)] * 2}
    )
    with pytest.raises(RefusedError):
        frame.to_sql("orders", console.db.engine, if_exists="append", index=False)
    with console.elevate(), console.db.engine.connect() as connection:
        frame.to_sql("orders", connection, if_exists="append", index=False)
        assert connection.execute(sa.text("SELECT COUNT(*) FROM orders WHERE status = 'frame'")).scalar() == 2
        connection.rollback()


@pytest.mark.parametrize(
    ("declared", "hours", "read"),
    [
        (sa.Time(), 12, dt.time(12)),
        (sa.Time(), -1, dt.timedelta(hours=-1)),
        (sa.Time(), 24, dt.timedelta(hours=24)),
        (mysql.TIME(), 12, dt.timedelta(hours=12)),
    ],
)
def test_a_models_time_is_one_of_the_day_and_a_reflected_one_a_span(declared, hours, read):
    process = declared.dialect_impl(GuardedMySql()).result_processor(GuardedMySql(), None)
    value = dt.timedelta(hours=hours)
    assert (process(value) if process else value) == read
