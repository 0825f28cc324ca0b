"""An embedded cluster, opened as the gate would open it, and permits as the gate would make them."""

import shutil
import time

import pytest

from safeconsole.clock import SystemClock
from safeconsole.sqlite.engine import open_engine
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import Limits
from safeconsole.config.settings import ClusterSettings
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Route
from safeconsole.demo.embedded import EmbeddedCluster, EmbeddedNode, Replicator, create_embedded


def statement(text, *effects):
    kind = text.split()[0].lower()
    return Statement(text=text, kind=kind, effects=frozenset(effects or {Effect.READ}), digest="d")


def permit(connection, what, *, account=Account.READ, route=Route.REPLICA, within=False, sensors=(), **limits):
    what = statement(what) if isinstance(what, str) else what
    return Permit(
        statement=what,
        node=NodeName("any"),
        identity=connection.identity,
        route=route,
        account=account,
        limits=Limits(**limits),
        sensors=sensors,
        read_only=what.effects <= {Effect.READ, Effect.SESSION},
        rules=(),
        within=within,
    )


class Talk:
    """Opens connections and runs statements on them; closes all at the end."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.paths = {node.name: node.path for node in cluster.nodes}
        settings = ClusterSettings(nodes=tuple(str(path) for path in self.paths.values()), engine="sqlite")
        self.engine = open_engine("shop", settings, SystemClock())
        self.opened = []

    def open(self, node="replica-1", account=Account.READ):
        self.opened.append(self.engine.connect(NodeName(node), account))
        return self.opened[-1]

    def elevated(self):
        return self.open("primary", Account.ELEVATED)

    def send(self, connection, what, *, watch=None, as_text=False, **rest):
        if connection in self.opened and connection.prove().role == "primary":
            rest.setdefault("route", Route.PRIMARY)
        if connection._account is Account.ELEVATED:
            rest.setdefault("account", Account.ELEVATED)
        return connection.send(permit(connection, what, **rest), watch=watch, as_text=as_text)

    def rows(self, connection, what, **rest):
        answer = self.send(connection, what, **rest)
        found = [row for batch in answer.batches() for row in batch]
        answer.finish()
        return found

    def change(self, text, *effects, connection=None, **limits):
        connection = connection or self.elevated()
        answer = self.send(connection, statement(text, *(effects or {Effect.WRITE})), **limits)
        list(answer.batches())
        return answer.finish()


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return create_embedded(tmp_path_factory.mktemp("template") / "shop").directory


@pytest.fixture
def cluster(template, tmp_path):
    """A copy of a cluster, times of modification included."""
    directory = tmp_path / "shop"
    shutil.copytree(template, directory)
    nodes = [
        EmbeddedNode(name=path.stem, path=path, sidecar=path.with_suffix(".json"))
        for path in sorted(directory.glob("*.db"))
    ]
    return EmbeddedCluster(directory=directory, primary=nodes[0], replicas=tuple(nodes[1:]))


@pytest.fixture
def talk(cluster):
    """A cluster whose replicas follow."""
    with Replicator(cluster):
        deadline = time.monotonic() + 5
        while not all(node.read_sidecar().running for node in cluster.replicas):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        talk = Talk(cluster)
        yield talk
        for connection in talk.opened:
            connection.close()
