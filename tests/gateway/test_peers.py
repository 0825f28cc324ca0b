"""Several gateways before one cluster: whose a connection is, and a KILL that reaches it wherever it is."""

import os
import shutil
import threading
import time
from contextlib import ExitStack

import pymysql
import pytest
from sqlalchemy import update

from safeconsole.config.settings import GatewaySettings
from safeconsole.errors import ConfigurationError
from safeconsole.gateway import peers as module
from safeconsole.gateway.peers import COUNTER_BITS, LEASE_SECONDS, PROCESSES, UNTOUCHED_SECONDS, open_peers
from tests.gateway.test_ends import SLOW, Asking, marked, running_anywhere
from tests.harness.gateway import serving
from tests.harness.proxy import Balancer
from tests.harness.talking import wait_for
from tests.harness.terminal import AnyTerminal


class Moment:
    """A clock that is set by hand."""

    def __init__(self):
        self.seconds = 1_000_000.0

    def __call__(self):
        return self.seconds


def peers_in(url, *, cluster="shop", clock=None, **environ):
    found = open_peers(GatewaySettings(tokens=url, secret_variable=next(iter(environ), "")), cluster, {**environ})
    if clock is not None:
        found._epoch = found._monotonic = clock
    OPENED.append(found)
    return found


OPENED = []


@pytest.fixture(autouse=True)
def no_connection_stays_open():
    yield
    while OPENED:
        OPENED.pop()._tables.engine.dispose()


def number_of(peers):
    return peers.next_id() >> COUNTER_BITS


class Serving:
    """Answers what others ask, on a thread, until the context ends."""

    def __init__(self, peers, respond):
        self.peers, self.asked, self._ended = peers, [], threading.Event()
        self._respond = respond
        self._thread = threading.Thread(target=peers.serve, args=(self._answer, self._ended), daemon=True)

    def _answer(self, request):
        self.asked.append(request)
        return self._respond(request)

    def __enter__(self):
        self.peers.begin()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join(20)


def check_peers(url, **environ):
    """What processes see of one another; also run on real servers."""
    one, two, other = (peers_in(url, cluster=name, **environ) for name in ("shop", "shop", "crm"))
    other.begin()
    with Serving(one, lambda _: "[]") as first, Serving(two, lambda _: "killed") as second:
        numbers = [number_of(each) for each in (one, two, other)]
        assert len(set(numbers)) == 3
        assert all(1 <= each.next_id() < 2**32 for each in (one, two, other))
        wanted = two.next_id()
        assert one.has(wanted)
        assert not two.has(wanted)
        assert one.kill("anna", wanted, query=True) == "killed"
        assert [(each.about, each.person, each.connection) for each in second.asked] == [("query", "anna", wanted)]
        assert two.lists("anna") == {numbers[0]: "[]"}
        assert [(each.about, each.person) for each in first.asked] == [("list", "anna")]
        # Another cluster's, and nobody's.
        assert one.kill("anna", other.next_id(), query=True) == "unknown"
        assert one.kill("anna", 4000 << COUNTER_BITS, query=True) == "unknown"
    # Who left gave the number back, and nobody waits for them.
    late = peers_in(url, **environ)
    assert late.lists("anna") == {}
    for each in (late, other):
        each.leave()


def test_two_processes_meet_in_a_file(tmp_path):
    check_peers(f"sqlite:///{tmp_path}/team/tokens.db")
    assert (tmp_path / "team" / "tokens.db").stat().st_mode & 0o777 == 0o600


