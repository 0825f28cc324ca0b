"""The play of a Python client: which driver and how is the argument, everything else is in the environment."""

import os
import ssl
import sys

HOST, PORT, CA = os.environ["G_HOST"], int(os.environ["G_PORT"]), os.environ["G_CA"]
USER, TOKEN, ID, MARK = os.environ["G_USER"], os.environ["G_TOKEN"], int(os.environ["G_ID"]), os.environ["G_MARK"]
READ, WRITE = "SELECT status FROM orders WHERE id = %s", "UPDATE orders SET status = %s WHERE id = %s"
ELEVATE = "CALL safeconsole.elevate('clients', 'OPS-1', 'shop')"


def number_of(error):
    """The server's number of an error, however its driver holds it."""
    while error is not None:
        for value in (getattr(error, "errno", None), *getattr(error, "args", ())):
            if isinstance(value, int):
                return value
        error = getattr(error, "orig", None) or error.__cause__
    return 0


def told(error):
    text = str(getattr(error, "orig", None) or error)
    print(f"refused:{number_of(error)}:{text!r}")


def dbapi(connection, **how):
    def asked(text, values=()):
        cursor = connection.cursor(**how)
        try:
            cursor.execute(text, values) if values else cursor.execute(text)
            return cursor.fetchall() if cursor.description else None
        finally:
            cursor.close()

    print(f"read:{asked(READ, (ID,))[0][0]}")
    try:
        asked(WRITE, (MARK, ID))
    except Exception as error:
        told(error)
    # A driver that prepares everything cannot prepare what is the gateway's own.
    plain = connection.cursor()
    plain.execute(ELEVATE)
    if plain.description:
        plain.fetchall()
    while plain.nextset() if hasattr(plain, "nextset") else False:
        pass
    plain.close()
    asked(WRITE, (MARK, ID))
    connection.commit()
    print(f"saw:{asked(READ, (ID,))[0][0]}")
    if hasattr(connection, "cmd_reset_connection"):
        connection.cmd_reset_connection()
    connection.close()


def pymysql():
    import pymysql

    context = ssl.create_default_context(cafile=CA)
    dbapi(pymysql.connect(host=HOST, port=PORT, user=USER, password=TOKEN, database="shop", ssl=context))


def connector(**how):
    import mysql.connector

    dbapi(
        mysql.connector.connect(
            host=HOST,
            port=PORT,
            user=USER,
            password=TOKEN,
            database="shop",
            ssl_ca=CA,
            ssl_verify_cert=True,
            use_pure=True,
        ),
        **how,
    )


def mysqlclient():
    import MySQLdb

    dbapi(MySQLdb.connect(host=HOST, port=PORT, user=USER, passwd=TOKEN, db="shop", ssl={"ca": CA}))


def sqlalchemy(driver):
    import sqlalchemy as sa

    given = {
        "pymysql": {"ssl": {"ca": CA}},
        "mysqlconnector": {"ssl_ca": CA, "use_pure": True},
        "mysqldb": {"ssl": {"ca": CA}},
    }[driver]
    url = sa.URL.create(f"mysql+{driver}", USER, TOKEN, HOST, PORT, "shop")
    engine = sa.create_engine(url, connect_args=given, pool_size=2, pool_pre_ping=True)
    orders = sa.Table("orders", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        print(f"read:{connection.execute(sa.select(orders.c.status).where(orders.c.id == ID)).scalar()}")
        change = orders.update().where(orders.c.id == ID).values(status=MARK)
        try:
            connection.execute(change)
        except sa.exc.DBAPIError as error:
            told(error)
        connection.rollback()
        connection.exec_driver_sql(ELEVATE)
        connection.execute(change)
        connection.commit()
        print(f"saw:{connection.execute(sa.select(orders.c.status).where(orders.c.id == ID)).scalar()}")
    engine.dispose()


def django():
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.mysql", "NAME": "shop", "USER": USER, "PASSWORD": TOKEN, "HOST": HOST,
                "PORT": PORT, "OPTIONS": {"ssl": {"ca": CA}},
            }
        }
    )  # fmt: skip
    from django import setup
    from django.db import DatabaseError, connection, models

    setup()

    class Order(models.Model):
        status = models.TextField()

        class Meta:
            app_label, db_table, managed = "shop", "orders", False

    order = Order.objects.only("status").get(id=ID)
    print(f"read:{order.status}")
    order.status = MARK
    try:
        order.save(update_fields=["status"])
    except DatabaseError as error:
        told(error)
    with connection.cursor() as cursor:
        cursor.execute(ELEVATE)
    order.save(update_fields=["status"])
    print(f"saw:{Order.objects.only('status').get(id=ID).status}")
    connection.close()


PLAYS = {
    "pymysql": pymysql,
    "connector": connector,
    "connector-prepared": lambda: connector(prepared=True),
    "mysqlclient": mysqlclient,
    "sqlalchemy-pymysql": lambda: sqlalchemy("pymysql"),
    "sqlalchemy-mysqlconnector": lambda: sqlalchemy("mysqlconnector"),
    "sqlalchemy-mysqldb": lambda: sqlalchemy("mysqldb"),
    "django": django,
}

PLAYS[sys.argv[1]]()
