"""An elevation of one statement on real servers: that text, that server, one attempt, whatever becomes of it."""

import pytest

from safeconsole.errors import RefusedError, SafeConsoleError
from tests.harness.desk import JUSTIFICATION, Shown, seated
from tests.harness.proxy import Proxy

SHOWN = "UPDATE orders SET status = 'exact' WHERE id < 3"
WIDER = "UPDATE orders SET status = 'exact' WHERE id < 4000"


def changed(cluster):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM shop.orders WHERE status = 'exact'")
        return cursor.fetchone()[0]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_program_elevates_alone_on_the_demo_that_its_servers_prove_and_on_no_other(
    shared_clusters, tmp_path, flavour
):
    cluster, own = shared_clusters(flavour), tmp_path / "own"
    own.mkdir(mode=0o700)
    (own / "demo.key").touch(mode=0o600)
    (own / "demo.key").write_text("a key of one's own")
    for number, forged in enumerate(["", str(own), str(tmp_path / "none")]):
        with seated(cluster, tmp_path / str(number), demo=forged) as desk:
            with pytest.raises(RefusedError, match="an agent .* cannot elevate by itself"):
                desk.run("UPDATE orders SET status = 'alone' WHERE id = 0")
            assert not [record for record in desk.records("intent") if record["elevation"]]
    with seated(cluster, tmp_path / "true") as desk:
        desk.run("UPDATE orders SET status = 'alone' WHERE id = 0")
        assert [record for record in desk.records("intent") if record["elevation"]]


@pytest.fixture
def through_proxy(private_cluster, tmp_path, flavour):
    """A desk without a justification at the door, whose primary is reached through a proxy."""
    cluster = private_cluster(flavour, replicas=1)
    nodes = {node.name: f"{node.host}:{node.port}" for node in cluster.nodes}
    proxy = Proxy(cluster.primary.host, cluster.primary.port)
    with seated(
        cluster, tmp_path, nodes={**nodes, cluster.primary.name: proxy.address}, justification=None, connect_seconds=2.0
    ) as desk:
        yield cluster, desk, proxy
    proxy.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_what_was_granted_and_did_not_reach_the_server_covers_nothing_after(through_proxy):
    cluster, desk, proxy = through_proxy
    shown, wider, again = desk.session.split(f"{SHOWN}; {WIDER}; {SHOWN}")
    assert shown.digest == wider.digest

    def cut_off():
        proxy.refuse()
        proxy.cut()

    desk.answering.before_enter = cut_off
    with pytest.raises(SafeConsoleError):
        Shown().run(desk.session, shown, justification=JUSTIFICATION)
    assert desk.answering.asked == 1
    assert not desk.session.is_elevated
    desk.answering.before_enter = lambda: None
    proxy.accept_again()
    desk.seconds_until("SELECT 1")
    # Neither its like with another value, nor the very same: each attempt is asked for.
    for later in (wider, again):
        with pytest.raises(RefusedError):
            Shown().run(desk.session, later)
    assert changed(cluster) == 0
    Shown().run(desk.session, again, justification=JUSTIFICATION)
    assert desk.answering.asked == 2
    assert changed(cluster) == 2
    with pytest.raises(RefusedError):
        Shown().run(desk.session, wider)
    assert changed(cluster) == 2
    events = [(record["event"], record["statement"]) for record in desk.records("elevation")]
    first, second = events[0][1], events[-1][1]
    assert events == [
        ("asked", first), ("self-approved", first), (events[2][0], first),
        ("asked", second), ("self-approved", second), ("used", second),
    ]  # fmt: skip
    assert events[2][0] in {"attempt-over", "failed-over"}
    (intent,) = [record for record in desk.records("intent") if record["elevation"]]
    assert (intent["sql"], intent["statement"]) == (SHOWN, second)