def test_processes_that_begin_at_once_have_numbers_of_their_own(tmp_path):
    found = [peers_in(f"sqlite:///{tmp_path}/tokens.db") for _ in range(8)]
    threads = [threading.Thread(target=each.begin) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        # One that met the making of the tables tries again, as its thread does.
        each.renew()
    assert len({number_of(each) for each in found}) == 8


def test_a_number_that_was_lost_is_used_no_longer(tmp_path):
    clock = Moment()
    peers = peers_in(f"sqlite:///{tmp_path}/tokens.db", clock=clock)
    peers.begin()
    before = number_of(peers)
    clock.seconds += LEASE_SECONDS
    with pytest.raises(ConfigurationError, match="cannot be numbered"):
        peers.next_id()
    with peers._tables.begin() as connection:
        connection.execute(update(PROCESSES).values(process="another"))
    peers.renew()
    assert number_of(peers) != before
    # A renewed one counts on, a new one from one.
    last = peers.next_id()
    peers.renew()
    assert peers.next_id() == last + 1


def test_a_number_is_used_again_when_all_others_were_and_it_has_rested(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_PROCESSES", 3)
    clock, url = Moment(), f"sqlite:///{tmp_path}/tokens.db"
    found = []
    for _ in range(3):
        found.append(peers_in(url, clock=clock))
        found[-1].renew()
        clock.seconds += 1
    fourth = peers_in(url, clock=clock)
    clock.seconds += LEASE_SECONDS
    with pytest.raises(ConfigurationError, match="hold a number"):
        fourth.renew()
    for each in found[1:]:
        each.renew()
    clock.seconds += UNTOUCHED_SECONDS
    fourth.renew()
    assert number_of(fourth) == 1


def test_a_request_that_nobody_takes_is_withdrawn(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TAKEN_WITHIN_SECONDS", 0.2)
    url = f"sqlite:///{tmp_path}/tokens.db"
    asking, silent = peers_in(url), peers_in(url)
    for each in (asking, silent):
        each.begin()
    wanted = silent.next_id()
    assert asking.kill("anna", wanted, query=True) == "not taken"
    # It died, so to speak, and comes back: nothing waits for it.
    assert list(silent._taken()) == []
    assert asking.lists("anna") == {wanted >> COUNTER_BITS: "not taken"}


def test_what_was_taken_and_not_answered_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ANSWERED_WITHIN_SECONDS", 1.0)
    url, goes_on = f"sqlite:///{tmp_path}/tokens.db", threading.Event()
    asking, slow = peers_in(url), peers_in(url)
    asking.begin()
    with Serving(slow, lambda _: str(goes_on.wait(20))):
        assert asking.kill("anna", slow.next_id(), query=True) == "asked"
        goes_on.set()


@pytest.fixture(scope="module", params=("mysql", "mariadb"))
def pair(request, shared_clusters, tmp_path_factory):
    """Two gateways of one cluster that share a database."""
    directory = tmp_path_factory.mktemp("pair")
    settings = f'[gateway]\ntokens = "sqlite:///{directory}/tokens.db"\n'
    cluster = shared_clusters(request.param)
    with ExitStack() as leaving:
        one, two = (
            leaving.enter_context(serving(cluster, directory / name, settings=settings)) for name in ("one", "two")
        )
        yield one, two


def rows_of(connection, text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def test_no_two_connections_have_one_id(pair):
    one, two = pair
    token = one.token("ida")
    with ExitStack() as leaving:
        held = [leaving.enter_context(each.connect("ida", token)) for each in (one, two) * 3]
        ids = [connection.thread_id() for connection in held]
        assert len(set(ids)) == len(ids)
        for connection in held:
            assert rows_of(connection, "SELECT CONNECTION_ID()") == ((connection.thread_id(),),)
        for connection in (held[0], held[1]):
            assert {row[0] for row in rows_of(connection, "SHOW PROCESSLIST")} == set(ids)


def test_a_kill_at_one_gateway_ends_the_statement_at_another_and_not_its_session(pair):
    one, two = pair
    token, mark = one.token("anna"), marked("across")
    with one.connect("anna", token) as busy, two.connect("anna", token) as control, two.connect("bob") as bob:
        asking = Asking(busy, SLOW.format(mark=mark))
        wait_for(lambda: running_anywhere(one, mark))
        (shown,) = [row for row in rows_of(control, "SHOW PROCESSLIST") if row[0] == busy.thread_id()]
        assert shown[4] == "Query"
        assert shown[7].startswith("SELECT COUNT(*)")
        # Nobody sees or kills what is another's.
        assert rows_of(bob, "SHOW PROCESSLIST") == tuple(r for r in rows_of(bob, "SHOW PROCESSLIST") if r[1] == "bob")
        for text in (f"KILL QUERY {busy.thread_id()}", f"KILL {busy.thread_id()}"):
            with pytest.raises(pymysql.err.MySQLError) as raised:
                rows_of(bob, text)
            assert raised.value.args[0] == 1094
        assert running_anywhere(one, mark)
        rows_of(control, f"KILL QUERY {busy.thread_id()}")
        # It was seen to be done before the answer came.
        assert not running_anywhere(one, mark)
        asking.join(10)
        assert asking.error.args[0] == 1317
        assert rows_of(busy, "SELECT 1") == ((1,),)
        rows_of(control, f"KILL {busy.thread_id()}")
        with pytest.raises(pymysql.err.MySQLError):
            rows_of(busy, "SELECT 1")
        busy._force_close()
        with pytest.raises(pymysql.err.MySQLError) as raised:
            rows_of(control, f"KILL {busy.thread_id()}")
        assert raised.value.args[0] == 1094


def test_a_kill_of_what_a_dead_gateway_had_is_told_so(shared_clusters, pair, tmp_path):
    one, _ = pair
    settings = (one.directory / "config.toml").read_text().partition("[gateway]")[2]
    with serving(one.cluster, tmp_path / "third", settings=f"[gateway]{settings}") as third:
        lost = third.connect("anna")
        third.process.kill()
        third.process.wait()
        with one.connect("anna") as connection:
            (row,) = [row for row in rows_of(connection, "SHOW PROCESSLIST") if row[4] == "Unknown"]
            assert "does not answer" in row[6]
            with pytest.raises(pymysql.err.MySQLError) as raised:
                rows_of(connection, f"KILL QUERY {lost.thread_id()}")
            assert raised.value.args[0] == 1105
            assert "nothing was asked of it" in raised.value.args[1]
        lost._force_close()


@pytest.mark.skipif(shutil.which("mariadb") is None, reason="no mariadb client here")
def test_control_c_through_a_balancer_stops_the_statement(pair, tmp_path):
    """The client kills over a second login, which the balancer leads to the other gateway."""
    one, two = pair
    balancer, mark = Balancer((one.host, one.port), (two.host, two.port)), marked("balanced")
    words = (shutil.which("mariadb"), "-h", "127.0.0.1", "-P", str(balancer.port), "-u", "anna", "shop", "-A")
    terminal = AnyTerminal(words, {"HOME": str(tmp_path), "MYSQL_PWD": one.token("anna"), "PATH": os.environ["PATH"]})
    try:
        terminal.wait_for(lambda: "[shop]>" in terminal.said(), at_most=60)
        assert balancer.made == 1
        terminal.type(f"{SLOW.format(mark=mark)};\r")
        wait_for(lambda: running_anywhere(one, mark))
        terminal.type("\x03")
        began = time.monotonic()
        wait_for(lambda: not running_anywhere(one, mark))
        print(f"gone {time.monotonic() - began:.2f} s after Ctrl-C")
        assert balancer.made == 2
        terminal.type("SELECT 6 * 7007;\r")
        terminal.wait_for(lambda: "42042" in terminal.said())
    finally:
        terminal.close()
        balancer.close()
