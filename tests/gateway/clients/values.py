"""Prints every value of a query as a driver reads it: values.py pymysql|connector SOCKET USER QUERY."""

import sys

DRIVER, SOCKET, USER, QUERY = sys.argv[1:]


def shown(rows):
    for row in rows:
        for value in row:
            print(f"{type(value).__name__}: {value!r}")


if DRIVER == "pymysql":
    import pymysql

    with pymysql.connect(unix_socket=SOCKET, user=USER, database="shop") as connection, connection.cursor() as cursor:
        cursor.execute(QUERY.replace("?", "%s"), (0,))
        print([field[1:] for field in cursor.description])
        shown(cursor.fetchall())
else:
    import mysql.connector

    with mysql.connector.connect(unix_socket=SOCKET, user=USER, database="shop", use_pure=True) as connection:
        cursor = connection.cursor(prepared=True)
        cursor.execute(QUERY, (0,))
        print([field[1:7] for field in cursor.description])
        shown(cursor.fetchall())
