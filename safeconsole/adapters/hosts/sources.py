"""Which source tells of each node's host, as the configuration says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from safeconsole.adapters.hosts.latest import LatestReading
from safeconsole.core.errors import ConfigurationError
from safeconsole.core.settings import ClusterSettings, FreeMemorySettings
from safeconsole.core.vocabulary import NodeName
from safeconsole.interfaces import Sensor


class HostSources(msgspec.Struct, frozen=True, kw_only=True):
    """
    Sources of free memory by node name.

    Attributes:
        beforehand: asked when a node is chosen; may be minutes old.
        while_running: asked every 200 ms while a statement runs; never older than a second.
    """

    beforehand: Mapping[NodeName, Sensor]
    while_running: Mapping[NodeName, Sensor]


def host_sources(name: str, settings: ClusterSettings) -> HostSources:
    """
    Return the sources of a cluster; nothing is asked yet.

    Args:
        name: the cluster's, for messages.

    Raises:
        ConfigurationError: a source is told too little, or its extra is not installed.
    """
    beforehand: dict[NodeName, Sensor] = {}
    while_running: dict[NodeName, Sensor] = {}
    for address, source in settings.free_memory.items():
        node = NodeName(settings.names.get(address, address))
        try:
            fetch = _FETCHES[source.source](source)
        except ConfigurationError as error:
            where = f"clusters.{name}.free_memory.{address}"
            raise ConfigurationError(f"{where}: {error.message}", instead=error.instead) from None
        if source.source == "node-exporter":
            beforehand[node] = LatestReading(fetch, wait_seconds=1.0, keep_seconds=0.5, fresh_seconds=2.0)
            while_running[node] = LatestReading(fetch, wait_seconds=0.1, keep_seconds=0.1, fresh_seconds=1.0)
        else:
            beforehand[node] = LatestReading(fetch, wait_seconds=2.0, keep_seconds=30.0, fresh_seconds=60.0)
    return HostSources(beforehand=beforehand, while_running=while_running)


def _node_exporter(source: FreeMemorySettings) -> Callable[[], int | None]:
    from safeconsole.adapters.hosts.node_exporter import NodeExporter  # noqa: PLC0415 (only who asks it needs it)

    return NodeExporter(source.url).fetch


def _cloudwatch(source: FreeMemorySettings) -> Callable[[], int | None]:
    from safeconsole.adapters.hosts import aws  # noqa: PLC0415

    aws.require_boto3()
    return aws.FreeableMemory(_instance(source), aws.client_of("cloudwatch", source.region)).fetch


def _enhanced_monitoring(source: FreeMemorySettings) -> Callable[[], int | None]:
    from safeconsole.adapters.hosts import aws  # noqa: PLC0415

    aws.require_boto3()
    return aws.EnhancedMonitoring(_instance(source), aws.client_of("logs", source.region)).fetch


def _instance(source: FreeMemorySettings) -> str:
    if not source.instance:
        which = "DBInstanceIdentifier" if source.source == "cloudwatch" else "DbiResourceId"
        raise ConfigurationError(f"source {source.source} needs an instance", instead=f"set instance to its {which}")
    return source.instance


_FETCHES: Mapping[str, Callable[[FreeMemorySettings], Callable[[], int | None]]] = {
    "node-exporter": _node_exporter,
    "cloudwatch": _cloudwatch,
    "enhanced-monitoring": _enhanced_monitoring,
}
