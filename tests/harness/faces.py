"""Values that stand for what the road hands to a face, and golden texts."""

import os
import pathlib

import pytest

from safeconsole.policy.decision import Assessment, Decision
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Effect, NodeName, Route, Verdict
from safeconsole.output.text import StreamStyle

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
DECORATED = StreamStyle(terminal=True, decorated=True, columns=80)
DUMB = StreamStyle(terminal=True, decorated=False, columns=80)


def _considered(verdict=Verdict.ALLOW, *, text="SELECT 1", kind="select", vertical=False, observed=False, **limits):
    effects = frozenset({Effect.READ if kind == "select" else Effect.WRITE})
    route = Route.REPLICA if kind == "select" else Route.PRIMARY
    node = NodeName("replica-1" if kind == "select" else "primary")
    return Assessment(
        statement=Statement(text=text, kind=kind, effects=effects, digest="d", vertical=vertical),
        route=route,
        node=node,
        identity=Identity(server="u-1", address="127.0.0.1:3306"),
        estimate=Estimate(),
        decision=Decision(
            verdict=verdict,
            rules=("writes",),
            limits=Limits(**limits),
            limit_sources=("run_seconds: writes",),
            message="a write needs an elevation",
            instead="count first: SELECT COUNT(*) FROM orders WHERE id = 1",
            policy="baseline@abcdef012345",
            observed=observed,
        ),
        evidence=(
            f"node: {node}, a {route} (read_only=0), lag 0.2 s, free memory 1234 MiB, 3 threads running",
            "hazard: no-where (writes): it touches [red]every[/red] row",
            "the server expects to examine 1 rows",
            "rule: writes (baseline@abcdef012345)",
        ),
    )


@pytest.fixture
def considered():
    return _considered


@pytest.fixture
def decorated():
    return DECORATED


@pytest.fixture
def dumb():
    return DUMB


@pytest.fixture
def golden():
    """Compare a text with golden/NAME; SAFECONSOLE_GOLDEN=write writes it anew, for a person to look at the difference."""

    def compare(name, text):
        path = GOLDEN / name
        if os.environ.get("SAFECONSOLE_GOLDEN") == "write":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
