"""What a client is told when the journal cannot be written, and when the cluster fails over under an elevation."""

import pymysql
import pytest

from tests.harness.clusters import promote
from tests.harness.gateway import serving


def test_without_a_journal_nobody_logs_in_and_who_is_in_is_told(shared_clusters, tmp_path):
    with serving(shared_clusters("mysql"), tmp_path / "own") as own:
        with own.connect_socket() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            sessions = own.directory / "audit" / "sessions"
            sessions.rename(own.directory / "audit" / "elsewhere")
            sessions.touch()
            with pytest.raises(pymysql.err.MySQLError) as raised:
                own.connect_socket()
            assert "audit journal" in raised.value.args[1]
            with pytest.raises(pymysql.err.MySQLError) as raised:
                for _ in range(3):
                    cursor.execute("SELECT 1")
            assert "audit journal" in raised.value.args[1]
            sessions.unlink()
            (own.directory / "audit" / "elsewhere").rename(sessions)
        with own.connect_socket() as connection:
            connection.ping()


@pytest.mark.parametrize("flavour", ["mysql"])
def test_a_failover_voids_a_window_and_says_so(private_cluster, tmp_path, flavour):
    cluster = private_cluster(flavour)
    with serving(cluster, tmp_path / "own") as own, own.connect("anna") as connection, connection.cursor() as cursor:
        cursor.execute("CALL safeconsole.elevate('incident')")
        cursor.execute("UPDATE orders SET status = 'before' WHERE id = 16")
        promote(cluster, cluster.replicas[0])
        with pytest.raises(pymysql.err.MySQLError) as raised:
            for _ in range(20):
                cursor.execute("UPDATE orders SET status = 'after' WHERE id = 16")
        assert raised.value.args[0] in {1290, 1105}, raised.value.args
        with pytest.raises(pymysql.err.MySQLError) as raised:
            cursor.execute("UPDATE orders SET status = 'after' WHERE id = 16")
        assert "CALL safeconsole.elevate" in raised.value.args[1]
        cursor.execute("CALL safeconsole.elevate('incident')")
        cursor.execute("UPDATE orders SET status = 'again' WHERE id = 16")
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT status FROM shop.orders WHERE id = 16")
        assert cursor.fetchone()[0] == "again"
