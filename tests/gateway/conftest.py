"""The gateway's tests run on the clusters that all server tests share."""

from tests.harness.gateway import gateway, gateways  # noqa: F401  (fixtures)
from tests.servers.conftest import private_cluster, shared_clusters  # noqa: F401  (fixtures)
from tests.servers.conftest import pytest_collection_modifyitems, pytest_runtest_makereport  # noqa: F401  (hooks)
