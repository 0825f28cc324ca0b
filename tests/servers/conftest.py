"""
One real cluster of each flavour for the whole test run, shared by all workers.

The first worker that needs a cluster starts its keeper, which stops it when the run's
main process ends, however it ends. A test that breaks things takes `private_cluster`.
"""

import os

import pytest

from safeconsole.demo.binaries import FLAVOURS, ServersUnavailableError, provide_server
from tests.harness.keeper import shared_cluster
from safeconsole.demo.servers import start_cluster

MISSING = "NO REAL SERVERS"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Give all tests that miss a server one place, so that the summary says it once."""
    report = yield
    if report.skipped and MISSING in str(report.longrepr):
        report.longrepr = (__file__, 1, report.longrepr[-1])
    return report


def pytest_collection_modifyitems(items):
    """Mark every test that asks for a cluster."""
    for item in items:
        if {"shared_clusters", "private_cluster"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


def _require(flavour):
    try:
        return provide_server(flavour)
    except ServersUnavailableError as error:
        if os.environ.get("SAFECONSOLE_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{MISSING}: {error}", pytrace=False)
        pytest.skip(f"{MISSING}: {error}")


@pytest.fixture(scope="session")
def shared_clusters(tmp_path_factory):
    """A function from a flavour to the run's cluster; never stop, kill or promote its nodes."""
    base = tmp_path_factory.getbasetemp()
    under_xdist = "PYTEST_XDIST_WORKER" in os.environ
    run = base.parent if under_xdist else base
    # A worker is started by the run's main process.
    main_process = os.getppid() if under_xdist else os.getpid()

    def cluster_of(flavour):
        _require(flavour)
        return shared_cluster(flavour, run / "clusters" / flavour, while_pid=main_process)

    return cluster_of


@pytest.fixture(scope="session")
def mysql_cluster(shared_clusters):
    """The run's MySQL cluster."""
    return shared_clusters("mysql")


@pytest.fixture(scope="session")
def mariadb_cluster(shared_clusters):
    """The run's MariaDB cluster."""
    return shared_clusters("mariadb")


@pytest.fixture(scope="session", params=FLAVOURS)
def cluster(request, shared_clusters):
    """The run's cluster of each flavour in turn."""
    return shared_clusters(request.param)


@pytest.fixture
def private_cluster(tmp_path):
    """A function that starts a cluster this test alone has, and may break."""
    started = []

    def start(flavour, *, replicas=2, name="", options=()):
        _require(flavour)
        place = tmp_path / (name or flavour)
        started.append(start_cluster(flavour, place, replicas=replicas, options=options))
        return started[-1]

    yield start
    for running in started:
        running.stop()
