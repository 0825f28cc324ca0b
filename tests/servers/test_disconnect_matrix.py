"""A read, a write and a transaction, whose client, network or server breaks in the middle: nothing goes on, or twice."""

import pytest

from safeconsole.errors import OutcomeUnknownError, StoppedError
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster
from tests.harness.breaking import BREAKS, DEEDS, RUN_SECONDS, breakable, seen
from tests.servers.conftest import _require

pytestmark = pytest.mark.timeout(300)

SETTLES_SECONDS = 4.0
"""What a server may take to notice, and a machine at work to look."""


@pytest.fixture(scope="module", params=FLAVOURS)
def broken(request, tmp_path_factory):
    _require(request.param)
    with start_cluster(request.param, tmp_path_factory.mktemp("matrix") / "c", replicas=1) as cluster:
        with breakable(cluster) as made:
            yield made


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("deed", DEEDS)
def test_what_breaks_leaves_nothing_running_kept_or_sent_again(broken, tmp_path, deed, how):
    found = seen(broken, tmp_path / "desk", deed=deed, how=how)
    capped = deed == "read" or broken.cluster.flavour == "mariadb"
    if capped:
        # The server's own cap is the last to hold.
        assert found.gone_seconds < RUN_SECONDS + SETTLES_SECONDS, found
    assert found.kept_rows == 0, found
    assert found.sent == 1, found
    before, after = found.guards
    assert after == before, found
    assert after["transaction_read_only" if broken.cluster.flavour == "mysql" else "tx_read_only"] == "1"
    if how == "client killed":
        assert found.outcomes == ()
    elif deed == "write":
        assert isinstance(found.error, StoppedError) and found.outcomes in (("stopped",), ("unseen",)), found
        assert found.error.message.endswith("; not committed"), found
    elif deed == "read":
        assert isinstance(found.error, StoppedError) and found.outcomes in (("stopped",), ("unseen",)), found
    else:
        # COMMIT was never sent, so that nothing is in doubt but what was asked last.
        assert found.outcomes in (("stopped",), ("unseen",), ("unknown",)), found
