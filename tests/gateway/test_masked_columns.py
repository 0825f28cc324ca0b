"""Through the gateway a masked column reaches no client's protocol, and a policy that changes holds at once."""

import pymysql
import pytest

from tests.harness.gateway import serving


@pytest.mark.parametrize("prepared", [False, True], ids=["text", "prepared"])
def test_a_statement_that_would_return_a_masked_column_is_refused(shared_clusters, tmp_path, prepared):
    mysql = pytest.importorskip("mysql.connector") if prepared else None
    with serving(shared_clusters("mysql"), tmp_path) as gateway:
        token = gateway.token("robo", "--agent")
        if mysql:
            connection = mysql.connect(
                host=gateway.host, port=gateway.port, user="robo", password=token, database="shop",
                ssl_ca=str(gateway.ca), use_pure=True,
            )  # fmt: skip
            cursor = connection.cursor(prepared=True)
        else:
            connection = gateway.connect("robo", token)
            cursor = connection.cursor()

        def rows(text):
            cursor.execute(text)
            return cursor.fetchall()

        assert rows("SELECT id, status FROM orders WHERE id = 7")[0][0] == 7
        policy = tmp_path / "policy.yaml"
        policy.write_text(policy.read_text() + "masked: {shop.orders.status: agents}\n")
        assert rows("SELECT id FROM orders WHERE id = 7") == [(7,)] or rows("SELECT id FROM orders WHERE id = 7") == (
            (7,),
        )
        for text in ("SELECT id, status FROM orders WHERE id = 7", "SELECT * FROM orders LIMIT 1"):
            with pytest.raises((pymysql.err.MySQLError, *((mysql.Error,) if mysql else ()))) as raised:
                rows(text)
            assert "shop.orders.status is masked" in str(raised.value)
        with pytest.raises((pymysql.err.MySQLError, *((mysql.Error,) if mysql else ()))):
            rows("SELECT id FROM orders WHERE status = 'paid'")
        connection.close()
