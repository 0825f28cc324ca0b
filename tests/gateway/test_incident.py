"""The query that took a database down in 2023, from the clients that could have sent it: refused, and nothing opened."""

import pymysql
import pytest

from safeconsole.demo.servers import connect_root
from tests.harness.gateway import serving
from tests.harness.incident import QUERIES, clients_here, told

TABLES = 500


def ask(cluster, *texts):
    with connect_root(cluster.primary.socket) as dba, dba.cursor() as cursor:
        for text in texts:
            cursor.execute(text)
        return cursor.fetchall()


def definitions_opened(cluster):
    return int(ask(cluster, "SHOW GLOBAL STATUS LIKE 'Opened_table_definitions'")[0][1])


def test_the_primary_is_spared(private_cluster, tmp_path, flavour="mysql"):
    clients = clients_here()
    if not clients:
        pytest.skip("none of the clients here")
    cluster = private_cluster(flavour, replicas=0)
    made = [f"CREATE TABLE many.t{number} (id INT PRIMARY KEY)" for number in range(TABLES)]
    # Closed again, so that a query that opens them shows.
    ask(cluster, "SET SESSION sql_log_bin = 0", "CREATE DATABASE many", *made, "FLUSH TABLES", "SELECT 1")
    with serving(cluster, tmp_path / "own") as own:
        before = definitions_opened(cluster)
        for sql in QUERIES[flavour].values():
            for client in clients:
                rows, number, message = told(client, own, sql)
                assert (rows, number) == (0, 1290), f"{client}: {message}"
                assert "CALL safeconsole.elevate('reason', 'ticket', 'shop')" in message
        # A cluster without a replica: who connects is told of the server, so that they can say where to ask.
        with own.connect_socket() as connection, connection.cursor() as cursor:
            assert cursor.execute("SELECT @@max_allowed_packet, VERSION(), DATABASE()") == 1
            with pytest.raises(pymysql.err.MySQLError, match="no healthy node"):
                cursor.execute("SELECT COUNT(*) FROM orders")
        # What the gateway itself looks at is a few dozen.
        assert definitions_opened(cluster) - before < TABLES / 4
        assert not [record for record in own.records("intent") if "information_schema.tables" in record["sql"]]
