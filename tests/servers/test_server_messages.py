"""What a server says of a statement reaches who typed it, and the journal, without its secrets and with all else."""

import pymysql
import pytest

from safeconsole.errors import ServerError
from tests.harness.desk import seated

FAILING = [
    "SELECT usr, token FROM orders",
    "SELECT password FROM nosuch",
    "SELECT nosuch FROM orders WHERE status = 'a -- b'",
    "SELECT nosuch FROM orders WHERE status = 'a # b'",
    "SELECT id FROM orders WHERE nosuch = 'it''s' AND token = 'planted'",
    "SELECT id FROM gone_view WHERE 'token' = ''",
]


@pytest.fixture(scope="module")
def _view(cluster):
    """A view whose definer is gone."""
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE USER gone@localhost IDENTIFIED BY 'Gone-4711-x'")
        cursor.execute("CREATE OR REPLACE DEFINER = gone@localhost VIEW shop.gone_view AS SELECT id FROM shop.orders")
        cursor.execute("DROP USER gone@localhost")
    cluster.wait_caught_up()
    yield
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP VIEW shop.gone_view")


def servers_own_words(cluster, sql):
    replica = cluster.replicas[0]
    with (
        pymysql.connect(
            host=replica.host, port=replica.port, user="console_read", password=cluster.accounts["console_read"],
            database="shop", charset="utf8mb4",
        ) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.MySQLError) as caught,
    ):  # fmt: skip
        cursor.execute(sql)
    return caught.value.args


@pytest.mark.usefixtures("_view")
@pytest.mark.parametrize("sql", FAILING)
def test_a_servers_words_are_shown_and_recorded_as_sent(cluster, tmp_path, sql):
    code, words = servers_own_words(cluster, sql)
    with seated(cluster, tmp_path / "desk") as desk:
        with pytest.raises(ServerError) as caught:
            desk.run(sql)
        (ended,) = desk.records("outcome")
    assert words in caught.value.message
    assert words in ended["message"]
    assert ended["server_error"] == code
    assert "planted" not in ended["message"]
