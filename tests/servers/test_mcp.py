"""Agents on real servers: the incident's query never arrives, and what is cancelled is gone from the server."""

import time

import anyio
import pytest

from tests.harness.desk import demo_configuration
from tests.mcp.test_server import asked, client, said

INCIDENT = "SELECT table_schema, SUM(data_length + index_length) FROM information_schema.tables GROUP BY table_schema"
ENDLESS = "SELECT COUNT(*) AS agents_endless FROM orders a, orders b, orders c, orders d"


@pytest.fixture
def config(cluster, tmp_path):
    return demo_configuration(cluster, tmp_path)


def running(cluster):
    found = 0
    for node in cluster.nodes:
        with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%agents\\_endless%FROM%'"
            )
            found += cursor.fetchone()[0]
    return found


def test_the_incidents_query_is_refused_and_capacity_answers_instead(config):
    refused, sizes, leftovers = asked(
        config,
        ("query", {"sql": INCIDENT, "to": "primary"}),
        ("capacity", {}),
        ("capacity", {"leftovers": True}),
    )
    assert refused.is_error
    assert "capacity" in said(refused)["instead"]
    assert any(row.get("table") or row.get("name") for row in said(sizes)["report"])
    assert not leftovers.is_error


def test_a_cancelled_call_is_gone_from_the_server(config, cluster):
    async def play():
        async with client(config) as session:
            with anyio.move_on_after(4):
                await session.call_tool("query", {"sql": ENDLESS})
            return await session.call_tool("query", {"sql": "SELECT 7"})

    assert said(anyio.run(play))["rows"] == [[7]]
    deadline = time.monotonic() + 20
    while running(cluster) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(cluster)


def test_a_table_is_described_with_its_keys_and_size(config):
    (described,) = asked(config, ("describe", {"table": "orders"}))
    answer = said(described)
    assert {"id", "status"} <= {column["Field"] for column in answer["columns"]}
    assert answer["indexes"]
    assert answer["size"]["class"] == "small" and answer["size"]["estimated_rows"] > 0
    assert isinstance(answer["foreign_keys"], list)
    assert isinstance(answer["referenced_by"], list)


def test_a_missing_table_is_said_and_names_come_from_the_schema(config):
    missing, names = asked(config, ("describe", {"table": "nosuch"}), ("tables", {"pattern": "order*"}))
    assert missing.is_error
    assert "orders" in said(names)["tables"]
