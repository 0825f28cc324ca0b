"""The way out of a refusal is a command that can be copied: with the cluster's own name."""

import pytest

from safeconsole.core.decision import Decision, addressed
from safeconsole.core.limits import Limits
from safeconsole.core.vocabulary import Verdict


def decision(instead):
    return Decision(verdict=Verdict.ELEVATE, rules=(), limits=Limits(), instead=instead)


@pytest.mark.parametrize(
    ("instead", "cluster", "shown"),
    [
        ("safeconsole capacity CLUSTER (page by page)", "shop", "safeconsole capacity shop (page by page)"),
        ("name one table, or `safeconsole capacity`", "shop", "name one table, or `safeconsole capacity shop`"),
        ("safeconsole capacity CLUSTER", "my shop; rm -rf", "safeconsole capacity 'my shop; rm -rf'"),
        ("safeconsole capacity CLUSTER", "CLUSTER", "safeconsole capacity CLUSTER"),
        ("safeconsole capacity CLUSTER", "", "safeconsole capacity CLUSTER"),
        ("filter by an indexed column", "shop", "filter by an indexed column"),
    ],
)
def test_the_capacity_command_names_the_cluster(instead, cluster, shown):
    assert addressed(decision(instead), cluster).instead == shown
