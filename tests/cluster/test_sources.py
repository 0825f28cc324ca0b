"""Which source tells of which node, as the configuration says."""

import pytest


from safeconsole.cluster.host_memory import host_sources
from safeconsole.errors import ConfigurationError
from safeconsole.config.settings import ClusterSettings, FreeMemorySettings
from tests.cluster.exporter import exporting, page_of
from safeconsole.cluster import host_memory


def settings(**sources):
    nodes = tuple(f"{name}:3306" for name in sources)
    return ClusterSettings(
        nodes=nodes,
        names={f"{name}:3306": name for name in sources if name != "c"},
        free_memory={f"{name}:3306": source for name, source in sources.items() if source},
    )


def test_a_node_exporter_is_asked_before_and_during_and_aws_before_only():
    with exporting(page_of(5)) as exporter:
        sources = host_sources(
            "shop",
            settings(
                a=FreeMemorySettings(source="node-exporter", url=exporter.url),
                b=FreeMemorySettings(source="cloudwatch", instance="shop-1", region="eu-west-1"),
                c=FreeMemorySettings(source="enhanced-monitoring", instance="db-ABC"),
                d=None,
            ),
        )
        assert set(sources.beforehand) == {"a", "b", "c:3306"}
        assert set(sources.while_running) == {"a"}
        assert (sources.beforehand["a"].read(), sources.while_running["a"].read()) == (5, 5)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (FreeMemorySettings(source="node-exporter"), r"clusters\.shop\.free_memory\.a:3306: not the address"),
        (FreeMemorySettings(source="cloudwatch"), "needs an instance"),
        (FreeMemorySettings(source="enhanced-monitoring"), "needs an instance"),
    ],
)
def test_a_source_that_is_told_too_little_is_a_mistake_in_the_configuration(source, what):
    with pytest.raises(ConfigurationError, match=what):
        host_sources("shop", settings(a=source))


def test_a_missing_extra_is_told_with_the_node(monkeypatch):
    monkeypatch.setattr(host_memory.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"free_memory\.a:3306: .*aws extra is not installed"):
        host_sources("shop", settings(a=FreeMemorySettings(source="cloudwatch", instance="shop-1")))
