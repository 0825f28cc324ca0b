"""Engines of an application on the servers of the test run, with each driver that is installed."""

import importlib
import logging

import pytest
from sqlalchemy import URL, create_engine

from safeconsole import reconnect
from tests.servers.conftest import private_cluster, shared_clusters  # noqa: F401  (fixtures)
from tests.servers.conftest import pytest_collection_modifyitems, pytest_runtest_makereport  # noqa: F401  (hooks)
from tests.harness.proxy import Proxy

MODULES = {"pymysql": "pymysql", "mysqldb": "MySQLdb", "mysqlconnector": "mysql.connector"}


def require(driver):
    try:
        importlib.import_module(MODULES[driver])
    except ImportError as error:
        pytest.skip(f"{MODULES[driver]} is not installed: {error}")


@pytest.fixture
def application():
    """A function that gives an engine on a cluster, and reconnect installed on it."""
    engines = []
    # An error that the application sees is told by the test; the pool's own notes would be a second telling.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)

    def start(
        cluster,
        *,
        driver="pymysql",
        role="primary",
        nodes=None,
        account="console_elevated",
        pool=5,
        password="",
        connect_args=None,
        **options,
    ):
        require(driver)
        at = nodes or [f"{node.host}:{node.port}" for node in cluster.nodes]
        host, _, port = at[0].rpartition(":")
        url = URL.create(f"mysql+{driver}", account, password or cluster.accounts[account], host, int(port), "shop")
        engine = create_engine(url, pool_size=pool, max_overflow=0, pool_timeout=20, connect_args=connect_args or {})
        patient = {"patience_seconds": 8.0, "connect_seconds": 1.0, **options}
        installed = reconnect.install(engine, role=role, nodes=at, options=reconnect.Options(**patient))
        engines.append((engine, installed))
        return engine, installed

    yield start
    for engine, installed in engines:
        installed.uninstall()
        engine.dispose()


@pytest.fixture
def proxied():
    """A function that puts a proxy before each node of a cluster; by node name."""
    made = []

    def start(cluster):
        proxies = {node.name: Proxy(node.host, node.port) for node in cluster.nodes}
        made.extend(proxies.values())
        return proxies

    yield start
    for proxy in made:
        proxy.close()
